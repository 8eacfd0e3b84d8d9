"""The experiments and sweeps at the paper's scale: published numbers, equal samples seen, stages that follow."""

from pathlib import Path

import pytest

from lina_lab import cost
from lina_lab.config.experiment import cell_key
from lina_lab.config.load import load_experiment
from lina_lab.sweep.planning import load_sweep

ROOT = Path(__file__).parents[2]
# Published: trainable parameters of LINA (variant kvscale1) at its three widths, batch and samples of a class.
IMAGENET = {"B": (362_349_328, 64 * 32), "L": (643_302_416, 48 * 32), "H": (1_445_381_648, 24 * 32)}
# Trainable parameters, learning rate, batch and image tokens of the published prompt models.
PROMPTS = {
    256: (1_447_777_808, 2e-4, 16 * 48, 256),
    512: (1_448_269_328, 1e-4, 4 * 48, 1024),
    1024: (1_450_235_408, 5e-5, 48, 4096),
}
SWEEPS = ("paper-kv-gate", "paper-locality", "paper-normalization-convolution")


def experiment(name):
    return load_experiment(ROOT / "experiments" / f"{name}.yaml")


@pytest.mark.parametrize("size", IMAGENET)
def test_the_class_conditional_experiments_are_the_published_models(size):
    trainable, batch = IMAGENET[size]
    found = experiment(f"imagenet256-{size}")
    assert cost.parameters(found.model, found.data.shape).trainable == trainable
    assert (found.training.batch_size, found.training.learning_rate) == (batch, 8e-4)
    assert found.evaluation.num_samples == 50 * found.data.shape.num_classes


@pytest.mark.parametrize("side", PROMPTS)
def test_the_experiments_from_prompts_are_the_published_models(side):
    trainable, rate, batch, tokens = PROMPTS[side]
    found = experiment(f"t2i-{side}")
    assert cost.parameters(found.model, found.data.shape).trainable == trainable
    assert (found.training.learning_rate, found.training.batch_size) == (rate, batch)
    assert cost.tokens(found.model, found.data.shape).image == tokens


@pytest.mark.parametrize(("side", "below"), [(512, 256), (1024, 512)])
def test_a_stage_starts_from_the_cell_of_the_one_below(side, below):
    init = experiment(f"t2i-{side}").training.init_from
    assert init is not None
    assert init.cell == cell_key(experiment(f"t2i-{below}"))


@pytest.mark.parametrize("name", SWEEPS)
def test_the_cells_of_a_paper_sweep_see_equally_many_samples_and_have_tuned_learning_rates(name):
    planned = load_sweep(ROOT / "sweeps" / f"{name}.yaml")
    trainings = [experiment.training for experiment in planned.own_experiments]
    assert {training.steps * training.batch_size for training in trainings} == {409_600_000}
    assert planned.tune is not None
    assert planned.tune.search.keys() == {"training.learning_rate"}


def test_the_gate_study_has_the_six_published_gates():
    plan = load_sweep(ROOT / "sweeps" / "paper-kv-gate.yaml").plan
    found = {tuple(cell.values.values()) for cell in plan.cells}
    own = {(gate, "per_head") for gate in ("none", "key", "value", "key_value", "key_value_split")}
    assert found == own | {("key_value", "shared")}
