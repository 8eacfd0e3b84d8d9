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
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from lina_lab import cost
from lina_lab.analysis.guidance import FILE, OPTIONAL, GuidancePoint, read_points, root_mean_square
from lina_lab.analysis.rows import COMPARABLE, measured_with
from lina_lab.analysis.table import extractor_name
from lina_lab.config.experiment import Experiment
from lina_lab.config.load import with_sections
from lina_lab.errors import LabError
from lina_lab.ledger.cells import read_experiment
from lina_lab.ledger.plan import PlannedCell
from lina_lab.ledger.result import Evaluation, read_result
from lina_lab.metric_names import FID, FID_SD

DESIGN = ("normalization", "conv_kernel", "kv_gate")
"""Axis values of a cell's decoder, where the whole grid is."""
COLUMNS = (
    *("key", "source", "size", "training_seed", *DESIGN),
    *("seed", "num_samples", "weights", "weights_sha256", *COMPARABLE, "flops_sampling", "seconds", "fid_sd"),
)
"""Before the metrics, which are named as in a results table. Digests are the first 12 digits."""
DIGITS = 12
GENEVAL = "eval/geneval/"
MEASURED_BY = {"evaluate": "lab evaluate", "guidance": "lab guidance", "geneval": "GenEval"}

logger = logging.getLogger(__name__)


def evaluations_of_study(runs: Path, table: pd.DataFrame) -> pd.DataFrame:
    """The evaluations of the cells of a results table; empty if they are the results alone.

    A cell with a damaged file is left out with a warning.
    """
    folders = [runs / key for key in table["key"]]
    has_geneval = any(str(name).startswith(GENEVAL) for name in table)
    if not has_geneval and not any((folder / FILE).exists() or _files(folder) for folder in folders):
        return pd.DataFrame()
    rows: list[dict[str, Any]] = []
    for folder in folders:
        try:
            rows += list(_measurements(folder))
        except LabError as error:
            logger.warning("evaluations left out: %s", error)
    return _table(rows) if any(row["source"] != "result" for row in rows) else pd.DataFrame()


def evaluations_table(folders: Iterable[Path]) -> pd.DataFrame:
    """One row a measurement of the cells in these folders: `COLUMNS`, then the metrics.

    Raises:
        LabError: naming the file that is damaged.
    """
    return _table([row for folder in folders for row in _measurements(folder)])


def _files(folder: Path) -> list[Path]:
    """What `lab evaluate` has written of a cell."""
    return sorted((folder / "evaluations").glob("*.json"))


def _table(rows: list[dict[str, Any]]) -> pd.DataFrame:
    metrics = dict.fromkeys(name for row in rows for name in row if name not in COLUMNS)
    return pd.DataFrame(rows, columns=[*COLUMNS, *metrics])


def _measurements(folder: Path) -> Iterator[dict[str, Any]]:
    """All rows of a cell; none if it has no measurement."""
    files, points, has_result = _files(folder), read_points(folder / FILE), (folder / "result.json").exists()
    if not (files or points or has_result):
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
    if has_result:
        yield from (cell | row for row in _of_result(folder))
    scanned = [_of_point(point, experiment) for point in points]
    evaluated = filter(None, (_of_file(path, experiment) for path in files))
    # Every point of a scan was measured as `lab evaluate` does, and is kept among its files, too.
    known = [_identity(row) for row in scanned]
    for row in (*(row for row in evaluated if _identity(row) not in known), *scanned):
        yield cell | row


def _identity(row: Mapping[str, Any]) -> list[Any]:
    names = (*COMPARABLE[COMPARABLE.index("autoregressive_steps") :], "extractor", "reference_sha256", "seed")
    return [row[name] for name in (*names, "num_samples", FID + extractor_name(row["extractor"]))]


def _of_result(folder: Path) -> Iterator[dict[str, Any]]:
    result = read_result(folder)
    evaluation, metrics = result.evaluation, result.metrics
    if evaluation and evaluation.extractor:
        measured = {name: v for name, v in metrics.items() if name.startswith("eval/") and not name.startswith(GENEVAL)}
        name = extractor_name(evaluation.extractor)
        sds = (metrics.get(sd + name) for sd in (FID_SD, "eval/fid_halves_sd/"))
        yield {
            "source": "result",
            "seed": result.seed,
            "num_samples": evaluation.num_generated,
            **_measured_with(evaluation),
            "flops_sampling": result.flops.get("sampling"),
            "seconds": _sampling_seconds(result.seconds),
            "fid_sd": next((sd for sd in sds if sd is not None), None),
            **measured,
        }
    if record := result.others.get("geneval"):
        drawn = {"sampling_precision" if name == "precision" else name: v for name, v in record["sampling"].items()}
        yield {
            "source": "geneval",
            "seed": record["seed"],
            "num_samples": record["each"] * record["num_prompts"],
            **_measured_with(Evaluation.from_json(drawn)),
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
            **_measured_with(Evaluation.from_json(kept["evaluation"])),
            "flops_sampling": cost.sampling_flops(with_sections(experiment, {"sampling": settings["sampling"]})),
            "seconds": _sampling_seconds(kept["seconds"]),
            "fid_sd": root_mean_square(deviations) if deviations else None,
            **kept["metrics"],
        }
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise LabError(f"{path}: damaged: {error}; delete it, and lab evaluate measures it again") from error


def _of_point(point: GuidancePoint, experiment: Experiment) -> dict[str, Any]:
    name = extractor_name(point.extractor)
    metrics = {metric: getattr(point, metric) for metric in ("fid", *OPTIONAL)}
    drawn = {field: getattr(point, field) for field in GuidancePoint._fields if field in COMPARABLE}
    return {
        "source": "guidance",
        "seed": point.seed,
        "num_samples": point.num_samples,
        "weights_sha256": point.weights,
        **_measured_with(
            Evaluation(
                **drawn,
                flow_steps_last=experiment.sampling.flow_steps_last,
                num_generated=point.num_samples,
                reference_sha256=None if point.reference == "held-out" else point.reference,
            )
        ),
        "flops_sampling": point.flops,
        "seconds": point.seconds,
        "fid_sd": point.fid_sd,
        **{f"eval/{metric}/{name}": value for metric, value in metrics.items() if value is not None},
    }


def _measured_with(evaluation: Evaluation) -> dict[str, object]:
    digest = evaluation.reference_sha256
    return measured_with(evaluation) | {"reference_sha256": digest and digest[:DIGITS]}


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


def readable_evaluations(table: pd.DataFrame, cells: Mapping[str, PlannedCell]) -> pd.DataFrame:
    """All measurements but the results as text: which cell, how it was sampled, and what came out."""
    rows = table[table["source"] != "result"].to_dict("records")
    shown = pd.DataFrame([_readable(row, cells[row["key"]]) for row in rows])
    return shown.loc[:, (shown != "").any()]


def _readable(row: Mapping[Any, Any], cell: PlannedCell) -> dict[str, str]:
    def text(name: str) -> str:
        value = row.get(name)
        return "" if value is None or pd.isna(value) else f"{value:.4g}"

    fid = "" if pd.isna(row["extractor"]) else text(FID + extractor_name(row["extractor"]))
    noise = f" ± {row['fid_sd']:.2g}" if fid and not pd.isna(row["fid_sd"]) else ""
    return {
        "cell": f"{cell.label}, seed {cell.seed}",
        "measured by": MEASURED_BY[row["source"]],
        "guidance": text("guidance_scale"),
        "autoregressive steps": text("autoregressive_steps"),
        "flow steps": text("flow_steps"),
        "samples": f"{int(row['num_samples']):,}",
        "seed": str(row["seed"]),
        "FID": f"{fid}{noise}",
        "GenEval": text(f"{GENEVAL}overall"),
    }
