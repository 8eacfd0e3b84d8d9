"""`lab fit`: scaling curves through a table of results, with their intervals and what they cannot say."""

import math
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple, cast

import numpy as np
import pandas as pd

from lina_lab.analysis.columns import find_column, numbers, own_states, without_missing
from lina_lab.analysis.interval import Interval, finite_or_null
from lina_lab.analysis.lengths import LENGTHS, rows_about, runs
from lina_lab.analysis.match_cells import as_text, refuse_pooled
from lina_lab.analysis.rows import COMPARABLE
from lina_lab.analysis.scaling_fit.by_run import intervals_by_run
from lina_lab.analysis.scaling_fit.fits import FORMS, Fit, fit, refusal
from lina_lab.analysis.scaling_fit.intervals import intervals
from lina_lab.analysis.scaling_fit.remarks import at_bound, in_words, remarks
from lina_lab.analysis.scaling_fit.rolling import HeldOut, rolling
from lina_lab.analysis.table import unequal_draws
from lina_lab.analysis.table_file import read_table
from lina_lab.cli.console import print_table, text_table
from lina_lab.cli.documents import print_document
from lina_lab.errors import LabError
from lina_lab.escape import shortened, shown

MEASURED_WITH = (*COMPARABLE, "sampler", "cfg")
"""Columns that must be equal within one fit: the lab's own, and what published tables call them."""
EXPOSURE = ("samples_seen", "batch_size")
SEED = "seed"
SHOWN_PROBLEMS = 5
NO_FIT = "no fit of the form"


class FitRequest(NamedTuple):
    """What to fit: columns of a file, the groups, and the forms (None for power and offset)."""

    file: Path
    x: str
    y: str
    d: str | None
    by: list[str]
    form: str | None
    holdout_largest: bool
    drop_missing: bool = False
    """Leave out rows without a number instead of refusing them."""

    @property
    def sizes(self) -> list[str]:
        return [self.x] if self.d is None else [self.x, self.d]


class FitOutcome(NamedTuple):
    """One form fitted to one group."""

    by: dict[str, Any]
    fit: Fit
    intervals: dict[str, Interval | None]
    rolling: dict[str, list[HeldOut]]
    """Of every column of sizes: those that were predicted from all smaller ones; empty if not asked for."""
    holdout: HeldOut | None
    """The largest x, predicted without it."""
    at_bound: dict[str, list[str]]
    notes: list[str]
    """What must be said beside the numbers."""


def fit_table(request: FitRequest, *, as_json: bool) -> None:
    """Print the fits of every group; warnings go to stderr.

    Raises:
        LabError: naming file and line of what cannot be fitted.
    """
    if (request.form == "surface") != (request.d is not None):
        raise LabError("--form surface needs --d, the second column, and --d needs --form surface")
    request, table = rows_to_fit(request)
    outcomes: list[FitOutcome] = []
    unsaid: list[str] = []
    for by, rows in groups(table, request.by):
        refuse_mixture(request, by, rows)
        refuse_designs(request, by, rows)
        for form in (request.form,) if request.form else ("power", "offset"):
            reason = refusal(form, rows[request.sizes])
            if reason:
                unsaid.append(f"{label(by)}: {NO_FIT} {form}: {reason}")
                # What has too few sizes for a line has too few for a floor.
                break
            outcomes.append(_outcome(request, by, form, rows, unsaid))
    if not outcomes or (request.form and any(NO_FIT in line for line in unsaid)):
        raise LabError("\n".join(line for line in unsaid if NO_FIT in line))
    if as_json:
        print_document("fit", {"fits": [as_record(outcome) for outcome in outcomes]})
        for line in unsaid:
            print(line, file=sys.stderr)
    else:
        _print_outcomes(request, outcomes, unsaid)


def rows_to_fit(request: FitRequest) -> tuple[FitRequest, pd.DataFrame]:
    """The rows of a file that can be fitted, indexed by their line in it, and the request with the file's own names.

    Raises:
        LabError: if a column does not exist, or a value of x, d or y is missing, no number, or not positive.
    """
    table = read_table(request.file)
    request = request._replace(
        x=find_column(table, request.x, "--x"),
        y=find_column(table, request.y, "--y"),
        d=None if request.d is None else find_column(table, request.d, "--d"),
        by=[find_column(table, name, "--by") for name in request.by],
    )
    used = [*request.sizes, request.y]
    table = rows_about(table, request.sizes)
    table = _done(request, table.assign(**{name: numbers(table, name) for name in used}))
    if request.drop_missing:
        table = without_missing(table, used)
    problems = [
        f"{request.file}:{line}: {name} must be a positive number, not {'missing' if pd.isna(value) else value}"
        for name in used
        for line, value in table[name].items()
        if not _positive(value)
    ]
    if problems:
        more = [f"and {len(problems) - SHOWN_PROBLEMS} more"] if len(problems) > SHOWN_PROBLEMS else []
        hint = [] if request.drop_missing else ["--drop-missing leaves out rows where one is missing or a word"]
        raise LabError("\n".join(problems[:SHOWN_PROBLEMS] + more + hint))
    return request, table.astype(dict.fromkeys(used, float))


def _done(request: FitRequest, table: pd.DataFrame) -> pd.DataFrame:
    """Without the cells of a results table that have not ended well, which have no metric."""
    states = own_states(table)
    left = states[states != "done"].value_counts()
    if len(left):
        counts = ", ".join(f"{count} {state}" for state, count in left.items())
        print(f"{request.file}: {counts} of {len(table)} cells left out", file=sys.stderr)
    if (states != "done").all():
        raise LabError(f"{request.file}: no cell is done, so that nothing can be fitted")
    return table[states == "done"]


def _positive(value: object) -> bool:
    try:
        number = float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        return False
    return math.isfinite(number) and number > 0


def groups(table: pd.DataFrame, by: list[str]) -> Iterator[tuple[dict[str, Any], pd.DataFrame]]:
    """Every group with its values, in the order of the file; a missing value is a group of its own, named None."""
    if not by:
        yield {}, table
        return
    for key, rows in table.groupby(by, sort=False, dropna=False):
        values = cast("tuple[Any, ...]", key)
        plain = [None if pd.isna(v) else v.item() if isinstance(v, np.generic) else v for v in values]
        yield dict(zip(by, plain, strict=True)), rows


def refuse_mixture(request: FitRequest, by: dict[str, Any], rows: pd.DataFrame) -> None:
    """Refuse values measured differently in one fit; warn where sizes were not trained alike.

    Raises:
        LabError: naming the column and its values.
    """
    used = {*request.sizes, request.y, *request.by, *_lengths(request)}
    for name in MEASURED_WITH:
        values = sorted(rows[name].dropna().unique().tolist(), key=str) if name in rows and name not in used else []
        if len(values) > 1:
            found = ", ".join(map(str, values))
            raise LabError(
                f"{request.file}: {label(by)}: {request.y} with different {name} cannot be fitted together: {found}; "
                f"--by {name} fits each by itself"
            )
    if draws := unequal_draws(rows, request.y):
        print(f"warning: {label(by)}: {draws}", file=sys.stderr)
    for name in EXPOSURE:
        if name in rows and name not in used and len(rows[name].dropna().unique()) > 1:
            found = ", ".join(f"{value:g}" for value in sorted(rows[name].dropna().unique()))
            print(f"warning: {label(by)}: {name} differs between sizes ({found})", file=sys.stderr)


def _lengths(request: FitRequest) -> set[str]:
    """Columns that go with one another from point to point of a run, where one of them is fitted."""
    return LENGTHS if LENGTHS & set(request.sizes) else set()


def refuse_designs(request: FitRequest, by: dict[str, Any], rows: pd.DataFrame) -> None:
    """Refuse several designs in one curve, as `lab compare` does.

    Raises:
        LabError: naming the columns that tell them apart.
    """
    used = {request.y, *request.sizes, *request.by, *_lengths(request), SEED}
    seeded = SEED in rows and SEED not in request.by
    share = rows[SEED].map(as_text) if seeded else pd.Series("", rows.index)
    if request.d is not None:
        share += rows[request.d].map(lambda d: f" {request.d} {d:,.15g}")
    at = rows[request.x].map(lambda x: f"at {x:,.15g}") + (", " + share).where(share != "", "")
    what = label(by) if by else "of one design"
    untold = "count each run once" if seeded else None
    refuse_pooled(rows, request.x, at, share, used, what, untold)


def label(by: dict[str, Any]) -> str:
    """A group in words: 'normalization division, conv_kernel 5'."""
    return ", ".join(f"{name} {shown(shortened(str(value)))}" for name, value in by.items()) or "all rows"


def _outcome(request: FitRequest, by: dict[str, Any], form: str, rows: pd.DataFrame, unsaid: list[str]) -> FitOutcome:
    x, y = _points(request, rows)
    found = fit(form, x, y)
    held, largest = _rolling(request, form, rows), rows[request.x].max()
    if held and (reason := refusal(form, rows.loc[rows[request.x] < largest, request.sizes])):
        unsaid.append(f"{label(by)}: {form} has no hold-out error: without the largest {request.x}, {reason}")
    run = runs(rows)
    ranges = intervals(found, x, y) if run is None else intervals_by_run(found, x, y, run)
    notes = remarks(found, ranges, x, y)
    if run is not None:
        notes.append(f"intervals resample {run.max() + 1} runs, whose points go together")
    unsaid += [f"{label(by)}: {note}" for note in notes]
    return FitOutcome(
        by=by,
        fit=found,
        intervals=ranges,
        rolling=held,
        holdout=next((size for size in held.get(request.x, []) if size.x == largest), None),
        at_bound=at_bound(found, ranges, y),
        notes=notes,
    )


def _points(request: FitRequest, rows: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
    sizes = rows[request.sizes].to_numpy()
    return sizes if request.d else sizes[:, 0], rows[request.y].to_numpy()


def _rolling(request: FitRequest, form: str, rows: pd.DataFrame) -> dict[str, list[HeldOut]]:
    """Of x, and of d for a surface."""
    if not request.holdout_largest:
        return {}
    return {name: rolling(form, *_points(request, rows), column) for column, name in enumerate(request.sizes)}


def as_record(outcome: FitOutcome) -> dict[str, Any]:
    """One fit for --json: only finite numbers and null.

    A low end of 0 in E's interval says that E is not identified, as does null there beside intervals of the others.
    `at_bound` names values and ends that a bound of the search set and not the data.
    """
    return {
        "by": outcome.by,
        "form": outcome.fit.form,
        "params": outcome.fit.params,
        "intervals": {name: i and [i.low, finite_or_null(i.high)] for name, i in outcome.intervals.items()},
        "loss": outcome.fit.loss,
        "objective": outcome.fit.objective,
        "n": outcome.fit.n,
        "holdout": outcome.holdout and outcome.holdout.as_record(),
        "rolling": {name: [size.as_record() for size in held] for name, held in outcome.rolling.items()},
        "at_bound": outcome.at_bound,
        "notes": outcome.notes,
    }


def _print_outcomes(request: FitRequest, outcomes: list[FitOutcome], unsaid: list[str]) -> None:
    of_fit = ["loss", "objective", *(["hold-out error"] if request.holdout_largest else [])]
    table = text_table(
        *request.by, "form", "n", "parameter", "value", "95 % interval", *of_fit, numbers=2 + len(of_fit)
    )
    for outcome in outcomes:
        error = "" if outcome.holdout is None else f"{outcome.holdout.error:+.1%}"
        first = [*(shortened(str(v)) for v in outcome.by.values()), outcome.fit.form, str(outcome.fit.n)]
        last = [outcome.fit.loss, f"{outcome.fit.objective:.4g}", *([error] if request.holdout_largest else [])]
        for name, value in outcome.fit.params.items():
            bound = " (bound)" if "value" in outcome.at_bound.get(name, []) else ""
            table.add_row(*first, name, f"{value:.4g}{bound}", in_words(outcome.intervals[name]), *last)
            first, last = [""] * len(first), [""] * len(last)
    print_table(table)
    forms = {o.fit.form: FORMS[o.fit.form].formula for o in outcomes}
    meaning = f"x = {request.x}" + (f", d = {request.d}" if request.d else "")
    print(
        f"\ny = {request.y}, {meaning}, in the units of the file; " + "; ".join(f"{k}: {v}" for k, v in forms.items())
    )
    for outcome in outcomes:
        for name, held in outcome.rolling.items():
            if held:
                errors = ", ".join(f"{size.x:.4g} {size.error:+.1%}" for size in held)
                print(f"{label(outcome.by)}: {outcome.fit.form} predicts from all smaller {name}: {errors}")
    for line in unsaid:
        print(line)
