"""`lab profile`: what it prints, writes and shows in MLflow, and what it refuses, as a user types it."""

import json
import shutil
import sys
from pathlib import Path

import pandas as pd
import pytest
import torch

from lina_lab.analysis.profile import MAIN, PROFILE_COLUMNS, effects, main_designs, read_profile
from lina_lab.cli.main import main
from lina_lab.profiling import attention, measure, model
from lina_lab.profiling.ceilings import Ceilings
from lina_lab.profiling.designs import designs
from lina_lab.tracking.store import connect, locked

SMALL = ["--attention", "--width", "24", "--heads", "3", "--tokens", "10", "--tokens", "20"]
DIGITS = Path(__file__).parents[2] / "experiments" / "digits.yaml"


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    """A machine of 1 GFLOP/s and 1 GB/s, and as few rounds as there can be."""
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.setattr(measure, "SECONDS_EACH", 0.0)
    for module in (attention, model):
        monkeypatch.setattr(module, "measure_ceilings", lambda device, dtype: Ceilings(1e9, 1e9))


@pytest.fixture
def lab_profile(tmp_path, capsys, monkeypatch):
    """`lab_profile(*words)`: exit code, stdout, stderr; it writes to tmp_path/out."""

    def run(*words: str) -> tuple[int, str, str]:
        places = ["--out", str(tmp_path / "out"), "--runs", str(tmp_path / "runs")]
        monkeypatch.setattr(sys, "argv", ["lab", "profile", *words, *places])
        with pytest.raises(SystemExit) as exit_:
            main()
        printed = capsys.readouterr()
        return int(exit_.value.code or 0), printed.out, printed.err

    return run


def files(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


@pytest.mark.slow
def test_the_attention_is_printed_written_and_can_be_drawn_again(lab_profile, tmp_path, capsys, monkeypatch):
    code, out, err = lab_profile(*SMALL, "--no-tracking", "--batch", "2", "--limit", "100")
    assert (code, err) == (0, "")
    assert "lengths, prefix + grid: 10 = 2 + 2 x 4, 20 = 4 + 4 x 4\n" in out
    assert "left out: feature_map identity: division needs a positive feature map" in out
    assert "N 5120, D 1536, 16 heads: 49,993,482,240 MAC against 128,849,018,880 of softmax: 61% less\n" in out
    assert "LINA with one thing changed, on 20 tokens; ratios are to LINA" in out
    table = read_profile(tmp_path / "out" / "attention.csv")
    assert tuple(table.columns[: len(PROFILE_COLUMNS)]) == PROFILE_COLUMNS
    assert len(table) == 2 * len(designs("fp32")[0])
    for name in [design.name for design in designs("fp32")[0]]:
        row = next(
            line.split() for line in out.split("with one thing changed")[1].splitlines() if line.startswith(name)
        )
        numbers = row[len(name.split()) :]
        found = effects(table).set_index("design").loc[name]
        assert numbers[2] == f"{found['time']:.3f}"
        assert numbers[5] == f"{found['macs']:.3f}"
    figures = {f"profile.{kind}" for kind in ("png", "pdf", "svg")}
    assert files(tmp_path / "out") == {"attention.csv", "attention.json"} | figures
    record = json.loads((tmp_path / "out" / "attention.json").read_text())
    assert record["provenance"]["versions"]["torch"]
    assert "feature_map identity" in record["left_out"][0]
    svg = (tmp_path / "out" / "profile.svg").read_text()
    assert "share of the roofline" in svg
    assert "subtraction + conv + gate" in svg
    assert "conv_kernel 7" not in svg  # of many designs the main ones
    again = ["lab", "figures", "profile", str(tmp_path / "out" / "attention.csv"), "--out", str(tmp_path / "again")]
    monkeypatch.setattr(sys, "argv", again)
    with pytest.raises(SystemExit):
        main()
    assert (tmp_path / "again" / "profile.svg").read_text() == svg
    assert not (tmp_path / "runs").exists()


@pytest.mark.slow
def test_what_is_beyond_the_limit_is_named_and_empty(lab_profile, tmp_path):
    code, out, _ = lab_profile(*SMALL, "--tokens", "20480", "--no-tracking", "--limit", "0.2")
    assert code == 0
    (line,) = (line for line in out.splitlines() if line.startswith("not measured"))
    assert line.startswith("not measured at 20,480 tokens, --limit being 0.2 s: LINA")
    assert all(design.name in line for design in designs("fp32")[0])
    assert "LINA with one thing changed, on 20 tokens" in out
    table = pd.read_csv(tmp_path / "out" / "attention.csv")
    far = table[table["tokens"] == 20480]
    assert len(far) == len(designs("fp32")[0])
    assert far["forward_ms"].isna().all()
    assert far["macs"].notna().all()
    assert far["reason"].str.startswith("would take about").all()


@pytest.mark.slow
def test_a_whole_model_is_printed_written_and_in_mlflow(lab_profile, tmp_path):
    words = [str(DIGITS), "--batch", "3", "--set", "sampling.autoregressive_steps=2", "--limit", "100"]
    code, out, err = lab_profile(*words)
    assert (code, err) == (0, "")
    assert "digits: batch 3, 2 tokens visible, the mean of what training draws" in out
    assert "training step of 3 images: " in out
    assert "sampling 3 images at once: " in out
    written = files(tmp_path / "out")
    assert written == {f"model-digits.{kind}" for kind in ("csv", "json", "png", "pdf", "svg")}
    table = pd.read_csv(tmp_path / "out" / "model-digits.csv")
    with locked(tmp_path / "runs"):
        client = connect(tmp_path / "runs")
    (run,) = client.search_runs([client.get_experiment_by_name("profile").experiment_id])
    assert (run.info.run_name, run.info.status) == ("digits", "FINISHED")
    assert run.data.params["batch"] == "3"
    for row in table.to_dict("records"):
        assert run.data.metrics[f"forward_ms/{row['part']}"] == pytest.approx(row["forward_ms"])
    assert "step_ms" in run.data.metrics
    artifacts = {file.path for file in client.list_artifacts(run.info.run_id)}
    assert artifacts == {"model-digits.csv", "model-digits.json", "model-digits.png"}


@pytest.mark.slow
def test_mlflow_has_a_curve_for_each_design_over_tokens(lab_profile, tmp_path, empty_store):
    (tmp_path / "runs").mkdir()
    shutil.copy(empty_store, tmp_path / "runs" / "mlflow.db")
    code, out, _ = lab_profile(*SMALL, "--limit", "100")
    assert code == 0
    assert "MLflow has it in the experiment profile" in out
    with locked(tmp_path / "runs"):
        client = connect(tmp_path / "runs")
    (run,) = client.search_runs([client.get_experiment_by_name("profile").experiment_id])
    table = pd.read_csv(tmp_path / "out" / "attention.csv")
    for name, rows in table.groupby("design"):
        curve = client.get_metric_history(run.info.run_id, f"peak_bytes/{name}")
        assert {point.step: point.value for point in curve} == dict(
            zip(rows["tokens"], rows["peak_bytes"], strict=True)
        )
    assert run.data.params["tokens"] == "10 20"
    assert {f.path for f in client.list_artifacts(run.info.run_id)} == {
        "attention.csv",
        "attention.json",
        "profile.png",
    }


REFUSED = {
    "neither": ([], "lab profile needs an experiment, or --attention, and not both"),
    "both": ([str(DIGITS), "--attention"], "lab profile needs an experiment, or --attention, and not both"),
    "width of an experiment": ([str(DIGITS), "--width", "24"], "--width is for --attention"),
    "set of attention": ([*SMALL, "--set", "model.size=nano"], "--set is for an experiment"),
    "length": (["--attention", "--tokens", "66"], "not 66: 13 + 1 x 53; the nearest that are: 65, 67"),
    "heads": (["--attention", "--width", "24", "--heads", "5"], "5 heads do not divide 24 channels"),
    "no such file": (["none.yaml"], "none.yaml: no such file"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_a_users_mistake_is_a_message_and_exit_code_2(case, lab_profile, tmp_path):
    words, message = REFUSED[case]
    code, _, err = lab_profile(*words)
    assert code == 2
    assert message in err
    assert err.startswith("error: ")
    assert len(err.splitlines()) == 1
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("words", [["--precision", "fp8"], ["--tokens", "0"], ["--device", "tpu"]])
def test_a_word_that_is_not_known_is_refused(words, lab_profile):
    code, _, err = lab_profile("--attention", *words)
    assert code == 2
    assert f"Invalid value for '{words[0]}'" in err


def test_kernels_that_need_a_gpu_are_refused_without_one(lab_profile):
    code, _, err = lab_profile(*SMALL, "--device", "cpu", "--backend", "triton")
    assert (code, err) == (2, "error: --backend must be auto or torch without a GPU, not triton\n")


@pytest.mark.slow
def test_how_it_was_computed_is_in_the_table_and_reaches_the_model(lab_profile, tmp_path, monkeypatch):
    seen = []
    monkeypatch.setattr(attention, "accelerate", lambda module, execution: seen.append(execution))
    lab_profile(*SMALL, "--backend", "torch", "--no-tracking", "--limit", "100")
    assert len(seen) == 2 * len(designs("fp32")[0])
    assert {e.attention_backend for e in seen} == {"torch"}
    assert set(pd.read_csv(tmp_path / "out" / "attention.csv")["backend"]) == {"torch"}


@pytest.mark.slow
def test_an_experiment_is_computed_as_the_options_say(lab_profile, tmp_path):
    words = ["--batch", "2", "--set", "sampling.autoregressive_steps=1", "--limit", "100", "--no-tracking"]
    code, _, _ = lab_profile(str(DIGITS), *words, "--backend", "torch")
    assert code == 0
    record = json.loads((tmp_path / "out" / "model-digits.json").read_text())
    assert record["experiment"]["execution"]["attention_backend"] == "torch"
    assert record["experiment"]["sampling"]["autoregressive_steps"] == 1


def test_a_gpu_that_is_not_there_is_refused(lab_profile, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    code, _, err = lab_profile(*SMALL, "--device", "cuda")
    assert (code, err) == (2, "error: --device must be auto or cpu here, not cuda: torch sees no GPU\n")


@pytest.mark.slow
def test_without_mlflow_everything_is_written_and_the_message_says_what_is_missing(lab_profile, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "mlflow.exceptions", None)
    code, _, err = lab_profile(*SMALL, "--limit", "100")
    assert code == 2
    assert "is not installed, so there is no run in MLflow: --no-tracking" in err
    assert (tmp_path / "out" / "attention.csv").exists()


@pytest.mark.slow
def test_busy_times_are_told_of(lab_profile, monkeypatch):
    monkeypatch.setattr("lina_lab.cli.profile_measure.NOISY", -1.0)
    _, out, _ = lab_profile(*SMALL, "--no-tracking", "--limit", "100")
    count = 2 * len(designs("fp32")[0])
    assert f"{count} of {count} times vary by more than -100% (quartiles): the machine was busy" in out


def test_effects_are_ratios_at_the_longest_length_that_lina_has():
    def row(design: str, tokens: int, forward: float | None, kept: float) -> dict:
        times = {"forward_ms": forward, "backward_ms": None if forward is None else 2 * forward}
        rest = {"activation_bytes": kept, "peak_bytes": 2 * kept, "macs": 10 * tokens, "roofline": 0.5}
        return {"design": design, "tokens": tokens} | times | rest

    rows = [row("LINA", 10, 1, 70), row("LINA", 20, 2, 70), row("LINA", 30, None, 70)]
    rows += [row("plain softmax", 20, 3, 35), row("other", 20, None, 7), row("plain softmax", 30, 9, 1)]
    found = effects(pd.DataFrame(rows)).set_index("design")
    assert list(found.index) == ["LINA", "plain softmax", "other"]
    assert set(found["tokens"]) == {20}
    assert found.loc["plain softmax", ["time", "activations", "peak", "macs"]].tolist() == [1.5, 0.5, 0.5, 1]
    assert pd.isna(found.loc["other", "time"])
    assert effects(pd.DataFrame(rows[2:])).empty


def test_a_profile_without_design_names_is_drawn_whole():
    table = pd.DataFrame({"design": ["LINA", "kv_gate key"], "tokens": [10, 10]})
    assert main_designs(table)["design"].tolist() == ["LINA"]
    assert main_designs(table.drop(columns="design")).equals(table.drop(columns="design"))
    assert len(main_designs(table.assign(design=["a", "b"]))) == 2
    assert MAIN[0] == "LINA"
