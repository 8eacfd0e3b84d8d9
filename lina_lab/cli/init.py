"""`lab init`: a folder with a study to run and to change."""

from pathlib import Path
from typing import Annotated

import typer

from lina_lab.errors import LabError
from lina_lab.files import write_atomic
from lina_lab.shipped import shipped

NOTEBOOK = "01_scaling_curves.ipynb"
IGNORED = """# What lab writes and others need not have; reports are to be kept.
/runs/
/mlruns/
mlflow.db*
/reports/*/cells/
/reports/*/*.ipynb
.venv
"""


def init(
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="The study's own folder; it may be there already.")],
    sweep: Annotated[
        str, typer.Option("--sweep", metavar="NAME", help="A sweep that comes with the package, e.g. digits-quick.")
    ] = "first",
) -> None:
    """Start a study of your own: a commented sweep, its experiment, a notebook and .gitignore.

    Nothing that is there is written over.

    Example: lab init my-study

    Example: lab init my-study --sweep digits-quick
    """
    files = study_files(sweep)
    if taken := [str(folder / name) for name in files if (folder / name).exists()]:
        raise LabError(f"{', '.join(taken)}: there already, and not written over; nothing was written")
    for name, data in files.items():
        path = folder / name
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            write_atomic(path, data)
        except OSError as error:
            raise LabError(f"{path}: cannot be written: {error.strerror}") from error
        print(f"wrote {path}")
    print(f"\nIn {folder}:\n  lab sweep sweeps/{sweep}.yaml --dry-run   # cells and cost")
    print(f"  lab sweep sweeps/{sweep}.yaml\n  lab report {sweep}")


def study_files(sweep: str) -> dict[str, bytes]:
    """The files of a study by their path in its folder: a sweep that comes with the package, and what it needs.

    Raises:
        LabError: if there is no such sweep.
    """
    from lina_lab.config.load import read_yaml

    known = {path.stem: path for path in sorted(shipped("sweeps").glob("*.yaml"))}
    if sweep not in known:
        raise LabError(f"--sweep {sweep}: no such sweep comes with the package; there are {', '.join(known)}")
    path = known[sweep]
    experiment = Path(read_yaml(path).values["experiment"]).name
    return {
        f"sweeps/{path.name}": path.read_bytes(),
        f"experiments/{experiment}": (shipped("experiments") / experiment).read_bytes(),
        f"analysis/{NOTEBOOK}": (shipped("analysis") / NOTEBOOK).read_bytes(),
        ".gitignore": IGNORED.encode(),
    }
