"""`lab evaluate`, `lab guidance`, `lab reference`. Heavy imports stand inside the command that needs them."""

from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from lina_lab.cli.options import RUNS, CellName, Guidance, Processes, Runs, Setting, out_file, out_folder

Samples = Annotated[int | None, typer.Option(min=2, help="Images to generate; by default the cell's.")]
ExtractorName = Annotated[str | None, typer.Option(help="emoji-cnn-32, inception, ...; by default the cell's.")]
Steps = Annotated[int | None, typer.Option(min=1, help="Sets of tokens, one after the other; by default the cell's.")]
FlowSteps = Annotated[int | None, typer.Option(min=1, help="Euler steps of each token; by default the cell's.")]
ReferenceFile = Annotated[
    Path | None, typer.Option(help="An .npz with mu and sigma, as ADM's; by default the cell's, or the held-out split.")
]
Seed = Annotated[int | None, typer.Option(min=0, help="Seed of the samples; by default the cell's.")]


def evaluate(
    cell: CellName,
    num_samples: Samples = None,
    extractor: ExtractorName = None,
    guidance: Guidance = None,
    autoregressive_steps: Steps = None,
    flow_steps: FlowSteps = None,
    reference: ReferenceFile = None,
    seed: Seed = None,
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
    """
    from lina_lab.cli.measuring import evaluate_cell

    changes = _changes(num_samples, extractor, reference, guidance, autoregressive_steps, flow_steps)
    evaluate_cell(runs, cell, changes, seed, workers, npz, png)


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
    seed: Seed = None,
    workers: Processes = "auto",
    runs: Runs = RUNS,
) -> None:
    """Find the guidance scale with the lowest FID.

    A fixed grid and then a fixed number of refinements about its best: the same budget for every design. Every scale
    has the same seeds. Rows go to guidance.csv in the cell's folder; those that are there are not measured again. With
    --over, FID against a number of steps instead.
    """
    from lina_lab.cli.measuring import scan_cell

    changes = _changes(num_samples, extractor, reference, guidance, autoregressive_steps, flow_steps)
    scan_cell(runs, cell, changes, seed, workers, scales, refinements, over)


def reference(
    experiment: Annotated[Path, typer.Argument(help="An experiment: its data and extractor.")],
    out: Annotated[Path, typer.Option(callback=out_file(".npz"), help="The .npz to write.")],
    split: Annotated[Literal["heldout", "train"], typer.Option(help="Whose images.")] = "heldout",
    settings: Setting = [],  # noqa: B006
) -> None:
    """Write a FID reference: mean and covariance of features.

    An .npz as ADM's evaluator has it: mu, sigma, and up to 10,000 of the images as arr_0.
    """
    from lina_lab.cli.measuring import make_reference

    make_reference(experiment, settings, split, out)


def _changes(
    num_samples: int | None,
    extractor: str | None,
    reference: Path | None,
    scale: float | None,
    autoregressive_steps: int | None,
    flow_steps: int | None,
) -> dict[str, dict[str, Any]]:
    """The fields that options change, by section."""
    path = None if reference is None else str(reference)
    evaluation = {"num_samples": num_samples, "extractor": extractor, "reference": path}
    sampling = {"guidance_scale": scale, "autoregressive_steps": autoregressive_steps, "flow_steps": flow_steps}
    sections: dict[str, dict[str, Any]] = {"evaluation": evaluation, "sampling": sampling}
    return {name: {k: v for k, v in fields.items() if v is not None} for name, fields in sections.items()}
