"""`lab merge`: add the cells of bundles to the ledger."""

from pathlib import Path
from typing import Annotated

import typer

from lina_lab.cli.options import RUNS, Runs


def merge(
    files: Annotated[list[Path], typer.Argument(metavar="FILE...", help="What lab bundle wrote.")],
    runs: Runs = RUNS,
) -> None:
    """Add the cells of bundles to the ledger: they count as done, and lab sweep goes on with the others.

    Every file is checked whole before anything is added. A cell that is there with the same result is skipped; with
    another result the file is refused. What needs the weights of a merged cell says where they are.

    Example: lab merge machine-a.tar.gz machine-b.tar.gz
    """
    from lina_lab.bundle.merge import merge as add
    from lina_lab.bundle.verify import verified

    for bundle in [verified(path) for path in files]:
        done = add(runs, bundle, print)
        more = f" (with {done.evaluations} evaluations more)" if done.evaluations else ""
        print(f"{bundle.path}: {done.added} added to {runs}/, {done.there} were there{more}; {bundle.plan.name}")
        if done.running:
            print(f"{bundle.path}: left alone, as they are running here: {', '.join(done.running)}")
