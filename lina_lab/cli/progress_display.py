"""How long work shows its progress: a live table on a terminal, plain lines elsewhere."""

import sys
import time
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from lina_lab.escape import shortened, shown
from lina_lab.ledger.status import ENDED
from lina_lab.sweep.local_engine import Finished
from lina_lab.sweep.progress import Row, Snapshot, duration

if TYPE_CHECKING:
    from rich.table import Table

    from lina_lab.sampling.image_set import DrawingProgress

PLAIN_EVERY_SECONDS = 15
NOTEBOOK_EVERY_SECONDS = 1
NOTEBOOK_ROWS = 40


def summary(snapshot: Snapshot) -> str:
    """One line: how many cells are in each state, time spent, time left."""
    states = [_state(row, snapshot) for row in snapshot.rows]
    counts = ", ".join(
        f"{states.count(s)} {s}"
        for s in ("done", "running", "stopped", "diverged", "pruned", "failed", "waiting")
        if s in states
    )
    passed = f"{counts} of {len(states)} cells; {duration(snapshot.seconds)} passed"
    if snapshot.stopped:
        return f"stopped, the same command continues: {passed}"
    if snapshot.seconds_left is None:
        return f"{passed}, time left not known before the first steps"
    return f"{passed}, about {duration(snapshot.seconds_left)} left" if snapshot.seconds_left else passed


def _state(row: Row, snapshot: Snapshot) -> str:
    """Of a cell, in words; what has begun and waits when the sweep is stopped is stopped."""
    begun = row.state == "running" or (row.state == "waiting" and row.step > 0)
    return "stopped" if snapshot.stopped and begun else row.state


class PlainShow:
    """Lines: one when a cell first starts and when it ends, and a summary now and then."""

    def __init__(self) -> None:
        self.told: set[tuple[str, int, str]] = set()
        self.written = time.monotonic()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        return

    def __call__(self, snapshot: Snapshot, new: list[Finished]) -> None:
        reasons = {finished.reason for finished in new if finished.reason}
        first = not self.told
        for row in snapshot.rows:
            event = (row.label, row.seed, row.state)
            if event not in self.told and row.state != "waiting" and not (first and row.state in ENDED):
                print(f"{row.state:>8}  {shown(row.label)}, seed {row.seed}{_reason(row, reasons)}", flush=True)
            self.told.add(event)
        if snapshot.stopped or time.monotonic() - self.written >= PLAIN_EVERY_SECONDS:
            self.written = time.monotonic()
            print(f"          {summary(snapshot)}", flush=True)


def _reason(row: Row, reasons: set[str]) -> str:
    if row.state == "failed":
        return f": {row.reason or next(iter(reasons), '')}"
    return f" at step {row.step}" if row.state == "diverged" else ""


class LiveShow:
    """A table that is redrawn in place: state, step, loss and time left of every cell, and of the sweep."""

    def __init__(self) -> None:
        from rich.console import Console
        from rich.live import Live

        plain = Console(markup=False, emoji=False, highlight=False)
        self.live = Live(console=plain, refresh_per_second=2, vertical_overflow="ellipsis")

    def __enter__(self) -> Self:
        self.live.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.live.__exit__(kind, error, trace)

    def __call__(self, snapshot: Snapshot, new: list[Finished]) -> None:  # noqa: ARG002, the rows tell it all
        from rich.console import Group
        from rich.text import Text

        table = cells_table(snapshot, self.live.console.height - 4)
        self.live.update(Group(table, Text(summary(snapshot), style="italic")))


class NotebookShow:
    """The same table below a notebook's cell, updated in place."""

    def __init__(self) -> None:
        self.shown: Any = None
        self.written = 0.0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        return

    def __call__(self, snapshot: Snapshot, new: list[Finished]) -> None:
        from IPython.display import display
        from rich.text import Text

        now = time.monotonic()
        if self.shown is not None and not new and not snapshot.stopped and now - self.written < NOTEBOOK_EVERY_SECONDS:
            return
        self.written, table, words = now, cells_table(snapshot, NOTEBOOK_ROWS), summary(snapshot)
        table.caption, table.caption_justify, table.min_width = Text(words, style="italic"), "left", len(words)
        if self.shown is None:
            self.shown = display(table, display_id=True)
        else:
            self.shown.update(table)


def cells_table(snapshot: Snapshot, room: int) -> "Table":
    """State, step, loss and time left of the cells of a sweep, in so many rows."""
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, padding=(0, 2, 0, 0))
    for heading in ("cell", "seed", "state", "step", "loss", "left"):
        table.add_column(heading, justify="left" if heading in {"cell", "state"} else "right")
    for row in _most_interesting(snapshot.rows, room):
        state = _state(row, snapshot)
        state = row.phase if state == "running" and row.phase else state
        loss = "" if row.loss is None else f"{row.loss:.4f}"
        left = duration(row.seconds_left) if state == row.phase and row.seconds_left is not None else ""
        style = {"failed": "red", "diverged": "yellow", "running": "bold", "waiting": "dim"}.get(row.state, "")
        words = (shown(shortened(row.label)), str(row.seed), state, f"{row.step}/{row.steps}", loss, left)
        table.add_row(*map(Text, words), style=style)
    return table


def _most_interesting(rows: list[Row], room: int) -> list[Row]:
    """All rows where they fit; else those that run or went wrong first."""
    if len(rows) <= room:
        return rows
    order = {"failed": 0, "running": 1, "diverged": 2, "waiting": 3, "pruned": 4, "done": 5}
    return sorted(rows, key=lambda row: order[row.state])[: max(1, room)]


def show_progress() -> PlainShow | LiveShow | NotebookShow:
    """The display that suits where the output goes."""
    if in_notebook():
        return NotebookShow()
    return LiveShow() if sys.stdout.isatty() else PlainShow()


def in_notebook() -> bool:
    """Whether this process is the kernel of a notebook."""
    ipython = sys.modules.get("IPython")
    return ipython is not None and hasattr(ipython.get_ipython(), "kernel")


class ShareDone:
    """A line now and then: how much is done and how long the rest will take."""

    def __init__(self, what: str) -> None:
        self.what, self.started, self.written = what, time.monotonic(), time.monotonic()

    def __call__(self, share: float) -> None:
        now = time.monotonic()
        if now - self.written > 2:
            left = (now - self.started) / share * (1 - share)
            print(f"{self.what}: {share:.0%}, about {left:.0f} s left", flush=True)
            self.written = now


class DrawingDisplay:
    """A line now and then: how many images there are, and how long the rest will take."""

    def __init__(self, what: str) -> None:
        self.what, self.told = what, time.monotonic()

    def __call__(self, progress: "DrawingProgress") -> None:
        if time.monotonic() - self.told >= PLAIN_EVERY_SECONDS:
            self.told = time.monotonic()
            print(f"{self.what}: {progress}", flush=True)
