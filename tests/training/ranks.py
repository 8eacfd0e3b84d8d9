"""Several processes that train cells together, one cell after the other, so that a test file starts them once."""

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import torch

from lina_lab.config.engine import Group
from lina_lab.data.datasets import load_dataset
from lina_lab.ledger import read_experiment
from lina_lab.training.recorder import Stopped
from lina_lab.training.train import Start, find_start, train
from lina_lab.training.trained import keep_trained

COUNTED = ("barrier", "broadcast", "reduce_scatter")
"""Starts of names of functions whose calls in a training are counted, into a file of the cell."""


def together(size: int, *jobs: tuple[Path, str, int]) -> None:
    """Train cells by `size` processes: (folder, strategy, step to pause at or 0)."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    shared = {"WORLD_SIZE": size, "LOCAL_WORLD_SIZE": size, "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
    shared |= {"GROUP_RANK": 0, "TORCHELASTIC_RUN_ID": "test"}
    words = json.dumps([[str(folder), strategy, until] for folder, strategy, until in jobs])
    processes = []
    for rank in range(size):
        own = {name: str(value) for name, value in (shared | {"RANK": rank, "LOCAL_RANK": rank}).items()}
        command = [sys.executable, __file__, words]
        processes.append(subprocess.Popen(command, env=os.environ | own, stderr=subprocess.PIPE, text=True))
    try:
        errors = [process.communicate(timeout=200)[1] for process in processes]
    finally:
        for process in processes:
            process.kill()
    assert not any(process.returncode for process in processes), "\n".join(errors)


def main() -> None:
    rank, size = int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"])
    torch.set_num_threads(1)
    torch.distributed.init_process_group("gloo")
    for folder, strategy, until in json.loads(sys.argv[1]):
        run(Path(folder), until, Group(size, strategy=strategy), rank)
    torch.distributed.destroy_process_group()


def run(folder: Path, until: int, group: Group, rank: int) -> None:
    experiment = read_experiment(folder)
    start = [find_start(folder, experiment) if rank == 0 else Start()]
    torch.distributed.broadcast_object_list(start)
    counts = {name: counted(name) for name in COUNTED}
    try:
        trained = train(folder, experiment, load_dataset(experiment.data), None, until, start[0], group, rank)
        if rank == 0:
            keep_trained(folder, trained)
    except Stopped:
        pass
    (folder / f"calls-{rank}-{start[0].step}.json").write_text(json.dumps({k: len(v) for k, v in counts.items()}))


def counted(start: str) -> list[str]:
    """Grows by one with every call of a function of torch.distributed whose name starts so."""
    calls: list[str] = []
    for name in [name for name in dir(torch.distributed) if name.startswith(start)]:
        function = getattr(torch.distributed, name)
        original = getattr(function, "original", function)

        def call(*arguments, name=name, original=original, **options):
            calls.append(name)
            return original(*arguments, **options)

        call.original = original
        setattr(torch.distributed, name, call)
    return calls


if __name__ == "__main__":
    main()
