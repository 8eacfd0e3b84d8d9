"""Finding and reading published weights: every format, several parts, and files that are not what they should be."""

import json
import pickle

import pytest
import torch
from safetensors.torch import save_file

from lina_lab.errors import LabError
from lina_lab.published.files import read_checkpoint, wrapper

OURS = {
    "video_encoder.norm.weight": torch.arange(3.0),
    "image_encoder.norm.weight": torch.arange(5.0),
    "image_decoder.head.bias": torch.ones(2, dtype=torch.bfloat16),
}
VAE = {"encoder.conv_in.weight": torch.zeros(2), "decoder.conv_in.weight": torch.zeros(2)}
WEIGHTS = "diffusion_pytorch_model.safetensors"


class Evil:
    """Runs a program when it is unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return (open, (str(self.path), "w"))


def put(path, tensors):
    path.parent.mkdir(parents=True, exist_ok=True)
    (save_file if path.suffix == ".safetensors" else torch.save)(tensors, path)
    return path


def sharded(folder, parts, suffix, more=()):
    """Weights in several parts with their index, as diffusers writes them."""
    names = [f"model-{n:05}-of-{len(parts):05}.{suffix}" for n in range(1, len(parts) + 1)]
    for name, part in zip(names, parts, strict=True):
        put(folder / name, part)
    weight_map = {tensor: name for name, part in zip(names, parts, strict=True) for tensor in part}
    index = folder / f"model.{suffix}.index.json"
    index.write_text(json.dumps({"metadata": {}, "weight_map": weight_map | dict(more)}))
    return index


def same(found, expected):
    return found.keys() == expected.keys() and all(
        found[name].dtype == tensor.dtype and torch.equal(found[name], tensor) for name, tensor in expected.items()
    )


@pytest.fixture
def pipeline(tmp_path):
    """A pipeline's folder without its transformer."""
    put(tmp_path / "vae" / WEIGHTS, VAE)
    (tmp_path / "model_index.json").write_text("{}")
    return tmp_path


@pytest.mark.parametrize("name", [WEIGHTS, "diffusion_pytorch_model.bin", "ema.pth"])
def test_the_transformer_is_found_beside_an_autoencoder(pipeline, name):
    path = put(pipeline / "transformer" / name, OURS)
    for place in (pipeline, path.parent, path):
        found = read_checkpoint(place)
        assert same(found.tensors, OURS)
        assert (found.files, found.prefix, found.unread) == ((path,), "", [])


def test_a_file_of_the_older_pickle_format_is_read(tmp_path):
    torch.save(OURS, tmp_path / "old.bin", _use_new_zipfile_serialization=False)
    assert same(read_checkpoint(tmp_path).tensors, OURS)


@pytest.mark.parametrize("suffix", ["safetensors", "bin"])
def test_parts_are_one_checkpoint(pipeline, suffix):
    names = list(OURS)
    parts = [{n: OURS[n] for n in names[:2]}, {n: OURS[n] for n in names[2:]}]
    index = sharded(pipeline / "transformer", parts, suffix)
    for place in (pipeline, index):
        found = read_checkpoint(place)
        assert same(found.tensors, OURS)
        assert [path.name for path in found.files] == [f"model-0000{n}-of-00002.{suffix}" for n in (1, 2)]


def test_a_missing_part_or_tensor_is_named(tmp_path):
    index = sharded(tmp_path, [dict(list(OURS.items())[:2]), dict(list(OURS.items())[2:])], "safetensors")
    (tmp_path / "model-00002-of-00002.safetensors").unlink()
    with pytest.raises(LabError, match=r"names model-00002-of-00002\.safetensors, which is missing"):
        read_checkpoint(tmp_path)
    sharded(tmp_path, [OURS], "safetensors", {"image_encoder.blocks.0.norm1.bias": "model-00001-of-00001.safetensors"})
    with pytest.raises(LabError, match=r"its parts do not have: image_encoder\.blocks\.0\.norm1\.bias"):
        read_checkpoint(index)
    sharded(tmp_path, [OURS, VAE], "safetensors")
    put(tmp_path / "model-00002-of-00002.safetensors", VAE | {"image_decoder.head.bias": torch.zeros(2)})
    with pytest.raises(LabError, match="has tensors that another part has too: image_decoder"):
        read_checkpoint(index)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "damaged: it has no weight_map"),
        ("[]", "damaged: it has no weight_map"),
        ('{"weight_map": {"a": "../secret.safetensors"}}', "must name files beside it"),
        ('{"weight_map": {"a": 3}}', "must name files beside it"),
    ],
)
def test_an_index_that_is_none_is_refused(tmp_path, text, message):
    (tmp_path / "model.safetensors.index.json").write_text(text)
    with pytest.raises(LabError, match=message):
        read_checkpoint(tmp_path)


def test_nothing_in_a_malicious_file_is_run(tmp_path):
    ran = tmp_path / "ran"
    path = tmp_path / "model.bin"
    for save in (lambda: torch.save(OURS | {"x": Evil(ran)}, path), lambda: path.write_bytes(pickle.dumps(Evil(ran)))):
        save()
        for place in (path, tmp_path):
            with pytest.raises(LabError, match="refused and nothing of it run"):
                read_checkpoint(place)
    assert not ran.exists()
    pickle.loads(path.read_bytes()).close()  # noqa: S301
    assert ran.exists(), "the file is harmless: the test shows nothing"


def test_a_refused_file_beside_the_weights_is_told_and_does_no_harm(pipeline):
    put(pipeline / "transformer" / WEIGHTS, OURS)
    torch.save({"args": Evil(pipeline / "ran")}, pipeline / "training_args.bin")
    found = read_checkpoint(pipeline)
    assert same(found.tensors, OURS)
    assert len(found.unread) == 1
    assert "training_args.bin: holds more than tensors" in found.unread[0]


@pytest.mark.parametrize("loaded", [[torch.zeros(2)], {"step": 3}, {"state_dict": {"a": torch.zeros(2)}}])
def test_what_is_no_mapping_of_tensors_is_refused(tmp_path, loaded):
    torch.save(loaded, tmp_path / "model.bin")
    with pytest.raises(LabError, match=r"must hold (a mapping of names to tensors|tensors by name and nothing else)"):
        read_checkpoint(tmp_path)


def test_of_two_transformers_neither_is_taken(pipeline):
    for place in ("transformer", "ema"):
        put(pipeline / place / WEIGHTS, OURS)
    with pytest.raises(LabError, match=r"holds 2 transformers: .*ema/diff.*, .*transformer/diff.*; name one"):
        read_checkpoint(pipeline)


def test_a_folder_without_a_transformer_says_what_it_holds(pipeline, tmp_path):
    with pytest.raises(LabError, match=r"no LINA transformer.*it holds diffusion_pytorch.*encoder\.conv_in\.weight"):
        read_checkpoint(pipeline)
    (tmp_path / "empty").mkdir()
    with pytest.raises(LabError, match=r"holds no LINA transformer, whose tensors are called video_encoder\.\*"):
        read_checkpoint(tmp_path / "empty")
    with pytest.raises(LabError, match="no such file or folder"):
        read_checkpoint(tmp_path / "absent")


@pytest.mark.parametrize("name", ["model.safetensors", "model.bin"])
def test_a_truncated_file_is_named(tmp_path, name):
    path = put(tmp_path / name, OURS)
    whole = path.read_bytes()
    for size in (0, 5, len(whole) // 2, len(whole) - 3):
        path.write_bytes(whole[:size])
        with pytest.raises(LabError, match=rf"{name}: (damaged|holds more than tensors, or is damaged)"):
            read_checkpoint(path)


def test_a_file_of_another_kind_is_refused(tmp_path):
    (tmp_path / "model.onnx").write_text("x")
    with pytest.raises(LabError, match=r"must be a folder, \.safetensors, .*, not \.onnx"):
        read_checkpoint(tmp_path / "model.onnx")


@pytest.mark.parametrize("prefix", ["module.", "transformer.", "model.", "module.transformer."])
def test_a_wrapper_that_all_names_share_is_dropped(tmp_path, prefix):
    put(tmp_path / WEIGHTS, {prefix + name: tensor for name, tensor in OURS.items()})
    found = read_checkpoint(tmp_path)
    assert same(found.tensors, OURS)
    assert found.prefix == prefix


def test_a_wrapper_that_some_names_lack_stays():
    assert wrapper(["module.a", "b"]) == ""
    assert wrapper(["other.a", "other.b"]) == ""
    assert wrapper([]) == ""
