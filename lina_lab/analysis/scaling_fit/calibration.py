"""How far a profile may rise in a 95 % interval: by the F quantile for least squares, by simulation for a Huber sum.

Q(true value) / Q_min - 1 has no known law where Q is a Huber sum, and depends on where residuals are large. It is
simulated: the fitted curve times noise that has the residuals' own shape and a spread that goes with size.
"""

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats

from lina_lab.analysis.scaling_fit.profiles import Profile, drawn_to, holding, lowest_from, with_raised
from lina_lab.analysis.scaling_fit.solver import Array, Bounds, FitProblem, log_curve, objective, places

DRAWS = 300
LEVEL = 0.97
"""Quantile of the simulated ratio for 95 %: a fit is nearer to its points than the truth is, and its spread is itself
estimated. With 0.95, E is held in 91 % of datasets, the others in 94 %."""
FEW = 20
"""Degrees of freedom below which residuals do not show their distribution, and a normal one is assumed."""
TINY = 1e-30
CAP = 5.0
"""Residuals are capped at this many medians when spreads are estimated, against outliers."""


def f_rise(profile: Profile) -> float:
    """F(1, n - p) / (n - p): exact for a line and noise of equal spread."""
    free = len(profile.problem.u) - profile.at.shape[1]
    return float(stats.f.ppf(0.95, 1, free)) / free


def uneven(profile: Profile, u: Array) -> float:
    """How much wider the curve's interval at u is, at least 1, if each point's noise is judged by its own residual.

    Where noise grows with size, that of the largest sizes counts most in a prediction beyond them: with three times as
    much there as at the smallest, t intervals at 4 times the largest size hold in 86 to 89 % of simulations, these in
    95 to 97 %; where noise is equal, they are 1.1 (5 sizes, 5 seeds) to 1.6 times (4 sizes, 2 seeds) as wide. Variance
    by squared residuals over (1 - leverage)^2, degrees of freedom by Satterthwaite.
    """
    slopes, there = _slopes(profile, profile.problem.u), _slopes(profile, u)[0]
    inverse = np.linalg.pinv(slopes.T @ slopes)
    pull, hat = slopes @ inverse @ there, slopes @ inverse @ slopes.T
    rest = (profile.problem.target - log_curve(profile.problem, profile.at)[1])[0]
    free = len(rest) - profile.at.shape[1]
    own = pull / np.maximum(1 - np.diag(hat), 1e-6)
    mixed = own[:, None] * (np.eye(len(rest)) - hat)
    squares = mixed @ mixed.T
    freedom = float(np.trace(squares) ** 2 / (squares**2).sum())
    ratio = float(((own * rest) ** 2).sum() / max((rest**2).sum() / free * (pull**2).sum(), TINY))
    return max(1.0, math.sqrt(ratio) * float(stats.t.ppf(0.975, freedom) / stats.t.ppf(0.975, free)))


def _slopes(profile: Profile, u: Array) -> Array:
    """d log curve / d parameter at every u; parameters at a bound have none.  # (n, p)"""
    problem = profile.problem._replace(u=u)
    shares, _ = log_curve(problem, profile.at)
    slopes = np.zeros((len(u), profile.at.shape[1]))
    for share, (place, column) in zip(shares, places(problem.terms), strict=True):
        slopes[:, place] = share[0]
        if column is not None:
            slopes[:, place + 1] = -share[0] * u[:, column]
    slopes[:, ((profile.at <= profile.bounds.low) | (profile.at >= profile.bounds.high))[0]] = 0
    return slopes


def local_spread(x: ArrayLike, residuals: Array) -> Array:
    """Mean absolute residual at every point, a power of each column of x; gamma quasi-likelihood.  # (n,)"""
    size = np.abs(residuals)
    size = np.minimum(size, CAP * np.median(size)) + 1e-12
    u = np.log(np.reshape(np.asarray(x, dtype=float), (len(size), -1)))
    basis = np.column_stack([np.ones(len(size)), (u - u.mean(axis=0)) / u.std(axis=0)])
    weights = np.zeros(basis.shape[1])
    weights[0] = np.log(size.mean())
    for _ in range(50):
        mean = np.exp(basis @ weights)
        step = np.linalg.lstsq(basis, size / mean - 1, rcond=None)[0]
        weights += np.clip(step, -1, 1)
        if np.abs(step).max() < 1e-8:
            break
    return np.asarray(np.exp(basis @ weights))


def noise(x: ArrayLike, residuals: Array, num_parameters: int, count: int = DRAWS) -> Array:
    """Residuals drawn anew, each in units of the spread where it was and times that where it falls.  # (count, n)

    Signs are drawn, too: the fit has as many above as below. A robust fit of p parameters goes through p points, whose
    residuals of 0 are no noise and are not drawn.
    """
    rng = np.random.default_rng(0)  # the same table gives the same interval
    spread, free = local_spread(x, residuals), len(residuals) - num_parameters
    shape = np.sort(np.abs(residuals / spread))[num_parameters:] if free >= FEW else _half_normal(FEW)
    drawn = rng.choice(shape, (count, len(residuals))) * rng.choice([-1.0, 1.0], (count, len(residuals)))
    return np.asarray(drawn * spread)


def _half_normal(count: int) -> Array:
    return np.asarray(stats.halfnorm.ppf((np.arange(count) + 0.5) / count))


def rises(profile: Profile, drawn: Array, index: NDArray[np.intp]) -> Array:
    """The quantile of Q(value held) / Q_min - 1 for each parameter, by its place, held at the optimum's.

    drawn: noise about the optimum's curve  # (draws, n)
    """
    problem, near = _drawn(profile, drawn)
    values = []
    for place in index:
        held = holding(profile, np.full(len(near), place), near[:, place])
        values.append(_lowest(profile, problem, near, held))
    # What a held fit found is open to the free one, too.
    best = np.minimum(_lowest(profile, problem, near, profile.bounds), np.min(values, axis=0))
    return np.asarray(np.quantile(np.stack(values) / np.maximum(best, TINY) - 1, LEVEL, axis=1))


def rise_of_curve(profile: Profile, drawn: Array, u: Array) -> float:
    """The same for the curve at u, held at the optimum's value."""
    problem, near = _drawn(profile, drawn)
    height = log_curve(problem._replace(u=u), near)[1][:, 0]
    begin = with_raised(profile, near)
    held = objective(problem, lowest_from(drawn_to(problem, u, height), begin, profile.bounds))
    best = np.minimum(_lowest(profile, problem, near, profile.bounds), held)
    return float(np.quantile(held / np.maximum(best, TINY) - 1, LEVEL))


def _drawn(profile: Profile, drawn: Array) -> tuple[FitProblem, Array]:
    """The optimum's curve with noise, and the optimum as a start in every row."""
    target = log_curve(profile.problem, profile.at)[1] + drawn
    return profile.problem._replace(target=target), np.repeat(profile.at, len(drawn), axis=0)


def _lowest(profile: Profile, problem: FitProblem, near: Array, bounds: Bounds) -> Array:
    lowest = lowest_from(problem, with_raised(profile, np.clip(near, *bounds)), bounds)
    return objective(problem, lowest)
