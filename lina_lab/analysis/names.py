"""Short names of a study's designs, as the paper says them: 'LINA', 'division + conv', 'softmax'.

A name says normalization, convolution and gate, in this order, and then what else the study varies, without what is
the default. A design that people have a name for, as a published variant, has that name.
"""

import json
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from lina_lab.analysis.table import SIZE_AXIS
from lina_lab.config.model import AttentionConfig
from lina_lab.config.sweep import Scalar
from lina_lab.config.variants import ELSEWHERE, A, D, published_name
from lina_lab.design.axes import AXES
from lina_lab.escape import shortened, shown
from lina_lab.ledger.plan import Plan

Values = Mapping[str, Scalar]
Names = Callable[[Values], str]
LABEL = 40
"""Most characters of one value in a short name."""
NORMALIZATION, CONV, GATE = "normalization", "conv_kernel", "kv_gate"
USUAL: Values = {CONV: 5, GATE: "key_value"}
"""As LINA has them: what 'conv' and 'gate' mean in a study without others."""
LACKING: Values = {CONV: 0, GATE: "none"}
WORDS = {CONV: "conv", GATE: "gate"}
DEFAULTS: Values = {
    **{name: AttentionConfig.model_fields[name].default for name in AXES},
    **{path.partition(".")[2]: default for path, default in ELSEWHERE.items()},
    "parametrization": "standard",
}
"""Of axes, by their short name: a name leaves these values out."""
NOTHING: Sequence[Scalar] = ()


def design_names(plan: Plan) -> Names:
    """From axis values of a study to a short name, of which no two designs have the same.

    Values of some axes alone are named alike, as what the designs of a comparison share; a size is said last. Where two
    short names would be the same, both are values by axis, exactly.
    """
    kinds = _kinds(plan)
    known: dict[frozenset[str], Mapping[Any, str]] = {}

    def short(design: Values) -> str:
        if plan.fixed is None or {*design, SIZE_AXIS} != {*plan.axes, SIZE_AXIS}:
            return _composed(design, kinds)
        core = {plan.axes[name]: value for name, value in design.items() if name in (NORMALIZATION, *USUAL)}
        published = published_name({**plan.fixed, **core})
        if published:
            return ", ".join([published, *_others(design)])
        return _composed({**_fixed_parts(plan), **design}, kinds)

    def name(values: Values) -> str:
        design = {axis: _plain(value) for axis, value in values.items() if axis != SIZE_AXIS}
        axes = frozenset(design)
        if axes not in known:
            known[axes] = _told_apart(({axis: cell.values.get(axis) for axis in design} for cell in plan.cells), short)
        label = known[axes].get(frozenset(design.items())) or short(design)
        if SIZE_AXIS not in values:
            return label
        size = shown(shortened(str(values[SIZE_AXIS]), LABEL))
        return f"{label}, {size}" if design else size

    return name


def design_label(values: Values) -> str:
    """The short name of axis values by themselves, whatever study they are of; `design_names` knows more of a study."""
    return _composed({axis: _plain(value) for axis, value in values.items()}, dict.fromkeys(USUAL, NOTHING))


def _told_apart(designs: Iterable[Values], short: Names) -> dict[frozenset[tuple[str, Scalar]], str]:
    """The name of every design: the short one, or its exact values where another has the same."""
    points = {frozenset(design.items()): design for design in designs}
    labels = {key: short(design) for key, design in points.items()}
    while twice := {label for label, count in Counter(labels.values()).items() if count > 1}:
        labels |= {key: _exact(points[key]) for key, label in labels.items() if label in twice}
    return labels


def _exact(design: Values) -> str:
    return ", ".join(f"{shown(axis)}={shown(json.dumps(value))}" for axis, value in sorted(design.items()))


def _plain(value: Any) -> Scalar:
    """A value as a plan has it: a table says NaN for None, and has numbers of its own."""
    value = value.item() if hasattr(value, "item") else value
    return None if value != value else value  # noqa: PLR0124


def _kinds(plan: Plan) -> dict[str, Sequence[Scalar]]:
    """Every convolution and gate of a study, but none."""
    fixed = _fixed_parts(plan)
    return {
        axis: [v for v in dict.fromkeys([fixed.get(axis), *(c.values.get(axis) for c in plan.cells)]) if v is not None]
        for axis in USUAL
    }


def _fixed_parts(plan: Plan) -> dict[str, Scalar]:
    """Normalization, convolution and gate of a study's base; no normalization where segments have their own."""
    fixed = plan.fixed
    if fixed is None:
        return {}
    found: dict[str, Scalar] = {axis: fixed[f"{A}.{axis}"] for axis in USUAL if f"{A}.{axis}" in fixed}
    found |= {axis: fixed[f"{D}.{axis}"] for axis in USUAL if f"{D}.{axis}" in fixed}
    everywhere = not any(path.endswith(f".{NORMALIZATION}") and not path.startswith(A) for path in (*fixed, *plan.axes))
    normalization = fixed.get(f"{A}.{NORMALIZATION}", DEFAULTS[NORMALIZATION])
    return {**({NORMALIZATION: normalization} if everywhere else {}), **found}


def _composed(values: Values, kinds: Mapping[str, Sequence[Scalar]]) -> str:
    core = [_word(values[NORMALIZATION])] if NORMALIZATION in values else []
    parts = [axis for axis in USUAL if values.get(axis, LACKING[axis]) != LACKING[axis]]
    core += [_part(axis, values[axis], kinds[axis]) for axis in parts]
    said = [*([" + ".join(core)] if core else []), *_others(values)]
    return ", ".join(said or _defaults(values)) or "all cells"


def _part(axis: str, value: Scalar, kinds: Sequence[Scalar]) -> str:
    """'conv', or 'conv 3' where that is not the usual one or there are others; likewise 'gate' or 'key gate'."""
    others = [kind for kind in kinds if kind not in (USUAL[axis], LACKING[axis])]
    if value == USUAL[axis] and not others:
        return WORDS[axis]
    return f"{WORDS[axis]} {_word(value)}" if axis == CONV else f"{_word(value)} {WORDS[axis]}"


def _others(values: Values) -> Iterable[str]:
    """What a design has beside its core that is not the default."""
    for axis, value in sorted(values.items()):
        if axis not in (NORMALIZATION, *USUAL) and not (axis in DEFAULTS and value == DEFAULTS[axis]):
            yield _axis_word(axis, value)


def _axis_word(axis: str, value: Scalar) -> str:
    """'elu1 feature map' of an axis of attention; 'mup', or 'learning_rate 0.001', of another."""
    if axis in AXES:
        return f"{_word(value)} {axis.replace('_', ' ')}"
    named = isinstance(value, str) and value != "none"
    return _word(value) if named else f"{_word(axis)} {_word(value)}"


def _defaults(values: Values) -> Iterable[str]:
    """What is said of defaults where there is nothing else to say: 'no conv or gate'."""
    lacking = [WORDS[axis] for axis in WORDS if axis in values]
    if lacking:
        yield f"no {' or '.join(lacking)}"
    yield from (_axis_word(axis, value) for axis, value in sorted(values.items()) if axis not in WORDS)


def _word(value: Scalar) -> str:
    return shown(shortened("none" if value is None else str(value), LABEL))
