"""How many scenes of `shapes` one thread draws a second, and what share of a training step on this machine that takes.

    OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 MKL_NUM_THREADS=1 python benchmarks/shapes.py [--out FILE.json]

Goal: at least 5,000 scenes a second at side 32. Times are the best of several, in seconds of the processor, so that
others on the machine do not count. The training step is one of experiments/shapes.yaml at its smallest size, where
drawing weighs most.
"""

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import numpy as np
import torch
import typer

from lina_lab.composition.detector import detect
from lina_lab.config.load import load_experiment
from lina_lab.data.shapes import examples, render
from lina_lab.data.shapes_scenes import requests, scenes
from lina_lab.model.lina import Lina
from lina_lab.model.random_streams import step_streams
from lina_lab.provenance import provenance

BATCH, REPEATS = 128, 15


def seconds(call: Callable[[int], object]) -> float:
    """Of the processor, at best; each call gets a new number."""
    times = []
    for repeat in range(REPEATS):
        start = time.process_time()
        call(repeat)
        times.append(time.process_time() - start)
    return min(times)


def drawing(side: int) -> dict[str, float]:
    parts = {
        "scenes, captions and images": lambda k: examples(torch.arange(BATCH) + k * BATCH, side),
        "scenes": lambda k: scenes(np.arange(BATCH) + k * BATCH),
        "scenes and captions": lambda k: requests(scenes(np.arange(BATCH) + k * BATCH)),
        "scenes and images": lambda k: render(scenes(np.arange(BATCH) + k * BATCH), side),
    }
    return {f"{name}, side {side}: a second": BATCH / seconds(call) for name, call in parts.items()}


def detecting(side: int) -> dict[str, float]:
    images = torch.from_numpy(render(scenes(np.arange(BATCH)), side).round().astype(np.uint8))
    return {f"detected, side {side}: images a second": BATCH / seconds(lambda _: detect(images))}


def training_step(size: str) -> float:
    """Seconds of a forward and a backward pass."""
    experiment = load_experiment(Path("experiments/shapes.yaml"), {"model.size": size, "training.batch_size": BATCH})
    model = Lina(experiment.model, experiment.data.shape)
    drawn = examples(torch.arange(BATCH), experiment.data.side)

    def step(number: int) -> None:
        model.zero_grad()
        model.loss((drawn.images, drawn.labels), experiment.training, step_streams(0, number)).backward()

    return seconds(step)


def main(out: Annotated[Path | None, typer.Option()] = None) -> None:
    torch.set_num_threads(1)
    result = {}
    for side in (32, 64):
        result |= drawing(side) | detecting(side)
    step = training_step("nano")
    result["a training step of nano, batch 128: seconds"] = step
    result["drawing its batch: share of the step"] = (
        BATCH / result["scenes, captions and images, side 32: a second"] / step
    )
    for name, number in result.items():
        print(f"{name:56} {number:.4g}")
    if out is not None:
        out.parent.mkdir(parents=True, exist_ok=True)
        out.write_text(json.dumps(result | {"provenance": provenance().as_json()}, indent=1) + "\n")


if __name__ == "__main__":
    typer.run(main)
