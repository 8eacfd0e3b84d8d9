"""What several rooms' tests share. Heavy imports stand where they are used: xdist's own process runs no test."""

import logging
import os
import re
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING
from unittest import mock

import pytest

from tests.browser import browser, chromium  # noqa: F401, fixtures

if TYPE_CHECKING:
    from lina_lab.data.examples import Dataset
    from tests.study import FakeStudy


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Of a file that is slow as a whole the quick lane does not even import what it tests."""
    if config.option.markexpr != "not slow" or not collection_path.match("test_*.py"):
        return None
    return True if re.search(r"^pytestmark = .*mark\.slow", collection_path.read_text(), re.MULTILINE) else None


def pytest_collection() -> None:
    import torch

    if not torch.cuda.is_available():
        # Read when Triton is first imported, by whichever test comes first.
        os.environ.setdefault("TRITON_INTERPRET", "1")


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Long ones first, above all groups, which one process runs: at the end none waits for another."""
    items.sort(key=lambda item: [item.get_closest_marker(name) is None for name in ("xdist_group", "slow")])


def pytest_runtest_setup(item: pytest.Item) -> None:
    import torch

    if item.get_closest_marker("gpu") and not torch.cuda.is_available():
        pytest.skip("needs a GPU")


@pytest.fixture(autouse=True)
def surroundings() -> Iterator[None]:
    """What a command changes of its own process is as before once a test ends."""
    import torch

    folder, path, threads = Path.cwd(), list(sys.path), torch.get_num_threads()
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    package = logging.getLogger("lina_lab")
    level, shown = package.level, list(package.handlers)
    with mock.patch.dict(os.environ):
        yield
    package.setLevel(level)
    package.handlers[:] = shown
    sys.path[:] = path
    os.chdir(folder)
    torch.set_num_threads(threads)
    for number, handler in handlers.items():
        signal.signal(number, handler)


@pytest.fixture(scope="session")
def dataset() -> "Dataset":
    """The handwritten digits."""
    from lina_lab.data.datasets import load_dataset
    from tests.cells import experiment

    return load_dataset(experiment().data)


@pytest.fixture(scope="session")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The finished cell of `experiment()`, which ran undisturbed; nobody changes it."""
    from lina_lab.cell.run import run_cell
    from lina_lab.ledger.cells import create_cell
    from tests.cells import experiment

    folder = create_cell(tmp_path_factory.mktemp("whole"), experiment())
    assert run_cell(folder) == "done"
    return folder


@pytest.fixture
def study(tmp_path):
    """`study(seeds=[0, 1])` makes a finished fake sweep."""
    from tests.study import AXES, FakeStudy

    def make(seeds: list[int] | None = None, axes: dict = AXES) -> "FakeStudy":
        return FakeStudy(tmp_path / "runs", seeds or [0], axes)

    return make


@pytest.fixture(scope="session")
def empty_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A new store takes seconds to make: it is made once and copied."""
    from lina_lab.tracking.store import connect, locked

    runs = tmp_path_factory.mktemp("empty")
    with pytest.MonkeyPatch.context() as patch, locked(runs):
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        connect(runs)
    return runs / "mlflow.db"
