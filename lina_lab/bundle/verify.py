"""Everything that can be wrong with a bundle, found before anything of it is written."""

import json
import re
from pathlib import Path
from typing import NamedTuple

from safetensors import SafetensorError
from safetensors.numpy import load

from lina_lab.analysis.gates import GATE
from lina_lab.analysis.samples import parse_few
from lina_lab.bundle.archive import Manifest, read_archive, read_manifest
from lina_lab.bundle.contents import CONFIG, METRICS, PLAN, PLUGIN, PRUNED, RESULT, Place, experiment_of, place_of
from lina_lab.errors import LabError
from lina_lab.ledger.forecasts import Forecast, file_name, parse_forecast
from lina_lab.ledger.merged import FEW, GATES
from lina_lab.ledger.metrics import parse_metrics
from lina_lab.ledger.plan import Plan, parse_plan
from lina_lab.ledger.result import Result, parse_result
from lina_lab.plugins.load import digest_of, load_known

KEY = re.compile(r"[0-9a-f]{12}")
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,200}(@[0-9a-f]{8})?")


class Bundle(NamedTuple):
    """A bundle whose every member is what its manifest says."""

    path: Path
    manifest: Manifest
    plan: Plan
    forecasts: list[Forecast]
    ended: dict[str, Result | None]
    """The result of every cell, by key; None of a trial that was pruned."""


def verified(path: Path, runs: Path | None = None) -> Bundle:
    """Read a bundle from end to end and check all of it.

    Its cells may use plugins that are loaded, or that cells in `runs` have used before: what it has of them is not run.

    Raises:
        LabError: naming the file, the member and what is wrong with it.
    """
    manifest = read_manifest(path)
    digests = _plugins(manifest, path)
    if runs is not None:
        load_known(runs, digests)
    plan: Plan | None = None
    forecasts: list[Forecast] = []
    ended: dict[str, Result | None] = {}
    order = _Order()
    for name, data in read_archive(path):
        where = Path(f"{path}: {name}")
        try:
            place = place_of(name)
        except LabError as error:
            raise LabError(f"{path}: {error}") from error
        order.check(place, where)
        if place.name == PLAN:
            plan = _plan(data, where)
        elif not place.key and not PLUGIN.fullmatch(name):
            forecasts.append(_forecast(data, where, place.name))
        elif place.name in {RESULT, PRUNED}:
            ended[place.key] = _end(data, where, place.key, place.name)
        elif place.key:
            _check(data, where, place.key, place.name)
    order.check(Place("", ""), path)
    _check_whole(path, plan, forecasts, ended, order.seen)
    assert plan is not None  # noqa: S101, checked
    return Bundle(path=path, manifest=manifest, plan=plan, forecasts=forecasts, ended=ended)


def _plugins(manifest: Manifest, path: Path) -> set[str]:
    """Digests of the plugins of which a bundle has a copy. Nothing of these is run."""
    sums: dict[tuple[str, str], dict[str, str]] = {}
    for name, (sha256, _) in manifest.members.items():
        if (found := PLUGIN.fullmatch(name)) is not None:
            sums.setdefault((found[1], found[2]), {})[found[3]] = sha256
    for (stem, digest), files in sums.items():
        if next(iter(files)) != f"{stem}.py" or digest_of(files) != digest:
            raise LabError(f"{path}: plugins/{stem}@{digest}: was changed: its digest must be {digest}")
    return {digest for _, digest in sums}


class _Order:
    """The order of members: those of a cell together, its config first and what ends it last, or its config alone."""

    def __init__(self) -> None:
        self.seen: set[str] = set()
        """Keys of cells."""
        self.key, self.last = "", ""

    def check(self, place: Place, where: Path) -> None:
        """Take the next member; a place without key and name is the end.

        Raises:
            LabError: if it may not follow what came before.
        """
        if place.key != self.key:
            whole = not self.key or self.last in {CONFIG, PRUNED, RESULT}
            fits = whole and (not place.key or (place.name == CONFIG and place.key not in self.seen))
        else:
            fits = not place.key or self.last not in {PRUNED, RESULT}
        if not fits:
            raise LabError(f"{where}: is out of its order: a cell begins with {CONFIG} and ends with its result")
        self.key, self.last = place
        self.seen |= {place.key} - {""}


def _check_whole(
    path: Path, plan: Plan | None, forecasts: list[Forecast], ended: dict[str, Result | None], keys: set[str]
) -> None:
    if plan is None:
        raise LabError(f"{path}: has no {PLAN}")
    known = {cell.key: cell for cell in plan.everything}
    if stray := keys - known.keys():
        raise LabError(f"{path}: has cells that are not in its plan: {', '.join(sorted(stray))}")
    for key, result in ended.items():
        if result is None and known[key].trial is None:
            raise LabError(f"{path}: cells/{key}/{PRUNED}: is of no trial: only trials are pruned")
    if any(forecast.sweep != plan.base for forecast in forecasts):
        raise LabError(f"{path}: has forecasts of another sweep than {plan.base}")


def _text(data: bytes, where: Path) -> str:
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        raise LabError(f"{where}: damaged: {error}") from error


def _plan(data: bytes, where: Path) -> Plan:
    try:
        plan = parse_plan(_text(data, where), where)
    except RecursionError as error:
        raise LabError(f"{where}: damaged: {error}") from error
    cells = plan.everything
    whole = all(KEY.fullmatch(str(c.key)) and isinstance(c.seed, int) and isinstance(c.values, dict) for c in cells)
    if not whole or not NAME.fullmatch(plan.name) or plan.file:
        raise LabError(f"{where}: must have the name of a sweep, keys, values and seeds of cells, and name no file")
    return plan


def _forecast(data: bytes, where: Path, name: str) -> Forecast:
    forecast = parse_forecast(_text(data, where), where)
    if file_name(forecast) != name:
        raise LabError(f"{where}: is of another forecast, {file_name(forecast)}")
    return forecast


def _end(data: bytes, where: Path, key: str, name: str) -> Result | None:
    if name == PRUNED:
        if not isinstance(_json(data, where).get("reason"), str):
            raise LabError(f"{where}: damaged: has no reason")
        return None
    result = parse_result(_text(data, where), where)
    if result.key != key or result.state not in {"done", "diverged"}:
        raise LabError(f"{where}: is the result of cell {result.key}, {result.state}")
    return result


def _json(data: bytes, where: Path) -> dict[str, object]:
    try:
        return dict(json.loads(data))
    except (ValueError, TypeError, RecursionError) as error:
        raise LabError(f"{where}: damaged: {error}") from error


def _check(data: bytes, where: Path, key: str, name: str) -> None:
    """A member of a cell that is no end of it."""
    if name == CONFIG:
        try:
            experiment_of(data, key)
        except LabError as error:
            raise LabError(f"{where}: {error}") from error
    elif name == FEW:
        parse_few(data, where)
    elif name == GATES:
        try:
            names = load(data)
        except SafetensorError as error:
            raise LabError(f"{where}: damaged: {error}") from error
        if stray := [gate for gate in names if not GATE.match(gate)]:
            raise LabError(f"{where}: has {stray[0]}, which is no gate")
    elif name.endswith(".json"):
        _json(data, where)
    else:
        text = _text(data, where)
        if name == METRICS:
            parse_metrics(text, where)
