"""`lab cache`: encode the images of an experiment, once for every training."""

import sys
import time
from pathlib import Path
from typing import Annotated, Literal

import typer

from lina_lab.cli.options import Processes, Setting


def cache(
    experiment: Annotated[Path, typer.Argument(help="An experiment, or the folder of a cell.")],
    settings: Setting = [],  # noqa: B006, typer reads it
    workers: Processes = "auto",
    device: Annotated[Literal["auto", "cpu", "cuda"], typer.Option(help="Where the autoencoder runs.")] = "auto",
    verify: Annotated[bool, typer.Option("--verify", help="Read every image again, not only changed files.")] = False,
) -> None:
    """Encode an experiment's images for training.

    Goes on where it stopped, mends what is damaged and encodes again what has changed. It may run on several nodes at
    once, with LAB_CACHE on a disk that all of them see.

    Example: lab cache experiments/imagenet256-B.yaml
    """
    import signal

    import torch

    from lina_lab.config.load import load_experiment
    from lina_lab.config.sweep import parse_settings
    from lina_lab.data.cache import place
    from lina_lab.data.encoding import make_cache, num_workers
    from lina_lab.errors import LabError
    from lina_lab.ledger.cells import read_experiment

    in_cell = (experiment / "config.yaml").exists()
    described = read_experiment(experiment) if in_cell else load_experiment(experiment, parse_settings(settings))
    where = device if device != "auto" else "cuda" if torch.cuda.is_available() else "cpu"
    if where == "cuda" and not torch.cuda.is_available():
        raise LabError("--device cuda: torch sees no GPU here")
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        processes = num_workers(where) if workers == "auto" else workers
        manifest = make_cache(described.data, processes, where, verify=verify, show=_Show(), tell=_tell)
    except KeyboardInterrupt:
        print("\nstopped; the same command goes on where it is")
        raise typer.Exit(130) from None
    print(f"autoencoder {manifest['autoencoder_sha256'][:12]}, cache {manifest['sha256'][:12]}")
    print(f"{manifest['count']:,} images encoded in {place(described.data)}")


def _tell(line: str) -> None:
    print(line, flush=True)


class _Show:
    """How much is done, how fast, and how long the rest takes: one line in place, or lines without a terminal."""

    def __init__(self) -> None:
        self.in_place = sys.stdout.isatty()
        self.started, self.first, self.written = time.monotonic(), -1.0, 0.0

    def __call__(self, share: float, count: int) -> None:
        from lina_lab.cli.progress_display import PLAIN_EVERY_SECONDS
        from lina_lab.sweep.progress import duration

        now = time.monotonic()
        if self.first < 0:
            self.started, self.first = now, share
        if not self.in_place and self.written and now - self.written < PLAIN_EVERY_SECONDS:
            return
        self.written, rate = now, (share - self.first) / max(1e-9, now - self.started)
        left = f"{rate * count:,.0f} images/s, about {duration((1 - share) / rate)} left" if rate else ""
        line = f"{share:>5.1%} of {count:,} images  {left}"
        print(f"\r{line:<70}" if self.in_place else line, end="" if self.in_place else "\n", flush=True)
