"""The commands of a study, as a user types them: real ledger, real MLflow; the first sweep is a process of its own."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from lina_lab.cli.planning import planned_experiment
from lina_lab.errors import LabError
from tests.lab import lab

pytestmark = pytest.mark.xdist_group("sweep_cli")  # one study serves all

ROOT = Path(__file__).parents[2]
LAB = [sys.executable, "-m", "lina_lab.cli.main"]
EXPERIMENT = """\
name: small
model: {size: nano, patch: 2}
training: {steps: 6, batch_size: 8, learning_rate: 2e-3}
sampling: {autoregressive_steps: 3, flow_steps: 2}
evaluation: {num_samples: 40}
logging: {every: 2, validate_every: 6, checkpoint_every: 2}
"""
SWEEP = """\
name: little
question: Does it run?
experiment: small.yaml
axes:
  model.attention.normalization: [division, softmax]
  model.attention.feature_map: [relu, identity]
notify: {command: [sh, -c, 'cat >> "$1"; echo >> "$1"', sh, told.jsonl]}
"""


def process(folder: Path, *words: str) -> str:
    """What the command prints as a process of its own."""
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("LAB_", "MLFLOW_"))}
    done = subprocess.run(
        [*LAB, *words], cwd=folder, env=environment, capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    """A folder in which a sweep of two cells has run."""
    folder = tmp_path_factory.mktemp("study")
    (folder / "small.yaml").write_text(EXPERIMENT)
    (folder / "little.yaml").write_text(SWEEP)
    # A working folder and variables that are the user's business.
    (folder / "statistics.py").write_text("raise SystemExit('a script of the user')")
    (folder / "matplotlibrc").write_text("text.usetex: True\n")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MPLBACKEND", "module://nobody.has.it")
        patch.setenv("PYTHONPATH", ":")
        patch.setenv("PYTHONIOENCODING", "ascii")
        return folder, process(folder, "sweep", "little.yaml", "--workers", "2")


@pytest.fixture
def yaml_files(tmp_path):
    (tmp_path / "small.yaml").write_text(EXPERIMENT)
    (tmp_path / "little.yaml").write_text(SWEEP)
    return tmp_path


@pytest.mark.slow
def test_a_sweep_says_what_it_leaves_out_runs_the_rest_and_shows_results(study):
    _, output = study
    assert "left out: division identity: division needs a positive feature map" in output
    assert "left out: softmax identity: the same computation as softmax relu, which stands for both" in output
    assert "little: 2 cells on 2 workers" in output
    assert "fid/digits-cnn" in output
    assert "lab report little" in output
    said = json.loads((study[0] / "told.jsonl").read_text().splitlines()[0])
    assert (said["event"], said["state"], said["counts"]) == ("end", "done", {"done": 2})


@pytest.mark.slow
def test_each_cell_names_the_code_that_ran_and_how_it_computed(study):
    folder, _ = study
    cells = {path.parent.name: json.loads(path.read_text()) for path in folder.glob("runs/*/result.json")}
    plan = json.loads((folder / "runs" / "sweeps" / "little.json").read_text())
    for cell in cells.values():
        code = cell["provenance"]["code"]
        assert (code["path"], code["rooms"]) == (str(ROOT / "lina_lab"), plan["provenance"]["code"]["rooms"])
    sdpa = {cell["values"]["normalization"]: cells[cell["key"]]["provenance"]["arithmetic"] for cell in plan["cells"]}
    assert sdpa["softmax"]["sdpa"] == {"training": "flash_attention", "sampling": "flash_attention"}
    assert ("sdpa" in sdpa["division"], sdpa["division"]["matmul_precision"]) == (False, "highest")
    assert {"tf32_matmul", "tf32_cudnn", "cpu_capability"} <= sdpa["division"].keys()


@pytest.mark.slow
def test_a_second_sweep_runs_nothing(study):
    folder, _ = study
    before = {p: p.stat().st_mtime_ns for p in folder.glob("runs/*/result.json")}
    assert len(before) == 2
    told = (folder / "told.jsonl").read_text()
    lab(folder, "sweep", "little.yaml")
    assert {p: p.stat().st_mtime_ns for p in folder.glob("runs/*/result.json")} == before
    assert (folder / "told.jsonl").read_text() == told


@pytest.mark.slow
def test_status_and_report_read_the_ledger(study):
    folder, _ = study
    assert "2 done of 2 cells" in lab(folder, "status", "little").stdout
    lab(folder, "report", "little.yaml")
    report = folder / "reports" / "little"
    assert {"index.html", "table.csv", "scaling.png", "samples.png"} <= {p.name for p in report.iterdir()}


@pytest.mark.slow
def test_a_value_that_is_dropped_costs_no_result_and_no_plan(study):
    folder, _ = study
    results = sorted(folder.glob("runs/*/result.json"))
    try:
        (folder / "little.yaml").write_text(SWEEP.replace("[division, softmax]", "[division]"))
        said = lab(folder, "sweep", "little.yaml", "--no-tracking").stdout
        old = re.search(r"another plan of this name has run, with 2 cells. It is kept as (little@[0-9a-f]{8}):", said)[
            1
        ]
        lab(folder, "clean", "--yes")
        assert sorted(folder.glob("runs/*/result.json")) == results
        status = lab(folder, "status", "little").stdout
        assert f"little: an earlier plan, with 2 cells: lab status {old}, lab report {old}" in status
        assert "2 done of 2 cells" in lab(folder, "status", old).stdout
    finally:
        (folder / "little.yaml").write_text(SWEEP)
        lab(folder, "sweep", "little.yaml", "--no-tracking")


@pytest.mark.slow
def test_a_cell_can_be_sampled_and_measured_again(study):
    folder, _ = study
    key = next(folder.glob("runs/*/result.json")).parent.name
    lab(folder, "sample", key[:6], "--labels", "3,1", "--each", "2", "--guidance", "2", "--out", "out.png")
    assert (folder / "out.png").stat().st_size > 100
    again = lab(folder, "evaluate", key).stdout
    result = json.loads((folder / "runs" / key / "result.json").read_text())
    fid = next(line.split()[1] for line in again.splitlines() if line.startswith("eval/fid/digits-cnn"))
    assert float(fid) == pytest.approx(result["metrics"]["eval/fid/digits-cnn"], rel=1e-5)


@pytest.mark.slow
def test_train_runs_one_experiment(yaml_files):
    output = lab(yaml_files, "train", "small.yaml", "--set", "training.steps=4", "--no-tracking").stdout
    assert "small: 1 cells on 1 workers" in output
    assert len(list(yaml_files.glob("runs/*/result.json"))) == 1


@pytest.mark.slow
def test_a_dry_run_prints_cells_and_cost_and_makes_nothing(yaml_files):
    output = lab(yaml_files, "sweep", "little.yaml", "--dry-run").stdout
    until = r"\(\d+:\d\d until the workers are there; nano \d+:\d\d a cell\)"
    assert re.search(rf"about \d+:\d\d on \d+ workers of this machine {until}", output)
    assert "111,364" in output
    assert "2 cells" in output
    assert "training FLOPs to do" in output
    assert "GPU hours" not in output, "cells of seconds do not fill a GPU"
    assert not (yaml_files / "runs").exists()


def test_a_dry_run_at_the_papers_scale_needs_no_data_and_tells_gpu_hours(tmp_path):
    experiment = ROOT / "experiments" / "imagenet256-H.yaml"
    words = ("train", str(experiment), "--dry-run")
    output, doubled = (lab(tmp_path, *words, *more).stdout for more in ((), ("--tflops", "800")))
    assert "1,448,243,216" in output
    assert "not timed on this machine: it has no GPU" in output
    hours = [float(re.search(r"([\d.]+) GPU hours to do", text)[1]) for text in (output, doubled)]
    assert hours[0] == pytest.approx(2 * hours[1], rel=0.01)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["sweep", "nothing.yaml"], "nothing.yaml: no such file"),
        (["sweep", "little.yaml", "--set", "training.stepz=3"], "training.stepz: unknown key; did you mean steps?"),
        (["sweep", "little.yaml", "--set", "training"], "--set training: must be key=value"),
        (["sweep", "little.yaml", "--set", "model.num_heads=3"], "3 heads do not divide 32 channels"),
        (["sweep", "little.yaml", "--set", "model.patch=3"], "3 does not divide 8"),
        (["sweep", "little.yaml", "--set", "evaluation.num_samples=41"], "a multiple of the 10 classes"),
        (["train", "little.yaml"], "little.yaml: is a sweep, not an experiment: lab sweep little.yaml runs it"),
        (["status", "never"], "never: no sweep of that name has run"),
        (["report", "never"], "never: no sweep of that name has run"),
        (["sample", "abc"], "abc: no such cell"),
        (["evaluate", "abc"], "abc: no such cell"),
        (["size", "gigantic"], "gigantic"),
    ],
)
def test_a_mistake_is_one_message_and_exit_code_2(yaml_files, words, message):
    done = lab(yaml_files, *words, code=2)
    assert message in done.stderr
    assert done.stderr.startswith("error: ")


@pytest.mark.slow
def test_damage_is_named_and_nothing_else_is_lost(study):
    folder, _ = study
    path = min(folder.glob("runs/*/result.json"))
    whole = path.read_text()
    try:
        path.write_text(whole[: len(whole) // 2])
        done = lab(folder, "report", "little")
        assert "damaged" in done.stdout + (folder / "reports" / "little" / "index.html").read_text()
        assert "failed" in lab(folder, "status", "little").stdout
    finally:
        path.write_text(whole)


def test_help_is_fast_and_lists_the_commands(tmp_path):
    output = lab(tmp_path, "--help").stdout
    for command in [
        "sweep",
        "train",
        "sample",
        "evaluate",
        "report",
        "status",
        "retry",
        "clean",
        "cell",
        "axes",
        "size",
        "doctor",
        "ui",
        "sync",
    ]:
        assert f"  {command} " in output


def test_help_imports_nothing_heavy():
    code = "import sys, lina_lab.cli.main; print([m for m in sys.argv[1:] if m in sys.modules])"
    heavy = ["torch", "pandas", "mlflow", "pytorch_lightning", "matplotlib", "scipy", "pydantic", "yaml"]
    done = subprocess.run([sys.executable, "-c", code, *heavy], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_a_dry_run_says_which_cells_go_on_from_where_and_what_their_ends_take(study):
    study, _ = study
    (study / "longer.yaml").write_text(
        "name: longer\nquestion: Does it?\nexperiment: small.yaml\naxes: {training.steps: [4, 8]}\n"
    )
    printed = lab(study, "sweep", "longer.yaml", "--dry-run", "--no-timing").stdout
    short, long = (line.split()[0] for line in printed.splitlines()[1:3])
    assert printed.splitlines()[2].endswith(f"from {short}, step 4")
    assert re.search(r"about [\d.]+ MiB for the end states of 1 cells, from which longer ones go on", printed)
    whole = lab(study, "sweep", "longer.yaml", "--dry-run", "--no-timing", "--set", "checkpoint.keep_end=no").stdout
    assert "from" not in whole.splitlines()[2]
    flops = [float(re.search(r"cells; (\S+) training FLOPs", text)[1]) for text in (printed, whole)]
    assert flops[1] / flops[0] == pytest.approx(12 / 8, rel=0.01), "8 steps, in place of 4 and 8"
    assert long != short


def test_a_word_for_the_ends_that_is_none_is_named_with_its_key(study):
    study, _ = study
    said = lab(study, "sweep", "little.yaml", "--set", "checkpoint.keep_end=maybe", code=2).stderr
    assert "checkpoint.keep_end" in said
    assert "'auto'" in said


def test_an_extractor_without_weights_is_named_with_its_line_and_not_asked_for_by_a_dry_run(tmp_path, monkeypatch):
    monkeypatch.setenv("LAB_CLIP_WEIGHTS", str(tmp_path / "none.pt"))
    (tmp_path / "small.yaml").write_text(EXPERIMENT.replace("{num_samples: 40}", "{num_samples: 1000, also: [clip]}"))
    with pytest.raises(LabError, match=r"small\.yaml:5: evaluation\.also: clip needs weights that are not here: get "):
        planned_experiment(tmp_path / "small.yaml", [], tmp_path / "runs", dry_run=False)
    planned = planned_experiment(tmp_path / "small.yaml", [], tmp_path / "runs", dry_run=True)
    assert planned.own_experiments[0].evaluation.extractors == ["digits-cnn", "clip"]
