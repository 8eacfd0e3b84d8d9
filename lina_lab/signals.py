"""Signals that the processes of a cell handle: one to stop, one to write where they are."""

import faulthandler
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

STACKS = signal.SIGUSR2
"""On this signal a process writes the stacks of all threads to standard error, which is the cell's log.txt."""


def stop_on(number: signal.Signals) -> threading.Event:
    """An event that a signal sets, however often it comes: a cancelled SLURM job and its launcher both send it."""
    event = threading.Event()

    def handle(number: int, frame: FrameType | None) -> None:  # noqa: ARG001, the signature of a handler
        event.set()

    signal.signal(number, handle)
    return event


@contextmanager
def as_interrupt(number: signal.Signals) -> Iterator[None]:
    """Within, a signal raises KeyboardInterrupt, as Ctrl-C does. Only the main thread can be asked for that."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(number, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(number, signal.SIG_DFL if before is None else before)


def write_stacks_on_signal() -> None:
    """Register `STACKS`. faulthandler needs no running Python code, so it works for a process that hangs."""
    faulthandler.register(STACKS, file=2, all_threads=True)
