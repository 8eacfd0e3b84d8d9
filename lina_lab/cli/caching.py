"""`lab cache`: the latents of an experiment's images, once and for all. Heavy imports stand inside the command."""

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
    """
    from lina_lab.cli.encoding import encode_images

    encode_images(experiment, settings, workers, device, verify=verify)
