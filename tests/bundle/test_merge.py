"""A study made in parts is one study: what is merged is what was there, and nothing else is ever taken."""

import json
import multiprocessing
import os
import signal
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from lina_lab.bundle import merge as merging
from lina_lab.bundle.merge import MAY_DIFFER, joined, merge
from lina_lab.bundle.pack import pack
from lina_lab.bundle.verify import verified
from lina_lab.errors import LabError
from lina_lab.ledger.cells import read_experiment
from lina_lab.ledger.forecasts import forecasts_of
from lina_lab.ledger.leases import Watch, claim
from lina_lab.ledger.merged import without_weights
from lina_lab.ledger.part import parse_part
from lina_lab.ledger.plan import load_plan, store_plan
from lina_lab.ledger.result import is_done, read_result, write_result
from lina_lab.ledger.status import read_status
from lina_lab.provenance import Hardware
from tests.study import AXES, PROVENANCE, TWO, FakeStudy


@pytest.fixture
def there(tmp_path):
    return tmp_path / "there"


def part(made, *words: str):
    return parse_part(words, made.stored)


def bundled(made, tmp_path: Path, *words: str, name: str = "made.tar.gz"):
    pack(made.runs, load_plan(made.runs, "fake"), tmp_path / name, part(made, *words))
    return verified(tmp_path / name)


def files(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def results(runs: Path) -> dict[str, bytes]:
    return {path.parent.name: path.read_bytes() for path in runs.glob("*/result.json")}


def test_what_is_merged_into_an_empty_ledger_is_what_was_there(study, tmp_path, there, monkeypatch):
    made = study([0, 1])
    monkeypatch.setattr("platform.node", lambda: "elsewhere")
    found = merge(there, bundled(made, tmp_path))
    assert (found.added, found.there, found.running) == (16, 0, ())
    assert results(there) == results(made.runs)
    assert load_plan(there, "fake") == load_plan(made.runs, "fake")
    for cell in made.plan.cells:
        here, own = there / cell.key, made.runs / cell.key
        assert (here / "metrics.csv").read_bytes() == (own / "metrics.csv").read_bytes()
        assert (here / "config.yaml").read_bytes() == (own / "config.yaml").read_bytes()
        assert (read_status(here).state, read_status(here).host) == ("done", "elsewhere")
        assert (read_status(here).step, read_status(here).steps) == (100, 100)


def test_a_part_brings_the_experiments_of_all_cells_so_that_they_can_be_run_and_forecast(study, tmp_path, there):
    made = study([0, 1])
    found = merge(there, bundled(made, tmp_path, "seed=0"))
    assert found.added == 8
    others = [cell.key for cell in made.plan.cells if cell.seed == 1]
    assert {read_status(there / key).state for key in others} == {"waiting"}
    assert [read_experiment(there / key) for key in others] == [read_experiment(made.runs / key) for key in others]
    assert {path.name for key in others for path in (there / key).iterdir()} == {"config.yaml"}


def test_a_file_that_is_another_than_the_one_that_was_checked_is_refused(study, tmp_path, there):
    made = study([0, 1])
    whole = bundled(made, tmp_path, "seed=0")
    bundled(made, tmp_path, "seed=1")
    with pytest.raises(LabError, match=r"made\.tar\.gz: has changed since it was checked"):
        merge(there, whole)
    assert not results(there)


def test_the_same_file_again_adds_nothing(study, tmp_path, there):
    made = bundled(study(), tmp_path)
    merge(there, made)
    before = files(there)
    assert merge(there, made)[:3] == (0, 8, 0)
    assert files(there) == before


def test_parts_in_any_order_are_the_whole(study, tmp_path):
    made = study([0, 1])
    parts = [bundled(made, tmp_path, word, name=f"{word}.tar.gz") for word in ("seed=0", "seed=1")]
    ledgers = [tmp_path / "a", tmp_path / "b"]
    for runs, order in zip(ledgers, (parts, parts[::-1]), strict=True):
        assert [merge(runs, each).added for each in order] == [8, 8]
        assert results(runs) == results(made.runs)
        assert load_plan(runs, "fake") == load_plan(made.runs, "fake")


def test_another_result_of_a_cell_is_refused_by_cell_and_field_and_nothing_is_added(study, tmp_path, there):
    made = FakeStudy(tmp_path / "runs", [0], AXES)
    other = FakeStudy(there, [0], TWO)
    key = other.plan.cells[1].key
    own = read_result(there / key)
    write_result(there / key, replace(own, metrics=dict(own.metrics) | {"val/loss": 0.125}))
    before = files(there)
    with pytest.raises(LabError, match=rf"cell {key} has another result in .*: metrics.val/loss is 0.125, and 0.88"):
        merge(there, bundled(made, tmp_path))
    assert files(there) == before


def test_where_and_when_a_cell_ran_does_not_make_it_another(study, tmp_path, there):
    made = study(axes=TWO)
    bundle = bundled(made, tmp_path)
    merge(there, bundle)
    for cell in made.plan.cells:
        own = read_result(there / cell.key)
        elsewhere = replace(PROVENANCE, hardware=Hardware(cpu="another", cores=64), started="2027-01-01T00:00:00+00:00")
        write_result(there / cell.key, replace(own, name="other", seconds={"training": 1.0}, provenance=elsewhere))
    assert merge(there, bundle).there == 2
    assert {*MAY_DIFFER} == {"name", "seconds", "provenance", "continued"}


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"state": "diverged", "diverged_at": 7}, "state"),
        ({"steps": 99}, "steps"),
        ({"parameters": {"total": 1}}, "parameters.total"),
        ({"seed": 5}, "seed"),
    ],
)
def test_every_other_field_counts(study, tmp_path, there, change, field):
    made = study(axes=TWO)
    bundle = bundled(made, tmp_path)
    merge(there, bundle)
    key = made.plan.cells[0].key
    write_result(there / key, replace(read_result(there / key), **change))
    with pytest.raises(LabError, match=rf"cell {key} has another result in .*: {field} is "):
        merge(there, bundle)


def test_a_cell_that_is_running_here_is_left_alone_and_named(study, tmp_path, there):
    made = study(axes=TWO)
    key = made.plan.cells[0].key
    held = claim(there / key, Watch())
    found = merge(there, bundled(made, tmp_path))
    assert (found.added, found.running) == (1, (key,))
    assert [path.name for path in (there / key).iterdir()] == ["attempts"]
    held.end("stopped")
    assert merge(there, bundled(made, tmp_path)).added == 1


def test_a_damaged_result_here_is_set_aside_and_replaced(study, tmp_path, there):
    made = study(axes=TWO)
    key = made.plan.cells[0].key
    (there / key).mkdir(parents=True)
    (there / key / "result.json").write_text("{")
    assert merge(there, bundled(made, tmp_path)).added == 2
    assert (there / key / "result.json.damaged").read_text() == "{"
    assert is_done(there / key)


def test_weights_of_an_unfinished_cell_here_are_not_taken_for_those_of_the_result(study, tmp_path, there):
    made = study(axes=TWO)
    key = made.plan.cells[0].key
    (there / key / "end").mkdir(parents=True)
    (there / key / "end" / "end.json").write_text("{}")
    (there / key / "ema.safetensors").write_bytes(b"others")
    merge(there, bundled(made, tmp_path))
    assert not (there / key / "ema.safetensors").exists()
    assert not (there / key / "end").exists()
    assert (there / key / "ema.safetensors.1.damaged").read_bytes() == b"others"
    assert "which has no weights" in without_weights(there / key)


def test_measurements_that_a_merged_cell_lacks_are_added_and_its_own_stay(study, tmp_path, there):
    made = study(axes=TWO)
    merge(there, bundled(made, tmp_path))
    key = made.plan.cells[0].key
    (made.runs / key / "evaluations").mkdir()
    for name in ("0123456789ab", "ba9876543210"):
        (made.runs / key / "evaluations" / f"{name}.json").write_text('{"failed": "there"}')
    (there / key / "evaluations").mkdir()
    (there / key / "evaluations" / "0123456789ab.json").write_text('{"failed": "here"}')
    assert merge(there, bundled(made, tmp_path))[:3] == (0, 2, 1)
    assert "here" in (there / key / "evaluations" / "0123456789ab.json").read_text()
    assert "there" in (there / key / "evaluations" / "ba9876543210.json").read_text()


def test_another_plan_of_the_same_name_is_kept_beside_and_one_sweep_of_all_finds_both(study, tmp_path, there):
    made = FakeStudy(tmp_path / "runs", [0], AXES)
    other = FakeStudy(there, [0, 1], TWO)
    told = []
    merge(there, bundled(made, tmp_path), told.append)
    assert load_plan(there, "fake") == other.stored
    assert len(load_plan(there, made.stored.key).cells) == 8
    assert "another plan of this name, with 8 cells, where 4 are planned here" in told[0]
    whole = FakeStudy(tmp_path / "third", [0, 1], AXES).plan
    assert sum(is_done(there / cell.key) for cell in whole.cells if (there / cell.key).exists()) == 10


def test_plans_that_tuning_has_filled_apart_are_one_and_two_choices_are_refused(study):
    plan = study([0, 1]).stored
    nano, micro = ([c for c in plan.cells if c.values["size"] == size] for size in ("nano", "micro"))
    one, two = plan._replace(cells=nano), plan._replace(cells=micro)
    later = two._replace(provenance=replace(PROVENANCE, started="2027-01-01T00:00:00+00:00"))
    assert {c.key for c in joined(one, two).cells} == {c.key for c in plan.cells}
    assert joined(one, later) == joined(later, one)
    assert joined(plan, one) == joined(one, plan) == plan
    with pytest.raises(LabError, match=r"tuning has chosen cell .* here for .*, and ffffffffffff in the file"):
        joined(one, one._replace(cells=[nano[0]._replace(key="f" * 12)]))


def test_forecasts_come_along_and_stay_apart(study, tmp_path, there):
    from lina_lab.analysis.forecast import write_forecast

    made = FakeStudy(tmp_path / "runs", [0, 1], AXES | {"model.size": ["nano", "micro", "tiny"]})
    for index, cell in enumerate(made.plan.cells):
        if cell.values["size"] == "tiny":
            made.unfinish(index, "waiting")
    _, path = write_forecast(made.runs, made.stored)
    assert path is not None
    merge(there, bundled(made, tmp_path))
    assert forecasts_of(there, made.stored) == forecasts_of(made.runs, made.stored)
    assert len(forecasts_of(there, made.stored)) == 1


def stopped_at(there: Path, path: Path, number: int) -> None:
    """Merge, and die as a process dies at the writing of a file."""
    count, write = 0, merging.write_atomic

    def dies(*given: object) -> None:
        nonlocal count
        count += 1
        if count == number:
            os.kill(os.getpid(), signal.SIGKILL)
        write(*given)

    merging.write_atomic = dies
    merge(there, verified(path))


@pytest.mark.slow
def test_a_merge_that_is_killed_leaves_whole_cells_and_goes_on(study, tmp_path):
    made = study(axes=TWO)
    bundled(made, tmp_path)
    for number in (1, 2, 3, 4):
        there = tmp_path / f"there{number}"
        process = multiprocessing.get_context("fork").Process(
            target=stopped_at, args=(there, tmp_path / "made.tar.gz", number)
        )
        process.start()
        process.join()
        assert process.exitcode == -signal.SIGKILL
        done = [cell for cell in made.plan.cells if (there / cell.key).exists() and is_done(there / cell.key)]
        assert all((there / c.key / "metrics.csv").read_bytes() for c in done)
        assert len(load_plan(there, "fake").cells) == 2
        assert merge(there, verified(tmp_path / "made.tar.gz")).added == 2 - len(done)
        assert results(there) == results(made.runs)


def report(runs: Path, out: Path) -> dict[str, bytes]:
    from lina_lab.report.page import write_report

    write_report(runs, load_plan(runs, "fake"), out)
    return files(out)


@pytest.mark.slow
def test_a_report_after_merging_is_the_report_of_where_the_cells_ran(study, tmp_path, there):
    made = study([0, 1])
    made.add_points()
    draw = np.random.default_rng(0)
    for cell in made.plan.cells:
        folder = made.runs / cell.key
        gates = {"decoder.0.attention.gates.key": draw.normal(size=(1, 20)).astype("float32")}
        save_file(gates | {"other": draw.normal(size=3).astype("float32")}, folder / "ema.safetensors")
        (folder / "samples").mkdir()
        labels = draw.integers(0, 12, size=300)
        images = draw.integers(0, 256, size=(300, 8, 8, 3)).astype("uint8")
        numbers, classes = np.arange(300)[::-1], np.array([f"a {label}" for label in labels])
        np.savez(folder / "samples" / "generated.npz", arr_0=images, labels=labels, numbers=numbers, classes=classes)
        (folder / "trained.json").write_text(json.dumps({"seconds": 1.0, "sha256": "ab" * 32}))
    for cell in made.plan.cells[2:4]:
        own = read_result(made.runs / cell.key)
        record = {"seed": 0, "each": 1, "num_prompts": 5, "sampling": {"guidance_scale": 1.0}}
        metrics = dict(own.metrics) | {"eval/geneval/overall": 0.25}
        write_result(made.runs / cell.key, replace(own, metrics=metrics, others={"geneval": record}))
    for word in ("size=nano", "size=micro"):
        merge(there, bundled(made, tmp_path, word, name=f"{word}.tar.gz"))
    before, after = report(made.runs, tmp_path / "before"), report(there, tmp_path / "after")
    assert {"gates.parquet", "samples.npz", "evaluations.csv"} <= before.keys()
    assert {name for name in before if before[name] != after.get(name)} == set()
    assert before.keys() == after.keys()
    assert not list(there.glob("*/ema.safetensors"))


def test_a_plan_that_is_asked_for_by_its_id_goes_into_the_history_alone(study, tmp_path, there):
    made = study(axes=TWO)
    store_plan(made.runs, made.plan._replace(cells=made.plan.cells[:1]), PROVENANCE)
    pack(made.runs, load_plan(made.runs, made.stored.key), tmp_path / "old.tar.gz")
    merge(there, verified(tmp_path / "old.tar.gz"))
    assert len(load_plan(there, made.stored.key).cells) == 2
    with pytest.raises(LabError, match="no sweep of that name"):
        load_plan(there, "fake")
