"""The variants of the published code as config values.

Ids are the published code's. Left out are those that cannot train, and what never was an axis: linear1 (no position at
all), linear2 (rotary after φ, NaN), linear5 (division of an identity φ), decouple6 (a learnt factor α of the queries of
subtraction, beside a generator of filters that nothing reads), decouple7 (the same generator without α), mem2 and mem3
(no denominator). high_res is kvscale1 at any resolution.
"""

from typing import Any

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
