"""`lab evaluate`: measure a trained cell in another way than it was measured."""

from pathlib import Path
from typing import Annotated

import typer

from lina_lab.cli.options import (
    RUNS,
    AlsoExtractors,
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
    out_file,
    out_folder,
)


def evaluate(
    cell: CellName,
    num_samples: Samples = None,
    extractor: ExtractorName = None,
    also: AlsoExtractors = [],  # noqa: B006, typer reads it
    guidance: Guidance = None,
    autoregressive_steps: Steps = None,
    flow_steps: FlowSteps = None,
    reference: ReferenceFile = None,
    seed: EvaluationSeed = None,
    workers: Processes = "auto",
    npz: Annotated[
        Path | None,
        typer.Option(callback=out_file(".npz"), help="Also write the images as ADM's evaluator reads them."),
    ] = None,
    png: Annotated[
        Path | None, typer.Option(callback=out_folder, help="Also write the images as PNG into this folder.")
    ] = None,
    runs: Runs = RUNS,
) -> None:
    """Generate from a trained cell and measure it.

    With options, in another way than it was measured; its result stays as it is. The images do not depend on how many
    processes draw them; the command can be killed and given again, and given on several machines at once.

    Example: lab evaluate 3f2a90 --guidance 2 --npz images.npz

    Example: lab evaluate 3f2a90 --also digits-vicreg --also dinov2
    """
    from lina_lab.analysis.notes import notes_of
    from lina_lab.cell.reevaluate import Exports, load_measured_cell, measure_cell
    from lina_lab.cli.progress_display import DrawingDisplay
    from lina_lab.ledger.cells import find_cell
    from lina_lab.sweep.local_engine import slots, visible_gpus

    changes = evaluation_changes(num_samples, extractor, reference, guidance, autoregressive_steps, flow_steps, also)
    subject = load_measured_cell(find_cell(runs, cell), changes, seed)
    processes = len(slots(workers, 1, visible_gpus()))
    exports = Exports(npz, png) if npz or png else None
    found = measure_cell(subject, DrawingDisplay("drawing"), processes, exports)
    width = max(map(len, found.metrics))
    for metric, value in found.metrics.items():
        print(f"{metric:<{width}}  {value:.6g}")
    for line in notes_of([found.evaluation]):
        print(line)
    print(f"wrote {', '.join(str(path) for path in (found.path, npz, png) if path is not None)}")
