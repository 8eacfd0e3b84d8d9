"""metrics.csv of a cell: rows are only appended, but where a cell continues from an earlier step."""

import csv
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import NamedTuple

from lina_lab.errors import LabError
from lina_lab.files import write_atomic


class Metric(NamedTuple):
    """One value of one metric at one training step; `time` in Unix seconds."""

    step: int
    metric: str
    value: float
    time: float


def append_metrics(folder: Path, step: int, values: Mapping[str, float]) -> None:
    """Add a row for each metric, with the time of now."""
    path = folder / "metrics.csv"
    new = not path.exists()
    with path.open("a", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        if new:
            writer.writerow(Metric._fields)
        writer.writerows((step, name, repr(float(value)), f"{time.time():.3f}") for name, value in values.items())


def read_metrics(folder: Path) -> list[Metric]:
    """All complete rows of metrics.csv; a last row that a killed process left half written is passed over."""
    path = folder / "metrics.csv"
    return parse_metrics(path.read_text(encoding="utf-8"), path) if path.exists() else []


def parse_metrics(text: str, path: Path) -> list[Metric]:
    """The complete rows of a text; `path` is named in errors.

    Raises:
        LabError: naming the line that is none.
    """
    rows = csv.reader(text[: text.rfind("\n") + 1].splitlines())
    metrics = []
    for number, row in enumerate(rows, start=1):
        if number == 1:
            continue
        try:
            step, name, value, when = row
            metrics.append(Metric(step=int(step), metric=name, value=float(value), time=float(when)))
        except ValueError as error:
            raise LabError(f"{path}:{number}: must be step,metric,value,time, not {','.join(row)!r}") from error
    return metrics


def rewind_metrics(folder: Path, step: int, drop: str | None = None) -> None:
    """Drop the rows that a cell which continues after a step will write again; `drop` begins names of more of them."""
    write_metrics(
        folder, [r for r in read_metrics(folder) if r.step <= step and not (drop and r.metric.startswith(drop))]
    )


def write_metrics(folder: Path, rows: Iterable[Metric]) -> None:
    """Replace all rows."""
    lines = [",".join(Metric._fields), *(f"{r.step},{r.metric},{r.value!r},{r.time:.3f}" for r in rows)]
    write_atomic(folder / "metrics.csv", "".join(f"{line}\r\n" for line in lines))
