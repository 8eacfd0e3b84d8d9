"""Designs that have learnt nothing are named, and a table that does not tell is no alarm."""

import numpy as np
import pandas as pd
import pytest
import torch

from lina_lab.analysis.chance import CHANCE, chance, learnt_nothing, with_losses
from lina_lab.analysis.match_cells import matched
from lina_lab.analysis.study_metric import metric_of
from lina_lab.analysis.table import results_table
from lina_lab.evaluation.metrics import fid
from tests.analysis.simulated import COLUMNS, EQUAL, paired, table

ACCURACY, FID = "eval/class_accuracy/digits-cnn", "eval/fid/digits-cnn"


@pytest.fixture
def drawn():
    return table(EQUAL, np.random.default_rng(0))


def reasons(drawn):
    return chance(paired(drawn), "fid")


def at(drawn, size, design):
    return (drawn["size"] == size) & (drawn["design"] == design)


@pytest.mark.slow
def test_a_table_that_does_not_tell_is_no_alarm(drawn):
    assert reasons(drawn) == ([], [])
    assert reasons(drawn.assign(**{ACCURACY: 0.1})) == ([], [])
    assert reasons(drawn.assign(**{"eval/class_accuracy/own": 0.1}, num_generated=1000)) == ([], [])


@pytest.mark.slow
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


def test_results_that_are_older_than_its_record_have_the_level_of_their_data(drawn):
    old = {ACCURACY: 0.1, "num_generated": 1000, "class_chance": np.nan}
    assert reasons(drawn.assign(**old)).better


@pytest.mark.slow
def test_a_fid_no_lower_than_that_of_one_picture_again_and_again_is_chance_whatever_the_accuracy(drawn):
    drawn = drawn.rename(columns={"fid": FID}).assign(**{ACCURACY: 0.6}, num_generated=1000)
    columns = COLUMNS._replace(y=FID)
    for variance, found in ((1.0, True), (1000.0, False)):
        pairs = matched(drawn.assign(reference_variance=variance), columns, ["new"], ["old"])
        assert bool(chance(pairs, FID).better) == found
    assert (
        "1 of one average picture drawn again and again"
        in chance(matched(drawn.assign(reference_variance=1.0), columns, ["new"], ["old"]), FID).better[0]
    )


def test_a_design_of_which_one_seed_is_better_than_one_picture_has_learnt(drawn):
    drawn = drawn.rename(columns={"fid": FID})
    first = drawn["seed"] == drawn["seed"].min()
    drawn = drawn.assign(reference_variance=np.where(first, drawn[FID] * 1.01, drawn[FID] * 0.99))
    assert not chance(matched(drawn, COLUMNS._replace(y=FID), ["new"], ["old"]), FID).better
    none = drawn.assign(reference_variance=drawn[FID])
    assert chance(matched(none, COLUMNS._replace(y=FID), ["new"], ["old"]), FID).better


def test_the_variance_of_features_is_the_fid_of_drawing_their_mean():
    features = torch.randn(400, 6, generator=torch.Generator().manual_seed(0)).double() * torch.arange(1, 7)
    mean = features.mean(0) + 1e-9 * torch.randn(400, 6, generator=torch.Generator().manual_seed(1))
    assert fid(mean, features) == pytest.approx(features.var(0).sum().item(), rel=1e-4)


def test_the_first_line_of_a_report_names_models_that_have_learnt_nothing(study):
    made = study()
    table = results_table(made.runs, made.stored)
    assert learnt_nothing(table, made.stored, metric_of(FID)) == ""
    table = table.assign(**{ACCURACY: 0.6}, num_generated=1000, class_chance=0.1)
    assert learnt_nothing(table, made.stored, metric_of(FID)) == ""
    table.loc[table["conv_kernel"] == 0, ACCURACY] = 0.11
    assert learnt_nothing(table, made.stored, metric_of(FID)).startswith(
        "Nothing learnt: 4 of 8 models are no better than chance or an untrained model, and what is said of them below "
        "says nothing of their designs: division, nano (class accuracy 0.11 of 1,000 images, 0.1 by "
        "chance); division, micro ("
    )
    average = table.assign(extractor="digits-cnn-0a1b2c3d", reference_variance=1.0, **{ACCURACY: 0.6, "val/loss": 0.3})
    assert "8 of 8 models" in learnt_nothing(average, made.stored, metric_of("val/loss")), "their pictures are noise"
    assert not learnt_nothing(average.assign(reference_variance=1e6), made.stored, metric_of("val/loss"))
    table[ACCURACY] = 0.1
    assert "8 of 8 models" in (line := learnt_nothing(table, made.stored, metric_of(FID)))
    assert line.endswith("; and 2 more.")


@pytest.mark.slow
def test_without_classes_an_untrained_model_is_the_floor(drawn):
    assert reasons(drawn.assign(**{"untrained/fid": 10.0})).better
    assert not reasons(drawn.assign(**{"untrained/fid": 400.0})).better
    assert chance(paired(drawn.assign(**{"untrained/fid": 400.0})), "fid", sign=-1).better


@pytest.mark.slow
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
    from lina_lab.design.data_sets import SOURCES

    for name in ("digits", "shapes"):
        assert CHANCE[name] == pytest.approx(1 / SOURCES[name].num_classes)
    counts = load_dataset(DataConfig(name="emoji", side=32)).heldout.labels.bincount()
    assert CHANCE["emoji"] == pytest.approx(float(counts.max() / counts.sum()), abs=0.02)
