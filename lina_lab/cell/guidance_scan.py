"""FID of a trained cell over guidance scales or numbers of steps, point by point into `<cell>/guidance.csv`.

Every point has the same seeds, so that the noise of the draws is common to all. A point that is in the file is not
measured again: a scan that was killed continues.
"""

import math
from collections.abc import Callable, Sequence

from lina_lab import cost
from lina_lab.analysis.guidance import FILE, GuidancePoint, add_point, read_points, search
from lina_lab.cell.reevaluate import MeasuredCell, measure_cell
from lina_lab.errors import NotFinite
from lina_lab.sampling.image_set import Tell


def scan(
    subject: MeasuredCell,
    over: str,
    values: Sequence[float],
    refinements: int,
    tell: Callable[[float], Tell],
    done: Callable[[GuidancePoint], None] = lambda point: None,
    failed: Callable[[float, NotFinite], None] = lambda value, error: None,
    num_processes: int = 1,
) -> list[GuidancePoint]:
    """The points at all values of the sampling field `over`, and at as many more about the best as `refinements` says.

    `tell` makes for each value what hears of its drawing; `done` hears of every point, and `failed` of
    every value whose samples are not finite: it has no point.
    """
    found: list[GuidancePoint] = []

    def measure(value: float) -> float:
        try:
            point = _point(subject.sampled(**{over: value}), tell(value), num_processes)
        except NotFinite as error:
            failed(value, error)
            return math.inf  # no place to look further
        done(point)
        found.append(point)
        return point.fid

    search(measure, values, refinements)
    return found


def _point(subject: MeasuredCell, tell: Tell, num_processes: int) -> GuidancePoint:
    path, wanted = subject.folder / FILE, _unmeasured(subject)
    for point in read_points(path):
        if point.setting == wanted.setting:
            return point
    found, name = measure_cell(subject, tell, num_processes), subject.extractor.name
    point = wanted._replace(
        fid=found.metrics[f"eval/fid/{name}"],
        fid_jackknife=found.metrics.get(f"eval/fid_jackknife/{name}"),
        kid=found.metrics.get(f"eval/kid/{name}"),
        precision=found.metrics.get(f"eval/precision/{name}"),
        recall=found.metrics.get(f"eval/recall/{name}"),
        seconds=found.seconds,
        fid_deviations=found.fid_deviations,
    )
    add_point(path, point)
    return point


def _unmeasured(subject: MeasuredCell) -> GuidancePoint:
    """A cell's setting and its cost, without results."""
    sampling = subject.experiment.sampling
    return GuidancePoint(
        guidance_scale=sampling.guidance_scale,
        autoregressive_steps=sampling.autoregressive_steps,
        flow_steps=sampling.flow_steps,
        guidance_min=sampling.guidance_min,
        sampling_precision=sampling.precision,
        seed=subject.experiment.seed,
        num_samples=subject.experiment.evaluation.num_samples,
        extractor=subject.extractor.id,
        reference=subject.reference.sha256[:12] if subject.reference else "held-out",
        weights=subject.weights[:12],
        flops=cost.sampling_flops(subject.experiment),
        fid=math.nan,
        fid_jackknife=None,
        kid=None,
        precision=None,
        recall=None,
        seconds=math.nan,
        fid_deviations=(),
    )
