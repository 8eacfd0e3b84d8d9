"""Measured cost of one attention module: the table that profiling writes, and the cost of each design choice."""

from pathlib import Path

import pandas as pd

from lina_lab import cost
from lina_lab.config.model import AttentionConfig
from lina_lab.errors import LabError

PROFILE_COLUMNS = (
    "device",
    "normalization",
    "conv_kernel",
    "kv_gate",
    "tokens",
    "forward_ms",
    "backward_ms",
    "peak_bytes",
    "macs",
)
"""What a profile has: the device in words, the design, the sequence length, milliseconds of one forward and of one
backward, the peak of memory in bytes, and multiply-adds of one forward. An empty cell was not measured."""
MEASURED = ("forward_ms", "backward_ms", "peak_bytes", "macs")
FURTHER = ("activation_bytes", "bound_ms", "roofline")
"""Numbers that a profile may have as well: bytes kept for the backward, the least milliseconds of forward and backward
together, and that bound over what was measured."""
BASE, SOFTMAX, NO_FLOAT32 = "LINA", "plain softmax", "float32 core off"
"""Names of designs that are not a single change of the base."""
MAIN = (BASE, "kv_gate none", "conv_kernel 0", "normalization subtraction", SOFTMAX)
"""The designs that a figure has room for."""
LINA = AttentionConfig(conv_kernel=5, kv_gate="key_value")


def read_profile(path: Path) -> pd.DataFrame:
    """A profile from a CSV with `PROFILE_COLUMNS`; other columns are kept.

    Raises:
        LabError: if a column is missing, or holds what is no positive number.
    """
    try:
        table = pd.read_csv(path, keep_default_na=False, na_values={name: [""] for name in MEASURED})
    except (ValueError, pd.errors.EmptyDataError) as error:
        raise LabError(f"{path}: must be a CSV with a header: {str(error).splitlines()[0]}") from error
    missing = [name for name in PROFILE_COLUMNS if name not in table]
    if missing:
        raise LabError(f"{path}: must have the columns {', '.join(PROFILE_COLUMNS)}; there is no {', '.join(missing)}")
    for name in ("tokens", *MEASURED):
        numbers = pd.to_numeric(table[name], errors="coerce")
        wrong = table[name].notna() & ~(numbers > 0)
        if wrong.any():
            line = int(wrong.to_numpy().argmax()) + 2
            raise LabError(
                f"{path}:{line}: column {name}: must be a positive number, not {table.loc[wrong, name].iloc[0]}"
            )
        table[name] = numbers
    further = {name: pd.to_numeric(table[name], errors="coerce") for name in FURTHER if name in table}
    return table.assign(**further)


def main_designs(profile: pd.DataFrame) -> pd.DataFrame:
    """The rows of the designs in `MAIN`; all rows of a profile that names no designs, or none of these."""
    if "design" not in profile:
        return profile
    rows = profile[profile["design"].isin(MAIN)]
    return profile if rows.empty else rows


def effects(profile: pd.DataFrame) -> pd.DataFrame:
    """What each change of LINA does at the longest length at which LINA was measured; empty if it never was.

    Columns: design, tokens, forward_ms, backward_ms; time (forward and backward), activations, peak, macs, each over
    LINA's; roofline. What was not measured is missing.
    """
    base = profile[(profile["design"] == BASE) & profile["forward_ms"].notna()]
    if base.empty:
        return pd.DataFrame()
    longest = base.sort_values("tokens").iloc[-1]
    rows = profile[profile["tokens"] == longest["tokens"]].reset_index(drop=True)
    table = rows[["design", "tokens", "forward_ms", "backward_ms"]].copy()
    table["time"] = (rows["forward_ms"] + rows["backward_ms"]) / (longest["forward_ms"] + longest["backward_ms"])
    for ratio, column in (("activations", "activation_bytes"), ("peak", "peak_bytes"), ("macs", "macs")):
        table[ratio] = rows[column] / longest[column]
    table["roofline"] = rows["roofline"]
    return table


def macs_against_softmax(width: int = 1536, num_heads: int = 16, prefix: int = 1024, grid: int = 4096) -> str:
    """LINA's multiply-adds against softmax's in one line, by default of one module of the published 1024 px model."""
    length = prefix + grid
    lina, softmax = (
        round(cost.attention_macs(config, width, num_heads, length, grid))
        for config in (LINA, AttentionConfig(normalization="softmax"))
    )
    return (
        f"N {length}, D {width}, {num_heads} heads: {lina:,} MAC against {softmax:,} of softmax: "
        f"{abs(1 - lina / softmax):.0%} {'less' if lina < softmax else 'more'}"
    )
