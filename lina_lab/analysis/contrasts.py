"""The pairs of designs that a study compares, and their paired cells.

`findings` gives a verdict for each pair of designs, `ablation` averages over them.
"""

from collections.abc import Iterable, Mapping
from typing import NamedTuple

import pandas as pd

from lina_lab.analysis.match_cells import AT, DESIGN, SHARE, Columns, as_text, has_partner, rows_of_design
from lina_lab.analysis.names import design_names
from lina_lab.analysis.study_metric import StudyMetric
from lina_lab.analysis.table import SIZE_AXIS, design_axes
from lina_lab.config.sweep import Scalar
from lina_lab.ledger.plan import Plan


class DesignPair(NamedTuple):
    """Two designs that differ on one axis alone: A has a value of it, B the axis's first."""

    axis: str
    a: dict[str, Scalar]
    """The values of all axes but the size, in the order of the plan."""
    b: dict[str, Scalar]
    names: tuple[str, str] = ("", "")
    """Of A and of B, short (`design_names`)."""
    setting: str = ""
    """What both have, short; "" where the study has no other axis."""

    @property
    def value(self) -> Scalar:
        return self.a[self.axis]

    @property
    def baseline(self) -> Scalar:
        return self.b[self.axis]

    @property
    def question(self) -> str:
        """'conv_kernel 5 against 0, division'."""
        return f"{self.axis} {self.value} against {self.baseline}{self.setting and f', {self.setting}'}"

    @property
    def others(self) -> dict[str, Scalar]:
        """The values that both have."""
        return {name: value for name, value in self.a.items() if name != self.axis}


def design_pairs(plan: Plan) -> Iterable[DesignPair]:
    """Every value of every axis but the size against the axis's first, at every setting of the others that has both."""
    axes, names = design_axes(plan), design_names(plan)
    points = list(dict.fromkeys(tuple(cell.values[axis] for axis in axes) for cell in plan.cells))
    for place, axis in enumerate(axes):
        baseline = points[0][place] if points else None
        for point in points:
            twin = (*point[:place], baseline, *point[place + 1 :])
            if point[place] != baseline and twin in points:
                a, b = (dict(zip(axes, values, strict=True)) for values in (point, twin))
                setting = {name: value for name, value in a.items() if name != axis}
                yield DesignPair(
                    axis=axis, a=a, b=b, names=(names(a), names(b)), setting=names(setting) if setting else ""
                )


def columns_of(metric: StudyMetric, pair: DesignPair) -> tuple[Columns, list[str], list[str]]:
    """What `matched` and `compare_designs` are asked for a pair: columns of the table, values of A and of B."""
    columns = Columns(x="parameters", y=metric.column, by=tuple(pair.a), pair="seed")
    return columns, list(map(as_text, pair.a.values())), list(map(as_text, pair.b.values()))


def cells_of(table: pd.DataFrame, design: Mapping[str, Scalar]) -> pd.DataFrame:
    """The rows that have a design's values."""
    return rows_of_design(table, list(design), list(map(as_text, design.values())))


def paired_values(table: pd.DataFrame, metric: StudyMetric, pair: DesignPair) -> pd.DataFrame:
    """One row a size and seed that both designs have: the other axes, size, seed, `baseline`, `value` and `ratio`
    or `difference`, by the metric's scale.

    `baseline` and `value` are the metric of B and of A, the last is value / baseline or value - baseline. The
    index is that of B's rows.
    """
    measured = table.dropna(subset=[metric.column])
    cells = pd.concat([
        cells_of(measured, design).assign(**{DESIGN: name})
        for name, design in (("A", pair.a), ("B", pair.b))
    ])  # fmt: skip
    cells[AT] = cells[SIZE_AXIS].map(as_text) if SIZE_AXIS in cells else ""
    cells[SHARE] = cells["seed"].map(as_text)
    matched = cells[has_partner(cells)].sort_values([AT, SHARE])
    a, b = (matched[matched[DESIGN] == design] for design in "AB")
    shared = [name for name in (*pair.others, SIZE_AXIS, "seed") if name in b]
    values = b[shared].assign(baseline=b[metric.column], value=a[metric.column].to_numpy())
    between = metric.scale.between(values["value"], values["baseline"])
    return values.assign(**{metric.scale.word: between}).sort_index()
