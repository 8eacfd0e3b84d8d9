"""A part of a sweep: the cells that have certain values on some axes, or certain seeds."""

from collections.abc import Mapping, Sequence

from lina_lab.config.load import parse_value
from lina_lab.config.sweep import Scalar
from lina_lab.errors import LabError
from lina_lab.ledger.plan import Plan, PlannedCell

SEED = "seed"
Part = Mapping[str, Sequence[Scalar]]
"""By the name of an axis, or `SEED`, the values that belong; every cell belongs to an empty one."""
WHOLE: Part = {}


def parse_part(words: Sequence[str], plan: Plan) -> Part:
    """`axis=value,value` words as a part of a plan. An axis goes by its name or dotted path.

    Raises:
        LabError: if a word is none, names an axis or value that the plan has not, or no cell has them all.
    """
    names = {SEED: SEED} | {path: name for name, path in plan.axes.items()} | {name: name for name in plan.axes}
    part: dict[str, list[Scalar]] = {}
    for word in words:
        key, equals, values = word.partition("=")
        if not equals or key not in names:
            known = ", ".join([*plan.axes, SEED])
            raise LabError(f"--where {word}: must be AXIS=VALUE or AXIS=VALUE,VALUE; the axes are {known}")
        name = names[key]
        there = list(dict.fromkeys(_value(cell, name) for cell in plan.cells))
        for text in values.split(","):
            found = [value for value in there if value in (parse_value(text), text)]
            if not found:
                known = ", ".join(map(str, there))
                raise LabError(f"--where {word}: {key} never takes {text} here; its values are {known}")
            part.setdefault(name, []).extend(found)
    if not any(belongs(cell, part) for cell in plan.cells):
        raise LabError(f"--where {' '.join(words)}: no cell of {plan.name} has these values")
    return part


def belongs(cell: PlannedCell, part: Part) -> bool:
    """Whether a cell is in a part. A trial has a seed of its own, and serves all seeds."""
    return all(
        _value(cell, name) in values for name, values in part.items() if not (name == SEED and cell.trial is not None)
    )


def _value(cell: PlannedCell, name: str) -> Scalar:
    return cell.seed if name == SEED else cell.values[name]
