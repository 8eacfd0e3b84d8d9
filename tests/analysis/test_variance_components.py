"""The split of a FID's spread against nested random effects whose variances are known."""

import math

import numpy as np
import pandas as pd
import pytest

from lina_lab.analysis.variance_components import FidSpread, Interval, fid_spread, spread_sentences

SECONDS = {"training_seconds": 90.0, "sampling_seconds": 8.0, "evaluation_seconds": 2.0}
BY = ["design", "size"]


def study(rng, training=0.1, images=0.03, seeds=5, sets=3, resampling=1.0, **seconds):
    """Six models: log FID is that of the model, and an effect of the training, and one of every set of images."""
    rows = []
    for model in range(6):
        for seed in range(seeds):
            logs = model + training * rng.normal() + images * rng.normal(size=sets)
            fids = np.exp(logs)
            row = {"design": model % 2, "size": model // 2, "seed": seed, "eval/fid/x": fids[0]}
            row |= {"eval/fid_bootstrap_sd/x": resampling * images * fids[0]} | SECONDS | seconds
            if sets > 1:
                row |= {"eval/fid_generation_mean/x": fids.mean(), "eval/fid_generation_sd/x": fids.std(ddof=1)}
                row |= {"generation_seeds": sets}
            rows.append(row)
    return pd.DataFrame(rows)


def spreads(times=200, **truth):
    rng = np.random.default_rng(0)
    return [fid_spread(study(rng, **truth), "x", BY) for _ in range(times)]


def rms(values):
    return float(np.mean(np.square(values))) ** 0.5


@pytest.mark.slow
def test_each_part_is_found():
    found = spreads()
    assert rms([one.training for one in found]) == pytest.approx(0.1, rel=0.03)
    assert rms([one.generation for one in found]) == pytest.approx(0.03, rel=0.03)
    assert rms([one.finite_sample for one in found]) == pytest.approx(0.03, rel=0.01)
    assert all(one.missing == [] for one in found)


@pytest.mark.slow
@pytest.mark.parametrize("sets", [1, 3])
def test_the_images_are_no_part_of_the_training(sets):
    """Of trainings that are all the same only chance is left; with one set resampling says what the images do."""
    assert np.median([one.training for one in spreads(training=0.0, images=0.05, sets=sets)]) < 0.012
    assert rms([one.training for one in spreads(training=0.1, images=0.1, sets=sets)]) == pytest.approx(0.1, rel=0.05)


@pytest.mark.slow
def test_resampling_that_is_right_agrees_and_one_that_is_wrong_is_found():
    assert np.mean([one.agreement.low <= 1 <= one.agreement.high for one in spreads()]) > 0.95
    wrong = spreads(resampling=0.3)
    assert np.mean([one.agreement.low > 1 for one in wrong]) > 0.95
    assert rms([one.training for one in wrong]) == pytest.approx(0.1, rel=0.03), "what was measured is taken then"
    assert "are too narrow" in " ".join(spread_sentences(wrong[0]))


@pytest.mark.slow
@pytest.mark.parametrize("sets", [1, 3])
def test_the_number_of_images_is_the_one_of_the_least_variance_for_its_seconds(sets):
    """(σ_T² + σ_G²/n)(c_T + n c_G) is least at n = (c_T/c_G σ_G²/σ_T²)^½; n over the sets that there are."""
    best = math.sqrt(90 / 10 * 0.03**2 / 0.1**2)
    n = np.linspace(0.05, 20, 40_000)
    assert n[np.argmin((0.1**2 + 0.03**2 / n) * (90 + 10 * n))] == pytest.approx(best, rel=1e-2)
    found = [one.more_images for one in spreads(sets=sets)]
    assert np.median([one.mean for one in found]) == pytest.approx(best / sets, rel=0.05)
    assert np.mean([one.low <= best / sets <= one.high for one in found]) > 0.95


def test_the_report_says_what_to_spend_on():
    rng = np.random.default_rng(1)

    def said(**truth):
        return " ".join(spread_sentences(fid_spread(study(rng, **truth), "x", BY)))

    assert "Spend on more training seeds" in said(training=0.1, images=0.01)
    assert "Spend on more images" in said(training=0.02, images=0.1, seeds=12, sets=1, training_seconds=9000.0)
    assert "undetermined" in said(training=0.02, seeds=2)


def test_what_is_missing_is_said_and_nothing_is_made_up():
    rng = np.random.default_rng(2)
    one_seed = fid_spread(study(rng, seeds=1), "x", BY)
    assert (one_seed.training, one_seed.more_images) == (None, None)
    assert one_seed.missing == ["several training seeds, to measure the spread of training"]
    one_set = fid_spread(study(rng, sets=1), "x", BY)
    assert (one_set.generation, one_set.agreement) == (None, None)
    assert "evaluation.generation_seeds of 2" in spread_sentences(one_set)[-1]
    bare = fid_spread(study(rng, sets=1).drop(columns=["eval/fid_bootstrap_sd/x"]), "x", BY)
    assert (bare.training, bare.finite_sample, len(bare.missing)) == (None, None, 2)
    free = fid_spread(study(rng).drop(columns=["training_seconds"]), "x", BY)
    assert free.more_images is None
    assert free.training is not None
    no_cell = fid_spread(study(rng).iloc[:0], "x", BY)
    assert (no_cell.training, no_cell.generation) == (None, None)


def test_numbers_of_a_sentence_are_those_of_the_spread():
    spread = FidSpread(
        training=0.12,
        generation=0.031,
        finite_sample=0.03,
        agreement=Interval(1.03, 0.8, 1.4),
        more_images=Interval(0.5, 0.3, 0.9),
        missing=[],
    )
    varies, spend = spread_sentences(spread)
    assert varies == (
        "A FID varies (1 SD, pooled over models) by 12 % between training seeds, 3.1 % between generation seeds of one "
        "model, 3 % by resampling the images of one set."
    )
    assert spend == (
        "Spend on more training seeds: for its seconds a study has enough with 0.3 to 0.9 times as many images."
    )
