"""One attention module as it is, compiled, and with Triton kernels, against softmax by SDPA, at the published width.

    python benchmarks/attention.py [--device cuda] [--out benchmarks/results/attention.json]
    OMP_NUM_THREADS=1 python benchmarks/attention.py --device cpu --tokens 64 --tokens 320 --batch 1 --variant plain

bf16 on a GPU, fp32 on a processor. Every row has milliseconds of forward and backward (medians over rounds), peak
bytes, the bytes kept for the backward, and the share of the roofline measured in the same run. Kernels are measured
where there is a GPU; what is above --limit seconds is empty.
"""

import json
import time
from pathlib import Path
from typing import Annotated, Any

import pandas as pd
import torch
import typer

from lina_lab.analysis.profile import BASE, SOFTMAX
from lina_lab.config.settings import ExecutionConfig
from lina_lab.profiling.attention import AttentionSetting, profile_attention
from lina_lab.profiling.clock import choose_device
from lina_lab.profiling.designs import designs
from lina_lab.provenance import provenance

VARIANTS = {
    "plain": ExecutionConfig(attention_backend="torch"),
    "compiled": ExecutionConfig(attention_backend="torch", compile=True),
    "triton": ExecutionConfig(attention_backend="triton"),
}
KEPT = (
    *("variant", "design", "batch", "tokens", "forward_ms", "backward_ms", "iqr_ms", "repeats", "peak_bytes"),
    *("activation_bytes", "macs", "bound_ms", "roofline", "reason"),
)


def rows_of(variant: str, batch: int, tokens: list[int], device: torch.device, limit: float) -> pd.DataFrame:
    """LINA in one variant; softmax beside it where it is not by kernels, for linear attention alone has them."""
    precision = "bf16" if device.type == "cuda" else "fp32"
    names = {BASE} if variant == "triton" else {BASE, SOFTMAX}
    chosen = [design for design in designs(precision)[0] if design.name in names]
    setting = AttentionSetting(1536, 16, batch, precision, device, limit, VARIANTS[variant])
    return profile_attention(setting, tokens, chosen).assign(variant=variant)


def as_json(table: pd.DataFrame) -> list[dict[str, Any]]:
    """Rows without what was not measured."""
    return [{k: v for k, v in row.items() if pd.notna(v) and v != ""} for row in table.to_dict("records")]


def main(
    device: str = "auto",
    tokens: list[int] = [320, 1280, 5120, 16384],  # noqa: B006, typer reads it
    batch: list[int] = [1, 2, 8],  # noqa: B006
    variant: list[str] = [],  # noqa: B006
    threads: int = 1,
    limit: float = 2.0,
    out: Annotated[Path | None, typer.Option()] = None,
) -> None:
    where = choose_device(device, threads)
    variants = variant or [name for name in VARIANTS if name != "triton" or where.type == "cuda"]
    started = time.monotonic()
    tables = []
    for images in batch:
        for name in variants:
            tables.append(rows_of(name, images, tokens, where, limit))
            print(f"{name}, batch {images}: {time.monotonic() - started:.0f} s passed", flush=True)
    table = pd.concat(tables, ignore_index=True)
    print(table[list(KEPT)].drop(columns=["macs", "iqr_ms", "repeats"]).to_string(index=False, float_format="%.4g"))
    if out is not None:
        first = table.iloc[0]
        facts = {name: first[name] for name in ("device", "precision", "width", "num_heads")}
        facts |= {name: max(table[name]) for name in ("flops_per_second", "bytes_per_second")}
        result = {**facts, "rows": as_json(table[list(KEPT)]), "provenance": provenance().as_json()}
        out.parent.mkdir(parents=True, exist_ok=True)
        out.write_text(json.dumps(result, indent=1, default=lambda number: number.item()) + "\n")


if __name__ == "__main__":
    typer.run(main)
