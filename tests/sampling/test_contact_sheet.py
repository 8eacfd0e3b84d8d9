"""Sheets of images: row by row."""

import numpy as np
import torch
from PIL import Image

from lina_lab.sampling.contact_sheet import contact_sheet, save_sheet
from lina_lab.sheets import GAP

COLOURS = torch.tensor([[200, 0, 0], [0, 200, 0], [0, 0, 200]], dtype=torch.uint8)


def test_images_follow_each_other_row_by_row(tmp_path):
    images = COLOURS[:, :, None, None].expand(-1, -1, 4, 4)
    made = contact_sheet(images, columns=2, shown_side=12)
    pixels = np.asarray(made)
    assert pixels.shape == (2 * (12 + GAP) + GAP, 2 * (12 + GAP) + GAP, 3)
    for number, (top, left) in enumerate([(2, 2), (2, 16), (16, 2)]):
        assert pixels[top, left].tolist() == pixels[top + 11, left + 11].tolist() == COLOURS[number].tolist()
    assert (pixels[16:, 16:] == 255).all()
    save_sheet(tmp_path / "a.png", images, 2, ["one", "two"])
    with Image.open(tmp_path / "a.png") as written:
        assert written.height > contact_sheet(images, 2).height
