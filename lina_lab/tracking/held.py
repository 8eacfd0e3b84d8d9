"""A run as MLflow holds it, and all runs of a sweep."""

import json
import re
from collections.abc import Iterator
from typing import Any, NamedTuple

PAGE = 1000
"""Runs that MLflow gives in one answer."""


class Cursor(NamedTuple):
    """How far a run has come."""

    rows: int = 0
    """Rows of the ledger that have arrived."""
    upto: int = 0
    """Rows that may have arrived."""
    digest: str = ""
    """Of the rows up to `upto`."""
    files: str = ""


class Run:
    """A run as MLflow holds it."""

    def __init__(self, run: Any) -> None:
        self.id, self.status = run.info.run_id, run.info.status
        self.params, self.tags = dict(run.data.params), dict(run.data.tags)
        self.metrics = set(run.data.metrics)
        self.cursor = Cursor(**json.loads(self.tags.get("lab.shipped", "{}")))
        self.sheets: set[int] | None = None
        """Steps whose sheet is there; None before MLflow was asked."""

    def files_in(self, client: Any, folder: str) -> set[str]:
        """Paths of the artifacts that are right in a folder."""
        return {file.path for file in client.list_artifacts(self.id, folder)}


def search(client: Any, experiment: str) -> Iterator[Run]:
    """All runs of an experiment that are not deleted, the oldest first."""
    token = None
    while True:
        page = client.search_runs([experiment], max_results=PAGE, order_by=["attributes.start_time"], page_token=token)
        yield from (Run(run) for run in page)
        token = page.token
        if not token:
            return


def sheet_steps(client: Any, run: str) -> set[int]:
    """Steps whose image is there; MLflow writes the small copy last."""
    names = [file.path for file in client.list_artifacts(run, "images")]
    found = (re.search(r"\Wstep\W(\d+)\W.*compressed", name) for name in names)
    return {int(match.group(1)) for match in found if match}
