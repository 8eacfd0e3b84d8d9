"""How fast a surface of 240 points is fitted, and whether others find a lower objective on the same data.

    OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 python benchmarks/fits.py [--starts 60] [--out FILE.json]

Goals on one core: one fit in under 0.1 s, 4,000 refits in under 2 s. SciPy's L-BFGS starts at random points in the
logarithms of the coefficients, its time is scaled to 4,500 starts. PyPI's chinchilla is no dependency: install it with
`pip install chinchilla`, or beside with `pip install --target FOLDER chinchilla` and PYTHONPATH=FOLDER; without it the
others run.
"""

import importlib.util
import json
import math
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import numpy as np
import pandas as pd
import typer
from scipy.optimize import minimize

from lina_lab.analysis.scaling_fit.fits import Fit, fit, predict, refit
from lina_lab.analysis.scaling_fit.solver import DELTA, huber
from lina_lab.provenance import provenance

REFITS, PAPER_STARTS = 4000, 4500
TRUTH = {"E": 1.7, "A": 400.0, "alpha": 0.34, "B": 410.0, "beta": 0.28}


def sweep(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """12 sizes by 20 numbers of tokens, 2 % noise."""
    x = np.array([(n, d) for n in np.geomspace(1e7, 1e10, 12) for d in np.geomspace(1e9, 1e12, 20)])
    return x, predict("surface", TRUTH, x) * np.exp(rng.normal(0, 0.02, len(x)))


def loss(params: dict[str, float], x: np.ndarray, y: np.ndarray) -> float:
    return float(huber(np.log(y) - np.log(predict("surface", params, x)), DELTA).sum())


def timed(call: Callable) -> tuple[object, float, float]:
    """What it returns, seconds of the wall and of this process."""
    wall, own = time.perf_counter(), time.process_time()
    result = call()
    return result, time.perf_counter() - wall, time.process_time() - own


def ours(x: np.ndarray, y: np.ndarray, rng: np.random.Generator) -> tuple[Fit, dict[str, float]]:
    found, wall, own = min((timed(lambda: fit("surface", x, y)) for _ in range(5)), key=lambda run: run[1])
    weights = rng.multinomial(len(y), np.full(len(y), 1 / len(y)), size=REFITS).astype(float)
    _, refits, refits_own = timed(lambda: refit("surface", x, y, weights, found))
    return found, {
        "seconds of one fit": wall,
        "processor seconds of one fit": own,
        "seconds of 4,000 refits": refits,
        "processor seconds of 4,000 refits": refits_own,
        "objective": found.objective,
    }


def scipy_starts(x: np.ndarray, y: np.ndarray, rng: np.random.Generator, starts: int, best: float) -> dict[str, float]:
    """L-BFGS with numeric gradients, as in the published fits."""
    u, v = np.log(x), np.log(y)

    def value(theta: np.ndarray) -> float:
        e, a, alpha, b, beta = theta
        terms = np.stack([np.full(len(u), e), a - alpha * u[:, 0], b - beta * u[:, 1]])
        return float(huber(v - np.logaddexp.reduce(terms), DELTA).sum())

    low, high = np.array([-1, 0, 0, 0, 0]), np.array([1.5, 25, 2, 25, 2])
    begin = rng.uniform(low, high, (starts, 5))
    values, wall, own = timed(lambda: [minimize(value, row, method="L-BFGS-B").fun for row in begin])
    return {
        "SciPy: seconds for 4,500 starts": wall / starts * PAPER_STARTS,
        "SciPy: processor seconds for 4,500 starts": own / starts * PAPER_STARTS,
        "SciPy: starts run": starts,
        "SciPy: objective over ours, less 1": min(values) / best - 1,
        "SciPy: share of starts within 0.1 %": float(np.mean(np.array(values) < 1.001 * best)),
    }


def chinchilla(x: np.ndarray, y: np.ndarray, best: float) -> dict[str, float]:
    """PyPI's package, its loss made the same sum: by default it is a mean, on which BFGS stops early."""
    from chinchilla import Chinchilla

    grid = {"e": [0, 1], "a": [2, 6, 10], "b": [2, 6, 10], "alpha": [0.2, 0.5], "beta": [0.2, 0.5]}
    with tempfile.TemporaryDirectory() as folder:
        package = Chinchilla(
            project_dir=folder,
            param_grid=grid,
            loss_fn=lambda real, curve: len(y) * huber(np.log(real) - np.log(curve), DELTA),
            log_level=50,
        )
        flops = 6 * x[:, 0] * x[:, 1]
        package.database.df = pd.DataFrame({"C": flops, "N": x[:, 0], "D": x[:, 1], "loss": y})
        _, wall, own = timed(lambda: package.fit(parallel=False))
    found = {name: float(getattr(package, name)) for name in TRUTH}
    starts = math.prod(len(values) for values in grid.values())
    return {
        "chinchilla: seconds": wall,
        "chinchilla: processor seconds": own,
        "chinchilla: starts": starts,
        "chinchilla: objective over ours, less 1": loss(found, x, y) / best - 1,
    }


def main(starts: int = 60, seed: int = 0, out: Annotated[Path | None, typer.Option()] = None) -> None:
    rng = np.random.default_rng(seed)
    x, y = sweep(rng)
    found, result = ours(x, y, rng)
    result |= scipy_starts(x, y, rng, starts, found.objective)
    if importlib.util.find_spec("chinchilla"):
        result |= chinchilla(x, y, found.objective)
    else:
        print("chinchilla is not installed: pip install chinchilla")
    for name, number in result.items():
        print(f"{name:46} {number:.4g}")
    if out is not None:
        out.parent.mkdir(parents=True, exist_ok=True)
        out.write_text(json.dumps(result | {"provenance": provenance().as_json()}, indent=1) + "\n")


if __name__ == "__main__":
    typer.run(main)
