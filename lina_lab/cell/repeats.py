"""A cell measured again: by images from other generation seeds, and at the guidance scale that suits it.

The search for that scale is the one of `lab guidance`, by the cell's own seed. Luck has a part in the lowest of noisy
FIDs, which is therefore too low: the scale that was found is drawn anew, from seeds that the search did not use.
"""

import logging
import threading
from collections.abc import Iterable, Sequence
from dataclasses import replace

import numpy as np

from lina_lab import cost
from lina_lab.analysis.guidance import GuidancePoint, best_scale
from lina_lab.cell.guidance_scan import scan
from lina_lab.cell.reevaluate import MeasuredCell, measure_cell
from lina_lab.config.settings import GUIDANCE_GRID, GUIDANCE_REFINEMENTS
from lina_lab.errors import NotFinite
from lina_lab.evaluation.evaluate import Measurement
from lina_lab.ledger.result import BestGuidance
from lina_lab.ledger.status import write_state
from lina_lab.metric_names import FID, FID_BEST, FID_BEST_SD, FID_GENERATION_MEAN, FID_GENERATION_SD, GUIDANCE_BEST
from lina_lab.sampling.image_set import DrawingProgress, Tell
from lina_lab.training.recorder import Stopped

APART = 1_000_000
"""Distance of the generation seeds of a cell, so that they are no other training seeds of its study."""

logger = logging.getLogger(__name__)


def generation_seed(seed: int, number: int) -> int:
    """The seed of the images of a cell when they are drawn once more; 0: its own."""
    return seed + number * APART


def with_repeats(
    subject: MeasuredCell, first: Measurement, seconds: dict[str, float], stop: threading.Event, num_processes: int = 1
) -> Measurement:
    """A cell's first measurement, with what its `evaluation` asks for besides; `seconds` gets theirs, as `repeats`.

    Every measurement is kept as those of `lab evaluate` and `lab guidance` are, and not made again by a later attempt.

    Raises:
        Stopped: about a second after `stop` was set.
        NotFinite: if images at the best guidance, or of another seed, hold NaN or infinite values.
    """
    evaluation, name = subject.experiment.evaluation, subject.extractor.name
    count = evaluation.generation_seeds
    if count == 1 and evaluation.guidance is None:
        return first
    repeats = Repeats(subject, seconds, stop, num_processes)
    metrics, record = dict(first.metrics), first.evaluation
    if count > 1:
        seeds = _seeds(subject, range(count))
        fids = [metrics[FID + name], *repeats.fids(subject, seeds[1:])]
        metrics |= {FID_GENERATION_MEAN + name: float(np.mean(fids)), FID_GENERATION_SD + name: _sd(fids)}
        record = replace(record, generation_seeds=seeds)
    if evaluation.guidance == "best":
        points = repeats.search()
        best = best_scale({point.guidance_scale: point.fid for point in points})
        seeds = _seeds(subject, range(1, count + 1))
        fids = repeats.fids(subject.sampled(guidance_scale=best), seeds)
        metrics |= {FID_BEST + name: float(np.mean(fids)), GUIDANCE_BEST + name: best}
        metrics |= {FID_BEST_SD + name: _sd(fids)} if count > 1 else {}
        scales = [point.guidance_scale for point in points]
        record = replace(
            record, best_guidance=BestGuidance(searched=scales, seed=subject.experiment.seed, generation_seeds=seeds)
        )
    seconds["repeats"] = repeats.seconds
    return first._replace(metrics=metrics, evaluation=record)


def _seeds(subject: MeasuredCell, numbers: Iterable[int]) -> list[int]:
    return [generation_seed(subject.experiment.seed, number) for number in numbers]


def _sd(values: Sequence[float]) -> float:
    return float(np.std(values, ddof=1))


class Repeats:
    """The measurements of a cell after its first; state.json says how far they are."""

    def __init__(
        self, subject: MeasuredCell, first: dict[str, float], stop: threading.Event, num_processes: int
    ) -> None:
        self.subject, self.stop, self.num_processes = subject, stop, num_processes
        self.flops, self.seconds = 0.0, 0.0
        """Of what is measured, this time or before."""
        self.first = _image_flops(subject), first["sampling"] + first["evaluation"]

    def fids(self, subject: MeasuredCell, seeds: Iterable[int]) -> list[float]:
        """FID of the images that each seed draws."""
        found = []
        for seed in seeds:
            drawn = subject._replace(experiment=subject.experiment.model_copy(update={"seed": seed}))
            measured = measure_cell(drawn, self._tell("repeats", drawn), self.num_processes)
            self._measured(drawn, measured.seconds)
            found.append(measured.metrics[FID + subject.extractor.name])
        return found

    def search(self) -> list[GuidancePoint]:
        """The points of the search for the best guidance.

        Raises:
            NotFinite: if it found none.
        """

        def at(scale: float) -> MeasuredCell:
            return self.subject.sampled(guidance_scale=scale)

        points = scan(
            self.subject,
            "guidance_scale",
            GUIDANCE_GRID,
            GUIDANCE_REFINEMENTS,
            lambda scale: self._tell("guidance", at(scale)),
            lambda point: self._measured(at(point.guidance_scale), point.seconds),
            lambda scale, error: logger.warning("guidance_scale %g has no part in the search: %s", scale, error),
            self.num_processes,
        )
        if not points:
            raise NotFinite("samples not finite at every guidance_scale that was tried")
        return points

    def _measured(self, subject: MeasuredCell, seconds: float) -> None:
        self.flops, self.seconds = self.flops + _image_flops(subject), self.seconds + seconds

    def _tell(self, phase: str, subject: MeasuredCell) -> Tell:
        """What hears of the drawing of one measurement."""
        experiment, total = self.subject.experiment, cost.repeats_flops(self.subject.experiment)
        steps = experiment.training.steps

        def tell(at: DrawingProgress) -> None:
            if self.stop.is_set():
                raise Stopped
            done = min(total, self.flops + _image_flops(subject) * at.images / at.num_images)
            flops, seconds = self.first
            each = (self.seconds + seconds) / (self.flops + flops) / self.num_processes
            told = {"share": done / total, "seconds_left": each * (total - done)}
            write_state(self.subject.folder, phase=phase, step=steps, steps=steps, **told)

        tell(DrawingProgress(0, experiment.evaluation.num_samples, None))
        return tell


def _image_flops(subject: MeasuredCell) -> float:
    return subject.experiment.evaluation.num_samples * cost.sampling_flops(subject.experiment)
