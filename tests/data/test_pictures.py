"""A finite set of images, read when asked for: rows in order, every bad image named at once."""

import numpy as np
import pytest
import torch

from lina_lab.data.pictures import SHOWN, Pictures, content, read_all, split
from lina_lab.errors import LabError


def image(number: int) -> np.ndarray:
    return np.full((2, 2, 3), number, np.uint8)


def broken_from(first: int):
    def read(row: int) -> np.ndarray:
        if row >= first:
            raise LabError(f"{row}.png: cannot be read")
        return image(row)

    return read


@pytest.mark.parametrize("threads", [1, 3])
def test_rows_come_in_the_order_that_is_asked_for(threads):
    rows = [5, 0, 3, 3]
    assert read_all(image, rows, 2, threads)[:, 0, 0, 0].tolist() == rows


def test_every_image_that_cannot_be_used_is_named_up_to_twenty():
    with pytest.raises(LabError) as error:
        read_all(broken_from(4), range(4 + SHOWN + 3), 2)
    lines = str(error.value).splitlines()
    assert lines[:2] == ["4.png: cannot be read", "5.png: cannot be read"]
    assert (len(lines), lines[-1]) == (SHOWN + 1, "and 3 more")


def test_a_split_is_both_parts_with_first_texts_and_images_that_are_in_both():
    heldout = torch.tensor([False, True, False, True])
    pictures = Pictures(
        names=["a", "b", "c", "d"],
        labels=torch.tensor([0, 1, 0, 1]),
        texts=[["one", "other"], ["two"], ["three"], ["four"]],
        heldout=heldout,
        read=lambda row: image([9, 9, 7, 255][row]),  # b is a again
        checksum=str,
        size_and_time=lambda row: (0, 0),
        classes=["x", "y"],
    )
    made = split(pictures, 2)
    assert made.classes == ["x", "y"]
    assert (list(made.train.captions), list(made.heldout.captions)) == (["one", "three"], ["two", "four"])
    assert made.heldout.labels.tolist() == [1, 1]
    assert made.train.images.shape == (2, 3, 2, 2)
    assert made.heldout.images[1].unique().tolist() == [1.0]
    assert (made.repeats.images, made.repeats.of, made.repeats.example) == (1, 2, ("b", "a"))


def test_the_content_of_an_image_is_its_pixels_alone():
    assert content(image(3)) == content(image(3).copy())
    assert content(image(3)) != content(image(4))
