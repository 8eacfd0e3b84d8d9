"""An engine that looks often."""

import pytest

from lina_lab.sweep import local_engine


@pytest.fixture(autouse=True)
def short_ticks(monkeypatch):
    """No machine is so fast that a cell ends before a test sees it at work."""
    monkeypatch.setattr(local_engine, "TICK_SECONDS", 0.05)
