"""Caveats of how values were measured, as sentences for the terminal and for reports."""

from collections.abc import Iterable, Mapping

from lina_lab.ledger.result import Evaluation

NOTED = {
    "heldout_in_training": "Held-out images that training has too, pixel for pixel: {}. What is measured against them "
    "also rewards a model that repeats what it has seen.",
    "classes_not_drawn": "Classes of which no image was drawn, since their share of the images is none: {}. No number "
    "here says anything of them.",
}
"""Sentences by the results-table column that fills in their blank."""


def noted(evaluation: Evaluation) -> dict[str, str]:
    """The texts for `NOTED` from the record of a measurement; empty if there is nothing to note."""
    texts = {}
    repeats = evaluation.heldout_in_training
    if repeats and repeats.example:
        first, second = repeats.example
        texts["heldout_in_training"] = f"{repeats.images:,} of {repeats.of:,} (as {first}, which is {second})"
    if evaluation.classes_not_drawn:
        texts["classes_not_drawn"] = ", ".join(map(str, evaluation.classes_not_drawn))
    return texts


def notes(columns: Mapping[str, Iterable[str]]) -> list[str]:
    """One sentence for every distinct value of the columns that `noted` gives."""
    values = {name: dict.fromkeys(columns[name]) for name in NOTED if name in columns}
    return [NOTED[name].format(value) for name, own in values.items() for value in own]


def notes_of(evaluations: Iterable[Evaluation]) -> list[str]:
    """The sentences for records of measurements."""
    texts = [noted(evaluation) for evaluation in evaluations]
    return notes({name: [own[name] for own in texts if name in own] for name in NOTED})
