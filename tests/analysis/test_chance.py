"""Designs that have learnt nothing are named, and a table that does not tell is no alarm."""

import numpy as np
import pandas as pd
import pytest

from lina_lab.analysis.chance import CHANCE, chance, with_losses
from lina_lab.config.data import SOURCES
from tests.analysis.simulated import EQUAL, paired, table

ACCURACY = "eval/class_accuracy/digits-cnn"


@pytest.fixture
def drawn():
    return table(EQUAL, np.random.default_rng(0))


def reasons(drawn):
    return chance(paired(drawn), "fid")


def at(drawn, size, design):
    return (drawn["size"] == size) & (drawn["design"] == design)


def test_a_table_that_does_not_tell_is_no_alarm(drawn):
    assert reasons(drawn) == ([], [])
    assert reasons(drawn.assign(**{ACCURACY: 0.1})) == ([], [])
    assert reasons(drawn.assign(**{"eval/class_accuracy/own": 0.1}, num_generated=1000)) == ([], [])


def test_both_at_the_largest_size_are_against_both_claims_and_one_against_the_trend(drawn):
    drawn = drawn.assign(**{ACCURACY: 0.6}, num_generated=1000)
    assert reasons(drawn) == ([], [])
    drawn.loc[at(drawn, "size3", "new"), ACCURACY] = [0.10, 0.11, 0.09]
    better, (scales,) = reasons(drawn)
    assert better == []
    assert scales == (
        "a design is no better than chance or an untrained model, which no curve describes (A at size3: class accuracy "
        "0.1 of 3,000 images, 0.1 by chance)"
    )
    drawn.loc[at(drawn, "size3", "old"), ACCURACY] = 0.1
    better, scales = reasons(drawn)
    assert better == scales
    assert better[0].startswith("both designs are no better than chance or an untrained model at size3 (A: class acc")


@pytest.mark.parametrize(("accuracy", "found"), [(0.108, True), (0.110, False)])
def test_the_test_is_binomial_over_the_seeds_together(drawn, accuracy, found):
    """Of 3,000 images at 0.1, 328 or more are right in 5 %."""
    assert bool(reasons(drawn.assign(**{ACCURACY: accuracy}, num_generated=1000)).better) == found


def test_a_level_of_chance_in_the_table_counts_for_any_data(drawn):
    own = {"eval/class_accuracy/own": 0.5, "num_generated": 100}
    assert reasons(drawn.assign(**own, class_chance=0.5)).better
    assert not reasons(drawn.assign(**own, class_chance=0.25)).better


def test_without_classes_an_untrained_model_is_the_floor(drawn):
    assert reasons(drawn.assign(**{"untrained/fid": 10.0})).better
    assert not reasons(drawn.assign(**{"untrained/fid": 400.0})).better
    assert chance(paired(drawn.assign(**{"untrained/fid": 400.0})), "fid", sign=-1).better


def test_without_either_a_held_out_loss_that_has_not_fallen(drawn):
    keyed = drawn.assign(key=[f"k{i}" for i in range(24)])
    curves = pd.DataFrame(
        [(key, step, 0.9) for key in keyed["key"] for step in (200, 400)], columns=["key", "step", "loss"]
    )
    assert reasons(with_losses(keyed, curves)).better
    falls = curves.assign(loss=curves["loss"] + 0.1 * (curves["step"] == 200))
    assert reasons(with_losses(keyed, falls)) == ([], [])
    assert reasons(with_losses(keyed, curves[curves["step"] == 400])) == ([], [])
    assert with_losses(keyed, None) is keyed


@pytest.mark.slow
def test_the_levels_of_chance_are_those_of_the_data():
    from lina_lab.config.data import DataConfig
    from lina_lab.data.datasets import load_dataset

    for name, source in SOURCES.items():
        if source.balanced:
            assert CHANCE[name] == pytest.approx(1 / source.num_classes)
    counts = load_dataset(DataConfig(name="emoji", side=32)).heldout.labels.bincount()
    assert CHANCE["emoji"] == pytest.approx(float(counts.max() / counts.sum()), abs=0.02)
