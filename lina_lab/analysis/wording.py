"""The sentences of a verdict; each number in them is one of the verdict's."""

import math
from typing import NamedTuple

from lina_lab.analysis.gap_model import Gap, Prediction
from lina_lab.analysis.multiplier import Compute
from lina_lab.analysis.scale import RATIO, Scale
from lina_lab.analysis.scaling_fit.exponents import Exponents
from lina_lab.analysis.table import human

UNDETERMINED = "undetermined"
FORM_WORDS = {"power": "as a power law", "offset": "with a floor"}


class Words(NamedTuple):
    """Sentences about the two designs."""

    a: str
    b: str
    y: str
    sign: int
    """1 where lower y is better, -1 where higher is."""
    level: float
    scale: Scale = RATIO

    @property
    def falls(self) -> bool:
        """Whether y can fall to a floor with size."""
        return self.sign > 0 and self.scale == RATIO

    def name(self, winner: str) -> str:
        return {"A": self.a, "B": self.b}[winner]

    def at_largest(self, largest: Gap, winner: str, reasons: list[str], lr_trouble: list[str]) -> str:
        where = human(largest.x)
        mean, low, high = map(self.scale.shown, largest.ratio)
        interval = "no interval" if math.isnan(largest.ratio.low) else f"{self._percent} interval {low} to {high}"
        gap = f"is {mean} times" if self.scale == RATIO else f"differs by {mean} from"
        start = f"At {where} {self.y} of {self.a} {gap} that of {self.b} ({interval}): "
        if winner == UNDETERMINED:
            return f"{start}undetermined which is better there: {'; '.join(reasons)}."
        return f"{start}{self.name(winner)} is better there{', as trained' if lr_trouble else ''}."

    def needing(self, compute: Compute) -> str:
        """What B needs of a cost for what A reaches, over all sizes."""
        whole, reasons = compute.overall, list(compute.reasons)
        if whole is not None and not whole.told and not reasons:
            ends = f"is {whole.interval}, with no other end" if whole.bounded else "has no end"
            reasons = [f"the interval {ends} within what was measured ({whole.least:.3g} to {whole.most:.3g})"]
        if reasons or whole is None:
            by_curves = (
                "" if whole is None or math.isnan(whole.times) else f" (by their curves {whole.times:.3g} times)"
            )
            what = f"What {self.b} needs of the {compute.words} of {self.a} for the same {self.y}"
            return f"{what} is undetermined{by_curves}: {'; '.join(reasons)}."
        factor = whole.text(f"{self._percent} interval ")
        return f"For the same {self.y} {self.b} needs {factor} the {compute.words} of {self.a}."

    def scaling(
        self, measured: list[Gap], forms: list[Prediction], winner: str, reasons: list[str], grows: str = UNDETERMINED
    ) -> str:
        """How the advantage grew, and what both forms predict.

        grows: the design whose advantage is known to grow although the cause is not.
        """
        if winner != UNDETERMINED:
            return f"{self.name(winner)} scales better: its {self._growth(measured, forms, winner)}."
        open_ = f"ndetermined whether {self.a} or {self.b} scales better: {'; '.join(reasons)}."
        if grows == UNDETERMINED:
            return f"U{open_}"
        return f"{self.name(grows)}'s {self._growth(measured, forms, grows)}; but u{open_}"

    def by_floor(self, joint: Exponents | None, winner: str, reasons: list[str]) -> str:
        if winner == UNDETERMINED or joint is None:
            return f"Undetermined whether {self.a} or {self.b} is ahead by a floor: {'; '.join(reasons)}."
        floors = joint.floors if winner == "A" else joint.floors[::-1]
        return (
            f"{self.name(winner)} is ahead by a floor: one exponent ({joint.alpha:.3g}) serves both designs "
            f"(p = {joint.one:.2g}), with floors of {floors[0]:.4g} and {floors[1]:.4g} (equal floors: "
            f"p = {joint.one_floor:.2g})."
        )

    def _growth(self, measured: list[Gap], forms: list[Prediction], winner: str) -> str:
        first, last = measured[0], measured[-1]
        now, *ends = (self._advantage(ratio, winner) for ratio in last.ratio)
        before = self._advantage(first.ratio.mean, winner)
        predicted = sorted(self._advantage(form.ratio.mean, winner) for form in forms)
        percent = " to ".join(dict.fromkeys(f"{value:.3g}" for value in predicted))
        return (
            f"advantage grows from {before:.3g} % at {human(first.x)} to {now:.3g} % at {human(last.x)} "
            f"({self._percent} interval {min(ends):.3g} to {max(ends):.3g} %); predicted {percent} % at "
            f"{human(forms[0].x)} under both forms"
        )

    @property
    def _percent(self) -> str:
        return f"{100 * self.level:.4g} %"

    def _advantage(self, ratio: float, winner: str) -> float:
        """In percent of the other design's value."""
        return 100 * self.sign * (1 - (ratio if winner == "A" else 1 / ratio))
