"""Composition scores: do images of `shapes` show what their captions ask for, by GenEval's six categories?

Shapes: k captions with m images each.
"""

from collections import Counter
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from torch import Tensor

from lina_lab.composition.detector import DetectedObject, detect
from lina_lab.composition.detector_accuracy import detector_accuracy
from lina_lab.composition.proportions import Proportion, as_metrics, difference, mean, share
from lina_lab.data.shapes_grammar import TAGS, Phrase, SceneRequest, is_held_out, parse, tag

HELD_OUT_TAGS = ("counting", "colors", "position", "color_attr")
"""Categories of which training holds out combinations: no caption of the other two asks for one."""
MARGIN = 0.1
"""Least offset for a relation, as a share of the sum of the two boxes' sides (GenEval's value)."""
CONE = 0.5
"""Least cosine between the direction of a relation and that to the object (GenEval's value): within 60 degrees."""
RULE = (
    "the shapes asked for, as many (exactly, where more than one), in the colours asked for, so related by box centres"
)


class CompositionScores(NamedTuple):
    metrics: dict[str, float]
    record: dict[str, Any]
    """What they were measured with."""


def composition(images: Tensor, captions: Sequence[str], each: int = 1) -> CompositionScores:
    """Score images (k m, 3, h, h) uint8, of which m = `each` after each other were generated for each caption (k).

    Metrics are `eval/composition/NAME`, each with `_low` and `_high`, its 95 % interval over captions and images:
    the six categories and `overall`, their mean, of captions that ask for what training shows; with `_heldout` the four
    of `HELD_OUT_TAGS` and their mean, of captions that ask for what it never shows; `heldout_gap`, the mean over these
    four of seen less held out. A category with fewer than two captions is missing, and so is a mean over it.

    Raises:
        LabError: if a caption is none of the grammar.
        ValueError: if images and captions do not fit together.
    """
    if len(images) != len(captions) * each:
        raise ValueError(f"{len(captions)} captions with {each} images each cannot have {len(images)} images")
    asked = [parse(text) for text in captions]
    found = detect(images)
    right = np.array([is_right(objects, asked[number // each]) for number, objects in enumerate(found)])
    by_caption = right.reshape(len(captions), each)
    groups = np.array([TAGS.index(tag(request)) for request in asked]), np.array([is_held_out(r) for r in asked])
    seen, held_out = (
        {name: by_caption[(groups[0] == number) & (groups[1] == novel)] for number, name in enumerate(TAGS)}
        for novel in (False, True)
    )
    seen_shares, held_out_shares = _shares(seen), _shares(held_out)
    record: dict[str, Any] = {
        "rule": RULE,
        "num_images": len(images),
        "num_captions": len(captions),
        "num_captions_heldout": int(groups[1].sum()),
        "intervals": "95 %, over captions and images",
        "detector_accuracy": detector_accuracy(images.shape[-1]),
    }
    return CompositionScores(as_metrics("eval/composition", _named(seen_shares, held_out_shares)), record)


def _shares(groups: dict[str, Any]) -> dict[str, Proportion]:
    return {name: share(right) for name, right in groups.items() if len(right) > 1}


def _named(seen: dict[str, Proportion], held_out: dict[str, Proportion]) -> dict[str, Proportion]:
    named = seen | {f"{name}_heldout": found for name, found in held_out.items()}
    if set(seen) == set(TAGS):
        named["overall"] = mean(list(seen.values()))
    if set(held_out) == set(HELD_OUT_TAGS):
        named["overall_heldout"] = mean(list(held_out.values()))
        if set(seen) >= set(HELD_OUT_TAGS):
            named["heldout_gap"] = difference(mean([seen[n] for n in HELD_OUT_TAGS]), named["overall_heldout"])
    return named


def is_right(objects: Sequence[DetectedObject], request: SceneRequest) -> bool:
    """Whether an image's objects are what a request asks for, by GenEval's rules: what more there is does no harm, but
    where several of a shape are asked for, there must be exactly so many.

    Where an image has more objects of a shape than asked for, any of them may be the one; GenEval looks at the one
    that its detector is surest of.
    """
    phrases = request.phrases
    shapes, pairs = Counter(one.shape for one in objects), Counter((one.shape, one.colour) for one in objects)
    for phrase in phrases:
        wanted = sum(other.number for other in phrases if other.shape == phrase.shape)
        if shapes[phrase.shape] < wanted or (phrase.number > 1 and shapes[phrase.shape] != wanted):
            return False
        same = sum(other.number for other in phrases if other[1:] == phrase[1:])
        if phrase.colour is not None and pairs[phrase.shape, phrase.colour] < same:
            return False
    if request.relation is None:
        return True
    first, second = ([one for one in objects if _fits(one, phrase)] for phrase in phrases)
    return any(request.relation in relations(a, b) for a in first for b in second)


def _fits(one: DetectedObject, phrase: Phrase) -> bool:
    return one.shape == phrase.shape and phrase.colour in {None, one.colour}


def relations(first: DetectedObject, second: DetectedObject) -> set[int]:
    """The places in `RELATIONS` that hold of the first object to the second; none between boxes about one centre."""
    a, b = (np.array(one.box).reshape(2, 2) for one in (first, second))  # corners, x and y
    offset = a.mean(0) - b.mean(0)
    beyond = np.sign(offset) * np.maximum(abs(offset) - MARGIN * (a[1] - a[0] + b[1] - b[0]), 0)
    x, y = beyond / max(float(np.hypot(*offset)), 1e-9)
    return {number for number, far in enumerate((-x, x, -y, y)) if far > CONE}
