"""How far the best learning rate drifts with width, in the standard parametrization and under muP.

    OMP_NUM_THREADS=1 python benchmarks/learning_rates.py train [--design "division"] [--seeds 0] [--out FILE.json]
    python benchmarks/learning_rates.py table [--out FILE.json]

Digits with batches of 32, 500 steps, the averaged weights' held-out loss. Rates are octaves apart, 1.6e-2 to 6.4e-2 and
on while the lowest loss is at an edge. At nano the parametrizations are one, so it is trained once. The best rate of a
size is the vertex of the parabola through the lowest loss and its neighbours, in log2. Trials in the file are kept.
"""

import json
import math
from itertools import islice
from pathlib import Path
from statistics import linear_regression
from typing import Annotated, Any

import torch
import typer

from lina_lab.config.experiment import Experiment
from lina_lab.config.load import load_experiment
from lina_lab.data.datasets import load_dataset
from lina_lab.data.text import conditions
from lina_lab.design.sizes import SIZES
from lina_lab.files import write_atomic
from lina_lab.metric_names import LOSS
from lina_lab.model.random_streams import step_streams
from lina_lab.provenance import provenance
from lina_lab.training.batches import Batches, picker
from lina_lab.training.held_out import held_out_loss, validation_batch
from lina_lab.training.module import LinaModule, warmup
from lina_lab.training.train import build_model

ROOT = Path(__file__).parents[1]
OUT = ROOT / "benchmarks" / "results" / "learning_rates.json"
DESIGNS: dict[str, dict[str, Any]] = {
    "division": {},
    "softmax": {"normalization": "softmax"},
    "division, gates": {"kv_gate": "key_value"},
    "division, kernel 5": {"conv_kernel": 5},
}
RECIPE = {"steps": 500, "batch_size": 32, "warmup_steps": 50, "ema_decay": 0.98, "loss_repeat": 2}
BASE, OTHERS, SHOWN = "nano", ("pico", "micro", "tiny"), ("pico", "nano", "micro", "tiny")
UNIT, FIRST, FURTHEST = 1e-3, range(4, 7), range(-4, 11)
"""Rates are UNIT 2^k: k first, and at furthest."""

app = typer.Typer(add_completion=False)


def experiment(design: str, parametrization: str, size: str, octave: int, seed: int) -> Experiment:
    values = load_experiment(ROOT / "experiments" / "digits.yaml").model_dump()
    values["model"] = {"size": size, "patch": 2, "attention": DESIGNS[design]}
    values["training"] |= RECIPE | {"learning_rate": UNIT * 2.0**octave, "parametrization": parametrization}
    return Experiment.model_validate(values | {"seed": seed})


def loss_of(e: Experiment) -> float:
    """The held-out loss of the averaged weights at the end of a training."""
    model, dataset, condition = build_model(e), load_dataset(e.data), conditions(e.data)
    optimizer = LinaModule(model, e.training, e.seed, lambda *_: None).configure_optimizers()["optimizer"]
    rates = [group["lr"] for group in optimizer.param_groups]
    pick, count = picker(dataset, condition, torch.device("cpu"))
    average = [weight.detach().clone() for weight in model.parameters()]
    batches = Batches(pick, count, e.training.batch_size, e.seed)
    for step, batch in enumerate(islice(batches, e.training.steps)):
        for group, rate in zip(optimizer.param_groups, rates, strict=True):
            group["lr"] = rate * warmup(step, e.training.warmup_steps)
        optimizer.zero_grad()
        model.loss(batch, e.training, step_streams(e.seed, step)).backward()
        optimizer.step()
        with torch.no_grad():
            torch._foreach_lerp_(average, list(model.parameters()), 1 - e.training.ema_decay if step else 1.0)
    with torch.no_grad():
        for weight, mean in zip(model.parameters(), average, strict=True):
            weight.copy_(mean)
    return held_out_loss(model, validation_batch(dataset, condition), e.training)[LOSS]


def vertex(losses: dict[int, float]) -> float | None:
    """log2 of the best rate over UNIT, from the lowest loss and its neighbours; None where it is at an edge."""
    best = min(losses, key=lambda k: losses[k])
    if not {best - 1, best + 1} <= losses.keys():
        return None
    low, middle, high = (losses[best + k] for k in (-1, 0, 1))
    return best + 0.5 * (low - high) / (low - 2 * middle + high)


@app.command()
def train(
    design: list[str] = [],  # noqa: B006, typer reads it
    size: list[str] = [],  # noqa: B006
    seeds: int = 0,
    out: Annotated[Path, typer.Option()] = OUT,
) -> None:
    """The trials of seed `seeds`; of some designs or sizes alone where they are named."""
    torch.set_num_threads(1)
    found = json.loads(out.read_text()) if out.exists() else {"recipe": RECIPE, "unit": UNIT, "trials": {}}
    for name in design or DESIGNS:
        for kind, at in [("standard", BASE), *((kind, at) for at in OTHERS for kind in ("standard", "mup"))]:
            if not size or at in size:
                curve(found, out, name, kind, at, seeds)


def curve(found: dict[str, Any], out: Path, design: str, kind: str, size: str, seed: int) -> None:
    """Losses over rates, until the lowest has neighbours on both sides."""
    losses = found["trials"].setdefault(f"{design}; {kind}; {size}; {seed}", {})
    todo = list(FIRST)
    while todo:
        octave = todo.pop(0)
        if str(octave) not in losses:
            loss = loss_of(experiment(design, kind, size, octave, seed))
            losses[str(octave)] = loss if math.isfinite(loss) else 1e9
            print(design, kind, size, seed, f"{UNIT * 2**octave:g}", f"{loss:.4f}", flush=True)
            write_atomic(out, json.dumps(found | {"provenance": provenance().as_json()}, indent=1) + "\n")
        if not todo:
            known = {int(k): v for k, v in losses.items()}
            best = min(known, key=lambda k: known[k])
            todo = [k for k in (best - 1, best + 1) if k not in known and k in FURTHEST]


@app.command()
def table(out: Annotated[Path, typer.Option()] = OUT) -> None:
    """The best rate of each size with its loss, and by how many octaves it drifts a doubling of the width."""
    trials = json.loads(out.read_text())["trials"]
    curves = {tuple(key.split("; ")): {int(k): v for k, v in losses.items()} for key, losses in trials.items()}
    print(f"| design | parametrization | {' | '.join(SHOWN)} | octaves a doubling | nano's rate at {SHOWN[-2]} |")
    print("| --- " * (4 + len(SHOWN)) + "|")
    for design, seed in dict.fromkeys((name, seed) for name, _, _, seed in curves):
        for kind in ("standard", "mup"):
            own = {at: curves.get((design, "standard" if at == BASE else kind, at, seed), {}) for at in SHOWN}
            print(f"| {design}, seed {seed} | {kind} | {' | '.join(best(c) for c in own.values())} | {lost(own)} |")


def best(losses: dict[int, float]) -> str:
    if not losses:
        return ""
    at = vertex(losses)
    return f"{UNIT * 2**at:.2g} ({min(losses.values()):.3f})" if at is not None else "at an edge"


def lost(own: dict[str, dict[int, float]]) -> str:
    """The slope of log2 of the best rate over log2 of the width; and what nano's best costs at another size."""
    at = {math.log2(SIZES[size].width): v for size, c in own.items() if c and (v := vertex(c)) is not None}
    drift = f"{linear_regression([*at], [*at.values()]).slope:+.2f}" if len(at) > 2 else ""
    wide, rate = own[SHOWN[-2]], min(own[BASE], key=lambda k: own[BASE][k])
    return f"{drift} | " + (f"{wide[rate] / min(wide.values()) - 1:+.1%}" if rate in wide else "not tried")


if __name__ == "__main__":
    app()
