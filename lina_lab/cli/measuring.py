"""Measure a trained cell in other ways, print and keep what was found."""

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from lina_lab.analysis.guidance import FILE, GRID, OVER, REFINEMENTS, GuidancePoint, guidance_summary
from lina_lab.analysis.notes import notes_of
from lina_lab.cell.guidance_scan import scan
from lina_lab.cell.reevaluate import Exports, load_measured_cell, measure_cell
from lina_lab.cli.results import print_table, text_table
from lina_lab.config.engine import WorkerCount
from lina_lab.config.load import load_experiment
from lina_lab.config.sweep import parse_settings
from lina_lab.errors import LabError
from lina_lab.ledger.cells import find_cell
from lina_lab.sampling.image_set import DrawingProgress
from lina_lab.sweep.local_engine import slots, visible_gpus

TOLD_EVERY_SECONDS = 15.0
Sections = Mapping[str, Mapping[str, Any]]


class DrawingDisplay:
    """A line now and then: how many images there are, and how long the rest will take."""

    def __init__(self, what: str) -> None:
        self.what, self.told = what, time.monotonic()

    def __call__(self, progress: DrawingProgress) -> None:
        if time.monotonic() - self.told >= TOLD_EVERY_SECONDS:
            self.told = time.monotonic()
            print(f"{self.what}: {progress}", flush=True)


def evaluate_cell(
    runs: Path,
    name: str,
    sections: Sections,
    seed: int | None,
    workers: WorkerCount,
    npz: Path | None,
    png: Path | None,
) -> None:
    """Print the metrics; they are kept with their settings in the cell's folder."""
    subject = load_measured_cell(find_cell(runs, name), sections, seed)
    found = measure_cell(
        subject, DrawingDisplay("drawing"), _processes(workers), Exports(npz, png) if npz or png else None
    )
    width = max(map(len, found.metrics))
    for metric, value in found.metrics.items():
        print(f"{metric:<{width}}  {value:.6g}")
    for line in notes_of([found.evaluation]):
        print(line)
    print(f"wrote {', '.join(str(path) for path in (found.path, npz, png) if path is not None)}")


def scan_cell(
    runs: Path,
    name: str,
    sections: Sections,
    seed: int | None,
    workers: WorkerCount,
    scales: str,
    refinements: int | None,
    over: str,
) -> None:
    """Print every point as it comes, and what is best; the points are kept in the cell's folder."""
    field, values, more = _asked(scales, refinements, over)
    subject = load_measured_cell(find_cell(runs, name), sections, seed)
    count = subject.experiment.evaluation.num_samples
    print(
        f"{subject.folder.name}: {len(values)} values of {field} and {more} refinements, {count:,} images each",
        flush=True,
    )
    points = scan(
        subject,
        field,
        values,
        more,
        lambda value: DrawingDisplay(f"{field} {value:g}"),
        lambda point: print(f"{field} {getattr(point, field):g}: FID {point.fid:.4g}", flush=True),
        lambda value, error: print(f"{field} {value:g}: failed: {error}", flush=True),
        _processes(workers),
    )
    if not points:
        raise LabError(f"{subject.folder.name}: samples not finite at every {field} that was tried")
    _print_points(points, field)
    for line in guidance_summary(points, field):
        print(line)
    print(f"wrote {subject.folder / FILE}")


def _asked(scales: str, refinements: int | None, over: str) -> tuple[str, list[float], int]:
    """The field, its values and the number of refinements that the options mean."""
    if not over:
        values = _numbers("--scales", scales) if scales else list(GRID)
        return "guidance_scale", values, REFINEMENTS if refinements is None else refinements
    field, _, text = over.partition("=")
    if scales or field not in OVER:
        problem = "either it or --scales" if scales else f"one of {', '.join(OVER)} and values, as flow_steps=5,10,25"
        raise LabError(f"--over {over}: must be {problem}")
    if field == "guidance_scale":
        return field, _numbers("--over", text), REFINEMENTS if refinements is None else refinements
    if refinements:
        raise LabError(f"--refinements is for guidance scales: --over {field} measures the values that it names")
    values = _numbers("--over", text)
    if any(value != int(value) for value in values):
        raise LabError(f"--over {over}: {field} must be whole numbers")
    return field, [int(value) for value in values], 0


def _numbers(option: str, text: str) -> list[float]:
    try:
        values = [float(word) for word in text.split(",")]
    except ValueError as error:
        raise LabError(f"{option} {text}: must be numbers as in 1,1.5,2") from error
    if not all(0 < value < float("inf") for value in values):
        raise LabError(f"{option} {text}: must be numbers above 0")
    return sorted(set(values))


def _processes(workers: WorkerCount) -> int:
    return len(slots(workers, 1, visible_gpus()))


def _print_points(points: Sequence[GuidancePoint], field: str) -> None:
    shown = ("fid", "fid_sd", "fid_jackknife", "kid", "precision", "recall")
    table = text_table(field, *shown, "FLOPs an image", "seconds", numbers=len(shown) + 3)
    for point in sorted(points, key=lambda point: float(getattr(point, field))):
        numbers = ("" if (v := getattr(point, name)) is None else f"{v:.4g}" for name in shown)
        table.add_row(f"{getattr(point, field):g}", *numbers, f"{point.flops:.3g}", f"{point.seconds:.0f}")
    print_table(table)


def make_reference(file: Path, settings: list[str], split: str, out: Path) -> None:
    """Write the reference of an experiment's data and extractor."""
    from lina_lab.data.datasets import load_dataset
    from lina_lab.evaluation.evaluate import repeated_images
    from lina_lab.evaluation.extractors import load_extractor
    from lina_lab.evaluation.reference import write_reference
    from lina_lab.ledger.result import Evaluation

    experiment = load_experiment(file, parse_settings(settings))
    dataset = load_dataset(experiment.data)
    examples = dataset.heldout if split == "heldout" else dataset.train
    extractor = load_extractor(experiment.evaluation.extractor)
    write_reference(out, examples, extractor)
    for line in notes_of([Evaluation(heldout_in_training=repeated_images(dataset))]):
        print(line)
    print(f"wrote {out}: {len(examples.images):,} images, {extractor.dim} features of {extractor.id}")
