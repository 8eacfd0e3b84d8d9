"""The plan of the house: which room may import what, and how large its pieces may be."""

import ast
import subprocess
import sys
from pathlib import Path
from typing import get_args

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
HEAVY = ["torch", "torchvision", "pytorch_lightning", "torch_fidelity", "mlflow"]


def loaded(*modules: str) -> list[str]:
    code = f"import {', '.join(modules)}; import sys; print([m for m in {HEAVY} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    return eval(done.stdout)  # noqa: S307, our own list


def test_config_cost_ledger_analysis_and_figures_import_without_torch():
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
            name = ast.unparse(call.func)
            if counts.get(name, 0) > 3 and (len(call.args) > 3 or splat):
                yield f"{path}:{call.lineno}: {name}"


def test_records_with_more_than_three_fields_are_built_by_name():
    assert list(built_by_position(sources())) == []


def test_a_record_that_is_built_by_position_would_be_seen():
    fields = "".join(f"    {name}: int\n" for name in "xywh")
    code = f"class Box(NamedTuple):\n{fields}Box(1, 2, 3, 4)\nBox(1, *sides)\nBox(*sides)"
    assert list(built_by_position({"box.py": ast.parse(code)})) == ["box.py:6: Box", "box.py:7: Box"]


def test_every_axis_and_value_is_explained():
    literals = {name: get_args(field.annotation) for name, field in AttentionConfig.model_fields.items()}
    assert {name: tuple(axis.values) for name, axis in axes.AXES.items()} == literals
    for axis in axes.AXES.values():
        assert all(value.formula and value.source for value in axis.values.values())
