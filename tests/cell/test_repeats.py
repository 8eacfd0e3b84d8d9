"""A cell that is measured by several generation seeds and at its own best guidance, on four steps of digits."""

import json
import threading

import numpy as np
import pytest

from lina_lab import cost
from lina_lab.analysis.guidance import read_points
from lina_lab.cell import reevaluate
from lina_lab.cell.reevaluate import load_measured_cell, measure_cell
from lina_lab.cell.repeats import generation_seed
from lina_lab.cell.run import run_cell
from lina_lab.config.experiment import Experiment
from lina_lab.config.settings import GUIDANCE_GRID, GUIDANCE_REFINEMENTS
from lina_lab.ledger.cells import create_cell
from lina_lab.ledger.metrics import read_metrics
from lina_lab.ledger.result import read_result
from lina_lab.ledger.status import read_status
from tests.cells import experiment

ASKED = {"num_samples": 50, "guidance": "best", "generation_seeds": 2}
FID = "eval/fid/digits-cnn"


def asked(**evaluation):
    values = experiment(training__steps=4).model_dump() | {"seed": 3, "evaluation": ASKED | evaluation}
    return Experiment.model_validate(values)


def fid_of(folder, seed, **sampling):
    """The FID as `lab evaluate` measures it."""
    return measure_cell(load_measured_cell(folder, {"sampling": sampling}, seed), lambda _: None).metrics[FID]


@pytest.fixture(scope="module")
def repeated(tmp_path_factory):
    folder = create_cell(tmp_path_factory.mktemp("runs"), asked())
    assert run_cell(folder) == "done"
    return folder


def test_generation_seeds_are_no_training_seeds_and_differ_from_cell_to_cell():
    seeds = [generation_seed(seed, number) for seed in range(1000) for number in range(20)]
    assert len({*seeds}) == len(seeds)
    assert [generation_seed(7, 0), *range(1000, 2000)].count(generation_seed(7, 1)) == 0


@pytest.mark.slow
def test_the_mean_and_sd_over_generation_seeds_are_those_of_measurements_by_hand(repeated):
    result = read_result(repeated)
    fids = [fid_of(repeated, seed) for seed in (3, 1_000_003)]
    assert result.metrics[FID] == fids[0]
    assert result.metrics["eval/fid_generation_mean/digits-cnn"] == pytest.approx(np.mean(fids))
    assert result.metrics["eval/fid_generation_sd/digits-cnn"] == pytest.approx(abs(fids[0] - fids[1]) / 2**0.5)
    assert result.evaluation.generation_seeds == [3, 1_000_003]


@pytest.mark.slow
def test_the_best_scale_is_that_of_the_search_and_its_fid_is_of_seeds_that_the_search_did_not_use(repeated):
    result, points = read_result(repeated), read_points(repeated / "guidance.csv")
    assert [point.guidance_scale for point in points][: len(GUIDANCE_GRID)] == list(GUIDANCE_GRID)
    assert len(points) == len(GUIDANCE_GRID) + GUIDANCE_REFINEMENTS
    best = min(points, key=lambda point: point.fid)
    assert result.metrics["eval/guidance_best/digits-cnn"] == best.guidance_scale
    record = result.evaluation.best_guidance
    assert {point.seed for point in points} == {record.seed} == {3}
    assert record.generation_seeds == [1_000_003, 2_000_003]
    assert record.searched == [point.guidance_scale for point in points]
    fids = [fid_of(repeated, seed, guidance_scale=best.guidance_scale) for seed in record.generation_seeds]
    assert result.metrics["eval/fid_best/digits-cnn"] == pytest.approx(np.mean(fids))
    assert result.metrics["eval/fid_best_generation_sd/digits-cnn"] == pytest.approx(np.std(fids, ddof=1))


@pytest.mark.slow
def test_all_of_it_is_in_the_metrics_and_its_seconds_are_told_apart(repeated):
    result = read_result(repeated)
    rows = {row.metric for row in read_metrics(repeated)}
    assert rows >= {name for name in result.metrics if "best" in name or "generation" in name}
    assert result.seconds["repeats"] > result.seconds["evaluation"]


@pytest.mark.slow
def test_by_default_a_cell_is_measured_once(whole):
    result = read_result(whole)
    assert not (whole / "evaluations").exists()
    assert not (whole / "guidance.csv").exists()
    assert "repeats" not in result.seconds
    assert result.evaluation.generation_seeds is None


@pytest.mark.slow
def test_a_cell_that_is_stopped_in_its_search_continues_and_measures_nothing_twice(repeated, tmp_path, monkeypatch):
    folder, stop, measured, measure = create_cell(tmp_path, asked()), threading.Event(), [], reevaluate.measure
    states = []

    def measure_and_stop(*arguments):
        states.append(json.loads((folder / "state.json").read_text()))
        measured.append(arguments[4])
        if len(measured) == 5:
            stop.set()
        return measure(*arguments)

    monkeypatch.setattr(reevaluate, "measure", measure_and_stop)
    assert run_cell(folder, stop) == "stopped"
    assert len(measured) == 5, "the first seed, and four points of the search"
    assert len(read_points(folder / "guidance.csv")) == 4
    assert [state["phase"] for state in states] == ["repeats"] + ["guidance"] * 4
    assert all(state["seconds_left"] > 0 for state in states)
    assert run_cell(folder) == "done"
    assert len(measured) == len(list((folder / "evaluations").glob("*.json")))
    shares = [state["share"] for state in states]
    assert shares == sorted(shares)
    assert read_status(folder).state == "done"
    ours, theirs = read_result(folder), read_result(repeated)
    kept = {name for name in theirs.metrics if name.startswith("eval/")}
    assert {name: ours.metrics[name] for name in kept} == {name: theirs.metrics[name] for name in kept}


def test_the_flops_of_repeats_are_those_of_the_images_that_are_drawn():
    """Guidance takes two passes, so that every scale but 1 costs the same."""
    own, guided = (cost.sampling_flops(experiment(sampling__guidance_scale=scale)) for scale in (1.0, 2.0))
    assert cost.repeats_flops(asked(guidance=None, generation_seeds=1)) == 0
    assert cost.repeats_flops(asked(guidance=None, generation_seeds=4)) == 50 * 3 * own
    search = own + (len(GUIDANCE_GRID) - 1 + GUIDANCE_REFINEMENTS) * guided
    assert cost.repeats_flops(asked(generation_seeds=1)) == pytest.approx(50 * (search + guided))
    assert asked().evaluation.num_measurements == 2 + 11 + 2
