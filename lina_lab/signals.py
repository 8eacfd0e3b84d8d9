"""Signals that a process of a cell answers: one to stop, one to say where it is."""

import faulthandler
import signal
import threading
from types import FrameType

STACKS = signal.SIGUSR2
"""A process of a cell that gets it writes the stacks of all its threads to its standard error: the cell's log.txt."""


def stop_on(number: signal.Signals) -> threading.Event:
    """An event that a signal sets, however often it comes: a cancelled SLURM job and its launcher both send it."""
    event = threading.Event()

    def handle(number: int, frame: FrameType | None) -> None:  # noqa: ARG001, the signature of a handler
        event.set()

    signal.signal(number, handle)
    return event


def write_stacks_on_signal() -> None:
    """Also of a process that hangs: no Python runs for it."""
    faulthandler.register(STACKS, file=2, all_threads=True)
