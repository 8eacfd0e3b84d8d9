"""Images of a model: each is its own number's, whatever is drawn beside it."""

import numpy as np
import pytest
import torch

from lina_lab.sampling import generate as module
from lina_lab.sampling.generate import generate, save_images
from tests.model.test_lina import SAMPLING, awake

LABELS = torch.tensor([3, 1, 4, 1, 5])


@pytest.mark.slow
def test_an_image_is_that_of_its_number_and_not_of_what_is_drawn_beside_it(monkeypatch):
    whole = generate(awake(), LABELS, SAMPLING, seed=2)
    assert torch.equal(generate(awake(), LABELS[[4, 0]], SAMPLING, 2, numbers=[4, 0]), whole[[4, 0]])
    assert not torch.equal(whole[1], whole[3]), "one label, two numbers"
    assert not torch.equal(generate(awake(), LABELS, SAMPLING, seed=3), whole)
    monkeypatch.setattr(module, "SAMPLING_BATCH", 2)
    shares = []
    assert torch.equal(generate(awake(), LABELS, SAMPLING, 2, shares.append), whole)
    assert shares == sorted(shares)
    assert (len(set(shares)), shares[-1]) == (len(shares), 1.0)


def test_images_of_another_side_than_the_data_have_are_refused():
    with pytest.raises(ValueError, match="images must have side 10, not 20: latents want a decoder"):
        generate(awake(), LABELS, SAMPLING, 0, decode=lambda latents: latents.repeat(1, 1, 2, 2))


def test_saved_images_are_channels_last_with_labels_and_prompts_beside_them(tmp_path):
    images = torch.arange(2 * 3 * 4 * 5).reshape(2, 3, 4, 5).to(torch.uint8)
    save_images(tmp_path / "a.npz", images, torch.tensor([7, 8]), ["a dog", "a cat"])
    with np.load(tmp_path / "a.npz") as file:
        np.testing.assert_array_equal(file["arr_0"], images.permute(0, 2, 3, 1).numpy())
        assert (file["labels"].tolist(), file["prompts"].tolist()) == ([7, 8], ["a dog", "a cat"])
    save_images(tmp_path / "b.npz", images, None)
    with np.load(tmp_path / "b.npz") as file:
        assert list(file) == ["arr_0"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.npz", "b.npz"]
