"""`lab sample`: draw images from a trained cell, as a sheet and as an .npz."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from lina_lab.cli.options import RUNS, CellName, Guidance, Runs, out_file
from lina_lab.errors import LabError

if TYPE_CHECKING:
    from torch import Tensor

    from lina_lab.config.data import DataShape
    from lina_lab.config.experiment import Experiment


def sample(
    cell: CellName,
    out: Annotated[
        Path | None,
        typer.Option(callback=out_file(".png"), help="PNG to write; an .npz with the images is put beside it."),
    ] = None,
    labels: Annotated[str, typer.Option(help="Classes, e.g. 0,3,7; by default all.")] = "",
    prompt: Annotated[list[str], typer.Option(help="A prompt, again for more, of a cell that follows them.")] = [],  # noqa: B006
    each: Annotated[int, typer.Option(min=1, help="Images of each class or prompt.")] = 8,
    guidance: Guidance = None,
    steps: Annotated[int | None, typer.Option(min=1, help="Autoregressive steps; by default the cell's.")] = None,
    flow_steps: Annotated[int | None, typer.Option(min=1, help="Euler steps; by default the cell's.")] = None,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the draws.")] = 0,
    runs: Runs = RUNS,
) -> None:
    """Draw images from a trained cell.

    Example: lab sample 3f2a90 --labels 0,3,7 --guidance 2

    Example: lab sample 3f2a90 --prompt "a red circle" --each 4 --out red.png
    """
    from lina_lab.checkpoints.ema_weights import load_trained
    from lina_lab.cli.progress_display import ShareDone
    from lina_lab.config.experiment import digest
    from lina_lab.config.load import with_sections
    from lina_lab.data.autoencoder import decoder
    from lina_lab.ledger.cells import find_cell
    from lina_lab.model.execution import device
    from lina_lab.sampling.contact_sheet import save_sheet
    from lina_lab.sampling.generate import generate, save_images

    given = {"guidance_scale": guidance, "autoregressive_steps": steps, "flow_steps": flow_steps}
    changes = {name: value for name, value in given.items() if value is not None}
    folder = find_cell(runs, cell)
    experiment, model = load_trained(folder)
    model = model.to(device())
    sampling = with_sections(experiment, {"sampling": experiment.sampling.changed(changes)}).sampling
    rows, condition = _conditions(folder, experiment, labels, prompt)
    condition = condition.repeat_interleave(each, dim=0)
    decode = decoder(experiment.data, device())
    images = generate(model, condition, sampling, seed, ShareDone(f"drawing {len(condition)} images"), decode=decode)
    out = out or folder / "samples" / f"sample-seed{seed}-{digest([rows, each, sampling.model_dump()])[:6]}.png"
    save_sheet(out, images, each)
    of_images = [text for text in prompt for _ in range(each)]
    save_images(out.with_suffix(".npz"), images, None if prompt else condition, of_images)
    what = f"prompts {', '.join(map(repr, prompt))}" if prompt else f"classes {', '.join(map(str, rows))}"
    print(f"wrote {out} and {out.with_suffix('.npz').name} ({what})")


def _conditions(
    folder: Path, experiment: "Experiment", labels: str, prompts: list[str]
) -> "tuple[list[str] | list[int], Tensor]":
    """The prompts or classes to draw, and what the model takes for each of them.

    Raises:
        LabError: if prompts are asked of a cell of labels, or labels of a cell of prompts.
    """
    import torch

    from lina_lab.data.text import text_encoder

    if experiment.data.text is not None:
        if labels or not prompts:
            raise LabError(f"{folder.name} follows prompts: give some with --prompt, and no --labels")
        return prompts, text_encoder(experiment.data)(prompts)
    if prompts:
        raise LabError(f"{folder.name} is conditioned on labels: it has no prompts; use --labels")
    classes = _classes(labels, experiment.data.shape)
    return classes, torch.tensor(classes)


def _classes(text: str, shape: "DataShape") -> list[int]:
    """Class numbers of '0,3,7', or all of them."""
    known = list(range(shape.num_classes))
    if not text:
        return known
    try:
        classes = [int(word) for word in text.split(",")]
    except ValueError as error:
        raise LabError(f"--labels {text}: must be class numbers as in 0,3,7") from error
    if not set(classes) <= set(known):
        raise LabError(f"--labels {text}: classes must be 0 to {shape.num_classes - 1}")
    return classes
