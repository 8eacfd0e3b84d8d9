"""What the random draws of one training step cost a process: of its share, and of the whole batch.

    OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 MKL_NUM_THREADS=1 python benchmarks/draws.py [--out FILE.json]

At the published batches: one of 2048 latents of 16 x 16 on 32 GPUs, and for text 4 and 1 images on each of 48. Times
are the best of several, in seconds of the processor, so that others on the machine do not count. A process draws while
its GPU works on the step before: draws cost nothing where they and the launches of a step take less time than the GPU.
"""

import json
import time
from pathlib import Path
from typing import Annotated, NamedTuple

import torch
import typer

from lina_lab.config.settings import TrainingConfig
from lina_lab.model.random_streams import BLOCK, WHOLE, BatchShard, step_streams, training_draws
from lina_lab.provenance import provenance

TRAINING = TrainingConfig(steps=1, batch_size=1, learning_rate=1e-4)


class Case(NamedTuple):
    batch: int
    processes: int
    tokens: int
    values: int


CASES = {
    "class, 256 px": Case(2048, 32, 256, 16),
    "text, 512 px": Case(192, 48, 1024, 16),
    "text, 1024 px": Case(48, 48, 4096, 16),
}


def milliseconds(case: Case, share: BatchShard) -> float:
    start = time.process_time()
    training_draws(TRAINING, case.batch, case.tokens, case.values, step_streams(0, 1), share)
    return 1000 * (time.process_time() - start)


def main(rounds: int = 5, out: Annotated[Path | None, typer.Option()] = None) -> None:
    torch.set_num_threads(1)

    rows = []
    for name, case in CASES.items():
        last = BatchShard(case.processes - 1, case.processes)
        share, whole = (min(milliseconds(case, which) for _ in range(rounds)) for which in (last, WHOLE))
        rows.append({"case": name, **case._asdict(), "share_ms": share, "whole_ms": whole, "ratio": whole / share})
        print("  ".join(f"{k} {v:.4g}" if isinstance(v, float) else f"{k} {v}" for k, v in rows[-1].items()))
    if out is not None:
        out.parent.mkdir(parents=True, exist_ok=True)
        out.write_text(
            json.dumps({"block": BLOCK, "rows": rows, "provenance": provenance().as_json()}, indent=1) + "\n"
        )


if __name__ == "__main__":
    typer.run(main)
