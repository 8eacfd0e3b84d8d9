"""Refuse grids that are ambiguous or too large, before anything is planned."""

import itertools
import math
from collections.abc import Hashable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lina_lab.config.load import Document
from lina_lab.config.model import GRID_PARTS, SEGMENTS
from lina_lab.config.problems import ConfigError, FileProblem
from lina_lab.errors import LabError

if TYPE_CHECKING:
    from lina_lab.config.sweep import Sweep

MAX_CELLS = 100_000
"""Most cells without --max-cells: planning so many takes about 20 seconds."""


def count_cells(sweep: "Sweep") -> int:
    """Cells and trials, before combinations are left out."""
    points = math.prod(map(len, sweep.axes.values()))
    return points * (len(sweep.seeds) + (sweep.tune.trials if sweep.tune else 0))


def check_count(sweep: "Sweep", most: int) -> None:
    """Refuse a sweep of more than `most` cells.

    Raises:
        LabError: with the count and its factors.
    """
    if (count := count_cells(sweep)) > most:
        grid = " x ".join([*(f"{len(values):,}" for values in sweep.axes.values()), f"{len(sweep.seeds):,} seeds"])
        trials = f", {sweep.tune.trials:,} trials a point" if sweep.tune else ""
        raise LabError(
            f"{sweep.name}: has {count:,} cells ({grid}{trials}), more than {most:,}: take values out, or allow it "
            f"with --max-cells {count}"
        )


def check_grid(sweep: "Sweep", document: Document, base: Document, settings: Mapping[str, Any], file: str) -> None:
    """Refuse an axis value that occurs twice, and keys that an axis sets too or that would override an axis, in the
    file or in `settings`, the `--set` changes of the base experiment.

    Raises:
        ConfigError: with every such value and key.
    """

    def place(*key: str) -> str:
        return document.places.get(tuple(part for word in key for part in word.split(".")), file)

    problems = [FileProblem(place("seeds"), "seeds", message) for message in _twice(sweep.seeds)]
    for changes, name in ((sweep.set, "set"), (settings, "--set")):
        problems += [
            FileProblem(
                place(name, path) if name == "set" else name, path, f"is lost: {section}, which comes after, has it"
            )
            for path, section in itertools.combinations(changes, 2)
            if within(path, section)
        ]
    given = {path: place("set", path) for path in _leaves(sweep.set)} | dict.fromkeys(_leaves(settings), "--set")
    given |= _places_of_parts(sweep, document, file)
    for axis, values in sweep.axes.items():
        at = place("axes", axis)
        problems += [FileProblem(at, axis, message) for message in _twice(values)]
        others = given | {other: place("axes", other) for other in sweep.axes if other != axis}
        problems += [
            FileProblem(where, other, f"is given, and the axis {axis} ({at}) gives it too: keep one of them")
            for other, where in others.items()
            if within(other, axis) or within(axis, other)
        ]
        known = {".".join(key): where for key, where in base.places.items()} | others
        problems += [
            FileProblem(
                known[other], other, f"goes before the axis {axis} ({at}), which would change nothing there: {how}"
            )
            for other, how in _stronger(axis)
            if other in known
        ]
    problems += [
        FileProblem(where, "seed", "a sweep has seeds: write seeds: [0, 1], or --set 'seeds=[0, 1]'")
        for path, where in (given | {axis: place("axes", axis) for axis in sweep.axes}).items()
        if path == "seed"
    ]
    if problems:
        raise ConfigError(problems)


def _places_of_parts(sweep: "Sweep", document: Document, file: str) -> dict[str, str]:
    """Where every path stands that `set_where` sets."""
    return {
        path: document.places.get(("set_where", str(number), "set", path), file)
        for number, entry in enumerate(sweep.set_where)
        for path in entry.set
    }


def check_parts(sweep: "Sweep", document: Document, path: Path) -> None:
    """Refuse an entry of `exclude` or `set_where` that matches nothing in the grid of the file.

    Raises:
        ConfigError: naming the axis or value.
    """
    parts: list[tuple[tuple[str, ...], Mapping[str, Any]]]
    parts = [(("exclude", str(number)), entry) for number, entry in enumerate(sweep.exclude)]
    parts += [(("set_where", str(number), "where"), entry.where) for number, entry in enumerate(sweep.set_where)]
    for key, entry in parts:
        for axis, value in entry.items():
            if axis not in sweep.axes:
                message = f"{axis} is no axis of this sweep; its axes are {', '.join(sweep.axes)}"
            elif value not in sweep.axes[axis] and document.places.get(("axes", *axis.split("."))) != "--set":
                message = f"{axis} never takes {value!r} here; its values are {sweep.axes[axis]}"
            else:
                continue
            raise ConfigError([FileProblem(document.places.get((*key, axis), str(path)), key[0], message)])


def check_tuning(sweep: "Sweep", document: Document, path: Path) -> None:
    """Refuse a tuning that searches an axis, whose seed is a seed of the study, or at a size that it has not.

    Raises:
        ConfigError: naming the key.
    """
    if sweep.tune is None:
        return
    for searched in sweep.tune.search:
        if searched in sweep.axes:
            place = document.places.get(("tune", "search", searched), str(path))
            raise ConfigError([FileProblem(place, "tune.search", f"{searched} is an axis: it cannot be tuned as well")])
    sizes = sweep.axes.get("model.size", [])
    if sweep.tune.at is not None and sweep.tune.at not in sizes:
        place = document.places.get(("tune", "at"), str(path))
        known = f"one of the sizes of the axis model.size: {', '.join(map(str, sizes))}" if sizes else "left out"
        message = f"must be {known}, not {sweep.tune.at}" + ("" if sizes else ": the sweep has no axis model.size")
        raise ConfigError([FileProblem(place, "tune.at", message)])
    if sweep.tune.seed in sweep.seeds:
        place = document.places.get(("tune", "seed"), str(path))
        message = (
            f"must be none of the sweep's own seeds, whose results the choice would flatter, not {sweep.tune.seed}"
        )
        raise ConfigError([FileProblem(place, "tune.seed", message)])


def _twice(values: Iterable[Hashable]) -> Iterator[str]:
    """A message for every value equal to an earlier one, however written: 5 and 5.0, 1e-3 and 0.001."""
    seen: dict[Hashable, Hashable] = {}
    for value in values:
        if value in seen:
            yield f"must have each value once, not {seen[value]!r} and again {value!r}"
        seen.setdefault(value, value)


def _leaves(values: Mapping[str, Any], above: str = "") -> Iterator[str]:
    """Dotted paths of the leaves of nested mappings."""
    for key, value in values.items():
        if isinstance(value, Mapping) and value:
            yield from _leaves(value, f"{above}{key}.")
        else:
            yield f"{above}{key}"


def within(path: str, other: str) -> bool:
    """Whether a dotted path is another or lies below it."""
    return f"{path}.".startswith(f"{other}.")


def _stronger(axis: str) -> list[tuple[str, str]]:
    """Keys that override an axis if both are given, and what to write instead."""
    if axis == "model.size":
        return [("model.width", "take it out, or make it the axis")]
    if not axis.startswith("model.attention."):
        return []
    part = axis.removeprefix("model.attention.")
    reached = ("decoder",) if part in GRID_PARTS else SEGMENTS
    instead = f"take it out, or name segments one by one, as model.context.{part}"
    return [(f"model.{segment}.{part}", instead) for segment in reached]
