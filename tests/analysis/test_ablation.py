"""The ablation table: known ratios come out, with the interval over seeds and nothing else."""

import json
import math

import pandas as pd
import pytest

from lina_lab.analysis.ablation import COLUMNS, ablation_table, readable_ablation
from lina_lab.analysis.ablation import effects as effects_of
from lina_lab.analysis.findings import findings
from lina_lab.analysis.interval import mean_interval
from lina_lab.analysis.scale import RATIO
from lina_lab.analysis.study_metric import metric_of
from lina_lab.analysis.table import results_table, to_latex
from lina_lab.errors import LabError
from tests.analysis.ablation_cases import GOLDEN, cases, rows_of

FID = "eval/fid/digits-cnn"


@pytest.fixture
def effects(study):
    def make(seeds, change=lambda table: None):
        made = study(seeds=seeds)
        table = results_table(made.runs, made.stored)
        change(table)
        return ablation_table(table, made.stored, metric_of(FID))

    return make


def over_seeds(logs):
    return RATIO.interval(mean_interval(logs))


def row(effects, value, size):
    return effects[(effects["value"] == value) & (effects["size"] == size)].iloc[0]


@pytest.mark.slow
def test_every_value_of_every_axis_but_the_size_over_all_sizes_and_each(effects):
    found = effects([0, 1])
    assert list(found.columns) == [*COLUMNS, "ratio", "low", "high", "note"]
    assert found[["axis", "value", "baseline", "size", "pairs", "seeds"]].to_numpy().tolist() == [
        ["normalization", "subtraction", "division", "all", 8, 2],
        ["normalization", "subtraction", "division", "nano", 4, 2],
        ["normalization", "subtraction", "division", "micro", 4, 2],
        ["conv_kernel", "5", "0", "all", 8, 2],
        ["conv_kernel", "5", "0", "nano", 4, 2],
        ["conv_kernel", "5", "0", "micro", 4, 2],
    ]
    assert row(found, "subtraction", "all")["ratio"] == pytest.approx(1.1)
    assert row(found, "5", "nano")["ratio"] == pytest.approx(0.5)


@pytest.mark.slow
def test_the_interval_is_over_seeds_and_a_size_has_its_own(effects):
    def change(table):
        table.loc[(table["seed"] == 1) & (table["conv_kernel"] == 5) & (table["size"] == "nano"), FID] *= 1.44

    found = effects([0, 1], change)
    nano, micro, both = (row(found, "5", size) for size in ("nano", "micro", "all"))
    assert (nano["ratio"], nano["low"], nano["high"]) == pytest.approx(over_seeds([math.log(0.5), math.log(0.72)]))
    assert (micro["low"], micro["high"]) == pytest.approx((0.5, 0.5))
    assert (both["ratio"], both["low"], both["high"]) == pytest.approx(over_seeds([math.log(0.5), math.log(0.6)]))


@pytest.mark.slow
def test_one_seed_has_a_ratio_no_interval_and_says_so(effects):
    found = effects([0])
    assert found["low"].isna().all()
    assert found["high"].isna().all()
    assert set(found["note"]) == {"one seed: no interval"}
    assert row(found, "5", "all")["ratio"] == pytest.approx(0.5)


@pytest.mark.slow
def test_seeds_with_different_pairs_are_marked(effects):
    def change(table):
        lost = (table["seed"] == 1) & (table["size"] == "micro") & (table["normalization"] == "division")
        table.loc[lost, FID] = None

    found = effects([0, 1], change)
    assert row(found, "5", "all")["note"] == "seeds differ in their pairs"
    assert row(found, "5", "nano")["note"] == ""
    assert row(found, "5", "all")["pairs"] == 7


@pytest.mark.slow
def test_pairs_differ_on_one_axis_alone(study):
    made = study(seeds=[0, 1])
    normalization, convolution = effects_of(results_table(made.runs, made.stored), made.stored, metric_of(FID))
    assert (normalization.value, normalization.baseline, len(normalization.pairs)) == ("subtraction", "division", 8)
    assert normalization.pairs["ratio"].tolist() == pytest.approx([1.1] * 8)
    assert (convolution.axis, convolution.pairs["seed"].nunique()) == ("conv_kernel", 2)
    assert convolution.pairs["ratio"].tolist() == pytest.approx([0.5] * 8)


@pytest.mark.slow
def test_an_unfinished_cell_makes_no_pair(study):
    made = study()
    made.unfinish(0, "waiting")
    normalization, _ = effects_of(results_table(made.runs, made.stored), made.stored, metric_of(FID))
    assert len(normalization.pairs) == 3


@pytest.mark.slow
def test_only_seeds_are_replicates(effects):
    """Eight pairs of two seeds have two replicates: the mean log-ratio of each seed."""

    def change(table):
        table.loc[(table["seed"] == 1) & (table["conv_kernel"] == 5), FID] *= 1.2

    whole = row(effects([0, 1], change), "5", "all")
    assert tuple(whole[["ratio", "low", "high"]]) == pytest.approx(over_seeds([math.log(0.5), math.log(0.6)]))


@pytest.mark.slow
def test_no_number_has_moved():
    """Of committed reports and of simulated studies with cells missing (`ablation_cases`), to what processors round."""
    golden = json.loads(GOLDEN.read_text())
    made = {name: rows_of(table, plan, metric) for name, table, plan, metric in cases()}
    against_null = {name: [row for row in rows if row[0] == "limit"] for name, rows in made.items()}
    assert all(len(rows) == 3 * ("null" in name) for name, rows in against_null.items())  # golden has none of these
    kept = {name: [row for row in rows if row not in against_null[name]] for name, rows in made.items()}
    assert kept.keys() == golden.keys()
    for name, rows in kept.items():
        assert [words(row) for row in rows] == [words(row) for row in golden[name]]
        assert [numbers(row) for row in rows] == [pytest.approx(numbers(row), rel=1e-12) for row in golden[name]]


def words(row):
    return [value for value in row if not isinstance(value, float)]


def numbers(row):
    return [value for value in row if isinstance(value, float)]


@pytest.mark.slow
def test_every_contrast_of_the_findings_is_in_the_ablation(study):
    made = study(seeds=[0, 1])
    table = results_table(made.runs, made.stored)
    found, _ = findings(table, made.stored, metric_of(FID))
    ablation = ablation_table(table, made.stored, metric_of(FID))
    for finding in found:
        pairs = sum(contrast.verdict.num_pairs for contrast in finding.contrasts)
        assert row(ablation, str(finding.value), "all")["pairs"] == pairs


@pytest.mark.slow
def test_values_measured_differently_and_values_without_a_logarithm_are_refused(effects):
    def differently(table):
        table.loc[3, "num_generated"] = 500

    def negative(table):
        table.loc[3, FID] = -0.25

    with pytest.raises(LabError, match="different num_generated"):
        effects([0], differently)
    with pytest.raises(LabError, match=rf"column {FID} must be positive .* not -0.25"):
        effects([0], negative)


def test_nothing_finished_is_an_empty_table(study):
    made = study()
    for index in range(8):
        made.unfinish(index, "waiting")
    assert ablation_table(results_table(made.runs, made.stored), made.stored, metric_of(FID)).empty


@pytest.mark.slow
def test_the_readable_table_has_the_numbers_as_text(effects):
    shown = readable_ablation(effects([0, 1]), metric_of(FID))
    assert shown.iloc[3].tolist() == ["conv_kernel", "5", "0", "all", "0.500", "0.500 to 0.500", "8", "2", ""]
    assert readable_ablation(effects([0]), metric_of(FID))["95 % interval"].tolist() == [""] * 6
    assert r"conv\_kernel & 5 & 0 & all & 0.500 & 0.500 to 0.500 & 8 & 2 &  \\" in to_latex(shown)


def test_latex_has_booktabs_escapes_and_numbers_to_the_right():
    table = pd.DataFrame(
        {"kv_gate": ["50 %", "a & b"], "count": ["1,234", None], "rate": ["0.5", "1e-3"]}, index=[7, 7]
    )
    assert to_latex(table).splitlines() == [
        r"\begin{tabular}{lrr}",
        r"\toprule",
        r"kv\_gate & count & rate \\",
        r"\midrule",
        r"50 \% & 1,234 & 0.5 \\",
        r"a \& b &  & 1e-3 \\",
        r"\bottomrule",
        r"\end{tabular}",
    ]
