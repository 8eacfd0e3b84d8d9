"""Claims: of two processes one works on a cell; the dead are told from the living, whatever the clock says."""

import multiprocessing
import os
import subprocess
import sys
import time

import pytest

from lina_lab.ledger import leases
from lina_lab.ledger.leases import Watch, attempts, claim, end_attempt, faults, forgive, last_attempt

ELSEWHERE = "another boot of another machine"


def on_another_machine(attempt):
    end_attempt(attempt._replace(machine=ELSEWHERE, host="elsewhere"), None)
    return last_attempt(attempt.path.parents[1])


def _try(folder, barrier, won):
    barrier.wait()
    if claim(folder, Watch()) is not None:
        won.put(os.getpid())
    barrier.wait()  # it lives until all have tried


@pytest.mark.slow
def test_of_many_processes_one_gets_the_cell(tmp_path):
    context = multiprocessing.get_context("fork")
    barrier, won = context.Barrier(8), context.Queue()
    processes = [context.Process(target=_try, args=(tmp_path, barrier, won)) for _ in range(8)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    assert won.get(timeout=60) == last_attempt(tmp_path).pid
    assert won.empty()
    assert len(attempts(tmp_path)) == 1


def test_a_cell_that_was_given_back_can_be_claimed_and_a_held_one_cannot(tmp_path):
    first = claim(tmp_path, Watch())
    assert claim(tmp_path, Watch()) is None
    first.end("stopped")
    assert claim(tmp_path, Watch()).attempt.number == 2
    assert [a.ended for a in attempts(tmp_path)] == ["stopped", None]


def test_a_process_of_this_machine_that_is_gone_is_seen_at_once(tmp_path):
    code = "import sys, pathlib; from lina_lab.ledger.leases import *; claim(pathlib.Path(sys.argv[1]), Watch())"
    subprocess.run([sys.executable, "-c", code, str(tmp_path)], check=True)
    assert last_attempt(tmp_path).ended is None
    assert claim(tmp_path, Watch()) is not None


def test_a_process_number_that_was_used_again_is_no_sign_of_life(tmp_path):
    held = claim(tmp_path, Watch()).attempt
    end_attempt(held._replace(born=held.born - 1), None)
    assert Watch().is_over(last_attempt(tmp_path))


def test_an_owner_elsewhere_is_gone_when_its_heart_has_stood_still_for_a_lease(tmp_path, monkeypatch):
    now = [1000.0]
    monkeypatch.setattr(leases.time, "monotonic", lambda: now[0])
    attempt = on_another_machine(claim(tmp_path, Watch()).attempt)
    watch = Watch(lease=60)
    assert not watch.is_over(attempt)
    now[0] += 59
    assert not watch.is_over(attempt)
    os.utime(attempt.path)
    now[0] += 59
    assert not watch.is_over(attempt)
    now[0] += 61
    assert watch.is_over(attempt)
    assert claim(tmp_path, watch).attempt.number == 2


@pytest.mark.parametrize("hours", [-10_000, 10_000])
def test_a_stepped_clock_neither_kills_nor_keeps_alive(tmp_path, monkeypatch, hours):
    now = [0.0]
    monkeypatch.setattr(leases.time, "monotonic", lambda: now[0])
    attempt = on_another_machine(claim(tmp_path, Watch()).attempt)
    watch = Watch(lease=60)
    assert not watch.is_over(attempt)
    stepped = time.time() + 3600 * hours
    os.utime(attempt.path, (stepped, stepped))
    now[0] = 59
    assert not watch.is_over(attempt)
    now[0] = 59 + 61
    assert watch.is_over(attempt)


@pytest.mark.slow
def test_an_owner_that_was_taken_over_stops_at_once(tmp_path):
    """It stood still for too long (a suspended machine) and wakes up."""
    code = (
        "import sys, pathlib, time; from lina_lab.ledger import leases; leases.HEARTBEAT_SECONDS = 0.1\n"
        "with leases.claim(pathlib.Path(sys.argv[1]), leases.Watch()):\n"
        "    print('held', flush=True); time.sleep(120); print('too late')"
    )
    command = [sys.executable, "-c", code, str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as owner:
        assert owner.stdout.readline() == "held\n"
        attempt = on_another_machine(last_attempt(tmp_path))
        watch = Watch(lease=-1)
        watch.is_over(attempt)
        watch.seen = {attempt.path: (attempt.path.stat().st_mtime_ns, 0.0)}
        assert claim(tmp_path, watch) is not None
        assert owner.wait(60) == 70
        assert owner.stdout.read() == ""


def test_a_heart_beats_while_the_cell_is_held(tmp_path, monkeypatch):
    monkeypatch.setattr(leases, "HEARTBEAT_SECONDS", 0.05)
    with claim(tmp_path, Watch()) as held:
        before = held.attempt.path.stat().st_mtime_ns
        deadline = time.monotonic() + 60
        while held.attempt.path.stat().st_mtime_ns == before:
            assert time.monotonic() < deadline
            time.sleep(0.05)


@pytest.mark.parametrize("content", ["", "{", "[]", '{"owner": 3', "\x00\x00", '{"unknown": 1}', "null"])
def test_a_damaged_attempt_is_waited_for_and_then_taken_over(tmp_path, monkeypatch, content):
    now = [0.0]
    monkeypatch.setattr(leases.time, "monotonic", lambda: now[0])
    held = claim(tmp_path, Watch()).attempt
    held.path.write_text(content)
    watch = Watch(lease=60)
    assert claim(tmp_path, watch) is None
    now[0] = 61
    assert claim(tmp_path, watch).attempt.number == 2


def test_faults_count_until_they_are_forgiven(tmp_path):
    for ended in ("failed", "stopped", "died", "refused"):
        claim(tmp_path, Watch()).end(ended, "because")
    assert faults(tmp_path) == 3
    forgive(tmp_path)
    assert faults(tmp_path) == 0
    assert [a.ended for a in attempts(tmp_path)] == ["failed", "stopped", "died", "refused"]
    claim(tmp_path, Watch()).end("failed")
    assert faults(tmp_path) == 1
