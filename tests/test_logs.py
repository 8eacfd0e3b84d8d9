"""Log lines on standard error."""

import logging
import re
from unittest.mock import Mock

import pytest

from lina_lab.logs import show_logs

LOG = logging.getLogger("lina_lab.somewhere")


@pytest.fixture(autouse=True)
def _as_before():
    yield
    show_logs(logging.WARNING)


def test_a_line_says_when_how_grave_and_where_and_is_written_once(capsys):
    show_logs(logging.INFO)
    show_logs(logging.INFO)
    LOG.info("no lock for %s", "runs")
    LOG.debug("of no interest")
    when = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\+00:00"
    assert re.fullmatch(rf"{when} INFO lina_lab\.somewhere: no lock for runs\n", capsys.readouterr().err)


def test_the_level_can_be_changed(capsys):
    for level, lines in ((logging.WARNING, 0), (logging.DEBUG, 1)):
        show_logs(level)
        LOG.debug("git failed")
        assert len(capsys.readouterr().err.splitlines()) == lines


def test_control_characters_of_a_name_are_shown_and_lines_stay_lines(capsys):
    show_logs(logging.INFO)
    LOG.info("a\x1b[31mb\nc")
    first, second = capsys.readouterr().err.splitlines()
    assert first.endswith(r"a\x1b[31mb")
    assert second == "c"


def test_a_full_disk_or_a_closed_terminal_ends_no_work(monkeypatch):
    show_logs(logging.INFO)
    for error in (OSError("No space left on device"), ValueError("I/O operation on closed file")):
        monkeypatch.setattr("sys.stderr", Mock(write=Mock(side_effect=error)))
        LOG.info("one line")
