"""The plan of the house: which room may import what, and how large its pieces may be."""

import ast
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

from lina_lab.config.model import AttentionConfig
from lina_lab.design.axes import AXES, OTHER_AXES

ROOT = Path(__file__).parents[1]
LIGHT = [
    "lina_lab.design.axes",
    "lina_lab.config.sweep",
    "lina_lab.cost",
    "lina_lab.ledger.cells",
    "lina_lab.analysis.table",
    "lina_lab.report.page",
    "lina_lab.report.follow",
    "lina_lab.figures.gates",
    "lina_lab.figures.paper",
    "lina_lab.figures.sampling",
    "lina_lab.arrays",
]
TESTED_IN = {
    "analysis/test_ablation.py": "analysis/contrasts analysis/findings",
    "analysis/test_cards.py": "analysis/card_words analysis/cases analysis/first_lines",
    "analysis/test_comparison.py": "analysis/confounds analysis/wording",
    "analysis/test_evaluations.py": "analysis/fid_points",
    "analysis/test_report_data.py": "analysis/provenance_facts analysis/samples analysis/scaling",
    "analysis/test_table.py": "analysis/rows",
    "analysis/scaling_fit/test_fits.py": "analysis/scaling_fit/solver analysis/scaling_fit/starts",
    "analysis/scaling_fit/test_intervals.py": "analysis/scaling_fit/profiles",
    "profiling/test_attention.py": "analysis/profile profiling/designs figures/step_breakdown",
    "sweep/test_budget.py": "cell/estimate",
    "cell/test_points.py": "training/points",
    "bundle/test_merge.py": "ledger/merged",
    "cli/test_bundle.py": "cli/merge",
    "cli/test_evaluate.py": "cell/guidance_scan cli/guidance cli/reference",
    "cli/test_clean.py": "cli/clean_ledger",
    "cli/test_init.py": "shipped",
    "cli/test_fit.py": "cli/fit_table",
    "cli/test_plan.py": "cli/plan_answer cli/plan_study",
    "cli/test_profile.py": "cli/profile_measure tracking/profile",
    "cli/test_import_weights.py": "cli/export",
    "cli/test_sweep.py": "cli/cell cli/dry_run cli/planning cli/sync cli/train start/lab_code",
    "cli/test_tune.py": "cli/retry figures/tuning",
    "sweep/test_progress.py": "cli/progress_display",
    "tracking/test_ui_browser.py": "cli/ui",
    "tracking/test_mirror.py": "cli/table tracking/held tracking/shipper tracking/store tracking/table",
    "composition/test_detector.py": "composition/detector_accuracy",
    "test_study.py": "study_options study_values",
    "test_rooms.py": "design/axes design/value errors",
    "test_escape.py": "cli/console",
    "test_cost.py": "design/convolutions design/gates design/normalization design/position",
    "config/test_load.py": "config/base config/model config/problems config/settings config/settled",
    "sweep/test_planning.py": "config/experiment config/grid",
    "sweep/test_local_engine.py": "config/engine sweep/local_worker sweep/run",
    "sweep/test_tune.py": "config/tune sweep/trial_storage",
    "model/test_lina.py": "model/blocks model/sampler",
    "model/test_variants.py": "config/variants",
    "data/test_encoding.py": "data/cache data/moved data/shard",
    "data/test_folder.py": "data/examples",
    "data/test_emoji.py": "data/pack_emoji",
    "data/test_shapes.py": "data/shapes_scenes",
    "data/test_torchvision_sets.py": "config/torchvision_sets",
    "evaluation/test_extractors.py": "evaluation/train_digits_extractor",
    "evaluation/test_image_extractor.py": "evaluation/train_image_extractor",
    "figures/test_figures.py": "figures/curves figures/scaling",
    "figures/test_paper.py": "figures/paper_captions figures/paper_context figures/paper_lina",
    "kernels/test_linear.py": "kernels/linear_triton kernels/linear_gradient_triton",
    "kernels/test_convolution.py": "kernels/convolution_triton",
    "ledger/test_cells.py": "ledger/metrics ledger/result ledger/status",
    "model/test_designs.py": "model/gates model/local_convolutions",
    "model/test_golden.py": "model/head",
    "report/test_paper.py": "report/paper_figures report/paper_tables report/paper_words",
    "published/test_names.py": "published/compatibility",
    "profiling/test_properties.py": "cli/check",
    "config/test_sizes.py": "design/sizes",
    "plugins/test_data.py": "data/plugin_sets design/data_sets",
    "plugins/test_extractors.py": "evaluation/plugin_extractors design/extractors",
    "plugins/test_load.py": "plugins/checks",
    "plugins/test_study.py": "config/plugins plugins/designs profiling/plugin_counts design/computed",
    "sampling/test_image_set.py": "sampling/workers",
}
"""Modules that have no test file of their own name, by the file that tests them. A new module has one."""
HEAVY = ["torch", "torchvision", "pytorch_lightning", "torch_fidelity", "mlflow"]


def loaded(*modules: str) -> list[str]:
    code = f"import {', '.join(modules)}; import sys; print([m for m in {HEAVY} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    return eval(done.stdout)  # noqa: S307, our own list


@pytest.mark.slow
def test_design_config_cost_ledger_analysis_and_figures_import_without_torch():
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


@cache
def sources():
    """Every module of the package by its path in it, parsed."""
    package = ROOT / "lina_lab"
    return {path.relative_to(package).as_posix(): ast.parse(path.read_text()) for path in package.rglob("*.py")}


def functions(tree):
    return [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]


def num_parameters(function):
    arguments = [a.arg for a in (*function.args.posonlyargs, *function.args.args, *function.args.kwonlyargs)]
    return len([name for name in arguments if name not in {"self", "cls"}])


def num_lines(path, function):
    """Lines of a function; of a command its body, as the signature is its --help."""
    first = function.body[0].lineno if path.startswith("cli/") else function.lineno
    return function.end_lineno - first + 1


def test_no_file_is_longer_than_300_lines():
    lengths = {path.name: len(path.read_text().splitlines()) for path in (ROOT / "lina_lab").rglob("*.py")}
    assert {name: length for name, length in lengths.items() if length > 300} == {}


def test_no_function_is_longer_than_50_lines():
    """Triton programs are straight-line code between one load and one store: split, they would be slower."""
    long = {
        f"{path}:{function.name}": num_lines(path, function)
        for path, tree in sources().items()
        for function in functions(tree)
        if num_lines(path, function) > 50 and not path.endswith("_triton.py")
    }
    assert long == {}


def test_no_function_has_more_than_8_parameters():
    """Commands have an option each, and kernels and the operators that start them cannot take tuples."""
    many = {
        f"{path}:{function.name}": num_parameters(function)
        for path, tree in sources().items()
        for function in functions(tree)
        if num_parameters(function) > 8 and not path.startswith(("cli/", "kernels/"))
    }
    assert many == {}


def is_record(node):
    """Whether a class is a NamedTuple or a dataclass."""
    return any(ast.unparse(base) == "NamedTuple" for base in node.bases) or any(
        "dataclass" in ast.unparse(decorator) for decorator in node.decorator_list
    )


@cache
def records_of(tree):
    """The number of fields of every NamedTuple and dataclass that a module defines."""
    classes = [node for node in ast.walk(tree) if isinstance(node, ast.ClassDef) and is_record(node)]
    return {node.name: len([line for line in node.body if isinstance(line, ast.AnnAssign)]) for node in classes}


def known_records(path, trees):
    """The same for all that a module defines or imports from the package by name."""
    counts = records_of(trees[path])
    for node in ast.walk(trees[path]):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("lina_lab."):
            own = records_of(trees.get(f"{node.module.removeprefix('lina_lab.').replace('.', '/')}.py", ast.Module([])))
            counts |= {alias.asname or alias.name: own[alias.name] for alias in node.names if alias.name in own}
    return counts


def built_by_position(trees):
    """Calls that build a record of more than three fields with more than three positional arguments.

    A splat among other arguments counts as many; alone it maps over the fields of another record.
    """
    for path, tree in trees.items():
        counts = known_records(path, trees)
        for call in (node for node in ast.walk(tree) if isinstance(node, ast.Call)):
            splat = len(call.args) > 1 and any(isinstance(argument, ast.Starred) for argument in call.args)
            if (len(call.args) > 3 or splat) and counts.get(name := ast.unparse(call.func), 0) > 3:
                yield f"{path}:{call.lineno}: {name}"


def test_records_with_more_than_three_fields_are_built_by_name():
    assert list(built_by_position(sources())) == []


def test_a_record_that_is_built_by_position_would_be_seen():
    fields = "".join(f"    {name}: int\n" for name in "xywh")
    code = f"class Box(NamedTuple):\n{fields}Box(1, 2, 3, 4)\nBox(1, *sides)\nBox(*sides)"
    assert list(built_by_position({"box.py": ast.parse(code)})) == ["box.py:6: Box", "box.py:7: Box"]


def test_every_axis_and_value_is_explained():
    assert set(AXES) == set(AttentionConfig.model_fields)
    for axis in (AXES | OTHER_AXES).values():
        assert axis.question
        assert all(value.formula and value.source for value in axis.values.values())


def test_every_module_has_a_test_file_of_its_name_or_is_named_above():
    modules = {path.relative_to(ROOT / "lina_lab") for path in (ROOT / "lina_lab").rglob("*.py")}
    modules = {path for path in modules if path.name != "__init__.py"}
    without = {path for path in modules if not (ROOT / "tests" / path.with_name(f"test_{path.name}")).exists()}
    named = " ".join(TESTED_IN.values()).split()
    assert sorted(named) == sorted(str(path.with_suffix("")) for path in without)
    assert [name for name in TESTED_IN if not (ROOT / "tests" / name).exists()] == []
