"""A sweep that tunes first, as a user types it: real trials, real MLflow, the page."""

import re

import pandas as pd
import pytest
from mlflow import MlflowClient

from tests.cli.test_sweep import EXPERIMENT
from tests.lab import lab

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("tune")]  # one study serves all
SWEEP = """\
name: tuned
question: Which learning rate does each size want?
experiment: small.yaml
axes: {model.size: [nano, micro]}
seeds: [0, 1]
tune:
  search: {training.learning_rate: {low: 1e-4, high: 1e-1}}
  trials: 3
  parallel: 3
  pruner: median
"""


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    folder = tmp_path_factory.mktemp("study")
    (folder / "small.yaml").write_text(EXPERIMENT.replace("validate_every: 6", "validate_every: 2"))
    (folder / "tuned.yaml").write_text(SWEEP)
    dry = lab(folder, "sweep", "tuned.yaml", "--dry-run", "--no-timing").stdout
    assert "6 trials of tuning, then 4 cells" in dry
    output = lab(folder, "sweep", "tuned.yaml", "--workers", "2").stdout
    assert "tuned: 6 trials, then 4 cells on 2 workers" in output
    return folder


def test_trials_and_cells_stand_in_status_table_and_page(study):
    status = lab(study, "status", "tuned").stdout
    assert re.search(r"nano trial 0 learning_rate=0.002 +1000000 +done", status)
    lab(study, "report", "tuned")
    table = pd.read_csv(study / "reports" / "tuned" / "table.csv")
    trials = pd.read_csv(study / "reports" / "tuned" / "trials.csv")
    assert len(table) == 4
    assert len(trials) == 6
    for size, rows in table.groupby("size"):
        tried = trials[trials["size"] == size]
        best = tried.loc[tried["loss"].idxmin(), "learning_rate"]
        assert (rows["learning_rate"] == best).all()
        assert (rows["tune_trials"] == 3).all()
    page = (study / "reports" / "tuned" / "index.html").read_text()
    assert "learning_rate was chosen from 3 trials for every design at every size" in page
    assert "One learning rate served every size" not in page
    assert "to the power" in page
    assert (study / "reports" / "tuned" / "tuning-learning_rate.png").stat().st_size > 10_000


def test_mlflow_has_trials_beside_cells_under_another_role(study):
    client = MlflowClient(f"sqlite:///{study / 'runs' / 'mlflow.db'}")
    experiment = client.get_experiment_by_name("tuned")
    runs = client.search_runs([experiment.experiment_id])
    roles = [run.data.tags["lab.role"] for run in runs]
    assert {role: roles.count(role) for role in roles} == {"cell": 4, "trial": 6, "driver": 1}
    trial = next(run for run in runs if run.data.tags["lab.role"] == "trial")
    assert "trial" in trial.info.run_name
    assert float(trial.data.params["training.learning_rate"]) > 0


def test_a_second_sweep_runs_nothing_and_retry_keeps_what_was_chosen(study):
    def results() -> dict:
        return {path: path.stat().st_mtime_ns for path in study.glob("runs/*/result.json")}

    before = results()
    assert len(before) >= 6
    lab(study, "sweep", "tuned.yaml", "--no-tracking")
    assert results() == before
    lab(study, "retry", "tuned", "--no-tracking")
    assert results() == before
    assert "trial 0" in lab(study, "status", "tuned").stdout
    assert "nothing to remove" not in lab(study, "clean", "--yes").stdout
    assert results() == before
