"""The end of a training, kept so that a longer one goes on from it (`checkpoint.keep_end`):

runs/<key>/end/step-0001000.ckpt   weights, optimizer and average after the last step
               end.json            whose end that is: the training, its last step, and its seconds; written last
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from lina_lab.errors import LabError
from lina_lab.files import write_atomic
from lina_lab.ledger.result import Result, read_result

END, RECORD = "end", "end.json"


class End(NamedTuple):
    """The kept end of a finished cell."""

    folder: Path
    """Of the cell."""
    training: str
    """`config.experiment.training_key`."""
    step: int
    seconds: float
    """Of training up to there, in earlier cells too."""
    result: Result


def write_end(folder: Path, training: str, step: int, seconds: float) -> None:
    """Say whose end state lies in the folder of a cell."""
    write_atomic(folder / END / RECORD, json.dumps({"training": training, "step": step, "seconds": seconds}))


def ends(runs: Path, training: str | None = None) -> list[End]:
    """The kept ends of finished cells, of one training or of all, the longest first; not yet looked at for damage."""
    found = [end for path in sorted(runs.glob(f"*/{END}/{RECORD}")) for end in _read(path, training)]
    return sorted(found, key=lambda end: -end.step)


def _read(path: Path, training: str | None) -> Iterator[End]:
    """Nothing of a cell that is not done, or whose record is damaged: a longer cell then begins elsewhere."""
    folder = path.parents[1]
    try:
        known = json.loads(path.read_text(encoding="utf-8"))
        if training in {None, known["training"]} and (result := read_result(folder)).state == "done":
            step, seconds = int(known["step"]), float(known["seconds"])
            yield End(folder=folder, training=known["training"], step=step, seconds=seconds, result=result)
    except (LabError, OSError, ValueError, KeyError, TypeError):
        return
