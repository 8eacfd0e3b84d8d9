"""Options that commands of several files share."""

from pathlib import Path
from typing import Annotated, Literal

import typer

Runs = Annotated[Path, typer.Option(envvar="LAB_RUNS", help="Folder of the ledger.")]
CellName = Annotated[str, typer.Argument(metavar="CELL", help="Key, start of a key, or folder of a cell.")]
SweepName = Annotated[str, typer.Argument(metavar="SWEEP", help="Name of a sweep that has run, or its YAML file.")]
Setting = Annotated[list[str], typer.Option("--set", metavar="KEY=VALUE", help="Change a value by its dotted path.")]
RUNS = Path("runs")
Workers = Annotated[int, typer.Option(min=0, help="Worker processes; 0 for one a core, or --per-gpu on every GPU.")]
PerGpu = Annotated[int, typer.Option(min=1, help="Cells that share a GPU, where there are GPUs.")]
EngineName = Annotated[Literal["local", "slurm"] | None, typer.Option(help="Where; by default the sweep's, or local.")]
OptionalWorkers = Annotated[int | None, typer.Option(min=0, help="Worker processes; by default one a core or GPU.")]
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
Timing = Annotated[bool, typer.Option(help="With --dry-run: time a few steps of every size, for the hours.")]
Tflops = Annotated[
    float, typer.Option(min=0.001, help="With --dry-run: TFLOP/s that a GPU keeps up; 400 is 40 % of an H100's bf16.")
]
GPU_TFLOPS = 400.0
"""What a GPU is taken to keep up: two fifths of an H100's 989 dense bf16 TFLOP/s. An assumption, not a measurement."""
