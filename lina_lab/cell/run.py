"""The run of one cell: train, sample, evaluate, write the result. Started again, it continues."""

import logging
import math
import shutil
import threading
import time
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Literal

import torch

from lina_lab import cost
from lina_lab.cell.contents import check_contents, check_same_data
from lina_lab.cell.continuing import later_start, read_continued
from lina_lab.cell.points import forget_points, measure_points, num_measured
from lina_lab.cell.reevaluate import MeasuredCell
from lina_lab.cell.repeats import with_repeats
from lina_lab.cell.score import measure, with_sampling
from lina_lab.checkpoints.ema_weights import (
    Trained,
    keep_trained,
    lacking_points,
    load_trained,
    remedy,
    training_seconds,
    weights_digest,
)
from lina_lab.config.engine import ALONE, Group
from lina_lab.config.experiment import Experiment
from lina_lab.data.autoencoder import decoder
from lina_lab.data.datasets import Dataset, load_dataset
from lina_lab.distributed.launch import train_together
from lina_lab.errors import LabError
from lina_lab.evaluation.enough import check_batch, check_enough
from lina_lab.evaluation.evaluate import Measurement
from lina_lab.evaluation.extractors import load_extractor
from lina_lab.evaluation.features import Extractor
from lina_lab.evaluation.reference import Eye, Reference, load_also, load_reference
from lina_lab.files import write_atomic
from lina_lab.ledger.cells import read_experiment
from lina_lab.ledger.metrics import append_metrics, read_metrics, rewind_metrics
from lina_lab.ledger.result import Evaluation, Point, Result, write_result
from lina_lab.ledger.status import write_state
from lina_lab.metric_names import LOSS_SE
from lina_lab.model.execution import arithmetic, device
from lina_lab.model.lina import Lina
from lina_lab.provenance import Provenance, checkout, of_cell, provenance
from lina_lab.published.import_cell import imported_from
from lina_lab.sampling.image_set import DrawingProgress, DrawnSet, write_set
from lina_lab.sampling.request import labels_and_prompts, requests
from lina_lab.sampling.workers import draw_set, drawer
from lina_lab.training.held_out import DRAWS
from lina_lab.training.recorder import Stopped
from lina_lab.training.train import build_model, find_start, train

logger = logging.getLogger(__name__)


def run_cell(
    folder: Path, stop: threading.Event | None = None, until: int = 0, group: Group = ALONE
) -> Literal["done", "diverged", "stopped", "paused"]:
    """Bring a cell to its result, or, once `stop` is set or step `until` is done, to a checkpoint.

    The caller holds the claim. A group trains in processes of its own; this one samples and evaluates.

    Raises:
        LabError: if the cell cannot be run as it is described.
    """
    experiment = read_experiment(folder)
    group.check(experiment)
    record = replace(provenance(), group=None if group.size == 1 else group._asdict())
    if record.code and (changed := record.code.changed):
        logger.warning("what runs was loaded before these files of the package changed: %s", ", ".join(changed))
    stop = stop or threading.Event()
    dataset, extractor, reference, also = _inputs(folder, experiment)
    (folder / "samples").mkdir(parents=True, exist_ok=True)
    if record.diff_sha256 is not None:
        write_atomic(folder / "diff.patch", checkout().diff)
    try:
        trained = _trained(folder, experiment, record, dataset, stop, until, group)
        seconds = {} if math.isnan(trained.seconds) else {"training": trained.seconds}
        record = replace(record, arithmetic=arithmetic(trained.model, experiment))
        if trained.diverged_at is not None:
            _finish(folder, experiment, record, seconds, diverged_at=trained.diverged_at)
            return "diverged"

        subject = MeasuredCell(
            folder=folder,
            experiment=experiment,
            model=trained.model,
            weights=weights_digest(folder),
            dataset=dataset,
            extractor=extractor,
            reference=reference,
            also=also,
        )
        points = measure_points(folder, experiment, partial(_draw, subject, stop, group), partial(_judge, subject))
        drawn = _draw(subject, stop, group, trained.model, folder)
        measured = _measured(subject, drawn, seconds, stop, group)
    except Stopped:
        return "stopped" if stop.is_set() else "paused"
    _finish(folder, experiment, record, seconds, measured, points)
    forget_points(folder)
    shutil.rmtree(drawn.folder)
    return "done"


def _inputs(folder: Path, experiment: Experiment) -> tuple[Dataset, Extractor, Reference | None, list[Eye]]:
    """What a cell is trained on and measured with; all that can be wrong with it is told before training."""
    check_contents(experiment)
    dataset = load_dataset(experiment.data, pixels=experiment.evaluation.reference is None)
    extractor = load_extractor(experiment.evaluation.extractor)
    check_enough(experiment.data, experiment.evaluation, dataset.sizes)
    check_batch(experiment, dataset.sizes)
    reference, also = load_reference(experiment.evaluation, extractor), load_also(experiment.evaluation)
    check_contents(experiment)  # nor was anything replaced while it was read
    check_same_data(folder, dataset)
    decoder(experiment.data, torch.device("cpu"))  # an autoencoder that is not there
    return dataset, extractor, reference, also


def _trained(
    folder: Path,
    experiment: Experiment,
    record: Provenance,
    dataset: Dataset,
    stop: threading.Event,
    until: int,
    group: Group,
) -> Trained:
    """Train, unless an earlier attempt or an import has: then its weights, and its metrics without an evaluation's."""
    seconds = training_seconds(folder)
    if seconds is not None and not lacking_points(folder, experiment, experiment.training.steps):
        rewind_metrics(folder, experiment.training.steps, drop="eval/")
    elif experiment.training.imported is not None:
        raise LabError(f"{folder}: has no whole weights: {remedy(experiment)}")
    else:
        start = later_start(folder, experiment, record, find_start(folder, experiment), until)
        if group.size == 1:
            trained = train(folder, experiment, dataset, stop, until, start)
            if trained.diverged_at is None:
                keep_trained(folder, trained)
            return trained
        ended = train_together(folder, start, stop, until, group)
        if ended.diverged_at is not None:
            return Trained(build_model(experiment), ended.diverged_at, ended.seconds)
        seconds = ended.seconds
    return Trained(load_trained(folder)[1].to(device()), None, seconds)


def _finish(
    folder: Path,
    experiment: Experiment,
    record: Provenance,
    seconds: dict[str, float],
    measured: Measurement | None = None,
    points: tuple[Point, ...] = (),
    diverged_at: int | None = None,
) -> None:
    """Write the result of a cell that was measured, or that diverged at a step."""
    steps = experiment.training.steps if diverged_at is None else diverged_at
    metrics: dict[str, float] = {}
    if measured is not None:
        # Evaluations that are there already are those of points.
        trained = {row.metric: row.value for row in read_metrics(folder) if not row.metric.startswith("eval/")}
        metrics = trained | measured.metrics
        append_metrics(folder, steps, measured.metrics)
    result = Result(
        key=folder.resolve().name,
        name=experiment.name,
        seed=experiment.seed,
        parameters=cost.parameters(experiment.model, experiment.data.shape).as_dict(),
        flops={"training": cost.training_flops(experiment), "sampling": cost.sampling_flops(experiment)},
        steps=steps,
        samples_seen=steps * experiment.training.batch_size,
        ema_share=None if experiment.training.imported else experiment.training.ema_share,
        imported=imported_from(folder),
        continued=read_continued(folder),
        seconds=seconds,
        state="done" if diverged_at is None else "diverged",
        diverged_at=diverged_at,
        metrics=metrics,
        evaluation=_recorded(measured, experiment, metrics) if measured else None,
        points=points,
        provenance=of_cell(record),
    )
    write_result(folder, result)
    write_state(folder, step=steps, steps=experiment.training.steps)


def _recorded(measured: Measurement, experiment: Experiment, metrics: Mapping[str, float]) -> Evaluation:
    """What the metrics were measured with. A loss without standard error is of a training by an older version."""
    draws = DRAWS if LOSS_SE in metrics else None
    return replace(with_sampling(measured.evaluation, experiment.sampling), loss_draws=draws)


def _draw(subject: MeasuredCell, stop: threading.Event, group: Group, model: Lina, weights: Path) -> DrawnSet:
    """The images that are evaluated, of a model with the weights in a folder, by a process on each GPU of this node."""
    folder, experiment = subject.folder, subject.experiment
    name, steps = f"drawn-{weights_digest(folder, weights)[:12]}", experiment.training.steps
    drawn = DrawnSet(folder / "samples" / name, experiment.evaluation.num_samples)

    started, asked, before, whole = time.monotonic(), 0, num_measured(folder), 1 + len(experiment.evaluation.at)

    def check() -> None:
        nonlocal asked
        asked += 1
        if stop.is_set():
            raise Stopped

    def tell(at: DrawingProgress) -> None:
        each = (time.monotonic() - started) / max(1, asked)
        images, num_images = before * at.num_images + at.images, whole * at.num_images
        left = at.seconds_left and at.seconds_left * (num_images - images) / max(1, at.num_images - at.images)
        told = {"images": images, "num_images": num_images, "share": images / num_images, "seconds_left": left}
        write_state(folder, phase="sampling", step=steps, steps=steps, step_seconds=each, **told)

    def decoding() -> None:
        if experiment.data.autoencoder is not None:
            write_state(folder, phase="decoding", step=steps, steps=steps)

    write_state(folder, phase="sampling", step=steps, steps=steps)
    draw = drawer(experiment, model, subject.dataset, check, decoding)
    draw_set(folder, {}, drawn, draw, tell, group.devices, weights=weights)
    return drawn


def _judge(subject: MeasuredCell, drawn: DrawnSet) -> Measurement:
    """Every metric of the images that were drawn."""
    steps = subject.experiment.training.steps
    write_state(subject.folder, phase="evaluating", step=steps, steps=steps)
    request, _ = requests(subject.experiment, subject.dataset)
    seed, reference = subject.experiment.seed, subject.reference
    return measure(drawn.chunks(), request, subject.dataset, subject.extractor, seed, reference, subject.also)


def _measured(
    subject: MeasuredCell, drawn: DrawnSet, seconds: dict[str, float], stop: threading.Event, group: Group
) -> Measurement:
    """The images at the end of training judged and kept, and those that the cell is measured by besides."""
    request, _ = requests(subject.experiment, subject.dataset)
    write_set(drawn, subject.folder / "samples" / "generated.npz", labels_and_prompts(request))
    seconds["sampling"] = drawn.seconds()
    started = time.monotonic()
    found = _judge(subject, drawn)
    seconds["evaluation"] = time.monotonic() - started
    return with_repeats(subject, found, seconds, stop, group.devices)
