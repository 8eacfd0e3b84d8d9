"""Work that is begun before it is asked for."""

import itertools
import threading

import pytest

from lina_lab.data.prefetch import prefetch


def test_results_come_in_order_and_no_more_are_begun_than_asked():
    begun, may_go = [], threading.Event()

    def call(item: int) -> int:
        begun.append(item)
        if item == 0:
            assert may_go.wait(60)
        return item * item

    results = prefetch(call, itertools.count(), depth=3, threads=4)
    threading.Timer(0.1, may_go.set).start()
    assert next(results) == 0
    assert sorted(begun) == [0, 1, 2, 3]
    assert [next(results) for _ in range(5)] == [1, 4, 9, 16, 25]
    results.close()
    assert len(begun) <= 10


def test_all_items_come_even_if_they_are_fewer_than_the_depth():
    assert list(prefetch(str, range(3), depth=9)) == ["0", "1", "2"]
    assert list(prefetch(str, [], depth=9)) == []


def test_an_error_comes_where_its_result_would_have_come_and_ends_the_threads():
    def call(item: int) -> float:
        return 1 / (2 - item)

    before = set(threading.enumerate())  # other tests of this process may have left threads of other pools
    results = prefetch(call, range(9), depth=4, threads=2)
    assert [next(results), next(results)] == [0.5, 1.0]
    own = set(threading.enumerate()) - before
    assert own
    with pytest.raises(ZeroDivisionError):
        next(results)
    assert next(results, None) is None
    assert not any(thread.is_alive() for thread in own)
