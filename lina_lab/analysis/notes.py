"""What a reader must know of how values were measured, in sentences: on the terminal and in reports."""

from collections.abc import Iterable, Mapping

from lina_lab.ledger.result import Evaluation

NOTED = {
    "heldout_in_training": "Held-out images that training has too, pixel for pixel: {}. What is measured against them "
    "also rewards a model that repeats what it has seen.",
    "classes_not_drawn": "Classes of which no image was drawn, since their share of the images is none: {}. No number "
    "here says anything of them.",
}
"""Sentences by the column of a results table that fills them in."""


def noted(evaluation: Evaluation) -> dict[str, str]:
    """What the record of a measurement says for `NOTED`; nothing where there is nothing to note."""
    found = {}
    repeats = evaluation.heldout_in_training
    if repeats and repeats.example:
        first, second = repeats.example
        found["heldout_in_training"] = f"{repeats.images:,} of {repeats.of:,} (as {first}, which is {second})"
    if evaluation.classes_not_drawn:
        found["classes_not_drawn"] = ", ".join(map(str, evaluation.classes_not_drawn))
    return found


def notes(columns: Mapping[str, Iterable[str]]) -> list[str]:
    """A sentence for every different value of the columns that `noted` gives."""
    values = {name: dict.fromkeys(columns[name]) for name in NOTED if name in columns}
    return [NOTED[name].format(value) for name, own in values.items() for value in own]


def notes_of(evaluations: Iterable[Evaluation]) -> list[str]:
    """The same of the records of measurements."""
    found = [noted(evaluation) for evaluation in evaluations]
    return notes({name: [own[name] for own in found if name in own] for name in NOTED})
