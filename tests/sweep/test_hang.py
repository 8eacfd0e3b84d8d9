"""Workers that hang: told from slow ones, made to say where they are, ended, and their cells tried again."""

import json
import os
import signal
import subprocess
import sys
import time
from collections import deque
from pathlib import Path

import pytest

from lina_lab.config.engine import Group, Limits
from lina_lab.ledger.cells import create_cell
from lina_lab.ledger.leases import Watch, _born, attempts, claim, last_attempt
from lina_lab.ledger.status import read_status, write_state
from lina_lab.sweep import hang
from lina_lab.sweep.hang import Watched, family, processor_seconds
from lina_lab.sweep.local_engine import Engine
from tests.sweep.test_local_engine import BASE, metrics, plan, run

LONG = BASE | {"training": BASE["training"] | {"steps": 60}}


class Clock:
    """The watch's time, and its worker's processor time, in our hands."""

    def __init__(self, monkeypatch) -> None:
        self.now, self.used, self.ended = 0.0, 0.0, []
        monkeypatch.setattr(hang.time, "monotonic", lambda: self.now)
        monkeypatch.setattr(hang, "processor_seconds", lambda pid: self.used)
        monkeypatch.setattr(hang, "_ask_to_end", lambda folder, pid, why: self.ended.append((self.now, why)))
        monkeypatch.setattr(hang, "send", lambda number, pids: self.ended.append((self.now, number)))

    def watch(self, watched: Watched, folder: Path, seconds: float, working: float = 0.0) -> None:
        """Look every five seconds, at a worker that takes so much of a core."""
        end = self.now + seconds
        while self.now < end:
            passed = min(5.0, end - self.now)
            self.now += passed
            self.used += passed * working
            watched.look({folder: 1})


@pytest.fixture
def clock(monkeypatch):
    return Clock(monkeypatch)


@pytest.fixture
def cell(tmp_path):
    claim(tmp_path, Watch())
    return tmp_path


def begun(folder: Path, minutes: float = 20) -> Watched:
    watched = Watched(minutes)
    watched.begin(folder)
    return watched


def tell(folder: Path, **state: object) -> None:
    """A sign, in a clock of files that is as fine as it may be."""
    before = (folder / "state.json").stat().st_mtime_ns if (folder / "state.json").exists() else 0
    write_state(folder, **state)
    os.utime(folder / "state.json", ns=(before + 1, before + 1))


def test_a_worker_that_makes_no_step_is_ended_after_the_limit_and_made_to_after_its_grace(clock, cell):
    watched = begun(cell)
    tell(cell, phase="training", step=7, steps=100, step_seconds=2.0)
    clock.watch(watched, cell, 1199, working=1.0)  # processor time is no sign while steps are counted
    assert not clock.ended
    clock.watch(watched, cell, 6)
    assert clock.ended == [(1205, "no step for 20 minutes (training)")]
    clock.watch(watched, cell, hang.GRACE_SECONDS - 6)
    assert len(clock.ended) == 1
    clock.watch(watched, cell, 7)
    assert clock.ended[1][1] == signal.SIGKILL
    assert watched.hung(cell) == "no step for 20 minutes (training)"
    assert watched.hung(cell) == ""


def test_a_step_is_a_sign_and_begins_the_limit_anew(clock, cell):
    watched = begun(cell, minutes=1)
    for step in range(1, 11):
        tell(cell, phase="training", step=step, steps=100, step_seconds=40.0)
        clock.watch(watched, cell, 59)
    assert not clock.ended


@pytest.mark.parametrize(("step_seconds", "ended_after"), [(1.0, 60), (30.0, 300)])
def test_the_limit_is_never_less_than_ten_steps_of_the_cell(clock, cell, step_seconds, ended_after):
    watched = begun(cell, minutes=1)
    tell(cell, phase="training", step=7, steps=100, step_seconds=step_seconds)
    clock.watch(watched, cell, ended_after - 1)
    assert not clock.ended
    clock.watch(watched, cell, 6)
    assert clock.ended


@pytest.mark.slow
@pytest.mark.parametrize("phase", ["starting", "validating", "decoding", "evaluating"])
def test_where_no_steps_are_counted_a_worker_that_computes_is_at_work_and_one_that_only_waits_is_not(
    clock, cell, phase
):
    watched = begun(cell)
    tell(cell, phase=phase, step=0, steps=100)
    clock.watch(watched, cell, 3600, working=0.05)
    assert not clock.ended
    clock.watch(watched, cell, 2 * 1200, working=0.005)
    assert clock.ended[0][1] == f"no step for 20 minutes ({phase})"


def test_a_worker_that_never_says_a_word_is_ended_too(clock, cell):
    watched = begun(cell)
    clock.watch(watched, cell, 1205)
    assert clock.ended[0][1] == "no step for 20 minutes (starting)"


def test_time_in_which_the_watcher_stood_still_does_not_count(clock, cell):
    """Ctrl-Z and fg, or a machine that slept: its workers stood still as well."""
    watched = begun(cell)
    tell(cell, phase="training", step=7, steps=100, step_seconds=2.0)
    clock.watch(watched, cell, 10)
    clock.now += 8 * 3600
    clock.watch(watched, cell, 60)
    assert not clock.ended


def test_without_a_limit_nobody_is_ended(clock, cell):
    watched = begun(cell, minutes=0)
    clock.watch(watched, cell, 3600)
    assert not clock.ended


def test_a_family_is_a_process_and_what_it_started_and_nothing_else():
    code = "import subprocess, sys; subprocess.Popen(['sleep', '60']); print('up', flush=True); sys.stdin.read()"
    with subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        process.stdout.readline()
        found = family(process.pid)
        names = [Path(f"/proc/{pid}/comm").read_text().strip() for pid in found]
        assert (found[0], len(found), names[1]) == (process.pid, 2, "sleep")
        hang.send(signal.SIGKILL, found)
    assert family(0) == []


@pytest.mark.slow
def test_processor_seconds_count_what_is_computed_and_not_what_is_waited():
    """Of a process of the test's own: others of this one may be at work."""
    code = (
        "import sys, time\nprint('up', flush=True)\nfor line in sys.stdin:\n"
        "    end = time.process_time() + float(line)\n    while time.process_time() < end:\n        pass\n"
        "    print('done', flush=True)"
    )
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    with subprocess.Popen([sys.executable, "-c", code], **pipes) as process:
        process.stdout.readline()
        before = processor_seconds(process.pid)
        time.sleep(0.2)
        rested = processor_seconds(process.pid)
        process.stdin.write("0.3\n")
        process.stdin.flush()
        process.stdout.readline()
        worked = processor_seconds(process.pid)
        process.stdin.close()
    assert rested - before < 0.1
    assert worked - rested >= 0.2


def disturb_once(folder: Path, disturb):
    """A tick that does something to the worker of a cell, once, when it has made a step."""

    def tick(new):
        last, status = last_attempt(folder), read_status(folder)
        if last is not None and last.number == 1 and last.ended is None and status.step > 0 and not done:
            done.append(last.pid)
            disturb(last.pid)

    done: list[int] = []
    return tick


@pytest.mark.slow
@pytest.mark.parametrize("resumes", [True, False])
def test_a_stopped_worker_is_ended_and_its_cell_tried_again_to_the_same_bits(tmp_path, monkeypatch, resumes):
    """One goes on when it is told to, writes its stack and a checkpoint; the other stays as it is, and is killed."""
    monkeypatch.setattr(hang, "GRACE_SECONDS", 60.0 if resumes else 1.0)
    if not resumes:
        monkeypatch.setattr(hang.signal, "SIGCONT", 0)
    whole, stopped = (create_cell(tmp_path / name, plan(LONG).own_experiments[0]) for name in "ab")
    run([whole])
    engine = Engine(deque([stopped]), [{}], retries=1, limits=Limits(hang_minutes=0.1))
    (ended,) = engine.run(disturb_once(stopped, lambda pid: os.kill(pid, signal.SIGSTOP)))
    assert ended.state == "done"
    first, second = attempts(stopped)
    assert (first.ended, second.ended) == ("died", "done")
    assert first.reason.startswith("no step for 0.1")
    assert first.is_fault
    log = (stopped / "log.txt").read_text()
    assert f"{first.reason}: processes {first.pid} are ended; their stacks:" in log
    assert ("most recent call first" in log) == resumes
    assert metrics(stopped) == metrics(whole)
    assert (stopped / "ema.safetensors").read_bytes() == (whole / "ema.safetensors").read_bytes()


@pytest.mark.slow
def test_a_group_of_which_a_process_is_stopped_is_ended_whole(tmp_path, monkeypatch):
    monkeypatch.setattr(hang, "GRACE_SECONDS", 1.0)
    folder, seen = create_cell(tmp_path, plan(LONG).own_experiments[0]), []

    def stop_the_last(pid: int) -> None:
        seen.extend(family(pid))
        os.kill(max(seen), signal.SIGSTOP)

    engine = Engine(deque([folder]), [{}], 0, Group(2), limits=Limits(hang_minutes=0.1))
    (ended,) = engine.run(disturb_once(folder, stop_the_last))
    assert (ended.state, last_attempt(folder).ended) == ("failed", "died")
    assert ended.reason.startswith("no step for ")
    assert len(seen) >= 4, "a worker, torchrun and two ranks"
    deadline = time.monotonic() + 120
    while alive := [pid for pid in seen if _born(pid)]:
        assert time.monotonic() < deadline, alive
        time.sleep(0.1)
    assert "most recent call first" in (folder / "log.txt").read_text()


@pytest.mark.slow
def test_a_cell_tells_the_time_of_its_steps_only_while_it_makes_them(tmp_path):
    """It is what the limit is held against: told in a validation it would be taken for a hang's."""
    seen = set()

    def look(new):
        try:
            state = json.loads((folder / "state.json").read_text())
        except OSError:
            return
        seen.add((state.get("phase", ""), "step_seconds" in state))

    folder = create_cell(tmp_path, plan(LONG).own_experiments[0])
    run([folder], look)
    assert not {("starting", True), ("validating", True), ("evaluating", True)} & seen
