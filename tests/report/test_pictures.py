"""Pictures in the page: their own pixels, shown a whole number of times as wide."""

import base64
import io

import numpy as np
import pytest
from PIL import Image

from lina_lab.figures.samples import Board, BoardRow
from lina_lab.report.pictures import embedded, shown_board


@pytest.mark.parametrize(("side", "width"), [(8, 88), (28, 84), (32, 96), (64, 128)])
def test_a_board_has_each_picture_as_it_was_drawn(side, width):
    picture = np.random.default_rng(0).integers(0, 256, (side, side, 3)).astype(np.uint8)
    shown = shown_board(Board(["one", "two"], [BoardRow("nano", "<b>", [picture, None])]))
    assert shown.side == width
    (row,) = shown.rows
    assert row.pictures[1] == ""
    png = base64.b64decode(row.pictures[0].removeprefix("data:image/png;base64,"))
    np.testing.assert_array_equal(np.asarray(Image.open(io.BytesIO(png))), picture)


def test_a_missing_file_is_none(tmp_path):
    assert embedded(tmp_path / "a.png") is None
    (tmp_path / "a.png").write_bytes(b"drawn")
    assert embedded(tmp_path / "a.png") == "data:image/png;base64,ZHJhd24="
