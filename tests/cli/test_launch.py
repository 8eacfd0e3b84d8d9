"""What every cell of a plan would be refused for is told once, before any is started."""

import pytest

from lina_lab.cli.launch import launch
from lina_lab.config.engine import EngineConfig
from lina_lab.config.experiment import Experiment
from lina_lab.errors import LabError
from lina_lab.sweep.planning import single
from tests.cells import DIGITS

TRAINING = {"steps": 4, "batch_size": 8, "learning_rate": 1e-3}


def test_cells_whose_start_is_not_there_are_refused(tmp_path):
    def start(**values: object) -> None:
        planned = single(Experiment.model_validate(DIGITS | {"training": TRAINING} | values))
        launch(planned, tmp_path / "runs", EngineConfig(workers=1), retries=0, tracking=False)

    with pytest.raises(LabError, match=r"training\.init_from 0123456789ab: .*runs has no such cell; train it first"):
        start(training=TRAINING | {"init_from": {"cell": "0123456789ab"}})
    assert not (tmp_path / "runs").exists()
