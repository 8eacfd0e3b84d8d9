"""The words of a sweep: settings, axes and labels."""

import pytest

from lina_lab.config.sweep import axis_names, cell_label, parse_settings
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
