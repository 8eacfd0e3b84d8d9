"""`lab export` and `lab import`, as a user types them, and every command on what they make."""

import shutil
import sys

import numpy as np
import pytest
import torch
import yaml
from safetensors.torch import load_file, save_file
from typer.testing import CliRunner

from lina_lab.cell.run import run_cell
from lina_lab.cli.main import app, main
from lina_lab.ledger.cells import read_experiment
from tests.cells import DIGITS, trained_cell

MODEL = DIGITS["model"] | {
    "attention": {"conv_kernel": 5, "kv_gate": "key_value"},
    "context": {"normalization": "subtraction"},
}
FEW = {
    "training": {"steps": 4, "batch_size": 8, "learning_rate": 2e-3},
    "sampling": {"autoregressive_steps": 8, "flow_steps": 3},
    "evaluation": {"num_samples": 50},
}


@pytest.fixture
def lab(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    def run(*words: object) -> str:
        result = CliRunner().invoke(app, [str(word) for word in words], catch_exceptions=False)
        assert result.exit_code == 0, result.output
        return result.output

    return run


@pytest.fixture
def exported(tmp_path, lab):
    """The key of a trained cell, whose weights are in out/, and its experiment in digits.yaml."""
    cell = trained_cell(tmp_path / "runs", DIGITS | FEW | {"model": MODEL})
    (tmp_path / "digits.yaml").write_text(yaml.safe_dump(DIGITS | FEW | {"model": MODEL}))
    assert "wrote 133 tensors to out/transformer/diffusion_pytorch_model.safetensors" in lab("export", cell.name, "out")
    return cell.name


@pytest.mark.slow
def test_exported_weights_are_imported_to_the_same_bits(lab, exported, tmp_path):
    said = lab("import", "out", "--as", "digits.yaml")
    key = said.partition(":")[0]
    assert key != exported
    assert said.startswith(f"{key}: 133 tensors of diffusion_pytorch_model.safetensors as digits.yaml\n")
    for cell in (exported, key):
        lab("sample", cell, "--each", 2, "--out", f"{cell}.png")
    drawn = [np.load(tmp_path / f"{cell}.npz")["arr_0"] for cell in (exported, key)]
    np.testing.assert_array_equal(*drawn)
    ours = [load_file(tmp_path / "runs" / cell / "ema.safetensors") for cell in (exported, key)]
    assert all(torch.equal(tensor, ours[1][name]) for name, tensor in ours[0].items())


@pytest.mark.slow
def test_other_commands_take_an_imported_cell(lab, exported, tmp_path):
    key = lab("import", "out", "--as", "digits.yaml").partition(":")[0]
    folder = tmp_path / "runs" / key
    name = read_experiment(folder).name
    assert name.startswith("digits-imported-")
    assert "1 waiting of 1 cells" in lab("status", name)
    assert "decoder layer 1, value" in lab("figures", "gates", key)
    assert "fid/digits-cnn" in lab("evaluate", key, "--num-samples", 60)
    assert run_cell(folder) == "done"
    assert "1 done of 1 cells" in lab("status", name)
    assert "imported" in lab("table", name).splitlines()[0]
    shutil.rmtree(tmp_path / "runs" / exported)  # a cell of no sweep
    assert "nothing to remove" in lab("clean", "--yes")


@pytest.mark.slow
def test_a_cell_is_profiled_like_its_experiment(lab, exported, tmp_path):
    out = tmp_path / "profile"
    options = ["--batch", 2, "--limit", 0.001, "--no-tracking", "--out", out]
    assert "digits: batch 2" in lab("profile", tmp_path / "runs" / exported, *options)


@pytest.mark.slow
def test_the_experiment_is_found_beside_the_current_folder(lab, exported, tmp_path):
    (tmp_path / "experiments").mkdir()
    (tmp_path / "digits.yaml").rename(tmp_path / "experiments" / "imagenet256-B.yaml")
    changes = ("--set", "sampling.guidance_scale=3", "--set", "training.init_from.cell=abcdef012345")
    said = lab("import", "out", *changes)
    assert "as experiments/imagenet256-B.yaml" in said
    assert "left out: training.init_from of experiments/imagenet256-B.yaml" in said
    cells = [read_experiment(path.parent) for path in (tmp_path / "runs").glob("*/imported.json")]
    assert [cell.sampling.guidance_scale for cell in cells] == [3]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["nowhere"], "error: nowhere: no such file or folder\n"),
        (["out"], ": fits none of imagenet256-B.yaml, imagenet256-H.yaml, "),
        (
            ["out", "--as", "digits.yaml", "--set", "model.size=micro"],
            "does not fit digits:\n  model.width: 64 in the experiment, 32 in the checkpoint\n",
        ),
        (["out/config.json", "--as", "digits.yaml"], "config.json: must be a folder, .safetensors, "),
    ],
)
def test_a_mistake_is_a_message_and_leaves_nothing(exported, tmp_path, monkeypatch, capsys, words, message):
    before = sorted(path.name for path in (tmp_path / "runs").iterdir())
    monkeypatch.setattr(sys, "argv", ["lab", "import", *words])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 2
    assert message in capsys.readouterr().err
    assert sorted(path.name for path in (tmp_path / "runs").iterdir()) == before


@pytest.mark.slow
def test_a_checkpoint_in_a_wrapper_and_a_pickle_is_the_same_cell(lab, exported, tmp_path):
    first = lab("import", "out", "--as", "digits.yaml").partition(":")[0]
    tensors = load_file(tmp_path / "out" / "transformer" / "diffusion_pytorch_model.safetensors")
    (tmp_path / "other").mkdir()
    torch.save({f"module.{name}": tensor for name, tensor in tensors.items()}, tmp_path / "other" / "weights.bin")
    save_file({"encoder.conv_in.weight": torch.zeros(1)}, tmp_path / "other" / "vae.safetensors")
    assert lab("import", "other", "--as", "digits.yaml").startswith(f"{first}: 133 tensors of weights.bin")
