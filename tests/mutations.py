"""Breaks one line in every room, in a copy of the package, and says which test sees it.

    python tests/mutations.py            # all of them, about five minutes; `make mutations`
    python tests/mutations.py ledger     # the rooms whose name begins so

First the tests must pass on the copy as it is; then each break is made, its tests run, and it is taken back. The exit
code is 1 if no test sees a break: write the test that is missing. A line that is no longer in its file is an error:
choose another in the same room. The checkout is never changed.
"""

import os
import shutil
import sys
import tempfile
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[1]
COPIED = ("lina_lab", "tests", "experiments", "sweeps", "analysis", "reports", "pyproject.toml", "README.md")


class Break(NamedTuple):
    """A line of a file of the package, what stands there instead, and the tests that must fail."""

    file: str
    line: str
    instead: str
    tests: str
    mark: str = "not slow"
    """Which of them: those that a developer runs all the time see most breaks."""


ANY = "slow or not slow"
BREAKS = [
    Break("ledger/metrics.py", "if r.step <= step and not", "if r.step < step and not", "tests/ledger/test_cells.py"),
    Break(
        "ledger/leases.py",
        "return self.ended in FAULTS and not self.forgiven",
        "return self.ended in FAULTS",
        "tests/ledger/test_leases.py tests/ledger/test_cells.py",
    ),
    Break(
        "checkpoints/ema_weights.py",
        "float(seconds)) if whole else None",
        "float(seconds)) if record else None",
        "tests/checkpoints/test_ema_weights.py",
        ANY,
    ),
    Break(
        "checkpoints/sharded_files.py",
        "return archive.testzip() is None",
        "return True",
        "tests/checkpoints/test_sharded_files.py",
    ),
    Break(
        "sampling/image_set.py",
        "!= _digest(path.read_bytes())",
        '== "damaged"',
        "tests/sampling/test_image_set.py",
        ANY,
    ),
    Break(
        "sampling/generate.py",
        "for number in numbers[first : first + batch]]",
        "for number in range(first, first + len(chunk))]",
        "tests/sampling/test_generate.py",
        ANY,
    ),
    Break("training/module.py", "share = (step + 1) / steps", "share = step / steps", "tests/training/test_module.py"),
    Break(
        "training/ema.py",
        "1 - self.decay if self.num_updates",
        "self.decay if self.num_updates",
        "tests/training/test_ema.py",
        ANY,
    ),
    Break(
        "distributed/launch.py",
        "if changed := changed_files():",
        "if changed := []:",
        "tests/distributed/test_launch.py",
    ),
    Break(
        "published/names.py",
        'index += model.encoder_depth if stack == "decoder" else 0',
        "index += 0",
        "tests/published/test_names.py",
    ),
    Break(
        "evaluation/metrics.py",
        "Noise(tuple((first - second) / 2",
        "Noise(tuple((first - second)",
        "tests/evaluation/test_metrics.py",
        ANY,
    ),
    Break(
        "composition/proportions.py",
        "float(value - below / len(shares))",
        "float(value - below)",
        "tests/composition/test_proportions.py",
    ),
    Break(
        "cell/run.py",
        "samples_seen=steps * experiment.training.batch_size",
        "samples_seen=steps",
        "tests/cell/test_run.py",
    ),
    Break(
        "cell/attempt.py",
        'return "refused" if expected else "failed"',
        'return "failed" if expected else "refused"',
        "tests/cell/test_attempt.py",
        ANY,
    ),
    Break(
        "model/attention.py",
        "q @ memory + (1 - mass) * v.mean",
        "q @ memory + (1 + mass) * v.mean",
        "tests/model/test_designs.py",
    ),
    Break("model/rotary.py", "frequency = 10000.0", "frequency = 1000.0", "tests/model/test_rotary.py"),
    Break(
        "kernels/availability.py",
        "if dtype not in DTYPES:",
        "if dtype is None:",
        "tests/kernels/test_availability.py",
    ),
    Break(
        "data/pixels.py",
        "left, top = (width - edge) // 2, (height - edge) // 2",
        "left, top = 0, 0",
        "tests/data/test_pixels.py",
    ),
    Break("analysis/spread.py", "len(rest) - len(groups)", "len(rest)", "tests/analysis/test_spread.py"),
    Break("figures/ticks.py", "for ladder in LADDERS:", "for ladder in LADDERS[:1]:", "tests/figures/test_ticks.py"),
    Break(
        "sweep/budget.py",
        "heapq.heapreplace(free, free[0] + each)",
        "heapq.heapreplace(free, each)",
        "tests/sweep/test_budget.py",
    ),
    Break(
        "sweep/hang.py",
        "= why, self.clock + GRACE_SECONDS",
        "= why, self.clock",
        "tests/sweep/test_hang.py",
    ),
    Break(
        "tracking/run_record.py",
        '"mlflow.runName": cell.label or plan.name',
        '"mlflow.runName": plan.name',
        "tests/tracking/test_mirror.py",
        ANY,
    ),
    Break("config/schedule.py", "* (k + 1) / steps for k", "* k / steps for k", "tests/config/test_schedule.py"),
    Break(
        "profiling/counting.py",
        "sum(by_kind.values()) / 2",
        "sum(by_kind.values())",
        "tests/profiling/test_counting.py",
    ),
    Break("design/normalization.py", "core=lambda N, d: (0, 2 * N)", "core=lambda N, d: (0, N)", "tests/test_cost.py"),
    Break(
        "cli/ending.py",
        '_say(f"error: {error}")\n        return 2',
        '_say(f"error: {error}")\n        return 1',
        "tests/cli/test_fit.py",
    ),
    Break(
        "files.py",
        "except FileExistsError:\n        return False",
        "except FileExistsError:\n        return True",
        "tests/test_files.py",
    ),
]


def copy_to(folder: Path) -> None:
    """What the tests read of the checkout."""
    for name in COPIED:
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(source, folder / name)


def exit_code(folder: Path, tests: list[str], mark: str) -> int:
    """Of pytest on the copy, in a process that has the heavy imports from this one."""
    child = os.fork()
    if child:
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    import pytest

    os.chdir(folder)
    sys.path[0] = str(folder)
    sys.dont_write_bytecode = True  # a file that changes twice in a second would keep its older code
    options = "-qq -x --no-header --tb=no -p no:cacheprovider -p no:randomly".split()
    options += ["-m", mark, "-W", "ignore::pytest.PytestAssertRewriteWarning"]
    code = pytest.main([*options, *tests])
    sys.stdout.flush()
    os._exit(code)


def main(rooms: list[str]) -> int:
    """The number of breaks that no test saw."""
    wanted = [one for one in BREAKS if not rooms or one.file.startswith(tuple(rooms))]
    survived = []
    with tempfile.TemporaryDirectory(prefix="lina-lab-mutations-") as name:
        folder = Path(name)
        copy_to(folder)
        import pytorch_lightning  # noqa: F401, heavy, and the same for all

        for mark in sorted({one.mark for one in wanted}):
            tests = sorted({test for one in wanted if one.mark == mark for test in one.tests.split()})
            if exit_code(folder, tests, mark):
                sys.exit("the tests must pass on what is not broken")
        for one in wanted:
            path = folder / "lina_lab" / one.file
            whole = path.read_text(encoding="utf-8")
            if whole.count(one.line) != 1:
                sys.exit(f"{one.file}: must have this once, has it {whole.count(one.line)} times: {one.line}")
            path.write_text(whole.replace(one.line, one.instead), encoding="utf-8")
            code = exit_code(folder, one.tests.split(), one.mark)
            path.write_text(whole, encoding="utf-8")
            print(f"{'seen' if code == 1 else 'NOT SEEN'}: {one.file}: {one.instead.splitlines()[0]}", flush=True)
            survived += [one] if code != 1 else []
    print(f"{len(wanted) - len(survived)} of {len(wanted)} breaks were seen")
    return len(survived)


if __name__ == "__main__":
    sys.exit(min(1, main(sys.argv[1:])))
