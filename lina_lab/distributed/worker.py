"""One process of a group that trains a cell; `launch.group_command` starts it through torchrun."""

import json
import logging
import os
import signal
import sys
import threading
import traceback
from pathlib import Path
from typing import get_args

import torch

from lina_lab.checkpoints.ema_weights import keep_trained
from lina_lab.config.engine import Group, Strategy
from lina_lab.data.datasets import load_dataset
from lina_lab.distributed.launch import ENDED, POLL_SECONDS, STOP, GroupEnd
from lina_lab.errors import LabError
from lina_lab.files import write_new
from lina_lab.ledger.cells import read_experiment
from lina_lab.ledger.leases import Watch, last_attempt
from lina_lab.logs import show_logs
from lina_lab.signals import stop_on, write_stacks_on_signal
from lina_lab.training.recorder import Stopped
from lina_lab.training.train import Start, train

TAKEN_OVER = 70
"""Exit code of a process whose worker has lost the cell."""


def main() -> None:
    folder, checkpoint, step, until, attempt, devices, num_nodes, strategy = sys.argv[1:]
    known = next(s for s in get_args(Strategy) if s == strategy)
    group = Group(devices=int(devices), num_nodes=int(num_nodes), strategy=known)
    run(Path(folder), Start(Path(checkpoint) if checkpoint else None, int(step)), int(until), int(attempt), group)


def run(folder: Path, start: Start, until: int, attempt: int, group: Group) -> None:
    """Train as one process of a group. Rank 0 writes the weights, and how the group ended."""
    rank, stop = int(os.environ["RANK"]), stop_on(signal.SIGTERM)
    write_stacks_on_signal()
    show_logs(logging.DEBUG)  # its standard error is the cell's log.txt
    if not torch.cuda.is_available():
        torch.set_num_threads(1)
    if rank == 0:
        threading.Thread(target=_watch, args=(folder, attempt, stop), daemon=True).start()
    try:
        experiment = read_experiment(folder)
        trained = train(
            folder, experiment, load_dataset(experiment.data, pixels=False), stop, until, start, group, rank
        )
        if rank == 0:
            if trained.diverged_at is None:
                keep_trained(folder, trained)
            _end(folder, GroupEnd(trained.seconds, diverged_at=trained.diverged_at))
    except Stopped:
        if rank == 0:
            _end(folder, GroupEnd(stopped=True))
    except Exception as error:
        traceback.print_exc()
        reason = str(error) if isinstance(error, LabError) else f"rank {rank}: {type(error).__name__}: {error}"
        _end(folder, GroupEnd(failed=reason.splitlines()[0], refused=isinstance(error, LabError)))
        raise


def _end(folder: Path, end: GroupEnd) -> None:
    """Record how the group ended. Only the first record counts: a process that fails makes the others fail in turn."""
    write_new(folder / ENDED, json.dumps(end._asdict()))


def _watch(folder: Path, attempt: int, stop: threading.Event) -> None:
    """Pass on a stop from the worker. If the worker is gone another may take the cell, so exit before both write."""
    watch, idle = Watch(), threading.Event()
    while attempt == 0 or ((last := last_attempt(folder)) and last.number == attempt and not watch.is_over(last)):
        if (folder / STOP).exists():
            stop.set()
        idle.wait(POLL_SECONDS)
    # Not sys.exit: the main thread may be waiting in a collective operation that will never end.
    os._exit(TAKEN_OVER)


if __name__ == "__main__":
    main()
