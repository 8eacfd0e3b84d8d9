"""Cells that fail alike before their first step stop a sweep; nothing of them is counted or lost."""

import os
from collections import deque
from pathlib import Path

import pytest

from lina_lab.cli.launch import print_broken
from lina_lab.config.engine import Limits
from lina_lab.ledger.cells import create_cell
from lina_lab.ledger.leases import Watch, attempts, claim, faults
from lina_lab.ledger.plan import load_plan, store_plan
from lina_lab.ledger.status import read_status, write_state
from lina_lab.provenance import Provenance
from lina_lab.sweep.alike import Alike, FailedAlike
from lina_lab.sweep.local_engine import Engine
from lina_lab.sweep.slurm_engine import failed_in_array
from tests.sweep.test_local_engine import plan

FOUR = {"model__attention__normalization": ["division", "subtraction"], "model__attention__conv_kernel": [0, 3]}


def folders(runs: Path, count: int) -> list[Path]:
    return [runs / f"{number:012x}" for number in range(count)]


def noted(*ends: tuple[Path, str, bool]) -> Alike:
    alike = Alike()
    for folder, reason, early in ends:
        alike.note(folder, reason, early=early)
    return alike


def test_three_cells_in_a_row_are_too_many_and_two_or_one_three_times_are_not(tmp_path):
    a, b, c = folders(tmp_path, 3)
    noted((a, "KeyError: 'x'", True), (b, "KeyError: 'x'", True)).check()
    noted(*[(a, "KeyError: 'x'", True)] * 3).check()
    with pytest.raises(FailedAlike, match=r"3 cells in a row failed .*: KeyError: 'x'") as broken:
        noted((a, "KeyError: 'x'", True), (b, "KeyError: 'x'", True), (c, "KeyError: 'x'", True)).check()
    assert broken.value.folders == [a, b, c]


def test_a_cell_that_came_further_or_failed_otherwise_breaks_the_row(tmp_path):
    a, b, c, d = folders(tmp_path, 4)
    fail = "KeyError: 'x'"
    noted((a, fail, True), (b, fail, True), (c, "", False), (d, fail, True)).check()
    noted((a, fail, True), (b, fail, True), (c, fail, False), (d, fail, True)).check()
    noted((a, fail, True), (b, fail, True), (c, "KeyError: 'y'", True), (d, fail, True)).check()


def test_a_kill_from_outside_is_no_error_and_a_crash_is(tmp_path):
    cells = folders(tmp_path, 3)
    noted(*[(folder, "its process was killed by SIGKILL", True) for folder in cells]).check()
    with pytest.raises(FailedAlike, match="SIGSEGV"):
        noted(*[(folder, "its process was killed by SIGSEGV", True) for folder in cells]).check()


def test_an_error_is_the_same_whatever_cell_address_or_size_it_names(tmp_path):
    cells = folders(tmp_path, 3)
    reasons = [
        f"OutOfMemoryError: {folder}: tried to allocate {20 + i}.50 MiB at 0x7f{i}a, process {100 + i}"
        for i, folder in enumerate(cells)
    ]
    with pytest.raises(FailedAlike, match="process 102"):
        noted(*[(folder, reason, True) for folder, reason in zip(cells, reasons, strict=True)]).check()


def broken_cells(runs: Path) -> list[Path]:
    """Four cells whose data no longer are what they began with: each fails with the same error at its start."""
    store_plan(runs, plan(**FOUR).plan, Provenance())
    made = [create_cell(runs, experiment) for experiment in plan(**FOUR).own_experiments]
    for folder in made:
        (folder / "data.sha256").write_text("other data")
    return made


@pytest.mark.slow
def test_a_broken_environment_is_tried_three_times_and_the_same_command_goes_on_when_it_is_mended(tmp_path, capsys):
    """Even where there are no retries: the failures are forgiven."""
    cells = broken_cells(tmp_path)
    with pytest.raises(FailedAlike, match=r"before their first step: .*began with other images") as broken:
        Engine(deque(cells), [{}], 0).run(lambda new: None)
    assert broken.value.folders == cells[:3]
    assert [len(attempts(folder)) for folder in cells] == [1, 1, 1, 0]
    assert [faults(folder) for folder in cells] == [0, 0, 0, 0]
    assert read_status(cells[0]).state == "waiting"
    print_broken(load_plan(tmp_path, "test"), broken.value)
    told = capsys.readouterr().out
    assert "test: stopped: 3 cells in a row failed with the same error before their first step: " in told
    assert "in common: nothing that the other cells have not" in told
    for folder in cells:
        (folder / "data.sha256").unlink()
    ended = Engine(deque(cells), [{}, {}], 0).run(lambda new: None)
    assert [finished.state for finished in ended] == ["done"] * 4


@pytest.mark.slow
def test_with_keep_going_every_cell_is_tried(tmp_path):
    cells = broken_cells(tmp_path)
    ended = Engine(deque(cells), [{}], 0, limits=Limits(keep_going=True)).run(lambda new: None)
    assert [finished.state for finished in ended] == ["failed"] * 4
    assert [faults(folder) for folder in cells] == [1] * 4


def test_what_the_cells_have_in_common_and_others_have_not_is_named(tmp_path, capsys):
    axes = {"model__attention__normalization": ["division", "softmax"], "training__learning_rate": [1e-3, 2e-3, 3e-3]}
    store_plan(tmp_path, plan(**axes).plan, Provenance())
    softmax = [cell.key for cell in plan(**axes).plan.cells if cell.values["normalization"] == "softmax"]
    print_broken(load_plan(tmp_path, "test"), FailedAlike([tmp_path / key for key in softmax], "KeyError: 'x'"))
    told = capsys.readouterr().out
    assert "\nin common: normalization=softmax\n" in told
    assert all(key in told for key in softmax)


def test_the_jobs_of_an_array_learn_from_each_other(tmp_path, monkeypatch):
    """Three tasks have failed at their start; the next one does not try, in this array and in no other."""
    store_plan(tmp_path, plan(**FOUR).plan, Provenance())
    cells = [create_cell(tmp_path, experiment) for experiment in plan(**FOUR).own_experiments]
    for task, folder in enumerate(cells[:3]):
        in_task(monkeypatch, 12, task)
        claim(folder, Watch()).end("failed", "KeyError: 'x'")
        write_state(folder, phase="starting")
    in_task(monkeypatch, 13, 3)
    failed_in_array(tmp_path, "test").check()
    in_task(monkeypatch, 12, 3)
    with pytest.raises(FailedAlike, match="KeyError: 'x'"):
        failed_in_array(tmp_path, "test").check()
    write_state(cells[2], phase="training", step=1, steps=6)
    failed_in_array(tmp_path, "test").check()


def in_task(monkeypatch, array: int, task: int) -> None:
    for name, value in {"JOB_ID": array + task, "ARRAY_JOB_ID": array, "ARRAY_TASK_ID": task}.items():
        monkeypatch.setitem(os.environ, f"SLURM_{name}", str(value))
