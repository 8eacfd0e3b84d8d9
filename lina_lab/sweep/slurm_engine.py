"""The SLURM engine: job arrays of `lab cell run`. A cell's state comes from its ledger, never from the queue.

runs/sweeps/<name>.slurm/<time>.sh      the script of an array, and next to it
<time>.cells   the folders of its cells, a line a task; <time>.until: the steps at which they pause, 0 for the end
<time>.job     its job number, once submitted
<time>.next.sh the job that continues a tuning when the trials of an array have ended
<job>_<task>.log
"""

import logging
import shlex
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from pathlib import Path

from lina_lab.cell.attempt import STARTING
from lina_lab.config.engine import EngineConfig
from lina_lab.errors import LabError
from lina_lab.files import write_atomic
from lina_lab.interpreter import command
from lina_lab.ledger.leases import FAULTS, Watch, faults, last_attempt, this_job
from lina_lab.ledger.plan import load_plan
from lina_lab.ledger.result import is_done
from lina_lab.ledger.status import read_status
from lina_lab.sweep.alike import Alike
from lina_lab.sweep.planning import PlannedSweep
from lina_lab.sweep.run import Steering

logger = logging.getLogger(__name__)

LARGEST_ARRAY = 1000
"""SLURM's default MaxArraySize allows task numbers up to 1000."""


def submit(
    runs: Path, planned: PlannedSweep, engine: EngineConfig, retries: int, *, keep_going: bool = False
) -> tuple[dict[str, int], str]:
    """Submit every cell that has no result, no worker and no job.

    Returns: job number to number of cells; and the job that continues when these have ended, or ''.

    Raises:
        LabError: if sbatch is missing or refuses the job.
    """
    name = planned.plan.name
    steering = Steering(runs, planned, retries)
    folders, until = steering.advance()
    waiting = queued(runs, name)
    todo = [(f.resolve(), until.get(f, 0)) for f in folders if f.resolve() not in waiting and _needs_a_job(f, retries)]
    words = ["--retries", str(retries), *(["--keep-going"] if keep_going else [])]
    jobs: dict[str, int] = {}
    before: list[str] = []
    for generation in _generations(todo, {f.resolve(): other.resolve() for f, other in steering.after.items()}):
        chunks = [generation[first : first + LARGEST_ARRAY] for first in range(0, len(generation), LARGEST_ARRAY)]
        # Each array reads its own file of cells, so that a later submission does not change what a waiting job runs.
        new = {_submit_array(runs, name, chunk, engine, words, before): len(chunk) for chunk in chunks}
        jobs, before = jobs | new, list(new)
    return jobs, _go_on_after(runs, name, engine, list(jobs)) if steering.open and jobs else ""


def _generations(todo: Sequence[tuple[Path, int]], after: Mapping[Path, Path]) -> Iterator[list[tuple[Path, int]]]:
    """Cells that wait for none of the others, then those that go on from these, and so on."""
    folders = {folder for folder, _ in todo}

    def age(cell: tuple[Path, int]) -> int:
        folder, steps = cell[0], 0
        while (folder := after.get(folder, Path())) in folders:
            steps += 1
        return steps

    for _, cells in groupby(sorted(todo, key=age), key=age):
        yield list(cells)


def _go_on_after(runs: Path, name: str, engine: EngineConfig, jobs: Sequence[str]) -> str:
    """Submit the present command again, to run when the jobs have ended in any way: it finds what can run then."""
    script = _folder(runs, name) / f"{time.time_ns()}.next.sh"
    options = _options(name, engine) | {"dependency": f"afterany:{':'.join(jobs)}", "output": f"{script.parent}/%j.log"}
    again = command("lina_lab.cli.main", *sys.argv[1:])
    write_atomic(script, _script(options, engine, f"exec {shlex.join(again)}"))
    return _ask("sbatch", "--parsable", str(script)).strip().partition(";")[0]


def _needs_a_job(folder: Path, retries: int) -> bool:
    return not is_done(folder) and Watch().is_over(last_attempt(folder)) and faults(folder) <= retries


def _submit_array(
    runs: Path,
    name: str,
    todo: Sequence[tuple[Path, int]],
    engine: EngineConfig,
    words: Sequence[str],
    before: Sequence[str],
) -> str:
    """Submit cells, to begin when the jobs `before` have ended in any way: the number of their job."""
    folder = _folder(runs, name)
    script = folder / f"{time.time_ns()}.sh"
    write_atomic(script.with_suffix(".cells"), "".join(f"{cell}\n" for cell, _ in todo))
    write_atomic(script.with_suffix(".until"), "".join(f"{until}\n" for _, until in todo))
    write_atomic(script, job_script(name, script.with_suffix(".cells"), len(todo), engine, words, before))
    job = _ask("sbatch", "--parsable", str(script)).strip().partition(";")[0]
    write_atomic(script.with_suffix(".job"), job)
    return job


def job_script(
    name: str,
    cells: Path,
    count: int,
    engine: EngineConfig,
    words: Sequence[str] = (),
    before: Sequence[str] = (),
) -> str:
    """The script of a job array: one task for each line of a file of cells and of a file of pausing steps.

    `words` are more arguments for `lab cell run`; `before` are jobs that have to end first.
    """
    limit = f"%{engine.max_jobs}" if engine.max_jobs else ""
    options = _options(name, engine) | {
        "array": f"1-{count}{limit}",
        "output": f"{cells.parent}/%A_%a.log",
        "open-mode": "append",
        # Requeued by SLURM after node failure or preemption; near the time limit `lab cell run` requeues itself.
        "requeue": None,
        # To the batch shell (B:), because `exec` replaces it by `lab cell run`.
        "signal": f"B:TERM@{engine.stop_seconds}",
        "gres": f"gpu:{engine.gpus}" if engine.gpus else False,
        "dependency": f"afterany:{':'.join(before)}" if before else False,
    }
    if engine.num_nodes > 1:
        options |= {"nodes": engine.num_nodes, "ntasks-per-node": 1}
    run = command("lina_lab.cli.main", "cell", "run")
    words = ["--sweep", name, *words, "--per-gpu", str(engine.per_gpu), f"--hang-minutes={engine.hang_minutes:g}"]
    words += [f"--{key.replace('_', '-')}={value}" for key, value in engine.group._asdict().items()]
    return _script(
        options,
        engine,
        f'cell=$(sed -n "${{SLURM_ARRAY_TASK_ID}}p" {shlex.quote(str(cells))})',
        f'until=$(sed -n "${{SLURM_ARRAY_TASK_ID}}p" {shlex.quote(str(cells.with_suffix(".until")))})',
        f'exec {shlex.join(run)} "$cell" --until "$until" {shlex.join(words)}',
    )


def _options(name: str, engine: EngineConfig) -> dict[str, str | int | bool | None]:
    """sbatch options of every job; None for a flag without value, False to leave an option out."""
    return {
        "job-name": f"lab-{name}",
        "time": engine.time,
        "cpus-per-task": engine.cpus,
        "partition": engine.partition or False,
        "account": engine.account or False,
        "qos": engine.qos or False,
        "mem": engine.memory or False,
    }


def _script(options: Mapping[str, str | int | bool | None], engine: EngineConfig, *commands: str) -> str:
    words = [
        f"--{key}" if value is None else f"--{key}={value}" for key, value in options.items() if value is not False
    ]
    return "\n".join(
        [
            "#!/bin/bash",
            *(f"#SBATCH {word}" for word in (*words, *engine.options)),
            # Relative paths of the command line, as runs/, must mean the same on the node.
            f"cd {shlex.quote(str(Path.cwd()))} || exit 1",
            *engine.setup,
            *commands,
            "",
        ]
    )


def queued(runs: Path, name: str) -> set[Path]:
    """Folders of a sweep's cells with a waiting or running job, as far as SLURM knows: only a hint."""
    folders: set[Path] = set()
    for path in sorted(_folder(runs, name).glob("*.job")):
        tasks = _tasks(path.read_text(encoding="utf-8"))
        cells = path.with_suffix(".cells").read_text(encoding="utf-8").splitlines()
        folders |= {Path(cells[task - 1]) for task in tasks if task <= len(cells)}
    return folders


def _tasks(job: str) -> Iterator[int]:
    try:
        listed = _ask("squeue", "--noheader", "--array", "--jobs", job, "--format", "%i")
    except LabError as error:  # a job that SLURM has forgotten is an error to squeue
        logger.debug("job %s counts as ended: %s", job, error)
        return
    for line in listed.splitlines():
        task = line.strip().partition("_")[2]
        if task.isdigit():
            yield int(task)


def failed_in_array(runs: Path, name: str) -> Alike:
    """How the last attempts of this job's array at a sweep's cells ended, in order of their start.

    With it a broken environment costs only the first jobs of an array.
    """
    array, alike = this_job().partition("_")[0], Alike()
    lasts = [last_attempt(runs / cell.key) for cell in load_plan(runs, name).everything] if array else []
    ended = [a for a in lasts if a is not None and a.ended is not None and a.job.partition("_")[0] == array]
    for attempt in sorted(ended, key=lambda attempt: attempt.started):
        folder = attempt.path.parents[1]
        early = attempt.ended in FAULTS and read_status(folder).phase in {"", STARTING}
        alike.note(folder, attempt.reason, early=early)
    return alike


def requeue_this_job() -> bool:
    """Requeue the job of this process, unless it was cancelled; of an array only this task."""
    job = this_job()
    if not job:
        return False
    try:
        if set(_states(_ask("scontrol", "show", "job", job))) != {"RUNNING"}:
            return False
        _ask("scontrol", "requeue", job)
    except LabError as error:
        logger.warning("not requeued: %s", error)
        return False
    return True


def _states(shown: str) -> list[str]:
    """States by job, as scontrol shows them."""
    fields = [line.split()[0] for line in shown.splitlines() if line.strip()]
    return [field.removeprefix("JobState=") for field in fields if field.startswith("JobState=")]


def _ask(*command: str) -> str:
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=120)
    except FileNotFoundError as error:
        raise LabError(
            f"{command[0]}: no such command: the slurm engine needs a machine that can submit jobs"
        ) from error
    except subprocess.CalledProcessError as error:
        raise LabError(f"{command[0]}: {error.stderr.strip()}") from error
    except subprocess.TimeoutExpired as error:
        raise LabError(f"{command[0]} did not answer within {error.timeout:g} s") from error
    return done.stdout


def _folder(runs: Path, name: str) -> Path:
    return runs.resolve() / "sweeps" / f"{name}.slurm"
