"""Forecasts of a sweep: what its cells were said to reach, written down before they had a result.

runs/sweeps/<name>.forecasts/<date>-<start of its SHA-256>.json

A file is created and never written again. Forecasts of a name are those of every plan that has run under it: a cell is
known by its key.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from lina_lab.config.experiment import digest
from lina_lab.config.sweep import Scalar
from lina_lab.errors import LabError
from lina_lab.files import write_new
from lina_lab.ledger.plan import Plan
from lina_lab.provenance import Provenance
from lina_lab.record import Record

SCHEMA = 1
CURVE, SEEDS = "curve", "seeds"
"""What a forecast was made by: the curve through other sizes, or the other seeds of the size itself."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Predicted(Record):
    """A value and its interval."""

    value: float
    low: float
    high: float

    def holds(self, reached: float) -> bool:
        return self.low <= reached <= self.high


@dataclass(frozen=True, slots=True, kw_only=True)
class Datum(Record):
    """A cell that the forecast was made from."""

    key: str
    value: float


@dataclass(frozen=True, slots=True, kw_only=True)
class CellForecast(Record):
    """What one cell will reach."""

    key: str
    values: Mapping[str, Scalar]
    """Its value on every axis."""
    seed: int
    parameters: int
    state: str
    """Of the cell when the forecast was made: waiting, running or failed."""
    by: str
    """`CURVE` or `SEEDS`."""
    cells: int
    """Of the same design, that it was made from."""
    predicted: Predicted
    power: Predicted | None = None
    """As a power law; beside it `predicted` allows any floor."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GapForecast(Record):
    """Two designs that differ on one axis, at a size of which neither has a result: the mean over seeds of A / B."""

    axis: str
    a: Mapping[str, Scalar]
    b: Mapping[str, Scalar]
    size: str
    parameters: int
    seeds: Sequence[int]
    """That both will have."""
    pairs: int
    """Of other sizes, that it was made from."""
    predicted: Predicted
    power: Predicted | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Forecast(Record):
    """All that was forecast at one moment, and from what."""

    schema: int
    sweep: str
    plan: str
    """Its id."""
    metric: str
    """A column of the results table."""
    level: float
    """Of every interval, taken by itself."""
    data_sha256: str
    """Of `data`: see `data_digest`."""
    data: tuple[Datum, ...]
    cells: tuple[CellForecast, ...]
    gaps: tuple[GapForecast, ...]
    missing: Sequence[str]
    """What could not be forecast, and what it lacks."""
    provenance: Provenance
    """Of the command that made it: commit, changes, versions, command, and in `started` the date."""

    @property
    def date(self) -> str:
        return self.provenance.started


def data_digest(data: Iterable[Datum]) -> str:
    """SHA-256 of [[key, value], ...] in the order of the keys, as JSON with sorted keys and without spaces."""
    return digest(sorted([datum.key, datum.value] for datum in data))


def store_forecast(runs: Path, forecast: Forecast) -> Path:
    """Write a forecast down, as a new file."""
    path = _folder(runs, forecast.sweep) / file_name(forecast)
    write_new(path, forecast_text(forecast))  # one that is there is the same
    return path


def file_name(forecast: Forecast) -> str:
    """Its date, and the start of its SHA-256."""
    stamp = forecast.date.replace("-", "").replace(":", "").replace("+0000", "Z")
    return f"{stamp}-{digest(forecast.as_json())[:8]}.json"


def forecasts_of(runs: Path, plan: Plan) -> tuple[Forecast, ...]:
    """All forecasts of a sweep, the oldest first; of those of one second, the one from fewer cells.

    Raises:
        LabError: if a file is damaged.
    """
    paths = sorted(_folder(runs, plan.base).glob("*.json"))
    found = [parse_forecast(path.read_text(encoding="utf-8"), path) for path in paths]
    return tuple(sorted(found, key=lambda forecast: (forecast.date, len(forecast.data))))


def read_forecasts(path: Path) -> tuple[Forecast, ...]:
    """The forecasts that a report keeps in one file, the oldest first; none without the file.

    Raises:
        LabError: if it is damaged.
    """
    if not path.exists():
        return ()
    try:
        return tuple(checked(Forecast.from_json(each)) for each in json.loads(path.read_text(encoding="utf-8")))
    except (ValueError, TypeError) as error:
        raise LabError(f"{path}: damaged ({error}); lab report writes it again from the ledger") from error


def forecasts_text(forecasts: Iterable[Forecast]) -> str:
    """What `read_forecasts` reads."""
    return json.dumps([forecast.as_json() for forecast in forecasts], indent=1, allow_nan=False) + "\n"


def forecast_text(forecast: Forecast) -> str:
    """What `parse_forecast` reads."""
    return json.dumps(forecast.as_json(), indent=1, allow_nan=False) + "\n"


def parse_forecast(text: str, path: Path) -> Forecast:
    """The forecast that a text holds; `path` is named in errors.

    Raises:
        LabError: if it is damaged, was changed, or is of another version.
    """
    try:
        return checked(Forecast.from_json(json.loads(text)))
    except (ValueError, TypeError) as error:
        raise LabError(f"{path}: damaged ({error}): move it away, and its cells have no forecast") from error


def checked(forecast: Forecast) -> Forecast:
    """The same forecast.

    Raises:
        ValueError: if it is of another version, or its data are not those of its digest.
    """
    if forecast.schema != SCHEMA:
        raise ValueError(f"schema {forecast.schema}, where this version reads {SCHEMA}")
    if forecast.data_sha256 != data_digest(forecast.data):
        raise ValueError("data_sha256 is not that of data")
    return forecast


def _folder(runs: Path, sweep: str) -> Path:
    return runs / "sweeps" / f"{sweep}.forecasts"
