"""Add the cells of a bundle to a ledger: what is there stays, and nothing is added where two results disagree."""

import json
from collections.abc import Callable, Iterator, Mapping
from itertools import groupby
from pathlib import Path
from typing import Any, NamedTuple

from lina_lab.bundle.archive import read_archive
from lina_lab.bundle.contents import CONFIG, PRUNED, RESULT, experiment_of, place_of
from lina_lab.bundle.verify import Bundle
from lina_lab.errors import LabError
from lina_lab.files import sha256_of, write_atomic, write_new
from lina_lab.ledger.cells import create_cell
from lina_lab.ledger.forecasts import store_forecast
from lina_lab.ledger.leases import Lease, Watch, claim
from lina_lab.ledger.merged import write_merged
from lina_lab.ledger.plan import Plan, load_plan, plan_path, store_plan
from lina_lab.ledger.result import Result, is_done, read_result
from lina_lab.ledger.status import ENDED, read_cell, write_state

MAY_DIFFER = ("name", "seconds", "provenance", "continued")
"""Fields of a result that two runs of one cell need not share: where, when and how fast they ran."""
WEIGHTS = ("ema.safetensors", "trained.json", "samples/generated.npz", "points", "end")
"""What a cell that has begun here may have of its own weights."""


class Merged(NamedTuple):
    """What became of the cells and trials of a bundle."""

    added: int = 0
    there: int = 0
    """That had the same result already."""
    evaluations: int = 0
    """Added to those."""
    running: tuple[str, ...] = ()
    """Keys of those that are running here, and were left alone."""

    def told(self, bundle: Bundle, runs: Path) -> list[str]:
        """The same in words."""
        more = f" (with {self.evaluations} evaluations more)" if self.evaluations else ""
        lines = [f"{bundle.path}: {self.added} added to {runs}/, {self.there} were there{more}; {bundle.plan.name}"]
        alone = f"{bundle.path}: left alone, as they are running here: {', '.join(self.running)}"
        return [*lines, alone] if self.running else lines


def merge(runs: Path, bundle: Bundle, tell: Callable[[str], None] = lambda line: None) -> Merged:
    """Add the cells of a bundle that has been verified, and its plan and forecasts; `tell` hears what became of these.

    Raises:
        LabError: if a cell is there with another result, naming cell and field, or if tuning has chosen other cells
            here; then nothing is added.
    """
    there = _compared(runs, bundle)
    for line in _store_plan(runs, bundle.plan):
        tell(line)
    for forecast in bundle.forecasts:
        store_forecast(runs, forecast)
    facts = {name: bundle.manifest.facts.get(name) for name in ("sweep", "plan", "host", "commit", "versions")}
    origin = {"bundle": bundle.path.name, "sha256": sha256_of(bundle.path), **facts}
    added, evaluations, running = 0, 0, []
    for key, files in _cells(bundle):
        if key in there:
            evaluations += _add_evaluations(runs / key, files)
        elif key not in bundle.ended:
            _plan_cell(runs, key, files[CONFIG])
        elif _add_cell(runs, key, files, origin):
            added += 1
        else:
            running.append(key)
    return Merged(added=added, there=len(there), evaluations=evaluations, running=tuple(running))


def _compared(runs: Path, bundle: Bundle) -> set[str]:
    """Keys of cells of a bundle that have ended here, all of them alike."""
    there = set()
    for key, result in bundle.ended.items():
        status, own = read_cell(runs / key)
        if status.state in ENDED:
            there.add(key)
            if why := _difference(own, result):
                raise LabError(
                    f"{bundle.path}: cell {key} has another result in {runs}: {why}. Nothing of this file was added. "
                    f"To take the one of the file: lab clean --cell {key} first; to keep the one here: have it bundled "
                    "without that cell, by --where"
                )
    return there


def _cells(bundle: Bundle) -> Iterator[tuple[str, dict[str, bytes]]]:
    """The files of each cell, by name, in the order in which they are to be written."""
    placed = ((place_of(name), data) for name, data in read_archive(bundle.path, bundle.manifest))
    for key, files in groupby(placed, key=lambda member: member[0].key):
        if key:
            yield key, {place.name: data for place, data in files}


def _plan_cell(runs: Path, key: str, config: bytes) -> None:
    """A cell that has not ended where the bundle was made, as it waits before its first attempt."""
    if not (runs / key / "config.yaml").exists():
        create_cell(runs, experiment_of(config, key), key)


def _add_cell(runs: Path, key: str, files: dict[str, bytes], origin: Mapping[str, Any]) -> bool:
    """Add a cell under a lease of its own; False if another process has it, or has just ended it."""
    claimed = claim(runs / key, Watch())
    if claimed is None:
        return False
    with claimed:
        if is_done(runs / key):
            claimed.end(read_result(runs / key).state)
            return False
        _write_cell(runs, key, files, origin, claimed)
    return True


def _write_cell(runs: Path, key: str, files: dict[str, bytes], origin: Mapping[str, Any], claimed: Lease) -> None:
    """Write the files of a cell, the result last: until then it has none, and `lab sweep` would run it."""
    experiment = experiment_of(files[CONFIG], key)
    folder = create_cell(runs, experiment, key)
    _set_aside(folder, files.get("trained.json"), claimed.attempt.number)
    write_merged(folder, origin)
    end = RESULT if RESULT in files else PRUNED
    ended = json.loads(files[end])
    for name in files.keys() - {CONFIG, end}:
        write_atomic(folder / name, files[name])
    claimed.attempt = claimed.attempt._replace(host=str(origin["host"] or ""))  # where it ran
    if end == PRUNED:
        claimed.end("pruned", ended["reason"])
        return
    write_state(folder, step=ended["steps"], steps=experiment.training.steps)
    write_atomic(folder / RESULT, files[RESULT])
    claimed.end(ended["state"], f"merged from {origin['bundle']}")


def _set_aside(folder: Path, trained: bytes | None, number: int) -> None:
    """Keep weights that were trained here, unless they are those of the result, from being taken for its own."""
    weights = folder / "ema.safetensors"
    if trained is not None and weights.exists() and json.loads(trained).get("sha256") == sha256_of(weights):
        return
    for path in (folder / name for name in WEIGHTS):
        if path.exists():
            path.replace(path.with_name(f"{path.name}.{number}.damaged"))


def _add_evaluations(folder: Path, files: Mapping[str, bytes]) -> int:
    """Measurements that a cell with the same result lacks."""
    new = [name for name in files if name.startswith("evaluations/") or name == "guidance.csv"]
    return sum(write_new(folder / name, files[name].decode()) for name in new)


def _difference(own: Result | None, other: Result | None) -> str:
    """The first field in which two ends of a cell differ that must not; '' if there is none."""
    if own is None or other is None:
        states = ["pruned" if result is None else result.state for result in (own, other)]
        return "" if own is other else f"state is {states[0]}, and {states[1]} in the file"
    here, there = _flat(own.as_json()), _flat(other.as_json())
    for field in [*here, *(field for field in there if field not in here)]:
        if here.get(field) != there.get(field):
            return f"{field} is {here.get(field)}, and {there.get(field)} in the file"
    return ""


def _flat(value: Any, path: str = "") -> dict[str, Any]:
    """Values by dotted path, without what `MAY_DIFFER`, at any depth."""
    if isinstance(value, Mapping):
        inner = [(name, each) for name, each in value.items() if name not in MAY_DIFFER]
    elif isinstance(value, list | tuple):
        inner = list(enumerate(value))
    else:
        return {path: value}
    return {at: v for name, each in inner for at, v in _flat(each, f"{path}.{name}" if path else str(name)).items()}


def _store_plan(runs: Path, plan: Plan) -> list[str]:
    """Keep the plan of a bundle: of the same study its union with the plan here, of another beside it.

    Raises:
        LabError: if tuning has chosen other cells here, or the plan here is damaged.
    """
    if not plan_path(runs, plan.name).exists():
        store_plan(runs, plan, plan.provenance)
        return []
    here = load_plan(runs, plan.name)
    if here.id == plan.id:
        whole = joined(here, plan)
        if whole != here:
            store_plan(runs, whole, whole.provenance)
        return []
    store_plan(runs, plan._replace(name=plan.key), plan.provenance)
    name, old = plan.name, len(here.cells)
    return [
        f"{name}: the file has another plan of this name, with {len(plan.cells)} cells, where {old} are planned here",
        f"{name}: it is kept as {plan.key}: lab status {plan.key}, lab report {plan.key}",
        f"{name}: for one report of all, lab sweep with a YAML that has all cells: those with a result do not run",
    ]


def joined(here: Plan, other: Plan) -> Plan:
    """Two plans of one study as one, which has what tuning has found for either.

    Raises:
        LabError: if tuning has chosen another cell for the same place of the grid.
    """
    known = {(str(cell.values), cell.seed): cell.key for cell in here.cells}
    for cell in other.cells:
        if (own := known.get((str(cell.values), cell.seed), cell.key)) != cell.key:
            raise LabError(
                f"{here.name}: tuning has chosen cell {own} here for {cell.label}, seed {cell.seed}, and {cell.key} in "
                "the file: the two are different studies. Nothing of this file was added"
            )
    first = min(here, other, key=lambda plan: plan.provenance.started)
    # Of plans that tuning has filled to different ends, the fuller one gives the order.
    full, more = sorted((first, here if first is other else other), key=lambda plan: -len(plan.everything))
    keys = {cell.key for cell in full.everything}
    return here._replace(
        cells=[*full.cells, *(cell for cell in more.cells if cell.key not in keys)],
        trials=[*full.trials, *(cell for cell in more.trials if cell.key not in keys)],
        omitted=[*full.omitted, *(omission for omission in more.omitted if omission not in full.omitted)],
        provenance=first.provenance,
    )
