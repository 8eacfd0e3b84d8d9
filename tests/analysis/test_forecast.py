"""What is forecast of which cells, from what, and what is said where nothing can be."""

import math

import numpy as np
import pytest
from scipy import stats

from lina_lab.analysis.forecast import forecast, write_forecast
from lina_lab.analysis.scaling_fit.new_value import new_value
from lina_lab.analysis.table import results_table
from lina_lab.errors import LabError
from lina_lab.ledger.forecasts import CURVE, SEEDS, data_digest, forecasts_of
from lina_lab.ledger.plan import Measure
from tests.study import AXES, FID, PARAMETERS, PROVENANCE, FakeStudy, fake_fid

THREE = {"model.attention.normalization": ["division", "subtraction"], "model.size": ["nano", "micro", "tiny"]}


@pytest.fixture
def open_study(tmp_path):
    """`open_study(size=...)` has finished cells but where all the values are these."""

    def make(seeds=(0, 1, 2), axes=THREE, **where):
        made = FakeStudy(tmp_path / "runs", list(seeds), axes)
        for index, cell in enumerate(made.plan.cells):
            if where.items() <= (cell.values | {"seed": cell.seed}).items():
                made.unfinish(index, "waiting")
        return made

    return make


def made_of(study, **changes):
    plan = study.stored._replace(**changes)
    table = results_table(study.runs, plan)
    sizes = {cell.key: PARAMETERS[cell.values["size"]] for cell in plan.cells}
    return forecast(table, plan, sizes, PROVENANCE)


def test_the_largest_size_is_forecast_by_the_curve_of_its_design(open_study):
    study = open_study(size="tiny")
    made = made_of(study)
    assert {(cell.values["size"], cell.by, cell.cells) for cell in made.cells} == {("tiny", CURVE, 6)}
    x = np.repeat([PARAMETERS["nano"], PARAMETERS["micro"]], 3)
    y = [fake_fid(size, seed) for size in ("nano", "micro") for seed in range(3)]
    expected = new_value("offset", x, y, PARAMETERS["tiny"])
    found = next(cell for cell in made.cells if cell.values["normalization"] == "division")
    assert (found.predicted.value, found.predicted.low, found.predicted.high) == pytest.approx(list(expected))
    assert found.power.high < found.predicted.high
    assert found.predicted.holds(fake_fid("tiny", 0))
    assert made.missing == []


def test_a_further_seed_is_forecast_by_the_spread_over_seeds(open_study):
    study = open_study(size="tiny", seed=2)
    found = made_of(study).cells[0]
    logs = np.log([[fake_fid(size, seed) for seed in range(3)] for size in ("nano", "micro", "tiny")])
    squares = sum(((row - row.mean()) ** 2).sum() for row in (*logs[:2], logs[2, :2]))
    half = stats.t.ppf(0.975, 5) * math.sqrt(squares / 5 * 1.5)
    mean = logs[2, :2].mean()
    assert found.by == SEEDS
    assert np.log([found.predicted.low, found.predicted.high]) == pytest.approx([mean - half, mean + half])
    assert found.power is None


def test_the_gap_is_forecast_where_neither_design_has_a_result(open_study):
    made = made_of(open_study(size="tiny"))
    (gap,) = made.gaps
    assert (gap.a, gap.b) == ({"normalization": "subtraction"}, {"normalization": "division"})
    assert (gap.size, list(gap.seeds), gap.pairs) == ("tiny", [0, 1, 2], 6)
    assert gap.predicted.holds(1.1)


def test_a_gap_of_which_one_design_is_measured_is_none(open_study):
    assert made_of(open_study(size="tiny", normalization="division")).gaps == ()


def test_the_data_are_all_cells_that_are_done_and_none_that_is_forecast(open_study):
    study = open_study(size="tiny")
    made = made_of(study)
    assert {datum.key for datum in made.data} == {c.key for c in study.plan.cells if c.values["size"] != "tiny"}
    assert made.data_sha256 == data_digest(made.data)
    assert made.metric == FID


@pytest.mark.parametrize(
    ("seeds", "sizes", "words"),
    [
        ([0, 1], ["nano", "tiny"], "1 size is done: a curve needs two"),
        ([0], ["nano", "micro", "tiny"], "2 sizes of one seed show no spread: a second seed is missing, or a fourth"),
    ],
)
def test_what_cannot_be_forecast_is_named_with_what_it_lacks(open_study, seeds, sizes, words):
    made = made_of(open_study(seeds, THREE | {"model.size": sizes}, size="tiny"))
    assert made.cells == made.gaps == ()
    assert any(line.startswith("division at 1.6M parameters: ") and words in line for line in made.missing)


def test_a_seed_beside_one_other_alone_has_no_spread(open_study):
    axes = {"model.attention.normalization": ["division", "subtraction"], "model.size": ["nano"]}
    made = made_of(open_study([0, 1], axes, seed=1))
    assert made.cells == ()
    assert "a second done seed is missing at every size" in made.missing[0]


def test_a_metric_without_a_law_has_forecasts_of_seeds_alone(open_study):
    study = open_study(size="tiny", normalization="division")
    made = made_of(study, metric=Measure(name="kid"))
    assert "no law of size describes KID" in made.missing[0]
    study.unfinish(study.plan.cells.index(next(c for c in study.plan.cells if c.values["size"] == "nano")), "waiting")
    (cell,) = made_of(study, metric=Measure(name="kid")).cells
    assert cell.by == SEEDS


def test_it_is_written_down_with_the_code_and_never_knows_a_cell_that_ended_meanwhile(open_study, monkeypatch):
    study = open_study(size="tiny")
    ended = next(cell for cell in study.plan.cells if cell.values["size"] == "tiny")
    monkeypatch.setattr("lina_lab.analysis.forecast.is_done", lambda folder: folder.name == ended.key)
    made, path = write_forecast(study.runs, study.stored)
    assert ended.key not in {cell.key for cell in made.cells}
    assert len(made.cells) == 5
    assert made.gaps == ()
    assert made.provenance.command
    assert forecasts_of(study.runs, study.stored)[0].as_json()["data_sha256"] == made.data_sha256
    assert path.parent == study.runs / "sweeps" / "fake.forecasts"


def test_nothing_is_written_where_nothing_is_left(study):
    made = study(seeds=[0, 1], axes=AXES)
    found, path = write_forecast(made.runs, made.stored)
    assert (found.cells, found.missing, path) == ((), [], None)


def test_before_anything_is_done_it_says_so(open_study):
    with pytest.raises(LabError, match="no cell has a FID yet"):
        made_of(open_study())
