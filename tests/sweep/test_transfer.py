"""Which cell's trials choose for a cell, and when a learning rate may be taken from one size to another."""

from pathlib import Path

import pytest

from lina_lab.analysis.coordinates import PASSED, Moved, check_of
from lina_lab.config.experiment import Experiment
from lina_lab.config.load import Document
from lina_lab.config.sweep import Sweep
from lina_lab.errors import LabError
from lina_lab.sweep.planning import PlannedSweep, expand
from lina_lab.sweep.transfer import OTHER_DESIGN, STANDARD, groups, sources, stored_check, transfer
from lina_lab.training import coordinates
from tests.study import EXPERIMENT

TUNE = {"search": {"training.learning_rate": {"low": 1e-4, "high": 1.0}}, "trials": 2, "at": "nano"}


def plan(axes: dict, exclude: tuple = (), **changes: object) -> PlannedSweep:
    values = {"name": "s", "question": "?", "experiment": "-", "axes": axes, "exclude": list(exclude)}
    sweep = Sweep.model_validate(values | {"tune": TUNE | changes})
    return expand(sweep, Document(EXPERIMENT, {}), Document({}, {}), Path("s.yaml"))


def of(size: str, parametrization: str = "mup", **model: object) -> Experiment:
    training = EXPERIMENT["training"] | {"parametrization": parametrization}
    return Experiment.model_validate(EXPERIMENT | {"training": training, "model": {"size": size, "patch": 2} | model})


def chosen_by(planned: PlannedSweep) -> dict[str, str]:
    labels = [group[0].label for group in groups(planned.plan.cells)]
    return {label: labels[place] for label, place in zip(labels, sources(planned, planned.tune), strict=True)}


def test_a_design_is_tuned_at_one_size_and_at_every_size_without_one():
    axes = {"model.attention.conv_kernel": [0, 5], "model.size": ["nano", "micro"]}
    assert chosen_by(plan(axes)) == {
        "conv_kernel=0 nano": "conv_kernel=0 nano",
        "conv_kernel=0 micro": "conv_kernel=0 nano",
        "conv_kernel=5 nano": "conv_kernel=5 nano",
        "conv_kernel=5 micro": "conv_kernel=5 nano",
    }
    assert sources(plan(axes, at=None), plan(axes, at=None).tune) == [0, 1, 2, 3]


def test_at_the_base_width_one_cell_stands_for_both_parametrizations():
    axes = {"training.parametrization": ["standard", "mup"], "model.size": ["nano", "micro"]}
    assert chosen_by(plan(axes)) == {
        "standard nano": "standard nano",
        "standard micro": "standard nano",
        "mup micro": "standard nano",
    }
    sizes = {"training.parametrization": ["standard", "mup"], "model.size": ["micro", "tiny"]}
    assert chosen_by(plan(sizes, at="micro"))["mup tiny"] == "mup micro"
    without = ({"training.parametrization": "mup", "model.size": "micro"},)
    with pytest.raises(LabError, match=r"tune\.at: mup tiny has no cell of size micro"):
        chosen_by(plan(sizes, without, at="micro"))


def test_a_design_without_a_cell_of_that_size_is_named():
    axes = {"model.attention.conv_kernel": [0, 5], "model.size": ["nano", "micro"]}
    with pytest.raises(LabError, match=r"tune\.at: conv_kernel=5 micro has no cell of size nano"):
        chosen_by(plan(axes, ({"model.attention.conv_kernel": 5, "model.size": "nano"},)))


def test_only_a_wider_model_of_the_same_design_under_mup_takes_a_rate(tmp_path):
    assert transfer(tmp_path, of("nano"), of("micro", "standard")) == STANDARD
    assert transfer(tmp_path, of("nano"), of("micro", decoder_depth=3)) == OTHER_DESIGN
    assert transfer(tmp_path, of("nano"), of("micro", num_heads=2)) == OTHER_DESIGN
    assert not list(tmp_path.iterdir())


def test_a_check_is_made_once_for_all_widths_seeds_lengths_and_rates_of_a_design(tmp_path, monkeypatch):
    made = []

    def check(experiment):
        made.append(experiment)
        moved = [Moved("head.out", width, 0, 1, float(width) ** len(made)) for width in (32, 64)]
        return check_of("mup", experiment.training.learning_rate, moved)

    monkeypatch.setattr(coordinates, "check", check)
    first = transfer(tmp_path, of("nano"), of("micro"))
    assert first == "the coordinate check failed: head.out moves as width^1.00 at step 1"
    longer = of("micro").training.model_copy(update={"steps": 7})
    for same in (of("tiny"), of("micro").model_copy(update={"seed": 3, "training": longer})):
        assert transfer(tmp_path, of("nano"), same) == first
    assert len(made) == 1
    other = of("micro").training.model_copy(update={"learning_rate": 3e-3})
    stored_check(tmp_path, of("micro").model_copy(update={"training": other}))
    assert len(made) == 1
    stored_check(tmp_path, of("micro", attention={"conv_kernel": 5}))
    assert len(made) == 2
    assert len(list((tmp_path / "coordinates").glob("*.json"))) == 2
    assert PASSED not in first
