"""A team's MLflow server on PostgreSQL, with artifacts that go through it: shipped to, killed, started again."""

import io
import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
from mlflow import MlflowClient
from PIL import Image

from lina_lab.cli.ui_server import _stop, _wait_until_it_answers
from lina_lab.files import write_atomic
from lina_lab.ledger.metrics import append_metrics, read_metrics
from lina_lab.tracking.mirror import BATCH, Synced
from lina_lab.tracking.shipper import Shipper, sync
from lina_lab.tracking.store import SETTINGS

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("postgres")]


class Server:
    def __init__(self, folder: Path, store: str) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        self.address, self.log = f"http://127.0.0.1:{port}", folder / "server.log"
        self.command = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port)]
        self.command += ["--workers", "1", "--backend-store-uri", store]
        self.command += ["--artifacts-destination", str(folder / "artifacts")]

    def start(self) -> None:
        environment = os.environ | SETTINGS | {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
        with self.log.open("ab") as file:
            self.process = subprocess.Popen(
                self.command,
                stdout=file,
                stderr=file,
                stdin=subprocess.DEVNULL,
                env=environment,
                cwd=self.log.parent,
                start_new_session=True,
            )
        try:
            _wait_until_it_answers(self.address, self.process, self.log)
        except BaseException:
            _stop(self.process)
            raise

    def kill(self) -> None:
        """The server and its workers, which share its process group, without a chance to finish anything."""
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()

    def runs(self, study: str) -> list:
        client = MlflowClient(tracking_uri=self.address)
        experiment = client.get_experiment_by_name(study)
        return client.search_runs([experiment.experiment_id], "tags.`lab.role` = 'cell'") if experiment else []

    def held(self, study: str) -> dict[str, tuple]:
        """Key of a cell to its status and every point of its metrics, as often as it is stored."""
        client = MlflowClient(tracking_uri=self.address)
        found = {}
        for run in self.runs(study):
            key = run.data.tags["lab.key"]
            assert key not in found, "one run for each cell"
            history = [r for name in run.data.metrics for r in client.get_metric_history(run.info.run_id, name)]
            found[key] = run.info.status, sorted((r.key, r.step, r.value, r.timestamp) for r in history)
        return found


@pytest.fixture(scope="module")
def server(postgres, tmp_path_factory):
    # Named, because without a name SQLAlchemy 2.0 takes psycopg2 and 2.1 psycopg.
    store = postgres.replace("postgresql:", "postgresql+psycopg2:")
    server = Server(tmp_path_factory.mktemp("server"), store)
    server.start()
    yield server
    _stop(server.process)


@pytest.fixture(autouse=True)
def _ship_to_it(server, monkeypatch):
    if server.process.poll() is not None:
        server.start()  # a test failed while it was away
    monkeypatch.setenv("MLFLOW_TRACKING_URI", server.address)


def shipped(folder: Path) -> tuple:
    """What MLflow must hold of a finished cell: the rows of its metrics, and of its result what has no row."""
    result, rows = json.loads((folder / "result.json").read_text()), read_metrics(folder)
    points = [(r.metric, r.step, r.value, round(r.time * 1000)) for r in rows]
    values = {name: value for name, value in result["metrics"].items() if name != "val/loss"}
    values |= {f"model/parameters_{name}": value for name, value in result["parameters"].items()}
    values |= {f"model/flops_{name}": value for name, value in result["flops"].items()}
    values |= {f"seconds/{name}": value for name, value in result["seconds"].items()}
    values |= {"model/samples_seen": result["samples_seen"]}
    ended = points[-1][3]
    return "FINISHED", sorted([*points, *((name, result["steps"], value, ended) for name, value in values.items())])


def everything(study) -> dict[str, tuple]:
    return {cell.key: shipped(study.runs / cell.key) for cell in study.stored.cells}


def until(condition, what: str, seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, what
        time.sleep(0.05)


def test_a_server_on_postgresql_holds_every_point_once_also_after_a_second_sync(server, study):
    study = study()
    folder, many = study.folder(0), BATCH + 100
    for step in range(1, many + 1):
        append_metrics(folder, step, {"train/loss": 1 / step})
    sheet = io.BytesIO()
    Image.new("RGB", (13, 17)).save(sheet, "png")
    write_atomic(folder / "samples" / "step-0000100.png", sheet.getvalue())
    first = sync(study.runs, study.stored)
    points = sum(len(shipped(study.runs / cell.key)[1]) for cell in study.stored.cells)
    assert first == Synced(cells=8, created=9, metrics=points, images=1, files=8 * 3 + 2)
    assert server.held("fake") == everything(study)
    assert sync(study.runs, study.stored) == Synced(cells=8)
    assert server.held("fake") == everything(study)
    (run,) = [run for run in server.runs("fake") if run.data.tags["lab.key"] == folder.name]
    client = MlflowClient(tracking_uri=server.address)
    assert run.info.artifact_uri.startswith("mlflow-artifacts:")
    assert {file.path for file in client.list_artifacts(run.info.run_id)} >= {"metrics.csv", "result.json", "images"}


def test_a_server_killed_amid_a_shipment_leaves_the_shipper_behind_and_sync_catches_up(server, study, monkeypatch):
    study = study()
    plan = study.stored._replace(name="killed")
    real, batches = MlflowClient.log_batch, []

    def dies_at_the_third(client, run, metrics=(), **options):
        batches.extend([run] if metrics else [])
        if len(batches) == 3:
            server.kill()
        return real(client, run, metrics, **options)

    with monkeypatch.context() as patch:
        patch.setattr(MlflowClient, "log_batch", dies_at_the_third)
        with Shipper(study.runs, plan, every=0.05) as shipper:
            until(lambda: shipper.behind, "the shipper did not notice")
    assert shipper.behind.startswith("MLflow is behind: ")
    assert shipper.behind.endswith("; lab sync killed will catch up")
    server.start()
    before, whole = server.held("killed"), everything(study)
    assert sorted(len(points) for _, points in before.values()) == [0, 14, 14]
    assert sync(study.runs, plan).cells == 8
    assert server.held("killed") == whole
    assert sync(study.runs, plan) == Synced(cells=8)
    assert server.held("killed") == whole


def test_a_shipper_whose_server_comes_back_catches_up_by_itself(server, study):
    study = study()
    plan = study.stored._replace(name="back")
    with Shipper(study.runs, plan, every=0.05, closing=60) as shipper:
        until(lambda: server.runs("back"), "nothing was shipped")
        server.kill()
        until(lambda: shipper.behind, "the shipper did not notice")
        server.start()
    assert shipper.behind is None
    assert server.held("back") == everything(study)
