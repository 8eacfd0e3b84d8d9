"""One metric for everything of a study: direction, scale and words follow what the sweep names."""

import pytest

from lina_lab.analysis.ablation import ablation_table, readable_ablation
from lina_lab.analysis.findings import findings, sentences
from lina_lab.analysis.report_data import report_data_of_ledger
from lina_lab.analysis.rows import OLDER_DRAWS
from lina_lab.analysis.scale import DIFFERENCE, RATIO
from lina_lab.analysis.study_metric import metric_of, study_metric
from lina_lab.analysis.table import results_table, unequal_draws
from lina_lab.errors import LabError
from lina_lab.figures.scaling import bars, scaling_figure
from lina_lab.ledger.plan import Measure
from lina_lab.report.page import write_report
from lina_lab.report.text import what_is_not_known

KID, RECALL = "eval/kid/digits-cnn", "eval/recall/digits-cnn"


def asked(made, name, better="", place="sweep.yaml:7"):
    return made.stored._replace(metric=Measure(name, better, place))


def noisy(table, column, high=0.0):
    """Values about 0 that convolution lowers by 0.1, or raises, and each seed moves a little."""
    lower = -0.1 if not high else 0.1
    seeds = table["seed"].map({0: 0.0, 1: 0.004, 2: -0.003}) + 0.001 * (table.index % 3)
    return table.assign(**{column: high + (table["conv_kernel"] == 5) * lower + seeds})


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "column", "better", "scale"),
    [
        ("fid", "eval/fid/digits-cnn", "lower", RATIO),
        ("kid", KID, "lower", DIFFERENCE),
        (KID, KID, "lower", DIFFERENCE),
        ("val/loss", "val/loss", "lower", RATIO),
        ("recall", RECALL, "higher", DIFFERENCE),
    ],
)
def test_a_metric_is_found_by_its_short_name_with_its_direction_and_scale(study, name, column, better, scale):
    made = study(seeds=[0])
    found = study_metric(results_table(made.runs, made.stored), asked(made, name))
    assert (found.column, found.better, found.scale) == (column, better, scale)


def test_any_column_has_the_direction_that_the_study_gives_it(study):
    made = study(seeds=[0])
    table = results_table(made.runs, made.stored)
    assert study_metric(table, asked(made, "training_seconds", "lower")).sign == 1
    assert study_metric(table, asked(made, "samples_seen", "higher")).sign == -1


@pytest.mark.slow
def test_a_metric_that_no_cell_or_not_every_finished_cell_has_is_named_with_its_place(study):
    made = study(seeds=[0])
    table = results_table(made.runs, made.stored)
    with pytest.raises(LabError, match=r"sweep.yaml:7: metric: geneval: no cell has a geneval, and none will: 8 done"):
        study_metric(table, asked(made, "geneval"))
    table.loc[2, KID] = None
    with pytest.raises(LabError, match=rf"sweep.yaml:7: metric: kid: finished cells have no {KID}: {table['key'][2]}"):
        study_metric(table, asked(made, "kid"))


@pytest.mark.slow
def test_differences_of_a_metric_about_zero_are_known_to_the_last_digit(study):
    made = study(seeds=[0, 1])
    table = results_table(made.runs, made.stored).assign(**{KID: lambda t: -0.05 + 0.1 * (t["conv_kernel"] == 5)})
    effects = ablation_table(table, made.stored, metric_of(KID))
    whole = effects[(effects["value"] == "5") & (effects["size"] == "all")].iloc[0]
    assert (whole["difference"], whole["low"], whole["high"]) == pytest.approx((0.1, 0.1, 0.1))
    shown = readable_ablation(effects, metric_of(KID))
    assert "+0.1" in set(shown["KID difference"])


@pytest.mark.slow
@pytest.mark.parametrize(
    ("column", "high", "says"),
    [(KID, 0.0, "KID differs by -0.1"), (RECALL, 0.4, "recall differs by +0.1")],
)
def test_words_follow_the_direction_of_a_difference(study, column, high, says):
    made = study(seeds=[0, 1, 2])
    data = report_data_of_ledger(made.runs, made.stored)
    found, missing = findings(noisy(data.table, column, high), made.stored, metric_of(column))
    assert not missing
    said = " ".join(sentences(next(finding for finding in found if finding.axis == "conv_kernel")))
    better = "higher" if column == RECALL else "lower"
    assert says in said
    assert f"{better} beyond chance in 2 of 2 designs" in said
    assert "no law of size describes it" in said


@pytest.mark.slow
def test_the_report_follows_the_metric(study, tmp_path):
    made = study(seeds=[0, 1])
    page = write_report(made.runs, asked(made, "recall"), tmp_path / "report").read_text(encoding="utf-8")
    for words in ("Difference of recall of two designs", "Mean difference of recall", "recall has no error of its own"):
        assert words in page
    table = results_table(made.runs, made.stored)
    axes = scaling_figure(table, asked(made, "recall")).axes[0]
    assert axes.get_yscale() == "linear"
    assert axes.get_ylabel().replace("\n", " ") == "recall (digits-cnn), higher is better"


def test_a_metric_without_an_error_of_its_own_has_no_bars_with_one_seed(study):
    made = study(seeds=[0])
    table = results_table(made.runs, made.stored)
    assert bars(table, metric_of(KID)) == "one seed, and KID has no error of its own: no error bars"
    with_error = table.assign(**{"val/loss_se": 0.01})
    assert "standard error over held-out images" in bars(with_error, metric_of("val/loss"))


@pytest.mark.slow
def test_losses_with_other_draws_are_named_wherever_they_are_compared(study):
    made = study(seeds=[0, 1])
    table = results_table(made.runs, made.stored)
    assert set(table["loss_draws"]) == {OLDER_DRAWS}
    assert unequal_draws(table, "val/loss") is None
    table.loc[table["normalization"] == "division", "loss_draws"] = "8 masks"
    found, _ = findings(table, made.stored, metric_of("val/loss"))
    normalization = next(finding for finding in found if finding.axis == "normalization")
    convolution = next(finding for finding in found if finding.axis == "conv_kernel")
    words = f"held-out losses have different draws: 8 masks; {OLDER_DRAWS}"
    assert all(words in c.verdict.better.reasons for c in normalization.contrasts)
    assert not any(words in c.verdict.better.reasons for c in convolution.contrasts)
    said = " ".join(what_is_not_known(table, made.stored, metric_of("val/loss")))
    assert "losses have different draws" in said
    assert "different draws" not in " ".join(what_is_not_known(table, made.stored, metric_of(KID)))
