"""A folder of images as a data set; whatever is wrong with it is named, all at once."""

import hashlib
import json
import os

import numpy as np
import pytest
import torch
from PIL import Image

from lina_lab.data import folder as module
from lina_lab.data.datasets import load_dataset, to_uint8
from lina_lab.data.examples import fingerprint, from_uint8
from lina_lab.errors import LabError
from tests.data.folders import COLOURS, all_names, config, draw, refusal


def colours(examples) -> set[tuple[int, ...]]:
    return {tuple(image[:, 3, 3].tolist()) for image in to_uint8(examples.images)}


def test_classes_are_the_sorted_sub_folders_and_every_image_is_in_one_part(root):
    data = load_dataset(config(root))
    assert list(data.classes) == sorted(COLOURS)
    assert data.train.images.shape[1:] == (3, 16, 16)
    assert len(data.train.images) + len(data.heldout.images) == 120
    for part in (data.train, data.heldout):
        for image, label in zip(to_uint8(part.images), part.labels.tolist(), strict=True):
            assert tuple(image[:2, 0, 0].tolist()) == list(COLOURS.values())[label][:2]
    assert not colours(data.train) & colours(data.heldout)
    assert len(colours(data.train) | colours(data.heldout)) == 120


def test_about_fifteen_percent_are_held_out_and_another_file_moves_none(root):
    before = load_dataset(config(root))
    for name, (red, green, blue) in COLOURS.items():
        digests = [hashlib.sha256(f"{name}/{n:03}.png".encode()).hexdigest() for n in range(40)]
        expected = {(red, green, blue + n) for n, digest in enumerate(digests) if int(digest[:16], 16) / 2**64 < 0.15}
        assert {colour for colour in colours(before.heldout) if colour[:2] == (red, green)} == expected
    shares = [sum(module.is_held_out(f"c/{n}.png") for n in range(10_000)) / 10_000]
    assert shares == pytest.approx([0.15], abs=0.01)
    draw(root / "banana" / "0000.png", (9, 9, 9))
    (root / "apple" / "039.png").unlink()
    after = load_dataset(config(root))
    assert colours(before.heldout) - colours(after.heldout) <= {(200, 10, 49)}
    assert colours(after.heldout) - colours(before.heldout) <= {(9, 9, 9)}


def test_pictures_are_cut_or_padded_as_the_config_says(tmp_path):
    for number in range(40):
        draw(tmp_path / f"{number}.png", (number, 200, 30), size=(40, 20))
        picture = Image.open(tmp_path / f"{number}.png")
        picture.paste((0, 0, 0), (0, 8, 4, 12))  # at the left, where a centre square does not reach
        picture.save(tmp_path / f"{number}.png")
    cut, padded = (load_dataset(config(tmp_path, num_classes=1, fit=fit)).train.images for fit in ("crop", "pad"))
    assert torch.equal(cut, cut[:, :, :1, :1].expand_as(cut))
    assert padded[:, 1, 7:9, 0].max() < 0
    assert torch.equal(padded[:, :, 0], cut[:, :, 0])
    draw(tmp_path / "40.png", size=(15, 12))
    load_dataset(config(tmp_path, num_classes=1, fit="pad"))
    assert "40.png: must have at least 16 x 16 pixels, not 15 x 12" in refusal(tmp_path, num_classes=1)


def test_a_flat_folder_is_one_class(tmp_path):
    for number in range(30):
        draw(tmp_path / f"{number}.jpg", (number, 0, 0))
    data = load_dataset(config(tmp_path, 1))
    assert data.train.labels.unique().tolist() == [0]
    assert list(data.classes) == [tmp_path.name]


def test_hidden_files_and_folders_are_passed_over(root):
    (root / ".DS_Store").write_bytes(b"x")
    (root / ".cache").mkdir()
    (root / "apple" / ".hidden.png").write_bytes(b"no image")
    assert len(load_dataset(config(root)).train.images) > 60


def test_every_unusable_image_is_named_at_once(root):
    whole = (root / "apple" / "000.png").read_bytes()
    noise = np.random.default_rng(0).integers(0, 255, (40, 40, 3), np.uint8)
    Image.fromarray(noise).save(root / "apple" / "cut.jpg")
    (root / "apple" / "cut.jpg").write_bytes((root / "apple" / "cut.jpg").read_bytes()[:600])
    (root / "apple" / "broken.png").write_bytes(whole[:60] + b"\x00" * 20 + whole[80:])
    (root / "banana" / "empty.png").write_bytes(b"")
    (root / "banana" / "text.png").write_text("no image")
    draw(root / "cherry" / "tiny.png", size=(15, 80))
    frames = [Image.new("RGB", (20, 20), colour) for colour in ("red", "blue")]
    frames[0].save(root / "cherry" / "moving.webp", save_all=True, append_images=frames[1:])
    Image.new("F", (20, 20), 0.5).save(root / "cherry" / "float.tiff")
    told = refusal(root).splitlines()
    names = ["broken.png", "cut.jpg", "empty.png", "text.png", "float.tiff", "moving.webp", "tiny.png"]
    assert len(told) == len(names)
    assert all(name in line for name, line in zip(names, told, strict=True))
    assert "cannot be read as an image" in told[2]
    assert told[6].endswith("must have at least 16 x 16 pixels, not 15 x 80: nothing is enlarged")


def test_more_problems_than_anybody_reads_are_counted(root):
    for number in range(33):
        draw(root / "apple" / f"tiny{number}.png", size=(3, 3))
    told = refusal(root).splitlines()
    assert len(told) == 21
    assert told[-1] == "and 13 more"


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda root: (root / "durian").mkdir(), "durian: has no images"),
        (lambda root: (root / "apple" / "notes.txt").write_text("x"), r"notes.txt: must be an image \(.png, .jpg,"),
        (lambda root: draw(root / "apple" / "deep" / "1.png"), r"apple/deep: must be an image"),
        (lambda root: draw(root / "loose.png"), "must have images or a sub-folder for each class, not both: loose.png"),
        (lambda root: (root / "loop").symlink_to(root), "loop: is a link to a folder around it"),
        (lambda root: (root / "up").symlink_to(root.parent), "up: is a link to a folder around it"),
        (lambda root: (root / "apple" / "gone.png").symlink_to("nowhere"), "gone.png: must be an image"),
        (lambda root: draw(root / "durian" / "1.png"), "data.num_classes must be 4, its classes, not 3"),
    ],
)
def test_a_folder_that_is_not_a_data_set_is_refused_with_the_reason(root, make, message):
    make(root)
    with pytest.raises(LabError, match=message):
        load_dataset(config(root))


def test_a_missing_an_empty_and_a_file_for_a_folder_are_refused(tmp_path):
    assert "no such folder" in refusal(tmp_path / "nowhere")
    assert "has no images" in refusal(tmp_path)
    (tmp_path / "file").write_text("x")
    assert "no such folder" in refusal(tmp_path / "file")


def test_a_class_that_would_be_held_out_whole_is_refused(root):
    name = next(f"{n}.png" for n in range(100) if module.is_held_out(f"durian/{n}.png"))
    draw(root / "durian" / name)
    assert "durian: has too few images: none is left for training" in refusal(root, num_classes=4)


def test_a_share_that_holds_out_no_image_is_refused(root):
    assert refusal(root, held_out=1e-6).endswith("data.held_out 1e-06 holds out none of its 120 images")


def names_where(*, held_out: bool, count: int, folder: str) -> list[str]:
    found = (f"{folder}/{n}.png" for n in range(10_000))
    return [next(name for name in found if module.is_held_out(name) is held_out) for _ in range(count)]


def test_every_class_without_a_held_out_image_is_refused_with_the_share_that_would_do(root):
    for folder, count in (("durian", 3), ("elder", 1)):
        for name in names_where(held_out=False, count=count, folder=folder):
            draw(root / name, (9, 9, count))
    told = refusal(root, num_classes=5).splitlines()
    assert told[1].endswith("durian: has too few images: none of 3 is held out, so it would never be drawn")
    assert told[2].endswith("elder: has too few images: none of 1 is held out, so it would never be drawn")
    assert told[0].endswith(
        "data.held_out is 0.15: no value gives every class images on both sides; give those below "
        "more images, or leave them out"
    )
    (root / names_where(held_out=False, count=1, folder="elder")[0]).unlink()
    (root / "elder").rmdir()
    told = refusal(root, num_classes=4).splitlines()
    share = float(told[0].rpartition(" ")[2])
    with pytest.raises(LabError, match=r"durian: .* none of 3"):
        module.pictures(config(root, 4, held_out=share - 0.001))
    split = module.pictures(config(root, 4, held_out=share))
    assert (
        split.labels[split.heldout].unique().tolist() == split.labels[~split.heldout].unique().tolist() == [0, 1, 2, 3]
    )


def test_a_split_is_refused_before_any_picture_is_read(root):
    for name in names_where(held_out=False, count=2, folder="durian"):
        (root / name).parent.mkdir(exist_ok=True)
        (root / name).write_bytes(b"no image")
    assert "none of 2 is held out" in refusal(root, num_classes=4)


def test_pictures_on_both_sides_of_a_split_are_told_by_their_pixels(root):
    """In other files, formats and classes; a picture that is twice on one side is none of them."""
    assert load_dataset(config(root)).repeats == (0, sum(map(module.is_held_out, all_names())), None)
    inside, outside = (next(name for name in all_names() if module.is_held_out(name) is out) for out in (False, True))
    Image.open(root / inside).save(root / outside.replace(".png", ".bmp"), "BMP")
    (root / outside.replace(".png", ".bmp")).rename(root / outside)
    found = load_dataset(config(root)).repeats
    assert (found.images, found.example) == (1, (outside, inside))


def test_names_that_are_no_utf_8_are_data_like_others(root):
    for name, (red, green, blue) in COLOURS.items():
        for n in range(40):
            new = os.fsencode(root / name / f"{n:03}") + b"\xe9\n.png"
            (root / name / f"{n:03}.png").rename(os.fsdecode(new))
            Image.new("RGB", (20, 24), (red, green, blue + n)).save(os.fsdecode(new))
    data = load_dataset(config(root))
    expected = [
        hashlib.sha256(f"{name}/{n:03}".encode() + b"\xe9\n.png").digest()[:8] for name in COLOURS for n in range(40)
    ]
    assert data.repeats.of == sum(int.from_bytes(digest) / 2**64 < 0.15 for digest in expected)
    names = [os.fsdecode(f"{name}/{n:03}".encode() + b"\xe9\n.png") for name in COLOURS for n in range(40)]
    (root / "metadata.jsonl").write_text(
        "".join(json.dumps({"file_name": name, "text": "x"}) + "\n" for name in names[1:])
    )
    told = refusal(root)
    assert told.endswith(r"metadata.jsonl: has no caption for apple/000\xe9\n.png")
    assert len(told.splitlines()) == 1
    with (root / "metadata.jsonl").open("ab") as file:
        file.write(b'{"file_name": "apple/000\xe9\n.png", "text": "raw"}'.replace(b"\n", b"\\n"))
    assert module.pictures(config(root)).texts[0] == ("raw",)


def test_what_is_no_file_or_cannot_be_read_is_named(root, monkeypatch):
    (root / "apple" / "folder.png").mkdir()
    (root / "apple" / "loop.png").symlink_to("loop.png")
    (root / "apple" / "self").symlink_to(".")
    os.mkfifo(root / "apple" / "pipe.png")
    told = refusal(root).splitlines()
    assert [line.partition("apple/")[2].partition(":")[0] for line in told] == [
        "folder.png",
        "loop.png",
        "pipe.png",
        "self",
    ]

    def closed(path, *_):
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(module.Path, "iterdir", closed)
    assert refusal(root) == f"{root}: cannot be read: Permission denied"


def test_a_picture_that_is_gone_is_named(root):
    found = module.pictures(config(root))
    (root / found.names[0]).unlink()
    for what in (found.read, found.checksum, found.size_and_time):
        with pytest.raises(LabError, match=r"apple/000.png: cannot be read.*No such file"):
            what(0)


def test_a_linked_class_folder_is_a_class(root, tmp_path):
    (root / "cherry").rename(tmp_path / "elsewhere")
    (root / "cherry").symlink_to(tmp_path / "elsewhere")
    assert load_dataset(config(root)).train.labels.unique().tolist() == [0, 1, 2]


def test_a_set_too_large_for_memory_is_refused_before_it_is_read(root, monkeypatch):
    monkeypatch.setattr(module, "MOST_BYTES", 100 * 4 * 3 * 16**2)
    assert "must have at most 100 images of side 16, not 120" in refusal(root)


@pytest.mark.slow
def test_content_that_is_not_what_the_digest_says_is_refused(root):
    found = fingerprint(load_dataset(config(root)))
    load_dataset(config(root, digest=found[:12]))
    load_dataset(config(root, digest=found))
    stat = (root / "apple" / "000.png").stat()
    draw(root / "apple" / "000.png", (7, 7, 7))
    os.utime(root / "apple" / "000.png", (stat.st_atime, stat.st_mtime))
    told = refusal(root, digest=found[:12])
    changed = fingerprint(load_dataset(config(root)))
    assert f"must be {changed[:12]}, not {found[:12]}" in told


def test_a_fingerprint_sees_pixels_labels_captions_and_the_split(root):
    data = load_dataset(config(root))
    train = data.train
    pixels = train.images.clone()
    pixels[0, 0, 0, 0] += 1 / 127.5
    others = [
        data._replace(train=train._replace(images=pixels)),
        data._replace(train=train._replace(labels=train.labels.flip(0))),
        data._replace(train=train._replace(captions=["x"] * len(train.labels))),
        data._replace(train=data.heldout, heldout=train),
    ]
    assert len({fingerprint(one) for one in [data, *others]}) == 5
    assert fingerprint(data._replace(train=train._replace(images=train.images.clone()))) == fingerprint(data)


def test_pixels_come_back_from_eight_bits_exactly():
    pixels = torch.arange(256, dtype=torch.uint8).view(1, 16, 16, 1)
    assert torch.equal(to_uint8(from_uint8(pixels))[0, 0].flatten(), pixels.flatten())
