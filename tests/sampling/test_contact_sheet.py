"""Sheets of images: each at its place, enlarged by a whole factor."""

import numpy as np
import torch

from lina_lab.sampling.contact_sheet import sheet

COLOURS = torch.tensor([[200, 0, 0], [0, 200, 0], [0, 0, 200]], dtype=torch.uint8)
WHITE = (255, 255, 255)


def test_images_follow_each_other_row_by_row_with_a_white_gap_of_one_pixel():
    images = COLOURS[:, :, None, None].expand(-1, -1, 2, 4)  # three of 4 x 2 pixels
    made = sheet(images, columns=2, shown_side=12)  # each becomes 12 x 6
    pixels = np.asarray(made)
    assert pixels.shape == (2 * 7 + 1, 2 * 13 + 1, 3)
    for number, (top, left) in enumerate([(1, 1), (1, 14), (8, 1)]):
        tile = pixels[top : top + 6, left : left + 12].reshape(-1, 3)
        assert {tuple(pixel) for pixel in tile.tolist()} == {tuple(COLOURS[number].tolist())}
    assert {tuple(pixel) for pixel in pixels[7].tolist()} == {WHITE}
    assert {tuple(pixel) for pixel in pixels[8:, 14:].reshape(-1, 3).tolist()} == {WHITE}


def test_images_that_are_large_enough_keep_their_pixels():
    image = torch.arange(3 * 70 * 70).reshape(1, 3, 70, 70).to(torch.uint8)
    pixels = np.asarray(sheet(image, columns=1))
    np.testing.assert_array_equal(pixels[1:-1, 1:-1], image[0].permute(1, 2, 0).numpy())
