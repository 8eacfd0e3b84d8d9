"""One table of metrics: what a cell measures is in it, and it is shown in one order."""

import json
from pathlib import Path

import pytest

from lina_lab.metric_names import METRICS, axis_label, find_metric, other_extractors, rank

GOLDEN = Path(__file__).parent / "ledger" / "golden"


def test_every_metric_of_a_cell_is_in_the_table():
    metrics = json.loads((GOLDEN / "result-geneval.json").read_text())["metrics"]
    assert len(metrics) > 10
    assert [name for name in metrics if find_metric(name) is None] == []


def test_no_metric_is_covered_by_two_entries():
    for metric in METRICS:
        name = f"{metric.key}digits-cnn" if metric.key.endswith("/") else metric.key
        assert [known for known in METRICS if known.covers(name)] == [metric]


def test_what_the_table_does_not_single_out_comes_last_by_name():
    names = ["val/loss", "eval/composition/counting", "eval/kid/x", "eval/fid/x", "a", "eval/composition/overall"]
    shown = ["eval/fid/x", "eval/kid/x", "eval/composition/overall", "val/loss", "a", "eval/composition/counting"]
    assert sorted(names, key=rank) == shown


@pytest.mark.parametrize(
    ("metric", "label"),
    [
        ("eval/fid/digits-cnn", "FID (digits-cnn), lower is better"),
        ("eval/recall/inception", "recall (inception), higher is better"),
        ("val/loss", "held-out loss, lower is better"),
        ("eval/fid_bootstrap_sd/digits-cnn", "± (resampling) (digits-cnn)"),
        ("eval/fid_best/digits-cnn", "FID at the best guidance (digits-cnn), lower is better"),
        ("eval/fid/dinov2", "FD-DINOv2, lower is better"),
        ("eval/cmmd/clip", "CMMD, lower is better"),
        ("eval/coverage/digits-vicreg", "coverage (digits-vicreg), higher is better"),
        ("eval/inception_score/inception", "IS (inception), higher is better"),
        ("eval/other", "eval/other"),
    ],
)
def test_an_axis_says_what_it_shows_and_which_way_is_better(metric, label):
    assert axis_label(metric, direction=True) == label
    assert axis_label(metric) == label.partition(", ")[0]


def test_the_same_metric_by_other_extractors():
    columns = ["eval/fid/a", "eval/fid/b", "eval/fid_train/b", "eval/kid/b", "val/loss", 3]
    assert other_extractors("eval/fid/a", columns) == ["eval/fid/b"]
    assert other_extractors("val/loss", columns) == other_extractors("eval/sfid/a", columns) == []
