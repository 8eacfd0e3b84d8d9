"""A folder with a plugin file, an experiment and a sweep."""

from pathlib import Path

import pytest

from lina_lab.design import computed, data_sets, extractors, sizes
from lina_lab.design.axes import AXES
from lina_lab.plugins import load
from tests.plugins.files import COSINE, EXPERIMENT, SWEEP


@pytest.fixture(autouse=True)
def nothing_stays():
    """No plugin that one test loads is there in another."""
    yield
    forget()


def forget() -> None:
    """As another process, which has loaded no plugin."""
    load.LOADED.clear()
    tables = [extractors.FEATURES, extractors.LOADERS, computed.NORMALIZATIONS, computed.FEATURE_MAPS]
    tables += [data_sets.SOURCES, data_sets.SIZES, data_sets.LOADERS, sizes.OWN]
    for table in (*tables, *(axis.values for axis in AXES.values())):
        for word in [word for word in table if "@" in str(word)]:
            del table[word]


@pytest.fixture
def folder(tmp_path, monkeypatch) -> Path:
    files = {"mine.py": COSINE, "base.yaml": EXPERIMENT, "sweep.yaml": SWEEP}
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    monkeypatch.chdir(tmp_path)
    return tmp_path
