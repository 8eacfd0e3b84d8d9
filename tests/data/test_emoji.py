"""The emoji: the same real images with their Unicode names, in the same split, always."""

import hashlib
import unicodedata
from collections import Counter

import numpy as np
import pytest
import torch
from PIL import Image

from lina_lab.config.data import DataConfig, words_of
from lina_lab.data import emoji as module
from lina_lab.data import pack_emoji
from lina_lab.data.datasets import load_dataset, to_uint8
from lina_lab.data.emoji import names
from lina_lab.data.examples import fingerprint
from lina_lab.data.vocabulary import encode, split_words
from lina_lab.errors import LabError

CATEGORIES = sorted({row["category"] for row in names()})


def config(side: int) -> DataConfig:
    return DataConfig.model_validate({"name": "emoji", "side": side})


@pytest.fixture(scope="module")
def small():
    return load_dataset(config(32))


@pytest.fixture(scope="module")
def large():
    return load_dataset(config(64))


def find(data, caption: str) -> np.ndarray:
    """The image (h, w, 3) uint8 of a caption."""
    for part in (data.train, data.heldout):
        if caption in part.captions:
            return to_uint8(part.images[[part.captions.index(caption)]])[0].permute(1, 2, 0).numpy()
    raise AssertionError(caption)


@pytest.mark.slow
def test_there_are_as_many_as_the_documentation_says(small, large):
    for data, side in ((small, 32), (large, 64)):
        assert data.train.images.shape == (1624, 3, side, side)
        assert data.heldout.images.shape == (287, 3, side, side)
        assert (len(data.train.captions), len(data.heldout.captions)) == (1624, 287)
    assert len(names()) == 1911
    assert (len(CATEGORIES), len({row["subcategory"] for row in names()})) == (10, 99)


@pytest.mark.slow
def test_whole_subcategories_are_held_out_and_every_category_that_can_be_is_in_both_parts(small):
    splits, parts = {}, {}
    for row in names():
        splits.setdefault(row["subcategory"], set()).add(row["split"])
        parts.setdefault(row["category"], set()).add(row["subcategory"])
    assert all(len(found) == 1 for found in splits.values())
    for label, category in enumerate(CATEGORIES):
        assert (small.train.labels == label).any()
        assert bool((small.heldout.labels == label).any()) == (len(parts[category]) > 1)


@pytest.mark.slow
def test_no_image_is_in_both_parts(large):
    train = {image.numpy().tobytes() for image in large.train.images}
    assert not any(image.numpy().tobytes() in train for image in large.heldout.images)


@pytest.mark.slow
def test_the_split_never_changes(small, large):
    """A changed split would make old and new FIDs incomparable under one name."""
    assert [fingerprint(data)[:16] for data in (small, large)] == ["f907ef253de6f755", "ea0c2c4b70ba940a"]
    held_out = hashlib.sha256("\n".join(small.heldout.captions).encode()).hexdigest()
    assert held_out[:16] == "1334ee8aac8f49af"


def test_names_are_those_that_python_knows_of_unicode():
    """Python's own table of Unicode names; of sequences, and of later renaming, it knows nothing."""
    single = [row for row in names() if "-" not in row["code"]]
    known = [unicodedata.name(chr(int(row["code"], 16)), "").lower() for row in single]
    same = sum(row["name"] == name for row, name in zip(single, known, strict=True))
    assert len(single) > 1000
    assert same > 0.9 * sum(map(bool, known))


@pytest.mark.slow
def test_images_belong_to_their_names(large, small):
    """The flag of Japan is a red disc on white, that of Ukraine blue over yellow; what was transparent is white."""
    for data, side in ((large, 64), (small, 32)):
        japan, ukraine = (find(data, f"{name} flag").astype(int) for name in ("japan", "ukraine"))
        middle = side // 2
        red, green, blue = japan[middle, middle]
        assert red > green + 80
        assert red > blue + 80
        assert (japan[0, 0] == 255).all()
        top, bottom = ukraine[side // 3, middle], ukraine[2 * side // 3, middle]
        assert top[2] > top[0] + 50
        assert bottom[0] > bottom[2] + 50


@pytest.mark.slow
def test_classes_are_categories_in_alphabetical_order(small):
    assert CATEGORIES[3] == "Flags"
    flags = [c for c, label in zip(small.train.captions, small.train.labels.tolist(), strict=True) if label == 3]
    assert len(flags) == 259
    assert sum(caption.endswith(" flag") for caption in flags) > 250


@pytest.mark.slow
def test_every_caption_is_made_of_known_words_and_sixteen_tokens_hold_it(small):
    captions = [*small.train.captions, *small.heldout.captions]
    ids = encode(captions, words_of("emoji"), 16)
    assert ids.unique().tolist() == list(range(len(words_of("emoji")) + 1))
    shown = {word for caption in small.train.captions for word in split_words(caption)}
    unseen = {word for caption in small.heldout.captions for word in split_words(caption)} - shown
    assert (len(words_of("emoji")), len(unseen)) == (1792, 245)


def test_damaged_and_missing_files_are_named(tmp_path, monkeypatch):
    kept = {path.name: path.read_bytes() for path in module.PACKED.glob("emoji-*-*.webp")}
    kept |= {path.name: path.read_bytes() for path in module.PACKED.glob("emoji-*.csv")}
    monkeypatch.setattr(module, "PACKED", tmp_path)
    with pytest.raises(LabError, match=r"has no emoji-\*\.csv; install"):
        load_dataset(config(32))
    for name, content in kept.items():
        (tmp_path / name).write_bytes(content[:-1] if name.endswith("webp") else content)
    with pytest.raises(LabError, match=r"emoji-64-.*\.webp: damaged: its content is not what its name says"):
        load_dataset(config(32))


def entry(number: int, category: str, subcategory: str) -> dict:
    shown = {"has_img_google": number != 3, "sort_order": -number, "unified": f"{number:X}", "image": f"{number}.png"}
    return shown | {"name": f"NAME {number}", "category": category, "subcategory": subcategory}


@pytest.mark.slow
def test_packing_keeps_order_and_pixels(tmp_path):
    import json

    entries = [entry(n, "A", f"a{n % 2}") for n in range(60)]
    (tmp_path / "emoji.json").write_text(json.dumps(entries))
    for n in range(60):
        mode, colour = ("RGBA", (n, 0, 0, 255)) if n % 3 else ("LA", (n, 255))
        Image.new(mode, (64, 64), colour).save(tmp_path / f"{n}.png")
    found = pack_emoji.read_emoji(tmp_path)
    assert [e["unified"] for e in found[:3]] == ["3B", "3A", "39"]
    assert len(found) == 59
    path = tmp_path / "sheet.webp"
    path.write_bytes(pack_emoji.sheet(found, tmp_path))
    sheet = Image.open(path)
    assert sheet.size == (48 * 64, 2 * 64)
    assert sheet.getpixel((63, 63)) == (59, 0, 0)
    assert sheet.getpixel((64, 0)) == (58, 0, 0)
    assert sheet.getpixel((10 * 64, 64)) == (0, 0, 0)
    assert sheet.getpixel((11 * 64, 64)) == (255, 255, 255)
    with pytest.raises(LabError, match="must be the unpacked npm package"):
        pack_emoji.read_emoji(tmp_path / "elsewhere")


def test_subcategories_are_drawn_within_the_share_and_the_smallest_where_none_fits():
    sizes = {"A": [50, 10, 9, 31], "B": [90, 8, 2], "C": [60, 40], "D": [5]}
    entries = [
        entry(0, category, f"{category}{i}")
        for category, parts in sizes.items()
        for i, size in enumerate(parts)
        for _ in range(size)
    ]
    chosen = pack_emoji.held_out(entries)
    counts = Counter(name[0] for name in chosen)
    assert chosen - {"A1", "A2"} == {"B1", "B2", "C1"}
    assert counts["A"] == 1
    assert counts["D"] == 0


@pytest.mark.slow
def test_the_global_random_state_plays_no_part(small):
    before = torch.get_rng_state()
    again = load_dataset(config(32))
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.equal(again.train.images, small.train.images)
