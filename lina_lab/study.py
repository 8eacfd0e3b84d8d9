"""A study from Python: `from lina_lab import study`. Each function does what the command of its name does.

A mistake in what was asked is a `LabError`; nothing ends the process. Where a command takes `--set` and `--where`, a
function takes a mapping (`{"training.steps": 600}`, `{"seed": 0, "model.size": ["nano", "micro"]}`), or those words.
`runs` is the folder of the ledger: by default `LAB_RUNS`, or runs.
"""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Unpack

from lina_lab.errors import LabError
from lina_lab.study_options import (
    CompareWords,
    EngineOptions,
    Folder,
    PlanOptions,
    Words,
    as_command,
    folder_of,
    setting_words,
    where_words,
)
from lina_lab.study_values import StudyStatus, status_of

if TYPE_CHECKING:
    import pandas as pd

    from lina_lab.analysis.cards import StudyVerdict
    from lina_lab.analysis.comparison import Verdict
    from lina_lab.analysis.report_data import ReportData
    from lina_lab.bundle.merge import Merged
    from lina_lab.bundle.pack import Packed
    from lina_lab.cli.launch import Ran
    from lina_lab.cli.plan_answer import Answer
    from lina_lab.sweep.planning import PlannedSweep


def planned(
    sweep: Folder,
    settings: Words = (),
    where: Words = (),
    *,
    runs: Folder | None = None,
    max_cells: int | None = None,
    dry_run: bool = False,
) -> "PlannedSweep":
    """The cells of a sweep's file, and all that is needed to run them. Nothing is run or written.

    dry_run: also where data or weights that a run needs are not here; its `missing` names them.

    Raises:
        LabError: with every problem of the sweep and of its cells, each with file and line.
    """
    from lina_lab.cli.planning import planned_sweep

    words = setting_words(settings), folder_of(runs), max_cells, where_words(where)
    return planned_sweep(Path(sweep), *words, dry_run=dry_run)


def run(
    sweep: Folder,
    settings: Words = (),
    where: Words = (),
    *,
    runs: Folder | None = None,
    retries: int = 2,
    tracking: bool = True,
    keep_going: bool = False,
    **engine: Unpack[EngineOptions],
) -> "Ran":
    """Run every cell of a sweep without a result, show it live, and say how it ended: `lab sweep`.

    Stopped, by the notebook's stop button or Ctrl-C, every cell writes a checkpoint, and the same call continues.
    Results record the command that would do the same.

    Raises:
        LabError: if it cannot be run so; or if cells fail alike at their start, as in a broken environment.
        KeyboardInterrupt: if it was stopped.
    """
    words = [word for setting in setting_words(settings) for word in ("--set", setting)]
    words += [word for part in where_words(where) for word in ("--where", part)]
    options = {"engine" if name == "name" else name.replace("_", "-"): value for name, value in engine.items()}
    words += [word for name, value in options.items() if value is not None for word in (f"--{name}", str(value))]
    words += [*(["--keep-going"] if keep_going else []), *([] if tracking else ["--no-tracking"])]
    folder = folder_of(runs)
    with as_command("sweep", str(sweep), *words, "--retries", str(retries), "--runs", str(folder)):
        found = planned(sweep, settings, where, runs=folder)
        return run_planned(found, runs=folder, retries=retries, tracking=tracking, keep_going=keep_going, **engine)


def run_planned(
    found: "PlannedSweep",
    *,
    runs: Folder | None = None,
    retries: int = 2,
    tracking: bool = True,
    keep_going: bool = False,
    **engine: Unpack[EngineOptions],
) -> "Ran":
    """The same of what `planned` gave."""
    from lina_lab.cli.launch import launch, refuse_expensive
    from lina_lab.config.sweep import chosen_engine

    folder, chosen = folder_of(runs), chosen_engine(found.engine, **engine)
    refuse_expensive(found, folder, chosen)
    return launch(found, folder, chosen, retries, tracking=tracking, keep_going=keep_going)


def status(name: Folder, *, runs: Folder | None = None) -> StudyStatus:
    """The state of every cell of a sweep, by its name or its YAML file.

    Raises:
        LabError: if no sweep of that name has run here.
    """
    from lina_lab.ledger.plan import load_plan

    folder = folder_of(runs)
    return status_of(folder, load_plan(folder, str(name)))


def table(
    name: Folder, *, runs: Folder | None = None, source: Literal["ledger", "mlflow"] = "ledger"
) -> "pd.DataFrame":
    """Every column of every cell of a sweep: a row a cell, then a row for each point along its run.

    Raises:
        LabError: if no sweep of that name has run here.
    """
    from lina_lab.analysis.table import all_rows
    from lina_lab.ledger.plan import load_plan

    folder = folder_of(runs)
    if source == "mlflow":
        from lina_lab.tracking.table import mlflow_table

        return mlflow_table(folder, str(name))[0]
    return all_rows(folder, load_plan(folder, str(name)))


def data(name: Folder, *, runs: Folder | None = None) -> "ReportData":
    """All that a report is made from: plan, table, curves, trials, gates, evaluations, samples, forecasts.

    name: the folder of a report, given relative to the working folder or any above it; or a sweep of the ledger.

    Raises:
        LabError: if there is neither.
    """
    from lina_lab.analysis.report_data import PLAN, find_report, read_report_data, report_data_of_ledger
    from lina_lab.ledger.plan import load_plan

    report_folder, folder = find_report(str(name)), folder_of(runs)
    if (report_folder / PLAN).exists():
        return read_report_data(report_folder)
    return report_data_of_ledger(folder, load_plan(folder, str(name)))


def verdict(name: Folder, *, runs: Folder | None = None) -> "StudyVerdict":
    """Every value of every axis against the axis's first: a card a question, and the findings. `name` as in `data`.

    Raises:
        LabError: if no cell has the study's metric yet, or the cells cannot be compared.
    """
    from lina_lab.analysis.cards import study_verdict

    found = data(name, runs=runs)
    return study_verdict(found.plan, found.table, found.curves)


def report(name: Folder, out: Folder | None = None, *, runs: Folder | None = None, tracking: bool = True) -> Path:
    """Write verdict, tables, figures and page of a sweep; of a report's folder, draw it again: the path of the page.

    out: by default reports/<name>. tracking: bring it to MLflow, where that has the sweep.

    Raises:
        LabError: if no cell has the study's metric yet, or the cells cannot be compared.
    """
    from lina_lab.cli.progress_display import ShareDone
    from lina_lab.cli.report_tracking import write_tracked
    from lina_lab.ledger.plan import load_plan
    from lina_lab.report.page import redraw_report

    show, folder = ShareDone("comparing pairs of designs"), folder_of(runs)
    if os.sep in str(name) and Path(name).is_dir():
        if out is not None:
            raise LabError(f"--out: goes with the name of a sweep; the report in {name} is drawn again where it is")
        return redraw_report(Path(name), show, print)
    found = load_plan(folder, str(name))
    return write_tracked(folder, found, Path(out or Path("reports") / found.name), show, tracking=tracking)


def compare(
    rows: "pd.DataFrame | Folder",
    y: str,
    by: Sequence[str],
    a: Sequence[Any],
    b: Sequence[Any],
    x: str = "parameters",
    pair: str | None = None,
    **options: Unpack[CompareWords],
) -> "Verdict":
    """Which of two designs of a table is better, what that is worth in compute, and which scales better.

    rows: a row a cell, or the file of such a table. y: the column to compare by, or a metric without its extractor.
    by: columns that make a design; a, b: the values of the two on them. pair: what a pair shares besides x, by default
    the seed.

    Raises:
        LabError: if a column or design is not there.
    """
    from lina_lab.analysis.columns import as_meant, costs_of
    from lina_lab.analysis.comparison import CompareOptions, compare_designs
    from lina_lab.analysis.match_cells import Columns, as_text
    from lina_lab.analysis.study_metric import metric_of
    from lina_lab.analysis.table_file import read_table

    found = read_table(Path(rows)) if isinstance(rows, Path | str) else rows
    wanted = Columns(x=x, y=y, by=tuple(by), pair=pair)
    cells, columns = as_meant(found, wanted, drop_missing=options.get("drop_missing", False))
    higher = options.get("higher_is_better")
    cells, costs = costs_of(cells, options.get("cost", ()))
    chosen = CompareOptions(
        lr_tuned=options.get("lr_tuned", False),
        higher_is_better=metric_of(columns.y).sign < 0 if higher is None else higher,
        comparisons=options.get("comparisons", 1),
        costs=costs,
    )
    return compare_designs(cells, columns, [as_text(value) for value in a], [as_text(value) for value in b], chosen)


def plan(
    sweep: Folder, settings: Words = (), *, runs: Folder | None = None, **options: Unpack[PlanOptions]
) -> "Answer":
    """The cheapest study that would decide, with its power and hours, and in `yaml` the sweep to run: `lab plan`.

    Raises:
        LabError: naming what cannot be planned.
    """
    from lina_lab.cli.plan_answer import PlanRequest
    from lina_lab.cli.plan_study import answered

    request = PlanRequest(
        file=Path(sweep),
        budget=options.get("budget"),
        pilot=options.get("pilot"),
        about=options.get("about"),
        claim=options.get("claim", "better"),
        max_seeds=options.get("max_seeds", 10),
        workers=options.get("workers"),
        settings=setting_words(settings),
        out=None,
        runs=folder_of(runs),
    )
    return answered(request)


def bundle(
    name: Folder, out: Folder | None = None, where: Words = (), *, runs: Folder | None = None
) -> "tuple[Path, Packed]":
    """Pack the finished cells of a sweep, or of a part of it, into one file: its path, and what is in it.

    out: by default <name>.bundle.tar.gz in the working folder.

    Raises:
        LabError: if none has ended.
    """
    from lina_lab.bundle.pack import pack
    from lina_lab.ledger.part import parse_part
    from lina_lab.ledger.plan import load_plan

    folder = folder_of(runs)
    found = load_plan(folder, str(name))
    path = Path(out or f"{found.name}.bundle.tar.gz")
    return path, pack(folder, found, path, parse_part(where_words(where), found))


def merge(*files: Folder, plugins: Sequence[str] = (), runs: Folder | None = None) -> "list[Merged]":
    """Add the cells of bundles to the ledger, after all files have been checked whole: what became of each file's.

    plugins: files of the user's that their designs come from; of a bundle none is ever run.

    Raises:
        LabError: if a file is damaged, or a cell is here with another result: nothing of that file is added then.
    """
    from lina_lab.bundle.merge import merge as add
    from lina_lab.bundle.verify import verified
    from lina_lab.plugins.load import find, load

    folder, done = folder_of(runs), []
    for name in plugins:
        load(find(name, Path()))
    for found in [verified(Path(file), folder) for file in files]:
        done.append(add(folder, found, print))
        for line in done[-1].told(found, folder):
            print(line)
    return done
