"""`lab size`: what it says is true."""

import pytest


@pytest.mark.parametrize(
    ("size", "settings", "total"),
    [
        ("H", [], "1,447,440,400"),
        ("H", ["--set", "model.attention.conv_kernel=5"], "1,448,079,376"),
        ("nano", [], "111,364"),
    ],
)
def test_size_prints_exact_counts(lab, size, settings, total):
    """612 D² + 2312 D + 16 in all for a plain published model; 16 decoder blocks of 26 D more for a 5x5 convolution."""
    width = 1536
    if size == "H":
        assert int(total.replace(",", "")) == 612 * width**2 + 2312 * width + 16 + bool(settings) * 16 * 26 * width
    row = next(line for line in lab("size", size, *settings).splitlines() if line.startswith("total"))
    assert row.split() == ["total", total]
