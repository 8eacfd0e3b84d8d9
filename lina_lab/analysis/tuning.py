"""The trials of a tuning, and how the chosen value scales with model size."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import pandas as pd
from scipy import stats

from lina_lab.analysis.table import results_table
from lina_lab.config.sweep import axis_names
from lina_lab.ledger.plan import Plan
from lina_lab.metric_names import LOSS


class PowerLaw(NamedTuple):
    """y = factor * x ** exponent, by least squares of log y on log x."""

    factor: float
    exponent: float
    low: float | None
    """95 % t interval of the exponent; None with fewer than three points."""
    high: float | None


def tuned_names(plan: Plan) -> dict[str, str]:
    """Short name of every tuned value to its dotted path; none if the sweep tunes nothing."""
    if plan.tune is None:
        return {}
    names = axis_names(dict.fromkeys([*plan.axes.values(), *plan.tune["search"]]))
    return {name: path for name, path in names.items() if path in plan.tune["search"]}


def chosen_before(plan: Plan) -> list[str]:
    """Short names of the training values that the sweep's `set_where` gave; none if it tunes."""
    return [] if plan.tune is not None else list(dict.fromkeys(name for cell in plan.cells for name in cell.tuned))


def trials_table(runs: Path, plan: Plan) -> pd.DataFrame:
    """A row a trial: the columns of `results_table`, the values tried, and `loss`, the metric that was minimised."""
    table = results_table(runs, plan._replace(cells=plan.trials))
    metric = plan.tune["metric"] if plan.tune else LOSS
    return table.assign(loss=table.get(metric, math.nan))


def power_law(x: Sequence[float], y: Sequence[float]) -> PowerLaw | None:
    """The line through log y against log x; None for fewer than two different x."""
    if len(set(x)) < 2:
        return None
    fit = stats.linregress([math.log(v) for v in x], [math.log(v) for v in y])
    half = float(stats.t.ppf(0.975, len(x) - 2)) * float(fit.stderr) if len(x) > 2 else math.nan
    low, high = (None, None) if math.isnan(half) else (float(fit.slope) - half, float(fit.slope) + half)
    return PowerLaw(factor=math.exp(fit.intercept), exponent=float(fit.slope), low=low, high=high)
