"""Measured cost of one attention module: the table that profiling writes."""

from pathlib import Path

import pandas as pd

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


def read_profile(path: Path) -> pd.DataFrame:
    """A profile from a CSV with `PROFILE_COLUMNS`; other columns are passed on.

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
    return table
