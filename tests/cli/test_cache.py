"""`lab cache`, and a cell of latents from its images to its samples, through the command line."""

import os
import signal
import subprocess
import sys
import time
from multiprocessing import forkserver
from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image
from typer.testing import CliRunner

from lina_lab.cli import main as cli
from lina_lab.config.load import load_experiment
from lina_lab.data import cache
from lina_lab.data.emoji import names
from lina_lab.data.text import CACHE_VARIABLE
from lina_lab.errors import LabError
from lina_lab.ledger.result import read_result
from tests.latents import coder, draw_folder, save_autoencoder


@pytest.fixture
def place(tmp_path, monkeypatch):
    """A folder with an experiment on latents of emoji; the cache and the ledger stand beside it."""
    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path / "cache"))
    autoencoder = coder(save_autoencoder(tmp_path / "coder", channels=4, stride=2), channels=4, stride=2)
    values = {
        "name": "latent-emoji",
        "data": {"name": "emoji", "side": 32, "autoencoder": autoencoder},
        "model": {"size": "nano", "patch": 4},
        "training": {"steps": 4, "batch_size": 8, "learning_rate": 1e-3},
        "sampling": {"autoregressive_steps": 2, "flow_steps": 2},
        "evaluation": {"extractor": "emoji-cnn-32", "num_samples": 70},
        "logging": {"validate_every": 2, "checkpoint_every": 2},
    }
    (tmp_path / "x.yaml").write_text(yaml.safe_dump(values))
    return tmp_path


@pytest.fixture
def own_workers(place):
    """Workers are forked from a process with the environment of its start: that of another test."""
    forkserver._forkserver._stop()
    yield
    forkserver._forkserver._stop()


def on_images(place: Path, each: int, **data: object) -> Path:
    """The experiment on a folder of noise instead."""
    values = yaml.safe_load((place / "x.yaml").read_text())
    pictures = draw_folder(place / "pictures", each, side=64)
    values["data"] |= {"name": "images", "path": str(pictures), "num_classes": 2} | data
    (place / "y.yaml").write_text(yaml.safe_dump(values | {"evaluation": {"extractor": "inception"}}))
    return place / "y.yaml"


def lab(*words: object) -> str:
    result = CliRunner().invoke(cli.app, [*map(str, words)], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.output


@pytest.mark.slow
@pytest.mark.usefixtures("own_workers")
def test_a_cell_of_latents_ends_with_images_of_the_side_of_its_pixels(place):
    file, runs = place / "x.yaml", place / "runs"
    with pytest.raises(
        LabError, match=f"has no finished cache of the latents of emoji: run lab cache {file} --set seed=1"
    ):
        lab("train", file, "--set", "seed=1", "--runs", runs, "--no-tracking")
    assert not list(runs.glob("*/attempts"))
    said = lab("cache", file, "--device", "cpu").splitlines()
    assert said[0].startswith("1,911 images, shards: 1; ")
    assert said[-1].startswith("1,911 images encoded in ")
    lab("train", file, "--runs", runs, "--no-tracking")
    folder = next(path for path in runs.iterdir() if (path / "result.json").exists())
    result = read_result(folder)
    assert result.state == "done"
    assert result.evaluation.num_reference == sum(row["split"] == "held-out" for row in names())
    assert result.evaluation.data_sha256.startswith(said[-2].rpartition(" ")[2])
    assert np.load(folder / "samples" / "generated.npz")["arr_0"].shape == (70, 32, 32, 3)
    with Image.open(folder / "samples" / "step-0000002.png") as sheet:
        assert sheet.size[0] == 9 * (3 * 32 + 2) + 2  # the nine categories that are drawn, three times as large

    out = place / "drawn.png"
    lab("sample", folder, "--runs", runs, "--labels", "0,3", "--each", 3, "--out", out)
    drawn = np.load(out.with_suffix(".npz"))["arr_0"]
    assert drawn.shape == (6, 32, 32, 3)
    assert drawn.dtype == np.uint8
    lab("evaluate", folder, "--runs", runs, "--num-samples", 66)

    save_autoencoder(place / "coder", channels=4, stride=2, seed=1)
    from lina_lab.data.autoencoder import load_autoencoder

    load_autoencoder.cache_clear()
    with pytest.raises(LabError, match=r"coder: has other weights than latents were encoded with: must be"):
        lab("sample", folder, "--runs", runs, "--out", out)
    said = lab("cache", folder, "--device", "cpu")
    assert "made with other weights; it is made again" in said
    with pytest.raises(LabError, match=r"data\.autoencoder\.path: .*coder: has changed since this cell"):
        lab("evaluate", folder, "--runs", runs)
    load_autoencoder.cache_clear()


@pytest.mark.slow
@pytest.mark.usefixtures("own_workers")
def test_two_workers_make_the_same_bytes_as_one_and_ctrl_c_leaves_what_goes_on(place, monkeypatch):
    # Moments of 4 MB an image, so that 20 make two shards.
    autoencoder = coder(save_autoencoder(place / "wide", channels=256, stride=1), channels=256, stride=1)
    file = on_images(place, 10, side=64, held_out=0.3, autoencoder=autoencoder)
    command = [sys.executable, "-m", "lina_lab.cli.main", "cache", str(file), "--device", "cpu"]
    root = cache.place(load_experiment(file).data)
    other = place / "other" / root.relative_to(place / "cache")
    lab("cache", file, "--device", "cpu", "--workers", 1)
    environment = os.environ | {CACHE_VARIABLE: str(place / "other"), "PYTHONUNBUFFERED": "1"}
    process = subprocess.Popen(  # behind this process, which must see it before it ends
        ["nice", "-n", "19", *command, "--workers", "2"],
        env=environment,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    while not any((other / name / "moments.bin.part").exists() for name in ("00000", "00001")):
        time.sleep(0.005)
        assert process.poll() is None
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does: to all of them
    out, _ = process.communicate(timeout=60)
    assert process.returncode == 130
    assert out.splitlines()[-1] == "stopped; the same command goes on where it is"
    assert "Traceback" not in out
    assert not (other / "manifest.json").exists()
    monkeypatch.setenv(CACHE_VARIABLE, str(place / "other"))
    lab("cache", file, "--device", "cpu", "--workers", 2)
    for name in ("manifest.json", "00000/moments.bin", "00001/moments.bin", "00001/shard.json"):
        assert (other / name).read_bytes() == (root / name).read_bytes()


@pytest.mark.slow
def test_what_is_wrong_is_named(place):
    file = on_images(place, 20, side=16, held_out=0.3)
    (place / "pictures" / "cat" / "003.png").write_bytes(b"no image")
    with pytest.raises(LabError, match=r"pictures/cat/003\.png: cannot be read as an image"):
        lab("cache", file, "--device", "cpu")
    with pytest.raises(LabError, match="a model of pixels needs no cache"):
        lab("cache", Path(__file__).parents[2] / "experiments" / "digits.yaml")


@pytest.mark.slow
def test_a_gpu_that_is_not_there_is_named(place, monkeypatch):
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    with pytest.raises(LabError, match="--device cuda: torch sees no GPU here"):
        lab("cache", place / "x.yaml", "--device", "cuda")
