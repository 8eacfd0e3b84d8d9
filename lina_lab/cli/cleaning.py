"""`lab clean`: what is not needed for any result."""

from collections.abc import Iterator
from pathlib import Path

import typer

from lina_lab.claims import Watch, last_attempt
from lina_lab.errors import LabError
from lina_lab.files import remove
from lina_lab.ledger import read_result
from lina_lab.plans import load_plan


def clean_up(runs: Path, names: list[str], *, sure: bool) -> None:
    """List what can go with its size, ask, and remove exactly that."""
    found = [(path, _size(path)) for path in removable(runs, names)]
    if not found:
        print(f"nothing to remove in {runs}/")
        return
    for path, size in found:
        print(f"{size / 2**20:8.1f} MiB  {path}")
    total = sum(size for _, size in found) / 2**20
    if sure or typer.confirm(f"remove these {len(found)} ({total:.1f} MiB)?"):
        for path, _ in found:
            remove(path)
        print(f"removed {len(found)}, {total:.1f} MiB")


def removable(runs: Path, names: list[str]) -> Iterator[Path]:
    """Checkpoints of cells with a result, damaged files, and, unless sweeps are named, cells of no sweep."""
    plans = [load_plan(runs, path.stem) for path in sorted((runs / "sweeps").glob("*.json"))]
    wanted = {load_plan(runs, name).name for name in names} or {plan.name for plan in plans}
    planned = {cell.key for plan in plans for cell in plan.everything}
    keys = {cell.key for plan in plans if plan.name in wanted for cell in plan.everything}
    for folder in sorted(path.parent for path in runs.glob("*/config.yaml")):
        if not Watch().is_over(last_attempt(folder)):
            continue
        if folder.name in keys:
            gone = [folder / "checkpoints"] if _has_result(folder) and (folder / "checkpoints").exists() else []
            yield from gone
            yield from sorted(path for path in folder.rglob("*.damaged") if path.parent not in gone)
        elif not names and folder.name not in planned:
            yield folder


def _has_result(folder: Path) -> bool:
    try:
        return bool(read_result(folder))
    except LabError:
        return False


def _size(path: Path) -> int:
    return sum(p.stat().st_size for p in path.rglob("*") if p.is_file()) if path.is_dir() else path.stat().st_size
