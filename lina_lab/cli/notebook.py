"""`lab notebook`: run a notebook on the report of a sweep."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from lina_lab.errors import LabError
from lina_lab.interpreter import command, surroundings
from lina_lab.shipped import shipped

if TYPE_CHECKING:
    from traitlets.config import Config

REPORTS = Path("reports")
KERNEL = "lina-lab"
LONGEST_FOLDER = 90
"""Characters of a folder in which sockets can be: the whole path of one has at most 103."""


def notebook(
    name: Annotated[
        str, typer.Argument(metavar="NAME", help="A notebook of analysis/, by its name or the start of it; or a file.")
    ],
    sweep: Annotated[str, typer.Argument(metavar="SWEEP", help="Name of a sweep with a report, or its folder.")],
) -> None:
    """Run a notebook on the report of a sweep.

    It is saved, with what it shows, beside the report.

    Example: lab notebook 01_scaling_curves digits-quick
    """
    print(f"wrote {run_notebook(name, sweep)}")


def run_notebook(name: str, sweep: str) -> Path:
    """Run a notebook from top to bottom on a report: the copy, with its outputs, beside the report.

    It runs in this interpreter with this copy of the package, whatever kernels the user has.

    Raises:
        LabError: if there is no such notebook or report, papermill is not installed, or a cell fails.
    """
    from lina_lab.analysis.report_data import PLAN

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
        with _own_kernel() as traits:
            execute_notebook(
                str(source.resolve()),
                str(out.resolve()),
                {"report": "."},
                cwd=str(report),
                kernel_name=KERNEL,
                language="python",
                progress_bar=False,
                config=traits,
            )
    except PapermillExecutionError as error:
        raise LabError(f"{out}: cell {error.exec_count} failed: {error.ename}: {error.evalue}") from error
    _forget_where(out)
    return out


@contextmanager
def _own_kernel() -> "Iterator[Config]":
    """Within, Jupyter has the kernel `KERNEL`, and none of the user's kernels, settings and start-up files.

    Yields the settings with which the kernel is reached: by sockets in a folder of its own. A port that Jupyter found
    free may be another's before the kernel, which takes seconds to start, listens there.
    """
    import json
    import tempfile

    from traitlets.config import Config

    from lina_lab.files import write_atomic

    with tempfile.TemporaryDirectory() as folder:
        # The kernel says at length where it listens; IPython would put the working folder on its path.
        words = ("-f", "{connection_file}", "--log-level=40", "--IPKernelApp.ignore_cwd=True")
        spec = {"argv": command("ipykernel_launcher", *words), "display_name": "Python 3", "language": "python"}
        write_atomic(Path(folder, "kernels", KERNEL, "kernel.json"), json.dumps(spec))
        names = ("JUPYTER_PATH", "JUPYTER_DATA_DIR", "JUPYTER_RUNTIME_DIR", "JUPYTER_CONFIG_DIR", "IPYTHONDIR")
        sockets = {"transport": "ipc", "ip": f"{folder}/kernel"} if len(folder) < LONGEST_FOLDER else {}
        with surroundings(dict.fromkeys(names, folder)):
            yield Config(KernelManager=sockets)


def _forget_where(path: Path) -> None:
    """Take out what papermill wrote of this machine: paths, and times that differ every run."""
    import json

    from lina_lab.files import write_atomic

    book = json.loads(path.read_text(encoding="utf-8"))
    for part in (book, *book["cells"]):
        part["metadata"].pop("papermill", None)
        part["metadata"].pop("execution", None)
    write_atomic(path, json.dumps(book, indent=1, ensure_ascii=False) + "\n")


def _notebook(name: str) -> Path:
    """One of those that come with the package, by its name or its start; or a file of the user's own, by its path."""
    own = Path(name)
    if own.suffix == ".ipynb" and own.is_file():
        return own
    known = sorted(shipped("analysis").glob("*.ipynb"))
    found = [path for path in known if path.name.startswith(name.removesuffix(".ipynb"))]
    if len(found) != 1:
        there = ", ".join(path.stem for path in known) or "none"
        raise LabError(f"{name}: must name one notebook of analysis/, not {len(found)} (there: {there})")
    return found[0]
