"""A longer training goes on from the kept end of a shorter one, to the bits of an uninterrupted one."""

import json
import logging
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from lina_lab.config.experiment import Experiment, goes_on_from, training_key
from lina_lab.config.settings import LoggingConfig
from lina_lab.files import write_atomic
from lina_lab.ledger.ends import END, End, ends
from lina_lab.ledger.metrics import Metric, read_metrics, write_metrics
from lina_lab.ledger.result import Continued
from lina_lab.ledger.status import write_state
from lina_lab.model.execution import arithmetic, device
from lina_lab.provenance import Arithmetic, Provenance
from lina_lab.training.recorder import newest_checkpoint
from lina_lab.training.train import Start, build_model

logger = logging.getLogger(__name__)

RECORD = "continued.json"
ROOMS = ("design", "kernels", "model", "data", "training", "distributed")
"""Folders of the package that decide the bits of a training."""


def later_start(folder: Path, experiment: Experiment, record: Provenance, start: Start, until: int = 0) -> Start:
    """The end of the longest shorter training that leads further than a cell's own start; without one, that start.

    It never leads past step `until`, at which the cell pauses. Only one process of a group calls this: it writes the
    metrics up to there, and where they come from.
    """
    steps = experiment.training.steps
    for end in ends(folder.parent, training_key(experiment)):
        further = start.step < end.step < (until or steps) and goes_on_from(experiment, end.step)
        if further and (found := _usable(folder, experiment, record, end)) is not None:
            write_metrics(folder, rows_until(end, experiment.logging))
            continued = Continued(cell=end.folder.name, step=end.step, seconds=end.seconds)
            write_atomic(folder / RECORD, json.dumps(continued.as_json()))
            write_state(folder, phase="starting", step=end.step, steps=steps)
            logger.info("goes on from %s, step %d", end.folder.name, end.step)
            return found
    if start.checkpoint is None:
        (folder / RECORD).unlink(missing_ok=True)  # of an attempt whose checkpoints are all lost
    return start


def read_continued(folder: Path) -> Continued | None:
    """Where the training of a cell went on from; None of one from the start."""
    path = folder / RECORD
    return Continued.from_json(json.loads(path.read_text(encoding="utf-8"))) if path.exists() else None


def rows_until(end: End, logging: LoggingConfig) -> Iterator[Metric]:
    """What an uninterrupted training would have written up to the end of a shorter one, which adds rows at its end.

    But for the held-out loss of that very step, which has more draws: it was the last of the shorter one.
    """
    rhythms = {"train/": logging.every, "val/": logging.validate_every}
    for row in read_metrics(end.folder):
        every = next((every for start, every in rhythms.items() if row.metric.startswith(start)), None)
        if every is not None and (row.step < end.step or (row.step == end.step and row.step % every == 0)):
            yield row


def _usable(folder: Path, experiment: Experiment, record: Provenance, end: End) -> Start | None:
    """The whole end state of a cell that was trained as this one would be; what speaks against it goes to the log."""
    why = _unlike(folder, experiment, record, end)
    if not why:
        found = newest_checkpoint(end.folder, END)
        if found is not None and found[1] == end.step:
            return Start(*found)
        why = "its end state is missing or damaged"
    logger.warning("does not go on from %s, step %d: %s", end.folder.name, end.step, why)
    return None


def _unlike(folder: Path, experiment: Experiment, record: Provenance, end: End) -> str:
    """Why the bits of a shorter training are not those of this one; '' if they are, as far as records tell."""
    before = end.result.provenance
    ours, theirs = (found.code.rooms if found.code else {} for found in (record, before))
    changed = [room for room in ROOMS if ours.get(room) != theirs.get(room)]
    torches = [found.versions.get("torch") for found in (before, record)]
    data = [path.read_bytes() if path.exists() else b"" for path in (f / "data.sha256" for f in (end.folder, folder))]
    here = _training_only(arithmetic(build_model(experiment).to(device()), experiment))
    reasons = {
        f"it ran other code: files under {', '.join(changed)} differ": bool(changed),
        f"it ran on torch {torches[0]}, and this is {torches[1]}": torches[0] != torches[1],
        "it was trained by another group of processes": before.group != record.group,
        "its data have changed": data[0] != data[1],
        "it was computed in other arithmetic": before.arithmetic is None or _training_only(before.arithmetic) != here,
    }
    return "; ".join(reason for reason, holds in reasons.items() if holds)


def _training_only(arithmetic: Arithmetic) -> Arithmetic:
    training = {use: backend for use, backend in arithmetic.sdpa.items() if use == "training"}
    return replace(arithmetic, sdpa=training, keys=None)
