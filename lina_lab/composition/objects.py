"""Class accuracy on `shapes` by object: does an image show the one object of its class?"""

import numpy as np
from torch import Tensor

from lina_lab.composition.detector import detect
from lina_lab.composition.detector_accuracy import detector_accuracy
from lina_lab.composition.scores import CompositionScores
from lina_lab.data.shapes_grammar import COLOURS
from lina_lab.data.shapes_scenes import objects

METRIC = "eval/class_accuracy/objects-detector"
RULE = "one object alone, of the shape and colour of its class"


def object_accuracy(images: Tensor, labels: Tensor) -> CompositionScores:
    """The share of images (n, 3, h, h) uint8 that show what their labels (n,) in `OBJECTS` say, by the detector."""
    right = [
        [(one.shape, one.colour) for one in found] == [divmod(label, len(COLOURS))]
        for found, label in zip(detect(images), labels.tolist(), strict=True)
    ]
    record = {
        "rule": RULE,
        "num_images": len(right),
        "detector_accuracy": detector_accuracy(images.shape[-1], objects),
    }
    return CompositionScores({METRIC: float(np.mean(right))}, record)
