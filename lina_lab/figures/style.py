"""One quiet style; the same design looks the same in every figure of every sweep.

Normalization chooses the colour, convolution the line, gate the marker. The colours are Okabe and Ito's, which remain
distinct for colour-blind readers (Okabe and Ito, "Color universal design", 2008), a grey and a dark wine.
"""

import hashlib
import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import matplotlib as mpl
import matplotlib.style
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from lina_lab.config.experiment import LATER_OF_ATTENTION
from lina_lab.config.sweep import Scalar
from lina_lab.files import write_atomic

COLOURS = {"division": "#0072B2", "subtraction": "#D55E00", "softmax": "#555555", "mediator": "#882255"}
OTHER_COLOURS = ("#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
LINES = {0: (0, (4, 2)), 3: (0, (1, 1)), 5: "solid", 7: (0, (5, 1, 1, 1))}
MARKERS = {"none": "o", "key": "<", "value": ">", "key_value": "s", "key_value_split": "D", "key_value_data": "P"}
USUAL = LATER_OF_ATTENTION | {"position": "table", "softmax_every": None, "flow_steps_last": None}
"""Values that a design has where nothing else is said: they change no look, so that a change of them always does."""
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
    "svg.hashsalt": "lina-lab",  # without it, every SVG has other ids
    "svg.fonttype": "none",
    "pdf.fonttype": 42,
}


def design_style(values: Mapping[str, Scalar]) -> dict[str, Any]:
    """Line and marker of a design, from its axis values alone."""
    known = {"normalization", "conv_kernel", "kv_gate"}
    normalization = values.get("normalization")
    colour = COLOURS.get(str(normalization), COLOURS["division"])
    rest = {k: v for k, v in values.items() if k not in known and (k not in USUAL or v != USUAL[k])}
    if rest:  # an axis without a look of its own: a stable choice among the other colours
        text = repr([normalization, *sorted(rest.items())])
        colour = OTHER_COLOURS[int(hashlib.sha256(text.encode()).hexdigest(), 16) % len(OTHER_COLOURS)]
    kernel = values.get("conv_kernel", 5)
    gate = str(values.get("kv_gate", "none"))
    return {
        "color": colour,
        "linestyle": LINES.get(kernel if isinstance(kernel, int) else 5, "solid"),
        "marker": MARKERS.get(gate, "o"),
        "markerfacecolor": "white" if kernel == 0 else colour,
        "markersize": 5,
        "linewidth": 1.4,
    }


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
