"""How long a dry run takes to plan and print 20,000 cells, and how much memory; nothing is timed or run."""

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from lina_lab.provenance import provenance

EXPERIMENT = Path(__file__).parents[1] / "experiments" / "digits.yaml"
SWEEP = """\
name: many
question: How long does it take to plan?
experiment: {experiment}
axes:
  model.attention.normalization: [division, subtraction]
  model.attention.conv_kernel: [0, 3, 5, 7]
  model.size: [nano, micro, tiny, small, base]
  training.learning_rate: {rates}
seeds: {seeds}
"""


def measure(rates: int, seeds: int) -> dict[str, float]:
    with tempfile.TemporaryDirectory() as folder:
        path, before = Path(folder) / "many.yaml", resource.getrusage(resource.RUSAGE_CHILDREN)
        learning_rates = [round(1e-4 * (1 + i / 100), 7) for i in range(rates)]
        path.write_text(SWEEP.format(experiment=EXPERIMENT, rates=learning_rates, seeds=list(range(seeds))))
        words = [sys.executable, "-m", "lina_lab.cli.main", "sweep", path.name, "--dry-run", "--no-timing"]
        started = time.monotonic()
        subprocess.run(words, cwd=folder, check=True, capture_output=True)
        wall, after = time.monotonic() - started, resource.getrusage(resource.RUSAGE_CHILDREN)
    processor = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return {"cells": 40 * rates * seeds, "s": wall, "processor s": processor, "peak MB": after.ru_maxrss / 1024}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path)
    out = parser.parse_args().out
    found = {"20,000 points": measure(500, 1), "1,000 points of 20 seeds": measure(25, 20)}
    text = json.dumps(found | {"provenance": provenance().as_json()}, indent=1)
    print(text)
    if out:
        out.write_text(text + "\n")


if __name__ == "__main__":
    main()
