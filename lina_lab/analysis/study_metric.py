"""The metric of a study: its column, its words, which way is better, and on what scale its values are compared."""

from typing import NamedTuple

import pandas as pd

from lina_lab.analysis.names import design_names
from lina_lab.analysis.scale import RATIO, Scale, scale_of
from lina_lab.analysis.table import main_metric
from lina_lab.errors import LabError
from lina_lab.ledger.plan import Plan
from lina_lab.metric_names import axis_label, known_metric


class StudyMetric(NamedTuple):
    column: str
    label: str
    """In sentences and on axes: 'FID'."""
    axis: str
    """The label of an axis, with its extractor and direction."""
    better: str
    """"lower" or "higher"."""
    scale: Scale = RATIO
    error: str = ""
    """The column of its error without that over seeds; '' where it has none."""
    error_words: str = ""

    @property
    def sign(self) -> int:
        """1 where lower is better, -1 where higher is."""
        return 1 if self.better == "lower" else -1

    @property
    def worse(self) -> str:
        return "higher" if self.better == "lower" else "lower"

    @property
    def has_law(self) -> bool:
        """Whether it can fall with size as a power law does."""
        return self.scale == RATIO and self.better == "lower"

    @property
    def compared(self) -> str:
        """For the axis of a comparison: 'FID, ratio (below 1: lower)'."""
        return f"{self.label}, {self.scale.word} (below {self.scale.neutral:g}: lower)"


def metric_of(column: str, values: "pd.Series[float] | None" = None, better: str = "") -> StudyMetric:
    """What is known of a column's metric; its `values` tell the scale of one that the table of metrics lacks."""
    known = known_metric(column)
    way = better or (known.better if known else "") or "lower"
    error = column.replace(known.key, known.error) if known and known.error else ""
    axis = axis_label(column, direction=True)
    return StudyMetric(
        column=column,
        label=known.label if known else column,
        axis=axis if "is better" in axis else f"{axis}, {way} is better",
        better=way,
        scale=scale_of(column, () if values is None else values.dropna()),
        error=error,
        error_words=known.error_words if known else "",
    )


def study_metric(table: pd.DataFrame, plan: Plan) -> StudyMetric:
    """The metric of a study, in the table of its results.

    Raises:
        LabError: naming where the study says it, if no cell has it, or a finished cell lacks it.
    """
    name, better, place = plan.metric
    try:
        column = main_metric(table, name)
        _all_have_it(table, plan, column)
    except LabError as error:
        if not place:
            raise
        raise LabError(f"{place}: metric: {name}: {error}") from error
    if not pd.api.types.is_numeric_dtype(table[column]):
        raise LabError(f"{place or plan.name}: metric: {name}: must be a column of numbers")
    return metric_of(column, table[column], better)


def _all_have_it(table: pd.DataFrame, plan: Plan, column: str) -> None:
    if "state" not in table:
        return
    lacking = table[(table["state"] == "done") & table[column].isna()].to_dict("records")
    if lacking:
        first = lacking[0]
        cell = f"{design_names(plan)({axis: first[axis] for axis in plan.axes})}, seed {first['seed']}"
        more = f" and {len(lacking) - 1} more" if len(lacking) > 1 else ""
        raise LabError(f"finished cells have no {column}: {first['key']} ({cell}){more}")
