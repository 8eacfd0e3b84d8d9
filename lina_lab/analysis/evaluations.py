"""Every measurement of trained cells as rows of one table, wherever it is kept.

source     kept in                      measured by
result     result.json                  the cell itself, when it ended
evaluate   evaluations/*.json           lab evaluate
guidance   guidance.csv                 lab guidance, a row a point
geneval    result.json, eval/geneval/   the official evaluator; lab geneval import
"""

import json
import logging
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd

from lina_lab import cost
from lina_lab.analysis.guidance import FILE, GuidancePoint, read_points, root_mean_square
from lina_lab.analysis.table import COMPARABLE, OLDER
from lina_lab.config.experiment import Experiment
from lina_lab.config.load import with_sections
from lina_lab.config.settings import FEATURES
from lina_lab.errors import LabError
from lina_lab.ledger.cells import read_experiment
from lina_lab.ledger.result import read_result

DESIGN = ("normalization", "conv_kernel", "kv_gate")
"""Axis values of a cell's decoder, where the whole grid is."""
COLUMNS = (
    *("key", "source", "size", "training_seed", *DESIGN),
    *("seed", "num_samples", "weights", "weights_sha256", *COMPARABLE, "flops_sampling", "seconds", "fid_sd"),
)
"""Before the metrics, which are named as in a results table. Digests are the first 12 digits."""
DIGITS = 12
GENEVAL = "eval/geneval/"
SCANNED = ("evaluate", "guidance")
"""Sources whose rows can be points of a curve: they sample one cell in several ways."""
OPTIONAL = ("fid_sd", "fid_jackknife", "kid", "precision", "recall")

log = logging.getLogger(__name__)


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


def evaluations_table(folders: Iterable[Path], *, skip_damaged: bool = False) -> pd.DataFrame:
    """One row a measurement of the cells in these folders: `COLUMNS`, then the metrics.

    Raises:
        LabError: naming the file that is damaged, unless such cells are skipped with a warning.
    """
    rows: list[dict[str, Any]] = []
    for folder in folders:
        try:
            rows += _measurements(folder)
        except LabError as error:
            if not skip_damaged:
                raise
            log.warning("evaluations left out: %s", error)
    metrics = dict.fromkeys(name for row in rows for name in row if name not in COLUMNS)
    return pd.DataFrame(rows, columns=[*COLUMNS, *metrics])


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
    found = [_fid_point(row) for row in sorted(records, key=lambda row: row["source"] != "guidance")]
    return [point for point in found if point is not None]


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


def _measurements(folder: Path) -> Iterator[dict[str, Any]]:
    """All rows of a cell; none if it has no measurement."""
    points, kept = read_points(folder / FILE), sorted((folder / "evaluations").glob("*.json"))
    has_result = (folder / "result.json").exists()
    if not (points or kept or has_result):
        return
    experiment = read_experiment(folder)
    cell = {
        "key": folder.resolve().name,
        "size": str(experiment.model.size),
        "training_seed": experiment.seed,
        **{name: getattr(experiment.model.decoder, name) for name in DESIGN},
        "weights": "ema",
        "weights_sha256": _weights_sha256(folder),
    }
    for row in _of_result(folder) if has_result else ():
        yield cell | row
    rows = [_of_point(point, experiment) for point in points]
    # Every point of a scan was measured as `lab evaluate` does, and is kept among its files, too.
    scanned = [_identity(row) for row in rows]
    for path in kept:
        row = _of_file(path, experiment)
        if row is not None and _identity(row) not in scanned:
            yield cell | row
    for row in rows:
        yield cell | row


def _identity(row: Mapping[str, Any]) -> list[Any]:
    names = (*COMPARABLE[COMPARABLE.index("autoregressive_steps") :], "extractor", "reference_sha256", "seed")
    return [row[name] for name in (*names, "num_samples", f"eval/fid/{extractor_name(row['extractor'])}")]


def _of_result(folder: Path) -> Iterator[dict[str, Any]]:
    result = read_result(folder)
    evaluation, metrics = result.get("evaluation"), result.get("metrics", {})
    if evaluation:
        measured = {name: v for name, v in metrics.items() if name.startswith("eval/") and not name.startswith(GENEVAL)}
        name = extractor_name(evaluation["extractor"])
        sds = (metrics.get(f"eval/{sd}/{name}") for sd in ("fid_bootstrap_sd", "fid_halves_sd"))
        yield {
            "source": "result",
            "seed": result["seed"],
            "num_samples": evaluation.get("num_generated"),
            **_measured_with(evaluation),
            "flops_sampling": result["flops"].get("sampling"),
            "seconds": _sampling_seconds(result["seconds"]),
            "fid_sd": next((sd for sd in sds if sd is not None), None),
            **measured,
        }
    if "geneval" in result:
        record = result["geneval"]
        sampling = dict(record["sampling"])
        sampling["sampling_precision"] = sampling.pop("precision", None)
        yield {
            "source": "geneval",
            "seed": record["seed"],
            "num_samples": record["each"] * record["num_prompts"],
            **_measured_with({"extractor": None, **sampling}),
            **{name: value for name, value in metrics.items() if name.startswith(GENEVAL)},
        }


def _of_file(path: Path, experiment: Experiment) -> dict[str, Any] | None:
    """The row of a file of `lab evaluate`; None if its images were not finite, so that it has no metrics.

    Raises:
        LabError: if the file is damaged.
    """
    try:
        kept = json.loads(path.read_text(encoding="utf-8"))
        if "metrics" not in kept:
            return None
        settings = kept["settings"]
        deviations = kept["fid_deviations"]
        return {
            "source": "evaluate",
            "seed": settings["seed"],
            "num_samples": settings["evaluation"]["num_samples"],
            **_measured_with(kept["evaluation"]),
            "flops_sampling": cost.sampling_flops(with_sections(experiment, {"sampling": settings["sampling"]})),
            "seconds": _sampling_seconds(kept["seconds"]),
            "fid_sd": root_mean_square(deviations) if deviations else None,
            **kept["metrics"],
        }
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise LabError(f"{path}: damaged: {error}; delete it, and lab evaluate measures it again") from error


def _of_point(point: GuidancePoint, experiment: Experiment) -> dict[str, Any]:
    name = extractor_name(point.extractor)
    metrics = {metric: getattr(point, metric) for metric in ("fid", "fid_jackknife", "kid", "precision", "recall")}
    drawn = {field: getattr(point, field) for field in GuidancePoint._fields if field in COMPARABLE}
    return {
        "source": "guidance",
        "seed": point.seed,
        "num_samples": point.num_samples,
        "weights_sha256": point.weights,
        **_measured_with({
            **drawn,
            "flow_steps_last": experiment.sampling.flow_steps_last,
            "num_generated": point.num_samples,
            "reference_sha256": None if point.reference == "held-out" else point.reference,
        }),
        "flops_sampling": point.flops,
        "seconds": point.seconds,
        "fid_sd": point.fid_sd,
        **{f"eval/{metric}/{name}": value for metric, value in metrics.items() if value is not None},
    }  # fmt: skip


def _measured_with(evaluation: Mapping[str, Any]) -> dict[str, Any]:
    """`COMPARABLE`; Euler steps that do not change end as they begin."""
    known = OLDER | {name: value for name, value in evaluation.items() if value is not None}
    last, digest = known.get("flow_steps_last", known.get("flow_steps")), known.get("reference_sha256")
    own = {"flow_steps_last": last, "reference_sha256": digest and digest[:DIGITS]}
    return {name: known.get(name) for name in COMPARABLE} | own


def _sampling_seconds(seconds: Mapping[str, float]) -> float:
    """Of drawing, summed over processes, and measuring."""
    return math.fsum(seconds.get(phase, 0.0) for phase in ("sampling", "evaluation"))


def _weights_sha256(folder: Path) -> str | None:
    """Of the averaged weights, as far as the cell says."""
    try:
        record = json.loads((folder / "trained.json").read_text(encoding="utf-8"))
        return str(record["sha256"])[:DIGITS]
    except (OSError, ValueError, KeyError, TypeError):
        return None


def extractor_name(identity: str) -> str:
    """The config name of an extractor, by which its metrics are named, from its id, which has its weights' digest."""
    return next((name for name in FEATURES if identity.startswith(f"{name}-")), identity.rpartition("-")[0])


def more_than_results(table: pd.DataFrame) -> bool:
    return bool((table["source"] != "result").any())
