"""The gate maps of a cell, from its trained weights or any of its checkpoints."""

from pathlib import Path

from lina_lab.analysis.gates import read_gates
from lina_lab.figures.gates import write_gates
from lina_lab.ledger.cells import find_cell, read_experiment


def draw_gates(runs: Path, name: str, checkpoint: Path | None, out: Path | None, *, atlas: bool) -> None:
    """Write the maps and say what they show, a line for each layer and gate."""
    folder = find_cell(runs, name)
    experiment = read_experiment(folder)
    path, out = checkpoint or folder / "ema.safetensors", out or folder / "figures"
    if path.suffix == ".ckpt":
        from lina_lab.training.as_numpy import checkpoint_weights

        weights = checkpoint_weights(path)
    else:
        weights = read_gates(path)
    for line in write_gates(experiment, weights, out, atlas=atlas):
        print(line)
    print(f"wrote gates of {path} to {out}")
