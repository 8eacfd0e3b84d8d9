"""Fits of scaling curves: exact without noise, the true optimum with it, and the same in other units and orders."""

import itertools

import numpy as np
import pytest
from scipy.optimize import minimize

from lina_lab.analysis.scaling_fit.fits import FORMS, HUBER, LEAST_SQUARES, fit, floored, predict, refit
from lina_lab.analysis.scaling_fit.solver import DELTA, huber

SIZES = np.repeat(np.geomspace(1e5, 6.4e6, 5), 3)
PAIRS = np.array([(n, d) for n in np.geomspace(1e5, 1e8, 5) for d in np.geomspace(1e8, 1e11, 5)])
TRUTH = {
    "power": {"A": 300.0, "alpha": 0.3},
    "offset": {"E": 2.0, "A": 300.0, "alpha": 0.35},
    "surface": {"E": 1.7, "A": 60.0, "alpha": 0.34, "B": 800.0, "beta": 0.28},
}


def points(form: str) -> np.ndarray:
    return PAIRS if form == "surface" else SIZES


def noisy(form: str, seed: int, noise: float = 0.03) -> np.ndarray:
    curve = predict(form, TRUTH[form], points(form))
    return curve * np.exp(np.random.default_rng(seed).normal(0, noise, len(curve)))


def loss(form: str, params, y) -> float:
    return float(huber(np.log(y) - np.log(predict(form, params, points(form))), DELTA).sum())


@pytest.mark.slow
@pytest.mark.parametrize("form", FORMS)
def test_without_noise_the_truth_comes_back(form):
    found = fit(form, points(form), predict(form, TRUTH[form], points(form)))
    assert found.params == pytest.approx(TRUTH[form], rel=1e-6)
    assert found.objective < 1e-20
    assert found.n == len(points(form))


def test_a_curve_that_rises_is_a_power_law_with_a_negative_exponent():
    found = fit("power", SIZES, 3 * SIZES**0.2)
    assert found.params == pytest.approx({"A": 3, "alpha": -0.2})


def test_a_curve_that_rises_has_no_floor_and_is_the_power_law():
    y = 3 * SIZES**0.2 * np.exp(np.random.default_rng(0).normal(0, 0.02, len(SIZES)))
    found, plain = (fit(form, SIZES, y) for form in ("offset", "power"))
    assert found.params == {"E": 0} | plain.params
    assert found.params["alpha"] < 0
    assert found.objective == pytest.approx(plain.objective, rel=1e-9)


def test_equal_values_have_no_floor():
    assert fit("offset", SIZES, np.full(len(SIZES), 7.0)).params == pytest.approx(
        {"E": 0, "A": 7, "alpha": 0}, abs=1e-9
    )


@pytest.mark.slow
@pytest.mark.parametrize("slope", [-0.3, -0.05, 0.0, 0.02, 0.1, 0.5])
def test_the_form_with_a_floor_is_never_worse_than_the_one_without(slope):
    for seed in range(4):
        y = SIZES**slope * np.exp(np.random.default_rng(seed).normal(0, 0.1, len(SIZES)))
        found, plain = (fit(form, SIZES, y).objective for form in ("offset", "power"))
        assert found <= plain * (1 + 1e-9)


@pytest.mark.slow
def test_refits_of_curves_that_rise_are_power_laws_too():
    falling, rising = predict("offset", TRUTH["offset"], SIZES), 3 * SIZES**0.2
    rows = refit("offset", SIZES, np.stack([falling, rising]), None, fit("offset", SIZES, falling))
    assert rows == pytest.approx(np.array([[2, 300, 0.35], [0, 3, -0.2]]), rel=1e-4)


def test_a_curve_that_bends_down_has_a_floor_of_exactly_zero():
    found = fit("offset", SIZES, 300 * SIZES**-0.3 * np.exp(-0.02 * np.log(SIZES / 1e6) ** 2))
    assert found.params["E"] == 0
    assert found.params["alpha"] > 0


@pytest.mark.slow
def test_the_loss_is_the_sum_of_hubers():
    assert huber(np.array([0.0, 5e-4, -1e-3, 0.1]), 1e-3) == pytest.approx([0, 1.25e-7, 5e-7, 1e-3 * (0.1 - 5e-4)])
    y = noisy("offset", 0)
    found = fit("offset", SIZES, y)
    assert found.objective == pytest.approx(loss("offset", found.params, y), rel=1e-9)


@pytest.mark.slow
@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("seed", range(6))
def test_no_start_of_scipy_leads_lower(form, seed):
    """Nelder-Mead in the logarithms of the coefficients, from many starts about the truth and about the optimum."""
    y, rng = noisy(form, seed, noise=0.01 * 2**seed), np.random.default_rng(seed)
    found = fit(form, points(form), y)
    logarithmic = np.array([name.isupper() for name in FORMS[form].names])

    def value(theta: np.ndarray) -> float:
        params = np.where(logarithmic, np.exp(np.minimum(theta, 50)), theta)
        if form != "power" and (params < 0).any():
            return 1e9
        return loss(form, params, y)

    truth, optimum = ([*params.values()] for params in (TRUTH[form], found.params))
    reached = []
    for centre in (truth, optimum):
        theta = np.where(logarithmic, np.log(np.maximum(centre, 1e-9)), centre)
        for spread in (0.01, 0.1, 0.3):
            start = theta + rng.normal(0, spread, len(theta)) * np.where(logarithmic, 1, 0.3)
            reached.append(minimize(value, start, method="Nelder-Mead", options={"maxiter": 600, "fatol": 1e-12}).fun)
    assert found.objective <= min(reached) * (1 + 1e-6)


@pytest.mark.slow
@pytest.mark.parametrize("form", FORMS)
def test_units_of_y_scale_the_coefficients_alone(form):
    x, y = points(form), noisy(form, 1)
    found, scaled = fit(form, x, y), fit(form, x, 1000 * y)
    expected = {name: value * (1000 if name.isupper() else 1) for name, value in found.params.items()}
    assert scaled.params == pytest.approx(expected, rel=1e-5)
    assert scaled.objective == pytest.approx(found.objective, rel=1e-8)


@pytest.mark.slow
@pytest.mark.parametrize("form", FORMS)
def test_units_of_x_scale_its_coefficient_by_the_power(form):
    x, y = points(form), noisy(form, 1)
    found, scaled = fit(form, x, y).params, fit(form, x * 1e-6, y).params
    expected = dict(found)
    for coefficient, exponent in (("A", "alpha"), ("B", "beta")):
        if coefficient in found:
            expected[coefficient] = found[coefficient] * 1e-6 ** found[exponent]
    assert scaled == pytest.approx(expected, rel=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("form", FORMS)
def test_order_and_repetition_of_rows_change_nothing(form):
    x, y = points(form), noisy(form, 2)
    found = fit(form, x, y)
    order = np.random.default_rng(0).permutation(len(y))
    assert fit(form, x[order], y[order]).params == pytest.approx(found.params, rel=1e-5)
    twice = fit(form, np.concatenate([x, x]), np.concatenate([y, y]))
    assert twice.objective == pytest.approx(2 * found.objective, rel=1e-7)
    assert twice.params == pytest.approx(found.params, rel=1e-4)


def test_two_seeds_a_size_have_a_plateau_and_one_answer():
    """Every curve between the two seeds of each size is optimal: the answer must still not depend on the order."""
    x = np.repeat(np.geomspace(1e5, 1e6, 3), 2)
    y = 300 * x**-0.3 * np.exp(np.tile([0.1, -0.1], 3) + np.random.default_rng(0).normal(0, 0.02, 6))
    found = fit("power", x, y).params
    assert fit("power", x[::-1], y[::-1]).params == pytest.approx(found, rel=1e-6)
    assert fit("power", np.tile(x, 2), np.tile(y, 2)).params == pytest.approx(found, rel=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize("form", FORMS)
def test_whole_weights_are_repetitions_and_no_weight_is_absence(form):
    x, y = points(form), noisy(form, 3)
    weights = np.ones(len(y))
    weights[:3] = [2, 0, 3]
    repeated = np.repeat(np.arange(len(y)), weights.astype(int))
    weighted = fit(form, x, y, weights)
    assert weighted.params == pytest.approx(fit(form, x[repeated], y[repeated]).params, rel=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize("form", FORMS)
def test_refits_are_the_fits_one_by_one(form):
    x, y = points(form), noisy(form, 4)
    found, rng = fit(form, x, y), np.random.default_rng(0)
    weights = np.concatenate([np.ones((1, len(y))), rng.multinomial(len(y), np.full(len(y), 1 / len(y)), size=8)])
    rows = refit(form, x, y, weights, found)
    assert rows.shape == (9, len(found.params))
    assert rows[0] == pytest.approx(list(found.params.values()), rel=1e-4)
    for row, weight in zip(rows, weights, strict=True):
        alone = fit(form, x, y, weight)
        curve = predict(form, row, x)
        reached = float((weight * huber(np.log(y) - np.log(curve), DELTA)).sum())
        assert reached <= alone.objective * (1 + 1e-3)
        assert curve == pytest.approx(predict(form, alone.params, x), rel=0.01)


def line(x, y) -> dict[str, float]:
    """The power law of ordinary least squares in the logarithms."""
    slope, height = np.polyfit(np.log(x), np.log(y), 1)
    return {"A": np.exp(height), "alpha": -slope}


@pytest.mark.parametrize("count", [3, 4, 6])
def test_up_to_six_points_the_power_law_is_the_line_of_least_squares(count):
    x, rng = np.geomspace(1e5, 3e6, count), np.random.default_rng(count)
    y = 300 * x**-0.3 * np.exp(rng.normal(0, 0.1, count))
    found = fit("power", x, y)
    assert found.loss == LEAST_SQUARES
    assert found.params == pytest.approx(line(x, y), rel=1e-9)
    assert found.objective == pytest.approx(((np.log(y) - np.log(predict("power", line(x, y), x))) ** 2).sum() / 2)


def test_a_line_through_three_points_meets_none_of_them():
    x, y = np.array([1e5, 1e6, 1e7]), np.array([4.0, 2.5, 2.0])
    off = np.log(y / predict("power", fit("power", x, y).params, x))
    assert (np.abs(off) > 0.03).all()
    assert off.sum() == pytest.approx(0, abs=1e-12)


def test_an_outlier_among_seven_points_moves_the_robust_fit_little():
    x = np.geomspace(1e5, 1e8, 7)
    y = 300 * x**-0.3 * np.exp(0.3 * (np.arange(7) == 5))
    found = fit("power", x, y)
    assert found.loss == HUBER
    assert found.params["alpha"] == pytest.approx(0.3, abs=0.001)
    assert fit("power", x[1:], y[1:]).params["alpha"] == pytest.approx(line(x[1:], y[1:])["alpha"], rel=1e-9)


def test_points_count_once_however_often_they_stand_and_not_without_weight():
    x = np.geomspace(1e5, 1e8, 7)
    y = 300 * x**-0.3 * np.exp(0.3 * (np.arange(7) == 5))
    weights = np.array([0, 1, 2, 1, 1, 3, 1])
    found = fit("power", x, y, weights)
    assert found.loss == fit("power", np.repeat(x, weights), np.repeat(y, weights)).loss == LEAST_SQUARES


def test_resamples_keep_the_loss_of_their_fit_though_they_have_fewer_points():
    x = np.geomspace(1e5, 1e8, 8)
    y = 300 * x**-0.3 * np.exp(0.3 * (np.arange(8) == 5))
    weights = np.array([[1, 0, 1, 1, 1, 1, 1, 0]])
    row = refit("power", x, y, weights, fit("power", x, y))[0]
    assert row[1] == pytest.approx(0.3, abs=0.001)  # of least squares 0.25
    few = fit("power", x[:6], y[:6])
    assert refit("power", x, y, None, few)[0] == pytest.approx([*line(x, y).values()])


def test_rows_of_y_are_refitted_too():
    curves = np.stack([predict("power", TRUTH["power"], SIZES), 2 * SIZES**-0.1])
    rows = refit("power", SIZES, curves, None, fit("power", SIZES, curves[0]))
    assert rows == pytest.approx(np.array([[300, 0.3], [2, 0.1]]), rel=1e-6)


def test_a_floor_that_the_fit_lost_can_come_back_in_a_refit():
    x = np.tile(SIZES, 9)  # so many points that a refit has one start, and one more only at the boundary
    found = fit("offset", x, 300 * x**-0.3 * np.exp(-0.02 * np.log(x / 1e6) ** 2))
    assert found.params["E"] == 0
    row = refit("offset", x, predict("offset", TRUTH["offset"], x)[None], None, found)[0]
    assert row == pytest.approx([2, 300, 0.35], rel=1e-4)


@pytest.mark.parametrize(
    ("form", "x", "reason"),
    [
        ("power", np.full(5, 1e5), "needs 2 distinct sizes, not 1"),
        ("offset", np.repeat([1e5, 2e5, 3e5], 5), "needs 4 distinct sizes, not 3"),
        ("surface", PAIRS[PAIRS[:, 0] < 4e5], "3 distinct x, 3 distinct d and 6 pairs, not 1, 5 and 5"),
        ("surface", np.stack([SIZES, 20 * SIZES], axis=1), "vary separately"),
        ("surface", SIZES, "must have 2 columns, not 1"),
        ("power", -SIZES, "x must be positive"),
    ],
)
def test_what_cannot_be_fitted_is_refused_with_the_reason(form, x, reason):
    with pytest.raises(ValueError, match=reason):
        fit(form, x, np.ones(len(x)))


def test_a_missing_y_is_refused():
    with pytest.raises(ValueError, match="y must be positive and finite, not nan"):
        fit("power", SIZES, np.where(SIZES > 1e6, np.nan, 1.0))


def test_predictions_are_vectorised_over_rows():
    rows = np.array([[1.0, 2.0, 0.5], [0.0, 3.0, 1.0]])
    assert predict("offset", rows, [1.0, 4.0]) == pytest.approx(np.array([[3, 2], [3, 0.75]]))


@pytest.mark.slow
def test_floored_curves_are_the_least_squares_that_scipy_finds_from_many_starts():
    rng = np.random.default_rng(4)
    x, counts = 1e6 * 3.0 ** np.arange(4), np.array([3.0, 3, 2, 3])
    curves = [(0, 40, 0.2), (8, 40, 0.3), (30, 10, 0.5), (20, 40, 0.1), (5, 9, -0.05)]
    y = np.array([e + a * (x / 1e6) ** -alpha for e, a, alpha in curves]) * np.exp(rng.normal(0, 0.02, (5, 4)))
    found = predict("offset", floored(x, y, counts), x)
    for row, curve in zip(y, found, strict=True):

        def squares(p, row=row):
            return counts @ (np.log(row) - np.log(np.exp(p[0]) + np.exp(p[1] - p[2] * np.log(x / 1e6)))) ** 2

        ends = [(-9, 5), (-9, 5), (-2, 10)]
        starts = itertools.product((-6.0, 2, 3), (1.0, 3), (-0.1, 0.1, 0.4, 1))
        best = min(minimize(squares, start, bounds=ends, tol=1e-13).fun for start in starts)
        assert counts @ (np.log(row) - np.log(curve)) ** 2 <= best * (1 + 1e-3) + 1e-9
