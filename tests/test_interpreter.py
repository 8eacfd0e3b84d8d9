"""Python processes run this copy of the package, and neither the working folder's files nor the user's variables."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import lina_lab
from lina_lab import interpreter

PACKAGE = str(Path(lina_lab.__file__).parent)
FORK = """\
import multiprocessing, sys
from lina_lab.interpreter import BINDING, surroundings
def say():
    import lina_lab, statistics
    from lina_lab import provenance
    print(lina_lab.__path__[0], statistics.__file__, len(provenance.LOADED) > 100)
if __name__ == "__main__":
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([BINDING, "statistics"])
    with surroundings({}):
        process = context.Process(target=say)
        process.start()
    process.join()
    sys.exit(process.exitcode)
"""


@pytest.fixture
def shadows(tmp_path, monkeypatch):
    """A working folder with another checkout, and files named like modules that everything needs."""
    (tmp_path / "lina_lab").mkdir()
    for name in ("lina_lab/__init__", "statistics", "socket", "selectors", "runpy", "json", "signal"):
        (tmp_path / f"{name}.py").write_text("raise SystemExit('a script of the user')")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.slow
@pytest.mark.parametrize("path", ["", ":", ".", "{here}", ":{root}:.", "{root}"])
def test_a_started_module_is_that_of_this_package_wherever_it_is_started(shadows, monkeypatch, path):
    root = str(Path(PACKAGE).parent)
    monkeypatch.setenv("PYTHONPATH", path.format(here=shadows, root=root))
    command = interpreter.command("lina_lab.composition.proportions", "a word")
    done = subprocess.run(
        [*command[:2], "-v", *command[2:]], env=interpreter.environment(), capture_output=True, text=True, check=True
    )
    assert "a script of the user" not in done.stdout + done.stderr
    assert f"{PACKAGE}/composition/" in done.stderr
    assert str(shadows) not in [line.split("'")[1] for line in done.stderr.splitlines() if line.startswith("import '/")]


@pytest.mark.slow
def test_a_fork_server_and_its_processes_load_this_package(shadows, tmp_path_factory):
    script = tmp_path_factory.mktemp("scripts") / "fork.py"
    script.write_text(FORK)
    done = subprocess.run([sys.executable, str(script)], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    where, statistics, loaded = done.stdout.split()
    assert (where, loaded) == (PACKAGE, "True")
    assert Path(statistics).parent != shadows


def test_the_working_folder_leaves_the_path_where_it_could_shadow_and_an_installation_keeps_it(shadows, monkeypatch):
    library = next(entry for entry in sys.path if entry == os.path.dirname(os.__file__))  # noqa: PTH120
    monkeypatch.setattr(sys, "path", ["", ".", str(shadows), "/other", library, "/site-packages", str(shadows)])
    assert interpreter.search_path() == ["/other", library, "/site-packages", str(shadows)]


def test_variables_that_change_arithmetic_or_kill_a_process_are_not_passed_on(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    given = {
        "MPLBACKEND": "module://nobody.has",
        "PYTHONIOENCODING": "ascii",
        "NVIDIA_TF32_OVERRIDE": "0",
        "HOME": "/h",
    }
    given |= {"PYTHONPATH": ":/a::lib:.", "PYTHONWARNINGS": "error", "DNNL_DEFAULT_FPMATH_MODE": "BF16"}
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    found = interpreter.environment({"OMP_NUM_THREADS": "1"})
    assert (found["MPLBACKEND"], found["HOME"], found["OMP_NUM_THREADS"]) == ("agg", "/h", "1")
    assert found["PYTHONPATH"].split(":") == [str(interpreter.START), "/a", str(tmp_path / "lib")]
    assert not {"PYTHONIOENCODING", "PYTHONWARNINGS", "NVIDIA_TF32_OVERRIDE", "DNNL_DEFAULT_FPMATH_MODE"} & set(found)
    with interpreter.surroundings({"JUST": "now"}):
        assert (os.environ["JUST"], os.environ["MPLBACKEND"], "PYTHONWARNINGS" in os.environ) == ("now", "agg", False)
    assert {name: os.environ.get(name) for name in given} == given
    assert "JUST" not in os.environ


def test_a_closed_or_narrow_output_takes_everything():
    code = (
        "from lina_lab.interpreter import write_anything as w; w(); import sys, json\n"
        "print('\\u03c6 \\udcff'); print('err \\u03c6', file=sys.stderr)"
    )
    variables = os.environ | {"PYTHONIOENCODING": "ascii"}
    done = subprocess.run([sys.executable, "-c", code], env=variables, capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("\\u03c6 \\udcff\n", "err \\u03c6\n")
    closed = ["sh", "-c", f'exec {sys.executable} -c "$0" <&- >&-', code]
    assert json.dumps(subprocess.run(closed, capture_output=True, text=True, check=True).stdout) == '""'


UNGUARDED = """\
import multiprocessing, sys
from lina_lab.interpreter import without_script
print("once", flush=True)
main = sys.modules["__main__"]
with without_script():
    process = multiprocessing.get_context("forkserver").Process(target=print, args=("child",))
    process.start()
process.join()
assert sys.modules["__main__"] is main
sys.exit(process.exitcode)
"""


@pytest.mark.slow
def test_a_script_is_not_run_again_by_the_processes_that_it_starts(tmp_path):
    (tmp_path / "script.py").write_text(UNGUARDED)
    environment = os.environ | {"PYTHONPATH": str(Path(PACKAGE).parent)}
    words = [sys.executable, str(tmp_path / "script.py")]
    done = subprocess.run(words, capture_output=True, text=True, env=environment, check=True)
    assert sorted(done.stdout.split()) == ["child", "once"]
