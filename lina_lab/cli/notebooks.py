"""`lab notebook`: one of analysis/ on the report of a sweep."""

import json
from pathlib import Path

from lina_lab.analysis.study import PLAN
from lina_lab.errors import LabError
from lina_lab.files import write_atomic

NOTEBOOKS, REPORTS = Path("analysis"), Path("reports")


def run_notebook(name: str, sweep: str) -> Path:
    """Run a notebook from top to bottom on a report: the copy, with its outputs, beside the report.

    Raises:
        LabError: if there is no such notebook or report, papermill is not installed, or a cell fails.
    """
    source = _notebook(name)
    report = Path(sweep) if (Path(sweep) / PLAN).exists() else REPORTS / sweep
    if not (report / PLAN).exists():
        raise LabError(f"{report}: is no report: it has no {PLAN}; lab report {sweep} writes one")
    try:
        from papermill import PapermillExecutionError, execute_notebook
    except ImportError as error:
        raise LabError("papermill is not installed: pip install 'lina-lab[notebooks]' brings it") from error
    out = report / source.name
    try:
        # From within the report's folder: no path of this machine stands in the copy.
        execute_notebook(
            str(source.resolve()),
            str(out.resolve()),
            {"report": "."},
            cwd=str(report),
            kernel_name="python3",
            progress_bar=False,
            extra_arguments=["--log-level=40"],  # the kernel listens on loopback, and says so at length
        )
    except PapermillExecutionError as error:
        raise LabError(f"{out}: cell {error.exec_count} failed: {error.ename}: {error.evalue}") from error
    _forget_where(out)
    return out


def _forget_where(path: Path) -> None:
    """Take out what papermill wrote of this machine: paths, and times that differ every run."""
    book = json.loads(path.read_text(encoding="utf-8"))
    for part in (book, *book["cells"]):
        part["metadata"].pop("papermill", None)
        part["metadata"].pop("execution", None)
    write_atomic(path, json.dumps(book, indent=1, ensure_ascii=False) + "\n")


def _notebook(name: str) -> Path:
    found = sorted(NOTEBOOKS.glob(f"{name.removesuffix('.ipynb')}*.ipynb"))
    if len(found) != 1:
        known = ", ".join(path.stem for path in sorted(NOTEBOOKS.glob("*.ipynb"))) or "none"
        raise LabError(f"{name}: must name one notebook of {NOTEBOOKS}/, not {len(found)} (there: {known})")
    return found[0]
