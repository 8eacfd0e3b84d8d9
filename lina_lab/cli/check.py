"""`lab check`: whether the designs of a file keep to what every shipped design keeps to."""

from pathlib import Path
from typing import Annotated

import typer

from lina_lab.errors import LabError


def check(
    what: Annotated[
        str, typer.Argument(metavar="FILE|AXIS=VALUE", help="A Python file of designs, or a value that is shipped.")
    ],
) -> None:
    """Check the designs of a Python file, which runs as your code.

    Exit code 0: all that they claim holds; 2: something does not, and the table says why.

    Example: lab check my_attention.py

    Example: lab check normalization=subtraction
    """
    from lina_lab.cli.console import print_table, text_table

    asked = _asked(what)
    from lina_lab.profiling.properties import check as properties_of

    failed: dict[str, int] = {}
    table = text_table("value", "property", "", "why", numbers=0)
    for title, axis, word in asked:
        for finding in properties_of(axis, word):
            state = "not claimed" if finding.why is None else "FAILS" if finding.why else "holds"
            failed[title] = failed.get(title, 0) + (state == "FAILS")
            table.add_row(title, finding.name, state, finding.why or "")
    print_table(table)
    if wrong := [f"{title}: {count}" for title, count in failed.items() if count]:
        raise LabError(f"{what}: properties that do not hold of {', '.join(wrong)}; the table above says why")


def _asked(what: str) -> list[tuple[str, str, str | int]]:
    """Values to check: what they are called, axis and word.

    Raises:
        LabError: if there are none such.
    """
    from lina_lab.config.load import parse_value
    from lina_lab.design.axes import AXES
    from lina_lab.plugins.load import find, load

    axis, equals, text = what.partition("=")
    if not equals:
        words = load(find(what, Path())).words
        return [
            (f"{axis} {word}", axis, full) for axis, own in words.items() if axis in AXES for word, full in own.items()
        ]
    if axis not in AXES:
        raise LabError(f"{what}: {axis} is no axis; known are {', '.join(AXES)}")
    word = parse_value(text)
    AXES[axis][word]
    return [(f"{axis} {word}", axis, word)]
