"""`lab profile`: measured time and memory, of attention modules or of a whole model."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from lina_lab.cli.options import RUNS, Runs, above_zero, out_folder
from lina_lab.cli.options import Setting as Settings
from lina_lab.errors import LabError

LENGTHS = [64, 320, 1280, 5120, 16384]
"""By default: of the published models the decoder has 320 tokens at 256 px, 1280 at 512 px, 5120 at 1024 px."""


def profile(
    experiment: Annotated[
        Path | None, typer.Argument(help="An experiment, or a cell's folder: the whole model.")
    ] = None,
    attention: Annotated[bool, typer.Option("--attention", help="One attention module, every design.")] = False,
    settings: Settings = [],  # noqa: B006
    tokens: Annotated[
        list[int] | None, typer.Option(min=1, help="A length, again for more; by default 64 to 16,384.")
    ] = None,
    width: Annotated[int | None, typer.Option(min=1, help="Channels; by default 1536.")] = None,
    heads: Annotated[int | None, typer.Option(min=1, help="Heads; by default 16.")] = None,
    batch: Annotated[
        int | None, typer.Option(min=1, help="Batch size; by default 1, or the experiment's batch size.")
    ] = None,
    precision: Annotated[Literal["fp32", "bf16"] | None, typer.Option(help="Number format; by default fp32.")] = None,
    device: Annotated[
        Literal["auto", "cpu", "cuda"], typer.Option(help="Where to measure; auto takes a GPU if there is one.")
    ] = "auto",
    backend: Annotated[
        Literal["auto", "torch", "triton"] | None,
        typer.Option(help="Implementation of linear attention; by default auto."),
    ] = None,
    compiled: Annotated[bool, typer.Option("--compile", help="torch.compile the module, or every block.")] = False,
    threads: Annotated[int, typer.Option(min=1, help="Processor threads; cells are trained with one.")] = 1,
    limit: Annotated[
        float,
        typer.Option(
            parser=above_zero,
            metavar="FLOAT",
            help="Seconds, above 0, that one forward and backward may take; else it is left out.",
        ),
    ] = 1.0,
    out: Annotated[Path, typer.Option(callback=out_folder, help="Folder to write.")] = Path("reports/profile"),
    tracking: Annotated[bool, typer.Option(help="Show the profile in MLflow.")] = True,
    runs: Runs = RUNS,
) -> None:
    """Measure time and memory, part by part.

    lab profile --attention: one module, from LINA one axis value at a time, and softmax, over sequence lengths.
    lab profile EXPERIMENT: a training step of a whole model, its parts, and sampling. Both are held against closed
    forms, and against what this machine does at best, measured in the same run.

    Example: lab profile --attention --tokens 320 --tokens 1280

    Example: lab profile experiments/digits.yaml --no-tracking
    """
    only_attention = {"--tokens": tokens, "--width": width, "--heads": heads, "--precision": precision}
    given = [name for name, value in only_attention.items() if value]
    if attention == (experiment is not None):
        raise LabError("lab profile needs an experiment, or --attention, and not both")
    from lina_lab.cli.profile_measure import ProfileOptions, profile_designs, profile_experiment
    from lina_lab.config.settings import ExecutionConfig
    from lina_lab.config.sweep import parse_settings
    from lina_lab.profiling.attention import AttentionSetting
    from lina_lab.profiling.clock import choose_device

    chosen = choose_device(device, threads)
    if backend == "triton" and chosen.type != "cuda":
        raise LabError("--backend must be auto or torch without a GPU, not triton")
    options = ProfileOptions(device=chosen, limit=limit, out=out, runs=runs if tracking else None)
    if experiment is not None:
        if given:
            raise LabError(f"{given[0]} is for --attention: {experiment} says its own; --set changes it")
        changes = parse_settings(settings)
        changes |= {"execution.attention_backend": backend} if backend else {}
        changes |= {"execution.compile": True} if compiled else {}
        profile_experiment(options, experiment, changes, batch)
        return
    if settings:
        raise LabError("--set is for an experiment: --attention takes LINA and changes one axis at a time")
    execution = ExecutionConfig(attention_backend=backend or "auto", compile=compiled)
    setting = AttentionSetting(
        width=width or 1536,
        num_heads=heads or 16,
        batch=batch or 1,
        precision=precision or "fp32",
        device=chosen,
        limit=limit,
        execution=execution,
    )
    profile_designs(options, setting, tokens or LENGTHS)
