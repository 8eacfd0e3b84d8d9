"""Whether the cells of a table ran the same code, counting only files that affect results."""

import re
from collections.abc import Mapping
from typing import Any

import pandas as pd

from lina_lab.provenance import ROOMS, rooms_of_commit

Record = Mapping[Any, Any]
LABEL = "_code"
"""Column that identifies the code of a cell; empty if no cell's code is known."""


def with_code(rows: pd.DataFrame) -> pd.DataFrame:
    """Rows with `LABEL`: digests of the package's rooms; or, of an older record, those of its commit as the package's
    own checkout has it; or else commit and uncommitted changes.
    """
    records = rows.to_dict("records")
    known = {_commit(row): _text(row, "code") for row in records if _text(row, "code") and _commit(row)}
    labels = [_label(row, known) for row in records]
    return rows.assign(**{LABEL: labels if any(labels) else None})


def code_difference(rows: pd.DataFrame) -> str | None:
    """How the code differs between rows `with_code`; None if it is the same or unknown."""
    labels = list(dict.fromkeys(rows[LABEL].dropna()))
    if len(labels) < 2:
        return None
    commits = list(dict.fromkeys(filter(None, (_commit(row) for row in rows.to_dict("records")))))
    of = f" (commit {', '.join(commits)})" if len(commits) > 1 else ""
    rooms = [_rooms(label) for label in labels]
    if not all(rooms):
        where = f"{', '.join(ROOMS[:-1])} or {ROOMS[-1]}"
        return f"the cells may have run different code{of}: nothing tells whether files under {where} differ"
    differ = [room for room in ROOMS if len({of_cell.get(room) for of_cell in rooms}) > 1]
    return f"the cells ran different code{of}: files under {', '.join(differ)} differ"


def changed_meanwhile(rows: pd.DataFrame) -> str | None:
    """Files affecting results that changed on disk while cells ran; None if none did."""
    texts = list(rows["code_changed"].dropna()) if "code_changed" in rows else []
    files = dict.fromkeys(name for text in texts for name in str(text).split() if name.partition("/")[0] in ROOMS)
    return f"the code changed on the disk while cells ran: {', '.join(files)}" if files else None


def _label(row: Record, known: Mapping[str, str]) -> str:
    """Empty if nothing is known."""
    commit, sha = _commit(row), _text(row, "commit")
    rooms_recorded = _text(row, "code") or known.get(commit, "")
    if rooms_recorded or _text(row, "diff_sha256") or not re.fullmatch("[0-9a-f]{40}", sha):
        return rooms_recorded or commit
    rooms = rooms_of_commit(sha) or {}
    return " ".join(f"{room} {digest}" for room, digest in rooms.items()) or commit


def _commit(row: Record) -> str:
    """Commit and uncommitted changes, shortened."""
    changes = _text(row, "diff_sha256")
    return _text(row, "commit")[:12] + (f" with changes {changes[:8]}" if changes else "")


def _rooms(label: str) -> dict[str, str]:
    words = label.split()
    return dict(zip(words[::2], words[1::2], strict=False)) if words and words[0] in ROOMS else {}


def _text(row: Record, name: str) -> str:
    value = row.get(name)
    return value if isinstance(value, str) else ""
