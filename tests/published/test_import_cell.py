"""Published weights as cells, and cells as published weights."""

import json
from pathlib import Path

import pytest
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from lina_lab.cell.run import run_cell
from lina_lab.checkpoints import ema_weights
from lina_lab.checkpoints.ema_weights import load_trained, training_seconds
from lina_lab.config.experiment import Experiment, cell_key
from lina_lab.config.load import load_experiment
from lina_lab.errors import LabError
from lina_lab.ledger.cells import read_experiment
from lina_lab.ledger.result import read_result
from lina_lab.model.blocks import sincos_table
from lina_lab.model.lina import Lina
from lina_lab.model.sampler import sample_of_draws
from lina_lab.published.export_cell import WEIGHTS, export_cell
from lina_lab.published.files import Checkpoint, read_checkpoint
from lina_lab.published.import_cell import digest, find_experiment, import_cell
from lina_lab.published.names import published_like, to_published
from tests.cells import DIGITS, trained_cell

GOLDEN = Path(__file__).parents[1] / "golden"
LINA = {"conv_kernel": 5, "kv_gate": "key_value"}
TINY = {"width": 32, "num_heads": 4, "context_depth": 2, "encoder_depth": 2, "decoder_depth": 2, "head_depth": 2}
TINY |= {"head_width": 32}
FEW = {"steps": 4, "batch_size": 8, "learning_rate": 2e-3}
SAMPLING = {"autoregressive_steps": 6, "flow_steps": 5, "guidance_scale": 2.4}


def experiment(data: dict, model: dict | None = None, **changes: object) -> Experiment:
    values = {"name": "published", "data": data, "model": TINY | {"attention": LINA} | (model or {}), "training": FEW}
    values |= {"sampling": SAMPLING, "evaluation": {"extractor": "inception", "num_samples": 60}}
    return Experiment.model_validate(values | changes)


def latents(side: int = 16, **more: object) -> dict:
    autoencoder = {"path": "autoencoder", "channels": 4, "stride": 8, "scaling_factor": 0.5}
    images = {"name": "images", "side": 8 * side, "path": "images", "num_classes": 1000}
    return images | {"autoencoder": autoencoder} | more


def prompts(side: int) -> dict:
    return latents(side, text={"encoder": "hf", "path": "encoder", "tokens": 6, "features": 10})


def random_checkpoint(folder: Path, made_for: Experiment, dtype: torch.dtype = torch.float32) -> Path:
    """A published checkpoint of random weights, with 512 rows of fixed text where there are prompts."""
    tensors = to_published(Lina(made_for.model, made_for.data.shape, seed=3).state_dict(), made_for.model)
    generator = torch.Generator().manual_seed(5)
    if made_for.data.text is not None:
        tensors["text_embed.weight"] = torch.zeros(512, made_for.data.text.features)
    tensors = {name: torch.randn(t.shape, generator=generator).to(dtype) / 8 for name, t in tensors.items()}
    path = folder / WEIGHTS
    path.parent.mkdir(parents=True)
    save_file(tensors, path)
    return path


@pytest.fixture
def golden(tmp_path):
    """The folder of the published tiny model, an autoencoder beside it."""
    weights = load_file(GOLDEN / "tiny_model_weights.safetensors")
    for place, tensors in (("transformer", weights), ("vae", {"param.encoder.conv_in.weight": torch.zeros(1)})):
        (tmp_path / "published" / place).mkdir(parents=True)
        named = {name.removeprefix("param."): tensor for name, tensor in tensors.items()}
        save_file(named, tmp_path / "published" / place / WEIGHTS.name)
    return tmp_path / "published"


@pytest.mark.slow
def test_the_published_tiny_model_samples_its_golden_latent(golden, tmp_path):
    folder = import_cell(tmp_path / "runs", read_checkpoint(golden), experiment(latents()))
    model = load_trained(folder)[1]
    fixture = load_file(GOLDEN / "generate_cfg.safetensors")
    order = fixture["order_draw"].argsort(dim=1)
    step_of_rank = torch.repeat_interleave(torch.arange(6), fixture["num_tokens_per_step"])
    step_of_position = torch.empty_like(order).scatter(1, order, step_of_rank.expand(2, -1))
    noise = torch.stack([model.patchify(n) for n in fixture["step_noise"]])
    noise = noise.gather(0, step_of_position[None, :, :, None].expand(1, -1, -1, 4))[0]
    latent = sample_of_draws(model, fixture["labels"], read_experiment(folder).sampling, order, noise)
    error = (latent - fixture["latent_out"]).abs().max() / fixture["latent_out"].abs().max()
    assert error < 1e-4


@pytest.mark.slow
def test_the_record_accounts_for_every_tensor(golden, tmp_path):
    folder = import_cell(tmp_path / "runs", read_checkpoint(golden), experiment(latents()))
    record = json.loads((folder / "imported.json").read_text())
    weights = load_file(golden / WEIGHTS)
    assert record["tensors"] == {name: {"dtype": "fp32", "shape": list(t.shape)} for name, t in weights.items()}
    assert record["source"] == WEIGHTS.name
    assert record["sha256"] == read_experiment(folder).training.imported
    assert str(tmp_path) not in json.dumps({**record, "provenance": None})
    assert training_seconds(folder) != training_seconds(folder), "must be NaN: nobody measured it"


def test_weights_can_be_read_by_whom_every_new_file_can(golden, tmp_path):
    folder = import_cell(tmp_path / "runs", read_checkpoint(golden), experiment(latents()))
    modes = {path.name: path.stat().st_mode for path in folder.iterdir()}
    assert modes["ema.safetensors"] == modes["imported.safetensors"] == modes["config.yaml"]


@pytest.mark.slow
def test_what_comes_out_is_what_went_in_byte_by_byte(golden, tmp_path):
    folder = import_cell(tmp_path / "runs", read_checkpoint(golden), experiment(latents()))
    export_cell(folder, tmp_path / "out")
    assert_same(load_file(tmp_path / "out" / WEIGHTS), load_file(golden / WEIGHTS))


def assert_same(found: dict, expected: dict) -> None:
    assert found.keys() == expected.keys()
    for name, tensor in expected.items():
        assert (found[name].dtype, found[name].shape) == (tensor.dtype, tensor.shape), name
        assert torch.equal(found[name], tensor), name


@pytest.mark.slow
@pytest.mark.parametrize("side", [16, 32])
@pytest.mark.parametrize(
    ("dtype", "name"), [(torch.float32, "fp32"), (torch.bfloat16, "bf16"), (torch.float16, "fp16")]
)
def test_prompts_at_any_resolution_and_type_come_back_with_rows_that_nothing_reads(tmp_path, side, dtype, name):
    """As published at 512 and 1024 px, smaller: gates follow the grid, 5/4 of its tokens."""
    wanted = experiment(prompts(side), {"patch": 4})
    path = random_checkpoint(tmp_path, wanted, dtype)
    whole = load_file(path)
    assert whole["image_encoder.blocks.3.attn.key_scale"].shape == (1, 4, 5 * side**2 // 64, 1)
    folder = import_cell(tmp_path / "runs", read_checkpoint(tmp_path / "transformer"), wanted)
    model = load_trained(folder)[1]
    assert torch.equal(model.text.null, whole["text_embed.weight"][:6].float())
    export_cell(folder, tmp_path / "out", name)
    assert_same(load_file(tmp_path / "out" / WEIGHTS), whole)


@pytest.mark.slow
def test_tables_and_wrapped_tokens_come_back_as_they_were(golden, tmp_path):
    path = golden / WEIGHTS
    tensors = load_file(path)
    tensors["mask_embed.mask_token"] = tensors["mask_embed.mask_token"].unsqueeze(0)
    tensors["image_pos_embed.weight"] = sincos_table(16, 16, 32).unsqueeze(0).contiguous()
    save_file({f"module.{name}": tensor for name, tensor in tensors.items()}, path)
    folder = import_cell(tmp_path / "runs", read_checkpoint(golden), experiment(latents()))
    record = json.loads((folder / "imported.json").read_text())
    assert (record["prefix"], record["not_used"]) == ("module.", ["image_pos_embed.weight"])
    export_cell(folder, tmp_path / "out")
    assert_same(load_file(tmp_path / "out" / WEIGHTS), tensors)


@pytest.mark.slow
def test_a_checkpoint_has_one_key_whatever_its_format_and_type(tmp_path):
    wanted = experiment(latents())
    path = random_checkpoint(tmp_path / "a", wanted, torch.bfloat16)
    tensors = load_file(path)
    torch.save({name: tensor.float() for name, tensor in reversed(tensors.items())}, tmp_path / "b.bin")
    folders = [import_cell(tmp_path / "runs", read_checkpoint(p), wanted) for p in (path, tmp_path / "b.bin")]
    assert folders[0] == folders[1]
    assert folders[0].name != cell_key(wanted)
    tensors["video_encoder.norm.bias"][3] += 1
    assert digest(tensors) != read_experiment(folders[0]).training.imported


def test_the_hash_of_weights_is_that_of_their_names_and_bytes():
    # printf 'a\0\0\0\200\77b\0\0\0\0\300' | sha256sum: a is 1, b is -2, in float32, little-endian
    known = "04fa39e896141661c0362796e6d08cf9d9dd80a6877066b7a6d424c96577c6bf"
    assert digest({"b": torch.tensor([-2.0]).half(), "a": torch.tensor(1.0)}) == known


@pytest.mark.slow
def test_an_imported_cell_is_measured_and_claims_no_training(tmp_path):
    first = trained_cell(tmp_path / "runs", DIGITS | {"evaluation": {"num_samples": 50}})
    export_cell(first, tmp_path / "out")
    folder = import_cell(tmp_path / "runs", read_checkpoint(tmp_path / "out"), read_experiment(first))
    assert folder != first
    assert run_cell(folder) == "done"
    result = read_result(folder)
    assert result.seconds.keys() == {"sampling", "evaluation"}
    assert result.imported.as_stated == ["steps", "samples_seen", "flops.training"]
    assert not (folder / "checkpoints").exists()
    run_cell(first)
    assert read_result(first).metrics["eval/fid/digits-cnn"] == result.metrics["eval/fid/digits-cnn"]
    assert read_result(first).imported is None


@pytest.mark.slow
def test_a_cell_whose_import_is_lost_is_never_trained_instead(tmp_path):
    first = trained_cell(tmp_path / "runs", DIGITS | {"evaluation": {"num_samples": 50}})
    export_cell(first, tmp_path / "out")
    folder = import_cell(tmp_path / "runs", read_checkpoint(tmp_path / "out"), read_experiment(first))
    weights = folder / "ema.safetensors"
    whole = weights.read_bytes()
    weights.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    with pytest.raises(LabError, match=r"has no whole weights: .* lab import their checkpoint again"):
        run_cell(folder)
    weights.unlink()
    with pytest.raises(LabError, match=r"ema\.safetensors: no such file: .* lab import their checkpoint again"):
        load_trained(folder)
    assert import_cell(tmp_path / "runs", read_checkpoint(tmp_path / "out"), read_experiment(first)) == folder
    assert weights.read_bytes() == whole


@pytest.mark.parametrize(
    ("break_it", "message"),
    [
        (lambda t: t.pop("label_embed.norm.bias"), r"missing tensors \(1\): label_embed\.norm\.bias"),
        (lambda t: t.update(more=torch.zeros(1)), r"unknown tensors \(1\): more"),
        (lambda t: t.update({"label_embed.norm.bias": torch.zeros(3)}), r"label_embed\.norm\.bias \(3,\) for \(32,\)"),
        (lambda t: t.update({"label_embed.norm.bias": torch.full((32,), torch.inf)}), r"infinities or NaN in: label"),
        (lambda t: t.update({"label_embed.norm.bias": torch.zeros(32).double()}), r"not: label.*\(torch\.float64\)"),
    ],
)
def test_what_does_not_fit_leaves_nothing_in_the_ledger(golden, tmp_path, break_it, message):
    tensors = load_file(golden / WEIGHTS)
    break_it(tensors)
    save_file(tensors, golden / WEIGHTS)
    with pytest.raises(LabError, match=message):
        import_cell(tmp_path / "runs", read_checkpoint(golden), experiment(latents()))
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize("written", ["ema.safetensors", "imported.safetensors"])
def test_a_full_disk_is_told_of_its_file_and_leaves_nothing_in_the_ledger(golden, tmp_path, monkeypatch, written):
    def full(tensors, path, metadata):
        if written in path.name:
            raise SafetensorError("No space left on device")  # as its writer says it
        save_file(tensors, path, metadata)

    monkeypatch.setattr(ema_weights, "save_file", full)
    with pytest.raises(OSError, match="No space left") as told:
        import_cell(tmp_path / "runs", read_checkpoint(golden), experiment(latents()))
    assert Path(told.value.filename).name == written
    assert not list((tmp_path / "runs").iterdir())


@pytest.mark.slow
def test_weights_that_are_imported_start_from_no_other_cell(golden, tmp_path):
    plain, started = experiment(latents()), experiment(latents(), training=FEW | {"init_from": {"cell": "0" * 12}})
    folders = {import_cell(tmp_path / "runs", read_checkpoint(golden), each) for each in (plain, started)}
    assert len(folders) == 1
    written = read_experiment(folders.pop()).model_dump()
    written["training"] |= {"init_from": {"cell": "0" * 12}}
    with pytest.raises(ValueError, match="init_from must be null where weights are imported"):
        Experiment.model_validate(written)


YAML = """
name: {name}
data: {{name: digits}}
model: {{size: nano, patch: 2, attention: {{conv_kernel: {kernel}}}}}
training: {{steps: 4, batch_size: 8, learning_rate: 2e-3}}
"""


@pytest.mark.slow
def test_the_shipped_experiment_that_fits_is_found(tmp_path):
    for name, kernel in (("imagenet256-B", 5), ("imagenet256-L", 3), ("other", 5)):
        (tmp_path / f"{name}.yaml").write_text(YAML.format(name=name, kernel=kernel))
    made_for = Experiment.model_validate(
        {"name": "x", "model": {"size": "nano", "patch": 2, "attention": {"conv_kernel": 3}}, "training": FEW}
    )
    checkpoint = read_checkpoint(random_checkpoint(tmp_path / "checkpoint", made_for))
    assert find_experiment(checkpoint, tmp_path) == tmp_path / "imagenet256-L.yaml"
    (tmp_path / "t2i-256.yaml").write_text(YAML.format(name="same", kernel=3))
    with pytest.raises(
        LabError, match=r"fits .*imagenet256-L\.yaml, .*t2i-256\.yaml in .*; name its experiment by --as"
    ):
        find_experiment(checkpoint, tmp_path)
    with pytest.raises(LabError, match=r"fits none of none in .*; name its experiment by --as"):
        find_experiment(checkpoint, tmp_path / "elsewhere")


EXPERIMENTS = Path(__file__).parents[2] / "experiments"


@pytest.mark.slow
@pytest.mark.parametrize(
    "name", [f"imagenet256-{size}" for size in "BLH"] + [f"t2i-{side}" for side in (256, 512, 1024)]
)
def test_a_checkpoint_of_every_published_model_finds_its_shipped_experiment(name):
    path = EXPERIMENTS / f"{name}.yaml"
    made_for = load_experiment(path)
    tensors = published_like(made_for.model, made_for.data.shape)[1]
    assert find_experiment(Checkpoint((Path("model.safetensors"),), tensors, "", []), EXPERIMENTS) == path
