"""Several processes that train cells together, one cell after the other, so that a test file starts them once."""

import json
import multiprocessing
import os
import socket
import subprocess
import sys
from multiprocessing import connection
from pathlib import Path

import torch

from lina_lab.checkpoints.ema_weights import keep_trained
from lina_lab.config.engine import Group, Strategy
from lina_lab.data.datasets import load_dataset
from lina_lab.ledger.cells import read_experiment
from lina_lab.training.recorder import Stopped
from lina_lab.training.train import Start, find_start, train

COUNTED = ("barrier", "broadcast", "reduce_scatter")
"""Starts of names of functions whose calls in a training are counted, into a file of the cell."""


def together(*groups: tuple[int, list[tuple[Path, str, int]]]) -> None:
    """Train cells by groups, one after the other: of each the size, and for each cell folder, strategy, pause or 0."""
    words = json.dumps([[size, [[str(folder), *how] for folder, *how in jobs]] for size, jobs in groups])
    subprocess.run([sys.executable, __file__, words], check=True, timeout=600)


def main() -> None:
    """Torch is imported once, and each process forks before it is used."""
    context = multiprocessing.get_context("fork")
    for size, jobs in json.loads(sys.argv[1]):
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        processes = [context.Process(target=work, args=(rank, size, port, jobs)) for rank in range(size)]
        for process in processes:
            process.start()
        running = list(processes)
        while running and not any(process.exitcode for process in processes):
            connection.wait([process.sentinel for process in running])
            running = [process for process in running if process.is_alive()]
        for process in running:
            process.kill()  # they would wait for one that failed
        if any(process.exitcode for process in processes):
            sys.exit(1)


def work(rank: int, size: int, port: int, jobs: list[tuple[str, Strategy, int]]) -> None:
    shared = {"WORLD_SIZE": size, "LOCAL_WORLD_SIZE": size, "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
    own = {"RANK": rank, "LOCAL_RANK": rank, "GROUP_RANK": 0, "TORCHELASTIC_RUN_ID": "test"}
    os.environ.update({name: str(value) for name, value in (shared | own).items()})
    torch.set_num_threads(1)
    torch.distributed.init_process_group("gloo")
    for folder, strategy, until in jobs:
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
