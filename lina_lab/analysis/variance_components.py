"""The spread of a FID, split by what moves it: training again, drawing again, and having drawn so few images.

log FID of training seed s and generation seed g of one design at one size is mean + t_s + e_sg. Var(t) is of training,
Var(e) of generation. Images are independent once the weights are given, so that Var(e) is what resampling them
estimates: the finite-sample variance. All are pooled over designs and sizes, as shares of the FID.

Designs of one training seed share their draws, so intervals count them as one: they are rather too wide.
"""

import math
from typing import NamedTuple

import numpy as np
import pandas as pd
from scipy import stats

from lina_lab.analysis.interval import Interval
from lina_lab.analysis.spread import EXACT
from lina_lab.fact_names import column
from lina_lab.metric_names import FID, FID_GENERATION_MEAN, FID_GENERATION_SD, FID_SD

KNOWN = 10**9
"""Degrees of freedom of a variance that is taken as known."""
DOUBLED = math.sqrt(2)
"""Twice the images are worth their seconds from here on: see `FidSpread.more_images`."""
TAIL = 0.025


class FidSpread(NamedTuple):
    """Standard deviations as shares of the FID; None where the study does not tell."""

    training: float | None
    """Between training seeds, without what the images add."""
    generation: float | None
    """Between generation seeds of one model."""
    finite_sample: float | None
    """By resampling the images of one set."""
    agreement: Interval | None
    """`generation` / `finite_sample`: 1 if resampling is right."""
    more_images: Interval | None
    """How many times as many images a cell should have, for the least variance of a design's mean in given seconds."""
    missing: list[str]
    """What the study would need to tell the rest."""


def fid_spread(table: pd.DataFrame, extractor: str, by: list[str]) -> FidSpread:
    """The spread of the FIDs of a results table; `by`: the axes, whose values together are a design at a size.

    With c_T seconds to train a cell and c_G to draw and measure a set of its images, the variance of a mean in given
    seconds is least with (c_T / c_G * Var(e) / Var(t))^½ sets.
    """
    cells = table[table[FID + extractor] > 0]
    mean, sd = FID_GENERATION_MEAN + extractor, FID_GENERATION_SD + extractor
    if sd not in cells or cells[sd].isna().any():  # only where all cells were drawn equally often
        cells = cells.assign(generation_seeds=1, **{mean: cells[FID + extractor]})
    sets, seeds = int(cells["generation_seeds"].min()) if len(cells) else 1, cells["seed"].nunique()
    generation = _mean_square(cells[sd] / cells[mean]) if sets > 1 else None
    resampled = cells[FID_SD + extractor].dropna() if FID_SD + extractor in cells else cells.iloc[:0]["seed"]
    finite = _mean_square(resampled / cells.loc[resampled.index, FID + extractor]) if len(resampled) else None
    drawn = seeds * (sets - 1)
    agreement = _ratio(generation, finite, drawn, KNOWN) if generation and finite else None
    missing = []
    if generation is None:
        missing.append("evaluation.generation_seeds of 2 or more, to measure the spread of generation")
    # Where both agree, resampling is the more certain, as it knows every image.
    sure = finite is not None and (agreement is None or agreement.low <= 1 <= agreement.high)
    of_images, freedom = (finite, KNOWN) if sure else (generation, drawn)
    between, trained = _between(cells, mean, by)
    if between is None:
        missing.append("several training seeds, to measure the spread of training")
    if of_images is None:
        missing.append("resampling or generation seeds, to tell training from images")
    training = images = None
    if between is not None and of_images is not None:
        training = max(0.0, between - of_images / sets) ** 0.5
        images = _more_images(_ratio(between, of_images / sets, trained, freedom), cells, sets)
    return FidSpread(
        training=training,
        generation=None if generation is None else generation**0.5,
        finite_sample=None if finite is None else finite**0.5,
        agreement=agreement and Interval(*map(math.sqrt, agreement)),
        more_images=images,
        missing=missing,
    )


def _mean_square(values: "pd.Series[float]") -> float:
    return float((values**2).mean())


def _between(cells: pd.DataFrame, mean: str, by: list[str]) -> tuple[float | None, int]:
    """The mean square of log FIDs between the training seeds of a design at a size, and its degrees of freedom."""
    logs = np.log(cells[mean])
    models = logs.groupby([cells[name] for name in by], dropna=False) if by else logs.groupby(cells["seed"] >= 0)
    freedom = len(logs) - models.ngroups
    squares = float(((logs - models.transform("mean")) ** 2).sum())
    if not freedom or squares < EXACT:
        return None, 0
    return squares / freedom, int(models.size().max()) - 1


def _ratio(above: float, below: float, freedom: int, freedom_below: int) -> Interval:
    """The ratio of two variances, by F."""
    low, high = (float(stats.f.ppf(tail, freedom, freedom_below)) for tail in (TAIL, 1 - TAIL))
    return Interval(above / below, above / below / high, above / below / low)


def _more_images(spread: Interval, cells: pd.DataFrame, sets: int) -> Interval | None:
    """By the ratio of the mean square between training seeds to what the images of the `sets` add to it."""
    names = [column(f"seconds.{phase}") for phase in ("training", "sampling", "evaluation")]
    if any(name not in cells or cells[name].isna().all() for name in names):
        return None
    training, sampling, evaluation = (float(cells[name].mean()) for name in names)
    cost = training / (sampling + evaluation)

    def times(ratio: float) -> float:
        return math.sqrt(cost / sets / (ratio - 1)) if ratio > 1 else math.inf

    return Interval(times(spread.mean), times(spread.high), times(spread.low))


def spread_sentences(spread: FidSpread) -> list[str]:
    """What moves a FID, whether resampling can be believed, and what a study should spend on."""
    parts = {
        "between training seeds": spread.training,
        "between generation seeds of one model": spread.generation,
        "by resampling the images of one set": spread.finite_sample,
    }
    known = [f"{share:.2g} % {what}" for what, sd in parts.items() if sd is not None for share in [100 * sd]]
    words = [f"A FID varies (1 SD, pooled over models) by {', '.join(known)}."] if known else []
    ratio, images = spread.agreement, spread.more_images
    if ratio is not None and not ratio.low <= 1 <= ratio.high:
        words.append(
            f"New images move it {ratio.mean:.2g} times ({ratio.low:.2g} to {ratio.high:.2g}) as much as resampling "
            f"says. Images are independent once the weights are given, so resampling is wrong here, and bars of it "
            f"are too {'narrow' if ratio.mean > 1 else 'wide'}."
        )
    if images is not None:
        span = f"{images.low:.2g} to {'any number of' if math.isinf(images.high) else f'{images.high:.2g}'} times"
        if images.high < DOUBLED:
            words.append(
                f"Spend on more training seeds: for its seconds a study has enough with {span} as many images."
            )
        elif images.low > DOUBLED:
            words.append(f"Spend on more images or generation seeds, {span} as many, before more training seeds.")
        else:
            words.append(
                f"Whether to spend on training seeds or on images is undetermined: {span} as many images as now would "
                "be best; more training seeds would tell."
            )
    if spread.missing:
        words.append(f"What moves a FID is not all known: this needs {'; '.join(spread.missing)}.")
    return words
