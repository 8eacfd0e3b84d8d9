"""The gap between two designs against size: a row for each value of an axis, a panel for each setting of the rest."""

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from lina_lab.analysis.findings import Contrast, Finding
from lina_lab.analysis.interval import Interval
from lina_lab.analysis.names import Names, design_label
from lina_lab.analysis.scale import RATIO
from lina_lab.figures.panels import BEHIND, Group, entitle, grouped, legend_below, panel_grid
from lina_lab.figures.style import Look, Looks, design_looks, fitted, named, note, style, versus
from lina_lab.figures.ticks import log_axis, si

FORM_MARKERS = {"power": "^", "offset": "v"}
BEYOND = 2.0
"""Panels end at this factor beyond the highest and lowest ratio of all."""
PANEL_INCHES = 1.35
ACROSS = 5
"""Panels side by side at most."""
EACH = 24
"""Up to so many settings have a panel each; more share panels."""


class Part(NamedTuple):
    """A panel: settings of a finding."""

    finding: Finding
    group: Group
    contrasts: list[Contrast]


def gap_figure(findings: Sequence[Finding], looks: Looks | None = None, name: Names = design_label) -> Figure | None:
    """Measured ratios with their intervals; beyond the largest size the prediction of each form, hollow.

    Below 1, or 0 of differences, the value that a row names is lower than the first of its axis. Other settings of a
    row are grey. `looks` are the study's. None where nothing was measured at two sizes.
    """
    findings = [finding for finding in findings if any(len(of.verdict.gaps) > 1 for of in finding.contrasts)]
    if not findings:
        return None
    looks = looks or design_looks(contrast.pair.a for finding in findings for contrast in finding.contrasts)
    most = 1 if sum(len(finding.contrasts) for finding in findings) <= EACH else ACROSS
    rows = [row for finding in findings for row in _rows(_parts(finding, most, name))]
    across = max(map(len, rows))
    with style():
        grid = panel_grid(len(rows) * across, 1 if across <= 2 else 2, PANEL_INCHES, across, "both")
        empty = [None] * across
        parts = [part for row in rows for part in [*row, *empty][:across]]
        entitle(grid, [part.group.title if part else "" for part in parts])
        for panel, part in zip(grid.panels, parts, strict=True):
            if part is None:
                panel.set_axis_off()
            else:
                _draw(panel, part, looks)
        for panel, (first, *_) in zip(grid.left, rows, strict=True):
            panel.set_ylabel(fitted(_versus(first.finding, name), PANEL_INCHES - 0.2, most=2))
        for panel, below in zip(grid.panels, [*parts[across:], *empty], strict=True):
            panel.tick_params(labelbottom=below is None)
        for panel in grid.lowest:
            panel.set_xlabel("parameters")
        log_axis(grid.panels[0].xaxis, si, most=3)
        if findings[0].metric.scale == RATIO:
            _limit(grid.panels[0], findings)
        note(grid.figure, findings[0].metric.compared)
        if most > 1:
            legend_below(grid.figure)
    return grid.figure


def _parts(finding: Finding, most: int, name: Names) -> list[Part]:
    """The panels of a finding: its settings, as many as one panel shows."""
    none = pd.DataFrame()
    settings = [(contrast.pair.others, none) for contrast in finding.contrasts]
    axes = list(finding.contrasts[0].pair.others)
    if most == 1:
        groups = [Group(name(values) if values else "", [(values, none)], name=name) for values, _ in settings]
    else:
        groups = grouped(settings, axes, name, most)
    of = {str(contrast.pair.others): contrast for contrast in finding.contrasts}
    return [Part(finding, group, [of[str(values)] for values, _ in group.designs]) for group in groups]


def _rows(parts: list[Part]) -> list[list[Part]]:
    return [parts[first : first + ACROSS] for first in range(0, len(parts), ACROSS)]


def _versus(finding: Finding, name: Names) -> str:
    between = "/" if finding.metric.scale == RATIO else "-"
    return versus(finding.axis, finding.value, finding.baseline, name, between)


def _draw(panel: Axes, part: Part, looks: Looks) -> None:
    finding = part.finding
    panel.axhline(finding.metric.scale.neutral, color="#999999", linewidth=0.8)
    for contrast in finding.contrasts:
        if contrast not in part.contrasts:
            gaps = contrast.verdict.gaps
            panel.plot([gap.x for gap in gaps], [gap.ratio.mean for gap in gaps], **BEHIND)
    for place, contrast in enumerate(part.contrasts):
        shift = 1.05 ** (place - (len(part.contrasts) - 1) / 2)  # bars of one size stand side by side
        _draw_contrast(panel, contrast, shift, looks(contrast.pair.a), named(contrast.pair.a, part.group.name))


def _limit(panel: Axes, findings: Sequence[Finding]) -> None:
    """The range of all panels; a wide bar leaves it."""
    gaps = [c.verdict.gaps + c.verdict.predictions for finding in findings for c in finding.contrasts]
    means = [gap.ratio.mean for of in gaps for gap in of]
    panel.set_yscale("log")
    low, high = panel.get_ylim()
    panel.set_ylim(max(low, min(means) / BEYOND), min(high, max(means) * BEYOND))
    log_axis(panel.yaxis, most=4)


def _draw_contrast(panel: Axes, contrast: Contrast, shift: float, look: Look, name: str) -> None:
    look = look | {"markersize": 3.5}
    verdict = contrast.verdict
    x = [gap.x * shift for gap in verdict.gaps]
    ratios = [gap.ratio for gap in verdict.gaps]
    panel.errorbar(
        x,
        [ratio.mean for ratio in ratios],
        yerr=_bars(ratios),
        label=name,
        capsize=1.5,
        elinewidth=0.8,
        **look,
    )
    for form in verdict.predictions:
        hollow: dict[str, Any] = {"color": look["color"], "markerfacecolor": "white", "linewidth": 0.7}
        panel.plot([x[-1], form.x * shift], [ratios[-1].mean, form.ratio.mean], color=look["color"], linewidth=0.4)
        panel.errorbar(
            [form.x * shift * (0.9 if form.form == "power" else 1.1)],
            [form.ratio.mean],
            yerr=_bars([form.ratio]),
            marker=FORM_MARKERS[form.form],
            markersize=3.5,
            **hollow,
        )


def _bars(ratios: Sequence[Interval]) -> list[list[float]] | None:
    """Lengths below and above; None where an interval has no finite end."""
    if not all(math.isfinite(ratio.low) and math.isfinite(ratio.high) for ratio in ratios):
        return None
    return [[r.mean - r.low for r in ratios], [r.high - r.mean for r in ratios]]
