"""The largest size runs last, and a sweep forecasts by itself what its cells will reach before the first starts."""

import logging
from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from typing import NamedTuple

from lina_lab.analysis.table import SIZE_AXIS
from lina_lab.config.experiment import Experiment
from lina_lab.cost import parameters
from lina_lab.ledger.forecasts import Forecast, forecasts_of
from lina_lab.ledger.plan import Plan, PlannedCell
from lina_lab.ledger.status import ENDED, read_status

logger = logging.getLogger(__name__)


def largest(cells: Sequence[PlannedCell], experiment: Callable[[str], Experiment]) -> set[str]:
    """Keys of the cells of the largest size, by parameters; none where all are of one size.

    experiment: of a cell, by its key.
    """
    first = {cell.values[SIZE_AXIS]: cell.key for cell in reversed(cells) if SIZE_AXIS in cell.values}
    if len(first) < 2:
        return set()

    def count(key: str) -> int:
        of_cell = experiment(key)
        return parameters(of_cell.model, of_cell.data.shape).total

    size = max(first, key=lambda size: count(first[size]))
    return {cell.key for cell in cells if cell.values[SIZE_AXIS] == size}


class Foresight:
    """Forecasts the largest size when its first cell is about to start, from what is done by then.

    Where other workers were still at smaller cells, it forecasts once more when the last of these has ended, if none of
    the largest has a result yet: nobody waits. It never raises; what fails is told in a line.
    """

    def __init__(self, runs: Path, plan: Callable[[], Plan], last: Callable[[], Collection[str]]) -> None:
        """plan: as it is known by then; last: the keys of its largest size."""
        self.runs, self.plan, self.last = runs, plan, last
        self.begun = ""
        """The key of the first cell of the largest size that has begun."""
        self.said = ""
        self.settled: set[str] = set()
        """Keys of cells that were forecast, once one of the largest has a result: no later forecast of them counts."""

    def before(self, folder: Path) -> None:
        """A cell is about to start."""
        self._tell(lambda: self._foresee(folder.resolve().name))

    def after(self, ended: Collection[Path]) -> None:
        """Cells have ended."""
        if self.begun and ended:
            self._tell(lambda: self._foresee_again({folder.name for folder in ended}))

    def _tell(self, make: Callable[[], str]) -> None:
        """Print what there is to say, or what failed, and nothing twice."""
        try:
            said = make()
        except Exception as error:
            logger.debug("no forecast", exc_info=True)
            said = f"{self.plan().name}: no forecast of its largest size: {first_line(error)}"
        if said and said != self.said:
            self.said = said
            print(said, flush=True)

    def _foresee(self, key: str) -> str:
        if key in self.settled or key not in self.last():
            return ""
        self.begun = self.begun or key
        made, found = self._made(key), self._found()
        if made is None:
            return self._make()
        if found.reached:
            self.settled |= {cell.key for cell in made.cells}
            return ""
        return self._make() if found.done > self._known(made) else ""

    def _foresee_again(self, ended: set[str]) -> str:
        if ended <= set(self.last()):
            return ""
        found = self._found()
        made = self._made(self.begun)
        better = found.done > (self._known(made) if made else 0)
        return self._make() if better and not found.open and not found.reached else ""

    def _found(self) -> "Found":
        last = set(self.last())
        states = {cell.key: read_status(self.runs / cell.key).state for cell in self.plan().cells}
        smaller = [state for key, state in states.items() if key not in last]
        return Found(
            done=smaller.count("done"),
            open="waiting" in smaller or "running" in smaller,
            reached=any(state in ENDED for key, state in states.items() if key in last),
        )

    def _made(self, key: str) -> Forecast | None:
        """The last forecast of a cell."""
        of_cell = [f for f in forecasts_of(self.runs, self.plan()) if any(cell.key == key for cell in f.cells)]
        return of_cell[-1] if of_cell else None

    def _known(self, made: Forecast) -> int:
        """From how many smaller cells."""
        last = set(self.last())
        return sum(datum.key not in last for datum in made.data)

    def _make(self) -> str:
        from lina_lab.analysis.forecast import write_forecast

        plan = self.plan()
        return told(plan, self.last(), *write_forecast(self.runs, plan))


class Found(NamedTuple):
    """How far a sweep is."""

    done: int
    """Smaller cells with a result."""
    open: bool
    """Whether smaller cells wait or run."""
    reached: bool
    """Whether a cell of the largest size has a result."""


def first_line(error: Exception) -> str:
    return next(iter(str(error).splitlines()), type(error).__name__)


def told(plan: Plan, last: Collection[str], made: Forecast, path: Path | None) -> str:
    """What was forecast and from what, in a line."""
    smaller = {cell.key for cell in plan.cells} - set(last)
    known = sum(datum.key in smaller for datum in made.data)
    basis = f"from {known} of {len(smaller)} smaller cells"
    if path is None:
        more = f", and {len(made.missing) - 1} more" if len(made.missing) > 1 else ""
        return f"{plan.name}: no forecast {basis}: {made.missing[0] if made.missing else 'nothing is left'}{more}"
    return f"{plan.name}: {len(made.cells)} cells are forecast {basis}: {path}"
