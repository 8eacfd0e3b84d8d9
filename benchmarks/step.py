"""A training step at the published shapes: plain, compiled, recomputed, in bfloat16; ratios in one run.

    python benchmarks/step.py [--shape small] [--variant plain --variant compiled] [--out FILE.json]

The step is forward and backward of the loss with 34 of 256 tokens visible (the mean of the published mask ratio) and
all draws made, and then the same with AdamW. Variants take turns, so that what else the machine does falls on all.
`utilisation` is the share of a large matrix product's FLOP/s, measured in the same run, that forward and backward
reach by the closed form.
"""

import json
import statistics
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import torch
import typer
from published_shapes import DESIGNS, SHAPES, Shape, build, interleaved

from lina_lab import cost
from lina_lab.config.settings import ExecutionConfig, TrainingConfig
from lina_lab.model.lina import Lina
from lina_lab.model.random_streams import step_streams, stream, training_draws
from lina_lab.profiling.ceilings import measure_ceilings
from lina_lab.profiling.clock import PRECISIONS, choose_device, device_words, timed
from lina_lab.profiling.memory import peak_bytes
from lina_lab.provenance import provenance
from lina_lab.training.module import parameter_groups

VARIANTS = {
    "plain": ("fp32", ExecutionConfig(attention_backend="torch")),
    "compiled": ("fp32", ExecutionConfig(attention_backend="torch", compile=True)),
    "recompute MLPs": ("fp32", ExecutionConfig(attention_backend="torch", activation_checkpointing="mlp")),
    "recompute blocks": ("fp32", ExecutionConfig(attention_backend="torch", activation_checkpointing="block")),
    "bf16": ("bf16", ExecutionConfig(attention_backend="torch")),
    "bf16 compiled": ("bf16", ExecutionConfig(attention_backend="torch", compile=True)),
    "bf16 kernels": ("bf16", ExecutionConfig(attention_backend="triton")),
    "bf16 kernels compiled": ("bf16", ExecutionConfig(attention_backend="triton", compile=True)),
}
TRAINING = TrainingConfig(steps=1, batch_size=1, learning_rate=1e-4)


def steps(model: Lina, shape: Shape, batch: int, precision: str, device: torch.device) -> dict[str, Callable]:
    """What is timed: forward and backward, and the same with the optimizer."""
    generator = stream(0, "benchmark")
    side = shape.data.side
    latents = torch.randn(batch, shape.data.channels, side, side, generator=generator).to(device)
    labels = torch.randint(shape.data.num_classes, (batch,), generator=generator).to(device)
    visible = round(cost.mean_visible(model.tokens))
    optimizer = torch.optim.AdamW(parameter_groups(model, TRAINING), betas=(0.9, 0.95), fused=True)

    def backward() -> None:
        model.zero_grad()
        draws = training_draws(TRAINING, batch, model.tokens, model.values, step_streams(0, 0))
        with torch.autocast(device.type, torch.bfloat16, enabled=precision == "bf16"):
            loss = model.loss_of_draws(latents, labels, draws._replace(num_visible=visible).to(device))
        loss.backward()

    def whole() -> None:
        backward()
        optimizer.step()

    return {"backward": backward, "whole": whole}


def main(
    shape: str = "small",
    variant: list[str] = [],  # noqa: B006, typer reads it
    design: list[str] = [],  # noqa: B006
    batch: int = 0,
    rounds: int = 7,
    device: str = "auto",
    threads: int = 2,
    out: Annotated[Path | None, typer.Option()] = None,
) -> None:
    where, chosen = choose_device(device, threads), SHAPES[shape]
    batch = batch or chosen.batch
    names = variant or [name for name in VARIANTS if "kernels" not in name or where.type == "cuda"]
    parts, peaks, macs = {}, {}, {}
    for kind in design or list(DESIGNS):
        for name in names:
            precision, execution = VARIANTS[name]
            model = build(chosen, kind, execution, where)
            for part, call in steps(model, chosen, batch, precision, where).items():
                parts[kind, name, part] = lambda call=call: timed(call, where)[1]
            parts[kind, name, "backward"]()  # compiles, and allocates the gradients
            peaks[kind, name] = peak_bytes(steps(model, chosen, batch, precision, where)["backward"], where)
            macs[kind] = step_macs(model, shape, batch)
            print(f"{kind}, {name}: built", flush=True)
    seen = interleaved(parts, rounds)
    ceilings = {p: measure_ceilings(where, dtype).flops_per_second for p, dtype in PRECISIONS.items()}
    rows = []
    for (kind, name), peak in peaks.items():
        backward, whole = (seen[kind, name, part] for part in ("backward", "whole"))
        median = statistics.median(backward)
        rows.append({
            "design": kind,
            "variant": name,
            "step_ms": median,
            "least_ms": min(backward),
            "with_adamw_ms": statistics.median(whole),
            "images_per_second": 1000 * batch / statistics.median(whole),
            "peak_bytes": peak,
            "utilisation": 6 * macs[kind] / (median / 1000) / ceilings[VARIANTS[name][0]],
            "ratio": median / statistics.median(seen[kind, names[0], "backward"]),
        })  # fmt: skip
        print("  ".join(f"{k} {v:.4g}" if isinstance(v, float) else f"{k} {v}" for k, v in rows[-1].items()))
    if out is not None:
        facts = {"shape": shape, "batch": batch, "rounds": rounds, "device": device_words(where), "ceilings": ceilings}
        out.parent.mkdir(parents=True, exist_ok=True)
        out.write_text(json.dumps({**facts, "rows": rows, "provenance": provenance().as_json()}, indent=1) + "\n")


def step_macs(model: Lina, shape: str, batch: int) -> float:
    """Multiply-adds of one forward of a batch, by the closed form."""
    config, data = model.config, SHAPES[shape].data
    t = cost.tokens(config, data)
    visible = cost.mean_visible(t.image)
    stacks = cost.context_macs(config, data) + cost.image_macs(config, data, visible)
    return batch * (stacks + (t.image - visible) * TRAINING.loss_repeat * cost.head_macs(config, t.values))


if __name__ == "__main__":
    typer.run(main)
