"""Options that commands of several files share, and what is refused of options before anything is computed."""

import ipaddress
import math
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from lina_lab.escape import shown

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


def server_host(host: str) -> str:
    """The name or address that a server listens at; one that other machines reach is warned of."""
    if not is_loopback(host):
        print(
            f"warning: --host {shown(host)}: everyone who reaches this machine can read what is served", file=sys.stderr
        )
    return host


def is_loopback(host: str) -> bool:
    """Whether a host is this machine alone: localhost, 127.0.0.0/8 or ::1."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _check_writable(path: Path) -> None:
    if not os.access(path, os.W_OK):
        raise typer.BadParameter(f"{path}: may not be written to")


Runs = Annotated[Path, typer.Option(envvar="LAB_RUNS", help="Folder of the ledger.")]
RUNS = Path("runs")
CellName = Annotated[str, typer.Argument(metavar="CELL", help="Key, start of a key, or folder of a cell.")]
SweepName = Annotated[str, typer.Argument(metavar="SWEEP", help="Name of a sweep that has run, or its YAML file.")]
Setting = Annotated[list[str], typer.Option("--set", metavar="KEY=VALUE", help="Change a value by its dotted path.")]
Where = Annotated[
    list[str],
    typer.Option(
        "--where", metavar="AXIS=VALUE,..", help="Only cells with these values, or seeds; repeatable, all must hold."
    ),
]
Plugins = Annotated[
    list[str],
    typer.Option("--plugin", metavar="FILE", help="Also the designs of this Python file, which runs as your code."),
]
Tracking = Annotated[bool, typer.Option(help="Show the runs in MLflow.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON document and nothing else.")]

# Where a page is served.
Port = Annotated[int, typer.Option(min=0, max=65535, help="Port to serve at; 0 for a free one.")]
Host = Annotated[
    str, typer.Option(callback=server_host, help="Name or address to serve at; by default this machine alone.")
]
HOST = "127.0.0.1"
Open = Annotated[bool, typer.Option("--open/--no-open", help="Open the page in a browser.")]

# Where and how cells run. An optional one leaves the choice to the sweep's file.
WORKERS = typer.Option(
    parser=worker_count,
    metavar="N|auto",
    show_default=False,
    help="Worker processes; auto, the default: one a core, or --per-gpu on every GPU.",
)
PER_GPU = typer.Option(min=1, help="Cells that share a GPU, where there are GPUs.")
DEVICES = typer.Option(min=1, help="GPUs of a node that train one cell together.")
HANG_MINUTES = typer.Option(
    min=0, show_default=False, help="Minutes without a step until a worker is ended; 0: never. By default 20."
)
Workers = Annotated[Any, WORKERS]
PerGpu = Annotated[int, PER_GPU]
OptionalPerGpu = Annotated[int | None, PER_GPU]
Devices = Annotated[int, DEVICES]
OptionalDevices = Annotated[int | None, DEVICES]
HangMinutes = Annotated[float, HANG_MINUTES]
OptionalHangMinutes = Annotated[float | None, HANG_MINUTES]
OptionalNodes = Annotated[int | None, typer.Option(min=1, help="Nodes that train one cell together, with SLURM.")]
EngineName = Annotated[
    Literal["local", "slurm"] | None, typer.Option(help="Where cells run; by default as the sweep says, or local.")
]
StrategyName = Annotated[
    Literal["ddp", "fsdp"] | None, typer.Option(help="ddp: each process holds the whole model; fsdp: a share of it.")
]
KeepGoing = Annotated[bool, typer.Option("--keep-going", help="Go on when cells in a row fail alike at their start.")]
Retries = Annotated[int, typer.Option(min=0, help="How often a cell that fails is tried again.")]
RETRIES = 2

# What a dry run tells.
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

# How a trained cell is drawn from and measured.
Samples = Annotated[int | None, typer.Option(min=2, help="Images to generate; by default the cell's.")]
ExtractorName = Annotated[str | None, typer.Option(help="emoji-cnn-32, inception, ...; by default the cell's.")]
AlsoExtractors = Annotated[
    list[str], typer.Option("--also", metavar="EXTRACTOR", help="Measure the same images by this one, too; repeatable.")
]
ReferenceFile = Annotated[
    Path | None, typer.Option(help="An .npz with mu and sigma, as ADM's; by default the cell's, or the held-out split.")
]
Guidance = Annotated[
    float | None,
    typer.Option(parser=above_zero, metavar="FLOAT", help="Guidance scale, above 0; by default the cell's."),
]
Steps = Annotated[int | None, typer.Option(min=1, help="Sets of tokens, one after the other; by default the cell's.")]
FlowSteps = Annotated[int | None, typer.Option(min=1, help="Euler steps of each token; by default the cell's.")]
EvaluationSeed = Annotated[int | None, typer.Option(min=0, help="Seed of the samples; by default the cell's.")]
Processes = Annotated[
    Any, typer.Option("--workers", parser=worker_count, metavar="N|auto", help="Processes; auto: one a GPU, or a core.")
]


def evaluation_changes(
    num_samples: int | None,
    extractor: str | None,
    reference: Path | None,
    scale: float | None,
    autoregressive_steps: int | None,
    flow_steps: int | None,
    also: Sequence[str] = (),
) -> dict[str, dict[str, Any]]:
    """The fields of an experiment that options of `lab evaluate` and `lab guidance` change, by section."""
    path = None if reference is None else str(reference)
    evaluation = {"num_samples": num_samples, "extractor": extractor, "reference": path, "also": list(also) or None}
    sampling = {"guidance_scale": scale, "autoregressive_steps": autoregressive_steps, "flow_steps": flow_steps}
    sections: dict[str, dict[str, Any]] = {"evaluation": evaluation, "sampling": sampling}
    return {name: {k: v for k, v in fields.items() if v is not None} for name, fields in sections.items()}
