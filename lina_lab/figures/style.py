"""One quiet style. A design looks the same in all figures of a study, and unlike every other, in print without colour.

Normalization chooses the colour and how a marker is filled, convolution the line, gate and convolution the marker. What
these leave alike is told apart by the next marker that is free. The colours are Okabe and Ito's, which remain distinct
for colour-blind readers (Okabe and Ito, "Color universal design", 2008), a grey and a dark wine.
"""

import io
import textwrap
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import matplotlib as mpl
import matplotlib.style
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from lina_lab.analysis.names import Names, design_label
from lina_lab.config.model import AttentionConfig
from lina_lab.config.sweep import Scalar
from lina_lab.design.convolutions import CONV_KERNEL
from lina_lab.design.gates import KV_GATE
from lina_lab.design.normalization import NORMALIZATION, Normalization
from lina_lab.design.value import Axis, V_co
from lina_lab.errors import LabError
from lina_lab.files import write_atomic

OTHER_COLOURS = ("#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
ALL_FILLS = ("full", "none", "left", "right", "bottom", "top")
ALL_LINES = tuple(value.line for value in CONV_KERNEL.values.values())
OWN_MARKERS = [value.marker for axis in (CONV_KERNEL, KV_GATE) for value in axis.values.values() if value.marker]
ALL_MARKERS = tuple(dict.fromkeys([*OWN_MARKERS, "h", "d", "8", "H"]))
"""Not ^ and v, which are predictions: see gap.py."""
DEFAULTS = {name: field.default for name, field in AttentionConfig.model_fields.items()} | {
    "position": "table",
    "softmax_every": None,
    "flow_steps_last": None,
}
"""Default values change no look, so that every other value does."""
LINE = 48
"""Characters of a line in a legend."""
COLUMN, PAGE = 3.25, 6.75
"""Inches: a column, and the whole text, of a paper in two columns (ICML's style: 6.75 in with 0.25 in between)."""
FONT, SMALL = 8, 7
"""Points: titles and labels of axes; ticks, legends and notes. Papers ask for 7 to 9 at the printed size."""
DPI = 300
"""Pixels an inch: two for each of a page that shows 6.75 in in 1,000 pixels."""
QUIET = "#555555"
"""Of notes."""
KNOWN = ("normalization", "conv_kernel", "kv_gate")
"""Axes with a look of their own."""
Look = dict[str, Any]
Looks = Callable[[Mapping[str, Scalar]], Look]
SETTINGS: Any = {
    "font.size": FONT,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.color": "#e6e6e6",
    "grid.linewidth": 0.6,
    "axes.axisbelow": True,
    "axes.titlesize": FONT,
    "axes.labelsize": FONT,
    "axes.linewidth": 0.6,
    "xtick.labelsize": SMALL,
    "ytick.labelsize": SMALL,
    "legend.frameon": False,
    "legend.fontsize": SMALL,
    "legend.title_fontsize": SMALL,
    "text.parse_math": False,  # names are data: a $ in one is a $
    "svg.hashsalt": "lina-lab",  # without it, every SVG has other ids
    "svg.fonttype": "path",  # letters are shapes: the same where the font is missing
    "pdf.fonttype": 42,  # TrueType, embedded: type 3 is refused by some publishers
}


def design_looks(designs: Iterable[Mapping[str, Scalar]]) -> Looks:
    """From a design, by its axis values, to its line and marker; `designs` are all of a study, in its order.

    No two have the same marker and filling, or, beyond 78 designs, the same marker, filling and line; past 312 looks
    come again. A design keeps the look that it has alone, unless an earlier one looks like it.

    A user's normalization gets the next colour that is free, and the looks of division after division's.

    Raises:
        LabError: if a convolution or a gate has no look.
    """
    looks: dict[frozenset[tuple[str, Scalar]], Look] = {}
    used: Counter[Any] = Counter()
    others: dict[str, str] = {}
    for values in designs:
        if _key(values) in looks:
            continue
        marker, fill, line = min(_shapes(values), key=lambda shape: (used[shape[:2]], used[shape]))
        used.update([(marker, fill), (marker, fill, line)])
        colour = _normalization(values).colour
        if strange := {name: v for name, v in values.items() if _is_strange(name, v)}:
            named = repr([values.get("normalization"), *sorted(strange.items())])
            colour = others.setdefault(named, OTHER_COLOURS[len(others) % len(OTHER_COLOURS)])
        looks[_key(values)] = _look(marker, fill, line, colour)
    return lambda values: looks[_key(values)]


def _is_strange(name: str, value: Scalar) -> bool:
    """Whether a value has no look of its own, as a user's normalization, and is not the usual one."""
    if name == "normalization" and isinstance(value, str):
        return value not in NORMALIZATION.values or not NORMALIZATION[value].colour
    return name not in KNOWN and DEFAULTS.get(name, NO_VALUE) != value


def _key(values: Mapping[str, Scalar]) -> frozenset[tuple[str, Scalar]]:
    """A design, whatever the order of its axes; a table says NaN for None."""
    return frozenset((name, None if value != value else value) for name, value in values.items())  # noqa: PLR0124


NO_VALUE = object()
"""Of an axis without a default every value changes the look."""


def design_style(values: Mapping[str, Scalar]) -> Look:
    """The look of a design alone in its figure."""
    return design_looks([values])(values)


def _shapes(values: Mapping[str, Scalar]) -> list[tuple[str, str, Any]]:
    """Marker, filling and line of a design: its own first, then all others, the nearest first."""
    kernel = _own(CONV_KERNEL, "conv_kernel", values, 5)
    lines = _first(kernel.line, ALL_LINES)
    fills = _first(_normalization(values).fill, ALL_FILLS)
    markers = _first(_own(KV_GATE, "kv_gate", values, "none").marker or kernel.marker, ALL_MARKERS)
    return [(marker, fill, line) for line in lines for fill in fills for marker in markers]


def _first(own: Any, every: Iterable[Any]) -> list[Any]:
    return [own, *(other for other in every if other != own)]


def _normalization(values: Mapping[str, Scalar]) -> Normalization:
    unknown = _is_strange("normalization", values.get("normalization"))
    return _own(NORMALIZATION, "normalization", {} if unknown else values, "division")


def _own(axis: Axis[V_co], name: str, values: Mapping[str, Scalar], default: Scalar) -> V_co:
    """The value of a design on an axis with a look of its own, or what is drawn where the study has no such axis."""
    word = values.get(name, default)
    if word not in axis.values:
        raise LabError(f"{name} {word} has no look in figures; known are {', '.join(map(str, axis.values))}")
    return axis.values[word]


def _look(marker: str, fill: str, line: Any, colour: str) -> Look:
    hollow = fill == "none"
    return {
        "color": colour,
        "linestyle": line,
        "marker": marker,
        "fillstyle": "full" if hollow else fill,
        "markerfacecolor": "white" if hollow else colour,
        "markerfacecoloralt": "white",
        "markersize": 4,
        "linewidth": 1.1,
    }


def named(values: Mapping[str, Scalar], name: Names = design_label) -> str:
    """A design for a legend, in lines that leave room for what it names."""
    return "\n".join(textwrap.wrap(name(values), LINE))


def versus(axis: str, a: Scalar, b: Scalar, name: Names = design_label, between: str = "/") -> str:
    """Two values of an axis: 'subtraction / division', 'conv / no conv'."""
    return f"{name({axis: a})} {between} {name({axis: b})}"


def new_figure(width: float, height: float) -> Figure:
    """An empty figure of a size in inches (`COLUMN` or `PAGE` wide), without pyplot's global state."""
    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def fitted(words: str, inches: float, size: float = FONT, most: int | None = None) -> str:
    """Words in lines that fit a width, at most so many, the last shortened; a word that is longer is broken."""
    letters = max(8, int(inches * 72 / (LETTER * size)))
    wrapped = (textwrap.wrap(part, letters, max_lines=most, placeholder="…") for part in words.split("\n"))
    return "\n".join(line for lines in wrapped for line in lines)


LETTER = 0.57
"""Width of a mean letter of the figures' font, of its size."""


def grow(figure: Figure, lines: int, size: float = SMALL) -> None:
    """Make a figure higher by some lines of words, so that they take nothing from its panels."""
    figure.set_figheight(figure.get_figheight() + 1.25 * size * lines / 72)


def note(figure: Figure, words: str) -> None:
    """Small words above all panels: what bars are, and what is not in them."""
    text = fitted(words, figure.get_figwidth(), SMALL)
    figure.suptitle(text, fontsize=SMALL, color=QUIET, x=0.01, ha="left")
    grow(figure, text.count("\n") + 1)


def style() -> Any:
    """The context in which figures are drawn and saved: ours on matplotlib's own defaults, not on a user's."""
    return mpl.style.context(SETTINGS, after_reset=True)


def save(figure: Figure, path: Path, formats: tuple[str, ...] = ("png",)) -> None:
    """Write a figure in several formats, with the same bytes every time."""
    metadata: dict[str, dict[str, Any]] = {
        "png": {"Software": None},
        "pdf": {"CreationDate": None, "Producer": None, "Creator": None},
        "svg": {"Date": None, "Creator": None},
    }
    for kind in formats:
        buffer = io.BytesIO()
        with style():
            figure.savefig(buffer, format=kind, dpi=DPI, metadata=metadata[kind])
        write_atomic(path.with_suffix(f".{kind}"), buffer.getvalue())
