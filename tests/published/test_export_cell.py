"""Cells as published weights: what is added, what is refused. The way there and back is in test_imported."""

import pytest
from safetensors.torch import load_file

from lina_lab.checkpoints.ema_weights import keep_weights
from lina_lab.config.experiment import Experiment
from lina_lab.errors import LabError
from lina_lab.ledger.cells import create_cell
from lina_lab.model.lina import Lina
from lina_lab.published.export_cell import WEIGHTS, export_cell
from tests.cells import DIGITS, trained_cell
from tests.published.test_import_cell import FEW, experiment, prompts


def test_a_trained_cell_of_prompts_gets_the_published_number_of_text_rows(tmp_path):
    wanted = experiment(prompts(16), {"patch": 4})
    folder = create_cell(tmp_path, wanted)
    keep_weights(folder, Lina(wanted.model, wanted.data.shape, seed=1).state_dict(), 1.0)
    export_cell(folder, tmp_path / "out")
    rows = load_file(tmp_path / "out" / WEIGHTS)["text_embed.weight"]
    assert rows.shape == (512, 10)
    assert rows[:6].any(dim=1).all()
    assert not rows[6:].any()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("attention", "message"),
    [
        (
            {"kv_gate": "key_value_data"},
            r"no published names are known of a design with model\.decoder\.kv_gate key_value_data",
        ),
        ({"feature_map": "elu1"}, r"model\.context\.feature_map elu1"),
    ],
)
def test_a_design_without_published_names_is_not_exported(tmp_path, attention, message):
    folder = trained_cell(tmp_path / "runs", DIGITS | {"model": DIGITS["model"] | {"attention": attention}})
    with pytest.raises(LabError, match=message):
        export_cell(folder, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_an_export_neither_overwrites_nor_overflows(tmp_path):
    wanted = Experiment.model_validate(DIGITS | {"training": FEW})
    folder = create_cell(tmp_path / "runs", wanted)
    state = Lina(wanted.model, wanted.data.shape, seed=1).state_dict()
    state["head.out.bias"][0] = 1e6
    keep_weights(folder, state, 1.0)
    with pytest.raises(LabError, match=r"--dtype fp16: .* beyond its range: image_decoder\.head\.bias"):
        export_cell(folder, tmp_path / "out", "fp16")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine").write_text("")
    with pytest.raises(LabError, match="full: must be a new or an empty folder"):
        export_cell(folder, tmp_path / "full")
