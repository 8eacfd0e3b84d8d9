"""Sets of images on disk: the same bytes from one process and from three, after a kill, and after damage."""

import json
import signal
import subprocess
import sys
import time
import zipfile

import numpy as np
import pytest
import torch
from PIL import Image

from lina_lab.cell.reevaluate import load_measured_cell, measure_cell
from lina_lab.cell.run import run_cell
from lina_lab.checkpoints.ema_weights import load_trained
from lina_lab.config.experiment import Experiment
from lina_lab.config.load import with_sections
from lina_lab.data.datasets import load_dataset
from lina_lab.errors import LabError
from lina_lab.ledger.cells import create_cell
from lina_lab.ledger.metrics import read_metrics
from lina_lab.ledger.result import read_result
from lina_lab.sampling import workers
from lina_lab.sampling.generate import generate
from lina_lab.sampling.image_set import DrawingProgress, DrawnSet, _pace, draw_missing, shuffled, write_pngs, write_set
from lina_lab.sampling.request import requests
from lina_lab.sampling.workers import draw_set, drawer
from tests.cells import trained_cell

COUNT = 880  # four chunks, the last of 130
DIGITS = {"name": "digits", "model": {"size": "nano", "patch": 2}, "evaluation": {"num_samples": COUNT}}


@pytest.fixture(scope="module")
def cell(tmp_path_factory):
    return trained_cell(tmp_path_factory.mktemp("runs"), DIGITS)


def nothing(progress):
    """Told of nothing."""


def drawing(cell):
    experiment, model = load_trained(cell)
    return drawer(experiment, model, load_dataset(experiment.data))


@pytest.fixture(scope="module")
def alone(cell, tmp_path_factory):
    """The set as one process draws it."""
    drawn = DrawnSet(tmp_path_factory.mktemp("alone") / "set", COUNT)
    draw_set(cell, {}, drawn, drawing(cell), nothing)
    return drawn


def files(drawn):
    return {path.name: path.read_bytes() for path in drawn.folder.glob("*.npy")}


@pytest.mark.slow
def test_the_set_is_what_the_sampler_draws_in_one_go(cell, alone):
    experiment, model = load_trained(cell)
    request, condition = requests(experiment, load_dataset(experiment.data))
    assert request.labels.bincount().tolist() == [88] * 10
    images = generate(model, condition, experiment.sampling, experiment.seed)
    assert torch.equal(torch.cat(list(alone.chunks())), images)
    assert [len(chunk) for chunk in alone.chunks()] == [250, 250, 250, 130]
    assert 0 < alone.seconds() < 60


@pytest.mark.slow
def test_three_processes_draw_the_same_bytes_as_one(cell, tmp_path):
    """Also with other settings than the cell's. The first of them waits until the others have drawn something."""
    sections = {"sampling": {"guidance_scale": 3.0, "autoregressive_steps": 5, "flow_steps": 2}, "seed": 9}
    experiment, model = load_trained(cell)
    draw, own = drawer(with_sections(experiment, sections), model, load_dataset(experiment.data)), []
    alone, drawn = (DrawnSet(tmp_path / name, COUNT) for name in ("alone", "together"))

    def patient(first, last, progress):
        deadline = time.monotonic() + 120
        while len(drawn.chunk_paths()) < 2 and not own:
            assert time.monotonic() < deadline, "the others drew nothing"
            time.sleep(0.05)
        own.append(first)
        return draw(first, last, progress)

    draw_set(cell, sections, alone, draw, nothing)
    draw_set(cell, sections, drawn, patient, nothing, num_processes=3)
    assert files(drawn) == files(alone)
    assert len(own) <= 2


@pytest.mark.slow
def test_a_process_ends_with_the_one_that_started_it(cell, tmp_path):
    folder = tmp_path / "set"
    sections = {"sampling": {"autoregressive_steps": 16, "flow_steps": 1000}}
    command = [sys.executable, "-m", "lina_lab.sampling.workers"]
    command += [str(cell), str(folder), "0", json.dumps(sections), str(cell)]
    with subprocess.Popen(command, stdin=subprocess.PIPE) as process:
        while not list(folder.glob("*.begun")):
            assert process.poll() is None
            time.sleep(0.05)
        process.stdin.close()
        assert process.wait(120) == 1


@pytest.mark.slow
def test_a_damaged_chunk_is_drawn_again_and_no_other(cell, alone, tmp_path):
    drawn, draw, own = DrawnSet(tmp_path / "set", COUNT), drawing(cell), []
    drawn.folder.mkdir()
    for name, content in files(alone).items():
        (drawn.folder / name).write_bytes(content)
    content = bytearray(drawn.chunk_paths()[250].read_bytes())
    content[-1] ^= 1
    drawn.chunk_paths()[250].write_bytes(content)
    drawn.chunk_paths()[750].write_bytes(b"")

    def counted(first, last, progress):
        own.append(first)
        return draw(first, last, progress)

    draw_set(cell, {}, drawn, counted, nothing)
    assert files(drawn) == files(alone)
    assert sorted(own) == [250, 750]


def test_chunks_that_another_has_begun_come_last_but_come(cell, tmp_path):
    """Its process may be gone, and may be at work."""
    drawn, own = DrawnSet(tmp_path / "set", COUNT), []
    drawn.folder.mkdir()
    (drawn.folder / "000250.begun").touch()

    def grey(first, last, progress):
        own.append(first)
        return torch.full((last - first, 3, 2, 2), 7, dtype=torch.uint8)

    draw_missing(drawn, grey, nothing, first=0.8)
    assert own == [750, 0, 500, 250]
    assert drawn.missing() == []


@pytest.mark.slow
def test_a_cell_that_is_killed_while_sampling_goes_on_with_what_it_has(tmp_path, monkeypatch):
    few = {
        "training": {"steps": 4, "batch_size": 8, "learning_rate": 2e-3},
        "sampling": {"autoregressive_steps": 3, "flow_steps": 2},
    }
    experiment = Experiment.model_validate(DIGITS | few)
    whole, killed = (create_cell(tmp_path / name, experiment) for name in ("whole", "killed"))
    run_cell(whole)
    calls = []

    def third_kills(*arguments, **more):
        calls.append(arguments[5][0])
        if len(calls) == 3:
            raise SystemExit
        return generate(*arguments, **more)

    monkeypatch.setattr(workers, "generate", third_kills)
    with pytest.raises(SystemExit):
        run_cell(killed)
    assert not (killed / "samples" / "generated.npz").exists()
    run_cell(killed)
    assert calls == [0, 250, 500, 750, 500]  # the chunk that was begun comes last
    assert (killed / "samples" / "generated.npz").read_bytes() == (whole / "samples" / "generated.npz").read_bytes()
    assert [row[:3] for row in read_metrics(killed)] == [row[:3] for row in read_metrics(whole)]
    assert not list(killed.glob("samples/drawn-*"))
    assert read_result(killed).seconds["sampling"] > 0


@pytest.mark.slow
def test_a_killed_evaluation_goes_on_with_the_chunks_that_it_left(cell):
    """Killed by the kernel, in the middle of 1,500 images."""
    words = ["evaluate", str(cell), "--num-samples", "1500", "--flow-steps", "40", "--workers", "1"]
    with subprocess.Popen([sys.executable, "-m", "lina_lab.cli.main", *words]) as process:
        while len(list(cell.glob("evaluations/*/*.npy"))) < 2:
            assert process.poll() is None
            time.sleep(0.02)
        process.send_signal(signal.SIGKILL)
    kept = {path.name: path.stat().st_mtime_ns for path in cell.glob("evaluations/*/*.npy")}
    assert 2 <= len(kept) < 6
    subject = load_measured_cell(cell, {"evaluation": {"num_samples": 1500}, "sampling": {"flow_steps": 40}}, None)
    seen = []

    def watch(progress):
        seen.append({path.name: path.stat().st_mtime_ns for path in cell.glob("evaluations/*/*.npy")})

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("lina_lab.sampling.image_set.TELL_SECONDS", 0)
        found = measure_cell(subject, watch)
    assert seen
    assert all(kept.items() <= now.items() for now in seen)
    assert found.metrics["eval/fid/digits-cnn"] > 0
    assert not found.path.with_suffix("").exists()


@pytest.mark.slow
def test_the_npz_is_what_adms_evaluator_reads(alone, tmp_path):
    """As it does: the member arr_0.npy, its header, and bytes of rows; and as numpy does."""
    path, labels = tmp_path / "set.npz", np.arange(COUNT) // 88
    write_set(alone, path, {"labels": labels})
    with zipfile.ZipFile(path) as archive, archive.open("arr_0.npy") as file:
        assert np.lib.format.read_magic(file) == (1, 0)
        shape, fortran, dtype = np.lib.format.read_array_header_1_0(file)
        assert (shape, fortran, dtype) == ((COUNT, 8, 8, 3), False, np.dtype("uint8"))
        first = np.frombuffer(file.read(192), np.uint8).reshape(8, 8, 3)
    drawn = torch.cat(list(alone.chunks())).permute(0, 2, 3, 1).numpy()
    with np.load(path) as file:
        images, numbers = file["arr_0"], file["numbers"]
        np.testing.assert_array_equal(images[0], first)
        np.testing.assert_array_equal(images, drawn[numbers])
        np.testing.assert_array_equal(file["labels"], labels[numbers])
    assert sorted(numbers) == list(range(COUNT))
    # A random order: neighbours are of one class as often as by chance, not nearly always.
    assert (np.diff(labels[numbers]) == 0).mean() < 0.2
    np.testing.assert_array_equal(numbers, shuffled(COUNT))


@pytest.mark.slow
def test_pngs_are_the_images_by_number_and_no_others(alone, tmp_path):
    write_pngs(alone, tmp_path / "png")
    drawn = torch.cat(list(alone.chunks())).permute(0, 2, 3, 1).numpy()
    paths = sorted((tmp_path / "png").iterdir())
    assert len(paths) == COUNT
    np.testing.assert_array_equal(np.asarray(Image.open(paths[263])), drawn[263])
    assert paths[263].name == "000263.png"
    (tmp_path / "png" / "cat.png").touch()
    with pytest.raises(LabError, match=r"must hold images of this set alone, not cat\.png"):
        write_pngs(alone, tmp_path / "png")


def test_the_time_left_is_told_from_the_pace_of_this_attempt(tmp_path, monkeypatch):
    """Half of the set was there before: 130 images of the other half in 10 s, and 120 are left."""
    drawn, told, clock = DrawnSet(tmp_path, 500), [], [0.0]
    (tmp_path / "000250-0.npy").touch()
    monkeypatch.setattr("time.monotonic", lambda: clock[0])
    show = _pace(drawn, told.append)
    clock[0] = 0.5
    show(50)
    clock[0] = 10.0
    show(130)
    assert told == [DrawingProgress(380, 500, pytest.approx(10 / 130 * 120))]
    assert str(told[0]) == "380 of 500 images, about 9 s left"


def test_processes_that_would_load_changed_files_draw_nothing(tmp_path, monkeypatch):
    monkeypatch.setattr(workers.subprocess, "Popen", lambda *_, **__: pytest.fail("another process was started"))
    monkeypatch.setattr(workers, "changed_files", lambda: ["model/sampler.py"])
    with workers._others(tmp_path, {}, DrawnSet(tmp_path, 10), 3):
        pass
