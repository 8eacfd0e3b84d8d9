"""The sampler at the published shapes: plain, bfloat16, compiled, static with one CUDA graph; ratios in one run.

    python benchmarks/sample.py [--shape small] [--images 8] [--steps 16] [--flow-steps 10] [--out FILE.json]

Guided (2.4, ramp from 1), so the network sees twice the images; no autoencoder. Variants take turns. `difference` is
the root mean square of the difference to the plain samples over that of those samples.
"""

import json
import statistics
from pathlib import Path
from typing import Annotated, NamedTuple

import torch
import typer
from published_shapes import DESIGNS, SHAPES, build, interleaved

from lina_lab.config.settings import ExecutionConfig, SamplingConfig
from lina_lab.model.random_streams import sampling_draws, stream
from lina_lab.model.sampler import sample_of_draws
from lina_lab.profiling.clock import choose_device, device_words, timed
from lina_lab.profiling.memory import peak_bytes
from lina_lab.provenance import provenance


class Variant(NamedTuple):
    """How images are drawn: precision, execution, and whether steps have static shapes (and a graph on CUDA)."""

    precision: str
    execution: ExecutionConfig
    static: bool = False


PLAIN, COMPILED = ExecutionConfig(attention_backend="torch"), ExecutionConfig(attention_backend="torch", compile=True)
VARIANTS = {
    "plain": Variant("fp32", PLAIN),
    "compiled": Variant("fp32", COMPILED),
    "static": Variant("fp32", PLAIN, static=True),
    "bf16": Variant("bf16", PLAIN),
    "bf16 compiled": Variant("bf16", COMPILED),
    "bf16 static": Variant("bf16", PLAIN, static=True),
    "bf16 kernels static": Variant("bf16", ExecutionConfig(attention_backend="triton"), static=True),
}


def main(
    shape: str = "small",
    images: int = 8,
    steps: int = 16,
    flow_steps: int = 10,
    variant: list[str] = [],  # noqa: B006, typer reads it
    design: list[str] = [],  # noqa: B006
    rounds: int = 5,
    device: str = "auto",
    threads: int = 2,
    out: Annotated[Path | None, typer.Option()] = None,
) -> None:
    where, chosen = choose_device(device, threads), SHAPES[shape]
    names = variant or [name for name in VARIANTS if "kernels" not in name or where.type == "cuda"]
    calls, peaks, drawn = {}, {}, {}
    for kind in design or list(DESIGNS):
        for name in names:
            model = build(chosen, kind, VARIANTS[name].execution, where).eval()
            draws = [
                t.to(where) for t in sampling_draws([stream(0, i) for i in range(images)], model.tokens, model.values)
            ]
            labels = torch.arange(images, device=where)
            config = SamplingConfig(
                autoregressive_steps=steps,
                flow_steps=flow_steps,
                guidance_scale=2.4,
                precision=VARIANTS[name].precision,
            )

            def call(model=model, labels=labels, config=config, draws=draws, static=VARIANTS[name].static):
                return sample_of_draws(model, labels, config, *draws, static=static)

            drawn[kind, name] = call()
            peaks[kind, name] = peak_bytes(call, where)
            calls[kind, name] = lambda call=call: timed(call, where)[1]
            print(f"{kind}, {name}: built", flush=True)
    seen = interleaved(calls, rounds)
    rows = []
    for (kind, name), milliseconds in seen.items():
        plain = drawn[kind, names[0]]
        rows.append({
            "design": kind,
            "variant": name,
            "seconds": statistics.median(milliseconds) / 1000,
            "least_seconds": min(milliseconds) / 1000,
            "seconds_an_image": statistics.median(milliseconds) / 1000 / images,
            "peak_bytes": peaks[kind, name],
            "ratio": statistics.median(milliseconds) / statistics.median(seen[kind, names[0]]),
            "difference": ((drawn[kind, name] - plain).norm() / plain.norm()).item(),
        })  # fmt: skip
        print("  ".join(f"{k} {v:.4g}" if isinstance(v, float) else f"{k} {v}" for k, v in rows[-1].items()))
    if out is not None:
        facts = {"shape": shape, "images": images, "autoregressive_steps": steps, "flow_steps": flow_steps}
        facts |= {"rounds": rounds, "device": device_words(where)}
        out.parent.mkdir(parents=True, exist_ok=True)
        out.write_text(json.dumps({**facts, "rows": rows, "provenance": provenance().as_json()}, indent=1) + "\n")


if __name__ == "__main__":
    typer.run(main)
