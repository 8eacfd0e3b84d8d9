"""The results of a sweep as a table on the terminal, as they are shown when it ends."""

import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.table import Table

from lina_lab.analysis.notes import NOTED, notes
from lina_lab.cli.console import GAP, console, text_table
from lina_lab.config.sweep import cell_label
from lina_lab.errors import LabError
from lina_lab.escape import shortened
from lina_lab.fact_names import column
from lina_lab.ledger.plan import Plan
from lina_lab.ledger.status import ENDED
from lina_lab.metric_names import FID

if TYPE_CHECKING:
    import pandas as pd

RESULTS_WIDTH = 120
"""Characters of the results where there is no terminal."""
LEAST_LABEL = 12
"""Characters of a cell's label, however narrow the terminal is."""


def print_results(plan: Plan, runs: Path, failed: Mapping[str, str]) -> None:
    """What varies, the metric and its spread, of every cell; `failed`: keys of the failed ones and their reasons."""
    from lina_lab.analysis.progress import all_alike
    from lina_lab.analysis.study_metric import metric_of
    from lina_lab.analysis.table import results_table

    found = results_table(runs, plan)
    if found.empty:
        print(f"{plan.name}: no cell is known yet: its tuning goes on")
        return
    # On a full disk the ledger cannot tell of a failure.
    found.loc[found["key"].isin(list(failed)) & ~found["state"].isin(ENDED), "state"] = "failed"
    width = shutil.get_terminal_size((RESULTS_WIDTH, 24)).columns
    print()
    console(width).print(results_for(plan, found, width))
    said = {metric_of(name).error_words for name in _shown(plan, found) if metric_of(name).error in found}
    for words in sorted(said):
        print(f"±: {words}, not over seeds. Every metric: lab table {plan.name}")
    alike = all_alike(found)
    if alike:
        print(f"{plan.name}: {alike}")
    for line in (*_mixtures(plan, found), *notes({name: found[name].dropna() for name in NOTED if name in found})):
        print(line)
    for key, reason in failed.items():
        trace = runs / key / "error.txt"
        print(f"failed: {key}: {reason}{f' (see {trace})' if trace.exists() else ''}")


def print_verdict(plan: Plan, runs: Path) -> None:
    """What the study says so far, in a line a question; nothing of a plan that compares no designs."""
    from lina_lab.analysis.cards import study_verdict
    from lina_lab.analysis.contrasts import design_pairs
    from lina_lab.analysis.report_data import curves_table
    from lina_lab.analysis.table import results_table

    if not any(design_pairs(plan)):
        return
    found = results_table(runs, plan)
    try:
        verdict = study_verdict(plan, found, curves_table(runs, found))
    except LabError as error:
        print(f"no verdict: {error}")
        return
    print("", *verdict.lines, sep="\n")


def _mixtures(plan: Plan, found: "pd.DataFrame") -> list[str]:
    """Why values that stand beside each other may not be compared, as a report would refuse them."""
    from lina_lab.analysis.table import refuse_mixtures

    try:
        for name in _shown(plan, found):
            refuse_mixtures(found, name)
    except LabError as error:
        return [f"not comparable: {error}"]
    return []


def results_for(plan: Plan, found: "pd.DataFrame", width: int) -> Table:
    """The results as a table no wider than `width`: what there is no room for is left out or shortened."""
    from lina_lab.analysis.study_metric import metric_of

    axes = [axis for axis in plan.axes if len({str(cell.values[axis]) for cell in plan.cells}) > 1]
    labels = [cell_label({axis: cell.values[axis] for axis in axes}) or plan.name for cell in plan.cells]
    columns = [(name, found[name].astype(str).tolist()) for name in ("key", "seed", "state")]
    for name in _shown(plan, found):
        error = metric_of(name).error
        columns.append((name.removeprefix("eval/"), _numbers(found[name], "{:.4g}")))
        columns += [("±", _numbers(found[error], "{:.2g}"))] if error in found else []
    parameters = column("parameters.total")
    size = [("parameters", _numbers(found[parameters], "{:,.0f}"))] if parameters in found else []
    if _width([*columns, ("cell", labels), *size]) <= width:
        columns[3:3] = size
    room = max(LEAST_LABEL, width - _width(columns) - GAP)
    columns.insert(1, ("cell", [shortened(label, room) for label in labels]))
    table = text_table(*(heading for heading, _ in columns), numbers=len(columns) - 4)
    for row in zip(*(texts for _, texts in columns), strict=True):
        table.add_row(*row)
    return table


def _shown(plan: Plan, found: "pd.DataFrame") -> list[str]:
    """The columns of the study's metric; of FID, if no cell has that yet."""
    name = plan.metric.name
    own = [str(c) for c in found.columns if c == name or str(c).startswith(f"eval/{name}/")]
    return own or [str(c) for c in found.columns if str(c).startswith(FID)]


def _width(columns: Sequence[tuple[str, Sequence[str]]]) -> int:
    """Of columns side by side, with the gap after each."""
    return sum(max(map(len, (heading, *texts))) + GAP for heading, texts in columns)


def _numbers(column: "pd.Series[Any]", form: str) -> list[str]:
    return [form.format(value) if value == value else "" for value in column]  # noqa: PLR0124, NaN is not itself
