"""Caveats of how values were measured, as sentences for the terminal and for reports."""

from collections.abc import Iterable, Mapping
from typing import Any

NOTED = {
    "heldout_in_training": "Held-out images that training has too, pixel for pixel: {}. What is measured against them "
    "also rewards a model that repeats what it has seen.",
    "classes_not_drawn": "Classes of which no image was drawn, since their share of the images is none: {}. No number "
    "here says anything of them.",
}
"""Sentences by the results-table column that fills in their blank."""


def noted(evaluation: Mapping[str, Any]) -> dict[str, str]:
    """The texts for `NOTED` from the record of a measurement; empty if there is nothing to note."""
    texts = {}
    repeats, classes = evaluation.get("heldout_in_training"), evaluation.get("classes_not_drawn")
    if repeats and repeats["images"]:
        first, second = repeats["example"]
        texts["heldout_in_training"] = f"{repeats['images']:,} of {repeats['of']:,} (as {first}, which is {second})"
    if classes:
        texts["classes_not_drawn"] = ", ".join(map(str, classes))
    return texts


def notes(columns: Mapping[str, Iterable[str]]) -> list[str]:
    """One sentence for every distinct value of the columns that `noted` gives."""
    values = {name: dict.fromkeys(columns[name]) for name in NOTED if name in columns}
    return [NOTED[name].format(value) for name, own in values.items() for value in own]


def notes_of(evaluations: Iterable[Mapping[str, Any]]) -> list[str]:
    """The sentences for records of measurements."""
    texts = [noted(evaluation) for evaluation in evaluations]
    return notes({name: [own[name] for own in texts if name in own] for name in NOTED})
