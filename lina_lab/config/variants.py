"""The variants of the published code as config values.

Ids are the published code's. Left out are those that cannot train, and what never was an axis: linear1 (no position at
all), linear2 (rotary after φ, NaN), linear5 (division of an identity φ), decouple6 (a learnt factor α of the queries of
subtraction, beside a generator of filters that nothing reads), decouple7 (the same generator without α), mem2 and mem3
(no denominator). high_res is kvscale1 at any resolution.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from lina_lab.config.model import GRID_PARTS, SEGMENTS, AttentionConfig

A, C, E, D = "model.attention", "model.context", "model.encoder", "model.decoder"


def _plain(**values: Any) -> dict[str, Any]:
    """Values for the segments without grid: the context stack and the encoder."""
    return {f"{segment}.{axis}": value for segment in (C, E) for axis, value in values.items()}


CONV = {f"{A}.conv_kernel": 5}
LINA = CONV | {f"{A}.kv_gate": "key_value"}

VARIANTS: dict[str, dict[str, Any]] = {
    "softmax": {f"{A}.normalization": "softmax"},
    "linear3": {"model.position": "rotary"},
    "linear4": {"model.position": "rotary", f"{A}.output_gate": "sigmoid"},
    "linear6": {},
    "linear7": {f"{A}.normalization": "mediator"},
    "linear8": {f"{A}.normalization": "subtraction", f"{A}.sequence_conv": "generated_5"},
    "linear9": {f"{A}.normalization": "subtraction"},
    "analysis1": _plain(normalization="softmax"),
    "analysis2": {f"{D}.normalization": "softmax"},
    "decouple1": CONV,
    "decouple2": CONV | _plain(normalization="subtraction", sequence_conv="generated_5"),
    "decouple3": {f"{A}.conv_kernel": 3} | _plain(normalization="subtraction", sequence_conv="generated_3"),
    "decouple4": {f"{A}.normalization": "subtraction", f"{A}.conv_kernel": 3, f"{A}.conv_weights": "generated"}
    | _plain(sequence_conv="generated_5"),
    "decouple5": {f"{A}.normalization": "subtraction", f"{A}.conv_kernel": 5, f"{A}.conv_weights": "generated"}
    | _plain(sequence_conv="generated_5"),
    "decouple8": {f"{A}.sequence_conv": "fixed_5"},
    "decouple9": CONV | {f"{A}.sequence_conv": "fixed_5"},
    "decouple10": CONV | {f"{A}.normalization": "subtraction"},
    "kvscale1": LINA,
    "kvscale2": LINA | {f"{A}.kv_gate_heads": "shared"},
    "kvscale3": CONV | {f"{A}.kv_gate": "key"},
    "kvscale4": CONV | {f"{A}.kv_gate": "value"},
    "kvscale5": CONV | {f"{A}.kv_gate": "key_value_split"},
    "kvscale6": CONV | {f"{A}.kv_gate": "key_value_data"},
    "mem1": CONV | {f"{A}.memory_groups": 4},
    "disa": CONV | {"sampling.flow_steps_last": 5},
    "hybrid1": LINA | {"model.softmax_every": 8},
    "tri": LINA | {f"{C}.conv_kernel": 5, f"{C}.kv_gate": "key_value"},
}
"""By id, dotted path to value; everything else is the default. kvscale1 is LINA."""

NAMES = {"kvscale1": "LINA"}
"""What people call a variant, where its values alone would not say it."""
SECTIONS = (A, C, E, D)
ELSEWHERE = {"model.position": "table", "model.softmax_every": None, "sampling.flow_steps_last": None}
"""Paths of the design that are no attention's, with their defaults."""


def design_settings(values: Mapping[str, Any], above: str = "") -> Iterator[tuple[str, Any]]:
    """Dotted path and value of everything in a config, as YAML has it, that makes the design."""
    for key, value in values.items():
        path = f"{above}{key}"
        if isinstance(value, Mapping):
            yield from design_settings(value, f"{path}.")
        elif path in ELSEWHERE or above.removesuffix(".") in SECTIONS:
            yield path, value


def published_name(settings: Mapping[str, Any]) -> str:
    """What people call the design of these values, with defaults for the rest; "" if they have no name for it.

    settings: by dotted path, as in `VARIANTS`; what `design_settings` would not give counts for nothing.
    """
    design = _resolved(settings)
    return next((name for variant, name in NAMES.items() if design and _resolved(VARIANTS[variant]) == design), "")


def _resolved(settings: Mapping[str, Any]) -> dict[str, Any]:
    """The attention of every segment, and the rest of the design; empty if the values cannot stand together."""
    found: dict[str, Any] = {path: settings.get(path, default) for path, default in ELSEWHERE.items()}
    for segment in SEGMENTS:
        own: dict[str, Any] = {}
        for section in (A, f"model.{segment}"):  # the later one counts
            part = {name.rpartition(".")[2]: v for name, v in settings.items() if name.rpartition(".")[0] == section}
            own |= {k: v for k, v in part.items() if section != A or segment == "decoder" or k not in GRID_PARTS}
        try:
            found[segment] = AttentionConfig.model_validate(own)
        except ValueError:
            return {}
    return found
