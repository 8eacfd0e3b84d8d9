"""`lab compare`: which of two designs in a table is better, in value and in compute, and which scales better."""

import math
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from lina_lab.cli.documents import print_document
from lina_lab.cli.options import AsJson
from lina_lab.escape import shortened, shown

if TYPE_CHECKING:
    from lina_lab.analysis.comparison import Verdict
    from lina_lab.analysis.interval import Interval
    from lina_lab.analysis.multiplier import Compute


def compare(
    table: Annotated[Path, typer.Argument(metavar="TABLE", help="A row a cell, e.g. table.csv of a report.")],
    y: Annotated[str, typer.Option("--y", help="Column to compare, e.g. eval/fid/digits-cnn, or fid for that.")],
    by: Annotated[list[str], typer.Option("--by", help="Column that makes a design; give it again for more.")],
    a: Annotated[str, typer.Option("--a", help="Design A: its value of every --by, in their order, e.g. division,5.")],
    b: Annotated[str, typer.Option("--b", help="Design B.")],
    x: Annotated[str, typer.Option("--x", help="Column of size.")] = "parameters",
    pair: Annotated[str | None, typer.Option(help="What a pair shares besides its size; by default seed.")] = None,
    lr_tuned: Annotated[bool, typer.Option("--lr-tuned", help="Learning rates had equal tuning budgets.")] = False,
    higher: Annotated[
        bool | None,
        typer.Option(
            "--higher-is-better/--lower-is-better",
            help="Which values of --y are better; by default what is known of the metric, else lower.",
            show_default=False,
        ),
    ] = None,
    cost: Annotated[
        list[str],
        typer.Option(
            "--cost",
            help="Column of cost, for how many times as much B needs; give it again for more. By default training "
            "FLOPs and seconds.",
            show_default=False,
        ),
    ] = [],  # noqa: B006, typer's
    comparisons: Annotated[int, typer.Option(min=1, help="Pairs of designs that you look at: wider intervals.")] = 1,
    drop_missing: Annotated[
        bool, typer.Option("--drop-missing", help="Leave out rows where x or y is missing or a word.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Say which of two designs is better, what that is worth in compute, and which scales better.

    Cells are paired by size and seed. The ratio A / B is given at every size, with its trend and what two forms predict
    at 4 times the largest size; of a metric that may be zero or negative, such as kid, the difference A - B. Then how
    many times the training FLOPs and seconds of A does B need for the same y. A claim that the table cannot bear is
    undetermined, with every reason.

    Example: lab compare table.csv --y fid --by variant --a LINA --b base
    """
    from lina_lab import study
    from lina_lab.analysis.columns import find_column
    from lina_lab.analysis.table_file import read_table

    rows = read_table(table)
    x = find_column(rows, x, "--x")
    verdict = study.compare(
        rows,
        y,
        by,
        _values(a, by),
        _values(b, by),
        x,
        pair,
        lr_tuned=lr_tuned,
        higher_is_better=higher,
        cost=cost,
        comparisons=comparisons,
        drop_missing=drop_missing,
    )
    if as_json:
        print_document("compare", verdict.as_json())
    else:
        _print(verdict, x)


def _values(text: str, by: list[str]) -> list[str]:
    """A value may hold commas itself where it is the only one."""
    return [text] if len(by) == 1 else text.split(",")


def _print(verdict: "Verdict", x: str) -> None:
    from lina_lab.analysis.table import human
    from lina_lab.analysis.wording import FORM_WORDS
    from lina_lab.cli.console import print_table, text_table

    level = f"{100 * verdict.level:.4g} % interval"
    a, b = (shown(shortened(name)) for name in (verdict.a, verdict.b))
    print(f"A: {a}\nB: {b}\n{verdict.y}; pairs: {verdict.num_pairs}, seeds: {verdict.seeds}\n")
    table = text_table("size", x, "pairs", "A / B" if verdict.scale.word == "ratio" else "A - B", level, numbers=4)
    for gap in verdict.gaps:
        table.add_row(shortened(gap.size), human(gap.x), str(gap.num_pairs), *_shown(gap.ratio, verdict.scale.shown))
    print_table(table)
    if verdict.predictions:
        print()
        table = text_table("predicted", x, "A / B", level, "error at the largest size, held out", numbers=4)
        for form in verdict.predictions:
            error = form.holdout_error
            checked = "needs a size more" if math.isnan(error) else f"{100 * math.expm1(error):.3g} %"
            table.add_row(FORM_WORDS[form.form], human(form.x), *_shown(form.ratio), checked)
        print_table(table)
        slope, ends = _shown(verdict.slope)
        print(f"\nslope of log(A / B) over log {x}: {slope} ({level} {ends})")
    for compute in verdict.compute:
        if compute.overall is not None:
            _print_compute(compute, level)

    def say(text: str) -> None:
        print(shown(text.replace(verdict.a, shortened(verdict.a)).replace(verdict.b, shortened(verdict.b))))

    print()
    for sentence in verdict.sentences:
        say(sentence)
        print()
    for warning in verdict.warnings:
        say(f"warning: {warning}")


def _print_compute(compute: "Compute", level: str) -> None:
    from lina_lab.analysis.multiplier import ALL
    from lina_lab.cli.console import print_table, text_table

    print(f"\n{shown(compute.words)} of B / A for the same y")
    table = text_table("what A reaches", "of A", "B / A", level, "measured", numbers=4)
    for found in [*compute.sizes, compute.overall]:
        if found is not None:
            size = "at all sizes" if found.size == ALL else f"from {shortened(found.size)}"
            times = "none" if math.isnan(found.times) else f"{found.times:.4g}"
            measured = f"{found.least:.3g} to {found.most:.3g}"
            table.add_row(size, f"{found.cost:.3g}", times, found.interval or "no end", measured)
    print_table(table)


def _shown(interval: "Interval", form: Callable[[float], str] = "{:.4g}".format) -> tuple[str, str]:
    """A mean and its ends."""
    ends = "none" if math.isnan(interval.low) else f"{form(interval.low)} to {form(interval.high)}"
    return form(interval.mean), ends
