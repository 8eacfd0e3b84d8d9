"""result.json, which finishes a cell: a cell is done exactly when it has a valid one."""

import json
import logging
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from lina_lab.config.experiment import SCHEMA, digest
from lina_lab.errors import LabError
from lina_lab.files import write_atomic
from lina_lab.ledger.metrics import append_metrics, rewind_metrics
from lina_lab.provenance import Provenance
from lina_lab.record import Record

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class RepeatedImages(Record):
    """Held-out images that training has too, pixel for pixel."""

    images: int
    of: int
    """Held-out images."""
    example: Sequence[str] | None
    """The names of a held-out image and of one in training that is the same."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BestGuidance(Record):
    """How the best guidance scale of a cell was found and measured."""

    searched: Sequence[float]
    """Scales, in the order in which the search measured them."""
    seed: int
    """Of the images of the search."""
    generation_seeds: Sequence[int]
    """Of the images by which the scale that it found was measured: none of the search."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Evaluation(Record):
    """What the metrics of a cell were measured with: without it a number means nothing. Older ones know less."""

    extractor: str | None = None
    also: Sequence[str] | None = None
    """Ids of the further extractors."""
    torch_fidelity: str | None = None
    num_generated: int | None = None
    num_reference: int | None = None
    num_reference_train: int | None = None
    data_sha256: str | None = None
    reference_sha256: str | None = None
    labels: str | None = None
    classes_not_drawn: Sequence[int] | None = None
    class_chance: float | None = None
    """Class accuracy of a model that always draws the class that was asked for most often."""
    reference_variance: float | None = None
    """Trace of the covariance of the reference's features: the FID of drawing their mean again and again."""
    heldout_in_training: RepeatedImages | None = None
    eight_bit_rule: str | None = None
    composition: Mapping[str, Any] | None = None
    """How often the detector is right, and how many pictures there were: see `composition`."""
    generation_seeds: Sequence[int] | None = None
    """Of the images at the cell's own guidance, its own seed first; None: that one alone."""
    best_guidance: BestGuidance | None = None
    autoregressive_steps: int | None = None
    flow_steps: int | None = None
    flow_steps_last: int | None = None
    guidance_scale: float | None = None
    guidance_min: float | None = None
    sampling_precision: str | None = None
    """A bare `precision` is a metric."""
    weights: str | None = None
    loss_draws: str | None = None
    """Masks, noises and times of the held-out loss; None: those of the training seed, as older ones had."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Imported(Record):
    """Where the weights of a cell come from that was not trained here."""

    source: str
    sha256: str
    files: Mapping[str, str]
    """SHA-256 by name."""
    as_stated: Sequence[str]
    """Parts of the result that the experiment states and nobody measured."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Point(Record):
    """The averaged weights at a step before the last, measured as the last ones are: with the same draws."""

    at: float
    """Its share of the steps, above 0 and below 1, as the experiment has it."""
    step: int
    samples_seen: int
    flops: Mapping[str, float]
    """`training`, up to there."""
    seconds: Mapping[str, float]
    """`training` up to there, `sampling` and `evaluation`."""
    metrics: Mapping[str, float]
    weights_sha256: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Continued(Record):
    """Where a training went on from: a shorter one that was the same up to there."""

    cell: str
    step: int
    seconds: float
    """Of training up to that step, spent in the earlier cell and in those that it went on from."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Result(Record):
    """What is known of a cell that has ended. The records of later measurements, as `geneval`, are in `others`."""

    key: str
    name: str
    seed: int
    parameters: Mapping[str, int]
    """`total`, `trainable`, `frozen`, and of every part of the model."""
    flops: Mapping[str, float]
    """`training`, of all of it; `sampling`, of one image, which older results lack."""
    steps: int
    samples_seen: int
    ema_share: float | None
    """None of imported weights; older results lack it."""
    imported: Imported | None = None
    continued: Continued | None = None
    """None of a training from the start. FLOPs, samples seen and seconds are of the whole training all the same."""
    seconds: Mapping[str, float]
    """`training`, `sampling`, `evaluation` and `repeats`, as far as the cell came."""
    state: Literal["done", "diverged"]
    diverged_at: int | None = None
    """The first step whose loss was not finite."""
    metrics: Mapping[str, float] = field(default_factory=dict)
    evaluation: Evaluation | None = None
    points: tuple[Point, ...] = ()
    """Before the end, in the order of their steps; measured as `evaluation` says."""
    provenance: Provenance
    schema: int = SCHEMA


def write_result(folder: Path, result: Result) -> None:
    """Finish a cell. Values that are not finite are left out of `metrics`: what is missing is missing."""
    points = tuple(replace(point, metrics=_finite(point.metrics)) for point in result.points)
    body = replace(result, metrics=_finite(result.metrics), points=points).as_json() | {"schema": SCHEMA}
    body = json.loads(json.dumps(body, allow_nan=False))
    write_atomic(folder / "result.json", json.dumps(body | {"sha256": digest(body)}, indent=1))


def _finite(metrics: Mapping[str, float]) -> dict[str, float]:
    return {name: value for name, value in metrics.items() if math.isfinite(value)}


def add_to_result(folder: Path, prefix: str, metrics: Mapping[str, float], record: Mapping[str, Any]) -> None:
    """Give a finished cell metrics whose names begin with `prefix/`, instead of those that it had, and their record.

    Raises:
        LabError: if the cell has no result, or diverged.
    """
    result = read_result(folder)
    if result.state != "done":
        raise LabError(f"{folder}: {result.state}: only a finished cell can have {prefix}")
    rewind_metrics(folder, result.steps, drop=f"{prefix}/")
    append_metrics(folder, result.steps, metrics)
    kept = {name: value for name, value in result.metrics.items() if not name.startswith(f"{prefix}/")}
    others = {**result.others, prefix.rpartition("/")[2]: dict(record)}
    write_result(folder, replace(result, metrics=kept | dict(metrics), others=others))


def read_result(folder: Path) -> Result:
    """The result of a cell.

    Raises:
        LabError: if there is none, or it is damaged or of another version.
    """
    path = folder / "result.json"
    try:
        return parse_result(path.read_text(encoding="utf-8"), path)
    except FileNotFoundError as error:
        raise LabError(f"{path}: no such file: the cell is not finished") from error
    except (OSError, UnicodeDecodeError) as error:
        raise LabError(f"{path}: damaged: {error}; delete it, and the cell will finish again") from error


def parse_result(text: str, path: Path) -> Result:
    """The result that a text holds; `path` is named in errors.

    Raises:
        LabError: if it is damaged or of another version.
    """
    try:
        body = json.loads(text)
        checksum = body.pop("sha256", None)
        if body.get("schema") != SCHEMA:
            raise LabError(f"{path}: key schema: this version reads schema {SCHEMA}, not {body.get('schema')}")
        if checksum != digest(body):
            raise LabError(f"{path}: damaged: its checksum is wrong; delete it, and the cell will finish again")
        return Result.from_json(body)
    except (ValueError, TypeError, AttributeError) as error:
        raise LabError(f"{path}: damaged: {error}; delete it, and the cell will finish again") from error


def is_done(folder: Path) -> bool:
    """Whether the cell has a valid result. A damaged one is set aside as result.json.damaged, not lost."""
    try:
        read_result(folder)
    except LabError as error:
        if (folder / "result.json").exists():
            logger.warning("set aside as result.json.damaged: %s", error)
            (folder / "result.json").replace(folder / "result.json.damaged")
        return False
    return True
