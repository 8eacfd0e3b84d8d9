"""Start a group of processes that train one cell together, and wait for them.

This runs in the worker that holds the cell's lease. The two sides talk through files in the cell's folder, because
signals do not reach other nodes, and every node sees the folder:
    stop         written by the worker: write a checkpoint and end
    group.json   how the group ended, written by rank 0, or by the first process that failed
"""

import json
import os
import subprocess
import threading
import time
from pathlib import Path
from typing import NamedTuple

from lina_lab.config.engine import Group
from lina_lab.errors import LabError
from lina_lab.interpreter import command, environment, script
from lina_lab.ledger.leases import last_attempt
from lina_lab.provenance import changed_files
from lina_lab.training.recorder import Stopped
from lina_lab.training.train import Start

STOP, ENDED = "stop", "group.json"
POLL_SECONDS = 0.2
GRACE_SECONDS = 30.0
"""How long a terminated torchrun may take before it is killed."""


class GroupEnd(NamedTuple):
    """How a group ended: trained, stopped, diverged at a step, or failed with a reason."""

    seconds: float = 0.0
    stopped: bool = False
    diverged_at: int | None = None
    failed: str = ""
    refused: bool = False
    """Whether it failed by a user's mistake: a retry cannot help."""


def train_together(folder: Path, start: Start, stop: threading.Event, until: int, group: Group) -> GroupEnd:
    """Train a cell with a group; afterwards the EMA weights are in its folder.

    Raises:
        Stopped: when `stop` is set or step `until` is done, once a checkpoint is written.
        LabError: if the cell cannot be run as it is described, or by the code that this process has loaded.
        RuntimeError: if a process of the group failed.
    """
    # What an earlier group left would stop or end this one.
    (folder / STOP).unlink(missing_ok=True)
    (folder / ENDED).unlink(missing_ok=True)
    # The processes would load the changed files, and train with other code than this one samples and scores with.
    if changed := changed_files():
        raise LabError(f"files of the package changed since they were loaded ({', '.join(changed)}): start again")
    process = subprocess.Popen(group_command(folder, start, until, group), env=environment())
    try:
        while process.poll() is None:
            if stop.is_set():
                (folder / STOP).touch()
            time.sleep(POLL_SECONDS)
    finally:
        _end(process)
        (folder / STOP).unlink(missing_ok=True)
    ended = _read_end(folder, process.returncode)
    if ended.stopped:
        raise Stopped
    if ended.failed:
        raise LabError(ended.failed) if ended.refused else RuntimeError(ended.failed)
    return ended


def group_command(folder: Path, start: Start, until: int, group: Group) -> list[str]:
    """The command that starts a group: torchrun with `devices` processes, on several nodes once a node through srun."""
    attempt = last_attempt(folder)
    torchrun = command("torch.distributed.run", f"--nproc-per-node={group.devices}")
    rank = script("lina_lab.distributed.worker", str(folder), str(start.checkpoint or ""), str(start.step), str(until))
    rank += [str(attempt.number if attempt else 0), str(group.devices), str(group.num_nodes), group.strategy]
    if group.num_nodes == 1:
        return [*torchrun, "--standalone", *rank]
    job, nodes = os.environ.get("SLURM_JOB_ID"), f"--nodes={group.num_nodes}"
    if job is None:
        raise LabError(f"num_nodes {group.num_nodes}: a cell on several nodes runs inside a SLURM job: --engine slurm")
    # A port derived from the job, so that two jobs on one node do not join each other.
    endpoint = f"{os.environ.get('SLURMD_NODENAME', 'localhost')}:{20000 + int(job) % 40000}"
    meet = [f"--nnodes={group.num_nodes}", "--rdzv-backend=c10d", f"--rdzv-id={job}", f"--rdzv-endpoint={endpoint}"]
    srun = ["srun", nodes, f"--ntasks={group.num_nodes}", "--ntasks-per-node=1", "--kill-on-bad-exit=1"]
    return [*srun, *torchrun, *meet, *rank]


def _read_end(folder: Path, code: int) -> GroupEnd:
    try:
        return GroupEnd(**json.loads((folder / ENDED).read_text(encoding="utf-8")))
    except FileNotFoundError:
        how = f"was killed by signal {-code}" if code < 0 else f"ended with {code}"
        return GroupEnd(failed=f"a process that trains the cell is gone, and its group {how}; log.txt says more")


def _end(process: subprocess.Popen[bytes]) -> None:
    """End a group that still runs, as after an exception in the loop."""
    if process.poll() is None:
        process.terminate()
        try:
            process.wait(GRACE_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
