"""How often the intervals of a surface hold the truth, and how wide they are, on a design like Chinchilla's.

    OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 python benchmarks/coverage.py [--datasets 200] [--out FILE.json]

Nine budgets from 6e18 to 3e21 FLOPs, each at model sizes a factor 25 apart about the best one; the truth is that of
Chinchilla's 240 points, noise of log y 1 %. Beside the intervals of `lab fit`: percentiles of the bootstrap of pairs
(whole points drawn anew), which is what published fits give.
"""

import json
import math
import time
from pathlib import Path
from typing import Annotated, NamedTuple

import numpy as np
import typer

from lina_lab.analysis.scaling_fit.fits import Fit, fit, predict, refit
from lina_lab.analysis.scaling_fit.intervals import intervals
from lina_lab.provenance import provenance

TRUTH = {"E": 1.817, "A": 482.0, "alpha": 0.348, "B": 2085.0, "beta": 0.366}
BUDGETS = (6e18, 1e19, 3e19, 6e19, 1e20, 3e20, 6e20, 1e21, 3e21)
NOISE, RESAMPLES = 0.01, 200
SCENARIOS = ("equal spread", "twice as large at small sizes", "twice as large at few tokens", "5 % outliers")


def design(count: int) -> np.ndarray:
    """Parameters and tokens, 6 FLOPs each pair.  # (count, 2)"""
    share = np.diff(np.round(np.linspace(0, count, len(BUDGETS) + 1))).astype(int)
    sizes = [0.11 * math.sqrt(c) * np.geomspace(0.2, 5, n) for c, n in zip(BUDGETS, share, strict=True)]
    return np.concatenate([np.stack([n, c / (6 * n)], axis=1) for c, n in zip(BUDGETS, sizes, strict=True)])


def drawn(x: np.ndarray, scenario: str, rng: np.random.Generator) -> np.ndarray:
    """y of one dataset; an outlier's noise is ten times the others'."""
    factor = np.ones(len(x))
    if "twice" in scenario:
        column = x[:, 1 if "tokens" in scenario else 0]
        factor[column < np.median(column)] = 2
    elif "outliers" in scenario:
        factor[rng.random(len(x)) < 0.05] = 10
    return predict("surface", TRUTH, x) * np.exp(rng.normal(0, NOISE, len(x)) * factor)


def by_pairs(found: Fit, x: np.ndarray, y: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    weights = rng.multinomial(len(y), np.full(len(y), 1 / len(y)), size=RESAMPLES).astype(float)
    return np.quantile(refit("surface", x, y, weights, found), (0.025, 0.975), axis=0)


class Case(NamedTuple):
    """What was seen of one number of points and one scenario; arrays of (datasets, p) or (datasets, p, 2)."""

    estimates: list[np.ndarray]
    own: list[np.ndarray]
    pairs: list[np.ndarray]
    seconds: list[float]


def observe(case: Case, x: np.ndarray, y: np.ndarray, rng: np.random.Generator) -> None:
    """Fit one dataset."""
    found = fit("surface", x, y)
    begin = time.process_time()
    each = intervals(found, x, y)
    case.seconds.append(time.process_time() - begin)
    case.own.append(np.array([(i.low, i.high) for i in each.values() if i]))
    case.pairs.append(by_pairs(found, x, y, rng).T)
    case.estimates.append(found.row)


def summary(case: Case) -> dict[str, object]:
    """Of every parameter: shares of datasets whose interval holds the truth, and the median width.

    Widths are in units of 2 * 1.96 standard deviations of the estimates, with coefficients in their logarithm.
    """
    truth, estimates = np.array(list(TRUTH.values())), np.array(case.estimates)
    spread = np.std(_logs(estimates), axis=0)

    def named(values: np.ndarray) -> dict[str, float]:
        return dict(zip(TRUTH, values.round(3).tolist(), strict=True))

    found: dict[str, object] = {"datasets": len(estimates)}
    for name, ends in (("intervals", np.array(case.own)), ("pairs bootstrap", np.array(case.pairs))):
        low, high = ends[..., 0], ends[..., 1]
        found[f"{name}: hold the truth"] = named(((low <= truth) & (truth <= high)).mean(axis=0))
        found[f"{name}: width"] = named(np.median(_logs(high) - _logs(low), axis=0) / (2 * 1.96 * spread))
    ends = np.array(case.own)
    found["estimates at an end"] = int((ends == estimates[..., None]).sum())
    return found | {"processor seconds of one dataset's intervals": round(float(np.mean(case.seconds)), 2)}


def _logs(values: np.ndarray) -> np.ndarray:
    """Coefficients in their logarithm."""
    upper = np.array([name.isupper() for name in TRUTH])
    return np.where(upper, np.log(np.maximum(values, 1e-300)), values)


def main(datasets: int = 200, out: Annotated[Path | None, typer.Option()] = None) -> None:
    cases = {(count, scenario): Case([], [], [], []) for count in (40, 120, 240) for scenario in SCENARIOS}
    for seed in range(datasets):
        for (count, scenario), case in cases.items():
            rng, x = np.random.default_rng([seed, count, SCENARIOS.index(scenario)]), design(count)
            observe(case, x, drawn(x, scenario, rng), rng)
        if (seed + 1) % 10 and seed + 1 < datasets:
            continue
        # After every ten: two hundred take half an hour.
        results = [{"n": count, "scenario": scenario} | summary(case) for (count, scenario), case in cases.items()]
        print(json.dumps(results), flush=True)
        if out is not None:
            out.parent.mkdir(parents=True, exist_ok=True)
            out.write_text(json.dumps({"results": results, "provenance": provenance().as_json()}, indent=1) + "\n")


if __name__ == "__main__":
    typer.run(main)
