"""A result is named by what its files held: the same content anywhere is one cell, another content is another."""

import hashlib
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image
from torchvision import datasets

from lina_lab.cell import contents
from lina_lab.cell.contents import check_contents, content_of, settler
from lina_lab.cell.run import run_cell
from lina_lab.cli.planning import planned_experiment, planned_sweep
from lina_lab.config.data import DataConfig
from lina_lab.config.experiment import Experiment, cell_key
from lina_lab.config.load import load_experiment
from lina_lab.data.encoding import make_cache
from lina_lab.errors import LabError
from lina_lab.files import CACHE_VARIABLE
from lina_lab.ledger.cells import create_cell, read_experiment
from lina_lab.ledger.result import write_result
from lina_lab.sweep.planning import load_sweep
from tests.data.test_torchvision_sets import write_mnist
from tests.latents import coder, draw_folder, folder_data, save_autoencoder
from tests.study import fake_result


@pytest.fixture(autouse=True)
def weights(tmp_path_factory, monkeypatch):
    """A file where Inception's weights are looked for: planning asks only whether there is one."""
    path = tmp_path_factory.mktemp("weights") / "inception.pth"
    path.touch()
    monkeypatch.setenv("LAB_INCEPTION_WEIGHTS", str(path))


@pytest.fixture(autouse=True)
def place(tmp_path, monkeypatch):
    """An empty working folder, as a user's."""
    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def reference(path: str, mean: float = 0.0) -> Path:
    Path(path).parent.mkdir(exist_ok=True)
    np.savez(path, mu=np.full(32, mean), sigma=np.eye(32))
    return Path(path)


def folder(path: str, each: int = 3) -> Path:
    generator = np.random.default_rng(0)
    for name in ("few", "many"):
        (Path(path) / name).mkdir(parents=True)
        for number in range(each):
            pixels = generator.integers(0, 256, (16, 16, 3), np.uint8)
            Image.fromarray(pixels).save(Path(path) / name / f"{number}.png")
    return Path(path)


def digits(name: str = "x.yaml", **evaluation: object) -> Path:
    values = {
        "name": "digits",
        "model": {"size": "nano", "patch": 2},
        "training": {"steps": 4, "batch_size": 8, "learning_rate": 1e-3},
        "sampling": {"autoregressive_steps": 2, "flow_steps": 2},
        "evaluation": {"num_samples": 40} | evaluation,
    }
    Path(name).write_text(yaml.safe_dump(values, sort_keys=False))
    return Path(name)


def images(path: str, name: str = "y.yaml") -> Path:
    values = {
        "name": "images",
        "data": {"name": "images", "path": path, "num_classes": 2, "side": 16},
        "model": {"size": "nano", "patch": 4},
        "training": {"steps": 4, "batch_size": 4, "learning_rate": 1e-3},
        "evaluation": {"extractor": "inception"},
    }
    Path(name).write_text(yaml.safe_dump(values, sort_keys=False))
    return Path(name)


def key(file: Path, *settings: str) -> str:
    return planned_experiment(file, list(settings), Path("runs"), dry_run=False).plan.cells[0].key


def test_a_reference_is_known_by_its_content(place):
    reference("a/r.npz")
    first = key(digits(reference="a/r.npz"))
    Path("a").rename("b")
    assert key(digits(reference="b/r.npz")) == key(digits(reference=str(place / "b/r.npz"))) == first
    reference("b/r.npz", mean=3.0)
    assert key(digits(reference="b/r.npz")) != first
    assert key(digits()) == cell_key(load_experiment(digits())), "what names no file has the key that it had"


def test_a_folder_of_images_is_known_by_its_content_wherever_it_lies(place):
    folder("pictures")
    first = key(images("pictures"))
    Path("pictures").rename("moved")
    assert key(images("moved")) == key(images(str(place / "moved"))) == first
    (Path("moved") / ".DS_Store").write_bytes(b"hidden files are no part of a set")
    Path("link").symlink_to("moved")
    assert key(images("link")) == first
    shutil.copytree("moved", "copy")
    assert key(images("copy")) == first
    (Path("copy") / "few" / "0.png").rename(Path("copy") / "few" / "9.png")
    assert key(images("copy")) != first, "names decide the split"
    Image.new("RGB", (16, 16)).save("moved/few/1.png")
    assert key(images("moved")) != first


def torchvision(root: str, name: str = "t.yaml", dataset: str = "MNIST") -> Path:
    values = {
        "name": "whole",
        "data": {"name": "torchvision", "dataset": dataset, "root": root},
        "model": {"size": "nano", "patch": 4},
        "training": {"steps": 4, "batch_size": 4, "learning_rate": 1e-3},
        "evaluation": {"extractor": "inception"},
    }
    Path(name).write_text(yaml.safe_dump(values, sort_keys=False))
    return Path(name)


def test_a_set_of_torchvision_is_known_by_its_own_files_wherever_they_lie(place):
    write_mnist(Path("data"), "MNIST")
    first = key(torchvision("data"))
    Path("data").rename("moved")
    assert key(torchvision("moved")) == key(torchvision(str(place / "moved"))) == first
    write_mnist(Path("moved"), "KMNIST")
    (Path("moved") / "MNIST/raw/train-images-idx3-ubyte.gz").write_bytes(b"what was unpacked")
    assert key(torchvision("moved")) == first, "others beside it are no part of it"
    assert key(torchvision("moved", dataset="KMNIST")) != first
    labels = Path("moved/MNIST/raw/train-labels-idx1-ubyte")
    labels.write_bytes(labels.read_bytes()[:-1] + b"\x07")
    assert key(torchvision("moved")) != first


def test_a_set_that_is_not_there_refuses_a_run_and_not_a_dry_run(monkeypatch):
    tries = []
    monkeypatch.setattr(datasets.MNIST, "mirrors", ["http://127.0.0.1:9/"])
    monkeypatch.setattr(datasets.MNIST, "download", lambda _: tries.append("MNIST"))
    planned = planned_experiment(torchvision("data"), [], Path("runs"), dry_run=True)
    files = "train-images-idx3-ubyte, train-labels-idx1-ubyte, t10k-images-idx3-ubyte, t10k-labels-idx1-ubyte"
    told = [line.partition(";")[0] for line in planned.missing]
    assert told == [f"MNIST is not all there: missing in data/MNIST/raw: {files}"]
    assert tries == []
    Path("sweep.yaml").write_text("name: s\nquestion: q\nexperiment: t.yaml\naxes: {training.steps: [4, 5, 6]}\n")
    with pytest.raises(LabError, match=r"t\.yaml:\d+: data\.root: MNIST is not all there: .*; downloading failed: "):
        planned_sweep(Path("sweep.yaml"), [], Path("runs"), None, dry_run=False)
    assert len(tries) == 1, "once for all cells"


def test_files_of_torchvision_that_change_after_planning_stop_the_run():
    write_mnist(Path("data"), "MNIST")
    experiment = next(
        iter(planned_experiment(torchvision("data"), [], Path("runs"), dry_run=False).experiments.values())
    )
    check_contents(experiment)
    (Path("data") / "MNIST/raw/t10k-labels-idx1-ubyte").unlink()
    with pytest.raises(LabError, match=r"data\.root: MNIST is not all there: missing in data/MNIST/raw: t10k-labels"):
        check_contents(experiment)


def test_what_a_user_holds_a_folder_against_adds_nothing_to_its_content():
    folder("pictures")
    assert key(images("pictures"), "data.digest=0123456789ab") == key(images("pictures"))


def test_the_content_of_a_folder_is_its_names_and_bytes():
    folder("pictures")
    files = sorted(path for path in Path("pictures").rglob("*.png"))
    lines = [f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.parent.name}/{path.name}\n" for path in files]
    assert content_of(Path("pictures")) == hashlib.sha256("".join(lines).encode()).hexdigest()


def test_a_folder_is_read_once_and_what_changes_in_it_is_seen(monkeypatch):
    pictures, read = folder("pictures"), []
    monkeypatch.setattr(
        contents, "sha256_of", lambda path: read.append(path) or hashlib.sha256(path.read_bytes()).hexdigest()
    )
    monkeypatch.setattr(contents, "SETTLED_NS", 0)
    first = content_of(pictures)
    assert len(read) == 6
    assert content_of(pictures) == first
    assert len(read) == 6
    changed = pictures / "few" / "0.png"
    size, before = changed.stat().st_size, changed.stat()
    changed.write_bytes(bytes(size))
    os.utime(changed, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert content_of(pictures) != first, "of the same size and with the time set back"
    assert read[6:] == [changed]


def test_a_file_that_has_only_just_changed_is_read_again(monkeypatch):
    pictures, read = folder("pictures"), []
    monkeypatch.setattr(contents, "sha256_of", lambda path: read.append(path) or "0" * 64)
    content_of(pictures)
    content_of(pictures)
    assert len(read) == 12


def test_a_link_to_a_folder_around_it_is_not_followed():
    (folder("pictures") / "again").symlink_to(Path("pictures").resolve())
    assert content_of(Path("pictures"))


@pytest.mark.parametrize("dry_run", [False, True])
def test_a_missing_file_is_an_error_of_the_line_that_names_it(dry_run):
    with pytest.raises(LabError, match=r"^x\.yaml:\d+: evaluation\.reference: f/r\.npz: no such file$") as told:
        planned_experiment(digits(reference="f/r.npz"), [], Path("runs"), dry_run=dry_run)
    line = int(str(told.value).split(":")[1])
    assert Path("x.yaml").read_text().splitlines()[line - 1] == "  reference: f/r.npz"
    with pytest.raises(LabError, match=r"^--set: evaluation\.reference: g\.npz: no such file$"):
        planned_experiment(digits(), ["evaluation.reference=g.npz"], Path("runs"), dry_run=dry_run)
    Path("sweep.yaml").write_text(
        "name: s\nquestion: q\nexperiment: x.yaml\nset: {evaluation.reference: g.npz}\naxes: {training.steps: [4]}\n"
    )
    with pytest.raises(LabError, match=r"^sweep\.yaml:4: evaluation\.reference: g\.npz: no such file$"):
        planned_sweep(Path("sweep.yaml"), [], Path("runs"), None, dry_run=dry_run)


def test_a_reference_that_cannot_be_used_is_told_by_its_line_before_anything_runs():
    np.savez("r.npz", mu=np.zeros(32), sigma=np.eye(32) * 1j)
    with pytest.raises(LabError, match=r"x\.yaml:\d+: evaluation\.reference: r\.npz: sigma must be of real numbers"):
        planned_experiment(digits(reference="r.npz"), [], Path("runs"), dry_run=True)
    Path("f").mkdir()
    with pytest.raises(LabError, match=r"evaluation\.reference: f: is a folder, not an \.npz"):
        planned_experiment(digits(reference="f"), [], Path("runs"), dry_run=True)


@pytest.mark.parametrize("dry_run", [False, True])
def test_a_folder_that_is_not_there_is_an_error(dry_run):
    with pytest.raises(LabError, match=r"^y\.yaml:4: data\.path: pictures: no such folder$"):
        planned_experiment(images("pictures"), [], Path("runs"), dry_run=dry_run)


def test_the_cost_of_a_model_of_latents_is_told_before_there_are_any():
    values = yaml.safe_load(images("pictures").read_text())
    values["data"]["autoencoder"] = coder(Path("owner/name"))
    values["evaluation"]["reference"] = "r.npz"
    Path("y.yaml").write_text(yaml.safe_dump(values))
    planned = planned_experiment(Path("y.yaml"), ["model.patch=2"], Path("runs"), dry_run=True)
    assert planned.missing == ["r.npz: no such file"]
    with pytest.raises(LabError, match=r"^y\.yaml:\d+: evaluation\.reference: r\.npz: no such file$"):
        planned_experiment(Path("y.yaml"), ["model.patch=2"], Path("runs"), dry_run=False)


def test_ids_of_the_hub_stay_what_they_are():
    plain = load_experiment(digits())
    text = {"encoder": "hf", "path": "owner/name", "tokens": 4, "features": 8}
    data = plain.data.model_validate({"name": "shapes", "side": 32, "text": text})
    found, problems = settler()(plain.model_copy(update={"data": data}))
    assert (found.contents, problems) == ({}, [])
    local = data.model_copy(update={"text": data.text.model_copy(update={"path": "/not/there"})})
    _, problems = settler()(plain.model_copy(update={"data": local}))
    assert [(p.key, str(p)) for p in problems] == [
        ("data.text.path", "/not/there: no such folder, and no id of the hub (owner/name)")
    ]


def test_two_paths_to_one_content_are_one_cell_of_a_sweep():
    reference("a.npz")
    shutil.copy("a.npz", "b.npz")
    reference("c.npz", mean=1.0)
    digits()
    axis = "evaluation.reference: [a.npz, b.npz, c.npz]"
    Path("sweep.yaml").write_text(f"name: s\nquestion: q\nexperiment: x.yaml\naxes: {{{axis}}}\n")
    plan = load_sweep(Path("sweep.yaml"), settle=settler()).plan
    assert [cell.values["reference"] for cell in plan.cells] == ["a.npz", "c.npz"]
    assert "the same computation as" in plan.omitted[0].reason


def test_a_content_that_is_written_down_is_held_against_the_file():
    reference("r.npz")
    file = digits(reference="r.npz")
    found = hashlib.sha256(Path("r.npz").read_bytes()).hexdigest()
    plain, text = key(file), file.read_text()
    file.write_text(f"{text}contents:\n  r.npz: {found}\n")
    assert key(file) == plain
    file.write_text(f"{text}contents:\n  r.npz: {'a' * 64}\n")
    with pytest.raises(LabError, match=rf"x\.yaml:\d+: contents: r\.npz: must have SHA-256 a{{64}}, not {found}"):
        key(file)


def test_a_cell_whose_reference_was_replaced_or_removed_is_not_run():
    reference("r.npz")
    (experiment,) = planned_experiment(digits(reference="r.npz"), [], Path("runs"), dry_run=False).own_experiments
    made = create_cell(Path("runs"), experiment)
    assert read_experiment(made) == experiment
    kept = Path("r.npz").read_bytes()
    reference("r.npz", mean=3.0)
    with pytest.raises(LabError, match=r"^evaluation\.reference: r\.npz: has changed since this cell was planned"):
        run_cell(made)
    Path("r.npz").unlink()
    with pytest.raises(LabError, match=r"evaluation\.reference: r\.npz: no such file"):
        run_cell(made)
    assert not (made / "metrics.csv").exists()
    Path("r.npz").write_bytes(kept)
    check_contents(experiment)


def test_a_finished_cell_follows_its_folder_and_keeps_all_else():
    folder("pictures")

    def planned(path: str, *settings: str):
        return planned_experiment(images(path), list(settings), Path("runs"), dry_run=False).own_experiments[0]

    first = planned("pictures", "logging.every=5")
    made = create_cell(Path("runs"), first)
    write_result(made, fake_result(made.name, 0, 100, 5.0))
    Path("pictures").rename("moved")
    assert create_cell(Path("runs"), planned("moved", "logging.every=7")) == made
    now = read_experiment(made)
    assert (now.data.path, list(now.contents), now.logging.every) == ("moved", ["moved"], 5)


@pytest.mark.slow
def test_latents_are_known_by_their_cache_and_the_weights_by_their_files(place):
    """Under paths of another name the key is the same; before there is a cache the path stands for itself."""

    def found(data: DataConfig) -> Experiment:
        values = {
            "name": "latents",
            "data": data.model_dump(),
            "model": {"size": "nano", "patch": 2},
            "training": {"steps": 4, "batch_size": 4, "learning_rate": 1e-3},
            "evaluation": {"extractor": "inception"},
        }
        settled, problems = settler()(Experiment.model_validate(values))
        assert not problems
        return settled

    weights, pictures = save_autoencoder(place / "coder"), draw_folder(place / "pictures", each=4)
    data = folder_data(pictures, coder(weights), held_out=0.3)
    assert list(found(data).contents) == [str(weights)]
    manifest = make_cache(data)
    first = found(data)
    assert first.contents[str(pictures)] == manifest["sha256"]
    moved = folder_data(pictures.rename(place / "moved"), coder(weights.rename(place / "weights")), held_out=0.3)
    assert make_cache(moved)["sha256"] == manifest["sha256"]
    assert cell_key(found(moved)) == cell_key(first)
    check_contents(first.model_copy(update={"data": moved, "contents": found(moved).contents}))
    save_autoencoder(place / "weights", seed=1)
    with pytest.raises(LabError, match=r"data\.autoencoder\.path: .*weights: has changed since this cell was planned"):
        check_contents(
            found(moved).model_copy(update={"contents": {str(place / "weights"): first.contents[str(weights)]}})
        )


def test_a_file_is_read_once_however_many_settings_of_the_data_name_it(monkeypatch):
    folder("pictures", each=20)
    file, read, real = images("pictures"), [], contents.content_of
    monkeypatch.setattr(contents, "content_of", lambda path, *names: read.append(path) or real(path, *names))
    settle = settler()
    for share in (0.3, 0.4, 0.5):
        experiment, problems = settle(load_experiment(file, {"data.held_out": share}))
        assert not problems
        assert len(experiment.contents) == 1
    assert read == [Path("pictures")]
