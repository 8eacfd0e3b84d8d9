"""A study's settings are those of its cells, each value once, and no path of this machine."""

from lina_lab.analysis.study_settings import settings_of, settings_of_ledger
from lina_lab.config.experiment import Experiment
from tests.study import AXES, EXPERIMENT


def test_every_setting_has_the_values_of_the_cells_in_the_order_of_the_plan(study):
    made = study(seeds=[3, 4])
    settings = settings_of_ledger(made.runs, made.stored)
    for path, values in AXES.items():
        place = path.replace("model.attention", "model.decoder")
        assert settings[place] == values
    assert settings["training.learning_rate"] == [1e-3]
    assert settings["data.name"] == ["digits"]
    assert not {"seed", "name", "logging.every", "execution.compile"} & set(settings)


def test_of_a_cell_that_cannot_be_read_nothing_is_claimed(study):
    made = study()
    (made.folder(1) / "config.yaml").unlink()
    assert settings_of_ledger(made.runs, made.stored) == {}


def test_of_a_path_its_last_part_alone_is_kept():
    data = {"name": "images", "side": 32, "path": "/home/someone/cats", "num_classes": 1}
    model = {"size": "nano", "patch": 4}
    changes = {"data": data, "model": model, "evaluation": {"extractor": "inception"}}
    settings = settings_of([Experiment.model_validate(EXPERIMENT | changes)])
    assert settings["data.path"] == ["cats"]
    assert "someone" not in str(settings)
