"""`lab coords`: the coordinate check of a design."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from lina_lab.cli.options import Setting, out_folder

if TYPE_CHECKING:
    from lina_lab.analysis.coordinates import Check


def coords(
    experiment: Annotated[Path, typer.Argument(help="An experiment, e.g. experiments/digits.yaml.")],
    settings: Setting = [],  # noqa: B006, typer reads it
    out: Annotated[Path, typer.Option(callback=out_folder, help="Folder to write.")] = Path("reports/coordinates"),
) -> None:
    """Check whether a learning rate transfers between widths.

    Trains the design for ten steps at four widths in either parametrization, and tells how far every layer moves
    against the width. Under muP that must not depend on it; exit code 1 if it does. Writes coordinates.png and
    coordinates.json.

    Example: lab coords experiments/digits.yaml --set model.patch=4
    """
    from lina_lab.analysis.coordinates import checks_text
    from lina_lab.config.load import load_experiment
    from lina_lab.config.sweep import parse_settings, with_values
    from lina_lab.figures.coordinates import coordinates_figure
    from lina_lab.figures.style import save
    from lina_lab.files import write_atomic
    from lina_lab.training.coordinates import check

    base = load_experiment(experiment, parse_settings(settings))
    kinds = ("standard", "mup")
    checks = [check(with_values(base, {"training.parametrization": kind}, "lab coords"), _tell) for kind in kinds]
    _print(checks)
    out.mkdir(parents=True, exist_ok=True)
    write_atomic(out / "coordinates.json", checks_text(checks))
    save(coordinates_figure(checks), out / "coordinates")
    print(f"wrote coordinates.png and coordinates.json to {out}")
    raise typer.Exit(0 if checks[-1].passed else 1)


def _tell(word: str) -> None:
    print(word, flush=True)


def _print(checks: "Sequence[Check]") -> None:
    """The slope of every layer that is furthest from 0 in either check, and what they say."""
    from lina_lab.analysis.coordinates import TOLERANCE
    from lina_lab.cli.console import print_table, text_table

    table = text_table("layer", *(f"{check.parametrization}, slope" for check in checks), numbers=len(checks))
    furthest: dict[str, list[str]] = {}
    for check in checks:
        slopes: dict[str, list[float]] = {}
        for growth in check.growths:
            slopes.setdefault(growth.layer, []).append(growth.slope)
        for layer, found in slopes.items():
            furthest.setdefault(layer, []).append(f"{max(found, key=abs):+.2f}")
    for layer, cells in furthest.items():
        table.add_row(layer, *cells)
    print_table(table)
    rate = checks[0].learning_rate
    print(f"slope of log mean |x_t - x_0| over log width, of all steps the one furthest from 0; rate {rate:g}")
    for check in checks:
        print(f"{check.parametrization}: {check.words}" + (f", all slopes within ±{TOLERANCE:g}" * check.passed))
