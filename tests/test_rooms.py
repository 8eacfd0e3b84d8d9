"""The plan of the house: which room may import what."""

import subprocess
import sys
from pathlib import Path

from lina_lab.config.model import AttentionConfig
from lina_lab.design.axes import AXES, OTHER_AXES

ROOT = Path(__file__).parents[1]
LIGHT = [
    "lina_lab.design.axes",
    "lina_lab.config.sweep",
    "lina_lab.cost",
    "lina_lab.ledger.cells",
    "lina_lab.analysis.table",
    "lina_lab.figures.report",
    "lina_lab.figures.gates",
    "lina_lab.figures.paper",
    "lina_lab.figures.sampling",
    "lina_lab.arrays",
]
HEAVY = ["torch", "torchvision", "pytorch_lightning", "torch_fidelity", "mlflow"]


def loaded(*modules: str) -> list[str]:
    code = f"import {', '.join(modules)}; import sys; print([m for m in {HEAVY} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    return eval(done.stdout)  # noqa: S307, our own list


def test_design_config_cost_ledger_analysis_and_figures_import_without_torch():
    assert loaded(*LIGHT) == []


def test_the_test_above_can_fail():
    assert "torch" in loaded("lina_lab.model.lina")


def test_every_room_imports_only_rooms_above_it():
    done = subprocess.run(
        [Path(sys.executable).with_name("lint-imports")], capture_output=True, text=True, check=False, cwd=ROOT
    )
    assert done.returncode == 0, done.stdout


def test_every_init_file_is_empty():
    """import-linter does not see through them, and one import there would drag torch everywhere."""
    assert [p for p in (ROOT / "lina_lab").rglob("__init__.py") if p.read_text().strip()] == []


def test_no_file_is_longer_than_two_files_should_be():
    long = {p.name: n for p in (ROOT / "lina_lab").rglob("*.py") if (n := len(p.read_text().splitlines())) > 320}
    assert long == {}


def test_every_axis_and_value_is_explained():
    assert set(AXES) == set(AttentionConfig.model_fields)
    for axis in (AXES | OTHER_AXES).values():
        assert axis.question
        assert all(value.formula and value.source for value in axis.values.values())
