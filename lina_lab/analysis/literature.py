"""Published values: ImageNet FID of image generators against size, and training losses of LINA.

The CSV files beside this one hold facts with their source; what a source does not state is empty.
"""

from pathlib import Path

import pandas as pd

from lina_lab.analysis.table_file import read_table
from lina_lab.config.sweep import Scalar

FOLDER = Path(__file__).parent / "published"
DESIGNS: dict[str, dict[str, Scalar]] = {
    "division": {"normalization": "division", "conv_kernel": 0},
    "subtraction": {"normalization": "subtraction", "conv_kernel": 0},
    "division+conv": {"normalization": "division", "conv_kernel": 5},
    "subtraction+conv": {"normalization": "subtraction", "conv_kernel": 5},
}
"""LINA's four published designs by the names of the files, as values of our axes."""
SOFTMAX: dict[str, Scalar] = {"normalization": "softmax", "conv_kernel": 0}
LINA: dict[str, Scalar] = {"normalization": "division", "conv_kernel": 5, "kv_gate": "key_value"}
"""The design that its authors call LINA (variant kvscale1)."""
TAIL = 10
"""Windows at the start of a run that `moving_together` skips: there the loss falls steeply in every design."""
NO_GUIDANCE = "none"
NO_PARAMETERS = "its source states no number of parameters"
NO_FID = "its source states no FID"


def published_fid() -> pd.DataFrame:
    """ImageNet FID (Inception, 50,000 samples) with params, steps, cfg, source, and the curve of a figure."""
    return read_table(FOLDER / "published_fid.csv").reset_index(drop=True).rename(columns={"cfg": "guidance"})


def published_losses() -> pd.DataFrame:
    """Training loss of LINA's runs: means of windows of 5,000 steps and their standard errors, one seed a run."""
    return read_table(FOLDER / "lina_train_loss.csv").reset_index(drop=True)


def with_reasons(fid: pd.DataFrame) -> pd.DataFrame:
    """The rows with `left_out` completed: why a row is on no curve; missing for rows that are."""
    reason = fid["left_out"].where(fid["params"].notna() | fid["left_out"].notna(), NO_PARAMETERS)
    return fid.assign(left_out=reason.where(fid["fid"].notna() | reason.notna(), NO_FID))


def on_curves(fid: pd.DataFrame) -> pd.DataFrame:
    """The rows that are drawn, in the order of the file."""
    return fid[with_reasons(fid)["left_out"].isna()]


def batches(losses: pd.DataFrame) -> dict[int, int]:
    """Global batch of each width."""
    first = losses.drop_duplicates("width").sort_values("width")
    return dict(zip(first["width"].tolist(), first["global_batch"].tolist(), strict=True))


def at_equal_samples(losses: pd.DataFrame) -> pd.DataFrame:
    """The windows of LINA's four designs that end at the largest number of samples seen that all runs logged."""
    runs = losses[losses["variant"].isin(list(DESIGNS))]
    logged = [set(rows["samples"]) for _, rows in runs.groupby(["variant", "width"])]
    return runs[runs["samples"] == max(set.intersection(*logged))]


def moving_together(losses: pd.DataFrame) -> float:
    """The least correlation, over widths and pairs of LINA's designs, of the changes of loss from window to window."""
    least = 1.0
    for _, rows in losses[losses["variant"].isin(list(DESIGNS))].groupby("width"):
        changes = rows.pivot_table(index="step", columns="variant", values="loss").dropna().diff().iloc[TAIL:]
        least = min(least, float(changes.corr().min().min()))
    return least
