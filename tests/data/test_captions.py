"""Captions from metadata.jsonl; whatever is wrong with it is named, by line."""

import json

import pytest

from lina_lab.data import folder as module
from lina_lab.data.datasets import load_dataset, to_uint8
from tests.data.folders import COLOURS, all_names, config, refusal


def test_captions_go_with_their_images(root):
    lines = [
        json.dumps({"file_name": f"{name}/{n:03}.png", "text" if n % 2 else "caption": f"{name} {n}", "more": n})
        for n in reversed(range(40))
        for name in COLOURS
    ]
    (root / "metadata.jsonl").write_text("\n".join(lines) + "\n")
    data = load_dataset(config(root))
    names = list(COLOURS)
    for part in (data.train, data.heldout):
        blue = to_uint8(part.images)[:, 2, 0, 0].tolist()
        expected = [f"{names[c]} {b - COLOURS[names[c]][2]}" for c, b in zip(part.labels.tolist(), blue, strict=True)]
        assert part.captions == expected


def test_every_wrong_line_of_the_metadata_is_named(root):
    good = [{"file_name": f"{name}/{n:03}.png", "text": ""} for n in range(40) for name in COLOURS]
    lines = [json.dumps(row) for row in good[1:]]
    bad = ["{", "[]", '{"text": "x"}', '{"file_name": "apple/001.png", "text": 3}', lines[5]]
    (root / "metadata.jsonl").write_text("\n".join([*lines, *bad, '{"file_name": "x.png", "text": ""}']))
    told = refusal(root).splitlines()
    assert [line.partition("metadata.jsonl")[2][:10] for line in told[:4]] == [f":{n}: must" for n in range(120, 124)]
    assert told[4].endswith("metadata.jsonl:124: has apple/002.png a second time")
    assert told[5].endswith("names x.png, which is not there")
    assert told[6].endswith("has no caption for apple/000.png")
    assert len(told) == 7


def caption_lines(caption: str = "a b") -> list[str]:
    return [json.dumps({"file_name": name, "text": f"{caption} {name}"}, ensure_ascii=False) for name in all_names()]


@pytest.mark.parametrize("between", ["\u2028", "\u2029", "\u0085", "\x0b", "\x0c", "\x1c", "\x1e", "\r", "\t"])
def test_a_line_of_the_metadata_ends_at_a_line_feed_alone(root, between):
    lines = [json.dumps({"file_name": name, "text": "@"}).replace("@", f"one{between}two") for name in all_names()]
    (root / "metadata.jsonl").write_bytes("\n".join(lines).encode())
    assert set(module.pictures(config(root)).texts) == {(f"one{between}two",)}


@pytest.mark.parametrize("end", ["\n", "\n\n", "\r\n", "\r\n\r\n", ""])
@pytest.mark.parametrize("begin", ["", "\ufeff"])
def test_a_mark_at_the_start_and_an_empty_last_line_are_no_faults(root, begin, end):
    lines = caption_lines("caf\xe9")
    (root / "metadata.jsonl").write_bytes((begin + (end.strip(" ")[:2] or "\n").join(lines) + end).encode())
    assert module.pictures(config(root)).texts[0] == (f"caf\xe9 {all_names()[0]}",)


def test_a_text_that_is_no_text_is_refused_by_line(root):
    lines = [line.encode() for line in caption_lines()]
    lines[3] = lines[3].replace(b"a b", b"caf\xe9")
    lines[5] = lines[5].replace(b"a b", b"\\ud83d")
    (root / "metadata.jsonl").write_bytes(b"\n".join(lines))
    told = refusal(root).splitlines()
    assert [line.partition("metadata.jsonl")[2][:8] for line in told[:2]] == [":4: must", ":6: must"]
    assert "caf\\xe9" in told[0]
    (root / "metadata.jsonl").unlink()
    (root / "metadata.jsonl").mkdir()
    assert "metadata.jsonl" in refusal(root)
