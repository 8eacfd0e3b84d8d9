"""GenEval's files: the folder that its evaluator walks through, and the results that it writes.

`official` below does what the official evaluator's main loop does with folders, and writes what it writes, with pandas.
"""

import json
import re

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

from lina_lab.composition.geneval import export_images, read_manifest, read_prompts, read_results
from lina_lab.data.shapes_grammar import TAGS
from lina_lab.errors import LabError

MADE_BY = {"key": "0123456789ab", "seed": 0, "sampling": {"flow_steps": 25, "sides": (4, 5)}}
EACH = 3
NUM_PROMPTS = 12


def metadata(number: int) -> dict:
    include = [{"class": "bench", "count": 1}]
    return {"tag": TAGS[number % 6], "include": include, "prompt": f"a photo of {number} bénches"}


@pytest.fixture
def prompt_file(tmp_path):
    path = tmp_path / "evaluation_metadata.jsonl"
    path.write_text("".join(json.dumps(metadata(n), ensure_ascii=False) + "\n" for n in range(NUM_PROMPTS)))
    return path


class Drawing:
    """A generator whose image of prompt k, sample m, has the levels (k, m, 7); it remembers what it drew."""

    def __init__(self, stop_at: int | None = None):
        self.drawn, self.stop_at = [], stop_at

    def __call__(self, numbers):
        if self.stop_at in numbers:
            raise KeyboardInterrupt
        self.drawn += numbers
        levels = torch.tensor([[k, m, 7] for k in numbers for m in range(EACH)], dtype=torch.uint8)
        return levels[:, :, None, None].expand(-1, -1, 4, 5)


@pytest.fixture
def exported(tmp_path, prompt_file):
    export_images(tmp_path / "out", read_prompts(prompt_file), EACH, MADE_BY, Drawing())
    return tmp_path / "out"


def official(folder, out, judge=lambda number, sample: True):
    results = []
    for sub in folder.iterdir():
        if not sub.is_dir() or not sub.name.isdigit():
            continue
        with (sub / "metadata.jsonl").open() as file:
            told = json.load(file)
        for image in (sub / "samples").iterdir():
            if re.match(r"\d+\.png", image.name):
                number, sample, _ = np.asarray(Image.open(image))[0, 0].tolist()
                results.append(
                    {
                        "filename": str(image),
                        "tag": told["tag"],
                        "prompt": told["prompt"],
                        "correct": judge(number, sample),
                        "reason": "",
                        "metadata": json.dumps(told),
                        "details": "{}",
                    }
                )
    with out.open("w") as file:
        pd.DataFrame(results).to_json(file, orient="records", lines=True)
    return out


def change(path, number, **changes):
    """Change one line of results; None drops a key."""
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    lines[number] = {k: v for k, v in (lines[number] | changes).items() if v is not None}
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))


def test_the_folder_has_the_official_layout(exported, prompt_file):
    lines = prompt_file.read_text().splitlines()
    assert sorted(path.name for path in exported.iterdir()) == [f"{n:05d}" for n in range(NUM_PROMPTS)] + ["lab.json"]
    for number, line in enumerate(lines):
        assert (exported / f"{number:05d}" / "metadata.jsonl").read_text().rstrip("\n") == line
        for sample in range(EACH):
            image = np.asarray(Image.open(exported / f"{number:05d}" / "samples" / f"{sample:04d}.png"))
            assert image.shape == (4, 5, 3)
            assert (image == [number, sample, 7]).all()


def test_an_export_that_was_stopped_draws_only_what_is_missing(tmp_path, prompt_file, monkeypatch):
    monkeypatch.setattr("lina_lab.composition.geneval.IMAGES_AT_ONCE", 2 * EACH)
    out, prompts = tmp_path / "out", read_prompts(prompt_file)
    with pytest.raises(KeyboardInterrupt):
        export_images(out, prompts, EACH, MADE_BY, Drawing(stop_at=6))
    (out / "00001" / "samples" / "0002.png").unlink()
    (out / "00003" / "metadata.jsonl").unlink()
    again = Drawing()
    assert export_images(out, prompts, EACH, MADE_BY, again) == 8
    assert again.drawn == [1, 3, *range(6, 12)]
    assert export_images(out, prompts, EACH, MADE_BY, Drawing(stop_at=0)) == 0
    assert len(list(out.glob("*/samples/*.png"))) == NUM_PROMPTS * EACH


def test_a_folder_of_other_images_is_not_written_over(tmp_path, exported, prompt_file):
    prompts = read_prompts(prompt_file)
    with pytest.raises(LabError, match="holds images made with another key, seed; give --out another folder"):
        export_images(exported, prompts, EACH, MADE_BY | {"key": "other", "seed": 1}, Drawing())
    with pytest.raises(LabError, match="holds images made with another each, prompts"):
        export_images(exported, prompts[:-1], 2, MADE_BY, Drawing())
    other = tmp_path / "mine"
    other.mkdir()
    (other / "thesis.txt").write_text("years of work")
    with pytest.raises(LabError, match=r"must be new or of lab geneval export, but has files and no lab\.json"):
        export_images(other, prompts, EACH, MADE_BY, Drawing())


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("not json", r"jsonl:13: must be a JSON object, not 'not json'"),
        ("[1]", r"jsonl:13: must be a JSON object, not '\[1\]'"),
        ('{"tag": "colors", "include": []}', r"jsonl:13: key prompt must be a str, not missing"),
        ('{"tag": "colors", "include": [], "prompt": 3}', r"jsonl:13: key prompt must be a str, not 3"),
        ('{"tag": "colors", "include": 1, "prompt": "x"}', r"jsonl:13: key include must be a list, not 1"),
        ('{"tag": "colours", "include": [], "prompt": "x"}', r"jsonl:13: key tag must be one of .*, not 'colours'"),
    ],
)
def test_a_file_that_is_not_of_the_format_is_refused_with_its_line(prompt_file, line, message):
    with prompt_file.open("a") as file:
        file.write(line + "\n")
    with pytest.raises(LabError, match=message):
        read_prompts(prompt_file)


def test_a_prompt_file_that_is_empty_or_not_text_is_refused(prompt_file):
    prompt_file.write_text("")
    with pytest.raises(LabError, match="must have a JSON object a line, not be empty"):
        read_prompts(prompt_file)
    prompt_file.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(LabError, match=r"jsonl:1: must be a JSON object"):
        read_prompts(prompt_file)
    prompt_file.write_text(json.dumps(metadata(0)))
    with pytest.raises(LabError, match="must have two or more prompts of single_object, for an interval over them"):
        read_prompts(prompt_file)


@pytest.mark.slow
def test_scores_are_those_of_the_official_summary(tmp_path, exported):
    """The mean over tags of each tag's mean over images, as pandas has it."""
    results = official(exported, tmp_path / "results.jsonl", lambda k, m: bool((k * 7 + m * 5) % 3))
    metrics, record = read_results(results, MADE_BY["key"])
    table = pd.read_json(results, orient="records", lines=True)
    theirs = table.groupby("tag", sort=False)["correct"].mean()
    assert {tag: metrics[f"eval/geneval/{tag}"] for tag in TAGS} == pytest.approx(theirs.to_dict())
    assert metrics["eval/geneval/overall"] == pytest.approx(np.mean(list(theirs)))
    for name in (*TAGS, "overall"):
        low, value, high = (metrics[f"eval/geneval/{name}{end}"] for end in ("_low", "", "_high"))
        assert low <= value <= high
    assert (record["key"], record["each"], record["num_prompts"]) == (MADE_BY["key"], EACH, NUM_PROMPTS)


def test_tags_that_the_prompts_lack_have_no_score_and_no_overall(tmp_path, prompt_file):
    prompts = [prompt for prompt in read_prompts(prompt_file) if prompt.tag in TAGS[:2]]
    export_images(tmp_path / "few", prompts, EACH, MADE_BY, Drawing())
    metrics, _ = read_results(official(tmp_path / "few", tmp_path / "results.jsonl"), MADE_BY["key"])
    assert {name.split("/")[-1] for name in metrics} == {f"{t}{e}" for t in TAGS[:2] for e in ("", "_low", "_high")}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"correct": "yes"}, r"results\.jsonl:2: key correct must be a bool, not \"yes\""),
        ({"correct": None}, r"results\.jsonl:2: key correct must be a bool, not missing"),
        ({"tag": "colour"}, r"results\.jsonl:2: key tag must be one of"),
        ({"filename": "elsewhere/x.png"}, r"as 00000/samples/0000\.png, not 'elsewhere/x\.png'"),
        ({"filename": "x/00099/samples/0000.png"}, r"must be of the export"),
        ({"filename": "x/00000/samples/0009.png"}, r"must be of the export"),
        ({"prompt": "a photo of a cat"}, r"must be 'a photo of .*, as in the export, not 'a photo of a cat'"),
    ],
)
def test_results_that_are_wrong_are_refused(tmp_path, exported, changes, message):
    results = official(exported, tmp_path / "results.jsonl")
    change(results, 1, **changes)
    with pytest.raises(LabError, match=message):
        read_results(results, MADE_BY["key"])


def test_results_must_have_every_image_once(tmp_path, exported):
    results = official(exported, tmp_path / "results.jsonl")
    lines = results.read_text().splitlines(keepends=True)
    results.write_text("".join(lines[:-2]))
    with pytest.raises(LabError, match=r"must have all 36 images of the export, but lacks 2, 000\d\d/samples"):
        read_results(results, MADE_BY["key"])
    results.write_text("".join([*lines, lines[5]]))
    with pytest.raises(LabError, match=r"must name 000\d\d/samples/000\d\.png once, not twice"):
        read_results(results, MADE_BY["key"])


def test_results_of_another_cell_are_refused(tmp_path, exported):
    results = official(exported, tmp_path / "results.jsonl")
    with pytest.raises(LabError, match="holds results of cell 0123456789ab, not ba9876543210"):
        read_results(results, "ba9876543210")


def test_images_that_were_moved_are_named_by_hand(tmp_path, exported):
    results = official(exported, tmp_path / "results.jsonl")
    exported.rename(tmp_path / "moved")
    with pytest.raises(LabError, match=r"lab\.json: no such file: name the folder .* with --export"):
        read_results(results, MADE_BY["key"])
    assert read_results(results, MADE_BY["key"], tmp_path / "moved")[0]["eval/geneval/overall"] == 1
    (tmp_path / "moved" / "lab.json").write_text("{")
    with pytest.raises(LabError, match="damaged"):
        read_manifest(tmp_path / "moved")
    (tmp_path / "moved" / "lab.json").write_text("[]")
    with pytest.raises(LabError, match="damaged: must have key, each and prompts"):
        read_manifest(tmp_path / "moved")
