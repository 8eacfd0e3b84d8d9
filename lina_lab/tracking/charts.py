"""What MLflow shows of a sweep at once: its designs side by side, seeds folded, quality first.

MLflow's "Share" button keeps the state of the runs page as JSON in an experiment tag and opens it again by the
`viewStateShareKey` of a link. We write such tags, so that links of ours open the pages that a study needs.
Read from MLflow 3.17's page; a page that knows a field no longer passes over it.

MLflow lists and draws `SHOWN` runs, and the rest only for those who ask for more: so a larger sweep has several pages.
"""

import json
from collections.abc import Iterable, Sequence
from itertools import groupby
from typing import Any

from lina_lab import fact_names
from lina_lab.analysis.table import SIZE_AXIS
from lina_lab.ledger.plan import PlannedCell
from lina_lab.metric_names import FID, LOSS, rank

VIEW = "lab"
"""Key of the view of the first page, as links name it; of the others it has their number."""
GROUP_TAG, PAGE_TAG = "lab.line", "lab.page"
SHOWN = 100
SHEETS = "samples"
"""Key of the sheets of sample images."""
TOTAL_PARAMETERS = fact_names.metric("parameters.total")
SECTIONS = {"quality": "Quality", "training": "Training", "cost": "Cost"}
OPENED = ("quality", "training")
NAME_WIDTH, COLUMN_WIDTH = 360, 180
"""Pixels of the column of designs, and of a metric: what the names and seven digits need."""
Json = dict[str, Any]
"""A part of a page's state, as MLflow keeps it."""


def pages(cells: Sequence[PlannedCell]) -> list[list[PlannedCell]]:
    """Cells by page, in pages of `SHOWN` at most: whole sizes where one fits, else whole designs."""
    sizes = list(dict.fromkeys(cell.values.get(SIZE_AXIS) for cell in cells))
    found: list[list[PlannedCell]] = [[]]
    for size in sizes:
        of_size = [cell for cell in cells if cell.values.get(SIZE_AXIS) == size]
        designs = [list(seeds) for _, seeds in groupby(of_size, key=lambda cell: cell.values)]
        for unit in [of_size] if len(of_size) <= SHOWN else designs:
            if len(found[-1]) + len(unit) > SHOWN:
                found.append([])
            found[-1] += unit
    return found


def view_key(page: int) -> str:
    return VIEW if page == 1 else f"{VIEW}-{page}"


def view_tags(metrics: Iterable[str], groups: Sequence[Iterable[str]]) -> dict[str, str]:
    """Experiment tags that hold the views; `groups`: of every page, the values of GROUP_TAG that it has."""
    names = sorted(metrics)
    cards = [_card_of(name) for name in sorted(names, key=rank)]
    if TOTAL_PARAMETERS in names:
        cards[:0] = [_against_parameters(name) for name in names if name.startswith(FID)]
    columns = [f"metrics.`{name}`" for name in sorted(names, key=rank) if _shown(name)]
    views = {view_key(page): _view(page, lines, cards, columns) for page, lines in enumerate(groups, start=1)}
    return {f"mlflow.sharedViewState.{key}": json.dumps(view, separators=(",", ":")) for key, view in views.items()}


def _view(page: int, lines: Iterable[str], cards: list[Json], columns: list[str]) -> Json:
    """A page of cells with a card for every metric, so that MLflow adds none of its own."""
    used = {card["metricSectionId"] for card in cards}
    return {
        "searchFilter": f"tags.`lab.role` = 'cell' and tags.`{PAGE_TAG}` = '{page}'",
        "orderByKey": "attributes.`Created`",
        "orderByAsc": True,
        "runsHiddenMode": "SHOW_ALL",
        "compareRunCharts": cards,
        "compareRunSections": [
            {"uuid": uuid, "name": name, "display": uuid in OPENED, "isReordered": True}
            for uuid, name in SECTIONS.items()
            if uuid in used
        ],
        "isAccordionReordered": True,
        "groupBy": {"aggregateFunction": "average", "groupByKeys": [{"mode": "tag", "groupByData": GROUP_TAG}]},
        "groupsExpanded": {f"tag.{GROUP_TAG}.{line}": False for line in lines},
        "selectedColumns": columns,
        "columnOrder": ["attributes.`Run Name`", *columns],
        "columnWidths": {"attributes.`Run Name`": NAME_WIDTH} | dict.fromkeys(columns, COLUMN_WIDTH),
    }


def _shown(metric: str) -> bool:
    """Whether the table has a column for it: the rest stays a click away."""
    return metric.startswith(FID) or metric in {LOSS, TOTAL_PARAMETERS}


def _card_of(metric: str) -> Json:
    """A line over the steps for what is measured while training, a bar for what is known at the end."""
    section, shape = "cost", "BAR"
    if metric.startswith("eval/"):
        section = "quality"
    elif metric.startswith(("train/", "val/")):
        section, shape = "training", "LINE"
    return _card(metric, section) | {"type": shape, "metricKey": metric, "displayName": metric}


def _against_parameters(metric: str) -> Json:
    axes = {"xaxis": {"key": TOTAL_PARAMETERS, "type": "METRIC"}, "yaxis": {"key": metric, "type": "METRIC"}}
    return _card(f"{metric} against parameters", "quality") | axes | {"type": "SCATTER"}


def _card(uuid: str, section: str) -> Json:
    return {
        "uuid": uuid,
        "metricSectionId": section,
        "deleted": False,
        "isGenerated": False,
        "runsCountToCompare": SHOWN,
    }
