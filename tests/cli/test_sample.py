"""`lab sample` with prompts and with labels, and what a user is told who mixes them up."""

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from lina_lab.cli import main as cli
from lina_lab.errors import LabError
from tests.cli.test_geneval import trained_cell

TEXT = {"encoder": "words", "tokens": 8, "features": 8}


@pytest.fixture
def lab(tmp_path):
    def run(*words: object) -> str:
        result = CliRunner().invoke(
            cli.app, ["sample", *map(str, words), "--runs", str(tmp_path)], catch_exceptions=False
        )
        assert result.exit_code == 0
        return result.output

    return run


@pytest.mark.slow
def test_a_row_of_the_sheet_is_a_prompt_and_seeds_are_the_images_own(lab, tmp_path):
    key, out = trained_cell(tmp_path, text=TEXT), tmp_path / "sheet.png"
    prompts = ["two red circles", "a ring left of a black cross"]
    said = lab(key, *(w for p in prompts for w in ("--prompt", p)), "--each", 3, "--guidance", 5, "--out", out)
    assert "prompts 'two red circles', 'a ring left of a black cross'" in said
    kept = np.load(out.with_suffix(".npz"))
    assert kept["arr_0"].shape == (6, 16, 16, 3)
    assert kept["prompts"].tolist() == [prompts[0]] * 3 + [prompts[1]] * 3
    with Image.open(out) as sheet:
        assert sheet.size == (3 * 98 + 2, 2 * 98 + 2)  # 16 pixels six times, and gaps of two
    lab(key, "--prompt", prompts[0], "--each", 3, "--guidance", 5, "--out", out)
    np.testing.assert_array_equal(np.load(out.with_suffix(".npz"))["arr_0"], kept["arr_0"][:3])


@pytest.mark.slow
def test_an_empty_prompt_is_no_prompt(lab, tmp_path):
    key, out = trained_cell(tmp_path, text=TEXT), tmp_path / "sheet.png"
    lab(key, "--prompt", "", "--prompt", "a circle", "--each", 1, "--out", out)
    nothing, something = np.load(out.with_suffix(".npz"))["arr_0"]
    lab(key, "--prompt", "", "--each", 1, "--guidance", 3, "--out", out)
    assert not np.array_equal(nothing, something)
    # Guided from nothing to nothing there is nowhere to go.
    guided = np.load(out.with_suffix(".npz"))["arr_0"][0]
    assert abs(guided.astype(int) - nothing.astype(int)).max() <= 1


@pytest.mark.slow
@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--prompt", "two red cirkles"], r"words outside the vocabulary .*cirkles \(did you mean circles\?\)"),
        (["--prompt", "a circle " * 5000], "at most 8 words, not 10000"),
        ([], "follows prompts: give some with --prompt"),
        (["--labels", "0", "--prompt", "a circle"], "no --labels"),
    ],
)
def test_a_wrong_prompt_is_named(lab, tmp_path, words, message):
    key = trained_cell(tmp_path, text=TEXT)
    with pytest.raises(LabError, match=message):
        lab(key, *words)


def test_a_prompt_for_a_cell_of_labels_is_refused(lab, tmp_path):
    with pytest.raises(LabError, match="is conditioned on labels: it has no prompts; use --labels"):
        lab(trained_cell(tmp_path), "--prompt", "a circle")
