"""Whether one exponent serves two designs that have floors of their own: log y = log(E + A x^-alpha), both together.

A difference of floors and one of exponents look alike where sizes are few: both let an advantage grow. Of a fit of both
designs together, by least squares in log y with the covariance of pairs within sizes, models are compared by F tests.
"""

import itertools
import math
from typing import NamedTuple

import numpy as np
from scipy import stats

from lina_lab.analysis.match_cells import Array, Pairs
from lina_lab.analysis.spread import EXACT, sizes_of, within

STEPS = 4
"""Gauss-Newton steps for coefficients at given exponents; noise is small, so that the first is nearly right."""
GRID = np.geomspace(0.01, 3, 14)
ZOOM = np.linspace(-1, 1, 9)
"""Finer ticks about the best of the last grid, in its steps: a quarter of them."""
ZOOMS = 7
"""Grids: the last has steps of 0.0001 in log alpha."""
FREE, SHARED, NONE = "free", "shared", "none"
"""Floors: one for each design; one for both; none."""


class Exponents(NamedTuple):
    """Tests of what two designs need beside a factor each; every p is of the simpler model against the richer."""

    one: float
    """p that one exponent serves both, each with its floor >= 0, against an exponent each."""
    no_floor: float
    """p that an exponent each serves without floors, against with them."""
    one_floor: float
    """p that one exponent and one floor serve both, against a floor each."""
    alpha: float
    floors: tuple[float, float]
    """Of A and B, with one exponent for both."""


class _Means(NamedTuple):
    """The two designs at each size, whitened: rows are A's sizes, then B's."""

    u: Array
    """log x about its mean.  # (K,)"""
    logs: Array
    """Mean log y about its own mean.  # (2K,)"""
    white: Array
    """Times residuals of `logs` gives independent ones of variance 1.  # (2K, 2K)"""
    scale: float
    """Of y."""


class _Joint(NamedTuple):
    squares: float
    alphas: tuple[float, float]
    coefficients: Array
    """A of each design, then its floor or floors.  # (4,) or (3,)"""


def exponents(pairs: Pairs) -> Exponents | None:
    """The tests; None with fewer than four sizes, or too few seeds for the covariance of the two designs."""
    products, freedom = within(pairs, np.log(np.stack([pairs.a, pairs.b], axis=1)))
    if len(sizes_of(pairs)) < 4 or freedom < 3 or np.linalg.eigvalsh(products)[0] < EXACT:
        return None
    means = _means(pairs, products / freedom)
    each, one = _joint(means, FREE, 2), _joint(means, FREE, 1)
    straight, level = _joint(means, NONE, 2), _joint(means, SHARED, 1)

    def p(simple: _Joint, rich: _Joint, more: int) -> float:
        return float(stats.f.sf(max(simple.squares - rich.squares, 0) / more, more, freedom - 1))

    floors = (means.scale * one.coefficients[2:]).tolist()
    return Exponents(
        one=p(one, each, 1),
        no_floor=p(straight, each, 2),
        one_floor=p(level, one, 1),
        alpha=one.alphas[0],
        floors=(floors[0], floors[1]),
    )


def one_exponent_ratio(pairs: Pairs, x: float) -> float:
    """log(yA / yB) at x by one exponent and a floor each; without seeds, by equal weights."""
    products, freedom = within(pairs, np.log(np.stack([pairs.a, pairs.b], axis=1)))
    spread = freedom > 0 and np.linalg.eigvalsh(products)[0] > EXACT
    means = _means(pairs, products / freedom if spread else np.eye(2))
    joint = _joint(means, FREE, 1)
    middle = float(np.log(list(dict.fromkeys(pairs.x))).mean())
    power = math.exp(-joint.alphas[0] * (math.log(x) - middle))
    a, b = joint.coefficients[:2] * power + joint.coefficients[2:]
    return math.log(a / b)


def _means(pairs: Pairs, covariance: Array) -> _Means:
    places = list(sizes_of(pairs).values())
    x = np.log([pairs.x[at[0]] for at in places])
    logs = np.log(np.stack([pairs.a, pairs.b]))
    mean = np.concatenate([[side[at].mean() for at in places] for side in logs])
    root = np.linalg.inv(np.linalg.cholesky(covariance))
    white = np.kron(root, np.diag(np.sqrt([len(at) for at in places])))
    return _Means(u=x - x.mean(), logs=mean - mean.mean(), white=white, scale=math.exp(float(mean.mean())))


def _joint(means: _Means, floors: str, count: int) -> _Joint:
    """The least squares over one exponent for both (count 1) or one each, by grids about the best of the last."""
    middle, ticks = np.zeros(count), np.log(GRID)
    for _ in range(ZOOMS):
        grid = np.exp(middle + list(itertools.product(ticks, repeat=count))).repeat(3 - count, axis=1)
        values, coefficients = _profile(means, grid, floors)
        best = int(values.argmin())
        middle, ticks = np.log(grid[best, :count]), ZOOM * np.diff(ticks)[0]
    return _Joint(float(values[best]), (float(grid[best, 0]), float(grid[best, 1])), coefficients[best])


def _profile(means: _Means, alphas: Array, floors: str) -> tuple[Array, Array]:
    """The least squares at given exponents (G, 2) over coefficients >= 0.  # (G,), (G, 4 or 3)"""
    terms = _terms(means, alphas, floors)
    count = terms.shape[-1]
    best, coefficients = np.full(len(alphas), np.inf), np.zeros((len(alphas), count))
    for kept in _supports(floors):
        part, solution = terms[..., kept], np.zeros((len(alphas), count))
        curve = np.broadcast_to(np.exp(means.logs), part.shape[:2])
        for _ in range(STEPS):
            basis = means.white @ (part / curve[..., None])
            target = (means.logs - np.log(curve) + 1) @ means.white.T
            gram = np.swapaxes(basis, 1, 2) @ basis
            ridge = 1e-12 * np.trace(gram, axis1=1, axis2=2)[:, None, None] * np.eye(len(kept))
            solved = np.linalg.solve(gram + ridge, np.swapaxes(basis, 1, 2) @ target[..., None])
            curve = np.maximum((part @ solved)[..., 0], 1e-6)
        solution[:, kept] = solved[..., 0]
        rest = (means.logs - np.log(curve)) @ means.white.T
        value = np.where((solution >= 0).all(axis=1), (rest**2).sum(axis=1), np.inf)
        coefficients = np.where((value < best)[:, None], solution, coefficients)
        best = np.minimum(best, value)
    return best, coefficients


def _terms(means: _Means, alphas: Array, floors: str) -> Array:
    """Columns of A and B's powers, and of floors.  # (G, 2K, 4 or 3)"""
    powers = np.exp(-alphas[:, :, None] * means.u)  # (G, 2, K)
    one, none = np.ones_like(powers[:, 0]), np.zeros_like(powers[:, 0])
    columns = [(powers[:, 0], none), (none, powers[:, 1])]
    columns += [(one, one)] if floors == SHARED else [(one, none), (none, one)]
    return np.stack([np.concatenate(pair, axis=1) for pair in columns], axis=-1)


def _supports(floors: str) -> list[list[int]]:
    """Which coefficients are not 0."""
    return {NONE: [[0, 1]], SHARED: [[0, 1], [0, 1, 2]], FREE: [[0, 1], [0, 1, 2], [0, 1, 3], [0, 1, 2, 3]]}[floors]
