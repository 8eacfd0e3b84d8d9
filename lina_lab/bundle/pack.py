"""Pack finished cells of a sweep for another machine: all that a report needs of them, without their weights."""

import json
import platform
from collections.abc import Iterable, Iterator
from functools import partial
from pathlib import Path, PurePath
from typing import NamedTuple

from safetensors.numpy import save

from lina_lab.analysis.gates import gates_file, read_gates
from lina_lab.analysis.samples import few_bytes, samples_of_cell
from lina_lab.bundle.archive import MOST_BYTES, Member, write_archive
from lina_lab.bundle.contents import CONFIG, COPIED, PLAN, PRUNED, RESULT, config_bytes
from lina_lab.errors import LabError
from lina_lab.ledger.cells import read_experiment
from lina_lab.ledger.forecasts import file_name, forecast_text, forecasts_of
from lina_lab.ledger.merged import FEW, GATES
from lina_lab.ledger.part import WHOLE, Part, belongs
from lina_lab.ledger.plan import Plan, PlannedCell, plan_text
from lina_lab.ledger.result import read_result
from lina_lab.ledger.status import ENDED, read_status
from lina_lab.plugins.load import FOLDER, file_of, files_of
from lina_lab.provenance import checkout, versions


class Packed(NamedTuple):
    """What a bundle holds of its part."""

    cells: int
    trials: int
    unfinished: int
    """Cells and trials of the part that have not ended, and are not in it."""
    bytes: int
    plan: str
    """Its name and id."""


def pack(runs: Path, plan: Plan, out: Path, part: Part = WHOLE) -> Packed:
    """Write the finished cells of a part of a sweep into one file. The same cells give the same bytes.

    Raises:
        LabError: if none has finished, or a file of one is damaged.
    """
    asked = [cell for cell in plan.everything if belongs(cell, part)]
    states = {cell.key: read_status(runs / cell.key).state for cell in asked}
    ended = [cell for cell in asked if states[cell.key] in ENDED]
    if not ended:
        raise LabError(f"{plan.name}: no cell of this part has ended: there is nothing to pack")
    facts = {
        "sweep": plan.name,
        "plan": plan.id,
        "host": platform.node(),
        "commit": checkout().commit,
        "versions": versions(),
    }
    size = write_archive(out, partial(_members, runs, plan, ended), facts)
    trials = sum(cell.trial is not None for cell in ended)
    left = len(asked) - len(ended)
    return Packed(cells=len(ended) - trials, trials=trials, unfinished=left, bytes=size, plan=plan.key)


def _members(runs: Path, plan: Plan, ended: list[PlannedCell]) -> Iterator[Member]:
    kept = plan._replace(file="", metric=plan.metric._replace(place=""))  # where its file lies is nobody's business
    yield PLAN, plan_text(kept).encode()
    for forecast in forecasts_of(runs, plan):
        yield f"forecasts/{file_name(forecast)}", forecast_text(forecast).encode()
    first = min((cell.seed for cell in plan.cells), default=None)
    keys = {cell.key for cell in ended}
    others = [cell.key for cell in plan.everything if cell.key not in keys and (runs / cell.key).exists()]
    yield from _plugins([runs / key for key in (*keys, *others)])
    for key in others:
        yield f"cells/{key}/{CONFIG}", config_bytes(read_experiment(runs / key), key)
    for cell in ended:
        for name, data in _of_cell(runs / cell.key, with_pictures=cell.seed == first):
            yield f"cells/{cell.key}/{name}", data


def _plugins(cells: Iterable[Path]) -> Iterator[Member]:
    """The copies of plugins that cells keep, each once; one with a file too large for a bundle is left out."""
    found = sorted(path for cell in cells for path in (cell / FOLDER).glob("*@*"))
    kept = {path.name.rpartition("@")[2]: path for path in found}
    for _, path in sorted(kept.items()):
        files = files_of(file_of(path))
        if max(map(len, files.values())) <= MOST_BYTES:
            yield from ((f"{FOLDER}/{path.name}/{name}", data) for name, data in files.items())


def _of_cell(folder: Path, *, with_pictures: bool) -> Iterator[Member]:
    """All members of a cell, what ends it last; gates and pictures of the first seed alone, as a report shows them."""
    yield CONFIG, config_bytes(read_experiment(folder), folder.name)
    for name in COPIED:
        if (folder / name).exists():
            yield name, (folder / name).read_bytes()
    for path in sorted((folder / "evaluations").glob("*.json")):
        yield f"evaluations/{path.name}", _without_paths(path)
    status = read_status(folder)
    if with_pictures and status.state == "done":
        if (gates := _gates(folder)) is not None:
            yield GATES, gates
        if (samples := samples_of_cell(folder)) is not None:
            yield FEW, few_bytes(samples)
    if status.state == "pruned":
        yield PRUNED, json.dumps({"reason": status.reason}).encode()
    else:
        read_result(folder)  # whole, and of this version
        yield RESULT, (folder / RESULT).read_bytes()


def _gates(folder: Path) -> bytes | None:
    """The learnt gates of a cell's weights; None if it has none."""
    path = gates_file(folder)
    gates = read_gates(path) if path.exists() else {}
    return save(gates) if gates else None


def _without_paths(path: Path) -> bytes:
    """A file of `lab evaluate`; of the reference it names the file alone, whose SHA-256 it has."""
    body = json.loads(path.read_text(encoding="utf-8"))
    evaluation = body.get("settings", {}).get("evaluation", {})
    if evaluation.get("reference"):
        evaluation["reference"] = PurePath(evaluation["reference"]).name
    return json.dumps(body, indent=1).encode()
