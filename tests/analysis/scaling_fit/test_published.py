"""Surfaces on published IsoFLOP runs: a budget that is left out is forecast about as well as one that is fitted.

The best published fit errs 0.51 % on average over budgets left out, of 245 points of Chinchilla; parabolas of the loss
at each budget err 10.4 % (Open-Athena/scaling-law-analysis). Here are 89 points, read from a figure.
"""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from lina_lab.analysis.scaling_fit.fits import fit, predict

BEST_PUBLISHED = 0.0051


def errors(name: str) -> tuple[np.ndarray, np.ndarray]:
    """Mean |predicted / measured - 1| at each budget, smallest first: by a fit to the other budgets, and to all."""
    table = pd.read_csv(Path(__file__).with_name(f"{name}_isoflop.csv"), comment="#")
    x, y = table[["params", "tokens"]].to_numpy(), table["loss"].to_numpy()
    whole = np.abs(predict("surface", fit("surface", x, y).params, x) / y - 1)
    left_out, fitted = [], []
    for budget in np.unique(table["budget"]):
        at = (table["budget"] == budget).to_numpy()
        others = fit("surface", x[~at], y[~at]).params
        left_out.append(np.abs(predict("surface", others, x[at]) / y[at] - 1).mean())
        fitted.append(whole[at].mean())
    return np.array(left_out), np.array(fitted)


@pytest.mark.slow
def test_budgets_of_llama_3_are_forecast_within_the_best_published_error():
    left_out, _ = errors("llama3")
    assert left_out.mean() < 0.0027
    assert left_out[-1] < 0.0029
    assert left_out.max() < BEST_PUBLISHED


@pytest.mark.slow
def test_budgets_of_chinchilla_are_forecast_nearly_as_well_as_they_are_fitted():
    """0.563 % over budgets and 0.786 % at the largest, where the fit to all leaves 0.463 and 0.654 %.

    That is not the published 0.51 % of 245 points: these 89 scatter about their own surface by nearly as much.
    """
    left_out, fitted = errors("chinchilla")
    assert left_out.mean() < 0.0057
    assert left_out[-1] < 0.0079
    assert left_out.mean() / fitted.mean() < 1.25
    assert left_out[-1] / fitted[-1] < 1.25
