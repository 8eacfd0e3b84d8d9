"""Several designs with one floor: exact without noise, never worse when richer, and as good as SciPy's minimum."""

import numpy as np
import pytest
from scipy.optimize import least_squares

from lina_lab.analysis.scaling_fit.fits import FORMS, predict
from lina_lab.analysis.scaling_fit.joint import as_data, factors, first_fit, levels, own_units, richer

GRID = np.array([(n, d) for n in np.geomspace(1e5, 2.7e6, 4) for d in np.geomspace(1e6, 8e6, 4)])
SIZES = np.repeat(np.geomspace(1e5, 6.4e6, 5), 2)
BASE = {"E": 0.5, "A": 30.0, "alpha": 0.4, "B": 100.0, "beta": 0.35}
SURFACE = levels("surface")


def three(needs: list[tuple[float, float]], noise: float = 0.0, seed: int = 0):
    """Designs that need so many times the parameters and data of a surface."""
    y = np.concatenate([predict("surface", BASE, GRID / np.array(times)) for times in needs])
    design = np.repeat(np.arange(len(needs)), len(GRID))
    y = y * np.exp(np.random.default_rng(seed).normal(0, noise, len(y)))
    return as_data("surface", np.tile(GRID, (len(needs), 1)), y, design)


def climb(data, *steps):
    """The fits of richer and richer models, in which all designs but the first have the same of their own."""
    found = [first_fit(data)]
    for own in steps:
        found.append(richer(data, found[-1], [frozenset()] + [own] * (data.num_designs - 1)))
    return found


def test_what_a_level_holds():
    assert SURFACE.factor == {"B"}
    assert SURFACE.factors == {"A", "B"}
    assert SURFACE.exponents == {"A", "B", "alpha", "beta"}
    assert levels("offset").factor == levels("offset").factors == {"A"}
    assert levels("offset").floor == {"A", "E"}


def test_factors_of_parameters_and_data_come_back_without_noise():
    needs = [(1.0, 1.0), (1.3, 0.7), (0.8, 2.0)]
    fitted = climb(three(needs), SURFACE.factor, SURFACE.factors)[-1]
    assert fitted.squares < 1e-18
    assert pytest.approx(np.array(needs), rel=1e-5) == factors(FORMS["surface"], fitted.model, fitted.at).T
    assert own_units(FORMS["surface"], fitted)[:, 0] == pytest.approx([*BASE.values()], rel=1e-4)


def test_a_curve_in_one_size_has_its_factor_too():
    y = np.concatenate([2 + 300 * (SIZES / f) ** -0.35 for f in (1.0, 0.6)])
    data = as_data("offset", np.tile(SIZES, 2), y, np.repeat([0, 1], len(SIZES)))
    fitted = climb(data, levels("offset").factors)[-1]
    assert factors(FORMS["offset"], fitted.model, fitted.at) == pytest.approx(np.array([[1, 0.6]]), rel=1e-5)


def test_the_product_of_factors_is_that_of_compute_at_the_best_split_of_every_budget():
    """L_k(N, D) = L(N / g, D / f): what the first reaches with N D = C, design k reaches with g f C."""
    g, f = 1.3, 0.7
    for budget in (1e12, 1e14):
        n = np.geomspace(1e3, 1e9, 200_001)
        best = predict("surface", BASE, np.stack([n, budget / n], axis=1)).min()
        of_k = predict("surface", BASE, np.stack([n / g, g * f * budget / n / f], axis=1)).min()
        assert of_k == pytest.approx(best, rel=1e-8)


@pytest.mark.parametrize("seed", range(3))
def test_a_richer_model_is_never_worse(seed):
    data = three([(1, 1), (1, 0.7)], noise=0.03, seed=seed)
    squares = [fitted.squares for fitted in climb(data, SURFACE.factor, SURFACE.factors, SURFACE.exponents)]
    assert squares == sorted(squares, reverse=True)
    floor, everything = climb(data, SURFACE.factors, SURFACE.floor, SURFACE.everything)[2:]
    assert everything.squares <= floor.squares <= squares[2] * (1 + 1e-9)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(3))
def test_no_start_of_scipy_leads_lower(seed):
    data = three([(1, 1), (1, 0.7)], noise=0.02, seed=seed)
    found = climb(data, SURFACE.factors, SURFACE.exponents)[-1]
    rng, u = np.random.default_rng(seed), np.log(GRID) - np.log(GRID).mean(axis=0)

    def residuals(theta):
        e, *rest = theta
        curves = [
            e**2 + np.exp(a - alpha * u[:, 0]) + np.exp(b - beta * u[:, 1])
            for a, alpha, b, beta in np.reshape(rest, (2, 4))
        ]
        return np.log(data.y) - np.log(np.concatenate(curves))

    reached = [
        least_squares(residuals, np.concatenate([rng.uniform(0, 1, 1), rng.normal(0, 0.7, 8)])).cost for _ in range(20)
    ]
    assert found.squares / 2 <= min(reached) * (1 + 1e-6)


def test_a_design_that_has_nothing_of_its_own_is_the_first():
    data = three([(1, 1), (1, 1), (1, 0.5)], noise=0.01)
    fitted = richer(data, first_fit(data), [frozenset(), frozenset(), SURFACE.factor])
    times = factors(FORMS["surface"], fitted.model, fitted.at)
    assert times[:, 1].tolist() == [1, 1]
    assert times[1, 2] == pytest.approx(0.5, rel=0.05)


def test_without_a_floor_in_the_data_the_floor_is_zero():
    y = np.concatenate([300 * (SIZES / f) ** -0.3 * np.exp(-0.02 * np.log(SIZES / 1e6) ** 2) for f in (1.0, 0.6)])
    data = as_data("offset", np.tile(SIZES, 2), y, np.repeat([0, 1], len(SIZES)))
    fitted = climb(data, levels("offset").factors)[-1]
    assert own_units(FORMS["offset"], fitted)[0].tolist() == [0, 0]
