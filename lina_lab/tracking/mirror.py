"""One sweep in MLflow, brought up to date with the ledger.

How far each run has come stands in MLflow itself, in the run's tag `lab.shipped`, so a store that was deleted is
rebuilt. The tag says before every batch what is about to be sent and after it what was; after a crash between the two
the batch is sent again, and rows that arrive twice are one row to MLflow.

A run that contradicts the ledger is replaced (deleted, and shipped anew): a cell that continued from a checkpoint
wrote its last rows again, with new times.
"""

import json
import math
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import NamedTuple

from lina_lab.analysis.names import design_names
from lina_lab.config.experiment import digest
from lina_lab.errors import LabError
from lina_lab.ledger.metrics import Metric
from lina_lab.ledger.plan import Plan, PlannedCell
from lina_lab.ledger.report_place import report_of
from lina_lab.sweep.state import ENDED, sweep_state
from lina_lab.tracking import charts
from lina_lab.tracking.driver import SHEET, all_sheets, draw_sheets, driver_tags, driver_texts, report_files
from lina_lab.tracking.driver import STATUS as SWEEP_STATUS
from lina_lab.tracking.held import Cursor, Run, search, sheet_steps
from lina_lab.tracking.run_record import Facts, digest_files, digest_rows, digest_seen, read_facts, sheets, stamp
from lina_lab.tracking.store import connect, ensure_experiment

BATCH = 1000
"""Metrics that MLflow takes in one call."""
PARAMS_BATCH = 100
FILES = ("config.yaml", "metrics.csv", "result.json", "error.txt")
STATUS = {
    "waiting": "SCHEDULED",
    "running": "RUNNING",
    "done": "FINISHED",
    # Divergence is a finding about the design, not a fault of the run: nothing is to be repaired or tried again.
    "diverged": "FINISHED",
    "pruned": "FINISHED",
    "failed": "FAILED",
}


class Synced(NamedTuple):
    """What was sent; `cells` counts the planned cells that have a run in MLflow now."""

    cells: int = 0
    created: int = 0
    metrics: int = 0
    images: int = 0
    files: int = 0

    def __str__(self) -> str:
        sent = f"{self.created} runs, {self.metrics} metrics, {self.images} images, {self.files} files"
        return f"MLflow holds the runs of {self.cells} cells; sent now: {sent}"


class View:
    """One sweep's experiment in MLflow; `update` may be called again and again."""

    def __init__(self, runs: Path, plan: Plan, only: Collection[str] | None = None) -> None:
        """With `only`, keys of cells, these alone are brought up to date, as their own job does."""
        self.runs, self.only = runs, only
        self._take(plan)
        self.client = connect(runs)
        tags = {"mlflow.note.content": plan.question, "mlflow.experimentKind": "custom_model_development"}
        experiment = ensure_experiment(self.client, runs, plan.name, tags)
        self.experiment, self.tags = experiment.experiment_id, dict(experiment.tags)
        self.found: dict[str, Run] = {}
        for run in search(self.client, self.experiment):
            key = run.tags.get("lab.key", run.tags.get("lab.role"))
            if key in self.found:
                self.client.delete_run(run.id)
            elif key is not None:
                self.found[key] = run
        self.stamps: dict[str, tuple[object, ...]] = {}
        self.states: dict[str, str] = {}
        self.ended: dict[str, int] = {}
        """When each cell last gave a sign, in milliseconds."""
        self.begun: dict[str, int] = {}
        """When each cell first did."""

    def update(self, plan: Plan | None = None) -> Synced:
        """Send what is missing; `plan`, if it has grown.

        Raises:
            LabError: if the ledger of a cell is damaged; all other cells are up to date then.
        """
        self.sent = Synced()
        if plan is not None and plan is not self.plan:
            self._take(plan)
        problems = []
        for cell in self.plan.everything:
            try:
                if self.only is None or cell.key in self.only:
                    self._update_cell(cell)
            except LabError as error:
                problems.append(str(error))
        if self.only is None:
            self._retire_others()
            self._update_driver()
            self._update_charts()
        if problems:
            raise LabError("\n".join(problems))
        return self.sent._replace(cells=sum(cell.key in self.found for cell in self.plan.everything))

    def _take(self, plan: Plan) -> None:
        name = design_names(plan)
        self.plan, self.pages = plan, charts.pages(plan.cells)
        self.names = {cell.key: name(cell.values) if cell.values else plan.name for cell in plan.cells}
        self.places = {cell.key: str(number) for number, page in enumerate(self.pages, 1) for cell in page}

    def _update_cell(self, cell: PlannedCell) -> None:
        folder = self.runs / cell.key
        place = self.places.get(cell.key, "")
        seen = (*stamp(folder), place)
        if self.stamps.get(cell.key) == seen:
            return
        facts = read_facts(folder, cell, self.plan)
        if cell.trial is None:
            name = self.names[cell.key]
            facts.tags.update({charts.GROUP_TAG: name, charts.PAGE_TAG: place})
            facts.tags["mlflow.runName"] = f"{name}, seed {cell.seed}" if cell.values else name
        self.states[cell.key] = facts.state
        if cell.key not in self.found and facts.state == "waiting" and not facts.rows:
            return
        if facts.rows:
            self.begun[cell.key] = _milliseconds(facts.rows[0].time)
        run = self._run(cell, facts)
        self._send_params(run, facts.params)
        self._send_rows(run, facts.rows)
        self._send_sheets(run, folder)
        self._send_end(run, folder, facts)
        self.stamps[cell.key] = seen

    def _run(self, cell: PlannedCell, facts: Facts) -> Run:
        run = self.found.get(cell.key)
        if run is not None and _contradicts(run, facts):
            self.client.delete_run(run.id)
            run = None
        if run is None:
            run = self._create(facts.tags, facts.tags["mlflow.runName"], self.begun.get(cell.key))
            self.found[cell.key] = run
        return run

    def _create(self, tags: Mapping[str, str], name: str, start: int | None) -> Run:
        self._count(created=1)
        run = Run(self.client.create_run(self.experiment, start_time=start, tags=dict(tags), run_name=name))
        run.sheets = set()
        return run

    def _send_params(self, run: Run, params: Mapping[str, str]) -> None:
        from mlflow.entities import Param

        new = [Param(k, v) for k, v in params.items() if k not in run.params]
        for first in range(0, len(new), PARAMS_BATCH):
            self.client.log_batch(run.id, params=new[first : first + PARAMS_BATCH], synchronous=True)
        run.params |= params

    def _send_rows(self, run: Run, rows: list[Metric]) -> None:
        """What is not finite is not sent, but counted: MLflow would store 1.8e308."""
        from mlflow.entities import Metric as Row

        for first in range(run.cursor.rows, len(rows), BATCH):
            upto = min(first + BATCH, len(rows))
            self._advance(run, run.cursor._replace(rows=first, upto=upto, digest=digest_rows(rows[:upto])))
            chunk = [r for r in rows[first:upto] if math.isfinite(r.value)]
            batch = [Row(r.metric, r.value, _milliseconds(r.time), r.step) for r in chunk]
            self.client.log_batch(run.id, metrics=batch, synchronous=True)
            run.metrics |= {r.metric for r in chunk}
            self._count(metrics=len(chunk))
        self._advance(run, run.cursor._replace(rows=len(rows)))

    def _send_sheets(self, run: Run, folder: Path) -> None:
        from PIL import Image

        paths = sheets(folder)
        if not paths:
            return
        if run.sheets is None:
            run.sheets = sheet_steps(self.client, run.id)
        for step in sorted(paths.keys() - run.sheets):
            when = _milliseconds(paths[step].stat().st_mtime)
            with Image.open(paths[step]) as image:
                self.client.log_image(run.id, image, key=charts.SHEETS, step=step, timestamp=when, synchronous=True)
            run.sheets.add(step)
            self._count(images=1)

    def _send_end(self, run: Run, folder: Path, facts: Facts) -> None:
        """The files of a cell that ended, then its status: a run that says FINISHED is complete."""
        files = ""
        if facts.state in ENDED:
            paths = [folder / name for name in FILES if (folder / name).exists()]
            files = digest_files(paths)
            for path in paths if files != run.cursor.files else []:
                self.client.log_artifact(run.id, str(path))
                self._count(files=1)
        self._send_tags(run, facts.tags)
        ended = _milliseconds(facts.rows[-1].time if facts.rows else folder.stat().st_mtime)
        self.ended[folder.name] = ended
        self._send_status(run, STATUS[facts.state], ended)
        self._advance(run, run.cursor._replace(files=files))

    def _send_tags(self, run: Run, tags: Mapping[str, str]) -> None:
        from mlflow.entities import RunTag

        new = {k: v for k, v in tags.items() if run.tags.get(k) != v}
        if new:
            self.client.log_batch(run.id, tags=[RunTag(k, v) for k, v in new.items()], synchronous=True)
            run.tags |= new

    def _send_status(self, run: Run, status: str, ended: int | None) -> None:
        if status == run.status:
            return
        if status in {"FINISHED", "FAILED", "KILLED"}:
            self.client.set_terminated(run.id, status=status, end_time=ended)
        else:
            self.client.update_run(run.id, status=status)
        run.status = status

    def _advance(self, run: Run, cursor: Cursor) -> None:
        if cursor != run.cursor:
            self.client.set_tag(run.id, "lab.shipped", json.dumps(cursor._asdict()), synchronous=True)
            run.cursor = cursor

    def _retire_others(self) -> None:
        """Cells that the plan no longer has keep their run, outside the view of the sweep."""
        planned = {cell.key for cell in self.plan.everything}
        for key, run in self.found.items():
            if key != "driver" and key not in planned:
                self._send_tags(run, {"lab.role": "former cell"})

    def _update_driver(self) -> None:
        """One run for the sweep itself: question, verdict, plan, figures, and how many cells are where."""
        state = sweep_state(self.runs, self.plan, self.states)
        report = report_of(self.runs, self.plan)
        texts, files = driver_texts(self.runs, self.plan, report), report_files(report)
        drawn = all_sheets(self.runs, self.plan, self.names, (k for k, s in self.states.items() if s in ENDED))
        sent = digest(["".join(texts.values()), digest_seen([*files, *(path for _, path in drawn)])])[:16]
        names = {*texts, *(f"report/{path.name}" for path in files), *([SHEET] if drawn else [])}
        tags = driver_tags(self.runs, self.plan, state, self.states)
        run = self.found.get("driver")
        if run is not None and sent != run.cursor.files and not run.files_in(self.client, "report") <= names:
            self.client.delete_run(run.id)  # it would keep what the report no longer has
            run = None
        if run is None:
            run = self.found["driver"] = self._create(
                tags, f"sweep {self.plan.name}", min(self.begun.values(), default=None)
            )
        if sent != run.cursor.files:
            for name, text in texts.items():
                self.client.log_text(run.id, text, name)
            for path in files:
                self.client.log_artifact(run.id, str(path), "report")
            if drawn:
                self.client.log_image(run.id, draw_sheets(drawn), SHEET)
            self._count(files=len(names))
        self._send_tags(run, tags)
        self._send_status(run, SWEEP_STATUS[state], max(self.ended.values(), default=None))
        self._advance(run, run.cursor._replace(files=sent))

    def _update_charts(self) -> None:
        metrics = set().union(*(r.metrics for k, r in self.found.items() if k != "driver"))
        groups = [dict.fromkeys(self.names[cell.key] for cell in page) for page in self.pages]
        for key, value in charts.view_tags(metrics, groups).items():
            if self.tags.get(key) != value:
                self.client.set_experiment_tag(self.experiment, key, value)
                self.tags[key] = value

    def _count(self, **more: int) -> None:
        self.sent = self.sent._replace(**{k: getattr(self.sent, k) + n for k, n in more.items()})


def _contradicts(run: Run, facts: Facts) -> bool:
    """Whether MLflow holds rows or params that the ledger does not."""
    upto, digest = run.cursor.upto, run.cursor.digest
    rewound = upto > 0 and (len(facts.rows) < upto or digest_rows(facts.rows[:upto]) != digest)
    return rewound or not run.params.items() <= facts.params.items()


def _milliseconds(seconds: float) -> int:
    return round(seconds * 1000)
