"""`lab reference`: a file of statistics to measure FID against."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from lina_lab.cli.options import Setting, out_file


def reference(
    experiment: Annotated[Path, typer.Argument(help="An experiment: its data and extractor.")],
    out: Annotated[Path, typer.Option(callback=out_file(".npz"), help="The .npz to write.")],
    split: Annotated[Literal["heldout", "train"], typer.Option(help="Whose images.")] = "heldout",
    settings: Setting = [],  # noqa: B006
) -> None:
    """Write a FID reference: mean and covariance of features.

    An .npz as ADM's evaluator has it: mu, sigma, and up to 10,000 of the images as arr_0.

    Example: lab reference experiments/digits.yaml --out digits.npz
    """
    from lina_lab.analysis.notes import notes_of
    from lina_lab.config.load import load_experiment
    from lina_lab.config.sweep import parse_settings
    from lina_lab.data.datasets import load_dataset
    from lina_lab.evaluation.evaluate import repeated_images
    from lina_lab.evaluation.extractors import load_extractor
    from lina_lab.evaluation.reference import write_reference
    from lina_lab.ledger.result import Evaluation

    described = load_experiment(experiment, parse_settings(settings))
    dataset = load_dataset(described.data)
    examples = dataset.heldout if split == "heldout" else dataset.train
    features = load_extractor(described.evaluation.extractor)
    write_reference(out, examples, features)
    for line in notes_of([Evaluation(heldout_in_training=repeated_images(dataset))]):
        print(line)
    print(f"wrote {out}: {len(examples.images):,} images, {features.dim} features of {features.id}")
