"""`lab guidance`: FID of a trained cell against guidance scale or steps."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from lina_lab.cli.options import (
    RUNS,
    CellName,
    EvaluationSeed,
    ExtractorName,
    FlowSteps,
    Guidance,
    Processes,
    ReferenceFile,
    Runs,
    Samples,
    Steps,
    evaluation_changes,
)
from lina_lab.errors import LabError

if TYPE_CHECKING:
    from lina_lab.analysis.guidance import GuidancePoint


def guidance(
    cell: CellName,
    scales: Annotated[str, typer.Option(help="The grid, e.g. 1,1.5,2; by default 1 to 4.")] = "",
    refinements: Annotated[
        int | None, typer.Option(min=0, help="Scales about the best of the grid; by default 4.")
    ] = None,
    over: Annotated[
        str, typer.Option(metavar="FIELD=VALUES", help="Instead: flow_steps=5,10,25 or autoregressive_steps=8,16,64.")
    ] = "",
    num_samples: Samples = None,
    extractor: ExtractorName = None,
    guidance: Guidance = None,
    autoregressive_steps: Steps = None,
    flow_steps: FlowSteps = None,
    reference: ReferenceFile = None,
    seed: EvaluationSeed = None,
    workers: Processes = "auto",
    runs: Runs = RUNS,
) -> None:
    """Find the guidance scale with the lowest FID.

    A fixed grid and then a fixed number of refinements about its best: the same budget for every design. Every scale
    has the same seeds. Rows go to guidance.csv in the cell's folder; those that are there are not measured again. With
    --over, FID against a number of steps instead.

    Example: lab guidance 3f2a90 --num-samples 1000

    Example: lab guidance 3f2a90 --over flow_steps=5,10,25
    """
    from lina_lab.analysis.guidance import FILE, guidance_summary
    from lina_lab.cell.guidance_scan import scan
    from lina_lab.cell.reevaluate import load_measured_cell
    from lina_lab.cli.progress_display import DrawingDisplay
    from lina_lab.ledger.cells import find_cell
    from lina_lab.sweep.local_engine import slots, visible_gpus

    changes = evaluation_changes(num_samples, extractor, reference, guidance, autoregressive_steps, flow_steps)
    field, values, more = _asked(scales, refinements, over)
    subject = load_measured_cell(find_cell(runs, cell), changes, seed)
    count = subject.experiment.evaluation.num_samples
    print(
        f"{subject.folder.name}: {len(values)} values of {field} and {more} refinements, {count:,} images each",
        flush=True,
    )
    points = scan(
        subject,
        field,
        values,
        more,
        lambda value: DrawingDisplay(f"{field} {value:g}"),
        lambda point: print(f"{field} {getattr(point, field):g}: FID {point.fid:.4g}", flush=True),
        lambda value, error: print(f"{field} {value:g}: failed: {error}", flush=True),
        len(slots(workers, 1, visible_gpus())),
    )
    if not points:
        raise LabError(f"{subject.folder.name}: samples not finite at every {field} that was tried")
    _print_points(points, field)
    for line in guidance_summary(points, field):
        print(line)
    print(f"wrote {subject.folder / FILE}")


def _asked(scales: str, refinements: int | None, over: str) -> tuple[str, list[float], int]:
    """The field, its values and the number of refinements that the options mean."""
    from lina_lab.analysis.guidance import OVER
    from lina_lab.config.settings import GUIDANCE_GRID, GUIDANCE_REFINEMENTS

    if not over:
        values = _numbers("--scales", scales) if scales else list(GUIDANCE_GRID)
        return "guidance_scale", values, GUIDANCE_REFINEMENTS if refinements is None else refinements
    field, _, text = over.partition("=")
    if scales or field not in OVER:
        problem = "either it or --scales" if scales else f"one of {', '.join(OVER)} and values, as flow_steps=5,10,25"
        raise LabError(f"--over {over}: must be {problem}")
    if field == "guidance_scale":
        return field, _numbers("--over", text), GUIDANCE_REFINEMENTS if refinements is None else refinements
    if refinements:
        raise LabError(f"--refinements is for guidance scales: --over {field} measures the values that it names")
    values = _numbers("--over", text)
    if any(value != int(value) for value in values):
        raise LabError(f"--over {over}: {field} must be whole numbers")
    return field, [int(value) for value in values], 0


def _numbers(option: str, text: str) -> list[float]:
    try:
        values = [float(word) for word in text.split(",")]
    except ValueError as error:
        raise LabError(f"{option} {text}: must be numbers as in 1,1.5,2") from error
    if not all(0 < value < float("inf") for value in values):
        raise LabError(f"{option} {text}: must be numbers above 0")
    return sorted(set(values))


def _print_points(points: "Sequence[GuidancePoint]", field: str) -> None:
    from lina_lab.cli.console import print_table, text_table

    shown = ("fid", "fid_sd", "fid_jackknife", "kid", "precision", "recall")
    table = text_table(field, *shown, "FLOPs an image", "seconds", numbers=len(shown) + 3)
    for point in sorted(points, key=lambda point: float(getattr(point, field))):
        numbers = ("" if (v := getattr(point, name)) is None else f"{v:.4g}" for name in shown)
        table.add_row(f"{getattr(point, field):g}", *numbers, f"{point.flops:.3g}", f"{point.seconds:.0f}")
    print_table(table)
