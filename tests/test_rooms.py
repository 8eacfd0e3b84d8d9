"""The plan of the house: which room may import what."""

import subprocess
import sys
from pathlib import Path
from typing import get_args

import pytest

from lina_lab.config import axes
from lina_lab.config.model import AttentionConfig

ROOT = Path(__file__).parents[1]
LIGHT = [
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
TESTED_IN = {
    "analysis/test_ablation.py": "analysis/ablation_pairs",
    "analysis/test_comparison.py": "analysis/confounds analysis/wording",
    "analysis/test_report_data.py": "analysis/findings analysis/scaling",
    "analysis/scaling_fit/test_fits.py": "analysis/scaling_fit/solver analysis/scaling_fit/starts",
    "analysis/scaling_fit/test_intervals.py": "analysis/scaling_fit/profiles",
    "figures/test_report.py": "figures/report_text",
    "profiling/test_attention.py": "analysis/profile profiling/designs figures/step_breakdown",
    "sweep/test_budget.py": "cell/estimate",
    "cli/test_evaluate.py": "cell/guidance_scan cli/evaluating cli/measuring",
    "cli/test_describe.py": "cli/about cli/show",
    "cli/test_cache.py": "cli/caching cli/encoding",
    "cli/test_compare.py": "cli/comparing",
    "cli/test_fit.py": "cli/fitting cli/studying",
    "cli/test_figures.py": "cli/gates",
    "cli/test_profile.py": "cli/profiled cli/profiling tracking/profile",
    "cli/test_results.py": "cli/tables",
    "cli/test_sweep.py": "cli/cells cli/main cli/planning start/lab_code",
    "figures/test_report_browser.py": "cli/printing",
    "tracking/test_ui_browser.py": "cli/ui tracking/charts",
    "composition/test_detector.py": "composition/detector_accuracy",
    "test_rooms.py": "config/axes errors",
    "config/test_load.py": "config/base config/settings config/settled config/model",
    "config/test_sweep.py": "config/experiment config/grid config/naming",
    "sweep/test_local_engine.py": "config/engine sweep/run",
    "sweep/test_tune.py": "config/tune",
    "model/test_lina.py": "model/blocks model/sampler",
    "model/test_variants.py": "config/variants",
    "data/test_encoding.py": "data/cache data/shard",
    "data/test_latents.py": "data/moved",
    "data/test_folder.py": "data/examples",
    "data/test_emoji.py": "data/pack_emoji",
    "data/test_shapes.py": "data/shapes_scenes",
    "evaluation/test_extractors.py": "evaluation/train_digits_extractor",
    "evaluation/test_image_extractor.py": "evaluation/train_image_extractor",
    "figures/test_figures.py": "figures/curves figures/panels figures/samples figures/scaling",
    "figures/test_paper.py": "figures/paper_captions figures/paper_context figures/paper_lina figures/paper_panels",
    "cli/test_tune.py": "figures/tuning",
    "kernels/test_linear.py": "kernels/linear_triton kernels/linear_gradient_triton",
    "kernels/test_convolution.py": "kernels/convolution_triton",
    "ledger/test_cells.py": "ledger/metrics ledger/result ledger/status",
    "model/test_designs.py": "model/gates model/local_convolutions",
    "model/test_golden.py": "model/head",
    "published/test_names.py": "published/compatibility",
    "sampling/test_image_set.py": "sampling/workers",
    "tracking/test_mirror.py": "tracking/run_record tracking/shipper tracking/store tracking/table",
}
"""Modules that have no test file of their own name, by the file that tests them. A new module has one."""
HEAVY = ["torch", "torchvision", "pytorch_lightning", "torch_fidelity", "mlflow"]


def loaded(*modules: str) -> list[str]:
    code = f"import {', '.join(modules)}; import sys; print([m for m in {HEAVY} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    return eval(done.stdout)  # noqa: S307, our own list


def test_config_cost_ledger_analysis_and_figures_import_without_torch():
    assert loaded(*LIGHT) == []


@pytest.mark.slow
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
    literals = {name: get_args(field.annotation) for name, field in AttentionConfig.model_fields.items()}
    assert {name: tuple(axis.values) for name, axis in axes.AXES.items()} == literals
    for axis in axes.AXES.values():
        assert all(value.formula and value.source for value in axis.values.values())


def test_every_module_has_a_test_file_of_its_name_or_is_named_above():
    modules = {path.relative_to(ROOT / "lina_lab") for path in (ROOT / "lina_lab").rglob("*.py")}
    modules = {path for path in modules if path.name != "__init__.py"}
    without = {path for path in modules if not (ROOT / "tests" / path.with_name(f"test_{path.name}")).exists()}
    named = " ".join(TESTED_IN.values()).split()
    assert sorted(named) == sorted(str(path.with_suffix("")) for path in without)
    assert [name for name in TESTED_IN if not (ROOT / "tests" / name).exists()] == []
