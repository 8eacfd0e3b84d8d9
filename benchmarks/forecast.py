"""How often a forecast holds what is reached: of simulated studies of known truth, and of the digits report.

    OMP_NUM_THREADS=1 python benchmarks/forecast.py [--studies 300] [--gaps 100] [--out FILE.json]

Sizes a factor 3 apart; the next one is forecast. Noise of 2 % of each cell, in pairs of designs correlated 0.8. A new
cell is held against the interval of `scaling_fit.new_value`, a mean ratio over seeds against that of `new_gap`, each
with any floor ("offset") and as a power law ("power"). Spread: of the new size, times that of the others, or falling or
rising over all of them by 3; "seed": a seed moves the values of all sizes alike, by 1 or 3 times the noise.
Shares come with their binomial standard error. The report is forecast from its smaller sizes alone.
"""

import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import pandas as pd
import typer

from lina_lab.analysis.match_cells import DESIGN, SHARE, Pairs
from lina_lab.analysis.new_gap import new_gap
from lina_lab.analysis.report_data import read_report_data
from lina_lab.analysis.scaling_fit.new_value import new_value
from lina_lab.analysis.table import design_axes, designs
from lina_lab.provenance import provenance

NOISE, CORRELATION = 0.02, 0.8
DESIGNS = ((2, 3), (3, 2), (3, 3), (4, 2), (4, 3))
"""Sizes that are done, and seeds."""
CURVES = {
    "power law, exponent 0.1": (40, 0.1, 0),
    "power law, exponent 0.5": (40, 0.5, 0),
    "exponent 0.3, floor 20": (40, 0.3, 20),
    "exponent 0.5, floor 8": (40, 0.5, 8),
}
PAIRS = {
    "equal power laws": ((40, 0.3, 0), (40, 0.3, 0)),
    "floors 4 and 8": ((40, 0.5, 4), (40, 0.5, 8)),
    "floors 0 and 4": ((40, 0.5, 0), (40, 0.5, 4)),
    "exponents 0.5 and 0.4": ((40, 0.5, 0), (40, 0.4, 0)),
}
FORMS = ("offset", "power")
REPORT = Path(__file__).parents[1] / "reports" / "digits"


def spreads(sizes: int) -> dict[str, np.ndarray]:
    """Of every size and of the new one, in units of the noise."""
    last = np.arange(sizes + 1) == sizes
    return {f"new size {k}x": np.where(last, k, 1.0) for k in (1, 2, 3)} | {
        "falls by 3": np.linspace(3, 1, sizes + 1),
        "rises by 3": np.linspace(1, 3, sizes + 1),
    }


def cases(sizes: int) -> Iterator[tuple[str, np.ndarray, float]]:
    yield from ((name, spread, 0.0) for name, spread in spreads(sizes).items())
    yield from ((f"seed {k}", np.ones(sizes + 1), float(k)) for k in (1, 3))


def truth(curve: tuple[float, float, float], x: np.ndarray) -> np.ndarray:
    factor, alpha, floor = curve
    return floor + factor * (x / 1e6) ** -alpha


def share(held: list[list[bool]]) -> dict[str, list[float]]:
    """By form, with the binomial standard error."""
    mean = np.mean(held, axis=0)
    error = np.sqrt(mean * (1 - mean) / len(held))
    return {f: [round(float(m), 3), round(float(e), 3)] for f, m, e in zip(FORMS, mean, error, strict=True)}


def of_cells(studies: int) -> Iterator[dict[str, Any]]:
    for sizes, seeds in DESIGNS:
        x = 1e6 * 3.0 ** np.arange(sizes + 1)
        for name, curve in CURVES.items():
            for case, spread, common in cases(sizes):
                rng = np.random.default_rng(0)
                held, width = [], []
                for _ in range(studies):
                    noise = spread[:, None] * rng.normal(size=(sizes + 1, seeds)) + common * rng.normal(size=seeds)
                    y = truth(curve, x)[:, None] * np.exp(NOISE * noise)
                    found = [new_value(f, np.repeat(x[:-1], seeds), y[:-1].ravel(), x[-1]) for f in FORMS]
                    held.append([i is not None and i.low <= y[-1, 0] <= i.high for i in found])
                    width.append(found[0].high / found[0].low)
                yield {"sizes": sizes, "seeds": seeds, "curve": name, "spread": case, **share(held)} | {
                    "offset, high / low": round(float(np.median(width)), 3)
                }


def of_gaps(studies: int) -> Iterator[dict[str, Any]]:
    for sizes, seeds in DESIGNS:
        x = 1e6 * 3.0 ** np.arange(sizes + 1)
        for name, curves in PAIRS.items():
            for case in ("new size 1x", "new size 3x"):
                rng = np.random.default_rng(0)
                held = [gap_held(rng, x, seeds, curves, spreads(sizes)[case]) for _ in range(studies)]
                yield {"sizes": sizes, "seeds": seeds, "curves": name, "spread": case, **share(held)}


def gap_held(rng: np.random.Generator, x: np.ndarray, seeds: int, curves: Any, spread: np.ndarray) -> list[bool]:
    of_a, other = rng.normal(size=(2, len(x), seeds))
    of_b = CORRELATION * of_a + math.sqrt(1 - CORRELATION**2) * other
    a, b = (
        truth(c, x)[:, None] * np.exp(NOISE * spread[:, None] * of) for c, of in zip(curves, (of_a, of_b), strict=True)
    )
    n = (len(x) - 1) * seeds
    names = np.tile(np.arange(seeds), len(x) - 1).astype(str)
    pairs = Pairs(
        x=np.repeat(x[:-1], seeds),
        a=a[:-1].ravel(),
        b=b[:-1].ravel(),
        size=[f"{each:g}" for each in np.repeat(x[:-1], seeds)],
        seeds=seeds,
        rows=pd.DataFrame({DESIGN: np.repeat(["A", "B"], n), SHARE: np.tile(names, 2)}),
        diverged=[],
        warnings=[],
    )
    reached = math.exp(float(np.log(a[-1] / b[-1]).mean()))
    found = [new_gap(form, pairs, float(x[-1]), seeds) for form in FORMS]
    return [i is not None and i.low <= reached <= i.high for i in found]


def of_report() -> Iterator[dict[str, Any]]:
    """Cells of every design at a size, forecast from all smaller ones: three seeds of 30 designs."""
    data = read_report_data(REPORT)
    for column in ("eval/fid/digits-cnn", "val/loss"):
        for count in (2, 3):
            held = []
            for _, rows in designs(data.table.dropna(subset=[column]), design_axes(data.plan)):
                x = sorted(rows["parameters"].unique())
                known, new = rows[rows["parameters"].isin(x[:count])], rows[rows["parameters"] == x[count]]
                found = [new_value(form, known["parameters"], known[column], x[count]) for form in FORMS]
                held += [[i is not None and i.low <= y <= i.high for i in found] for y in new[column]]
            hits = dict(zip(FORMS, np.sum(held, axis=0).tolist(), strict=True))
            yield {"report": REPORT.name, "metric": column, "sizes": count, "cells": len(held), **hits}


def main(
    studies: Annotated[int, typer.Option()] = 300,
    gaps: Annotated[int, typer.Option()] = 100,
    out: Annotated[Path | None, typer.Option()] = None,
) -> None:
    result = {
        "provenance": provenance().as_json(),
        "studies": studies,
        "studies of gaps": gaps,
        "report": list(of_report()),
        "gaps": list(of_gaps(gaps)),
        "cells": list(of_cells(studies)),
    }
    text = json.dumps(result, indent=1)
    if out:
        out.write_text(text + "\n", encoding="utf-8")
    print(text)


if __name__ == "__main__":
    typer.run(main)
