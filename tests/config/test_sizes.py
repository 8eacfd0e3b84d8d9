"""What the names of sizes stand for: a family of study sizes, and the published models."""

from itertools import pairwise

import pytest

from lina_lab import cost
from lina_lab.config.data import DataConfig
from lina_lab.config.model import ModelConfig
from lina_lab.design.sizes import PUBLISHED_SIZES, SIZES

STUDY = ["pico", "nano", "micro", "tiny", "small", "base"]


def test_study_sizes_differ_in_width_alone_and_heads_keep_their_size():
    assert [*STUDY, *PUBLISHED_SIZES] == list(SIZES)
    for small, large in pairwise(SIZES[name] for name in STUDY):
        assert (large.width, large.num_heads, large.head_width) == (
            2 * small.width,
            2 * small.num_heads,
            2 * small.head_width,
        )
        assert large[2:6] == small[2:6]
    assert {SIZES[name].width // SIZES[name].num_heads for name in STUDY} == {16}


@pytest.mark.parametrize(
    ("size", "millions"), [("pico", 0.033), ("nano", 0.1), ("micro", 0.4), ("tiny", 1.5), ("small", 6), ("base", 23)]
)
def test_study_sizes_have_about_the_documented_parameters_on_digits(size, millions):
    data = DataConfig.model_validate({"name": "digits"}).shape
    total = cost.parameters(ModelConfig.model_validate({"size": size, "patch": 2, "context_tokens": 4}), data).total
    assert total == pytest.approx(1e6 * millions, rel=0.15)
