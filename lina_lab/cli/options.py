"""Options that commands of several files share, and what is refused of options before anything is computed."""

import math
import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

if TYPE_CHECKING:
    from lina_lab.config.engine import WorkerCount


def above_zero(text: str) -> float:
    """A number above 0, and neither nan nor inf."""
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not 0 < number < math.inf:
        raise typer.BadParameter(f"must be a number above 0, not {text}")
    return number


def worker_count(text: str) -> "WorkerCount":
    """A number from 1 on, or auto."""
    if text != "auto" and not (text.isdecimal() and int(text)):
        raise typer.BadParameter(f"must be a number from 1 on, or auto, not {text}")
    return "auto" if text == "auto" else int(text)


def out_file(*suffixes: str) -> Callable[[Path | None], Path | None]:
    """Refuse a file that could not be written; its name ends in one of the suffixes. `-` is stdout."""

    def check(path: Path | None) -> Path | None:
        if path is None or path == Path("-"):
            return path
        if path.suffix not in suffixes:
            raise typer.BadParameter(f"{path}: must end in {' or '.join(suffixes)}")
        if path.is_dir():
            raise typer.BadParameter(f"{path}: is a folder: name a file")
        if not path.parent.is_dir():
            raise typer.BadParameter(f"{path}: there is no folder {path.parent}: make it first, or name another")
        _check_writable(path if path.exists() else path.parent)
        return path

    return check


def out_folder(path: Path | None) -> Path | None:
    """Refuse a folder that could not be made or written to."""
    if path is not None:
        there = next(folder for folder in (path, *path.absolute().parents) if folder.exists())
        if not there.is_dir():
            raise typer.BadParameter(f"{path}: {there} is a file: name a folder")
        _check_writable(there)
    return path


def _check_writable(path: Path) -> None:
    if not os.access(path, os.W_OK):
        raise typer.BadParameter(f"{path}: may not be written to")


Runs = Annotated[Path, typer.Option(envvar="LAB_RUNS", help="Folder of the ledger.")]
CellName = Annotated[str, typer.Argument(metavar="CELL", help="Key, start of a key, or folder of a cell.")]
SweepName = Annotated[str, typer.Argument(metavar="SWEEP", help="Name of a sweep that has run, or its YAML file.")]
Setting = Annotated[list[str], typer.Option("--set", metavar="KEY=VALUE", help="Change a value by its dotted path.")]
RUNS = Path("runs")
Guidance = Annotated[
    float | None,
    typer.Option(parser=above_zero, metavar="FLOAT", help="Guidance scale, above 0; by default the cell's."),
]
Workers = Annotated[
    Any,
    typer.Option(
        parser=worker_count, metavar="N|auto", help="Worker processes; auto: one a core, or --per-gpu on every GPU."
    ),
]
Processes = Annotated[
    Any, typer.Option("--workers", parser=worker_count, metavar="N|auto", help="Processes; auto: one a GPU, or a core.")
]
PerGpu = Annotated[int, typer.Option(min=1, help="Cells that share a GPU, where there are GPUs.")]
EngineName = Annotated[Literal["local", "slurm"] | None, typer.Option(help="Where; by default the sweep's, or local.")]
OptionalWorkers = Annotated[
    Any,
    typer.Option(
        parser=worker_count,
        metavar="N|auto",
        help="Worker processes; auto, the default: one a core, or --per-gpu on every GPU.",
    ),
]
Devices = Annotated[int, typer.Option(min=1, help="GPUs of a node that train one cell together.")]
OptionalDevices = Annotated[int | None, typer.Option(min=1, help="GPUs of a node that train one cell together.")]
OptionalNodes = Annotated[int | None, typer.Option(min=1, help="Nodes that train one cell together, with SLURM.")]
StrategyName = Annotated[
    Literal["ddp", "fsdp"] | None, typer.Option(help="Each with the whole model, or a share of it.")
]
OptionalPerGpu = Annotated[int | None, typer.Option(min=1, help="Cells that share a GPU, where there are GPUs.")]
HangMinutes = Annotated[float, typer.Option(min=0, help="Minutes without a step until a worker is ended; 0: never.")]
OptionalHangMinutes = Annotated[
    float | None, typer.Option(min=0, help="Minutes without a step until a worker is ended; 0: never. By default 20.")
]
KeepGoing = Annotated[bool, typer.Option("--keep-going", help="Go on when cells in a row fail alike at their start.")]
Retries = Annotated[int, typer.Option(min=0, help="How often a cell that fails is tried again.")]
RETRIES = 2
DryRun = Annotated[bool, typer.Option("--dry-run", help="Print the cells and their cost, run nothing.")]
Timing = Annotated[bool, typer.Option(help="With --dry-run: time a few steps of every size.")]
MaxCells = Annotated[
    int | None, typer.Option(min=1, help="Most cells of the grid, trials of tuning among them; by default 100,000.")
]
Tflops = Annotated[
    float,
    typer.Option(
        parser=above_zero,
        metavar="FLOAT",
        help="With --dry-run: TFLOP/s that a GPU keeps up, above 0; 400 is 40 % of an H100's bf16.",
    ),
]
GPU_TFLOPS = 400.0
"""What a GPU is taken to keep up: two fifths of an H100's 989 dense bf16 TFLOP/s. An assumption, not a measurement."""
