"""Draw one set of images of a trained cell with several processes.

Run as a module, with the arguments CELL SET FIRST SECTIONS WEIGHTS, this is one of the helpers: it loads the cell
itself, on a GPU of its own if there are any, and ends with the process that started it.
"""

import contextlib
import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from lina_lab.checkpoints.ema_weights import load_trained
from lina_lab.config.experiment import Experiment
from lina_lab.config.load import with_sections
from lina_lab.data.autoencoder import decoder
from lina_lab.data.datasets import Dataset, load_dataset
from lina_lab.interpreter import command, environment
from lina_lab.ledger.cells import read_experiment
from lina_lab.model.execution import device
from lina_lab.model.lina import Lina
from lina_lab.provenance import changed_files
from lina_lab.sampling.generate import generate
from lina_lab.sampling.image_set import Draw, DrawnSet, Tell, draw_missing, drop_damaged
from lina_lab.sampling.request import requests

GRACE_SECONDS = 10.0
"""How long a terminated helper may take before it is killed."""


def drawer(
    experiment: Experiment,
    model: Lina,
    dataset: Dataset,
    check: Callable[[], None] = lambda: None,
    decoding: Callable[[], None] = lambda: None,
) -> Draw:
    """A function that draws the images of an experiment by number.

    `check` is called after every autoregressive step and may raise to stop; `decoding` before latents are decoded.
    """
    _, condition = requests(experiment, dataset)
    to_images = decoder(experiment.data, next(model.parameters()).device)

    def decode(latents: torch.Tensor) -> torch.Tensor:
        decoding()
        return to_images(latents)

    def draw(first: int, last: int, progress: Callable[[float], None]) -> torch.Tensor:
        def step_done(share: float) -> None:
            check()
            progress(share)

        some, numbers = condition[first:last], range(first, last)
        return generate(model, some, experiment.sampling, experiment.seed, step_done, numbers, decode=decode)

    return draw


def draw_set(
    cell: Path,
    sections: Mapping[str, Any],
    drawn: DrawnSet,
    draw: Draw,
    tell: Tell,
    num_processes: int = 1,
    over: Callable[[], bool] = lambda: False,
    weights: Path | None = None,
) -> None:
    """Complete a set, in this process with `draw` and in helpers. Undamaged chunks of an earlier attempt are kept.

    `sections` are changes to the cell's experiment, and `weights` where its weights are if not in the cell itself, for
    the helpers, which read them again. `over()` ends the work early.
    """
    drop_damaged(drawn)
    words = [json.dumps(sections), str(weights or cell)]
    with _one_thread():
        while drawn.missing() and not over():
            processes = min(num_processes, len(drawn.missing()))
            with _others(cell, words, drawn, processes):
                draw_missing(drawn, draw, tell, over=over)
            drop_damaged(drawn)


@contextlib.contextmanager
def _one_thread() -> Iterator[None]:
    """One torch thread on a processor: the bits of an image depend on the number of threads."""
    threads = torch.get_num_threads()
    if not torch.cuda.is_available():
        torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


@contextlib.contextmanager
def _others(cell: Path, last: Sequence[str], drawn: DrawnSet, num_processes: int) -> Iterator[None]:
    """Run the helpers during the block. At its end every chunk exists, or the work was stopped: they are ended."""
    others = []
    try:
        # A new process would load files of the package that have changed since, and draw other images.
        for number in range(1, 1 if changed_files() else num_processes):
            words = [str(cell), str(drawn.folder), str(number / num_processes), *last]
            # The pipe to its standard input closes when this process ends, even by a kill: the helper then ends too.
            started = subprocess.Popen(
                command("lina_lab.sampling.workers", *words), stdin=subprocess.PIPE, env=environment(_place(number))
            )
            others.append(started)
        yield
    finally:
        for process in others:
            process.terminate()
        for process in others:
            _end(process)


def _end(process: "subprocess.Popen[bytes]") -> None:
    try:
        process.communicate(timeout=GRACE_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.communicate()


def _place(number: int) -> dict[str, str]:
    """Environment that gives a helper a GPU: the visible ones in turn; this process has the first."""
    gpus = torch.cuda.device_count()
    if not gpus:
        return {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    names = visible.split(",") if visible else [str(gpu) for gpu in range(gpus)]
    return {"CUDA_VISIBLE_DEVICES": names[number % gpus]}


def _end_with_starter() -> None:
    sys.stdin.buffer.read()
    # At once: there is nothing to clean up, as chunks are written atomically.
    os._exit(1)


def main() -> None:
    cell, folder, first, sections, weights = sys.argv[1:]
    threading.Thread(target=_end_with_starter, daemon=True).start()
    if not torch.cuda.is_available():
        torch.set_num_threads(1)
    experiment = with_sections(read_experiment(Path(cell)), json.loads(sections))
    drawn = DrawnSet(Path(folder), experiment.evaluation.num_samples)
    model = load_trained(Path(cell), Path(weights))[1].to(device())
    draw = drawer(experiment, model, load_dataset(experiment.data, pixels=False))
    draw_missing(drawn, draw, lambda progress: None, float(first))


if __name__ == "__main__":
    main()
