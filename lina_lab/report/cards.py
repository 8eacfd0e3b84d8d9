"""The effects of a card as a small picture: SVG, with a text for those who do not see it and without a script."""

import math
from html import escape
from typing import NamedTuple

from lina_lab.analysis.card_words import percent
from lina_lab.analysis.cards import Card
from lina_lab.analysis.cases import Case
from lina_lab.analysis.scale import RATIO, Scale
from lina_lab.analysis.wording import UNDETERMINED

WIDTH, EDGE, ROW, HEAD = 360, 10, 40, 20
"""Pixels: of the picture, of its free sides, of a case, of the heading."""
CLIP = 3.0
"""The axis ends at this multiple of the largest effect; an interval that is wider ends in an arrow."""
ENDS = (1.05, 1.1, 1.2, 1.5, 2, 3, 5, 10, 20, 50, 100, 200, 500, 1000)
"""Where an axis of ratios may end; on its other side it ends at 1 over that."""


class Ruler(NamedTuple):
    """An axis that reaches from -reach to reach on the scale of the metric."""

    scale: Scale
    reach: float

    def at(self, value: float) -> float:
        """The place of a ratio or difference, in pixels; one beyond an end lies at that end."""
        low = self.scale == RATIO and value <= 0
        share = -math.inf if low else float(self.scale.forward(value)) / self.reach
        return WIDTH / 2 + (WIDTH / 2 - EDGE) * max(-1.0, min(1.0, share))

    def holds(self, value: float) -> bool:
        return EDGE < self.at(value) < WIDTH - EDGE

    @property
    def ends(self) -> tuple[str, str]:
        if self.scale == RATIO:
            return f"×{math.exp(-self.reach):.2g}", f"×{math.exp(self.reach):.4g}"
        return f"{-self.reach:+.2g}", f"{self.reach:+.2g}"


def effect_picture(card: Card) -> str:
    """The effect with its interval at the largest size, a row a case, around equal values; the better side is named."""
    ruler = _ruler(card)
    height = HEAD + ROW * len(card.cases) + 30
    rows = "".join(_row(case, ruler, HEAD + ROW * place) for place, case in enumerate(card.cases))
    spoken = f"{card.subject.metric.compared}: {'; '.join(map(described, card.cases))}"
    return (
        f'<svg class="effect" role="img" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" height="{height}">'
        f"<title>{escape(spoken)}</title>{_head(card)}{_band(card.cases[0], ruler, height)}{rows}"
        f"{_axis(card, ruler, height)}</svg>"
    )


def described(case: Case) -> str:
    """'division: ratio 0.52, interval 0.45 to 0.61, helps'."""
    setting = f"{case.pair.setting}: " if case.pair.setting else ""
    word = "learnt nothing" if case.verdict.at_chance else case.outcome
    return f"{setting}{case.verdict.scale.word} {numbers(case, 'interval ')}, {word}"


def numbers(case: Case, before: str = "") -> str:
    """'0.52, 0.45 to 0.61', or '0.52, one seed'."""
    scale, (mean, low, high) = case.verdict.scale, case.largest.ratio
    form = "{:.3g}" if scale == RATIO else "{:+.2g}"
    interval = f"{before}{form.format(low)} to {form.format(high)}" if case.measured_spread else "no interval"
    return f"{form.format(mean)}, {interval}"


def _ruler(card: Card) -> Ruler:
    """Wide enough for every effect and, as far as `CLIP` allows, for its interval."""
    scale = card.subject.metric.scale
    values = [abs(float(scale.forward(case.largest.ratio.mean))) for case in card.cases]
    values += [abs(float(scale.forward(end))) for case in card.cases for end in case.band]
    ends = [end for case in card.cases for end in case.largest.ratio[1:] if math.isfinite(end)]
    wide = [abs(float(scale.forward(end))) for end in ends if end > 0 or scale != RATIO]
    most = min(max([*values, *wide]), CLIP * max(values)) * 1.05
    if scale == RATIO:
        return Ruler(scale, next((math.log(end) for end in ENDS if math.log(end) >= most), most))
    digit = 10.0 ** math.floor(math.log10(most)) if most > 0 else 1.0
    return Ruler(scale, next((step * digit for step in (1, 2, 5) if step * digit >= most), 10 * digit))


def _head(card: Card) -> str:
    """What the numbers at the right are."""
    metric, level = card.subject.metric, card.cases[0].verdict.level
    spread = any(case.measured_spread for case in card.cases)
    said = f"{metric.scale.word} of {metric.label}{f', {percent(level)} interval' if spread else ''}"
    return f'<text class="number head" x="{WIDTH}" y="12">{escape(said)}</text>'


def _band(case: Case, ruler: Ruler, height: int) -> str:
    """Practical equality, and the line of equal values."""
    low, high = (ruler.at(end) for end in case.band)
    middle = WIDTH / 2
    return (
        f'<rect class="band" x="{low:.1f}" y="{HEAD}" width="{high - low:.1f}" height="{height - HEAD - 24}"/>'
        f'<line class="same" x1="{middle}" x2="{middle}" y1="{HEAD}" y2="{height - 24}"/>'
    )


def _row(case: Case, ruler: Ruler, top: int) -> str:
    """Setting and numbers above a bar with its mark; hollow where nothing is decided."""
    kind = "open" if case.outcome == UNDETERMINED else case.outcome.partition(" ")[0]
    mean, low, high = case.largest.ratio
    y = top + 24
    parts = [
        f'<text x="0" y="{top + 13}">{escape(case.pair.setting)}</text>',
        f'<text class="number" x="{WIDTH}" y="{top + 13}">{escape(numbers(case))}</text>',
    ]
    if case.verdict.at_chance:
        return f'<g class="{kind}">{parts[0]}<text class="number" x="{WIDTH}" y="{top + 13}">learnt nothing</text></g>'
    if case.measured_spread:
        parts.append(f'<line class="bar" x1="{ruler.at(low):.1f}" x2="{ruler.at(high):.1f}" y1="{y}" y2="{y}"/>')
        for end, tip in ((low, -6), (high, 6)):
            x = ruler.at(end)
            if not ruler.holds(end):
                parts.append(f'<path class="tip" d="M{x + tip:.1f} {y}l{-tip} -4v8z"/>')
    parts.append(f'<circle cx="{ruler.at(mean):.1f}" cy="{y}" r="4.5"/>')
    return f'<g class="{kind}">{"".join(parts)}</g>'


def _axis(card: Card, ruler: Ruler, height: int) -> str:
    sides = ("better", "worse") if card.subject.metric.sign > 0 else ("worse", "better")
    y, (left, right) = height - 8, ruler.ends
    return (
        f'<g class="axis"><line x1="{EDGE}" x2="{WIDTH - EDGE}" y1="{height - 24}" y2="{height - 24}"/>'
        f'<text x="0" y="{y}">{left} {sides[0]}</text><text class="middle" x="{WIDTH / 2}" y="{y}">same</text>'
        f'<text class="number" x="{WIDTH}" y="{y}">{sides[1]} {right}</text></g>'
    )
