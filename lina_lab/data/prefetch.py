"""Prefetching in background threads."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


def prefetch(call: Callable[[Item], Result], items: Iterable[Item], depth: int, threads: int = 1) -> Iterator[Result]:
    """`call(item)` for every item, in order, with up to `depth` calls running before their results are needed.

    An exception of a call is raised where its result is taken; the calls that have not begun are then cancelled.
    """
    pool, begun = ThreadPoolExecutor(threads), deque[Future[Result]]()
    try:
        for item in items:
            begun.append(pool.submit(call, item))
            if len(begun) > depth:
                yield begun.popleft().result()
        while begun:
            yield begun.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)
