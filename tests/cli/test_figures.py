"""`lab figures`: what it writes and what it refuses, as a user types it."""

import re

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file
from typer.testing import CliRunner

from lina_lab.cli.main import app
from lina_lab.config.load import Document, build
from lina_lab.errors import LabError
from lina_lab.ledger.cells import create_cell
from lina_lab.model.lina import Lina
from lina_lab.training.as_numpy import checkpoint_weights
from tests.figures.test_efficiency import PROFILE

EXPERIMENT = {
    "name": "gated",
    "model": {"size": "nano", "patch": 2, "attention": {"kv_gate": "key_value"}},
    "training": {"steps": 7, "batch_size": 5, "learning_rate": 1e-3},
}


def lab(*words: str) -> str:
    result = CliRunner().invoke(app, list(words), catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.output


@pytest.fixture
def cell(tmp_path):
    """A cell with weights, one of them planted: decoder layer 1, head 1, value, image row 2, column 3."""

    def make(**attention):
        model = EXPERIMENT["model"] | ({"attention": attention} if attention else {})
        experiment = build(Document(EXPERIMENT | {"model": model}, {}))
        folder = create_cell(tmp_path / "runs", experiment)
        lina = Lina(experiment.model, experiment.data.shape, seed=0)
        if not attention:
            with torch.no_grad():
                lina.decoder[1].attention.gates["value"][1, 4 + 4 * 2 + 3] = -3
        save_file(lina.state_dict(), folder / "ema.safetensors")
        return folder, lina

    return make


@pytest.mark.slow
def test_gates_are_mapped_and_summed_up_by_the_start_of_a_key(cell, tmp_path):
    folder, _ = cell()
    output = lab("figures", "gates", folder.name[:6], "--runs", str(folder.parent))
    assert "decoder layer 1, value: mean 0.900, SD 0.624 (-3.000 to 1.000), 2.5% below 0" in output
    assert "decoder layer 0, key: mean 1.000, SD 0.000" in output
    written = {path.name for path in (folder / "figures").iterdir()}
    assert written == {"gates.csv", "gates-summary.csv", *(f"gates-decoder.{kind}" for kind in ("png", "pdf", "svg"))}
    assert "decoder,1,1,value,image,2,3,15,-3.0\n" in (folder / "figures" / "gates.csv").read_text()
    pixels = np.asarray(Image.open(folder / "figures" / "gates-decoder.png").convert("RGB")).reshape(-1, 3)
    blue = np.abs(pixels.astype(int) - [5, 48, 97]).max(axis=1) < 3  # the end of the colours below the start
    assert blue.any()
    lab("figures", "gates", str(folder), "--out", str(tmp_path / "other"))
    assert (tmp_path / "other" / "gates-decoder.png").exists()


@pytest.mark.slow
def test_gates_of_a_checkpoint_are_its_averaged_weights(cell, tmp_path):
    folder, lina = cell()
    state = {f"model.{name}": tensor for name, tensor in lina.state_dict().items()}
    live = {name: torch.zeros_like(tensor) for name, tensor in state.items()}
    callbacks = {"AveragedWeights": {"average": state, "num_updates": 3}}
    torch.save({"state_dict": live, "callbacks": callbacks, "global_step": 3}, tmp_path / "step-3.ckpt")
    (folder / "ema.safetensors").unlink()
    options = ("--checkpoint", str(tmp_path / "step-3.ckpt"), "--out", str(tmp_path / "out"))
    assert "layer 1, value: mean 0.900, SD 0.624" in lab("figures", "gates", str(folder), *options)


@pytest.mark.slow
def test_many_heads_have_an_overview_and_an_atlas_on_request(cell, tmp_path, monkeypatch):
    monkeypatch.setattr("lina_lab.figures.gates.MANY", 3)
    folder, _ = cell()
    lab("figures", "gates", str(folder), "--out", str(tmp_path / "a"))
    lab("figures", "gates", str(folder), "--out", str(tmp_path / "b"), "--atlas")
    atlas = {"gates-decoder-atlas.png", "gates-decoder-atlas.pdf"}
    assert {p.name for p in (tmp_path / "b").iterdir()} == {p.name for p in (tmp_path / "a").iterdir()} | atlas


def test_a_cell_without_gates_or_weights_is_told_what_would_help(cell):
    folder, _ = cell(conv_kernel=5)
    with pytest.raises(LabError, match=r"there are no gates of positions.*the axis model.attention.kv_gate gives them"):
        lab("figures", "gates", str(folder))
    assert not (folder / "figures").exists()
    (folder / "ema.safetensors").unlink()
    with pytest.raises(LabError, match=r"ema.safetensors: no such file: .* --checkpoint"):
        lab("figures", "gates", str(folder))


def test_a_users_mistake_is_a_message_and_exit_code_2(cell, monkeypatch, capsys):
    from lina_lab.cli.main import main

    folder, _ = cell(conv_kernel=5)
    monkeypatch.setattr("sys.argv", ["lab", "figures", "gates", str(folder)])
    with pytest.raises(SystemExit) as stopped:
        main()
    assert stopped.value.code == 2
    assert re.match("error: there are no gates of positions: .*model.attention.kv_gate", capsys.readouterr().err)


def test_what_is_no_checkpoint_is_named(tmp_path):
    with pytest.raises(LabError, match=r"a.ckpt: no such file"):
        checkpoint_weights(tmp_path / "a.ckpt")
    (tmp_path / "a.ckpt").write_bytes(b"nothing")
    with pytest.raises(LabError, match=r"a.ckpt: is no checkpoint of a cell, or damaged"):
        checkpoint_weights(tmp_path / "a.ckpt")


@pytest.mark.slow
def test_the_paper_is_drawn_with_ones_own_results_from_the_ledger(study, tmp_path, monkeypatch):
    monkeypatch.setattr("lina_lab.figures.paper.WIDTHS", {2: ""})
    made = study(seeds=[0, 1])
    out = tmp_path / "paper"
    output = lab("figures", "paper", "--out", str(out), "--with", "fake", "--runs", str(made.runs))
    assert output == f"wrote lina-scaling, lina-loss, context, published-and-own and captions.md to {out}\n"
    assert (out / "published-and-own.svg").exists()
    with pytest.raises(LabError, match="no sweep of that name"):
        lab("figures", "paper", "--out", str(tmp_path / "none"), "--with", "unknown", "--runs", str(made.runs))
    assert not (tmp_path / "none").exists()


@pytest.mark.slow
def test_a_profile_is_drawn(tmp_path):
    (tmp_path / "profile.csv").write_text(PROFILE)
    out = tmp_path / "out"
    assert (
        lab("figures", "profile", str(tmp_path / "profile.csv"), "--out", str(out)) == f"wrote {out / 'profile.png'}\n"
    )


@pytest.mark.slow
def test_parallel_coordinates_are_written_and_a_study_of_one_cell_is_refused(study, tmp_path):
    made, out = study(), tmp_path / "out"
    told = lab("figures", "parallel", "fake", "--runs", str(made.runs), "--out", str(out))
    assert told == f"wrote {out / 'parallel.png'}, .pdf and .svg\n"
    assert sorted(path.name for path in out.iterdir()) == [f"parallel.{kind}" for kind in ("pdf", "png", "svg")]
    for index in range(1, 8):
        made.unfinish(index, "waiting")
    with pytest.raises(LabError, match="fake: must have two designs or sizes"):
        lab("figures", "parallel", "fake", "--runs", str(made.runs), "--out", str(out))
