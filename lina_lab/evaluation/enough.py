"""Check, before hours of training and without torch, that a data set has enough images for a cell."""

from lina_lab.config.data import DataConfig
from lina_lab.config.experiment import Experiment
from lina_lab.config.settings import EvaluationConfig
from lina_lab.design.data_sets import Sizes
from lina_lab.design.extractors import FEATURES
from lina_lab.errors import LabError


def check_enough(data: DataConfig, evaluation: EvaluationConfig, sizes: Sizes) -> None:
    """Refuse what `evaluate` would refuse after the training.

    Raises:
        LabError: if there are no more samples than features, or no more images in a split that is the reference.
    """
    extractor = max(evaluation.extractors, key=FEATURES.__getitem__)
    least = FEATURES[extractor] + 1
    why = f"a FID needs more images than the {least - 1:,} features of {extractor}"
    if evaluation.num_samples < least:
        raise LabError(f"evaluation.num_samples must be at least {least:,}, not {evaluation.num_samples:,}: {why}")
    splits = {"for training": sizes.train, "held out": sizes.heldout}
    if evaluation.reference is not None or min(splits.values()) >= least:
        return
    total = sum(splits.values())
    remedy = "name evaluation.reference, or an extractor with fewer features"
    if data.name == "images":
        # Images are held out by a hash, so half of them is a mean: allow for three standard deviations.
        halves = total / 2 - 1.5 * total**0.5 >= least
        change = f"set data.held_out nearer to 0.5 ({data.held_out:g} now)" if halves else "add images"
        remedy = f"{change}, or name evaluation.reference"
    counts = " and ".join(f"{count:,} {split}" for split, count in splits.items())
    raise LabError(
        f"{data.path or data.title}: must have {least:,} images in each split, not {counts}: {why}: {remedy}"
    )


def check_batch(experiment: Experiment, sizes: Sizes) -> None:
    """Refuse a batch larger than the training split: it would hold images twice.

    Raises:
        LabError: with both numbers.
    """
    batch, count = experiment.training.batch_size, sizes.trained_on
    if count is not None and batch > count and experiment.training.imported is None:
        what = f"the training images of {experiment.data.title}"
        raise LabError(f"training.batch_size must be at most {count:,}, {what}, not {batch:,}")
