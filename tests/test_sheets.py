"""Sheets of pictures: each at its place, enlarged by a whole factor, with names."""

import numpy as np
import pytest
from PIL import Image

from lina_lab.sheets import GAP, LINE, ROOM, SHOWN_SIDE, Row, beside, pictures_of, sheet, write_sheet

WHITE = (255, 255, 255)


def flat(colour, height=8, width=8):
    return np.full((height, width, 3), colour, np.uint8)


def colours(pixels):
    return {tuple(pixel) for pixel in pixels.reshape(-1, 3).tolist()}


def test_pictures_stand_in_rows_and_columns_with_white_between_them():
    rows = [Row([flat((200, 0, 0)), flat((0, 200, 0))]), Row([flat((0, 0, 200)), None])]
    pixels = np.asarray(sheet(rows))
    side = 88  # 11 times 8
    assert pixels.shape == (2 * (side + GAP) + GAP, 2 * (side + GAP) + GAP, 3)
    first, second = (slice(GAP + n * (side + GAP), (n + 1) * (side + GAP)) for n in range(2))
    assert colours(pixels[first, first]) == {(200, 0, 0)}
    assert colours(pixels[first, second]) == {(0, 200, 0)}
    assert colours(pixels[second, first]) == {(0, 0, 200)}
    assert colours(pixels[second, second]) == {WHITE}
    assert colours(pixels[side + GAP : side + 2 * GAP]) == {WHITE}


@pytest.mark.parametrize(("side", "factor"), [(8, 11), (16, 6), (28, 3), (32, 3), (64, 2), (84, 1), (256, 1)])
def test_every_pixel_is_seen_as_a_square_of_a_whole_number_of_pixels(side, factor):
    picture = np.random.default_rng(0).integers(0, 256, (side, side, 3)).astype(np.uint8)
    pixels = np.asarray(sheet([Row([picture])]))[GAP:-GAP, GAP:-GAP]
    np.testing.assert_array_equal(pixels, picture.repeat(factor, 0).repeat(factor, 1))
    assert len(pixels) >= SHOWN_SIDE or factor == 1


def test_smaller_pictures_take_the_room_of_larger_ones():
    pixels = np.asarray(sheet([Row([flat((9, 9, 9), 16, 16)]), Row([flat((7, 7, 7), 32, 32)])]))
    assert (pixels == 9).all(-1).sum() == (pixels == 7).all(-1).sum() == 96**2


def test_names_stand_over_columns_beside_rows_and_above_groups():
    black = flat((0, 0, 200))
    bare = np.asarray(sheet([Row([black, black])]))
    headed = np.asarray(sheet([Row([black, black])], ["one", "two"]))
    assert headed.shape == (bare.shape[0] + LINE, bare.shape[1], 3)
    assert (headed[:LINE, :88] == 0).any()
    assert (headed[:LINE, 92:] == 0).any()
    np.testing.assert_array_equal(headed[LINE:], bare)
    named = np.asarray(sheet([Row([black, black], name="nano", group="division, conv_kernel 5")]))
    assert named.shape[0] > bare.shape[0]
    assert named.shape[1] > bare.shape[1]


def test_a_long_name_is_wrapped_and_at_last_shortened():
    tall, short = (sheet([Row([flat(0)])], [words]).height for words in ("a red circle above a blue ring " * 9, "x"))
    assert tall == short + 2 * LINE


def test_a_sheet_is_written_as_it_is(tmp_path):
    drawn = sheet([Row([flat((1, 2, 3))])])
    write_sheet(tmp_path / "a.png", drawn)
    np.testing.assert_array_equal(np.asarray(Image.open(tmp_path / "a.png")), np.asarray(drawn))


def test_a_long_name_beside_a_row_is_not_cut_off():
    pixels = np.asarray(sheet([Row([flat((9, 9, 9))], "micro at 64 pixels")]))
    assert colours(pixels[:, :GAP]) == {WHITE}
    assert (pixels[:, GAP : -88 - GAP] != 255).any()
    prompt = np.asarray(sheet([Row([flat((9, 9, 9))], "a red circle above a blue ring " * 4)]))
    assert prompt.shape[1] < 350


def test_sheets_beside_each_other_keep_their_aspect_and_stand_in_rows():
    tall, wide = Image.new("RGB", (20, 60), "red"), Image.new("RGB", (960, 100), "blue")
    whole = beside([("tall", tall), ("wide", wide), ("again", tall)], columns=2, width=480)
    assert whole.width == 2 * (480 + ROOM)
    assert whole.height == 2 * (ROOM + LINE + 60)
    counts = {colour: count for count, colour in whole.getcolors(10_000)}
    assert (counts[255, 0, 0], counts[0, 0, 255]) == (2 * 20 * 60, 480 * 50)


@pytest.mark.parametrize("side", [8, 16, 28, 32, 84, 256])
@pytest.mark.parametrize("heads", [[], ["one", "two"], ["a red circle above a blue ring " * 9, "x"]])
def test_the_pictures_of_a_sheet_come_back_as_they_were(side, heads):
    pictures = np.random.default_rng(side).integers(0, 256, (3, 2, side, side, 3)).astype(np.uint8)
    drawn = np.asarray(sheet([Row(list(row)) for row in pictures], heads))
    np.testing.assert_array_equal(np.array(pictures_of(drawn, side, side)), pictures)


def test_what_is_no_sheet_of_such_pictures_has_none():
    drawn = np.asarray(sheet([Row([flat(5, 28, 28)] * 3)] * 2, ["a", "b", "c"]))
    assert pictures_of(drawn, 64, 64) == []
    assert pictures_of(drawn[:, :-1], 28, 28) == []
    assert pictures_of(drawn[:-1], 28, 28) == []
    assert pictures_of(drawn[:5, :5], 28, 28) == []
    for place in ((-1, -1), (-GAP - 1, GAP), (-GAP - 3, GAP + 4)):
        touched = drawn.copy()
        touched[place] = 77
        assert pictures_of(touched, 28, 28) == []
    named = np.asarray(sheet([Row([flat(5, 28, 28)], name="nano")]))
    assert pictures_of(named, 28, 28) == []
