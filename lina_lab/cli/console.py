"""Tables on the terminal."""

import sys
from collections.abc import Sequence
from typing import Any

from rich.cells import cell_len
from rich.console import Console
from rich.table import Table

from lina_lab.escape import shown

GAP = 2
"""Characters between columns."""


def console(width: int | None = None) -> Console:
    """As wide as it needs to be where there is no terminal, so that nothing is cut. Names are text, never markup."""
    width = width or (None if sys.stdout.isatty() else 200)
    return Console(width=width, markup=False, emoji=False, highlight=False)


class TextTable(Table):
    """A table of texts that are shown as they are, whatever they hold."""

    def add_row(self, *cells: Any, **style: Any) -> None:
        super().add_row(*(shown(cell) if isinstance(cell, str) else cell for cell in cells), **style)


def text_table(*headings: str, numbers: int) -> Table:
    """A plain table whose last `numbers` columns are numbers."""
    table = TextTable(box=None, padding=(0, GAP, 0, 0))
    for index, heading in enumerate(headings):
        table.add_column(shown(heading), justify="right" if index >= len(headings) - numbers else "left", no_wrap=True)
    return table


def print_table(table: Table) -> None:
    """Print a table of any width."""
    console().print(table)


def print_columns(headings: Sequence[str], rows: Sequence[Sequence[str]], numbers: int) -> None:
    """A plain table whose last `numbers` columns are numbers: rich takes ten seconds for 20,000 rows."""
    rows = [[shown(word) for word in row] for row in rows]
    widths = [max(map(cell_len, column)) for column in zip(headings, *rows, strict=True)]
    for row in (headings, *rows):
        padding = [" " * (width - cell_len(word)) for word, width in zip(row, widths, strict=True)]
        words = [f"{word}{pad}" for word, pad in zip(row, padding, strict=True)]
        words[-numbers:] = [f"{pad}{word}" for word, pad in zip(row[-numbers:], padding[-numbers:], strict=True)]
        print("  ".join(words).rstrip())


def human(size: int) -> str:
    """Bytes, in MiB where they are many."""
    return f"{size / 2**20:.1f} MiB" if size >= 0.1 * 2**20 else f"{size:,} B"
