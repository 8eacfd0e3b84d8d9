"""Measure the points along a run: the averaged weights of steps before the last, with the draws of the last ones.

<cell>/points/<step>/ema.safetensors, trained.json   kept by the training, and after it for good, as the last ones
                     point.json                      what was found, until the cell has a result, which holds it
"""

import json
import shutil
import time
from collections.abc import Callable
from pathlib import Path

from lina_lab import cost
from lina_lab.checkpoints.ema_weights import load_trained, point_folder, training_seconds, weights_digest
from lina_lab.config.experiment import Experiment, points
from lina_lab.evaluation.evaluate import Measurement
from lina_lab.files import write_atomic
from lina_lab.ledger.metrics import append_metrics, read_metrics
from lina_lab.ledger.result import Point
from lina_lab.model.execution import device
from lina_lab.model.lina import Lina
from lina_lab.sampling.image_set import DrawnSet

FOUND = "point.json"
Draw = Callable[[Lina, Path], DrawnSet]
"""Draws the images of a model whose weights are in a folder."""


def measure_points(
    folder: Path, experiment: Experiment, draw: Draw, judge: Callable[[DrawnSet], Measurement]
) -> tuple[Point, ...]:
    """Every point of a trained cell, in the order of steps. Those that an earlier attempt has measured are read."""
    found = []
    for step, share in points(experiment).items():
        weights = point_folder(folder, step)
        path, sha256 = weights / FOUND, weights_digest(folder, weights)
        point = _read(path)
        if point is None or point.weights_sha256 != sha256:
            drawn = draw(load_trained(folder, weights)[1].to(device()), weights)
            started = time.monotonic()
            measured = judge(drawn)
            seconds = {
                "training": training_seconds(weights) or 0.0,
                "sampling": drawn.seconds(),
                "evaluation": time.monotonic() - started,
            }
            point = Point(
                at=share,
                step=step,
                samples_seen=step * experiment.training.batch_size,
                flops={"training": cost.training_flops(experiment) * step / experiment.training.steps},
                seconds=seconds,
                metrics={row.metric: row.value for row in read_metrics(folder) if row.step == step} | measured.metrics,
                weights_sha256=sha256,
            )
            write_atomic(path, json.dumps(point.as_json()))
            shutil.rmtree(drawn.folder)
        append_metrics(folder, step, {name: v for name, v in point.metrics.items() if name.startswith("eval/")})
        found.append(point)
    return tuple(found)


def forget_points(folder: Path) -> None:
    """Remove what `measure_points` wrote, once the result holds it: a cell that ends again is measured again."""
    for path in folder.glob(f"points/*/{FOUND}"):
        path.unlink()


def num_measured(folder: Path) -> int:
    """How many points of a cell without a result are measured."""
    return len(list(folder.glob(f"points/*/{FOUND}")))


def _read(path: Path) -> Point | None:
    """What an earlier attempt found; None where there is nothing, or it is damaged."""
    try:
        return Point.from_json(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError):
        return None
