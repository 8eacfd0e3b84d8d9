import pytest

from lina_lab.analysis.questions import question, said
from lina_lab.design.axes import AXES, OTHER_AXES

ATTENTION = "model.attention."


@pytest.mark.parametrize(
    ("path", "value", "baseline", "asked"),
    [
        (f"{ATTENTION}conv_kernel", 5, 0, "Does a 5x5 depthwise convolution help?"),
        (f"{ATTENTION}conv_kernel", 7, 3, "Is a 7x7 depthwise convolution better than a 3x3 depthwise convolution?"),
        (f"{ATTENTION}conv_kernel", 0, 5, "Is no convolution better than a 5x5 depthwise convolution?"),
        (f"{ATTENTION}normalization", "subtraction", "division", "Is subtraction better than division?"),
        (f"{ATTENTION}feature_map", "elu1", "relu", "Is feature map elu1 better than feature map relu?"),
        ("model.decoder.kv_gate", "key", "none", "Does a gate on keys in the decoder help?"),
        ("model.position", "rotary", "table", "Is a rotary position better than a position table?"),
        ("model.softmax_every", 8, None, "Is softmax every 8 better than softmax every none?"),
        ("training.learning_rate", 2e-3, 1e-3, "Is learning rate 0.002 better than learning rate 0.001?"),
        ("data.path", "a\nb", "c", r"Is path a\nb better than path c?"),
    ],
)
def test_a_question_is_asked_in_words(path, value, baseline, asked):
    assert question(path, value, baseline) == asked


def test_values_of_an_axis_are_told_apart_by_their_words():
    for path, axis in ({f"{ATTENTION}{name}": axis for name, axis in AXES.items()} | OTHER_AXES).items():
        words = [said(path, value) for value in axis.values]
        assert len(set(words)) == len(words)
