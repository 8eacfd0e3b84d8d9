"""The power of a study that has not run, from the pilot's pairs: the chance that a verdict finds the design ahead.

What the pilot leaves open is drawn: covariances of the two designs' values over seeds (their estimate times freedom
over chi-square), and means around the pilot's (so that a gap that happened to be large is not taken at its word). Of
each draw one study is simulated, and the verdict's own rule says whether it is decided (`decisions`). Cells of the
pilot that are part of the study keep their values.

Shapes: K pilot sizes, S sizes of the study, R seeds, M draws; values of A and B on the scale of the metric.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from scipy import stats

from lina_lab.analysis.decisions import better_there
from lina_lab.analysis.match_cells import DESIGN, MAX_RATIO, SHARE, Array, Pairs
from lina_lab.analysis.scale import RATIO, Scale
from lina_lab.analysis.spread import (
    COMMON,
    EXACT,
    UNEVEN,
    below,
    covariance_root,
    seed_effect,
    sizes_of,
    uneven_scatter,
)

DRAWS = 2000
"""The standard error of a power is at most 1.1 %."""
ENOUGH = 0.8
"""The power that a study should have."""
SAME_SIZE = math.log(MAX_RATIO)


class Pilot(NamedTuple):
    """What is known of two designs before the study."""

    sizes: tuple[str, ...]
    x: Array
    """(K,)"""
    seeds: tuple[str, ...]
    values: Array
    """Of A and B at each size under each seed; NaN where the pair is missing.  # (K, R, 2)"""
    spread: Array
    """The covariance of a cell's values over seeds, by size.  # (K, 2, 2)"""
    freedom: Array
    """Degrees of freedom of the spread at each size; 0 where it was not measured.  # (K,)"""
    pooled: Array
    """Whether the spread of a size is that of all sizes together.  # (K,)"""
    alike: Array
    """The covariance of what a seed adds to all sizes; 0 unless the pilot shows it.  # (2, 2)"""
    scale: Scale = RATIO

    @property
    def means(self) -> Array:
        """(K, 2)"""
        return np.asarray(np.nanmean(self.values, axis=1))

    @property
    def counts(self) -> Array:
        return np.asarray((~np.isnan(self.values[..., 0])).sum(axis=1))

    @property
    def measured_spread(self) -> bool:
        return bool((self.freedom > 0).all() and (self.spread[:, 0, 0] + self.spread[:, 1, 1] > EXACT).all())


class Truth(NamedTuple):
    """M draws of what may be true at the S sizes of a study."""

    estimate: Array
    """The pilot's means of both designs.  # (S, 2)"""
    means: Array
    """(M, S, 2)"""
    roots: Array
    """Times two standard normals is the noise of a cell.  # (M, S, 2, 2)"""
    alike: Array
    """The same for the noise that all sizes of a seed share.  # (M, 2, 2)"""

    @property
    def gaps(self) -> Array:
        """A less B.  # (M, S)"""
        return np.asarray(self.means[..., 0] - self.means[..., 1])

    @property
    def seen(self) -> Array:
        """The pilot's A less B.  # (S,)"""
        return np.asarray(self.estimate[:, 0] - self.estimate[:, 1])

    def with_gaps(self, gaps: Array) -> "Truth":
        """The same with these gaps (S,) in every draw."""
        middle = self.estimate.mean(axis=1)
        means = np.stack([middle + gaps / 2, middle - gaps / 2], axis=-1)
        return self._replace(means=np.broadcast_to(means, self.means.shape))


class Power(NamedTuple):
    """The chance that a study's verdict names the design that is ahead at its largest size."""

    expected: float
    """Over all that the pilot leaves open: the share of studies planned so that will be decided."""
    at_estimate: float
    """If the gap is as the pilot saw it: too high, on average, where the gap happened to look large."""
    near: float
    """If the gap is at that end of its 95 % interval which is nearer to equal designs; 0 if the interval holds them."""


def pilot_of(pairs: Pairs) -> Pilot:
    """The pilot that pairs of finished cells are.

    The spread of a size is that of all sizes, but its own where values are seen to scatter otherwise there; what a seed
    does to all sizes alike is taken out of it where that is seen (`spread`: as for a verdict).
    """
    shares = pairs.rows.loc[pairs.rows[DESIGN] == "A", SHARE].tolist()
    seeds, places = tuple(dict.fromkeys(sorted(shares, key=_as_number))), sizes_of(pairs)
    values = np.full((len(places), len(seeds), 2), np.nan)
    logs = np.stack([pairs.scale.forward(pairs.a), pairs.scale.forward(pairs.b)], axis=1)
    for row, at in enumerate(places.values()):
        for index in at:
            values[row, seeds.index(shares[index])] = logs[index]
    rest = np.nan_to_num(values - np.nanmean(values, axis=1, keepdims=True))
    products = np.einsum("kri,krj->kij", rest, rest)  # (K, 2, 2)
    freedom = (~np.isnan(values[..., 0])).sum(axis=1) - 1
    own = np.array([f > 0 and below(uneven_scatter(pairs, s), UNEVEN) for s, f in zip(places, freedom, strict=True)])
    if freedom[~own].sum() == 0:  # nothing else says what the other sizes scatter
        own[:] = False
    alike, together, degrees = _seeds_alike(pairs, values[~own], products[~own].sum(axis=0), int(freedom[~own].sum()))
    spread = np.where(own[:, None, None], products / np.maximum(freedom, 1)[:, None, None], together)
    return Pilot(
        sizes=tuple(places),
        x=np.array([pairs.x[at[0]] for at in places.values()]),
        seeds=seeds,
        values=values,
        spread=spread,
        freedom=np.where(own, freedom, degrees),
        pooled=~own,
        alike=alike,
        scale=pairs.scale,
    )


def _seeds_alike(pairs: Pairs, values: Array, products: Array, freedom: int) -> tuple[Array, Array, int]:
    """Covariances of what a seed does to all sizes and of what is left, with the freedom of that.

    Mean squares of seeds less those of the rest, over the number of sizes; directions below 0 count as 0.
    """
    if freedom < 1:
        return np.zeros((2, 2)), np.zeros((2, 2)), 0
    K, R = values.shape[:2]
    if K < 2 or np.isnan(values).any() or not below(seed_effect(pairs), COMMON):
        return np.zeros((2, 2)), products / freedom, freedom
    of_seed = values.mean(axis=0) - values.mean(axis=(0, 1))
    effect, left = K * of_seed.T @ of_seed, (R - 1) * (K - 1)
    rest = (products - effect) / left
    numbers, vectors = np.linalg.eigh((effect / (R - 1) - rest) / K)
    return (vectors * np.maximum(numbers, 0)) @ vectors.T, rest, left


def drawn_truths(pilot: Pilot, x: Array, draws: int = DRAWS, seed: int = 0, *, laws: bool = False) -> Truth:
    """What may be true at the sizes x (S,), given the pilot; a line in log x goes to sizes that it has not.

    laws: all sizes lie on each design's line, as if both followed power laws.

    Raises:
        ValueError: if the spread was not measured, or a line is needed that the pilot does not give.
    """
    if not pilot.measured_spread:
        raise ValueError("the pilot has no spread over seeds")
    rng = np.random.default_rng(seed)
    together = _scaled(rng, draws, float(pilot.freedom[pilot.pooled].max(initial=1)))
    scales = np.stack(
        [
            together if pooled else _scaled(rng, draws, float(f))
            for f, pooled in zip(pilot.freedom, pilot.pooled, strict=True)
        ],
        axis=1,
    )  # (M, K)
    roots = scales[..., None, None] * covariance_root(pilot.spread)
    alike = _scaled(rng, draws, max(len(pilot.seeds) - 1, 1))[:, None, None] * covariance_root(pilot.alike)
    errors = np.einsum("mkij,mkj->mki", roots, rng.normal(size=(draws, len(pilot.x), 2)))
    errors /= np.sqrt(pilot.counts)[:, None]
    shared = np.einsum("mij,mj->mi", alike, rng.normal(size=(draws, 2))) / math.sqrt(len(pilot.seeds))
    means = pilot.means + errors + shared[:, None]  # (M, K, 2)
    places = [int(np.argmin(np.abs(np.log(pilot.x / size)))) for size in x]  # the nearest pilot size
    new = (np.abs(np.log(pilot.x[places] / x)) > SAME_SIZE) | laws
    means = np.concatenate([pilot.means[None], means])
    there = means[:, places]
    there = np.where(new[:, None], _on_lines(pilot, means, x), there) if new.any() else there
    return Truth(estimate=there[0], means=there[1:], roots=roots[:, places], alike=alike)


def _on_lines(pilot: Pilot, means: Array, x: Array) -> Array:
    """Each design's values at x on its line over log x.  # (M, S, 2)"""
    if len(pilot.x) < 2 or pilot.scale != RATIO:
        raise ValueError("a line needs ratios at two sizes")
    u = np.log(pilot.x) - np.log(pilot.x).mean()
    slope = np.einsum("mki,k->mi", means, u) / (u @ u)
    away = np.log(x) - np.log(pilot.x).mean()
    return means.mean(axis=1)[:, None] + slope[:, None] * away[:, None]


def simulated(truth: Truth, seeds: int, done: Array | None = None, seed: int = 1) -> Array:
    """One study a draw, with R seeds; where `done` (S, R, 2) is not NaN, its values stand.  # (M, S, R, 2)"""
    rng = np.random.default_rng(seed)
    M, S = truth.means.shape[:2]
    noise = np.einsum("msij,msrj->msri", truth.roots, rng.normal(size=(M, S, seeds, 2)))
    alike = np.einsum("mij,mrj->mri", truth.alike, rng.normal(size=(M, seeds, 2)))
    y = truth.means[:, :, None] + noise + alike[:, None]
    return y if done is None else np.where(np.isnan(done), y, done)


def power(truth: Truth, seeds: int, level: float = 0.95, done: Array | None = None) -> Power:
    """Of a study of `seeds` seeds that is judged at a level; `done` (S, R, 2): values of cells that it has already."""
    seen, last = truth.seen, float(truth.seen[-1])
    near = float(np.quantile(math.copysign(1, last) * truth.gaps[:, -1], 0.025))

    def share(of: Truth) -> float:
        return right(simulated(of, seeds, done), of, level)

    return Power(
        expected=share(truth),
        at_estimate=share(truth.with_gaps(seen)),
        near=share(truth.with_gaps(seen * near / abs(last))) if near > 0 and last else 0.0,
    )


def right(y: Array, truth: Truth, level: float) -> float:
    """The share of studies whose verdict names the design that is ahead at the largest size."""
    return float((better_there(y, level) * truth.gaps[:, -1] > 0).mean())


def smallest_gap(truth: Truth, seeds: int, level: float = 0.95, enough: float = ENOUGH) -> float:
    """The least gap, the same at every size, that a study of new seeds finds with enough power; inf above 10."""

    def found(gap: float) -> bool:
        of = truth.with_gaps(np.full(truth.means.shape[1], gap))
        return right(simulated(of, seeds), of, level) >= enough

    low, high = 0.0, 10.0
    if not found(high):
        return math.inf
    while high - low > 0.005 * high:
        middle = (low + high) / 2
        low, high = (low, middle) if found(middle) else (middle, high)
    return high


class Needed(NamedTuple):
    """How many seeds, of the sizes that there are, would settle which design is better at the largest."""

    seeds: int | None
    """None: more than were tried."""
    power: float
    """With that many, or with the most that were tried."""


def seeds_needed(pairs: Pairs, level: float = 0.95, most: int = 20, enough: float = ENOUGH) -> Needed | None:
    """Seeds in all, those that there are among them, at the gap that the pairs show; None without spread over seeds.

    level: of the verdict (`Verdict.level`), so that it holds together with the study's other comparisons.
    """
    pilot = pilot_of(pairs)
    if not pilot.measured_spread:
        return None
    truth = drawn_truths(pilot, pilot.x)
    truth = truth.with_gaps(truth.seen)
    reached = 0.0
    for seeds in range(max(2, len(pilot.seeds)), most + 1):
        names = (*pilot.seeds, *[""] * (seeds - len(pilot.seeds)))
        reached = right(simulated(truth, seeds, kept_values(pilot, pilot.sizes, names)), truth, level)
        if reached >= enough:
            return Needed(seeds, reached)
    return Needed(None, reached)


def kept_values(pilot: Pilot, sizes: Sequence[str], seeds: Sequence[str]) -> Array:
    """The pilot's values of a study's sizes and seeds; NaN for cells that it has not.  # (S, R, 2)"""
    kept = np.full((len(sizes), len(seeds), 2), np.nan)
    for row, size in enumerate(sizes):
        for place, seed in enumerate(seeds):
            if size in pilot.sizes and seed in pilot.seeds:
                kept[row, place] = pilot.values[pilot.sizes.index(size), pilot.seeds.index(seed)]
    return kept


def _scaled(rng: np.random.Generator, draws: int, freedom: float) -> Array:
    """Factors on a standard deviation that was estimated with so many degrees of freedom.  # (M,)"""
    return np.asarray(np.sqrt(freedom / stats.chi2.rvs(freedom, size=draws, random_state=rng)))


def _as_number(share: str) -> tuple[float, str]:
    return (float(share), share) if share.replace(".", "", 1).isdigit() else (math.inf, share)
