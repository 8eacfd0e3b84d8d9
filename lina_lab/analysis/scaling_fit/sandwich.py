"""Intervals of a joint fit whose errors go together in clusters: log value ± t times a sandwich error.

The error is CR3, in which each cluster's residuals are those of a fit without it, since a fit is nearer to its points
than the truth is; the degrees of freedom are Satterthwaite's, fewer where few clusters decide (both: Bell and
McCaffrey, 2002). Simulated coverage: tests, and benchmarks/joint.py; of a seed that moves one design alone at all sizes
these errors know nothing.
"""

from collections.abc import Callable

import numpy as np
from scipy import stats

from lina_lab.analysis.scaling_fit.joint import JointFit
from lina_lab.analysis.scaling_fit.likelihood_ratio import LEAST_CLUSTERS, Clusters
from lina_lab.analysis.scaling_fit.solver import Array

STEP = 1e-6
"""Of parameters, for derivatives."""
LEAST_FREE = 1e-3
"""Directions of a cluster of which the others say less than this share are left out."""
TINY = 1e-300


def halves(fitted: JointFit, clusters: Clusters, quantities: Callable[[Array], Array]) -> Array:
    """Half the width of the 95 % interval of every quantity, inf where there are too few clusters.  # (q,)

    quantities: of parameters (p,), on a scale where they are about normal.
    """
    if clusters.number < LEAST_CLUSTERS:
        return np.full_like(quantities(fitted.at), np.inf)
    problem = fitted.model.problem
    terms, curve = problem.curve(fitted.at[None])
    low, high = (side[0] for side in fitted.model.bounds)
    free = (fitted.at > low) & (fitted.at < high)
    slopes, residuals = problem.slopes(terms, curve)[0][:, free], (problem.target - curve)[0]
    steps = STEP * np.eye(len(fitted.at))[free]
    change = np.stack([quantities(fitted.at + step) - quantities(fitted.at - step) for step in steps]) / (2 * STEP)
    inverse = np.linalg.pinv(slopes.T @ slopes)
    pull, outside = slopes @ inverse @ change, np.eye(len(residuals)) - slopes @ inverse @ slopes.T
    weights = []  # of every point's error, in each cluster's part of the quantity
    for cluster in range(clusters.number):
        at = np.flatnonzero(clusters.of_point == cluster)
        weights.append(outside[:, at] @ np.linalg.pinv(outside[np.ix_(at, at)], rcond=LEAST_FREE) @ pull[at])
    parts = np.stack(weights)  # (clusters, n, q)
    variance = ((residuals[:, None] * parts).sum(axis=1) ** 2).sum(axis=0)
    products = np.einsum("gnq,hnq->qgh", parts, parts)
    freedom = np.trace(products, axis1=1, axis2=2) ** 2 / np.maximum((products**2).sum(axis=(1, 2)), TINY)
    return np.asarray(np.sqrt(variance) * stats.t.ppf(0.975, np.maximum(freedom, 1)))
