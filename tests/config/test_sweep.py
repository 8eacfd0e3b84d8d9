"""The words of a sweep: settings, axes and labels."""

import pytest
from pydantic import ValidationError

from lina_lab.config.sweep import Sweep, axis_names, cell_label, parse_settings
from lina_lab.errors import LabError


def test_a_setting_that_stands_twice_is_refused():
    with pytest.raises(LabError, match=r"--set training\.steps: stands twice: 5 and 6"):
        parse_settings(["training.steps=5", "seeds=[1]", "training.steps=6"])


@pytest.mark.parametrize("word", ["training.steps", "=3", ""])
def test_a_setting_without_key_or_value_is_refused(word):
    with pytest.raises(LabError, match="must be key=value"):
        parse_settings([word])


def test_axis_names_are_short_unless_two_would_share_one():
    assert axis_names({"model.attention.kv_gate": 0, "model.size": 0, "training.learning_rate": 0}) == {
        "kv_gate": "model.attention.kv_gate",
        "size": "model.size",
        "learning_rate": "training.learning_rate",
    }
    assert axis_names({"data.name": 0, "model.decoder.kv_gate": 0, "other.name": 0}) == {
        "data.name": "data.name",
        "decoder.kv_gate": "model.decoder.kv_gate",
        "other.name": "other.name",
    }


def test_a_label_says_words_plainly_and_numbers_with_their_axis():
    values = {"normalization": "division", "conv_kernel": 5, "kv_gate": "none", "size": "nano"}
    assert cell_label(values) == 'division conv_kernel=5 kv_gate="none" nano'


def asked(**more):
    return Sweep.model_validate({"name": "x", "question": "?", "experiment": "e.yaml", "axes": {"a.b": [1]}} | more)


@pytest.mark.parametrize("metric", ["fid", "kid", "val/loss", "recall", "eval/fid/inception"])
def test_a_known_metric_needs_no_direction(metric):
    assert asked(metric=metric).better is None


def test_a_metric_of_unknown_direction_is_refused_with_what_is_near():
    with pytest.raises(
        ValidationError, match=r"no metric of which lower or higher is known to be better.*did you mean"
    ):
        asked(metric="val/los")
    assert asked(metric="training_seconds", better="lower").metric == "training_seconds"


def test_a_direction_against_what_is_known_is_refused():
    with pytest.raises(ValidationError, match="of recall higher is better, not lower"):
        asked(metric="recall", better="lower")
