"""What the ledger says of a cell, in the terms that MLflow keeps: rows, params, tags."""

import hashlib
import json
from collections.abc import Iterator, Mapping
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import yaml

from lina_lab.fact_names import metric
from lina_lab.ledger.metrics import Metric, read_metrics
from lina_lab.ledger.plan import Plan, PlannedCell
from lina_lab.ledger.result import Result
from lina_lab.ledger.status import read_cell


class Facts(NamedTuple):
    state: str
    rows: list[Metric]
    """The rows of metrics.csv, then what only the result says, as rows at the last step."""
    params: dict[str, str]
    """The axes by their short names, and every leaf of the config by its dotted name."""
    tags: dict[str, str]


def read_facts(folder: Path, cell: PlannedCell, plan: Plan) -> Facts:
    """The facts of a cell whose folder is there.

    Raises:
        LabError: if metrics.csv is damaged.
    """
    # The result before the metrics: when there is one, no row is still to come.
    status, result = read_cell(folder)
    rows = read_metrics(folder)
    provenance = plan.provenance if result is None else result.provenance
    tags = {
        "lab.sweep": plan.name,
        "lab.role": "cell" if cell.trial is None else "trial",
        "lab.cell": cell.label,
        "lab.key": cell.key,
        "lab.seed": str(cell.seed),
        "lab.attempt": str(status.attempt or 1),
        "lab.commit": provenance.commit or "unknown",
        "lab.state": status.state,
        # Nothing tells a single cell from others: MLflow would make up a name, and store two.
        "mlflow.runName": cell.label or plan.name,
    }
    if result is not None and result.continued is not None:
        tags["lab.continued"] = f"{result.continued.cell}, step {result.continued.step}"
    axes = {name: _text(value) for name, value in cell.values.items()}
    last = [] if result is None else _last_rows(result, rows)
    return Facts(state=status.state, rows=[*rows, *last], params=_config(folder) | axes, tags=tags)


def stamp(folder: Path) -> tuple[object, ...]:
    """Changes whenever something that is shipped does."""
    names = ("config.yaml", "metrics.csv", "state.json", "result.json", "error.txt")
    paths = [folder / name for name in names] + sorted(folder.glob("samples/step-*.png"))
    stats = [(path.name, path.stat()) for path in paths if path.exists()]
    # Heartbeats touch the file of an attempt; what it says changes its size.
    attempts = tuple((path.name, path.stat().st_size) for path in sorted(folder.glob("attempts/*.json")))
    return attempts + tuple((name, stat.st_size, stat.st_mtime_ns) for name, stat in stats)


def sheets(folder: Path) -> dict[int, Path]:
    """Step to sheet of sample images."""
    return {int(path.stem.rpartition("-")[2]): path for path in sorted(folder.glob("samples/step-*.png"))}


def digest_rows(rows: list[Metric]) -> str:
    return hashlib.sha256("".join(f"{r}\n" for r in rows).encode()).hexdigest()[:16]


def digest_files(paths: list[Path]) -> str:
    hashes = (f"{path.name} {hashlib.sha256(path.read_bytes()).hexdigest()}\n" for path in paths)
    return hashlib.sha256("".join(hashes).encode()).hexdigest()[:16]


def digest_seen(paths: list[Path]) -> str:
    """`digest_files`, without reading again what looks as before."""
    stats = [(path, path.stat()) for path in paths]
    return _digest_stamped(tuple((path, stat.st_size, stat.st_mtime_ns) for path, stat in stats))


@lru_cache(maxsize=8)
def _digest_stamped(seen: tuple[tuple[Path, int, int], ...]) -> str:
    return digest_files([path for path, *_ in seen])


def _last_rows(result: Result, rows: list[Metric]) -> Iterator[Metric]:
    """Cost, and metrics that have no row of their own, so that a chart can use them."""
    when = rows[-1].time if rows else 0.0
    values: dict[str, float] = {metric(f"parameters.{name}"): count for name, count in result.parameters.items()}
    values |= {metric(f"flops.{name}"): count for name, count in result.flops.items()}
    values |= {metric(f"seconds.{name}"): seconds for name, seconds in result.seconds.items()}
    values |= {metric("samples_seen"): result.samples_seen}
    values |= {metric("continued.seconds"): result.continued.seconds} if result.continued else {}
    written = {row.metric for row in rows}
    values |= {name: value for name, value in result.metrics.items() if name not in written}
    yield from (Metric(step=result.steps, metric=name, value=float(value), time=when) for name, value in values.items())


def _config(folder: Path) -> dict[str, str]:
    path = folder / "config.yaml"
    if not path.exists():
        return {}
    values = yaml.safe_load(path.read_text(encoding="utf-8"))
    return {name: _text(value) for name, value in _leaves("", values, ".")}


def _leaves(prefix: str, values: Mapping[str, object], separator: str) -> Iterator[tuple[str, object]]:
    for key, value in values.items():
        name = f"{prefix}{separator}{key}" if prefix else key
        if isinstance(value, dict):
            yield from _leaves(name, value, separator)
        else:
            yield name, value


def _text(value: object) -> str:
    """As in YAML: words bare, the rest as JSON."""
    return value if isinstance(value, str) else json.dumps(value)
