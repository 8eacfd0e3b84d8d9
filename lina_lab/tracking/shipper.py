"""Keeping MLflow up to date: once (`sync`), or while a sweep runs (`Shipper`)."""

import logging
import threading
from collections.abc import Collection
from contextlib import nullcontext
from pathlib import Path
from types import TracebackType
from typing import Self

from lina_lab.errors import LabError
from lina_lab.ledger.plan import Plan
from lina_lab.tracking.mirror import Synced, View
from lina_lab.tracking.store import find_sweep, is_server, locked, store_uri, without_password

logger = logging.getLogger(__name__)

EVERY = 2.0
"""Seconds between two shipments."""
LONGEST_WAIT = 60.0
CLOSING = 30.0
"""Seconds that the last shipment may take before the sweep ends without it."""


def sync(runs: Path, plan: Plan) -> Synced:
    """Bring MLflow up to date with the ledger; called again, it sends what is new.

    Raises:
        LabError: if MLflow's store cannot be reached, or if the ledger of a cell is damaged; all other cells are up
            to date then.
    """
    from mlflow.exceptions import MlflowException
    from sqlalchemy.exc import SQLAlchemyError

    with locked(runs):
        try:
            return View(runs, plan).update()
        except (MlflowException, SQLAlchemyError) as error:
            raise LabError(f"MLflow at {without_password(store_uri(runs))}: {_one_line(error)}") from error


def ship_report(runs: Path, plan: Plan) -> str:
    """Bring a sweep with its report up to date where MLflow has that sweep: a line on it; '' where it has not.

    It never raises: a report is whole without MLflow.
    """
    try:
        path = Path(store_uri(runs).removeprefix("sqlite:///"))
        if store_uri(runs).startswith("sqlite:///") and not path.exists():
            return ""
        if find_sweep(runs, plan.name)[1] is None:
            return ""
        sync(runs, plan)
    except Exception as error:  # noqa: BLE001, whatever MLflow raises
        return f"MLflow is behind: {_one_line(error)}; lab sync {plan.name} will catch up"
    return f"the run of the sweep in MLflow has it, too: lab ui {plan.name}"


class Shipper:
    """A thread that ships while the block runs, and once more at its end. It never raises: see `behind`."""

    def __init__(
        self,
        runs: Path,
        plan: Plan,
        every: float = EVERY,
        closing: float = CLOSING,
        only: Collection[str] | None = None,
    ) -> None:
        self.runs, self.plan, self.every, self.closing, self.only = runs, plan, every, closing, only
        self.error: str | None = None
        self._view: View | None = None
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._ship, name="mlflow-shipper", daemon=True)

    @property
    def behind(self) -> str | None:
        """One line for the user while MLflow lacks something; the ledger never does."""
        if self.error is None:
            return None
        return f"MLflow is behind: {self.error}; lab sync {self.plan.name} will catch up"

    def close(self) -> None:
        """Ship what is left, as long as that takes no longer than `closing` seconds."""
        self._stop.set()
        self._thread.join(self.closing)
        if self._thread.is_alive():
            self.error = f"it took longer than {self.closing:g} s"

    def _ship(self) -> None:
        wait, last = self.every, False
        while not last:
            last = self._stop.wait(wait)
            try:
                self._once()
            except Exception as error:  # noqa: BLE001, whatever MLflow raises must not end the sweep
                self._view, self.error = None, _one_line(error)
                wait = min(2 * wait, LONGEST_WAIT)
                logger.info("MLflow is behind: %s; tried again in %g s", self.error, wait)
            else:
                self.error, wait = None, self.every

    def _once(self) -> None:
        # Cells on a cluster ship themselves, each its own, to a server that can take it.
        alone = self.only is not None and is_server(store_uri(self.runs))
        with nullcontext() if alone else locked(self.runs):
            self._view = self._view or View(self.runs, self.plan, self.only)
            self._view.update(self.plan)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()


def _one_line(error: Exception) -> str:
    text = without_password(" ".join(str(error).split()))
    return text if len(text) <= 200 else f"{text[:200]}..."
