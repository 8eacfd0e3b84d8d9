"""Scaling curves of every design, with intervals and the error of predicting every size from the smaller ones."""

import json
import math
from typing import Any

import numpy as np
import pandas as pd

from lina_lab.analysis.interval import Interval, finite_or_null
from lina_lab.analysis.scaling_fit.fits import fit, refusal
from lina_lab.analysis.scaling_fit.intervals import intervals
from lina_lab.analysis.scaling_fit.remarks import in_words, remarks
from lina_lab.analysis.scaling_fit.rolling import rolling
from lina_lab.analysis.table import design_axes, designs, human
from lina_lab.ledger.plan import Plan

CURVES = ("power", "offset")


def design_fits(table: pd.DataFrame, plan: Plan, metric: str) -> pd.DataFrame:
    """One row a design and form that its sizes allow: axes, form, n, parameters, intervals, loss, objective, hold-out.

    Columns `alpha`, `alpha_low`, `alpha_high` and so on; `E_identified` is False where the interval of E holds 0, and
    where the curve rises; `notes` is what must be said beside them.
    `holdout_error` is predicted over measured - 1 at the largest size, by a fit without it (geometric mean of seeds);
    `rolling_errors` is a JSON list of [size, the same by a fit to all sizes below], for every size that allows it.
    """
    rows = []
    for values, cells in designs(table.dropna(subset=[metric]), design_axes(plan)):
        x, y = cells["parameters"].to_numpy(dtype=float), cells[metric].to_numpy(dtype=float)
        rows += [values | _row(form, x, y) for form in CURVES if not refusal(form, x)]
    return pd.DataFrame(rows)


def _row(form: str, x: np.ndarray, y: np.ndarray) -> dict[str, Any]:
    fitted = fit(form, x, y)
    row: dict[str, Any] = {"form": form, "n": fitted.n, **fitted.params}
    ranges = intervals(fitted, x, y)
    for name, interval in ranges.items():
        row |= {f"{name}_low": interval and interval.low, f"{name}_high": interval and finite_or_null(interval.high)}
    if "E" in fitted.params:
        row["E_identified"] = bool(row["E_low"])
    held = rolling(form, x, y)
    row["rolling_errors"] = json.dumps([[size.x, size.error] for size in held])
    if held and held[-1].x == x.max():
        row["holdout_error"] = held[-1].error
    return row | {"loss": fitted.loss, "objective": fitted.objective, "notes": "; ".join(remarks(fitted, ranges, x, y))}


def readable_fits(fits: pd.DataFrame, axes: list[str]) -> pd.DataFrame:
    """The fits as text: 'A x^-alpha | 0.41 (0.35 to 0.47) | ...'."""
    records = fits.to_dict("records")
    shown = pd.DataFrame({axis: fits[axis].astype(str) for axis in axes})
    shown["form"] = fits["form"].map({"power": "A N^-α", "offset": "E + A N^-α"})
    shown["n"] = fits["n"].astype(str)
    shown["loss"] = fits["loss"]
    shown["α (95 %)"] = [_with_interval(row, "alpha") for row in records]
    shown["E (95 %)"] = ["" if row["form"] == "power" else _floor(row) for row in records]
    errors = fits["rolling_errors"].map(json.loads)
    shown["predicted from smaller sizes"] = [
        ", ".join(f"{human(size)} {100 * error:+.0f} %" for size, error in held) for held in errors
    ]
    return shown.assign(note=fits["notes"]) if fits["notes"].any() else shown


def _with_interval(row: dict[Any, Any], name: str) -> str:
    said = in_words(_interval(row, name), 3)
    return f"{row[name]:.3g} ({said})" if said else f"{row[name]:.3g}"


def _floor(row: dict[Any, Any]) -> str:
    """The floor; without a value where the interval holds 0, since it would be read as a measurement."""
    interval = _interval(row, "E")
    if row["E_identified"]:
        return _with_interval(row, "E")
    if interval is None or math.isinf(interval.high):
        return "not identified"
    return f"not identified, at most {interval.high:.3g}"


def _interval(row: dict[Any, Any], name: str) -> Interval | None:
    """As `intervals` gave it; an end that is missing beside the other is one that the data did not set."""
    low, high = row[f"{name}_low"], row[f"{name}_high"]
    if pd.isna(low):
        return None
    return Interval(float(row[name]), float(low), math.inf if pd.isna(high) else float(high))
