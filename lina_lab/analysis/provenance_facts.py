"""Where the results of a report come from, in words: commands, code, versions, hardware, seeds and time."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from lina_lab.errors import LabError
from lina_lab.ledger.result import read_result

Record = Mapping[Any, Any]


def facts_of_ledger(runs: Path, table: pd.DataFrame) -> dict[str, str]:
    """Of the cells of a table that have a result."""
    return _facts([record for key in table["key"] if (record := _record(runs / key)) is not None])


def facts_of_table(table: pd.DataFrame) -> dict[str, str]:
    """As far as a results table tells: neither Python's version nor the number of cores."""
    phases = [name for name in table if str(name).endswith("_seconds")]
    before = table["seconds_before"].fillna(0) if "seconds_before" in table else 0
    known = table.assign(seconds=table[phases].sum(axis=1) - before, hardware=table.get("cpu"))
    rows = known.astype(object).where(known.notna(), None).to_dict("records")
    return _facts(rows)


def _record(folder: Path) -> Record | None:
    try:
        result = read_result(folder)
    except LabError:
        return None
    provenance = result.provenance
    return {
        "seed": result.seed,
        "seconds": sum(result.seconds.values()) - (result.continued.seconds if result.continued else 0),
        "command": provenance.command,
        "commit": provenance.commit,
        "diff_sha256": provenance.diff_sha256,
        "versions": " ".join(f"{name} {version}" for name, version in provenance.versions.items()),
        "python": provenance.python,
        "hardware": provenance.hardware and f"{provenance.hardware.cpu}, {provenance.hardware.cores} cores",
        "started": provenance.started,
    }


def _facts(records: Sequence[Record]) -> dict[str, str]:
    def every(values: Iterable[object]) -> str:
        return ", ".join(dict.fromkeys(str(value) for value in values if value is not None))

    def each(name: str) -> str:
        return every(record.get(name) for record in records)

    python = {"Python": each("python")} if each("python") else {}
    return {
        "command": each("command"),
        "commit": each("commit") or "not in a git checkout",
        "uncommitted changes (SHA-256)": each("diff_sha256") or "none",
        "versions": each("versions"),
        **python,
        "hardware": each("hardware"),
        "seeds": every(sorted({record["seed"] for record in records})),
        "time": f"{sum(r['seconds'] for r in records) / 60:.1f} minutes of one core for {len(records)} cells",
        "started": min(record["started"] for record in records),
    }
