"""All that a report is made from, as its folder keeps it: no figure, verdict or page needs the ledger.

reports/<sweep>/plan.json  the plan: question, axes, cells
table.csv        a row a cell, then a row a point along a run, every column; table.parquet, the same
curves.csv       held-out loss of every cell: key, step, samples, loss
trials.csv       what a tuning tried
gates.parquet    weights of the learnt gates, of the first seed's cells
evaluations.csv  every measurement of the cells, where there are more than their own results
samples.npz      some images of the first seed's cells
samples-steps.npz  of those at the largest size a few images at a few steps of training; none without sheets of them
provenance.json  commands, code, versions and hardware, in words
forecast.json    every forecast of the study, the oldest first; none if nothing was forecast
settings.json    every setting of the cells that determines a result, with the values that it has

Reports of older versions lack the last six.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd

from lina_lab.analysis.evaluations import evaluations_of_study
from lina_lab.analysis.gates import gates_file, gates_table, read_gates
from lina_lab.analysis.lengths import before_the_end, ends
from lina_lab.analysis.progress import has_result
from lina_lab.analysis.provenance_facts import facts_of_ledger, facts_of_table
from lina_lab.analysis.sample_steps import SampleSteps, steps_of_ledger
from lina_lab.analysis.samples import Samples, npz_bytes, read_npz, samples_of_ledger
from lina_lab.analysis.study_settings import Settings, settings_of_ledger
from lina_lab.analysis.table import all_rows, write_table
from lina_lab.analysis.table_file import read_table
from lina_lab.analysis.tuning import trials_table
from lina_lab.errors import LabError
from lina_lab.files import write_atomic
from lina_lab.ledger.cells import read_experiment
from lina_lab.ledger.forecasts import Forecast, forecasts_of, forecasts_text, read_forecasts
from lina_lab.ledger.metrics import read_metrics
from lina_lab.ledger.plan import Plan, load_plan, parse_plan, plan_text
from lina_lab.metric_names import LOSS

PLAN, FORECASTS, SETTINGS = "plan.json", "forecast.json", "settings.json"
SAMPLES, SAMPLE_STEPS = "samples.npz", "samples-steps.npz"
TABLES = {"curves": ".csv", "trials": ".csv", "gates": ".parquet", "evaluations": ".csv"}
"""Fields of `ReportData` that have a file where they have rows, and its ending."""


class ReportData(NamedTuple):
    plan: Plan
    table: pd.DataFrame
    """A row a cell; see `results_table`."""
    points: pd.DataFrame
    """A row a point along a run before its end, with the columns of `table`; empty without any."""
    curves: pd.DataFrame
    """One row a validation: key, step, samples, loss."""
    trials: pd.DataFrame
    """A row a trial; empty without tuning."""
    gates: pd.DataFrame
    """A row a weight, with the key of its cell; see `gates_table`. Empty if no design has a gate."""
    evaluations: pd.DataFrame
    """A row a measurement; see `evaluations_table`. Empty if no cell was measured but by itself."""
    samples: Mapping[str, Samples]
    """By the key of their cell; none if nothing was drawn."""
    provenance: Mapping[str, str]
    """Where the results come from, in words; empty if there are none."""
    forecasts: Sequence[Forecast] = ()
    """All that was forecast, the oldest first."""
    settings: Settings = {}
    """What the cells were asked to be; empty if that is not known."""
    sample_steps: Mapping[str, SampleSteps] = {}
    """By the key of their cell; none if training drew no sheets, or they are not there."""


def report_data_of_ledger(runs: Path, plan: Plan) -> ReportData:
    rows = all_rows(runs, plan)
    table = ends(rows).reset_index(drop=True)
    finished = table[has_result(table)]
    samples = samples_of_ledger(runs, table)
    return ReportData(
        plan=plan,
        table=table,
        points=before_the_end(rows).reset_index(drop=True),
        curves=curves_table(runs, table),
        trials=trials_table(runs, plan) if plan.tune else pd.DataFrame(),
        gates=_gates(runs, table),
        evaluations=evaluations_of_study(runs, table),
        samples=samples,
        provenance=facts_of_ledger(runs, finished) if len(finished) else {},
        forecasts=forecasts_of(runs, plan),
        settings=settings_of_ledger(runs, plan),
        sample_steps=steps_of_ledger(runs, table, samples),
    )


def write_report_data(data: ReportData, out: Path) -> None:
    """Write everything that `read_report_data` reads."""
    # Of the plan all but where its file lies: a report is for others.
    write_atomic(out / PLAN, plan_text(data.plan._replace(file="", metric=data.plan.metric._replace(place=""))))
    rows = pd.concat([data.table, data.points]) if len(data.points) else data.table
    write_table(rows, out / "table.csv")
    write_table(rows, out / "table.parquet")
    for name, ending in TABLES.items():
        path, table = out / f"{name}{ending}", getattr(data, name)
        if len(table):
            write_table(table, path)
        else:
            path.unlink(missing_ok=True)  # of an earlier report
    for name, by_key in ((SAMPLES, data.samples), (SAMPLE_STEPS, data.sample_steps)):
        if by_key:
            write_atomic(out / name, npz_bytes(by_key))
        else:
            (out / name).unlink(missing_ok=True)
    if data.forecasts:
        write_atomic(out / FORECASTS, forecasts_text(data.forecasts))
    else:
        (out / FORECASTS).unlink(missing_ok=True)
    if data.settings:
        write_atomic(out / SETTINGS, json.dumps(data.settings, indent=1, ensure_ascii=False) + "\n")
    else:
        (out / SETTINGS).unlink(missing_ok=True)
    write_atomic(out / "provenance.json", json.dumps(data.provenance, indent=1, ensure_ascii=False) + "\n")


def make_way(out: Path, plan: Plan) -> Path | None:
    """Rename the folder of a report with cells that the plan lacks: its new path; None if there is nothing to rename.

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
    """The folder of a report, given relative to the working folder or any folder above it."""
    places = [Path(name), *(folder / name for folder in Path.cwd().parents)]
    return next((place for place in places if (place / PLAN).exists()), Path(name))


def read_report_data(folder: Path) -> ReportData:
    """What a report's folder holds.

    Raises:
        LabError: if the folder is no report, or a file of it is damaged.
    """
    path = folder / PLAN
    if not path.exists():
        raise LabError(f"{folder}: is no report: it has no {PLAN}; lab report SWEEP writes one")
    plan = parse_plan(path.read_text(encoding="utf-8"), path)
    rows = _read(folder / "table.csv")
    table = ends(rows).reset_index(drop=True)
    table.attrs["axes"] = list(plan.axes)
    others = {name: folder / f"{name}{ending}" for name, ending in TABLES.items()}
    return ReportData(
        plan=plan,
        table=table,
        points=before_the_end(rows).reset_index(drop=True),
        **{name: _read(path) if path.exists() else pd.DataFrame() for name, path in others.items()},
        samples=read_npz(folder / SAMPLES, Samples),
        provenance=_provenance(folder / "provenance.json", table[has_result(table)]),
        forecasts=read_forecasts(folder / FORECASTS),
        settings=_facts(folder / SETTINGS),
        sample_steps=read_npz(folder / SAMPLE_STEPS, SampleSteps),
    )


def find_report_data(runs: Path, name: str) -> ReportData:
    """A study by the folder of its report, or by its name in the ledger.

    Raises:
        LabError: if there is neither.
    """
    folder = Path(name)
    return read_report_data(folder) if folder.is_dir() else report_data_of_ledger(runs, load_plan(runs, name))


def _read(path: Path) -> pd.DataFrame:
    return read_table(path).reset_index(drop=True)


def _provenance(path: Path, finished: pd.DataFrame) -> dict[str, str]:
    if path.exists():
        return _facts(path)
    return facts_of_table(finished) if len(finished) else {}


def _facts(path: Path) -> dict[str, Any]:
    """Of a JSON file; none if it is not there."""
    if not path.exists():
        return {}
    try:
        return dict(json.loads(path.read_text(encoding="utf-8")))
    except (ValueError, TypeError) as error:
        raise LabError(f"{path}: damaged: {error}; lab report writes it again") from error


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
    """The gates of the first seed's cells whose weights are still there."""
    tables = []
    for key in table.loc[(table["seed"] == table["seed"].min()) & (table["state"] == "done"), "key"]:
        path = gates_file(runs / key)
        weights = read_gates(path) if path.exists() else {}
        if weights:
            experiment = read_experiment(runs / key)
            tables.append(gates_table(weights, experiment.model, experiment.data.shape).assign(key=key))
    return pd.concat(tables, ignore_index=True) if tables else pd.DataFrame()
