"""Ticks of logarithmic axes: few, at round numbers, whatever the range."""

import math
from collections.abc import Callable

from matplotlib.axis import XAxis, YAxis
from matplotlib.ticker import FixedLocator, FuncFormatter, MaxNLocator, NullFormatter, NullLocator

LADDERS = ((1.0,), (1.0, 3.0), (1.0, 2.0, 5.0), (1.0, 1.5, 2.0, 3.0, 5.0, 7.0))
"""Multiples of a power of ten, from the sparsest."""


def log_ticks(low: float, high: float, least: int = 3, most: int = 6) -> list[float]:
    """At least `least` round numbers from low to high, where a sparse ladder has as many; else evenly spaced ones."""
    decades = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    for ladder in LADDERS:
        ticks = [step * 10.0**decade for decade in decades for step in ladder]
        inside = [tick for tick in ticks if low <= tick <= high]
        if len(inside) >= least:
            return inside[:: math.ceil(len(inside) / most)]
    return [
        float(tick) for tick in MaxNLocator(most - 1, steps=[1, 2, 5, 10]).tick_values(low, high) if low <= tick <= high
    ]


def si(number: float) -> str:
    """A number with a metric prefix: 300G, 1.5T, 2P."""
    for prefix, scale in (("E", 1e18), ("P", 1e15), ("T", 1e12), ("G", 1e9), ("M", 1e6), ("k", 1e3)):
        if number >= scale:
            return f"{number / scale:.3g}{prefix}"
    return f"{number:g}"


def log_axis(axis: XAxis | YAxis, label: Callable[[float], str] = "{:g}".format, most: int = 6) -> None:
    """Make an axis logarithmic, with `log_ticks` of the range that it has now and no others."""
    low, high = axis.get_data_interval()
    if math.isclose(low, high):  # a range of no width has no logarithmic middle
        axis.axes.set(**{f"{axis.axis_name}lim": (low / 2, 2 * high)})
    axis.axes.set(**{f"{axis.axis_name}scale": "log"})
    low, high = sorted(axis.get_view_interval())
    axis.set_major_locator(FixedLocator(log_ticks(low, high, most=most)))
    axis.set_major_formatter(FuncFormatter(lambda value, _: label(value)))
    axis.set_minor_locator(NullLocator())
    axis.set_minor_formatter(NullFormatter())
