"""The run of one cell, from request to result."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from lina_lab.cell.run import run_cell
from lina_lab.errors import LabError
from lina_lab.ledger.cells import create_cell
from lina_lab.ledger.result import read_result
from lina_lab.ledger.status import read_status
from lina_lab.training.train import build_model
from tests.cells import experiment, rows

GOLDEN = Path(__file__).parents[1] / "ledger" / "golden" / "result-one-process.json"


def test_a_cell_ends_with_weights_samples_metrics_and_a_result(whole):
    result = read_result(whole)
    assert result.state == read_status(whole).state == "done"
    assert result.samples_seen == 96
    assert result.parameters["total"] == sum(p.numel() for p in build_model(experiment()).parameters())
    assert result.evaluation.num_generated == 50
    assert result.evaluation.guidance_scale == 1.0
    assert result.evaluation.loss_draws == "8 masks x 4 noises, the same in every cell"
    assert {"train/loss", "val/loss", "val/loss_se", "eval/fid/digits-cnn", "eval/kid/digits-cnn"} <= set(
        result.metrics
    )
    assert result.provenance.versions["torch"] == torch.__version__.partition("+")[0]
    assert {step for step, metric, _ in rows(whole) if metric == "train/loss"} == {4, 8, 12}
    assert {step for step, metric, _ in rows(whole) if metric == "val/loss"} == {8, 12}
    assert sorted(p.name for p in whole.glob("samples/*.png")) == ["step-0000008.png", "step-0000012.png"]
    with np.load(whole / "samples" / "generated.npz") as file:
        assert file["arr_0"].shape == (50, 8, 8, 3)
        assert file["arr_0"].dtype == np.uint8
        assert np.bincount(file["labels"]).tolist() == [5] * 10


def test_a_result_has_its_keys_in_the_order_that_it_always_had(whole):
    written, golden = (json.loads(path.read_text()) for path in (whole / "result.json", GOLDEN))
    assert list(written) == list(golden)
    since = {"class_chance", "reference_variance", "loss_draws"}
    assert [name for name in written["evaluation"] if name not in since] == list(golden["evaluation"])
    assert list(written["provenance"]["code"])[:2] == ["path", "rooms"]
    in_git = {"commit", "diff_sha256"}
    known = [name for name in written["provenance"] if name not in in_git]
    assert known == [name for name in golden["provenance"] if name not in in_git]


@pytest.mark.slow
def test_a_loss_of_an_older_training_is_not_said_to_have_the_draws_of_all_cells(tmp_path, whole):
    folder = shutil.copytree(whole, tmp_path / whole.name)
    (folder / "result.json").unlink()
    metrics = (folder / "metrics.csv").read_text(encoding="utf-8").splitlines(keepends=True)
    (folder / "metrics.csv").write_text("".join(row for row in metrics if "val/loss_se" not in row), encoding="utf-8")
    assert run_cell(folder) == "done"
    assert "val/loss" in read_result(folder).metrics
    assert read_result(folder).evaluation.loss_draws is None


@pytest.mark.slow
def test_a_diverged_cell_says_at_which_step_and_is_no_crash(tmp_path, monkeypatch):
    from lina_lab.model.lina import Lina

    loss = Lina.loss
    calls = []

    def exploding(self, *arguments):
        calls.append(1)
        return loss(self, *arguments) * (float("nan") if len(calls) == 6 else 1.0)

    monkeypatch.setattr(Lina, "loss", exploding)
    folder = create_cell(tmp_path, experiment())
    assert run_cell(folder) == "diverged"
    result = read_result(folder)
    assert (result.state, result.diverged_at, result.samples_seen) == ("diverged", 6, 48)
    assert not any(k.startswith("eval/") for k in result.metrics)
    assert [step for step, metric, _ in rows(folder) if metric == "train/loss"] == [4]


def test_a_folder_that_is_no_cell_or_was_changed_is_refused(tmp_path):
    with pytest.raises(LabError, match=r"no config\.yaml"):
        run_cell(tmp_path)
    folder = create_cell(tmp_path, experiment())
    text = (folder / "config.yaml").read_text()
    (folder / "config.yaml").write_text(text.replace("steps: 12", "steps: 13"))
    with pytest.raises(LabError, match="was changed"):
        run_cell(folder)
    (folder / "config.yaml").write_text(text.replace("schema: 1", "schema: 0"))
    with pytest.raises(LabError, match="reads schema 1, not 0"):
        run_cell(folder)
