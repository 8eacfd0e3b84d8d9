"""Time cells as they will run: in as many processes at once as there are workers, each in its slot."""

import multiprocessing
import os
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from typing import TYPE_CHECKING

from lina_lab.config.experiment import Experiment, digests
from lina_lab.design.value import Source
from lina_lab.errors import LabError
from lina_lab.interpreter import BINDING, search_path, surroundings, without_script
from lina_lab.plugins.load import load, sources
from lina_lab.sweep.budget import Times, times
from lina_lab.sweep.local_engine import ENVIRONMENT, Slot

if TYPE_CHECKING:
    from lina_lab.cell.estimate import Seconds

PRELOADED = ["lina_lab.cell.estimate"]
"""Modules imported once, by the process that workers are forked from."""


def rehearse(todo: Sequence[Experiment], where: Sequence[Slot]) -> Times:
    """Wall time of the remaining work, from the start of the workers to the last result.

    Workers compete for cores and memory bandwidth: a single one would be faster, and the estimate too short.

    Raises:
        LabError: if a cell cannot be timed.
    """
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([BINDING, *PRELOADED])
    count = min(len(where), len(todo))
    started = time.monotonic()
    # Inside: the queue's semaphores start a process (the resource tracker) too.
    with without_script(), surroundings(ENVIRONMENT):
        places = context.SimpleQueue()
        for slot in where[:count]:
            places.put(slot)
        with ProcessPoolExecutor(count, context, _take_place, (places,)) as pool:
            list(pool.map(abs, range(count)))
            start = time.monotonic() - started

            def timed(experiment: Experiment) -> "Seconds":
                plugins = sources(digests(experiment))
                seconds = list(pool.map(_timed, [experiment] * count, [plugins] * count))
                return type(seconds[0]).mean(seconds)

            try:
                return times(todo, len(where), timed, start)
            except BrokenProcessPool as error:
                raise LabError("a process that timed a cell was killed: there may be too little memory") from error


def _take_place(places: "multiprocessing.SimpleQueue[Slot]") -> None:
    sys.path[:] = search_path()
    os.environ.update(places.get())


def _timed(experiment: Experiment, plugins: Sequence[Source]) -> "Seconds":
    for path, digest in plugins:
        load(path, digest)
    from lina_lab.cell.estimate import cell_seconds

    return cell_seconds(experiment)
