"""What MLflow shows of a sweep at once: its designs side by side, seeds folded, quality first.

MLflow's "Share" button keeps the state of the runs page as JSON in an experiment tag and opens it again by the
`viewStateShareKey` of a link. We write such tags, so that links of ours open the pages that a study needs.
Read from MLflow 3.17's page; a page that knows a field no longer passes over it.
"""

import json
from collections.abc import Collection, Iterable
from typing import Any

from lina_lab import fact_names
from lina_lab.metric_names import FID, LOSS, LOSS_SE, rank

COMPARE, SAMPLES = "lab", "lab-samples"
"""The views, as links name them: charts and table by design; samples by run, as MLflow shows no images of groups."""
GROUP_TAG = "lab.line"
SHEETS = "samples"
"""Key of the sheets of sample images."""
TOTAL_PARAMETERS = fact_names.metric("parameters.total")
SECTIONS = {"samples": "Samples", "quality": "Quality", "training": "Training", "cost": "Cost"}
SIZES = {"samples": {"columns": 1, "cardHeight": 700}}
"""Sheets need more room than MLflow's three cards in a row."""
COLUMN_WIDTHS = {"attributes.`Run Name`": 420, "runDateAndNestInfo": 130, "duration": 80}
"""MLflow's own columns of the table, the name of a design wide enough to be read; in pixels."""
NUM_COLORS = 29
Json = dict[str, Any]
"""A part of a page's state, as MLflow keeps it."""


def view_tags(metrics: Iterable[str], lines: Iterable[str], sheet: int) -> dict[str, str]:
    """Experiment tags that hold the views; `lines` are the values of GROUP_TAG, `sheet` the step of the last sheets."""
    names = sorted(metrics)
    cards = [_card_of(name) for name in sorted(names, key=rank)]
    if TOTAL_PARAMETERS in names:
        cards[:0] = [_against_parameters(name) for name in names if name.startswith(FID)]
    columns = [f"metrics.`{name}`" for name in sorted(names, key=rank) if _shown(name)]
    compare = _page(("quality", "training"), cards) | {
        "groupBy": {"aggregateFunction": "average", "groupByKeys": [{"mode": "tag", "groupByData": GROUP_TAG}]},
        "groupsExpanded": {_group(line): False for line in lines},
        "selectedColumns": columns,
        "columnOrder": [*COLUMN_WIDTHS, *columns],
        "columnWidths": COLUMN_WIDTHS | dict.fromkeys(columns, 180),
    }
    sheets = _card(SHEETS, "samples") | {"type": "IMAGE", "imageKeys": [SHEETS], "step": sheet, "showRunParams": False}
    pages = {COMPARE: compare, SAMPLES: _page(("samples",), [sheets, *cards])}
    return {f"mlflow.sharedViewState.{key}": json.dumps(page, separators=(",", ":")) for key, page in pages.items()}


def lines(labels: Iterable[str]) -> dict[str, str]:
    """Label of a cell to the value of GROUP_TAG: the label, with as many spaces after it as give it its own colour.

    MLflow computes a line's colour from this value; among twelve designs some nearly always share one.
    """
    taken: set[int] = set()
    values = {}
    for label in dict.fromkeys(labels):
        value = label
        while _color(value) in taken and len(taken) < NUM_COLORS:
            value += " "
        taken.add(_color(value))
        values[label] = value
    return values


def _color(line: str) -> int:
    """Index in MLflow's palette: Fletcher's checksum of the group's id."""
    low = high = 0
    for character in _group(line):
        low = (low + ord(character)) % 255
        high = (high + low) % 255
    return (low | high << 8) % NUM_COLORS


def _group(line: str) -> str:
    """MLflow's id of a group of runs."""
    return f"tag.{GROUP_TAG}.{line}"


def _page(opened: Collection[str], cards: list[Json]) -> Json:
    """A page of all cells with a card for every metric, so that MLflow adds none of its own."""
    used = {card["metricSectionId"] for card in cards}
    return {
        "searchFilter": "tags.`lab.role` = 'cell'",
        "orderByKey": "attributes.`Created`",
        "orderByAsc": True,
        "runsHiddenMode": "SHOW_ALL",
        "compareRunCharts": cards,
        "compareRunSections": [
            {"uuid": uuid, "name": name, "display": uuid in opened, "isReordered": True} | SIZES.get(uuid, {})
            for uuid, name in SECTIONS.items()
            if uuid in used
        ],
        "isAccordionReordered": True,
    }


def _shown(metric: str) -> bool:
    """Whether the table has a column for it: the rest stays a click away."""
    return metric.startswith("eval/") or metric in {LOSS, LOSS_SE, TOTAL_PARAMETERS}


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
        "runsCountToCompare": 100,
    }
