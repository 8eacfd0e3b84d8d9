"""The pages of MLflow that a sweep brings along: metrics in the order in which tables have them."""

import json

from lina_lab.metric_names import METRICS
from lina_lab.tracking.charts import COMPARE, view_tags


def test_columns_and_cards_are_in_the_order_of_tables():
    names = [f"{metric.key}digits-cnn" if metric.key.endswith("/") else metric.key for metric in METRICS]
    page = json.loads(view_tags(sorted(names), ["a"], 0)[f"mlflow.sharedViewState.{COMPARE}"])
    assert [card["metricKey"] for card in page["compareRunCharts"]] == names
    shown = [name for name in names if not name.startswith("train/")]
    assert page["selectedColumns"] == [f"metrics.`{name}`" for name in shown]


def test_the_size_of_models_comes_last_and_quality_is_drawn_against_it_first():
    tags = view_tags(["model/parameters_total", "eval/fid/digits-cnn", "val/loss"], ["a"], 0)
    page = json.loads(tags[f"mlflow.sharedViewState.{COMPARE}"])
    assert [column.split("`")[1] for column in page["selectedColumns"]][-1] == "model/parameters_total"
    first = page["compareRunCharts"][0]
    assert (first["xaxis"]["key"], first["yaxis"]["key"]) == ("model/parameters_total", "eval/fid/digits-cnn")
