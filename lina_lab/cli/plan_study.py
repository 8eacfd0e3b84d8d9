"""What `lab plan` computes: the cells that may be chosen, their pilot, and the answer."""

import json
import math
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from lina_lab.analysis.columns import own_states
from lina_lab.analysis.lengths import ends
from lina_lab.analysis.match_cells import as_text
from lina_lab.analysis.study_metric import study_metric
from lina_lab.analysis.study_plan import Choice, Question, Search, candidates, choose
from lina_lab.analysis.table import results_table
from lina_lab.analysis.table_file import read_table
from lina_lab.cli.documents import print_document
from lina_lab.cli.launch import engine_slots
from lina_lab.cli.plan_answer import WORDS, Answer, PlanRequest, document, print_answer
from lina_lab.cli.planning import planned_sweep
from lina_lab.cli.progress_display import ShareDone
from lina_lab.config.sweep import chosen_engine, parse_settings
from lina_lab.errors import LabError
from lina_lab.files import write_atomic
from lina_lab.ledger.plan import load_plan
from lina_lab.sweep.next_study import (
    SIZE_PATH,
    Asked,
    Widest,
    pilot_settings,
    questions,
    study_cells,
    study_yaml,
    widest,
)
from lina_lab.sweep.planning import PlannedSweep


def plan_study(request: PlanRequest, *, as_json: bool) -> None:
    """Print the answer, and write the YAML if a file was named.

    Raises:
        LabError: naming what cannot be planned, or that the file is there already.
    """
    if request.out is not None and request.out.exists():
        raise LabError(f"--out {request.out}: is there already: name another file, or remove it")
    with _silent_output(quiet=as_json):
        answer = answered(request)
    if request.out is not None and answer.yaml:
        write_atomic(request.out, answer.yaml)
    if as_json:
        print_document("plan", document(request, answer))
    else:
        print_answer(request, answer)


def _silent_output(*, quiet: bool) -> Any:
    """Progress goes to standard error beside one JSON document."""
    import contextlib

    return contextlib.redirect_stdout(sys.stderr) if quiet else contextlib.nullcontext()


def answered(request: PlanRequest) -> Answer:
    """The cheapest study that would decide, or what is missing to tell.

    Raises:
        LabError: naming what cannot be planned.
    """
    planned = planned_sweep(request.file, request.settings, request.runs, None, dry_run=True)
    study = widest(planned, _again(request), request.max_seeds)
    table, source = pilot_table(request, planned)
    budget = request.budget or planned.budget.hours or math.inf
    search = Search(
        cells=(),
        asked=study.asked,
        more=study.more,
        seeds=study.seeds,
        workers=_workers(request, planned),
        level=0.95,
    )
    if table.empty or not (table["state"] == "done").any():
        return _pilot_first(request, planned, study, search, [f"no cell of {source} is done"])
    metric = study_metric(table, planned.plan)
    cells = study_cells(study.planned, table)
    asked = questions(study.planned, table, metric, cells)
    chosen_questions = _about(asked.questions, request.about)
    if not chosen_questions:
        return _pilot_first(request, planned, study, search, asked.without)
    search = search._replace(cells=cells, level=1 - 0.05 / asked.comparisons)
    found = candidates(search, chosen_questions, ShareDone("simulating studies"))
    choice = choose(found, chosen_questions, search, request.claim, budget, ShareDone("looking closer"))
    kind = "too little" if choice is None else "enough" if choice.enough else "best"
    text = "" if choice is None else _chosen_yaml(request, planned, choice, source)
    notes = _notes(table, study, search, choice, source)
    return Answer(
        answer=kind,
        name=planned.plan.name,
        search=search,
        budget_hours=budget,
        asked=asked,
        found=found,
        choice=choice,
        notes=notes,
        yaml=text,
    )


def _again(request: PlanRequest) -> Callable[[Mapping[str, Any]], PlannedSweep]:
    def planned(settings: Mapping[str, Any]) -> PlannedSweep:
        words = [word for word in request.settings if word.partition("=")[0] not in settings]
        return planned_sweep(
            request.file,
            [*words, *(f"{key}={json.dumps(value)}" for key, value in settings.items())],
            request.runs,
            None,
            dry_run=True,
        )

    return planned


def pilot_table(request: PlanRequest, planned: PlannedSweep) -> tuple[pd.DataFrame, str]:
    """The pilot's cells and where they come from: a table's file, a report's folder, or a sweep that has run.

    Raises:
        LabError: if what was named is not there, or lacks the columns of the sweep's axes.
    """
    name = request.pilot or planned.plan.name
    path = Path(name)
    path = path / "table.csv" if path.is_dir() and request.pilot else path
    if request.pilot and path.is_file() and path.suffix not in {".yaml", ".yml"}:
        table = read_table(path)
        table = ends(table.assign(state=own_states(table)))
        missing = [axis for axis in (*planned.plan.axes, "seed") if axis not in table]
        if missing:
            raise LabError(f"{path}: has no column {', '.join(missing)}, an axis of {planned.plan.name}")
        return table, str(path)
    try:
        plan = load_plan(request.runs, name)
    except LabError:
        if request.pilot:
            raise
        return pd.DataFrame(), name
    return results_table(request.runs, plan), name


def _workers(request: PlanRequest, planned: PlannedSweep) -> int:
    engine = chosen_engine(planned.engine, workers=request.workers)
    if engine.name == "slurm":
        if not isinstance(engine.workers, int):
            raise LabError("--workers: how many cells run at once on the cluster? The plan's hours depend on it")
        return engine.workers
    return len(engine_slots(engine))


def _about(found: list[Question], about: str | None) -> list[Question]:
    if about is None:
        return found
    axis, _, value = about.partition("=")
    kept = [q for q in found if q.pair.axis == axis and value in {"", as_text(q.pair.value)}]
    if not kept and found:
        there = dict.fromkeys(f"{q.pair.axis}={as_text(q.pair.value)}" for q in found)
        raise LabError(f"--about {about}: the pilot tells of {', '.join(there)}")
    return kept


def _pilot_first(request: PlanRequest, planned: PlannedSweep, study: Widest, search: Search, why: list[str]) -> Answer:
    """What to run where no pilot tells the spread."""
    settings = parse_settings(request.settings) | pilot_settings(study) | {"name": f"{planned.plan.name}-pilot"}
    comment = [f"A pilot for lab plan {request.file.name}: its spread over seeds, gaps and seconds tell what to run."]
    text = study_yaml(request.file, settings, comment, _folder(request))
    return Answer(
        answer="pilot",
        name=planned.plan.name,
        search=search,
        budget_hours=math.inf,
        asked=Asked(questions=[], without=why, against=[], comparisons=0),
        found=[],
        choice=None,
        notes=[],
        yaml=text,
    )


def _chosen_yaml(request: PlanRequest, planned: PlannedSweep, choice: Choice, source: str) -> str:
    chosen = choice.chosen
    settings = parse_settings(request.settings)
    settings |= {SIZE_PATH: list(chosen.sizes), "seeds": list(chosen.seeds), "name": f"{planned.plan.name}-planned"}
    about = request.about or "all axes"
    comment = [
        f"Planned by lab plan {request.file.name} from {source}: {chosen.to_run} of {chosen.cells} cells to run.",
        f"Power {chosen.power(request.claim):.0%} over {len(choice.details)} of its comparisons ({about}): "
        + WORDS[request.claim],
    ]
    return study_yaml(request.file, settings, comment, _folder(request))


def _folder(request: PlanRequest) -> Path:
    return (request.out or request.file).parent


def _notes(table: pd.DataFrame, study: Widest, search: Search, choice: Choice | None, source: str) -> list[str]:
    """What the numbers rest on."""
    cpus = ", ".join(sorted(table.get("cpu", pd.Series(dtype=str)).dropna().astype(str).unique()))
    notes = [
        f"Hours: seconds of training, drawing and measuring of {int((table['state'] == 'done').sum())} finished cells"
        f"{f' on {cpus}' if cpus else ''}, {search.workers} at once"
        + ("; * of a size that was never timed, by FLOPs" if any(cell.extrapolated for cell in search.cells) else "")
    ]
    if not any(cell.done for cell in search.cells):
        notes.append(f"No cell of {source} is one of this study (their keys differ): every cell is to be run")
    if study.planned.tune:
        notes.append("Trials of tuning are not in the hours")
    ratio = _length_ratio(table, study)
    if ratio is not None:
        notes.append(
            f"The pilot's trainings have {ratio:.3g} times the FLOPs of this study's: gap and spread may differ"
        )
    notes.append("Lengths stay as they are: how gap and spread change with the length is not known from one length")
    if choice is not None and set(choice.chosen.sizes) - set(table["size"].map(as_text)):
        notes.append("Values at sizes without a pilot lie on each design's power law")
    return notes


def _length_ratio(table: pd.DataFrame, study: Widest) -> float | None:
    """FLOPs of the pilot's trainings over those of the study's cells of the same axis values; None within 5 %."""
    flops = {tuple(map(as_text, cell.values.values())): cell.flops for cell in study.planned.plan.cells}
    axes = list(study.planned.plan.axes)
    rows = table[table["state"] == "done"]
    places = [tuple(row) for row in rows[axes].map(as_text).to_numpy()]
    ratios = [r / flops[p] for r, p in zip(rows["flops_training"], places, strict=True) if p in flops and r == r]  # noqa: PLR0124
    middle = sorted(ratios)[len(ratios) // 2] if ratios else 1.0
    return middle if abs(middle - 1) > 0.05 else None
