"""A study as its report keeps it: what every figure and verdict is made from, without the ledger.

reports/<sweep>/plan.json      the plan: question, axes, cells
table.csv      a row a cell, every column; table.parquet, the same
curves.csv     held-out loss of every cell: key, step, samples, loss
trials.csv     what a tuning tried
gates.parquet  weights of the learnt gates, of the first seed's cells
"""

from pathlib import Path
from typing import NamedTuple

import pandas as pd

from lina_lab.analysis.gates import gates_table, read_gates
from lina_lab.analysis.table import results_table, write_table
from lina_lab.analysis.table_file import read_table
from lina_lab.analysis.tuning import trials_table
from lina_lab.errors import LabError
from lina_lab.files import write_atomic
from lina_lab.ledger.cells import read_experiment
from lina_lab.ledger.metrics import read_metrics
from lina_lab.ledger.plan import Plan, parse_plan, plan_text

LOSS = "val/loss"
PLAN = "plan.json"


class ReportData(NamedTuple):
    plan: Plan
    table: pd.DataFrame
    """A row a cell; see `results_table`."""
    curves: pd.DataFrame
    """One row a validation: key, step, samples, loss."""
    trials: pd.DataFrame
    """A row a trial; empty without tuning."""
    gates: pd.DataFrame
    """A row a weight, with the key of its cell; see `gates_table`. Empty if no design has a gate."""


def report_data_of_ledger(runs: Path, plan: Plan) -> ReportData:
    table = results_table(runs, plan)
    trials = trials_table(runs, plan) if plan.tune else pd.DataFrame()
    return ReportData(plan, table, curves_table(runs, table), trials, _gates(runs, table))


def write_report_data(study: ReportData, out: Path) -> None:
    """Write everything that `read_study` reads."""
    # Of the plan all but where its file lies: a report is for others.
    write_atomic(out / PLAN, plan_text(study.plan._replace(file="")))
    write_table(study.table, out / "table.csv")
    write_table(study.table, out / "table.parquet")
    for name in ("curves.csv", "trials.csv", "gates.parquet"):
        part = getattr(study, name.partition(".")[0])
        if len(part):
            write_table(part, out / name)
        else:
            (out / name).unlink(missing_ok=True)  # of an earlier report


def make_way(out: Path, plan: Plan) -> Path | None:
    """Move a report aside that has cells which a plan has not: where it is then; None if there is no such report.

    Raises:
        LabError: if the folder cannot be moved, because the command runs in it.
    """
    path, here = out / PLAN, out.resolve()
    if not path.exists():
        return None
    try:
        old = parse_plan(path.read_text(encoding="utf-8"), path)
        if {cell.key for cell in old.cells} <= {cell.key for cell in plan.cells}:
            return None
        name = f"{here.name}@{old.id}"
    except (LabError, UnicodeDecodeError):
        name = f"{here.name}@damaged"
    if Path.cwd().is_relative_to(here):
        raise LabError(f"{path}: is of another plan, {name}, whose report must not be lost: give --out another folder")
    names = (name, *(f"{name}-{count}" for count in range(2, 1000)))
    aside = next(name for name in names if not here.with_name(name).exists())
    here.rename(here.with_name(aside))
    return out.with_name(aside)


def find_report(name: str) -> Path:
    """The folder of a report, named from the working folder or from one above it, as that of a checkout."""
    places = [Path(name), *(folder / name for folder in Path.cwd().parents)]
    return next((place for place in places if (place / PLAN).exists()), Path(name))


def read_report_data(folder: Path) -> ReportData:
    """The study of a report's folder.

    Raises:
        LabError: if the folder is no report, or a file of it is damaged.
    """
    path = folder / PLAN
    if not path.exists():
        raise LabError(f"{folder}: is no report: it has no {PLAN}; lab report SWEEP writes one")
    plan = parse_plan(path.read_text(encoding="utf-8"), path)
    table = read_table(folder / "table.csv").reset_index(drop=True)
    table.attrs["axes"] = list(plan.axes)
    others = [folder / name for name in ("curves.csv", "trials.csv", "gates.parquet")]
    return ReportData(
        plan, table, *(read_table(path).reset_index(drop=True) if path.exists() else pd.DataFrame() for path in others)
    )


def curves_table(runs: Path, table: pd.DataFrame) -> pd.DataFrame:
    """One row a validation: key, step, samples seen, loss."""
    rows = []
    done = table.dropna(subset=["samples_seen"]) if "samples_seen" in table else table.iloc[:0]
    for cell in done.to_dict("records"):
        each = cell["samples_seen"] / cell["steps"] if cell["steps"] else 0
        metrics = [m for m in read_metrics(runs / cell["key"]) if m.metric == LOSS]
        rows += [{"key": cell["key"], "step": m.step, "samples": m.step * each, "loss": m.value} for m in metrics]
    return pd.DataFrame(rows, columns=["key", "step", "samples", "loss"])


def _gates(runs: Path, table: pd.DataFrame) -> pd.DataFrame:
    """Of the cells of the first seed that have gates, and weights still."""
    parts = []
    for key in table.loc[(table["seed"] == table["seed"].min()) & (table["state"] == "done"), "key"]:
        path = runs / key / "ema.safetensors"
        weights = read_gates(path) if path.exists() else {}
        if weights:
            experiment = read_experiment(runs / key)
            parts.append(gates_table(weights, experiment.model, experiment.data.shape).assign(key=key))
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame()
