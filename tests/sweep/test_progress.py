"""What the display tells of a sweep, against runs whose every second is known."""

import heapq
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest

from lina_lab.cli.progress_display import PlainShow, summary
from lina_lab.ledger.result import Point, Result
from lina_lab.ledger.status import CellStatus
from lina_lab.provenance import Hardware, Provenance
from lina_lab.sweep import progress as progresses
from lina_lab.sweep.progress import Row, Snapshot, SweepProgress, Work
from tests.study import fake_result
from tests.sweep.test_local_engine import plan

STEPS, SECONDS = 6, {"start": 8.0, "training": 60.0, "sampling": 24.0, "evaluation": 4.0}
WHOLE = sum(SECONDS.values())
LOOK = 0.5


def cell_at(elapsed: float, first_step: int = 0) -> dict:
    """The state of a cell that a worker has had for so long; it goes on from a step."""
    training = SECONDS["training"] * (1 - first_step / STEPS)
    base = {"state": "running", "steps": STEPS, "time": elapsed // 1}  # written once a second
    elapsed = elapsed // 1
    if elapsed < SECONDS["start"]:
        return base | {"phase": "starting", "step": first_step}
    elapsed -= SECONDS["start"]
    if elapsed < training:
        step = first_step + elapsed / SECONDS["training"] * STEPS  # of a cell with very many steps
        told = {"seconds_left": training - elapsed} if elapsed else {}
        return base | {"phase": "training", "step": step} | told
    elapsed -= training
    if elapsed < SECONDS["sampling"]:
        told = (
            {"share": elapsed / SECONDS["sampling"], "seconds_left": SECONDS["sampling"] - elapsed} if elapsed else {}
        )
        return base | {"phase": "sampling", "step": STEPS} | told
    if elapsed < SECONDS["sampling"] + SECONDS["evaluation"]:
        return base | {"phase": "evaluating", "step": STEPS}
    return {"state": "done", "step": STEPS, "steps": STEPS}


class Run:
    """Workers that take cells in turn, each with its known seconds; what is told of them at every moment."""

    def __init__(self, monkeypatch, num_cells: int, num_workers: int, done: int = 0, first_step: int = 0) -> None:
        self.planned = plan(training__learning_rate=[1e-3 * (i + 1) for i in range(num_cells)])
        self.keys = [cell.key for cell in self.planned.plan.cells]
        self.todo, self.now, self.first_step = self.keys[done:], 0.0, first_step
        self.whole = WHOLE - SECONDS["training"] * first_step / STEPS
        free = [0.0] * num_workers
        self.begin = {}
        for key in self.todo:
            self.begin[key] = heapq.heappop(free)
            heapq.heappush(free, self.begin[key] + self.whole)
        self.end = max(free)
        monkeypatch.setattr(progresses, "read_status", lambda folder: CellStatus(**self.state(folder.name)))
        monkeypatch.setattr(progresses.time, "monotonic", lambda: self.now)
        self.progress = SweepProgress(Path("runs"), num_workers)
        self.progress.planned = self.planned

    def state(self, key: str) -> dict:
        if key not in self.begin:
            return {"state": "done"}
        if self.now < self.begin[key]:
            return {"state": "waiting", "step": self.first_step, "steps": STEPS}
        return cell_at(self.now - self.begin[key], self.first_step)

    def left(self) -> list[tuple[float, float | None]]:
        """At every look: the seconds that are left, and those that are told."""
        told = []
        while self.now < self.end:
            at_work = [k for k in self.todo if self.begin[k] <= self.now < self.begin[k] + self.whole]
            waiting = [k for k in self.todo if self.now < self.begin[k]]
            work = Work([Path(k) for k in at_work], [], [Path(k) for k in waiting])
            told.append((self.end - self.now, self.progress.snapshot(work).seconds_left))
            self.now += LOOK
        return told


@pytest.mark.slow
@pytest.mark.parametrize(("num_cells", "num_workers"), [(1, 1), (5, 2), (7, 3)])
@pytest.mark.parametrize("done", [0, 40])
@pytest.mark.parametrize("first_step", [0, 3])
def test_the_time_that_is_left_is_right_once_every_part_has_been_seen(
    monkeypatch, num_cells, num_workers, done, first_step
):
    """Whatever was done before: it adds neither time nor speed."""
    run = Run(monkeypatch, done + num_cells, num_workers, done, first_step)
    told = run.left()
    unseen = SECONDS["evaluation"] if num_cells == 1 else 0.0
    seen = [pair for pair in told if run.end - pair[0] > run.whole + 1] or told[-20:]
    for left, said in seen:
        assert said == pytest.approx(left, abs=2 + 0.05 * left + unseen)


def test_before_the_first_step_nothing_is_told_and_from_then_on_it_moves(monkeypatch):
    run = Run(monkeypatch, 4, 2)
    told = run.left()
    start = int(SECONDS["start"] / LOOK)
    assert [said for _, said in told[:start]] == [None] * start
    said = [said for _, said in told[start + 6 :]]
    assert None not in said
    assert all(after < before for before, after in zip(said[:40], said[4:44], strict=True))


@pytest.mark.slow
def test_earlier_results_of_this_machine_tell_the_time_before_the_first_step(monkeypatch):
    run = Run(monkeypatch, 4 + 10, 2, done=10)
    seconds = {name: SECONDS[name] for name in ("training", "sampling", "evaluation")}
    hardware = Hardware(cpu="this", cores=2)

    def made_on(hardware: Hardware) -> Result:
        return replace(fake_result("", 0, 1, 1.0), seconds=seconds, provenance=Provenance(hardware=hardware))

    monkeypatch.setattr(progresses, "hardware", lambda: hardware)
    monkeypatch.setattr(progresses, "read_result", lambda folder: made_on(hardware))
    told = run.left()
    assert told[0][1] == pytest.approx(2 * (WHOLE - SECONDS["start"]))
    monkeypatch.setattr(progresses, "read_result", lambda folder: made_on(Hardware(cpu="other", cores=2)))
    assert Run(monkeypatch, 4 + 10, 2, done=10).left()[0][1] is None


def test_earlier_results_with_points_and_repeats_tell_the_pace_of_both(monkeypatch):
    run, hardware = Run(monkeypatch, 1 + 1, 1, done=1), Hardware(cpu="a cpu", cores=2)
    spent = {"training": 60.0, "sampling": 20.0, "evaluation": 4.0, "repeats": 50.0}
    seconds = {"training": 30.0, "sampling": 20.0, "evaluation": 3.0}
    point = Point(at=0.5, step=3, samples_seen=24, flops={}, seconds=seconds, metrics={}, weights_sha256="c0ffee")
    result = replace(
        fake_result("", 0, 1, 1.0), seconds=spent, points=(point,), provenance=Provenance(hardware=hardware)
    )
    monkeypatch.setattr(progresses, "hardware", lambda: hardware)
    monkeypatch.setattr(progresses, "read_result", lambda folder: result)
    run.progress.snapshot(Work([], [], []))
    known = [run.progress.before.seconds[part, "nano"] for part in range(5)]
    assert known == [0.0, 60.0, 40.0, 7.0, 50.0], "a point trains nothing of its own, and is not repeated"


def test_before_the_first_step_the_time_runs_down(monkeypatch):
    run = Run(monkeypatch, 2 + 10, 1, done=10)
    told = run.left()
    second = [said for left, said in told if WHOLE - SECONDS["start"] < left <= WHOLE]
    assert all(after < before for before, after in pairwise(second))


def test_a_cell_that_another_process_works_on_takes_no_worker_of_ours(monkeypatch):
    run = Run(monkeypatch, 2, 1)
    run.now = 20.0
    first, second = (Path(key) for key in run.keys)
    run.begin[second.name] = 0.0
    run.progress.snapshot(Work([first], [second], []))
    run.now += 2
    said = run.progress.snapshot(Work([first], [second], [])).seconds_left
    assert said == pytest.approx(SECONDS["training"] - 14, abs=SECONDS["sampling"] * 1.5 + 4)
    assert said == run.progress.snapshot(Work([first], [], [])).seconds_left


ROWS = [
    Row("division", 0, "done", "", 6, 6, 0.1, None, ""),
    Row("division", 1, "waiting", "training", 3, 6, 0.1, None, "stopped; it will continue"),
    Row("division", 2, "waiting", "", 0, 6, None, None, ""),
]


def test_the_last_word_of_a_sweep_that_is_stopped_says_so_and_how_it_goes_on(capsys):
    last = Snapshot(ROWS, 12.0, 99.0, stopped=True)
    expected = "stopped, the same command continues: 1 done, 1 stopped, 1 waiting of 3 cells; 0:12 passed"
    assert summary(last) == expected
    PlainShow()(last, [])
    assert capsys.readouterr().out.rstrip().endswith(expected)


def test_a_time_that_is_not_known_is_not_told():
    assert summary(Snapshot(ROWS, 12.0, None)).endswith("0:12 passed, time left not known before the first steps")
    assert summary(Snapshot(ROWS, 12.0, 20.4)).endswith("0:12 passed, about 0:20 left")
    assert summary(Snapshot(ROWS, 12.0, 0.0)).endswith("0:12 passed")


def test_the_table_on_a_terminal_shows_what_was_stopped(monkeypatch):
    from rich.console import Console

    from lina_lab.cli.progress_display import LiveShow

    show = LiveShow()
    console = Console(width=100, height=20, force_terminal=True, record=True)
    show.live.console = console
    with show:
        show(Snapshot(ROWS, 12.0, 99.0), [])
        show(Snapshot(ROWS, 12.0, 99.0, stopped=True), [])
    last = console.export_text().rsplit("cell ", 1)[1]
    assert "stopped  3/6" in " ".join(last.split()).replace("stopped 3/6", "stopped  3/6")
    assert "stopped, the same command continues: 1 done" in last
    assert "left\n" not in last.split("stopped, the same")[1]


def test_a_notebook_has_one_table_that_is_updated_and_not_too_often(monkeypatch):
    IPython = pytest.importorskip("IPython")
    from lina_lab.cli.progress_display import NotebookShow

    updates = []

    class Handle:
        def update(self, table):
            updates.append(table)

    def display(table, *, display_id):
        updates.append(table)
        return Handle() if display_id else None

    monkeypatch.setattr(IPython.display, "display", display)
    row = Row("[red]a[/]", 0, "running", "training", 3, 9, 0.5, 60.0, "")
    show = NotebookShow()
    for second in range(3):
        show(Snapshot([row], float(second), None), [])
    show(Snapshot([row], 3.0, None, stopped=True), [])
    assert len(updates) == 2
    html = updates[-1]._repr_mimebundle_([], [])["text/html"]
    assert "[red]a[/]" in html
    assert "stopped, the same command continues: 1 stopped of 1 cells" in html


def test_a_cell_that_searches_its_best_guidance_has_all_else_behind_it():
    status = CellStatus(state="running", phase="guidance", step=6, steps=6, share=0.25)
    assert progresses.position(status) == (4, (0.0, 0.0, 0.0, 0.0, 0.75))
    assert progresses.position(replace(status, phase="sampling")) == (2, (0.0, 0.0, 0.75, 1.0, 1.0))
