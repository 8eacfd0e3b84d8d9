"""The gap between two designs against size: a panel for each value of an axis, a line for each setting of the rest."""

import math
from collections.abc import Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from lina_lab.analysis.findings import Contrast, Finding
from lina_lab.analysis.interval import Interval
from lina_lab.analysis.scale import RATIO
from lina_lab.figures.style import Looks, design_looks, named, new_figure, style
from lina_lab.figures.ticks import log_axis, si

FORM_MARKERS = {"power": "^", "offset": "v"}
BEYOND = 4.0
"""A panel's y range ends at this factor beyond its highest and lowest ratio."""


def gap_figure(findings: Sequence[Finding], looks: Looks | None = None) -> Figure | None:
    """Measured ratios with their intervals; beyond the largest size the prediction of each form, hollow. None if none.

    Below 1, or 0 of differences, the value that the panel names is lower than the first of its axis. `looks` are the
    study's.
    """
    if not findings:
        return None
    looks = looks or design_looks(contrast.pair.a for finding in findings for contrast in finding.contrasts)
    across = math.ceil(math.sqrt(len(findings)))
    down = math.ceil(len(findings) / across)
    with style():
        figure = new_figure(0.6 + 3.3 * across, 0.4 + 3.2 * down)
        panels = figure.subplots(down, across, squeeze=False).ravel()
        for panel, finding in zip(panels, findings, strict=False):
            _draw(panel, finding, looks)
        for panel in panels[len(findings) :]:
            panel.set_visible(False)
    return figure


def _draw(panel: Axes, finding: Finding, looks: Looks) -> None:
    panel.axhline(finding.metric.scale.neutral, color="#999999", linewidth=0.8)
    for place, contrast in enumerate(finding.contrasts):
        shift = 1.05 ** (place - (len(finding.contrasts) - 1) / 2)  # bars of one size stand side by side
        _draw_contrast(panel, contrast, shift, looks)
    ratios = finding.metric.scale == RATIO
    means = [r.mean for c in finding.contrasts for r in (*(g.ratio for g in c.verdict.gaps), *_predicted(c))]
    if ratios:
        panel.set_yscale("log")
        low, high = panel.get_ylim()
        panel.set_ylim(max(low, min(means) / BEYOND), min(high, max(means) * BEYOND))  # a wide bar leaves the panel
        log_axis(panel.yaxis)
    log_axis(panel.xaxis, si)
    panel.set_title(finding.name)
    panel.set_xlabel("parameters")
    panel.set_ylabel(finding.metric.compared)
    panel.legend(fontsize=7)


def _draw_contrast(panel: Axes, contrast: Contrast, shift: float, looks: Looks) -> None:
    look = looks(contrast.pair.a)
    verdict = contrast.verdict
    x = [gap.x * shift for gap in verdict.gaps]
    ratios = [gap.ratio for gap in verdict.gaps]
    panel.errorbar(
        x,
        [ratio.mean for ratio in ratios],
        yerr=_bars(ratios),
        label=named(contrast.pair.others),
        capsize=2,
        elinewidth=0.9,
        **look,
    )
    for form in verdict.predictions:
        hollow: dict[str, Any] = {"color": look["color"], "markerfacecolor": "white", "linewidth": 0.8}
        panel.plot([x[-1], form.x * shift], [ratios[-1].mean, form.ratio.mean], color=look["color"], linewidth=0.4)
        panel.errorbar(
            [form.x * shift * (0.97 if form.form == "power" else 1.03)],
            [form.ratio.mean],
            yerr=_bars([form.ratio]),
            marker=FORM_MARKERS[form.form],
            markersize=4,
            **hollow,
        )


def _predicted(contrast: Contrast) -> list[Interval]:
    return [form.ratio for form in contrast.verdict.predictions]


def _bars(ratios: Sequence[Interval]) -> list[list[float]] | None:
    """Lengths below and above; None where an interval has no finite end."""
    if not all(math.isfinite(ratio.low) and math.isfinite(ratio.high) for ratio in ratios):
        return None
    return [[r.mean - r.low for r in ratios], [r.high - r.mean for r in ratios]]
