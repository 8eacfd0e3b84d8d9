"""FID of trained cells against sampling settings (guidance scale, autoregressive steps, flow steps) and cost."""

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from lina_lab.analysis.evaluations import DESIGN
from lina_lab.analysis.fid_points import FidPoint, fid_points
from lina_lab.analysis.guidance import OVER
from lina_lab.analysis.names import design_label
from lina_lab.analysis.table import write_table
from lina_lab.config.sweep import Scalar
from lina_lab.errors import LabError
from lina_lab.figures.panels import legend_below, panel_grid
from lina_lab.figures.style import SMALL, design_looks, fitted, note, save, style
from lina_lab.figures.ticks import log_axis, si

SAME = ("extractor", "reference", "num_samples", "seed")
"""Fields that are equal for all points of a figure: otherwise FIDs are not comparable, or seeds not paired."""
SAMPLED = ("guidance_scale", "guidance_min", "autoregressive_steps", "flow_steps", "sampling_precision")
CHOICES = (
    *("guidance_scale", "autoregressive_steps", "flow_steps", "guidance_min", "sampling_precision"),
    *("seed", "num_samples", "extractor", "reference", "weights"),
)
"""What tells one point of a cell from another, besides its last step."""
RESULTS = ("flops", "fid", "fid_sd", "fid_jackknife", "kid", "precision", "recall", "seconds")
NAMES = {
    "guidance_scale": "guidance scale",
    "autoregressive_steps": "autoregressive steps",
    "flow_steps": "flow steps",
}
NOTE = "bars: one SD of sampling noise, most of it common to all points (same seeds); ringed: the lowest"


class Scanned(NamedTuple):
    """A cell with its points."""

    key: str
    design: Mapping[str, Scalar]
    """Axis values of its decoder, where the whole grid is."""
    size: str
    seed: int
    """Of its training."""
    points: Sequence[FidPoint]


class Curve(NamedTuple):
    """Points that differ in one field alone, in its order."""

    label: str
    look: Mapping[str, Any]
    points: Sequence[FidPoint]


def scanned_cells(evaluations: pd.DataFrame) -> list[Scanned]:
    """The cells of an evaluations table that were sampled in several ways."""
    cells = []
    for key, rows in evaluations.groupby("key", sort=False):
        first = rows.to_dict("records")[0]
        points = _comparable(fid_points(rows))
        if points:
            design = {name: first[name] for name in DESIGN}
            size, seed = str(first["size"]), int(first["training_seed"])
            cells.append(Scanned(key=str(key), design=design, size=size, seed=seed, points=points))
    return cells


def _comparable(points: Sequence[FidPoint]) -> list[FidPoint]:
    """Without the points of `lab evaluate` that cannot be compared with those of the cell's scan, if it has one."""

    def way(point: FidPoint) -> tuple[Any, ...]:
        return tuple(getattr(point, name) for name in SAME)

    scanned = {way(point) for point in points if point.source == "guidance"}
    return [point for point in points if not scanned or way(point) in scanned]


def chosen(cells: Sequence[Scanned], only: Mapping[str, str]) -> list[Scanned]:
    """The cells with only those points whose fields have the values, as text.

    Raises:
        LabError: if a field is unknown.
    """
    for name in only:
        if name not in FidPoint._fields:
            raise LabError(f"--only {name}: points have {', '.join((*CHOICES, 'source'))}")

    def fits(point: FidPoint) -> bool:
        return all(_plain(getattr(point, name)) == value for name, value in only.items())

    return [cell._replace(points=[point for point in cell.points if fits(point)]) for cell in cells]


def _plain(value: object) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


def curves(cells: Sequence[Scanned], over: str) -> list[Curve]:
    """The curves of two points or more against a field, with a label that tells each from the others.

    Raises:
        LabError: if their points were not measured in one way.
    """
    fixed = [name for name in (*CHOICES, "flow_steps_last") if name != over]
    lines: list[tuple[Scanned, list[FidPoint]]] = []
    for cell in cells:
        groups: dict[tuple[Any, ...], list[FidPoint]] = {}
        for point in cell.points:
            groups.setdefault(tuple(getattr(point, name) for name in fixed), []).append(point)
        lines += [
            (cell, sorted(group, key=lambda point: float(getattr(point, over))))
            for group in groups.values()
            if len(group) > 1
        ]
    for name in SAME:
        values = [_plain(value) for value in sorted({getattr(points[0], name) for _, points in lines})]
        if len(values) > 1:
            raise LabError(
                f"FIDs over {over} with different {name} cannot be compared: {', '.join(values)}; choose one by "
                f"--only {name}={values[0]}"
            )
    facts = [_facts(cell, points[0], over) for cell, points in lines]
    telling = [name for name in dict.fromkeys(name for fact in facts for name in fact) if _differs(facts, name)]
    # A second curve of one design is to the eye another design.
    before = [sum(other.design == cell.design for other, _ in lines[:place]) for place, (cell, _) in enumerate(lines)]
    drawn = [{**cell.design, **({"curve": n} if n else {})} for (cell, _), n in zip(lines, before, strict=True)]
    looks = design_looks(drawn)
    return [
        Curve(", ".join([design_label(cell.design), *(f"{name} {fact[name]}" for name in telling)]), looks(own), points)
        for (cell, points), fact, own in zip(lines, facts, drawn, strict=True)
    ]


def _facts(cell: Scanned, point: FidPoint, over: str) -> dict[str, str]:
    """Settings that can distinguish two curves of one design, as text."""
    sampled = {NAMES.get(name, name): _plain(getattr(point, name)) for name in SAMPLED if name != over}
    last = "as the first" if point.flow_steps_last is None else str(point.flow_steps_last)
    return {"size": cell.size, "training seed": str(cell.seed), "flow steps at last": last, **sampled}


def _differs(facts: Sequence[Mapping[str, str]], name: str) -> bool:
    return len({fact[name] for fact in facts}) > 1


def sampling_figure(cells: Sequence[Scanned], over: str) -> Figure | None:
    """FID with bars against a field, and beside it what that costs; None where no cell has two points.

    Beside guidance stand precision and recall, beside numbers of steps FID against the FLOPs of an image.
    """
    drawn = curves(cells, over)
    if not drawn:
        return None
    guidance = over == "guidance_scale"
    with style():
        grid = panel_grid(2, 2, 2.2, 2)
        left, right = grid.panels
        for curve in drawn:
            _draw_fid(left, curve, over)
            if guidance:
                _draw_shares(right, curve)
            else:
                _draw_fid(right, curve, "flops")
        _name_fid(left, NAMES[over], drawn[0].points[0])
        log_axis(left.xaxis, most=5)
        if guidance:
            right.set(xlabel="recall", ylabel="precision")
        else:
            _name_fid(right, "FLOPs an image", drawn[0].points[0])
            right.set_ylabel("")
            log_axis(right.xaxis, si, most=4)
        note(grid.figure, f"{_common(drawn, over)}\n{NOTE}")
        legend_below(grid.figure)
    return grid.figure


def _common(shown: Sequence[Curve], over: str) -> str:
    """Settings common to all curves, besides the field on the axis."""
    drawn = {name: {getattr(curve.points[0], name) for curve in shown} for name in NAMES if name != over}
    return ", ".join(f"{NAMES[name]} {_plain(*values)}" for name, values in drawn.items() if len(values) == 1)


def _draw_fid(axes: Axes, curve: Curve, over: str) -> None:
    x, y = ([float(getattr(point, name)) for point in curve.points] for name in (over, "fid"))
    bars = [point.fid_sd for point in curve.points]
    known = None if any(bar is None for bar in bars) else [bar or 0.0 for bar in bars]
    axes.errorbar(x, y, yerr=known, label=curve.label, capsize=2, elinewidth=0.9, **curve.look)
    best = y.index(min(y))
    axes.plot(x[best], y[best], "o", color=curve.look["color"], markersize=9, markerfacecolor="none")


def _draw_shares(axes: Axes, curve: Curve) -> None:
    """Recall and precision from point to point; the scale is written at both ends and at the lowest FID."""
    known = [(p.recall, p.precision, p) for p in curve.points if p.recall is not None and p.precision is not None]
    axes.plot([recall for recall, _, _ in known], [precision for _, precision, _ in known], **curve.look)
    told = {curve.points[0], curve.points[-1], min(curve.points, key=lambda point: point.fid)}
    for recall, precision, point in known:
        if point in told:
            text = f"{point.guidance_scale:g}"
            axes.annotate(text, (recall, precision), xytext=(4, 4), textcoords="offset points", fontsize=SMALL)


def _name_fid(axes: Axes, x_label: str, point: FidPoint) -> None:
    axes.set(xlabel=x_label, ylabel=fitted(f"FID ({point.extractor}, {point.num_samples:,} samples)", 1.8))
    log_axis(axes.yaxis)


def comparable_figures(evaluations: pd.DataFrame) -> dict[str, Figure]:
    """A figure for every field that was scanned, by the field; see `comparable_cells`."""
    return _figures(comparable_cells(evaluations))


def comparable_cells(evaluations: pd.DataFrame) -> list[Scanned]:
    """The cells that were scanned, with the points that most others can be compared with."""
    cells = scanned_cells(evaluations) if len(evaluations) else []
    ways = Counter(tuple(getattr(point, name) for name in SAME) for cell in cells for point in cell.points)
    if not ways:
        return []
    commonest = dict(zip(SAME, map(_plain, ways.most_common(1)[0][0]), strict=True))
    return chosen(cells, commonest)


def _figures(cells: Sequence[Scanned]) -> dict[str, Figure]:
    return {over: figure for over in OVER if (figure := sampling_figure(cells, over)) is not None}


def write_sampling(evaluations: pd.DataFrame, out: Path, only: Mapping[str, str]) -> list[Path]:
    """Write a figure for every field that was scanned (PNG, PDF, SVG) and sampling.csv, all points: their paths.

    Raises:
        LabError: if no cell was scanned, or their points cannot be compared.
    """
    cells = chosen(scanned_cells(evaluations), only)
    figures = _figures(cells)
    if not figures:
        told = f" with {', '.join(f'{name} {value}' for name, value in only.items())}" if only else ""
        raise LabError(f"no cell has two points{told} that differ in {', '.join(OVER[:-1])} or {OVER[-1]} alone")
    for over, figure in figures.items():
        save(figure, out / f"{over}.png", ("png", "pdf", "svg"))
    write_table(_points_table(cells), out / "sampling.csv")
    return [out / f"{over}.png" for over in figures] + [out / "sampling.csv"]


def _points_table(cells: Sequence[Scanned]) -> pd.DataFrame:
    """A row a point; their source only where not all are of one scan."""
    points = [point for cell in cells for point in cell.points]
    source = [] if {point.source for point in points} == {"guidance"} else ["source"]
    tables = [
        pd.DataFrame(cell.points, columns=FidPoint._fields)[[*CHOICES, *RESULTS, *source]].assign(
            key=cell.key, size=cell.size, training_seed=cell.seed, **cell.design
        )
        for cell in cells
    ]
    return pd.concat(tables, ignore_index=True)
