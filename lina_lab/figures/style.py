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

from lina_lab.analysis.names import design_label
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
KNOWN = ("normalization", "conv_kernel", "kv_gate")
"""Axes with a look of their own."""
Look = dict[str, Any]
Looks = Callable[[Mapping[str, Scalar]], Look]
SETTINGS: Any = {
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.color": "#e6e6e6",
    "grid.linewidth": 0.6,
    "axes.axisbelow": True,
    "axes.titlesize": 9,
    "legend.frameon": False,
    "legend.fontsize": 8,
    "text.parse_math": False,  # names are data: a $ in one is a $
    "svg.hashsalt": "lina-lab",  # without it, every SVG has other ids
    "svg.fonttype": "none",
    "pdf.fonttype": 42,
}


def design_looks(designs: Iterable[Mapping[str, Scalar]]) -> Looks:
    """From a design, by its axis values, to its line and marker; `designs` are all of a study, in its order.

    No two have the same marker and filling, or, beyond 78 designs, the same marker, filling and line; past 312 looks
    come again. A design keeps the look that it has alone, unless an earlier one looks like it.

    Raises:
        LabError: if a value of an axis with a look of its own has none.
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
        if strange := {
            name: v for name, v in values.items() if name not in KNOWN and DEFAULTS.get(name, NO_VALUE) != v
        }:
            named = repr([values.get("normalization"), *sorted(strange.items())])
            colour = others.setdefault(named, OTHER_COLOURS[len(others) % len(OTHER_COLOURS)])
        looks[_key(values)] = _look(marker, fill, line, colour)
    return lambda values: looks[_key(values)]


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
    return _own(NORMALIZATION, "normalization", values, "division")


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
        "markersize": 5,
        "linewidth": 1.4,
    }


def named(values: Mapping[str, Scalar]) -> str:
    """A design for a legend or a title, in lines that leave room for what it names."""
    return "\n".join(textwrap.wrap(design_label(values), LINE))


def new_figure(width: float, height: float) -> Figure:
    """An empty figure of a size in inches, without pyplot's global state."""
    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure


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
            figure.savefig(buffer, format=kind, dpi=160, metadata=metadata[kind])
        write_atomic(path.with_suffix(f".{kind}"), buffer.getvalue())
