"""A trained cell measured in other ways than its result says: with other samples, guidance, steps or reference.

    <cell>/evaluations/<id>.json   metrics, what they were measured with, settings, seconds, provenance; or why there
                                   are none
                       <id>/       the images, while they are drawn: see sampling/image_set.py

The id is of everything that a measurement depends on, so that one that is there need not be made again. Several
machines that are asked for the same one draw its images together; one of them then measures, and the others wait.
"""

import contextlib
import json
import shutil
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from lina_lab.cell.contents import check_contents, check_same_data
from lina_lab.cell.score import measure, with_sampling
from lina_lab.checkpoints.ema_weights import load_trained, weights_digest
from lina_lab.config.experiment import Experiment, digest
from lina_lab.config.load import with_sections
from lina_lab.data.datasets import Dataset, load_dataset
from lina_lab.data.examples import fingerprint
from lina_lab.errors import LabError, NotFinite
from lina_lab.evaluation.enough import check_enough
from lina_lab.evaluation.extractors import load_extractor
from lina_lab.evaluation.features import Extractor
from lina_lab.evaluation.reference import Eye, Reference, load_also, load_reference
from lina_lab.files import write_atomic
from lina_lab.ledger.leases import Watch, claim
from lina_lab.ledger.result import Evaluation
from lina_lab.model.execution import device
from lina_lab.model.lina import Lina
from lina_lab.provenance import of_cell, provenance
from lina_lab.sampling.image_set import DrawnSet, Tell, write_pngs, write_set
from lina_lab.sampling.request import labels_and_prompts, requests
from lina_lab.sampling.workers import draw_set, drawer

WAIT_SECONDS = 1.0
FAILED = "failed"
"""The key of the reason in a record without metrics."""


class MeasuredCell(NamedTuple):
    """A trained cell, and what it is measured with."""

    folder: Path
    experiment: Experiment
    """With what was asked for instead of its own values."""
    model: Lina
    weights: str
    """SHA-256 of the averaged weights."""
    dataset: Dataset
    extractor: Extractor
    reference: Reference | None
    also: Sequence[Eye] = ()
    """Further extractors that measure the same images."""

    def sampled(self, **sampling: Any) -> "MeasuredCell":
        """With other fields of its `sampling`."""
        section = self.experiment.sampling.changed(sampling)
        return self._replace(experiment=with_sections(self.experiment, {"sampling": section}))


class Exports(NamedTuple):
    """Where the images go, besides being measured."""

    npz: Path | None = None
    png: Path | None = None


class CellMeasurement(NamedTuple):
    """Where a measurement is kept, and what it holds."""

    path: Path
    metrics: Mapping[str, float]
    evaluation: Evaluation
    fid_deviations: tuple[float, ...]
    seconds: float
    """Of drawing, over all processes together, and of measuring."""


def load_measured_cell(folder: Path, sections: Mapping[str, Mapping[str, Any]], seed: int | None) -> MeasuredCell:
    """A trained cell with fields of its sections, and the seed of its samples, changed.

    Raises:
        LabError: if it is not trained, cannot be measured so, or its data are not those that it was trained on.
    """
    own, model = load_trained(folder)
    changes = {name: getattr(own, name).model_dump() | dict(values) for name, values in sections.items()}
    changes["sampling"] = own.sampling.changed(sections.get("sampling", {}))
    experiment = with_sections(own, changes | ({} if seed is None else {"seed": seed}))
    if "reference" not in sections.get("evaluation", {}):
        check_contents(experiment)
    extractor = load_extractor(experiment.evaluation.extractor)
    reference = load_reference(experiment.evaluation, extractor)
    dataset = load_dataset(experiment.data, pixels=reference is None)
    check_same_data(folder, dataset)
    check_enough(experiment.data, experiment.evaluation, dataset.sizes)
    return MeasuredCell(
        folder=folder,
        experiment=experiment,
        model=model.to(device()),
        weights=weights_digest(folder),
        dataset=dataset,
        extractor=extractor,
        reference=reference,
        also=load_also(experiment.evaluation),
    )


def measure_cell(
    subject: MeasuredCell, tell: Tell, num_processes: int = 1, exports: Exports | None = None
) -> CellMeasurement:
    """Draw and measure; a measurement that is there is read, unless its images are to be exported.

    Raises:
        NotFinite: if images hold NaN or infinite values; the record says so then, and has no metrics.
    """
    path = subject.folder / "evaluations" / f"{_identity(subject)}.json"
    before = _written(path)
    if before is None or exports is not None or _has_failed(path):
        _draw_and_measure(subject, path, before, tell, num_processes, exports or Exports())
    try:
        kept = json.loads(path.read_text(encoding="utf-8"))
        if FAILED in kept:
            raise NotFinite(f"{subject.folder.name}: {kept[FAILED]}; {path} keeps the settings")
        return CellMeasurement(
            path=path,
            metrics=kept["metrics"],
            evaluation=Evaluation.from_json(kept.get("evaluation", {})),
            fid_deviations=tuple(kept["fid_deviations"]),
            seconds=sum(kept["seconds"].values()),
        )
    except (ValueError, KeyError) as error:
        raise LabError(f"{path}: damaged: {error}; delete it, and it will be measured again") from error


def _identity(subject: MeasuredCell) -> str:
    experiment, reference = subject.experiment, subject.reference
    evaluation = experiment.evaluation.model_dump(include={"extractor", "num_samples"}) | {
        "reference": reference.sha256 if reference else None
    }
    if subject.also:
        evaluation["also"] = [eye.extractor.id for eye in subject.also]
    found = [subject.weights, subject.extractor.id, fingerprint(subject.dataset), evaluation]
    return digest([*found, experiment.sampling.model_dump(), experiment.seed])[:12]


def _written(path: Path) -> int | None:
    return path.stat().st_mtime_ns if path.exists() else None


def _has_failed(path: Path) -> bool:
    try:
        return FAILED in json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False


def _draw_and_measure(
    subject: MeasuredCell, path: Path, before: int | None, tell: Tell, num_processes: int, exports: Exports
) -> None:
    experiment = subject.experiment
    drawn = DrawnSet(path.with_suffix(""), experiment.evaluation.num_samples)
    draw = drawer(experiment, subject.model, subject.dataset)

    def over() -> bool:
        return _written(path) != before

    try:
        draw_set(subject.folder, _settings(subject), drawn, draw, tell, num_processes, over)
    except NotFinite as error:
        _write_failure(subject, path, error)
        return
    watch = Watch()
    while not over():
        claimed = claim(drawn.folder, watch)
        if claimed is None:
            time.sleep(WAIT_SECONDS)
            continue
        with claimed:
            if not over():
                _measure(subject, drawn, path, exports)
            with contextlib.suppress(FileNotFoundError):  # who saw the record may have removed the folder
                claimed.end("done")
    shutil.rmtree(drawn.folder, ignore_errors=True)  # another machine may do so too


def _write_failure(subject: MeasuredCell, path: Path, error: NotFinite) -> None:
    """A measurement that gave no number is kept as that."""
    body = {
        "state": "failed",
        FAILED: str(error),
        "settings": _settings(subject),
        "provenance": provenance().as_json(),
    }
    write_atomic(path, json.dumps(body, indent=1))


def _settings(subject: MeasuredCell) -> dict[str, object]:
    experiment = subject.experiment
    sections = {name: getattr(experiment, name).model_dump() for name in ("sampling", "evaluation")}
    return sections | {"seed": experiment.seed}


def _measure(subject: MeasuredCell, drawn: DrawnSet, path: Path, exports: Exports) -> None:
    experiment, started = subject.experiment, time.monotonic()
    request, _ = requests(experiment, subject.dataset)
    if exports.npz is not None:
        write_set(drawn, exports.npz, labels_and_prompts(request))
    if exports.png is not None:
        write_pngs(drawn, exports.png)
    found = measure(
        drawn.chunks(),
        request,
        subject.dataset,
        subject.extractor,
        experiment.seed,
        subject.reference,
        subject.also,
    )
    record = {
        "metrics": found.metrics,
        "fid_deviations": found.fid_deviations,
        "evaluation": with_sampling(found.evaluation, experiment.sampling).as_json(),
        "settings": _settings(subject),
        "seconds": {"sampling": drawn.seconds(), "evaluation": time.monotonic() - started},
        "provenance": of_cell(provenance()).as_json(),
    }
    write_atomic(path, json.dumps(record, indent=1))
