"""What `--json` prints: one document with its name and version first. docs/json.md says what each holds."""

import json
from collections.abc import Mapping
from typing import Any

VERSIONS = {"compare": 1, "fit": 1, "forecast": 1, "plan": 1, "status": 1}
"""The version of each command's document: one more whenever a field goes or changes its meaning."""


def print_document(command: str, body: Mapping[str, Any]) -> None:
    """Print the document of a command: {"document", "version", ...body}; every number is finite, or null.

    Raises:
        ValueError: if a number is not finite.
    """
    head = {"document": f"lab {command}", "version": VERSIONS[command]}
    print(json.dumps({**head, **body}, indent=1, allow_nan=False, ensure_ascii=False))
