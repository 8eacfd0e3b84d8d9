"""Rows of the evaluations table that are points of a curve: FID of one cell, sampled in several ways."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd

from lina_lab.analysis.evaluations import evaluations_table
from lina_lab.analysis.guidance import FILE, OPTIONAL
from lina_lab.analysis.table import extractor_name
from lina_lab.errors import LabError

SCANNED = ("evaluate", "guidance")
"""Sources whose rows can be points: they sample one cell in several ways."""


class FidPoint(NamedTuple):
    """A row with a FID: how the images were drawn, what they were measured with, and the result; missing is None."""

    source: str
    guidance_scale: float
    autoregressive_steps: int
    flow_steps: int
    flow_steps_last: int | None
    """Of the last step; None if they do not change."""
    guidance_min: float
    sampling_precision: str
    seed: int
    num_samples: int
    extractor: str
    reference: str
    weights: str
    flops: float
    """To sample one image."""
    fid: float
    fid_sd: float | None
    fid_jackknife: float | None
    kid: float | None
    precision: float | None
    recall: float | None
    seconds: float


def scans_table(folders: Sequence[Path]) -> pd.DataFrame:
    """The evaluations of cells that were all sampled in several ways.

    Raises:
        LabError: if one was not, or a file is damaged.
    """
    tables = [evaluations_table([folder]) for folder in folders]
    for folder, table in zip(folders, tables, strict=True):
        if not fid_points(table):
            raise LabError(f"{folder / FILE}: no points yet; lab guidance {folder.name} measures some")
    return pd.concat(tables, ignore_index=True)


def fid_points(rows: pd.DataFrame) -> list[FidPoint]:
    """The rows of `SCANNED` sources that have a FID, guidance points first."""
    records = [row for row in rows.to_dict("records") if row["source"] in SCANNED]
    points = [_fid_point(row) for row in sorted(records, key=lambda row: row["source"] != "guidance")]
    return [point for point in points if point is not None]


def _fid_point(row: Mapping[Any, Any]) -> FidPoint | None:
    name = extractor_name(str(row["extractor"]))
    values = {metric: row.get(f"eval/{metric}/{name}") for metric in ("fid", *OPTIONAL)} | {"fid_sd": row["fid_sd"]}
    known = {metric: None if pd.isna(value) else float(value) for metric, value in values.items()}
    fid = known.pop("fid")
    if fid is None:
        return None
    flow_steps, last = int(row["flow_steps"]), row["flow_steps_last"]
    return FidPoint(
        source=row["source"],
        guidance_scale=float(row["guidance_scale"]),
        autoregressive_steps=int(row["autoregressive_steps"]),
        flow_steps=flow_steps,
        flow_steps_last=None if pd.isna(last) or last == flow_steps else int(last),
        guidance_min=float(row["guidance_min"]),
        sampling_precision=row["sampling_precision"],
        seed=int(row["seed"]),
        num_samples=int(row["num_samples"]),
        extractor=row["extractor"],
        reference="held-out" if pd.isna(row["reference_sha256"]) else str(row["reference_sha256"]),
        weights="" if pd.isna(row["weights_sha256"]) else str(row["weights_sha256"]),
        flops=float(row["flops_sampling"]),
        fid=fid,
        seconds=float(row["seconds"]),
        **known,
    )
