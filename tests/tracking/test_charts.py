"""The pages of MLflow that a sweep brings along: metrics in the order of tables, and no run behind a limit."""

import json

import pytest

from lina_lab.ledger.plan import PlannedCell
from lina_lab.metric_names import METRICS
from lina_lab.tracking.charts import SHOWN, pages, view_key, view_tags


def page_of(tags, number=1):
    return json.loads(tags[f"mlflow.sharedViewState.{view_key(number)}"])


def grid(designs, sizes, seeds):
    """Cells in the order of a plan, the size its last axis."""
    points = [(design, size, seed) for design in range(designs) for size in range(sizes) for seed in range(seeds)]
    return [PlannedCell(f"{d} {z} {s}", {"gate": d, "size": f"size {z}"}, s) for d, z, s in points]


def test_columns_and_cards_are_in_the_order_of_tables():
    names = [f"{metric.key}digits-cnn" if metric.key.endswith("/") else metric.key for metric in METRICS]
    page = page_of(view_tags(sorted(names), [["a"]]))
    assert [card["metricKey"] for card in page["compareRunCharts"]] == names
    assert page["selectedColumns"] == ["metrics.`eval/fid/digits-cnn`", "metrics.`val/loss`"]


def test_the_size_of_models_comes_last_and_quality_is_drawn_against_it_first():
    page = page_of(view_tags(["model/parameters_total", "eval/fid/digits-cnn", "val/loss"], [["a"]]))
    assert [column.split("`")[1] for column in page["selectedColumns"]][-1] == "model/parameters_total"
    first = page["compareRunCharts"][0]
    assert (first["xaxis"]["key"], first["yaxis"]["key"]) == ("model/parameters_total", "eval/fid/digits-cnn")


@pytest.mark.parametrize(
    ("designs", "sizes", "seeds", "lengths"),
    [
        (10, 4, 3, [90, 30]),  # sweeps/digits.yaml: three sizes, then one
        (10, 3, 3, [90]),
        (50, 1, 3, [99, 51]),  # a size that fits no page: whole designs
        (34, 2, 3, [99, 3 + 96, 6]),
        (1, 1, 1, [1]),
    ],
)
def test_every_cell_is_on_one_page_that_mlflow_shows_whole(designs, sizes, seeds, lengths):
    cells = grid(designs, sizes, seeds)
    found = pages(cells)
    assert [len(page) for page in found] == lengths
    assert max(lengths) <= SHOWN
    assert sorted(cell.key for page in found for cell in page) == sorted(cell.key for cell in cells)
    points = [{(cell.values["gate"], cell.values["size"]) for cell in page} for page in found]
    assert sum(map(len, points)) == designs * sizes  # the seeds of a point are together


def test_a_page_asks_for_its_own_cells_and_folds_their_seeds():
    tags = view_tags(["val/loss"], [["a", "b"], ["c"]])
    assert page_of(tags, 2)["searchFilter"] == "tags.`lab.role` = 'cell' and tags.`lab.page` = '2'"
    assert page_of(tags, 1)["groupsExpanded"] == {"tag.lab.line.a": False, "tag.lab.line.b": False}
