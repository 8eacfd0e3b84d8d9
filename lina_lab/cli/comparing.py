"""`lab compare`: a table from a file, the verdict for a reader or as JSON."""

import json
import math
from pathlib import Path

import pandas as pd

from lina_lab.analysis.columns import find_column, numbers, own_states
from lina_lab.analysis.comparison import CompareOptions, Verdict, compare_designs
from lina_lab.analysis.interval import Interval
from lina_lab.analysis.match_cells import Columns
from lina_lab.analysis.table import human
from lina_lab.analysis.table_file import read_table
from lina_lab.analysis.wording import FORM_WORDS
from lina_lab.cli.results import print_table, text_table
from lina_lab.escape import shortened, shown


def print_comparison(
    file: Path, columns: Columns, a: str, b: str, options: CompareOptions, *, drop_missing: bool, as_json: bool
) -> None:
    """Read a table, compare two designs, print the verdict.

    a, b: values of the columns of `by` in their order, with commas between. drop_missing: a word in the place of a
    number is a missing value; rows that miss one are left out, and named.

    Raises:
        LabError: if the file is no table, or its designs cannot be compared.
    """
    table, columns = _as_meant(read_table(file), columns, drop_missing=drop_missing)
    verdict = compare_designs(table, columns, _values(a, columns), _values(b, columns), options)
    if as_json:
        print(json.dumps(verdict.as_json(), indent=2, allow_nan=False, ensure_ascii=False))
    else:
        _print(verdict, columns)


def _as_meant(table: pd.DataFrame, columns: Columns, *, drop_missing: bool) -> tuple[pd.DataFrame, Columns]:
    """The table with its numbers as numbers and states as ours, and the columns by the table's own names."""
    columns = Columns(
        x=find_column(table, columns.x, "--x"),
        y=find_column(table, columns.y, "--y"),
        by=tuple(find_column(table, name, "--by") for name in columns.by),
        pair=None if columns.pair is None else find_column(table, columns.pair, "--pair"),
    )
    found = {name: numbers(table, name) for name in (columns.x, columns.y)}
    if drop_missing:
        found = {name: pd.to_numeric(values, errors="coerce") for name, values in found.items()}
    return table.assign(**found, state=own_states(table)), columns


def _values(text: str, columns: Columns) -> list[str]:
    """A value may hold commas itself where it is the only one."""
    return [text] if len(columns.by) == 1 else text.split(",")


def _print(verdict: Verdict, columns: Columns) -> None:
    level = f"{100 * verdict.level:.4g} % interval"
    a, b = (shown(shortened(name)) for name in (verdict.a, verdict.b))
    print(f"A: {a}\nB: {b}\n{verdict.y}; pairs: {verdict.num_pairs}, seeds: {verdict.seeds}\n")
    table = text_table("size", columns.x, "pairs", "A / B", level, numbers=4)
    for gap in verdict.gaps:
        table.add_row(shortened(gap.size), human(gap.x), str(gap.num_pairs), *_shown(gap.ratio))
    print_table(table)
    if verdict.predictions:
        print()
        table = text_table("predicted", columns.x, "A / B", level, "error at the largest size, held out", numbers=4)
        for form in verdict.predictions:
            error = form.holdout_error
            checked = "needs a size more" if math.isnan(error) else f"{100 * math.expm1(error):.3g} %"
            table.add_row(FORM_WORDS[form.form], human(form.x), *_shown(form.ratio), checked)
        print_table(table)
        slope, ends = _shown(verdict.slope)
        print(f"\nslope of log(A / B) over log {columns.x}: {slope} ({level} {ends})")

    def say(text: str) -> None:
        print(shown(text.replace(verdict.a, shortened(verdict.a)).replace(verdict.b, shortened(verdict.b))))

    print()
    for sentence in verdict.sentences:
        say(sentence)
        print()
    for warning in verdict.warnings:
        say(f"warning: {warning}")


def _shown(interval: Interval) -> tuple[str, str]:
    """A mean and its ends."""
    if math.isnan(interval.low):
        return f"{interval.mean:.4g}", "none"
    return f"{interval.mean:.4g}", f"{interval.low:.4g} to {interval.high:.4g}"
