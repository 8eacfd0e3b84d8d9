"""Where cells run: the user's engine file, overridden by a sweep's `engine:`. No result or key depends on it."""

import os
from pathlib import Path
from typing import Annotated, Literal, NamedTuple

from pydantic import Field

from lina_lab.config.base import Config, Count
from lina_lab.config.experiment import Experiment
from lina_lab.errors import LabError

USER_FILE = "LAB_ENGINE"
"""Environment variable that names the user's file."""
DEFAULT_USER_FILE = Path("~/.config/lina-lab/engine.yaml")


Strategy = Literal["ddp", "fsdp"]
WorkerCount = int | Literal["auto"]


class Group(NamedTuple):
    """The processes that train one cell together."""

    devices: int = 1
    """Processes on every node, a GPU each where there are any."""
    num_nodes: int = 1
    strategy: Strategy = "ddp"

    @property
    def size(self) -> int:
        return self.devices * self.num_nodes

    def check(self, experiment: Experiment) -> None:
        """Check that the processes divide the batch evenly; otherwise the mean of their gradients is not the batch's.

        Raises:
            LabError: with both numbers.
        """
        batch, micro_batches = experiment.training.batch_size, experiment.execution.accumulate
        if batch % (self.size * micro_batches):
            each = "" if micro_batches == 1 else f", each in {micro_batches} parts (execution.accumulate)"
            raise LabError(
                f"{experiment.name}: training.batch_size must be a multiple of the {self.size} processes that share it "
                f"(devices {self.devices} x num_nodes {self.num_nodes}){each}, not {batch}"
            )


ALONE = Group()


class Limits(NamedTuple):
    """When to give up on a worker, or on a whole sweep."""

    hang_minutes: float = 20.0
    """Minutes without progress after which a worker counts as hanging (sweep/hang.py); 0 for no limit."""
    keep_going: bool = False
    """Whether a sweep goes on when cells fail alike before their first step (sweep/alike.py)."""


LIMITS = Limits()


class EngineConfig(Config):
    name: Literal["local", "slurm"] = "local"
    per_gpu: Count = 1
    """Cells that share a GPU."""
    workers: Count | Literal["auto"] = "auto"
    """Local worker processes; auto: one a core, or `per_gpu` on every GPU."""
    devices: Count = 1
    """Processes on every node that train one cell together, a GPU each where there are any."""
    num_nodes: Count = 1
    """Nodes that train one cell together; more than one needs SLURM."""
    strategy: Strategy = "ddp"
    """ddp: every process has the whole model; fsdp: each keeps a share of weights, gradients and optimizer."""
    hang_minutes: Annotated[float, Field(ge=0, allow_inf_nan=False)] = LIMITS.hang_minutes
    """A worker that makes no step for so long (and ten times its usual step) is ended, its cell retried; 0: never."""
    partition: str | None = None
    account: str | None = None
    qos: str | None = None
    time: str = Field(default="12:00:00", pattern=r"^(\d+-)?\d+(:\d+){0,2}$")
    """SLURM's time limit of a job; a cell that needs longer is requeued and continues."""
    gpus: Annotated[int, Field(ge=0)] = 0
    """GPUs of a job on every node; `devices` of them train a cell."""
    cpus: Count = 2
    """Cores of a job."""
    memory: str | None = Field(default=None, pattern=r"^\d+[KMGT]?$")
    max_jobs: Count | None = None
    """Jobs of a sweep that may run at once."""
    stop_seconds: Count = 120
    """How long before its time limit a job is told to write a checkpoint."""
    setup: list[str] = []
    """Shell lines that a job runs first, as `module load cuda`."""
    options: list[str] = []
    """More options for sbatch, as `--constraint=a100`."""

    @property
    def group(self) -> Group:
        return Group(self.devices, self.num_nodes, self.strategy)

    def limits(self, *, keep_going: bool) -> Limits:
        return Limits(self.hang_minutes, keep_going)


def user_file() -> Path | None:
    """The user's engine file, if there is one."""
    named = os.environ.get(USER_FILE)
    path = Path(named or os.path.expanduser(DEFAULT_USER_FILE))  # noqa: PTH111, a user without a home is no error
    return path if named or path.exists() else None
