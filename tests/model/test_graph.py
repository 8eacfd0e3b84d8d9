"""What a CUDA graph reads lives as long as the graph, and a graph that computes something else is an error.

On a processor with a stand-in for graphs that forgets everything but what it made itself; on a GPU with the real ones.
"""

import gc

import pytest
import torch
from torch import Tensor

from lina_lab.config.settings import SamplingConfig
from lina_lab.errors import LabError
from lina_lab.model.graph import Graph, relative_difference
from lina_lab.model.random_streams import sampling_draws
from lina_lab.model.sampler import sample, sample_of_draws
from tests.model import cuda_stand_in
from tests.model.cuda_stand_in import StandInGraph
from tests.model.test_lina import awake, generators

DESIGNS = [{"conv_kernel": 3, "kv_gate": "key_value"}, {"normalization": "softmax"}]
SAMPLINGS = [
    {},
    {"guidance_scale": 3.0},
    {"guidance_scale": 3.0, "precision": "bf16"},
    {"flow_steps_last": 2},
]


@pytest.fixture
def graphs(monkeypatch) -> list[StandInGraph]:
    return cuda_stand_in.install(monkeypatch)


def forgetful(function, *example: Tensor) -> Tensor:
    """How the sampler once made graphs: of the function and what it closes over nothing was kept."""
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        output = function(*example)
    del function
    gc.collect()
    graph.replay()
    return output


@pytest.mark.slow
def test_the_stand_in_sees_memory_that_was_freed(graphs):
    def of_a_table():
        table = torch.ones(3)
        return lambda x: x + table

    with pytest.raises(AssertionError, match="reads freed memory"):
        forgetful(of_a_table(), torch.zeros(3))


@pytest.mark.slow
def test_a_graph_keeps_what_its_function_closes_over_and_computes_from_new_arguments(graphs):
    def of_a_table():
        table = torch.arange(3.0)
        return lambda x, y: (x * table + y).relu()

    graph = Graph("a table", of_a_table(), torch.zeros(3), torch.zeros(3))
    gc.collect()
    for number in range(4):
        assert torch.equal(
            graph(torch.full((3,), 2.0), torch.full((3,), -number)), torch.arange(3.0).mul(2).sub(number).relu()
        )
    graph.prove(0.0)
    assert graphs[0].replays == 4


@pytest.mark.slow
@pytest.mark.parametrize("design", DESIGNS)
@pytest.mark.parametrize("sampling", SAMPLINGS)
def test_all_that_the_sampler_records_lives_as_long_as_its_replays(graphs, design, sampling):
    made, labels = awake(**design), torch.arange(3)
    config = SamplingConfig(autoregressive_steps=6, flow_steps=3, **sampling)
    draws = sampling_draws(generators(3), made.tokens, made.values)
    graph = sample_of_draws(made, labels, config, *draws, static=True, graph=True)
    plain = sample_of_draws(made, labels, config, *draws, static=True)
    assert sum(made.replays for made in graphs) == 6
    torch.testing.assert_close(graph, plain, rtol=0, atol=0)


@pytest.mark.slow
@pytest.mark.parametrize("at", [1, 2])
def test_a_graph_that_computes_something_else_is_an_error_that_names_it(graphs, monkeypatch, at):
    """Its result is overwritten behind its back, in its first call or in its second."""
    replay = StandInGraph.replay

    def disturbed(self: StandInGraph) -> None:
        replay(self)
        if self.replays == at:
            self.recording.own[-1].mul_(1.01)

    monkeypatch.setattr(StandInGraph, "replay", disturbed)
    made, config = awake(), SamplingConfig(autoregressive_steps=6, flow_steps=3)
    draws = sampling_draws(generators(2), made.tokens, made.values)
    message = r"CUDA graph of the sampler differs .* by 0\.01 relative to its norm \(at most 0\.0001 is rounding"
    with pytest.raises(LabError, match=message):
        sample_of_draws(made, torch.arange(2), config, *draws, static=True, graph=True)


def test_a_nan_of_the_graph_alone_is_a_difference_and_one_of_both_is_none():
    good, bad = torch.ones(3), torch.tensor([1.0, float("nan"), 1.0])
    assert relative_difference(bad, good).isnan()
    assert relative_difference(bad, bad) == 0
    assert relative_difference(1.5 * good, good) == 0.5


@pytest.mark.gpu
@pytest.mark.parametrize("design", DESIGNS)
@pytest.mark.parametrize(("precision", "tolerance"), [("fp32", 1e-5), ("bf16", 1e-2)])
def test_on_a_gpu_the_graph_gives_the_plain_samples(design, precision, tolerance):
    made, labels = awake(**design).cuda(), torch.arange(3).cuda()
    config = SamplingConfig(autoregressive_steps=6, flow_steps=3, guidance_scale=3.0, precision=precision)
    draws = [tensor.cuda() for tensor in sampling_draws(generators(3), made.tokens, made.values)]
    plain = sample_of_draws(made, labels, config, *draws, static=True, graph=False)
    for _ in range(3):  # what one call frees the next one uses
        graph = sample_of_draws(made, labels, config, *draws)
        assert relative_difference(graph, plain) <= tolerance


@pytest.mark.gpu
def test_on_a_gpu_the_samples_are_finite_and_those_of_a_processor():
    made, config = awake(**DESIGNS[0]), SamplingConfig(autoregressive_steps=6, flow_steps=3)
    expected = sample(made, torch.arange(3), config, generators(3))
    found = sample(made.cuda(), torch.arange(3).cuda(), config, generators(3)).cpu()
    assert relative_difference(found, expected) <= 1e-3
