"""A verdict for a message is what a report says first."""

import pytest

from lina_lab.analysis.short import verdict_in_short
from lina_lab.errors import LabError
from lina_lab.report.page import write_report
from tests.study import TWO


@pytest.mark.slow
def test_it_is_what_a_report_tells(study, tmp_path, monkeypatch):
    monkeypatch.setattr("lina_lab.report.page.FORMATS", ("png",))
    made, told = study(axes=TWO), []
    made.unfinish(0, "waiting")
    made.unfinish(1, "waiting")
    with pytest.raises(LabError):
        verdict_in_short(made.runs, made.stored)
    made.change(0)
    made.change(1)
    write_report(made.runs, made.stored, tmp_path / "out", tell=told.append)
    assert verdict_in_short(made.runs, made.stored) == told
    assert told
