"""What tests of a folder of images share."""

import pytest

from tests.data.folders import COLOURS, draw


@pytest.fixture
def root(tmp_path):
    """Three classes of 40 images, each image of its own colour."""
    for name, (red, green, blue) in COLOURS.items():
        for number in range(40):
            draw(tmp_path / "data" / name / f"{number:03}.png", (red, green, blue + number))
    return tmp_path / "data"
