"""`lab clean`: what no result needs, and, by key, what the user has done with."""

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import typer

from lina_lab.cli.console import human
from lina_lab.errors import LabError
from lina_lab.files import remove
from lina_lab.ledger.ends import END
from lina_lab.ledger.leases import Watch, last_attempt
from lina_lab.ledger.plan import load_plan, plan_names
from lina_lab.ledger.result import read_result
from lina_lab.ledger.status import read_status

KEY = re.compile(r"[0-9a-f]{12}")
STARTS_FROM = re.compile(r"^  init_from:\n    cell: '?([0-9a-f]{12})\b", re.MULTILINE)
"""In a config.yaml as the ledger writes it: to read each as YAML would take milliseconds a cell."""
KEPT = ("result.json*", "trained.json", "ema.safetensors", "imported*", "evaluations", "guidance.csv")
"""A result, or the work behind one: a cell that has any of these goes only by its key."""


class Removable(NamedTuple):
    path: Path
    reason: str


class Plans(NamedTuple):
    """The plans of a ledger, those of today and all before them."""

    sweeps: dict[str, list[str]]
    """Key of a cell to the names of the sweeps that have or had it."""
    damaged: list[str]
    """What could not be read: which cells that has is not known."""


def clean_up(
    runs: Path, names: Sequence[str], cells: Sequence[str] = (), *, sure: bool, with_ends: bool = False
) -> None:
    """List what can go with its size and why, ask, and remove exactly that; `with_ends`: kept end states too."""
    plans = read_plans(runs)

    def can_go(plans: Plans) -> list[Removable]:
        return [*removable(runs, plans, names, cells), *(kept_ends(runs, plans, names) if with_ends else ())]

    found = can_go(plans)
    for problem in plans.damaged:
        print(f"{problem}\nuntil that is mended, every cell counts as one of its plan")
    if not found:
        print(f"nothing to remove in {runs}/")
    sizes = {item.path: _size(item.path) for item in found}
    for item in found:
        print(f"{human(sizes[item.path]):>12}  {item.path}  {item.reason}")
    ends = [] if with_ends or cells else list(kept_ends(runs, plans, names))
    if ends:
        size = human(sum(_size(item.path) for item in ends))
        print(f"kept: {size} of end states of {len(ends)} cells, for longer ones; lab clean --ends removes them")
    kept = 0 if names or cells else sum(f.name not in plans.sweeps and _is_kept(f) for f in _cells(runs))
    if kept:
        print(f"kept: {kept} trained cells that are in no plan; lab clean --cell KEY removes one")
    if found and (sure or typer.confirm(f"remove these {len(found)} ({human(sum(sizes.values()))})?")):
        # What has begun to run, or has ended, or is needed since it was listed stays.
        still = {item.path for item in can_go(read_plans(runs))}
        gone = [path for path in sizes if path in still]
        for path in gone:
            remove(path)
        print(f"removed {len(gone)}, {human(sum(sizes[path] for path in gone))}")


def read_plans(runs: Path) -> Plans:
    """Which sweep every cell is or was in."""
    plans = Plans({}, [])
    for name in plan_names(runs):
        try:
            stored = load_plan(runs, name)
        except LabError as error:
            plans.damaged.append(str(error))
            continue
        for cell in stored.everything:
            of = plans.sweeps.setdefault(cell.key, [])
            of += {stored.base} - set(of)
    return plans


def removable(runs: Path, plans: Plans, names: Sequence[str], cells: Sequence[str]) -> Iterator[Removable]:
    """What can go of the cells of some sweeps, or of all; and whole cells that are asked for by their key.

    Raises:
        LabError: if there is no such sweep or cell, or if a cell that is asked for is needed.
    """
    asked = {_named(runs, cell) for cell in cells}
    if asked:
        starts = _starts(runs)
        yield from (_asked_for(folder, plans, starts, {cell.name for cell in asked}) for folder in sorted(asked))
    if asked and not names:
        return
    wanted = {load_plan(runs, name).base for name in names}
    idle = [folder for folder in _cells(runs) if folder not in asked and Watch().is_over(last_attempt(folder))]
    loose = [] if names or plans.damaged else [f for f in idle if f.name not in plans.sweeps and not _is_kept(f)]
    needed = _needed(_starts(runs), {folder.name for folder in loose}) if loose else set()
    for folder in idle:
        if folder in loose and folder.name not in needed:
            yield Removable(folder, f"a cell of no plan, and without a result ({_how_far(folder)})")
        elif not names or wanted & set(plans.sweeps.get(folder.name, [])):
            yield from _inside(folder)


def kept_ends(runs: Path, plans: Plans, names: Sequence[str]) -> Iterator[Removable]:
    """The end states of finished cells of some sweeps, or of all."""
    wanted = {load_plan(runs, name).base for name in names}
    for folder in _cells(runs):
        of = wanted & set(plans.sweeps.get(folder.name, []))
        if (folder / END).exists() and (of or not names) and _result(folder):
            yield Removable(folder / END, "the end of its training: without it, a longer one trains from the start")


def _inside(folder: Path) -> Iterator[Removable]:
    """Of a cell that stays."""
    checkpoints, ended = folder / "checkpoints", _result(folder)
    if ended and checkpoints.exists():
        yield Removable(checkpoints, f"the cell is {ended} and will not go on")
    for path in sorted(folder.rglob("*.damaged")):
        if not (ended and checkpoints in path.parents) and path.parent != folder / END:
            yield Removable(path, "damaged, and set aside")


def _named(runs: Path, cell: str) -> Path:
    folder = runs / Path(cell).name
    if not (KEY.fullmatch(folder.name) and folder.is_dir()):
        raise LabError(f"--cell {cell}: must be the whole key of a cell in {runs}")
    return folder


def _asked_for(folder: Path, plans: Plans, starts: Mapping[str, str], asked: set[str]) -> Removable:
    if not Watch().is_over(last_attempt(folder)):
        raise LabError(f"{folder}: is {_how_far(folder)}: stop it first")
    for child, parent in starts.items():
        if parent == folder.name and child not in asked and not _result(folder.with_name(child)):
            raise LabError(f"{folder}: cell {child}, which has no result yet, starts from it (training.init_from)")
    of = ", ".join(plans.sweeps.get(folder.name, ["no plan"]))
    return Removable(folder, f"asked for: {_result(folder) or _how_far(folder)}; of {of}")


def _needed(starts: Mapping[str, str], loose: set[str]) -> set[str]:
    """The cells that any but the loose ones start from, directly or over others."""
    needed: set[str] = set()
    more = {parent for child, parent in starts.items() if child not in loose}
    while more:
        needed |= more
        more = {starts[cell] for cell in more if cell in starts} - needed
    return needed


def _starts(runs: Path) -> dict[str, str]:
    """Key of every cell that starts from the weights of another, and the key of that."""
    texts = {f.name: (f / "config.yaml").read_text(encoding="utf-8", errors="replace") for f in _cells(runs)}
    return {key: match[1] for key, text in texts.items() if (match := STARTS_FROM.search(text))}


def _cells(runs: Path) -> list[Path]:
    """Folders of cells; what else lies there is not ours."""
    return sorted(path.parent for path in runs.glob("*/config.yaml") if KEY.fullmatch(path.parent.name))


def _is_kept(folder: Path) -> bool:
    return any(next(folder.glob(name), None) for name in KEPT)


def _result(folder: Path) -> str:
    """'done' or 'diverged'; '' without a valid result."""
    try:
        return read_result(folder).state
    except LabError:
        return ""


def _how_far(folder: Path) -> str:
    status = read_status(folder)
    return status.state if status.steps is None else f"{status.state}, step {status.step} of {status.steps}"


def _size(path: Path) -> int:
    return sum(p.stat().st_size for p in path.rglob("*") if p.is_file()) if path.is_dir() else path.stat().st_size
