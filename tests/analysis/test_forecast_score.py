"""Every cell is scored once, by a rule that results cannot change, and never by a forecast that knew it."""

from dataclasses import replace

import pytest

from lina_lab.analysis.forecast import all_parameters, forecast
from lina_lab.analysis.forecast_score import HIT, MISS, NONE, OPEN, readable_cells, readable_gaps, score, sentences
from lina_lab.analysis.study_metric import metric_of, study_metric
from lina_lab.analysis.table import results_table
from lina_lab.ledger.forecasts import Predicted
from tests.analysis.test_forecast import THREE
from tests.study import FID, PROVENANCE, FakeStudy, fake_fid


def at(day):
    return replace(PROVENANCE, started=f"2026-01-{day:02d}T00:00:00+00:00")


class Unfolding(FakeStudy):
    """A study whose results come as it is told; what has one is a cell by size and seed."""

    def __init__(self, runs, seeds=(0, 1)):
        super().__init__(runs, list(seeds), THREE)
        self.texts = {cell.key: (runs / cell.key / "result.json").read_bytes() for cell in self.plan.cells}
        self.forecasts = []

    def know(self, sizes, seeds=(0, 1)):
        for cell in self.plan.cells:
            path = self.runs / cell.key / "result.json"
            path.unlink(missing_ok=True)
            if cell.values["size"] in sizes and (cell.values["size"] != "tiny" or cell.seed in seeds):
                path.write_bytes(self.texts[cell.key])
        return self

    @property
    def table(self):
        return results_table(self.runs, self.stored)

    def foresee(self, day, factor=1.0):
        """A forecast by the tool, whose intervals are moved by a factor so that it can be told apart."""

        def moved(p):
            return p and replace(p, value=factor * p.value, low=factor * p.low, high=factor * p.high)

        made = forecast(self.table, self.stored, all_parameters(self.runs, self.table), at(day))
        cells = tuple(replace(cell, predicted=moved(cell.predicted)) for cell in made.cells)
        gaps = tuple(replace(gap, predicted=moved(gap.predicted)) for gap in made.gaps)
        self.forecasts.append(replace(made, cells=cells, gaps=gaps))

    def score(self):
        table = self.table
        return score(table, self.stored, self.forecasts, study_metric(table, self.stored))


@pytest.fixture
def unfolding(tmp_path):
    return Unfolding(tmp_path / "runs")


ALL = ["nano", "micro", "tiny"]


def test_forecast_stands_beside_what_was_reached(unfolding):
    unfolding.know(["nano", "micro"]).foresee(1)
    assert set(unfolding.score().cells["outcome"]) == {OPEN}
    found = unfolding.know(ALL).score()
    assert found.cells["outcome"].tolist() == [HIT] * 4
    row = found.cells.iloc[0]
    assert row["reached"] == fake_fid("tiny", row["seed"], row["normalization"])
    assert row["low"] <= row["reached"] <= row["high"]
    assert (found.gaps["outcome"].tolist(), found.gaps["reached"].tolist()) == ([HIT], [pytest.approx(1.1)])


def test_the_last_forecast_before_its_design_had_a_result_at_the_size_counts(unfolding):
    unfolding.know(["nano", "micro"]).foresee(1, factor=100)
    unfolding.foresee(2)
    unfolding.know(ALL, seeds=[0]).foresee(3, factor=100)
    found = unfolding.know(ALL).score()
    assert set(found.cells["made"]) == {at(2).started}
    assert set(found.cells["outcome"]) == {HIT}


def test_of_forecasts_from_other_seeds_the_first_counts(unfolding):
    unfolding.know(ALL, seeds=[0]).foresee(1, factor=100)
    unfolding.foresee(2)
    found = unfolding.know(ALL).score()
    assert found.cells["seed"].tolist() == [1, 1]
    assert found.cells["outcome"].tolist() == [MISS, MISS]


def test_a_forecast_whose_data_held_the_cell_is_never_scored(unfolding):
    unfolding.know(["nano", "micro"]).foresee(1)
    knowing = unfolding.forecasts[0]
    unfolding.know(ALL).foresee(2)
    unfolding.forecasts = [replace(knowing, data=unfolding.forecasts[1].data)]
    assert unfolding.score().cells.empty


def test_a_cell_that_diverged_has_no_value_and_counts_neither_way(unfolding):
    unfolding.know(["nano", "micro"]).foresee(1)
    unfolding.know(ALL)
    index = next(i for i, cell in enumerate(unfolding.plan.cells) if cell.values["size"] == "tiny")
    unfolding.change(index, state="diverged", diverged_at=3, metrics={}, evaluation=None)
    found = unfolding.score()
    assert sorted(found.cells["outcome"]) == [HIT] * 3 + [NONE]
    assert found.gaps["outcome"].tolist() == [NONE]
    said = " ".join(sentences(found))
    assert "3 of 3 cells ended inside the 95 % interval" in said
    assert "1 ended without a value" in said


def test_forecasts_of_another_metric_are_not_scored(unfolding):
    unfolding.know(["nano", "micro"]).foresee(1)
    unfolding.forecasts = [replace(unfolding.forecasts[0], metric="val/loss")]
    found = unfolding.know(ALL).score()
    assert found.cells.empty
    assert list(sentences(found)) == []


def test_the_score_is_told_with_what_chance_would_give_and_when_it_was_made(unfolding):
    unfolding.know(["nano", "micro"]).foresee(1)
    cell = unfolding.forecasts[0].cells[0]
    missed = replace(cell, predicted=Predicted(value=1.0, low=0.5, high=2.0), power=None, state="running")
    unfolding.forecasts = [replace(unfolding.forecasts[0], cells=(missed, *unfolding.forecasts[0].cells[1:]))]
    found = unfolding.know(ALL).score()
    first, power, ratio, *_, made = sentences(found)
    assert first.startswith("3 of 4 cells ended inside the 95 % interval that was forecast; by chance it would be 3.8")
    assert "at least 3 in 95 % of studies" in first
    assert power.startswith("Power laws without a floor would have held ")
    assert ratio.startswith("1 of 1 ratios of two designs came to lie inside")
    assert "4 cells were forecast on 2026-01-01 00:00:00 UTC, by the code of commit c0ffee, before" in made
    assert "; 1 of them had begun" in made


def test_data_that_were_made_anew_are_told(unfolding):
    unfolding.know(["nano", "micro"]).foresee(1)
    unfolding.know(ALL)
    assert "other values" not in " ".join(sentences(unfolding.score()))
    index = next(i for i, cell in enumerate(unfolding.plan.cells) if cell.values["size"] == "nano")
    unfolding.change(index, metrics={FID: 81.0})
    assert list(sentences(unfolding.score()))[-1].endswith(". 1 cells that it was made from have other values now.")


def test_the_tables_for_people_say_the_same(unfolding):
    unfolding.know(["nano", "micro"]).foresee(1)
    found = unfolding.know(ALL).score()
    cells = readable_cells(found, ["normalization", "size"], metric_of(FID))
    assert cells["outcome"].tolist() == ["hit"] * 4
    assert cells["reached"].tolist()[:2] == ["32", "32.64"]
    assert cells.columns[:4].tolist() == ["normalization", "size", "seed", "forecast FID"]
    gaps = readable_gaps(found, metric_of(FID))
    assert gaps["value"].tolist() == ["subtraction against division"]
    assert gaps["reached"].tolist() == ["1.1"]
