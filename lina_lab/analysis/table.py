"""The results of a sweep as one tidy table: a row a cell, and a row a point along its run.

What is missing is missing, never 0.
"""

from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import pandas as pd

from lina_lab.analysis.lengths import AT, ends
from lina_lab.analysis.progress import why_no_metric
from lina_lab.analysis.rows import COMPARABLE, LOSS_DRAWS, OLDER_DRAWS, row_of, row_of_point
from lina_lab.config.sweep import Scalar
from lina_lab.design.extractors import FEATURES
from lina_lab.errors import LabError
from lina_lab.escape import latex, markdown_cell, shortened
from lina_lab.fact_names import column
from lina_lab.files import write_atomic
from lina_lab.ledger.cells import read_experiment
from lina_lab.ledger.plan import Plan, PlannedCell
from lina_lab.ledger.result import Result
from lina_lab.ledger.status import CellStatus, read_cell
from lina_lab.metric_names import LOSS, METRICS, heading, known_metric

SIZE_AXIS = "size"


def results_table(runs: Path, plan: Plan) -> pd.DataFrame:
    """One row for each cell of a plan, in its order, from the ledger: `all_rows` without points before the end."""
    return ends(all_rows(runs, plan)).reset_index(drop=True)


def all_rows(runs: Path, plan: Plan) -> pd.DataFrame:
    """One row for each cell of a plan, in its order, from the ledger; then one for each point along a run.

    Columns: key, state, reason, the axes, seed, parameters, FLOPs, steps, samples_seen, one column a metric
    (`eval/fid/digits-cnn`), what it was measured with (`COMPARABLE`), seconds, provenance, `ARITHMETIC`; and `at`, the
    share of the steps, where there are points: see `lengths`.
    """

    def found(cell: PlannedCell) -> tuple[CellStatus, Result | None]:
        folder = runs / cell.key
        status, result = read_cell(folder)
        if result is not None and result.lacks("ema_share"):  # an older one
            with suppress(LabError):
                result = replace(result, ema_share=read_experiment(folder).training.ema_share)
        return status, result

    return table_of(plan, found)


Found = Callable[[PlannedCell], tuple[CellStatus, Result | None]]
"""The status of a cell, and its result if it has one."""


def table_of(plan: Plan, found: Found) -> pd.DataFrame:
    """All rows of a plan from wherever its results are."""
    rows, points = [], []
    for cell in plan.cells:
        status, result = found(cell)
        rows.append(row_of(cell, status, result))
        if result is not None:
            points += [row_of_point(rows[-1], result, point) for point in result.points]
    table = pd.DataFrame([*({AT: 1.0} | row for row in rows), *points]) if points else pd.DataFrame(rows)
    table.attrs["axes"] = list(plan.axes)
    return table


def main_metric(table: pd.DataFrame, name: str = "fid") -> str:
    """The column of a metric: of that name, or with an extractor's, as `eval/fid/<extractor>`.

    Raises:
        LabError: if no cell has one, or cells were measured with different extractors.
    """
    found = [name] if name in table else [str(c) for c in table.columns if str(c).startswith(f"eval/{name}/")]
    if not found or table[found].isna().all(axis=None):
        known = known_metric(name)
        raise LabError(why_no_metric(table, known.label if known else name))
    # Beside the extractor that decides, further ones may have measured the same images.
    identities = table.get("extractor", pd.Series(dtype=str)).dropna()
    deciding = {f"eval/{name}/{extractor_name(identity)}" for identity in identities}
    measured = table[found].dropna(how="all")
    if len(deciding) == 1 and deciding <= set(found) and measured[[*deciding]].notna().all(axis=None):
        found = [*deciding]
    if len(found) > 1:
        raise LabError(f"cells were measured with different extractors, which cannot be compared: {', '.join(found)}")
    return found[0]


def extractor_name(identity: str) -> str:
    """The config name of an extractor, by which its metrics are named, from its id, which has its weights' digest."""
    return next((name for name in FEATURES if identity.startswith(f"{name}-")), identity.rpartition("-")[0])


def refuse_mixtures(table: pd.DataFrame, metric: str) -> None:
    """Refuse to compare values of a metric that were measured differently, as far as the table has columns for it.

    Raises:
        LabError: naming what differs, and its values.
    """
    measured = table.dropna(subset=[metric])
    for name in [name for name in COMPARABLE if name in measured]:
        values = sorted(measured[name].dropna().unique().tolist(), key=str)
        if len(values) > 1 and name not in table.attrs.get("axes", ()):
            raise LabError(f"{metric} of cells with different {name} cannot be compared: {', '.join(map(str, values))}")


def unequal_draws(table: pd.DataFrame, metric: str) -> str | None:
    """Why values of a held-out loss differ by more than their models; None for another metric, or equal draws."""
    if metric != LOSS or LOSS_DRAWS not in table:
        return None
    found = table.loc[table[LOSS].notna(), LOSS_DRAWS].fillna(OLDER_DRAWS).unique().tolist()
    return None if len(found) < 2 else f"held-out losses have different draws: {'; '.join(sorted(found))}"


def unequal_exposure(table: pd.DataFrame) -> str | None:
    """A warning if designs saw different numbers of training samples."""
    seen = sorted(table.loc[table["state"] == "done", "samples_seen"].dropna().astype(int).unique().tolist())
    if len(seen) < 2:
        return None
    return f"the cells saw different numbers of training samples ({', '.join(f'{s:,}' for s in seen)})"


def design_axes(plan: Plan) -> list[str]:
    """The axes that make a design: all but the size."""
    return [axis for axis in plan.axes if axis != SIZE_AXIS]


def designs(table: pd.DataFrame, axes: list[str]) -> Iterable[tuple[dict[str, Scalar], pd.DataFrame]]:
    """Each design's axis values with its rows, in the order of the plan."""
    if not axes:
        yield {}, table
        return
    for point, rows in table.groupby(axes, sort=False, dropna=False):
        yield dict(zip(axes, cast("tuple[Scalar, ...]", point), strict=True)), rows


def write_table(table: pd.DataFrame, path: Path) -> None:
    """Write a table as CSV or Parquet, whole or not at all, the kind by the name's ending.

    Raises:
        LabError: if the name ends in neither.
    """
    if path.suffix == ".csv":
        write_atomic(path, table.to_csv(index=False))
    elif path.suffix == ".parquet":
        plain = table.copy()
        plain.attrs = {}
        for name in [name for name in table if len(set(table[name].dropna().map(type))) > 1]:
            plain[name] = table[name].map(str, na_action="ignore")
        write_atomic(path, plain.to_parquet(index=False))
    else:
        raise LabError(f"{path}: a table's name must end in .csv or .parquet, not {path.suffix or path.name}")


def human(count: float) -> str:
    """A count for a reader: 100k, 1.5M, 2B."""
    for unit, scale in (("B", 1e9), ("M", 1e6), ("k", 1e3)):
        if count >= scale:
            return f"{count / scale:.3g}{unit}"
    return f"{count:g}"


def to_markdown(table: pd.DataFrame) -> str:
    """A table as Markdown; what is missing is an empty cell, and a long name is shortened in its middle."""
    head, *rows = _texts(table, markdown_cell)
    lines = ["| " + " | ".join(head) + " |", "|" + " --- |" * len(head)]
    return "\n".join([*lines, *("| " + " | ".join(row) + " |" for row in rows)]) + "\n"


def to_latex(table: pd.DataFrame) -> str:
    """A table as LaTeX (booktabs), for pdfLaTeX with T1 fonts; columns of numbers stand to the right."""
    sides = ["r" if is_numbers(table.iloc[:, column]) else "l" for column in range(table.shape[1])]
    head, *rows = _texts(table, latex)
    lines = [" & ".join(row) + r" \\" for row in rows]
    top, end = rf"\begin{{tabular}}{{{''.join(sides)}}}", r"\end{tabular}"
    return "\n".join([top, r"\toprule", " & ".join(head) + r" \\", r"\midrule", *lines, r"\bottomrule", end, ""])


def _texts(table: pd.DataFrame, escape: Callable[[str], str]) -> list[list[str]]:
    """The heading and the rows as a medium can hold them; what is missing is empty."""
    rows = [["" if pd.isna(value) else str(value) for value in row] for row in table.itertuples(index=False)]
    return [[escape(shortened(text)) for text in row] for row in [list(map(str, table.columns)), *rows]]


def is_numbers(column: "pd.Series[Any]") -> bool:
    texts = column.dropna().astype(str).str.replace(",", "")
    return bool(len(texts)) and bool(pd.to_numeric(texts, errors="coerce").notna().all())


def readable(table: pd.DataFrame, axes: Iterable[str], tuned: Iterable[str] = ()) -> pd.DataFrame:
    """The columns that a reader wants first, as text with sensible digits."""
    shown = pd.DataFrame({axis: table[axis].astype(str) for axis in axes})
    shown["seed"], shown["state"] = table["seed"].astype(str), table["state"]
    for name in [name for name in tuned if name in table]:
        shown[name] = table[name].map(lambda v: f"{v:.3g}", na_action="ignore")
        if f"{name}_inside" in table:
            shown["inside"] = table[f"{name}_inside"].map({True: "yes", False: "no"})
            shown["trials"] = table["tune_trials"].map(lambda n: f"{int(n)}", na_action="ignore")
    if (parameters := column("parameters.total")) in table:
        shown["parameters"] = table[parameters].map(lambda n: f"{int(n):,}", na_action="ignore")
    for metric in METRICS:
        for name in [name for name in table.columns if metric.brief and metric.covers(name)]:
            shown[heading(name, table.columns)] = table[name].map(lambda v: f"{v:.4g}", na_action="ignore")
    if (seconds := column("seconds.training")) in table:
        shown["training s"] = table[seconds].map(lambda v: f"{v:.0f}", na_action="ignore")
    return shown
