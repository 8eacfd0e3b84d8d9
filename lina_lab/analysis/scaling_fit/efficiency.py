"""What each of several designs needs for what the first reaches: factors of x and d, tests of them, and over floors.

`joint.py` has the models, `likelihood_ratio.py` the tests; this says which are asked, and what follows from them.
"""

import math
from typing import NamedTuple

import numpy as np

from lina_lab.analysis.interval import Interval
from lina_lab.analysis.scaling_fit.fits import FORMS
from lina_lab.analysis.scaling_fit.joint import (
    Data,
    JointFit,
    Own,
    factors,
    first_fit,
    holding_floor,
    levels,
    own_units,
    richer,
)
from lina_lab.analysis.scaling_fit.likelihood_ratio import (
    LEAST_CLUSTERS,
    TINY,
    Clusters,
    Ratio,
    likelihood_ratio,
    rise_of_floor,
)
from lina_lab.analysis.scaling_fit.profiles import ends
from lina_lab.analysis.scaling_fit.sandwich import halves
from lina_lab.analysis.scaling_fit.solver import Array, descend

NONE, ONE, EACH, EXPONENT, EITHER = "none", "one factor", "factors", "another exponent", "exponent or floor"
"""What a design is said to need beside the first: nothing; a factor of d (of x in a curve); a factor of each; another
exponent; or another exponent or floor, which the data do not tell apart."""


class Tests(NamedTuple):
    """Likelihood ratios; every p is of the simpler model."""

    difference: Ratio
    """One surface for both, against a factor of each column."""
    second_factor: Ratio | None
    """A factor of d alone, against one of x and one of d; None for a curve in x."""
    exponents: Ratio
    """Factors and shared exponents, against exponents of its own."""
    exponents_beside_floor: Ratio
    """The same where the design has a floor of its own, too."""


class Efficiency(NamedTuple):
    """One design against the first."""

    factor: Interval
    """Of d (of x in a curve), alone: it needs so many times as much."""
    factors: list[Interval]
    """Of every column, together."""
    product: Interval
    """Of the factors: of compute, where that goes with x d."""
    exponents: list[float]
    """Its own, of every column."""
    tests: Tests
    says: str | None
    """`NONE`, `ONE`, `EACH`, `EXPONENT` or `EITHER`; None with too few clusters."""


class AtFloor(NamedTuple):
    """The model of factors with its floor held."""

    floor: float
    rise: float
    """Of the sum of squares over the least, less 1."""
    exponents: list[float]
    factors: Array
    """# (columns, K)"""


class Joint(NamedTuple):
    """Several designs with one floor."""

    params: dict[str, Interval]
    """Of the first design, where exponents are shared and the others have factors."""
    squares: float
    """Of log residuals of that model."""
    first_exponents: list[float]
    """Of the first design, where each has its own."""
    designs: list[Efficiency]
    """The others, in their order."""
    floors: list[AtFloor]
    """From the lowest to the highest that the data allow at 95 %; the third is the fitted one."""


def joint(data: Data, clusters: Clusters) -> Joint:
    """Fit, test and vary the floor.

    Raises:
        ValueError: if a design's sizes do not allow the form, or something is not positive.
    """
    level, others = levels(data.form), data.num_designs - 1
    same = first_fit(data)

    def all_have(simple: JointFit, own: Own) -> JointFit:
        return richer(data, simple, [level.same] + [own] * others)

    one = all_have(same, level.factor)
    each = all_have(one, level.factors)
    free = all_have(each, level.exponents)
    floors = _over_floors(data, each, clusters)
    exponents = own_units(FORMS[data.form], free)[2::2]
    of_one, of_each = _factors(data, one, clusters), _factors(data, each, clusters)
    return Joint(
        params=_params(data, each, clusters, floors),
        squares=each.squares,
        first_exponents=exponents[:, 0].tolist(),
        designs=[
            _efficiency(data, k, of_one, of_each, exponents[:, k], tests)
            for k in range(1, data.num_designs)
            for tests in [_tests(data, k, clusters, same)]
        ],
        floors=floors,
    )


def _tests(data: Data, k: int, clusters: Clusters, same: JointFit) -> Tests:
    """Of design k; the other designs have all of their own, so that they only help to place the floor."""
    level = levels(data.form)

    def ratio(simple: Own, rich: Own, others: Own) -> Ratio:
        poorer, better = (
            [level.same, *(own if design == k else others for design in range(1, data.num_designs))]
            for own in (simple, rich)
        )
        return likelihood_ratio(data, richer(data, same, poorer), better, clusters)

    return Tests(
        difference=ratio(level.same, level.factors, level.exponents),
        second_factor=ratio(level.factor, level.factors, level.exponents) if level.factor != level.factors else None,
        exponents=ratio(level.factors, level.exponents, level.exponents),
        exponents_beside_floor=ratio(level.floor, level.everything, level.everything),
    )


def _says(tests: Tests, alpha: float) -> str | None:
    if tests.difference.p is None:
        return None

    def refuted(ratio: Ratio | None) -> bool:
        return ratio is not None and ratio.p is not None and ratio.p < alpha

    if refuted(tests.exponents):
        return EXPONENT if refuted(tests.exponents_beside_floor) else EITHER
    if not refuted(tests.difference):
        return NONE
    return EACH if refuted(tests.second_factor) else ONE


def _efficiency(
    data: Data, k: int, one: list[list[Interval]], each: list[list[Interval]], exponents: Array, tests: Tests
) -> Efficiency:
    return Efficiency(
        factor=one[-2][k],
        factors=[column[k] for column in each[:-1]],
        product=each[-1][k],
        exponents=exponents.tolist(),
        tests=tests,
        says=_says(tests, 0.05 / (data.num_designs - 1)),
    )


def _factors(data: Data, fitted: JointFit, clusters: Clusters) -> list[list[Interval]]:
    """Of every column, and of their product, for every design."""
    form = FORMS[data.form]

    def logs(at: Array) -> Array:
        every = np.log(factors(form, fitted.model, at))
        return np.concatenate([every, every.sum(axis=0, keepdims=True)])

    values = logs(fitted.at)
    widths = halves(fitted, clusters, lambda at: logs(at).ravel()).reshape(values.shape)
    return [
        [_of_log(value, half) for value, half in zip(*row, strict=True)] for row in zip(values, widths, strict=True)
    ]


def _params(data: Data, fitted: JointFit, clusters: Clusters, floors: list[AtFloor]) -> dict[str, Interval]:
    """Of the first design; of E by its profile, of coefficients in their logarithm, of exponents not below 0."""
    form = FORMS[data.form]

    def about(at: Array) -> Array:
        values = own_units(form, fitted._replace(at=at))[1:, 0]
        return np.array([np.log(v) if n.isupper() else v for n, v in zip(form.names[1:], values, strict=True)])

    ends_of = (floors[0].floor, floors[-1].floor) if clusters.number >= LEAST_CLUSTERS else (math.nan, math.nan)
    found = {"E": Interval(floors[2].floor, *ends_of)}
    for name, value, half in zip(form.names[1:], about(fitted.at), halves(fitted, clusters, about), strict=True):
        interval = _of_log(value, half) if name.isupper() else _interval(value, half)
        found[name] = interval._replace(low=max(interval.low, 0)) if math.isfinite(half) else interval
    return found


def _of_log(value: float, half: float) -> Interval:
    return Interval(*(math.exp(end) for end in _interval(value, half)))


def _interval(value: float, half: float) -> Interval:
    """NaN ends where there is none."""
    return Interval(value, value - half, value + half) if math.isfinite(half) else Interval(value, math.nan, math.nan)


def _over_floors(data: Data, fitted: JointFit, clusters: Clusters) -> list[AtFloor]:
    """The model with its floor held at both ends of its profile, at the optimum, and halfway to it."""
    one, best, least = fitted.model, float(fitted.at[0]), fitted.squares / 2

    def held(floors: Array) -> tuple[Array, Array]:
        start = np.repeat(fitted.at[None], len(floors), axis=0)
        start[:, 0] = floors
        reached = descend(one.problem, start, holding_floor(one, floors).bounds)
        return reached, one.problem.objective(reached)

    limit = least * (1 + rise_of_floor(fitted, clusters)) + TINY
    edge = np.array([0.0, math.exp(one.problem.target.min())])
    met = ends(lambda at: (at, held(at)[1]), np.full(2, best), np.array([-1.0, 1.0]), edge, least, np.full(2, limit))
    low, high = (float(edge[side]) if end is None else end for side, end in enumerate(met))
    at, values = held(np.array([low, (low + best) / 2, best, (best + high) / 2, high]))
    return [
        AtFloor(
            floor=float(own_units(FORMS[data.form], fitted._replace(at=row))[0, 0]),
            rise=float(value / least - 1),
            exponents=row[one.place[2::2, 0]].tolist(),
            factors=factors(FORMS[data.form], one, row),
        )
        for row, value in zip(at, values, strict=True)
    ]
