"""Medians, rounds, limits and ceilings, on a clock that the tests set: nothing here depends on the machine."""

import pytest
import torch

from lina_lab.profiling import ceilings, measure
from lina_lab.profiling.ceilings import Ceilings, measure_ceilings
from lina_lab.profiling.measure import LEAST_ROUNDS, TimedModule

CPU = torch.device("cpu")


@pytest.fixture
def clock(monkeypatch):
    """`clock(times)`: the n-th timed call takes times(n) milliseconds; the list of what was called."""

    def set_to(times):
        calls = []

        def timed(call, device):
            calls.append(call)
            return call(), times(len(calls) - 1)

        for module in (measure, ceilings):
            monkeypatch.setattr(module, "timed", timed)
        return calls

    return set_to


def subject(log: list[str], name: str) -> TimedModule:
    weight = torch.ones(3, requires_grad=True)

    def forward() -> torch.Tensor:
        log.append(name)
        return weight.clone()

    return TimedModule(forward, torch.ones(3), [weight], [])


def test_rounds_take_each_subject_in_turn_and_the_median_is_over_rounds(clock):
    # warm-up and the time of one, forward and backward, of two subjects: 8 calls
    rounds = [1, 10, 2, 20, 3, 30, 4, 40, 1000, 50, 6, 60]  # 3 rounds x 2 subjects x (forward, backward)
    clock(lambda n: 300.0 if n < 8 else rounds[n - 8])
    log: list[str] = []
    done: list[str] = []
    found = measure.measure({"a": subject(log, "a"), "b": subject(log, "b")}, CPU, 1.0, done.append)
    assert log[-2 * LEAST_ROUNDS :] == ["a", "b"] * LEAST_ROUNDS
    assert done == ["a", "b"]
    a, b = found["a"], found["b"]
    assert (a.forward_ms, a.backward_ms, a.repeats) == (3, 30, 3)
    assert (b.forward_ms, b.backward_ms) == (4, 40)
    assert a.iqr_ms == pytest.approx((1050 + 33) / 2 - (33 + 11) / 2)
    assert (a.activation_bytes, a.peak_bytes) == (0, 4 * 3 * 4)  # weight, seed, output, gradient


def test_short_ones_are_repeated_more_often_but_not_for_ever(clock):
    clock(lambda n: 12.5)  # 25 ms for one: half a second has room for 20
    assert measure.measure({"a": subject([], "a")}, CPU, 1.0)["a"].repeats == 20
    clock(lambda n: 0.0)
    assert measure.measure({"a": subject([], "a")}, CPU, 1.0)["a"].repeats == measure.MOST_ROUNDS


def test_one_that_takes_longer_than_the_limit_is_left_out_and_says_so(clock):
    slow: list[str] = []
    clock(lambda n: 700.0 if n < 4 else 1.0)
    found = measure.measure({"slow": subject(slow, "slow"), "quick": subject([], "quick")}, CPU, 1.3)
    assert found["slow"] == "one takes 1.4 s"
    assert found["quick"].forward_ms == 1
    assert len(slow) == 4  # warm-up, two memories, one timed


def test_one_that_has_no_room_is_left_out_and_the_others_go_on(clock):
    clock(lambda n: 1.0)

    def full() -> torch.Tensor:
        raise torch.OutOfMemoryError("no room")

    found = measure.measure({"big": TimedModule(full, None, [], []), "small": subject([], "small")}, CPU, 1.0)
    assert found["big"] == "not enough memory"
    assert found["small"].repeats == measure.MOST_ROUNDS


def test_gradients_do_not_pile_up():
    log: list[str] = []
    one = subject(log, "one")
    for _ in range(2):
        one.run(CPU)
    assert one.weights[0].grad.tolist() == [1, 1, 1]
    measure.measure({"one": one}, CPU, 10.0)
    assert one.weights[0].grad is None


def test_ceilings_are_the_best_of_several_and_bound_what_is_slower(clock, monkeypatch):
    monkeypatch.setattr(ceilings, "PRODUCT_SIDE", {"cpu": 100})
    monkeypatch.setattr(ceilings, "COPY_BYTES", {"cpu": 3000})
    products = [5, 2, 4, 8, 8, 8, 8]
    calls = clock(lambda n: products[n] if n < 7 else 0.5 + (n - 7))
    found = measure_ceilings(CPU, torch.float32)
    assert len(calls) == 14
    assert found.flops_per_second == pytest.approx(2 * 100**3 / 2e-3)
    assert found.bytes_per_second == pytest.approx(2 * 3000 / 0.5e-3)  # read and written


def test_the_bound_is_the_longer_of_work_and_traffic():
    machine = Ceilings(flops_per_second=1e9, bytes_per_second=1e6)
    assert machine.bound_ms(5e6, 1e3) == pytest.approx(5)
    assert machine.bound_ms(1e6, 7e3) == pytest.approx(7)
