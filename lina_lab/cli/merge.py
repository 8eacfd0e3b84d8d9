"""`lab merge`: add the cells of bundles to the ledger."""

from pathlib import Path
from typing import Annotated

import typer

from lina_lab.cli.options import RUNS, Plugins, Runs


def merge(
    files: Annotated[list[Path], typer.Argument(metavar="FILE...", help="What lab bundle wrote.")],
    plugins: Plugins = [],  # noqa: B006, typer reads it
    runs: Runs = RUNS,
) -> None:
    """Add the cells of bundles to the ledger: they count as done, and lab sweep goes on with the others.

    Every file is checked whole before anything is added. A cell that is there with the same result is skipped; with
    another result the file is refused. What needs the weights of a merged cell says where they are.

    Example: lab merge machine-a.tar.gz machine-b.tar.gz

    Example: lab merge machine-a.tar.gz --plugin my_attention.py
    """
    from lina_lab import study

    study.merge(*files, plugins=plugins, runs=runs)
