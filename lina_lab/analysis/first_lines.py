"""What a reader must know before any verdict: that cells are missing, have diverged, or have learnt nothing."""

import pandas as pd

from lina_lab.analysis.chance import MOST, learnt_nothing
from lina_lab.analysis.names import design_names
from lina_lab.analysis.progress import unfinished
from lina_lab.analysis.study_metric import StudyMetric
from lina_lab.ledger.plan import Plan


def first_lines(table: pd.DataFrame, plan: Plan, metric: StudyMetric) -> list[str]:
    """A line for each; none where every cell has a result that says something. table: `with_losses`."""
    return list(filter(None, (unfinished(table, plan), diverged(table, plan), learnt_nothing(table, plan, metric))))


def diverged(table: pd.DataFrame, plan: Plan) -> str:
    """'Diverged: 2 of 9 cells, without which ...: division, nano, seed 0; ...'; '' if none has."""
    cells = table[table["state"] == "diverged"].to_dict("records")
    if not cells:
        return ""
    names = design_names(plan)
    named = [f"{names({axis: cell[axis] for axis in plan.axes})}, seed {cell['seed']}" for cell in cells[:MOST]]
    more = [f"and {len(cells) - MOST} more"] if len(cells) > MOST else []
    return (
        f"Diverged: {len(cells)} of {len(table)} cells, without which their designs look better than they are: "
        f"{'; '.join([*named, *more])}."
    )
