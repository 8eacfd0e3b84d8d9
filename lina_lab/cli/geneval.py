"""`lab geneval`: images for the official GenEval evaluator, and its results into the ledger."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from lina_lab.cli.options import RUNS, CellName, Runs, out_folder
from lina_lab.errors import LabError

if TYPE_CHECKING:
    from torch import Tensor

geneval_app = typer.Typer(help="GenEval: images for its evaluator, and its results.", no_args_is_help=True)


@geneval_app.command()
def export(
    cell: CellName,
    prompts: Annotated[Path, typer.Option(help="The official evaluation_metadata.jsonl.")],
    out: Annotated[Path, typer.Option(callback=out_folder, help="Folder to write; one that was begun is continued.")],
    each: Annotated[int, typer.Option(min=1, help="Images of every prompt.")] = 4,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the images.")] = 0,
    runs: Runs = RUNS,
) -> None:
    """Draw images of every prompt.

    In the official layout: 00000/metadata.jsonl, 00000/samples/0000.png and so on.

    Example: lab geneval export 3f2a90 --prompts metadata.jsonl --out images
    """
    from lina_lab.composition.geneval import export_images, read_prompts
    from lina_lab.ledger.cells import find_cell

    folder, read = find_cell(runs, cell), read_prompts(prompts)
    made_by, draw = _sampler(folder, [prompt.text for prompt in read], each, seed)
    drawn = export_images(out, read, each, made_by, draw)
    print(f"wrote {drawn * each} images of {drawn} prompts to {out}; {len(read) - drawn} prompts were there")


def _sampler(
    folder: Path, texts: Sequence[str], each: int, seed: int
) -> "tuple[dict[str, Any], Callable[[list[int]], Tensor]]":
    """What images are drawn with, and what draws those of some prompts: `each` of the first, of the second, ...

    Raises:
        LabError: if the cell has no prompts.
    """
    from lina_lab.checkpoints.ema_weights import load_trained
    from lina_lab.data.autoencoder import decoder
    from lina_lab.data.text import text_encoder
    from lina_lab.model.execution import device
    from lina_lab.sampling.generate import generate

    experiment, model = load_trained(folder)
    model = model.to(device())
    key = folder.resolve().name
    if experiment.data.text is None:
        raise LabError(f"{key} is conditioned on labels: it has no prompts")
    decode = decoder(experiment.data, device())
    condition = text_encoder(experiment.data)(texts)  # an unknown word is told before anything is drawn

    def draw(numbers: list[int]) -> "Tensor":
        images = [number * each + index for number in numbers for index in range(each)]
        asked = condition[numbers].repeat_interleave(each, dim=0)
        return generate(model, asked, experiment.sampling, seed, numbers=images, decode=decode)

    return {"key": key, "seed": seed, "sampling": experiment.sampling.model_dump()}, draw


@geneval_app.command("import")
def import_results(
    cell: CellName,
    results: Annotated[Path, typer.Argument(help="The results.jsonl that the official evaluator wrote.")],
    export_folder: Annotated[
        Path | None, typer.Option("--export", help="Folder of the images; by default where the results say.")
    ] = None,
    runs: Runs = RUNS,
) -> None:
    """Keep the official results in the cell's folder.

    lab sync and lab table show them then.

    Example: lab geneval import 3f2a90 results.jsonl
    """
    from lina_lab.composition.geneval import PREFIX, read_results
    from lina_lab.ledger.cells import find_cell
    from lina_lab.ledger.result import add_to_result

    folder = find_cell(runs, cell)
    metrics, record = read_results(results, folder.resolve().name, export_folder)
    add_to_result(folder, PREFIX, metrics, record)
    width = max(map(len, metrics))
    for name, value in metrics.items():
        print(f"{name:<{width}}  {value:.6g}")
    print(f"wrote {folder / 'result.json'}")
