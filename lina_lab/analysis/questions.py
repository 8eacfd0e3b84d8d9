"""What a study asks of an axis value, in words: 'Does a 5x5 depthwise convolution help?'."""

from lina_lab.analysis.names import LABEL
from lina_lab.config.model import SEGMENTS
from lina_lab.config.sweep import Scalar
from lina_lab.design.axes import AXES, OTHER_AXES
from lina_lab.escape import shortened, shown

LACKS = "no "
"""How the words of a value begin that is the absence of something."""


def question(path: str, value: Scalar, baseline: Scalar) -> str:
    """What is asked of a value of the axis with this dotted path, against the axis's first."""
    new, old = said(path, value), said(path, baseline)
    where = segment(path)
    if old.startswith(LACKS) and not new.startswith(LACKS):
        return f"Does {new}{where} help?"
    return f"Is {new} better than {old}{where}?"


def said(path: str, value: Scalar) -> str:
    """What a sentence calls an axis value: 'a gate on keys', 'subtraction', 'learning rate 0.001'."""
    name = path.rpartition(".")[2]
    known = OTHER_AXES.get(path) or (AXES.get(name) if path.startswith("model.") else None)
    entry = known.values.get(value) if known else None
    if entry is not None and entry.said:
        return entry.said
    return shown(shortened(f"{name.replace('_', ' ')} {'none' if value is None else value}", LABEL))


def segment(path: str) -> str:
    """' in the decoder' of an axis of one segment alone; '' of others."""
    part = path.removeprefix("model.").partition(".")[0]
    return f" in the {part}" if part in SEGMENTS else ""
