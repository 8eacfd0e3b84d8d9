"""Captions of a folder of images, from its metadata.jsonl."""

import codecs
import json
import re
from pathlib import Path

from lina_lab.data.pictures import refuse
from lina_lab.errors import LabError
from lina_lab.escape import shown

METADATA = "metadata.jsonl"


def texts_of(path: Path, names: list[str]) -> list[tuple[str, ...]]:
    """One or more texts for each image name, in the order of `names`; () if the folder has no such file.

    Raises:
        LabError: naming every line that is wrong, and every image without a text.
    """
    if not path.exists():
        return []
    try:
        content = path.read_bytes()
    except OSError as error:
        raise LabError(f"{shown(path)}: cannot be read: {error.strerror}") from error
    # Split at \n only: str.splitlines would also split at characters that may occur in a caption.
    rows = content.removeprefix(codecs.BOM_UTF8).decode("utf-8", "surrogateescape").split("\n")
    texts_by_name: dict[str, tuple[str, ...]] = {}
    problems = []
    for number, line in enumerate(rows, start=1):
        if not line.strip():
            continue
        row = _row(line)
        if row is None:
            wanted = '{"file_name": "...", "text": "..."} (or "caption"; or a list of texts), all as text in UTF-8'
            problems.append(f"{shown(path)}:{number}: must be {wanted}, not {shown(line[:60])}")
        elif row[0] in texts_by_name:
            problems.append(f"{shown(path)}:{number}: has {shown(row[0])} a second time")
        else:
            texts_by_name[row[0]] = row[1]
    strange = sorted(texts_by_name.keys() - set(names))
    problems += [f"{shown(path)}: names {shown(name)}, which is not there" for name in strange]
    problems += [f"{shown(path)}: has no caption for {shown(name)}" for name in names if name not in texts_by_name]
    refuse(problems)
    return [texts_by_name[name] for name in names]


def _row(line: str) -> tuple[str, tuple[str, ...]] | None:
    """File name and texts of a line; None if the line does not have both."""
    try:
        row = json.loads(line, strict=False)  # strict mode would refuse a literal tab in a text
        name, texts = row["file_name"], row.get("text", row.get("caption"))
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return None
    texts = [texts] if isinstance(texts, str) else texts
    right = isinstance(name, str) and isinstance(texts, list) and texts and all(map(_is_text, texts))
    return (name, tuple(texts)) if right else None


def _is_text(value: object) -> bool:
    """Whether a value is text without lone surrogates, which stand for half a pair or for bytes that are no UTF-8."""
    return isinstance(value, str) and not re.search("[\ud800-\udfff]", value)
