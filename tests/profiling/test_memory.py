"""Bytes against allocations and saved tensors that are known to the byte."""

import gc

import pytest
import torch
import torch.nn.functional as F

from lina_lab.config.settings import ExecutionConfig
from lina_lab.model.blocks import Mlp
from lina_lab.model.execution import accelerate
from lina_lab.profiling.measure import TimedModule
from lina_lab.profiling.memory import activation_bytes, peak_bytes, storage_bytes

CPU = torch.device("cpu")


def test_the_peak_is_the_most_at_once_and_not_the_sum():
    def call() -> None:
        first = torch.empty(1009, dtype=torch.uint8)
        second = torch.empty(5003, dtype=torch.uint8)
        del first
        third = torch.empty(701, dtype=torch.uint8)
        del second, third
        fourth = torch.empty(4001, dtype=torch.float32)[:7]
        del fourth

    assert peak_bytes(call, CPU) == 4 * 4001


def test_what_was_there_before_is_not_counted_even_if_it_is_freed():
    before = [torch.empty(100_003, dtype=torch.uint8)]

    def call() -> torch.Tensor:
        before.clear()
        return torch.empty(307, dtype=torch.uint8)

    assert peak_bytes(call, CPU) == 307


@pytest.mark.slow
def test_garbage_of_an_earlier_call_is_not_freed_by_a_later_one():
    def cycle() -> None:
        ring: list[object] = [torch.empty(100_003, dtype=torch.uint8)]
        ring.append(ring)

    def call() -> torch.Tensor:
        gc.collect()
        return torch.empty(307, dtype=torch.uint8)

    assert peak_bytes(cycle, CPU) == 100_003
    assert peak_bytes(call, CPU) == 307


def test_a_temporary_inside_an_expression_counts():
    a, b = torch.ones(2, 997)
    assert peak_bytes(lambda: (a + b) * b, CPU) == 2 * 4 * 997
    assert peak_bytes(lambda: (a + b).mul_(b), CPU) == 4 * 997


def test_a_linear_layer_holds_weights_input_output_and_their_gradients():
    N, D, h = 101, 61, 127
    layer, x, gradient = torch.nn.Linear(D, h), torch.ones(N, D, requires_grad=True), torch.ones(N, h)
    subject = TimedModule(lambda: layer(x), gradient, list(layer.parameters()), [x])
    weights, tokens, output = D * h + h, N * D, N * h
    # y is kept to the end of the backward; the gradient of y was there before
    assert subject.peak_bytes(CPU) == 4 * (2 * weights + 2 * tokens + 2 * output)
    subject.run(CPU)
    assert subject.peak_bytes(CPU) == 4 * (2 * weights + 2 * tokens + 2 * output)  # gradients are forgotten first


def test_an_mlp_keeps_its_input_what_goes_into_gelu_and_what_comes_out():
    N, D, h = 5, 7, 29
    mlp, x = Mlp(D, h), torch.randn(N, D, requires_grad=True)
    assert activation_bytes(lambda: mlp(x), mlp.parameters()) == 4 * (N * D + 2 * N * h)


def test_what_is_computed_again_is_not_kept_but_what_it_is_computed_from_is():
    N, D, h = 5, 7, 29
    mlp, x = Mlp(D, h), torch.randn(N, D, requires_grad=True)
    accelerate(mlp, ExecutionConfig(activation_checkpointing="mlp"))
    assert activation_bytes(lambda: mlp(x), mlp.parameters()) == 4 * N * D


def test_one_storage_that_is_saved_twice_counts_once_and_weights_do_not():
    x, weight = torch.ones(13, 17, requires_grad=True), torch.ones(17, requires_grad=True)
    assert activation_bytes(lambda: x * x[:, :1], []) == 4 * 13 * 17
    assert activation_bytes(lambda: F.relu(x * weight), [weight]) == 4 * 2 * 13 * 17
    assert activation_bytes(lambda: F.relu(x * weight), []) == 4 * (2 * 13 * 17 + 17)


def test_nothing_is_kept_where_nothing_needs_a_gradient():
    x = torch.ones(13, 17)
    assert activation_bytes(lambda: x * x, []) == 0


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_bytes_are_of_storages(dtype):
    x = torch.ones(11, 3, dtype=dtype)
    assert storage_bytes([x, x[1:], x.T, torch.ones(5, dtype=torch.uint8)]) == 33 * dtype.itemsize + 5
