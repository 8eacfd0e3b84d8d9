"""Captions of the figures for a paper: what is drawn, what is left out, and what differs beside the design."""

import math

import pandas as pd

from lina_lab.analysis.literature import DESIGNS, at_equal_samples, batches, moving_together, with_reasons
from lina_lab.analysis.table import human
from lina_lab.figures.paper_lina import LATE_SAMPLES, Own
from lina_lab.figures.scaling import bars

SOURCE = "Values as published; published.md has the source of each."


def scaling(fid: pd.DataFrame, losses: pd.DataFrame) -> str:
    lina = fid[fid["curve"].isin([f"LINA {name}" for name in DESIGNS])]
    sizes = lina.groupby("model", sort=False)["params"].nunique().items()
    counts = ", ".join(f"{str(name).removeprefix('LINA ')} {count}" for name, count in sizes)
    equal = at_equal_samples(losses).drop_duplicates("width")
    steps = ", ".join(f"{row.step:,} at width {row.width}" for row in equal.itertuples())
    return _text(f"""
        **LINA's four designs against parameters, as published** (arXiv:2601.22630, evaluation and training logs).
        FID: ImageNet 256 px, Inception features, 50,000 samples, 64 autoregressive steps. Its panels differ in guidance
        and in training steps and cannot be compared with each other. FID was published at few sizes (number of sizes:
        {counts}), so these panels show no scaling law. Loss: the mean of the 5,000 steps that end at
        {human(equal["samples"].iloc[0])} samples seen (steps: {steps}), with its standard error over the values logged
        in them. Training loss does not rank FID. {confounds(losses)} {SOURCE}
    """)


def loss(losses: pd.DataFrame) -> str:
    runs = losses[losses["variant"].isin(list(DESIGNS))]
    ends = runs.groupby(["variant", "width"])["step"].max()
    together = math.floor(1000 * moving_together(losses)) / 1000
    return _text(f"""
        **Training loss of LINA's published runs against samples seen** (arXiv:2601.22630, training logs): the mean of
        every 5,000 steps, with a band of one standard error of that mean over the values logged in them, not over
        seeds. Whole runs, and the same from {human(LATE_SAMPLES)} samples on, where the designs can be told apart;
        softmax diverged and is in the panel of the whole run alone. Runs end at different steps ({ends.min():,} to
        {ends.max():,}). The designs' curves rise and fall together (correlation of their changes from window to
        window at least {together}), so the bands overstate the noise of a difference between two
        curves; what another seed would give is not known. {confounds(losses)}
    """)


def context(fid: pd.DataFrame, losses: pd.DataFrame) -> str:
    rows = with_reasons(fid)
    reasons = rows.dropna(subset=["left_out"]).groupby("left_out", sort=False)["variant"]
    left_out = "; ".join(f"{', '.join(dict.fromkeys(names))}: {reason}" for reason, names in reasons)
    return _text(f"""
        **Published ImageNet FID against parameters.** Context, not a comparison: each value is its source's own.
        What differs beside the model: training length (DiT 400k steps of batch 256, which are 102M samples; MAR 800
        epochs; VAR 200 to 350 epochs, more for larger models; LINA 200k or 250k steps, its final model 1.2 million, by
        its repository; LlamaGen's is not stated) and learning rate; guidance, which MAR tuned for every size (2.9, 3.0,
        3.2) and others set once or do not state; resolution (LlamaGen's 24 x 24 tokens stand for a larger image than
        its 16 x 16). VAR's FIDs have one source, the README of its repository. {confounds(losses)}
        Left out: {left_out}. {SOURCE}
    """)


def beside(own: Own, losses: pd.DataFrame) -> str:
    missing = own.table[own.table[own.metric.column].isna()]
    states = ", ".join(f"{count} {state}" for state, count in missing["state"].value_counts().sort_index().items())
    measured = own.table.dropna(subset=[own.metric.column])
    extractors = ", ".join(sorted(set(measured["extractor"])))
    counts = ", ".join(f"{int(count):,}" for count in sorted(set(measured["num_generated"])))
    of_bars = bars(own.table, own.metric)
    left_out = f"Left out: cells without a FID ({states})." if states else ""
    return _text(f"""
        **LINA's published FID, and own results of {own.name}**, in panels of their own. Published FID has Inception
        features and 50,000 samples and is of ImageNet; own FID has {extractors} features and {counts} samples and is
        of its own data: the order of designs may be read across, values may not. Own results: {of_bars}.
        {left_out} {confounds(losses)} {SOURCE}
    """)


def confounds(losses: pd.DataFrame) -> str:
    """What differs between LINA's published runs beside the design."""
    batch_of = batches(losses)
    sizes = ", ".join(f"{batch} at width {width}" for width, batch in batch_of.items())
    samples = ", ".join(human(200_000 * batch) for batch in batch_of.values())
    return (
        f"Confounds of LINA's runs: the batch was {sizes}, so that 200k steps are {samples} samples; the learning rate "
        "(8e-4) was the same at every width, not tuned by size; one seed a run."
    )


def _text(words: str) -> str:
    """One line: Markdown's paragraphs need no breaks."""
    return " ".join(words.split())
