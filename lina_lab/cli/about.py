"""Commands that say what there is. Heavy imports stand inside the command that needs them."""

from typing import Annotated

import typer

from lina_lab.cli.options import RUNS, Runs, Setting


def axes() -> None:
    """List every design axis, its values and formulas."""
    from lina_lab.cli.describe import print_axes

    print_axes()


def size(
    name: Annotated[str, typer.Argument(metavar="SIZE", help="nano, micro, tiny, small, base, B, L or H.")],
    settings: Setting = [],  # noqa: B006
) -> None:
    """Print exact parameters and FLOPs of a size."""
    from lina_lab.cli.describe import print_size

    print_size(name, settings)


def doctor(runs: Runs = RUNS) -> None:
    """Say what is here, what is missing, how to get it."""
    from lina_lab.cli.describe import print_doctor

    print_doctor(runs)
