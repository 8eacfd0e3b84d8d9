"""A byte that changed, wherever it stands: named, set aside or harmless, and never in a result."""

import random
import threading

import pytest
import torch
from safetensors.torch import load_file

from lina_lab.cell.run import run_cell
from lina_lab.errors import LabError
from lina_lab.ledger.cells import create_cell
from lina_lab.ledger.leases import Watch, attempts, claim
from lina_lab.ledger.metrics import read_metrics, rewind_metrics
from lina_lab.ledger.plan import load_plan
from lina_lab.ledger.result import is_done, read_result
from lina_lab.ledger.status import read_status, write_state
from lina_lab.training.recorder import checkpoints
from lina_lab.training.train import find_start
from tests.cells import experiment

pytestmark = pytest.mark.slow

SEED = 0


def outcome(folder):
    weights = {name: value.numpy().tobytes() for name, value in load_file(folder / "ema.safetensors").items()}
    sheets = {path.name: path.read_bytes() for path in sorted(folder.glob("samples/*.png"))}
    return [row[:3] for row in read_metrics(folder)], weights, sheets


@pytest.fixture
def undisturbed(whole):
    return outcome(whole)


def flipped(data: bytes, at: int) -> bytes:
    return data[:at] + bytes([data[at] ^ 0x10]) + data[at + 1 :]


def wounds(data: bytes) -> dict[str, bytes]:
    """One damage of every kind that a disk, a full disk or a power cut does."""
    chance = random.Random(SEED)
    directory, end = data.rfind(b"PK\x01\x02"), data.rfind(b"PK\x05\x06")
    pickle = data.find(b"data.pkl") + 64
    storages = [chance.randrange(len(data) // 4, len(data) * 3 // 4) for _ in range(4)]
    return {
        "empty": b"",
        "cut in half": data[: len(data) // 2],
        "without its last byte": data[:-1],
        "zeros": bytes(len(data)),
        "zeros at the end": data[: len(data) // 2] + bytes(len(data) - len(data) // 2),
        "first byte": flipped(data, 0),
        "pickle": flipped(data, pickle),
        "directory": flipped(data, directory + 16),
        "end record": flipped(data, end),
        **{f"storage {at}": flipped(data, at) for at in storages},
    }


def test_a_checkpoint_damaged_anywhere_changes_no_result(tmp_path, undisturbed):
    folder = create_cell(tmp_path / "runs", experiment())
    assert run_cell(folder, until=8) == "paused"
    newest, older = checkpoints(folder)
    whole = {path: path.read_bytes() for path in (newest, older)}
    metrics, ended = (folder / "metrics.csv").read_bytes(), []
    for name, damaged in wounds(whole[newest]).items():
        for path in folder.rglob("*"):
            if path.suffix == ".damaged" or path.name in {"result.json", "trained.json", "ema.safetensors"}:
                path.unlink()
        (folder / "metrics.csv").write_bytes(metrics)
        older.write_bytes(whole[older])
        newest.write_bytes(damaged)
        start = find_start(folder, experiment())
        if start.checkpoint == older and older in ended:  # from there it goes on as before
            continue
        assert run_cell(folder) == "done"
        assert outcome(folder) == undisturbed, name
        ended.append(start.checkpoint)


def test_averaged_weights_damaged_before_the_sampling_are_trained_again(tmp_path, undisturbed):
    folder = create_cell(tmp_path / "runs", experiment())
    run_cell(folder)
    weights, record = folder / "ema.safetensors", folder / "trained.json"
    whole = {path: path.read_bytes() for path in (weights, record)}
    chance = random.Random(SEED)
    for path, data in whole.items():
        for damaged in (b"", data[: len(data) // 2], flipped(data, chance.randrange(len(data)))):
            (folder / "result.json").unlink()
            weights.write_bytes(whole[weights])
            record.write_bytes(whole[record])
            path.write_bytes(damaged)
            assert run_cell(folder) == "done"
            assert outcome(folder) == undisturbed


def test_a_result_with_any_byte_changed_is_no_result_or_the_same(study):
    study = study()
    path = study.folder(0) / "result.json"
    whole, result = path.read_bytes(), read_result(study.folder(0))
    for at in range(len(whole)):
        path.write_bytes(flipped(whole, at))
        try:
            assert read_result(study.folder(0)) == result
        except LabError as error:
            assert "result.json" in str(error)
            assert not is_done(study.folder(0))
            assert path.with_name("result.json.damaged").exists()


@pytest.mark.parametrize("content", [b"", b"\x00" * 40, b"{", b"[1]", b"\xff\xfe", b'{"ended": 3, "pid": "x"}'])
def test_a_damaged_attempt_or_state_disturbs_nobody(tmp_path, content):
    folder = create_cell(tmp_path, experiment())
    claim(folder, Watch()).end("stopped")
    write_state(folder, step=3)
    (attempt,) = attempts(folder)
    whole = attempt.path.read_bytes()
    (folder / "state.json").write_bytes(content)
    assert read_status(folder).state == "waiting"
    for damaged in (content, *(flipped(whole, at) for at in range(len(whole)))):
        attempt.path.write_bytes(damaged)
        assert read_status(folder).state in {"waiting", "running", "failed", "pruned", "done", "diverged"}
        Watch().is_over(attempts(folder)[0])


def test_rows_that_a_power_cut_left_as_zeros_are_dropped_when_the_cell_goes_on(tmp_path, undisturbed):
    folder = create_cell(tmp_path / "runs", experiment())
    assert run_cell(folder, until=8) == "paused"
    with (folder / "metrics.csv").open("ab") as file:
        file.write(b"9,train/loss,1.2" + bytes(50))
    assert run_cell(folder) == "done"
    assert outcome(folder) == undisturbed


def test_a_plan_with_any_byte_changed_is_named_or_read(study):
    study = study()
    path = study.runs / "sweeps" / "fake.json"
    whole = path.read_bytes()
    chance = random.Random(SEED)
    for at in chance.sample(range(len(whole)), 400):
        path.write_bytes(flipped(whole, at))
        try:
            load_plan(study.runs, "fake")
        except LabError as error:
            assert "fake.json" in str(error)


def test_a_stop_at_a_step_is_no_pause(tmp_path):
    stop = threading.Event()
    stop.set()
    assert run_cell(create_cell(tmp_path, experiment()), stop, until=8) == "stopped"
    assert torch.load(checkpoints(create_cell(tmp_path, experiment()))[0], weights_only=True)["global_step"] == 1


def test_rewinding_past_a_damaged_row_names_its_line(tmp_path):
    folder = create_cell(tmp_path, experiment())
    (folder / "metrics.csv").write_text("step,metric,value,time\r\nx,train/loss,1.0,0\r\n1,train/loss,1.0,0\r\n")
    with pytest.raises(LabError, match=r"metrics.csv:2: must be step,metric,value,time"):
        rewind_metrics(folder, 5)
