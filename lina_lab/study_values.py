"""What the functions of `lina_lab.study` give, where no other room has a value for it: a notebook shows it in words."""

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    import pandas as pd

    from lina_lab.ledger.plan import Plan, PlannedCell
    from lina_lab.ledger.status import CellStatus


class StudyStatus(NamedTuple):
    """The state of every cell and trial of a sweep at one moment."""

    plan: "Plan"
    cells: "list[tuple[PlannedCell, CellStatus]]"

    @property
    def counts(self) -> dict[str, int]:
        """How many cells are in each state, in the order in which states occur."""
        return dict(Counter(status.state for _, status in self.cells))

    @property
    def frame(self) -> "pd.DataFrame":
        """A row a cell: key, axes, seed, trial, state, reason, step, steps, loss, seconds_left, host."""
        import pandas as pd

        told = ("state", "reason", "step", "steps", "loss", "seconds_left", "host")
        rows = [
            {"key": cell.key, **cell.values, "seed": cell.seed, "trial": cell.trial}
            | {name: getattr(status, name) for name in told}
            for cell, status in self.cells
        ]
        return pd.DataFrame(rows)

    def __repr__(self) -> str:
        counts = ", ".join(f"{count} {state}" for state, count in self.counts.items())
        return f"{self.plan.name}: {counts} of {len(self.cells)} cells"

    def _repr_html_(self) -> str:
        return str(self.frame.to_html())


def status_of(runs: Path, plan: "Plan") -> StudyStatus:
    """The state of every cell of a plan now."""
    from lina_lab.ledger.status import read_status

    return StudyStatus(plan, [(cell, read_status(runs / cell.key)) for cell in plan.everything])
