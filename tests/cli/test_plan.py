"""`lab plan`: a study with its price and power, a file that runs, one document, and a pilot where there is none."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from lina_lab.analysis import power, study_plan
from lina_lab.analysis.table import results_table
from lina_lab.ledger.cells import create_cell
from lina_lab.ledger.plan import store_plan
from lina_lab.ledger.result import write_result
from lina_lab.sweep.planning import load_sweep
from tests.lab import lab
from tests.study import FID, PARAMETERS, PROVENANCE, FakeStudy, fake_fid, fake_result

pytestmark = pytest.mark.slow
BASE = Path(__file__).parents[2] / "experiments" / "digits.yaml"
SWEEP = f"""\
name: fake
question: Which is better?
experiment: {BASE}
axes:
  model.attention.normalization: [division, subtraction]
  model.size: [nano, micro]
seeds: [0, 1, 2]
"""
AXES = {"model.attention.normalization": ["division", "subtraction"], "model.size": ["nano", "micro"]}


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A sweep, and a pilot's table with noise of 5 % and a gap of 10 %."""
    monkeypatch.setattr(study_plan, "SEARCH", 100)
    monkeypatch.setattr(study_plan, "DRAWS", 200)
    (tmp_path / "fake.yaml").write_text(SWEEP)
    study = FakeStudy(tmp_path / "runs-of-pilot", [0, 1, 2], AXES)
    table = results_table(tmp_path / "runs-of-pilot", study.plan)
    table[FID] *= np.exp(0.05 * np.random.default_rng(0).normal(size=len(table)))
    table["flops_sampling"] = 100 * table["parameters"]
    table.to_csv(tmp_path / "pilot.csv", index=False)
    return tmp_path


def plan(folder, *words, code=0):
    return lab(folder, "plan", "fake.yaml", "--pilot", "pilot.csv", "--workers", "2", *words, code=code)


def test_one_document_has_candidates_a_choice_and_a_sweep_that_is_valid(folder):
    done = plan(folder, "--json", "--out", "next.yaml", "--max-seeds", "6")
    document = json.loads(done.stdout)
    assert (document["document"], document["version"]) == ("lab plan", 1)
    assert document["comparisons"] == 1
    hours = [candidate["hours"] for candidate in document["candidates"]]
    assert hours == sorted(hours)
    assert {len(candidate["seeds"]) for candidate in document["candidates"]} == {2, 3, 4, 5, 6}
    assert document["chosen"]["better"] >= 0.8 or document["answer"] == "best"
    text = (folder / "next.yaml").read_text()
    assert document["yaml"] == text
    cells = load_sweep(folder / "next.yaml").plan.cells
    assert len(cells) == document["chosen"]["cells"]
    assert {cell.seed for cell in cells} == set(document["chosen"]["seeds"])
    assert "is there already" in plan(folder, "--out", "next.yaml", code=2).stderr


def test_a_reader_gets_the_table_what_it_rests_on_and_the_file(folder):
    printed = plan(folder, "--max-seeds", "4").stdout
    for words in (
        "power: better",
        "normalization subtraction / division",
        "every cell is to be run",
        "name: fake-planned",
    ):
        assert words in printed
    assert "against which scales better: the learning rate was not tuned" in printed
    assert "no study fits" in plan(folder, "--budget", "1e-9").stdout


def test_without_a_pilot_a_pilot_is_printed(folder):
    printed = lab(folder, "plan", "fake.yaml", "--workers", "1").stdout
    assert "there is no pilot" in printed
    assert "name: fake-pilot" in printed
    document = json.loads(lab(folder, "plan", "fake.yaml", "--workers", "1", "--json").stdout)
    assert (document["answer"], document["chosen"]) == ("pilot", None)


def test_cells_of_the_sweep_that_are_done_are_its_pilot(folder):
    planned = load_sweep(folder / "fake.yaml")
    store_plan(folder / "runs", planned.plan, PROVENANCE)
    rng = np.random.default_rng(0)
    for cell in planned.plan.cells:
        fid = fake_fid(**cell.values, seed=cell.seed) * np.exp(0.05 * rng.normal())
        target = create_cell(folder / "runs", planned.experiments[cell.key])
        result = fake_result(cell.key, cell.seed, PARAMETERS[cell.values["size"]], fid)
        write_result(target, replace(result, flops=result.flops | {"sampling": 1e7}))
    done = lab(folder, "plan", "fake.yaml", "--workers", "1", "--json", "--max-seeds", "4")
    of = {(tuple(c["sizes"]), len(c["seeds"])): c for c in json.loads(done.stdout)["candidates"]}
    assert of[("nano", "micro"), 3]["to_run"] == 0
    assert of[("nano", "micro"), 4]["to_run"] == 4
    assert of[("nano", "micro"), 4]["hours"] > 0


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--about", "gate"], "normalization=subtraction"),
        (["--budget", "0"], "above 0"),
        (["--pilot", "nowhere"], "no sweep of that name"),
        (["--engine", "slurm"], "No such option"),
    ],
)
def test_a_mistake_is_one_message(folder, words, message):
    assert message in plan(folder, *words, code=2).stderr


def test_draws_of_the_command_are_those_of_the_page():
    assert (power.DRAWS, study_plan.SEARCH) == (2000, 500)
