"""What the run of a sweep itself says in MLflow: question, verdict and figures, plan, forecasts, states."""

from collections.abc import Iterable, Mapping
from pathlib import Path

from PIL import Image

from lina_lab.escape import markdown_cell, shortened
from lina_lab.ledger.forecasts import forecasts_of, forecasts_text
from lina_lab.ledger.plan import Plan, plan_text
from lina_lab.ledger.report_place import ReportPlace, report_of
from lina_lab.sheets import beside
from lina_lab.sweep.state import counts
from lina_lab.tracking.run_record import sheets

STATUS = {
    "running": "RUNNING",
    "waiting": "SCHEDULED",
    "stopped": "KILLED",
    "failed": "FAILED",
    "done": "FINISHED",
    # As for a cell: a finding, and nothing to be repaired.
    "diverged": "FINISHED",
}
"""What a sweep does, and MLflow's word for it."""
SHEET = "samples.png"
"""The last sheets of all designs side by side: MLflow itself compares ten images, squared."""
MOST_SHEETS = 200
VERDICT = "verdict.md"
"""Of a report: its own file, or what it says first."""
MOST_LINES = 12
"""Of a verdict in a note."""


def driver_texts(runs: Path, plan: Plan, report: ReportPlace | None) -> dict[str, str]:
    """The texts of the run by their name: its plan, every forecast of its cells, the verdict; what there is."""
    forecasts = forecasts_of(runs, plan)
    texts = {f"{plan.name}.json": plan_text(plan)}
    texts |= {"forecast.json": forecasts_text(forecasts)} if forecasts else {}
    if report is not None and not (report.folder / VERDICT).exists():
        texts[f"report/{VERDICT}"] = f"{plan.question}\n\n{_items(report.verdict)}"
    return texts


def report_files(report: ReportPlace | None) -> list[Path]:
    """The page of a report, its figures and its verdict; what MLflow shows without a download."""
    if report is None:
        return []
    return [report.page, *sorted(report.folder.glob("*.png")), *report.folder.glob(VERDICT)]


def driver_tags(runs: Path, plan: Plan, state: str, states: Mapping[str, str]) -> dict[str, str]:
    """The tags of the run, with how many cells are in which state."""
    return {
        "lab.sweep": plan.name,
        "lab.role": "driver",
        "lab.state": state,
        "lab.commit": plan.provenance.commit or "unknown",
        "question": plan.question,
        "mlflow.note.content": note(plan, report_of(runs, plan), counts(plan, states)),
    }


def note(plan: Plan, report: ReportPlace | None, found: Mapping[str, int]) -> str:
    """Question, verdict in short, counts of states, how to open it, as Markdown."""
    cells = _items(f"{number} {state}" for state, number in found.items())
    if report is None:
        opened = f"`lab report {plan.name}` writes verdict and figures, and brings them here."
        return f"{plan.question}\n\n{cells}\n{opened}\n"
    lines = [shortened(line, 300) for line in report.verdict[:MOST_LINES]]
    more = len(report.verdict) - MOST_LINES
    lines += [f"{more} more in report/verdict.md"] if more > 0 else []
    opened = "Figures and page are under Artifacts in `report/`: open `index.html` there."
    return f"{plan.question}\n\n{_items(lines)}\n{cells}\n{opened}\n"


def _items(lines: Iterable[str]) -> str:
    return "".join(f"- {markdown_cell(line)}\n" for line in lines)


def all_sheets(runs: Path, plan: Plan, names: Mapping[str, str], ended: Iterable[str]) -> list[tuple[str, Path]]:
    """Name and last sheet of every design and size, of the first seed that has one; of the cells that have `ended`."""
    found: dict[str, Path] = {}
    done = set(ended)
    for cell in plan.cells:
        steps = sheets(runs / cell.key) if cell.key in done else {}
        if steps:
            found.setdefault(names[cell.key], steps[max(steps)])
    return list(found.items())[:MOST_SHEETS]


def draw_sheets(named: Iterable[tuple[str, Path]]) -> Image.Image:
    """The sheets of all designs side by side."""
    return beside([(name, Image.open(path)) for name, path in named])
