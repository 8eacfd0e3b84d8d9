"""What MLflow holds against what the ledger holds, on real sqlite stores."""

import io
import math
import shutil
import socket
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
from PIL import Image

from lina_lab.analysis.table import results_table
from lina_lab.config.sweep import cell_label
from lina_lab.errors import LabError
from lina_lab.files import write_atomic
from lina_lab.ledger.cells import create_cell
from lina_lab.ledger.leases import Watch, claim, end_attempt, last_attempt
from lina_lab.ledger.metrics import append_metrics, read_metrics, rewind_metrics
from lina_lab.ledger.plan import Plan, load_plan, store_plan
from lina_lab.ledger.result import Result, write_result
from lina_lab.ledger.status import write_state
from lina_lab.provenance import Provenance
from lina_lab.sweep.planning import load_sweep
from lina_lab.tracking.charts import GROUP_TAG
from lina_lab.tracking.mirror import Synced
from lina_lab.tracking.run_record import read_facts
from lina_lab.tracking.shipper import Shipper, sync
from lina_lab.tracking.store import connect, locked, store_uri, without_password
from lina_lab.tracking.table import mlflow_table
from tests.study import PROVENANCE

EXPERIMENTS = Path(__file__).parents[2] / "experiments"
SWEEP = f"""
name: two-designs
question: Does a convolution help?
experiment: {EXPERIMENTS / "digits.yaml"}
axes:
  model.attention.conv_kernel: [0, 5]
seeds: [0, 1]
"""


@pytest.fixture
def bare(tmp_path, monkeypatch):
    """A planned sweep without a store: (runs, plan)."""
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    sweep = tmp_path / "sweep.yaml"
    sweep.write_text(SWEEP)
    runs = tmp_path / "runs"
    planned = load_sweep(sweep)
    for experiment in planned.own_experiments:
        create_cell(runs, experiment)
    store_plan(runs, planned.plan, Provenance(commit="0123abc"))
    return runs, load_plan(runs, "two-designs")


@pytest.fixture
def study(bare, empty_store):
    """The same with an empty store."""
    shutil.copy(empty_store, bare[0] / "mlflow.db")
    return bare


def train(folder: Path, first: int = 1, last: int = 7) -> None:
    """Rows of steps first to last, with a sheet at the last."""
    claim(folder, Watch())
    write_state(folder, step=last, steps=11)
    for step in range(first, last + 1):
        append_metrics(folder, step, {"train/loss": 1 / step, "val/loss": 2 / step})
    sheet = io.BytesIO()
    Image.new("RGB", (13, 17), (last, 0, 0)).save(sheet, "png")
    write_atomic(folder / "samples" / f"step-{last:07d}.png", sheet.getvalue())


def finish(folder: Path, state: str = "done") -> None:
    append_metrics(folder, 11, {"eval/fid/digits-cnn": 23.5})
    metrics = {row.metric: row.value for row in read_metrics(folder)}
    result = Result(
        key=folder.name,
        name="two-designs",
        seed=0,
        parameters={"total": 101, "trainable": 97},
        flops={"training": 1009, "sampling": 103},
        steps=11,
        samples_seen=704,
        ema_share=0.25,
        seconds={"training": 1.5},
        state=state,
        metrics=metrics,
        provenance=replace(PROVENANCE, commit="0123abc"),
    )
    write_result(folder, result)


def whole_study(runs: Path, plan: Plan) -> None:
    for cell in plan.cells:
        train(runs / cell.key)
        finish(runs / cell.key)


def held(runs: Path, *, roles: tuple[str, ...] = ("cell",)) -> dict[str, dict]:
    """Everything that MLflow holds, by the key of the cell; asked anew, and without the times of MLflow itself."""
    with locked(runs):
        client = connect(runs)
    experiment = client.get_experiment_by_name("two-designs")
    found = {}
    for run in client.search_runs([experiment.experiment_id]):
        if run.data.tags["lab.role"] not in roles:
            continue
        key = run.data.tags.get("lab.key", "driver")
        assert key not in found, "one run for each cell"
        history = {
            (name, row.step, row.timestamp, row.value)
            for name in run.data.metrics
            for row in client.get_metric_history(run.info.run_id, name)
        }
        count = sum(len(client.get_metric_history(run.info.run_id, name)) for name in run.data.metrics)
        assert count == len(history), "no row is stored twice"
        images = [Path(file.path).name for file in client.list_artifacts(run.info.run_id, "images")]
        found[key] = {
            "name": run.info.run_name,
            "params": run.data.params,
            "tags": {k: v for k, v in run.data.tags.items() if not k.startswith("mlflow.")},
            "status": run.info.status,
            "rows": history,
            "sheets": sorted(int(name.split("+")[2]) for name in images if name.endswith("webp")),
            "files": {file.path for file in client.list_artifacts(run.info.run_id)} - {"images"},
        }
    return found


def rows_of(folder: Path) -> set[tuple]:
    return {(r.metric, r.step, round(r.time * 1000), r.value) for r in read_metrics(folder)}


@pytest.mark.slow
def test_mlflow_holds_exactly_what_the_ledger_holds(study):
    runs, plan = study
    whole_study(runs, plan)
    sync(runs, plan)
    found = held(runs)
    assert found.keys() == {cell.key for cell in plan.cells}
    for cell in plan.cells:
        run, folder = found[cell.key], runs / cell.key
        extra = {name: value for name, _, _, value in run["rows"] - rows_of(folder)}
        assert rows_of(folder) <= run["rows"]
        assert extra == {
            "model/parameters_total": 101,
            "model/parameters_trainable": 97,
            "model/flops_training": 1009,
            "model/flops_sampling": 103,
            "model/samples_seen": 704,
            "seconds/training": 1.5,
        }
        assert run["sheets"] == [7]
        assert run["files"] == {"config.yaml", "metrics.csv", "result.json"}
        assert run["status"] == "FINISHED"


@pytest.mark.slow
def test_params_are_the_axes_by_name_and_every_leaf_of_the_config(study):
    runs, plan = study
    train(runs / plan.cells[-1].key)
    sync(runs, plan)
    params = held(runs)[plan.cells[-1].key]["params"]
    assert plan.axes.keys() <= params.keys()
    assert params["conv_kernel"] == params["model.decoder.conv_kernel"] == "5"
    assert params["training.gradient_clip"] == "null"
    assert params["model.encoder.normalization"] == "division"


@pytest.mark.slow
def test_tags_let_group_by_fold_the_seeds(study):
    runs, plan = study
    whole_study(runs, plan)
    sync(runs, plan)
    found = held(runs).values()
    tags, names = [run["tags"] for run in found], {"division", "division + conv"}
    assert {run["name"] for run in found} == {f"{name}, seed {seed}" for name in names for seed in (0, 1)}
    assert sorted((t["lab.cell"], t["lab.seed"]) for t in tags) == sorted(
        (cell_label(cell.values), str(cell.seed)) for cell in plan.cells
    )
    assert {t["lab.sweep"] for t in tags} == {"two-designs"}
    assert {t[GROUP_TAG] for t in tags} == names


@pytest.mark.slow
def test_shipping_twice_adds_nothing(study):
    runs, plan = study
    whole_study(runs, plan)
    first = sync(runs, plan)
    before = held(runs, roles=("cell", "driver"))
    assert first.cells == 4
    assert first.created == 5
    assert sync(runs, plan) == Synced(cells=4)
    assert held(runs, roles=("cell", "driver")) == before


@pytest.mark.slow
def test_a_deleted_store_is_rebuilt_equal(study):
    runs, plan = study
    whole_study(runs, plan)
    sync(runs, plan)
    before = held(runs, roles=("cell", "driver"))
    (runs / "mlflow.db").unlink()
    shutil.rmtree(runs / "mlartifacts")
    sync(runs, plan)
    assert held(runs, roles=("cell", "driver")) == before


@pytest.mark.slow
def test_rows_that_come_later_arrive_once_and_the_run_ends_as_the_cell_does(study):
    runs, plan = study
    key = plan.cells[0].key
    train(runs / key, 1, 3)
    sync(runs, plan)
    assert held(runs)[key]["status"] == "RUNNING"
    train(runs / key, 4, 7)
    assert sync(runs, plan).metrics == 8
    finish(runs / key)
    sync(runs, plan)
    run = held(runs)[key]
    assert rows_of(runs / key) <= run["rows"]
    assert run["sheets"] == [3, 7]
    assert run["status"] == "FINISHED"


@pytest.mark.slow
def test_a_cell_that_went_back_to_a_checkpoint_keeps_no_old_rows(study):
    runs, plan = study
    folder = runs / plan.cells[0].key
    train(folder, 1, 7)
    sync(runs, plan)
    rewind_metrics(folder, 4)
    train(folder, 5, 11)
    sync(runs, plan)
    run = held(runs)[folder.name]
    assert run["rows"] == rows_of(folder)
    assert run["sheets"] == [7, 11]


@pytest.mark.slow
@pytest.mark.parametrize("call", ["create_run", "log_batch", "log_image", "log_artifact", "set_terminated", "set_tag"])
def test_a_sync_that_is_killed_before_or_after_any_call_is_completed_by_the_next(study, monkeypatch, empty_store, call):
    from mlflow import MlflowClient

    runs, plan = study
    plan = plan._replace(cells=plan.cells[:2])
    whole_study(runs, plan)
    real, calls = getattr(MlflowClient, call), []

    def dies(*arguments, **options):
        calls.append(call)
        if len(calls) in {3, 6}:
            real(*arguments, **options)
        if len(calls) in {2, 3, 6}:
            raise SystemExit
        return real(*arguments, **options)

    monkeypatch.setattr(MlflowClient, call, dies)
    for _ in range(3):
        try:
            sync(runs, plan)
        except SystemExit:
            continue
    monkeypatch.setattr(MlflowClient, call, real)
    sync(runs, plan)
    broken = held(runs)
    shutil.copy(empty_store, runs / "mlflow.db")
    sync(runs, plan)
    assert len(calls) > 2
    assert broken == held(runs)


@pytest.mark.slow
def test_what_is_not_finite_is_skipped_and_the_state_says_it(study):
    runs, plan = study
    folder = runs / plan.cells[0].key
    append_metrics(folder, 1, {"train/loss": math.nan, "val/loss": math.inf})
    append_metrics(folder, 2, {"train/loss": 3.0})
    finish(folder, "diverged")
    sync(runs, plan)
    run = held(runs)[folder.name]
    assert [row[3] for row in run["rows"] if row[0] in {"train/loss", "val/loss"}] == [3.0]
    assert (run["status"], run["tags"]["lab.state"]) == ("FINISHED", "diverged")
    assert sync(runs, plan).metrics == 0


@pytest.mark.slow
def test_a_failed_cell_has_its_traceback_and_runs_again_under_its_run(study):
    runs, plan = study
    folder = runs / plan.cells[0].key
    train(folder)
    write_atomic(folder / "error.txt", "Traceback")
    end_attempt(last_attempt(folder), "failed")
    sync(runs, plan)
    run = held(runs)[folder.name]
    assert run["status"] == "FAILED"
    assert "error.txt" in run["files"]
    claim(folder, Watch())
    assert sync(runs, plan).created == 0
    run = held(runs)[folder.name]
    assert (run["status"], run["tags"]["lab.attempt"]) == ("RUNNING", "2")


@pytest.mark.slow
def test_a_damaged_cell_is_named_and_holds_no_other_up(study):
    runs, plan = study
    whole_study(runs, plan)
    with (runs / plan.cells[0].key / "metrics.csv").open("a") as file:
        file.write("no row\n")
    with pytest.raises(LabError, match=r"metrics\.csv:17"):
        sync(runs, plan)
    assert held(runs).keys() == {cell.key for cell in plan.cells[1:]}


@pytest.mark.slow
def test_a_cell_that_left_the_plan_leaves_the_view_and_can_come_back(study):
    runs, plan = study
    whole_study(runs, plan)
    sync(runs, plan)
    assert sync(runs, plan._replace(cells=plan.cells[:2])).cells == 2
    assert held(runs).keys() == {cell.key for cell in plan.cells[:2]}
    assert sync(runs, plan).created == 0
    assert held(runs).keys() == {cell.key for cell in plan.cells}


@pytest.mark.slow
def test_a_waiting_cell_has_no_run(study):
    runs, plan = study
    assert sync(runs, plan).cells == 0
    assert held(runs) == {}
    assert read_facts(runs / plan.cells[0].key, plan.cells[0], plan).state == "waiting"


@pytest.mark.slow
def test_a_single_cell_without_axes_is_called_after_its_plan(study):
    runs, plan = study
    finish(runs / plan.cells[0].key)
    assert sync(runs, plan._replace(cells=[plan.cells[0]._replace(values={})])).cells == 1
    assert held(runs).keys() == {plan.cells[0].key}
    with locked(runs):
        client = connect(runs)
    found = client.search_runs([client.get_experiment_by_name("two-designs").experiment_id])
    assert "two-designs" in {run.info.run_name for run in found}


@pytest.mark.slow
def test_a_new_store_that_two_processes_open_at_once_works(bare):
    runs, plan = bare
    whole_study(runs, plan)
    code = "import sys; from pathlib import Path; from lina_lab.ledger.plan import load_plan; "
    code += (
        "from lina_lab.tracking.shipper import sync; runs = Path(sys.argv[1]); sync(runs, load_plan(runs, sys.argv[2]))"
    )
    command = [sys.executable, "-c", code, str(runs), plan.name]
    both = [subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.PIPE) for _ in range(2)]
    assert [process.communicate(timeout=120) for process in both] == [(b"", b"")] * 2
    assert [process.returncode for process in both] == [0, 0]
    assert len(held(runs)) == 4
    assert not list(runs.glob(".mlflow.db*"))


@pytest.mark.slow
def test_a_server_that_is_away_does_not_disturb_the_sweep_and_sync_catches_up(study, monkeypatch):
    runs, plan = study
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://name:secret@127.0.0.1:{port}")
    with Shipper(runs, plan, every=0.05) as shipper:
        whole_study(runs, plan)
    assert shipper.behind is not None
    assert shipper.behind.endswith("lab sync two-designs will catch up")
    assert "secret" not in shipper.behind
    monkeypatch.delenv("MLFLOW_TRACKING_URI")
    assert sync(runs, plan).cells == 4
    assert all(rows_of(runs / key) <= run["rows"] for key, run in held(runs).items())


@pytest.mark.slow
def test_the_shipper_follows_a_sweep_and_has_everything_at_its_end(study):
    runs, plan = study
    with Shipper(runs, plan, every=0.05) as shipper:
        whole_study(runs, plan)
    assert shipper.behind is None
    assert {run["status"] for run in held(runs).values()} == {"FINISHED"}
    assert held(runs, roles=("driver",))["driver"]["status"] == "FINISHED"


def test_plain_folders_are_refused_with_what_would_be_right(tmp_path, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "file:///somewhere")
    with pytest.raises(LabError, match=r"must be a server .* or a database"):
        store_uri(tmp_path)


def test_no_password_of_a_store_is_shown():
    assert without_password("postgresql://a:b@host/db, http://c@d") == "postgresql://***@host/db, http://***@d"


@pytest.mark.slow
def test_syncing_prints_nothing_and_writes_nothing_outside_the_runs(study, capfd, monkeypatch, tmp_path):
    runs, plan = study
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    whole_study(runs, plan)
    sync(runs, plan)
    assert list(elsewhere.iterdir()) == []
    assert capfd.readouterr() == ("", "")


@pytest.mark.slow
def test_a_sync_without_a_server_is_one_message_without_its_password(study, monkeypatch):
    runs, plan = study
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://me:secret@127.0.0.1:9")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    with pytest.raises(LabError, match="MLflow at http://") as caught:
        sync(runs, plan)
    assert "secret" not in str(caught.value)


@pytest.mark.slow
def test_the_table_from_mlflow_is_the_table_of_the_ledger(study):
    runs, plan = study
    whole_study(runs, plan)
    (runs / plan.cells[2].key / "result.json").unlink()
    sync(runs, plan)
    table, found = mlflow_table(runs, plan.name)
    expected = results_table(runs, plan)
    assert found == plan
    assert expected["eval/fid/digits-cnn"].notna().sum() == 3
    pd.testing.assert_frame_equal(table.drop(columns="reason"), expected.drop(columns="reason"))
    with pytest.raises(LabError, match=r"other: no sweep of that name in sqlite:.*lab sync"):
        mlflow_table(runs, "other")
