"""Guidance scans: the points in `<cell>/guidance.csv`, and the search for the scale with the lowest FID.

Every design gets the same grid and as many refinements, so none is tuned longer than another.
"""

import csv
import io
import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from lina_lab.errors import LabError
from lina_lab.files import write_atomic

FILE = "guidance.csv"
GOLDEN = (3 - math.sqrt(5)) / 2
NEAREST = 0.15
"""Least distance of a refinement from the best scale, in units of the wider gap beside it; closer, noise decides."""
SDS = 2.0
"""FIDs that differ by fewer standard deviations of their difference count as equal."""


class GuidancePoint(NamedTuple):
    """One row: the sampling settings, what the FID was measured with, and the results; missing values are None."""

    guidance_scale: float
    autoregressive_steps: int
    flow_steps: int
    guidance_min: float
    sampling_precision: str
    seed: int
    num_samples: int
    extractor: str
    """Id of the extractor, which includes a digest of its weights."""
    reference: str
    """`held-out`, or the first digits of the reference file's SHA-256."""
    weights: str
    """First digits of the SHA-256 of the model's weights."""
    flops: float
    """To sample one image."""
    fid: float
    fid_jackknife: float | None
    kid: float | None
    precision: float | None
    recall: float | None
    seconds: float
    """Of drawing, summed over processes, and measuring."""
    fid_deviations: tuple[float, ...]
    """Their root mean square is the standard deviation of the FID; those of one seed are paired. None: not known."""

    @property
    def fid_sd(self) -> float | None:
        """Sampling noise of the FID, by a bootstrap, or by halves where there are many features."""
        return root_mean_square(self.fid_deviations) if self.fid_deviations else None

    @property
    def setting(self) -> tuple[Any, ...]:
        """The fields that identify a point."""
        return self[: GuidancePoint._fields.index("flops")]


WORDS = ("sampling_precision", "extractor", "reference", "weights")
COUNTS = ("autoregressive_steps", "flow_steps", "seed", "num_samples")
OPTIONAL = ("fid_jackknife", "kid", "precision", "recall")
OVER = ("guidance_scale", "autoregressive_steps", "flow_steps")
"""Fields that a scan can vary."""


def read_points(path: Path) -> list[GuidancePoint]:
    """All points of a file; none if it is not there.

    Raises:
        LabError: naming the line that is no point.
    """
    if not path.exists():
        return []
    with path.open(newline="", encoding="utf-8") as file:
        rows = list(csv.reader(file))
    if not rows or tuple(rows[0]) != GuidancePoint._fields:
        raise LabError(f"{path}:1: must have the columns {', '.join(GuidancePoint._fields)}")
    points = []
    for line, row in enumerate(rows[1:], start=2):
        try:
            values = {name: _value(name, text) for name, text in zip(GuidancePoint._fields, row, strict=True)}
            points.append(GuidancePoint(**values))
        except (ValueError, TypeError) as error:
            raise LabError(
                f"{path}:{line}: must be a point with {len(GuidancePoint._fields)} values: {error}"
            ) from error
    return points


def _value(name: str, text: str) -> Any:
    if name in WORDS:
        return text
    if name == "fid_deviations":
        return tuple(float(word) for word in text.split())
    if not text and name in OPTIONAL:
        return None
    return int(text) if name in COUNTS else float(text)


def add_point(path: Path, point: GuidancePoint) -> None:
    """Add a point to the file, replacing one of the same setting; the file is written atomically."""
    points = [other for other in read_points(path) if other.setting != point.setting]
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(GuidancePoint._fields)
    writer.writerows([[_text(value) for value in row] for row in (*points, point)])
    write_atomic(path, text.getvalue())


def _text(value: Any) -> Any:
    if isinstance(value, tuple):
        return " ".join(f"{deviation:.6g}" for deviation in value)
    return repr(value) if isinstance(value, float) else value


def search(measure: Callable[[float], float], grid: Sequence[float], refinements: int) -> dict[float, float]:
    """FID at every scale of the grid, and then at `refinements` scales about the best so far: len(grid) + refinements.

    Raises:
        ValueError: if the grid has no scale.
    """
    if not grid:
        raise ValueError("a search needs a grid of at least one scale")
    fids = {scale: measure(scale) for scale in dict.fromkeys(grid)}
    for _ in range(refinements if len(fids) > 1 else 0):
        scale = next_scale(fids)
        fids[scale] = measure(scale)
    return fids


def next_scale(fids: Mapping[float, float]) -> float:
    """The next scale to try, given FIDs at two or more: inside the gaps beside the best, in log scale.

    The lowest point of the parabola through the best and its neighbours, unless that is too near to the best; then, as
    at an edge, the golden section of the wider gap.
    """
    scales = sorted(fids)
    place = scales.index(best_scale(fids))
    x = [math.log(scale) for scale in scales[max(0, place - 1) : place + 2]]
    middle = math.log(scales[place])
    gaps = {side: abs(side - middle) for side in (x[0], x[-1]) if side != middle}
    side, width = max(gaps.items(), key=lambda item: item[1])
    if len(x) == 3:
        vertex = _vertex(x, [fids[scale] for scale in scales[place - 1 : place + 2]])
        if abs(vertex - middle) >= NEAREST * width and all(abs(vertex - end) >= NEAREST * width for end in gaps):
            return _rounded(vertex)
    return _rounded(middle + GOLDEN * (side - middle))


def _vertex(x: Sequence[float], y: Sequence[float]) -> float:
    """Where the parabola through three points, the middle one the lowest, is lowest."""
    left, right = x[1] - x[0], x[1] - x[2]
    up, down = left * (y[1] - y[2]), right * (y[1] - y[0])
    if up == down:
        return x[1]
    return x[1] - (left * up - right * down) / (2 * (up - down))


def _rounded(log_scale: float) -> float:
    return float(f"{math.exp(log_scale):.4g}")


def best_scale(fids: Mapping[float, float]) -> float:
    """The scale with the lowest FID; the lowest of ties."""
    return min(sorted(fids), key=lambda scale: fids[scale])


def guidance_summary(points: Sequence[GuidancePoint], over: str = "guidance_scale") -> list[str]:
    """Sentences on the best point: its FID, which points are not told from it, and whether it lies at an edge."""
    ordered = sorted(points, key=lambda point: float(getattr(point, over)))
    best = min(ordered, key=lambda point: point.fid)
    at, values = getattr(best, over), [getattr(point, over) for point in ordered]
    sd = "" if best.fid_sd is None else f" ± {best.fid_sd:.2g}"
    words = [f"best {over} of {len(points)} measured: {at:g}, FID {best.fid:.4g}{sd}"]
    if best.fid_sd is None:
        words.append("the sampling noise of these FIDs is not known, nor how far they are told apart")
    else:
        near = ", ".join(f"{getattr(p, over):g}" for p in ordered if p is not best and not is_worse(p, best))
        words.append(f"not told from it by {SDS:g} standard deviations of the paired difference: {near or 'none'}")
    if at in {values[0], values[-1]} and len(values) > 1:
        words.append(_edge(over, at, lowest=at == values[0]))
    return words


def is_worse(point: GuidancePoint, best: GuidancePoint) -> bool:
    """Whether a FID is above another by more than `SDS` standard deviations of their difference, of the same seeds."""
    pairs = zip(point.fid_deviations, best.fid_deviations, strict=True)
    return point.fid - best.fid > SDS * root_mean_square([mine - others for mine, others in pairs])


def root_mean_square(values: Sequence[float]) -> float:
    """Of deviations this is their standard deviation."""
    return math.sqrt(sum(value * value for value in values) / len(values))


def _edge(over: str, at: float, *, lowest: bool) -> str:
    if over == "guidance_scale" and lowest and at == 1:
        return "the best is without guidance: no scale that was tried helps"
    side = "lowest" if lowest else "highest"
    return f"the best is at the {side} edge of what was tried: a better one may lie beyond {at:g}"
