"""What all commands have in common: examples in their help, and log lines."""

import logging
import re
import shlex
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from lina_lab.cli.main import app
from lina_lab.ledger.plan import plan_path, store_plan
from lina_lab.logs import show_logs
from tests.study import PROVENANCE

ROOT = Path(__file__).parents[2]


def commands(group, *path):
    """Every command with the words that call it."""
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            yield from commands(command, *path, name)
        else:
            yield pytest.param(command, [*path, name], id=" ".join([*path, name]))


COMMANDS = list(commands(typer.main.get_command(app)))


def test_there_are_commands_below_others_as_well():
    assert {"sweep", "figures gates", "geneval import", "cell run"} <= {found.id for found in COMMANDS}


@pytest.mark.parametrize(("command", "path"), COMMANDS)
def test_help_ends_with_examples_that_can_be_copied(command, path, tmp_path, monkeypatch):
    """Each stands in one line, names files that are there, and has only words that the command takes."""
    monkeypatch.chdir(tmp_path)
    shown = CliRunner().invoke(app, [*path, "--help"]).output
    examples = re.findall(r"^  Example: lab (.*)$", shown, re.MULTILINE)
    assert 1 <= len(examples) <= 2
    assert command.help.splitlines()[-1] == f"Example: lab {examples[-1]}"
    for words in map(shlex.split, examples):
        assert words[: len(path)] == path
        command.make_context(path[-1], words[len(path) :])
        files = [word for word in words if word.startswith(("sweeps/", "experiments/"))]
        assert all((ROOT / file).is_file() for file in files)


def test_an_example_with_a_word_too_many_would_be_seen():
    command = next(found.values[0] for found in COMMANDS if found.id == "status")
    with pytest.raises(Exception, match="No such option: --seed"):
        command.make_context("status", ["digits", "--seed", "1"])


@pytest.fixture
def damaged(study):
    """A sweep whose earlier plan cannot be read: `lab status` leaves it out without a word."""
    made = study()
    store_plan(made.runs, made.plan._replace(cells=made.plan.cells[:3]), PROVENANCE)
    plan_path(made.runs, made.stored.key).write_text("{")
    yield made.runs
    show_logs(logging.WARNING)


def test_verbose_shows_log_lines_on_standard_error_and_changes_nothing_else(damaged):
    words = ["status", "fake", "--runs", str(damaged)]
    plain, verbose = (CliRunner().invoke(app, [*more, *words]) for more in ([], ["-v"]))
    assert (plain.exit_code, plain.stderr) == (0, "")
    assert (verbose.exit_code, verbose.stdout) == (0, plain.stdout)
    assert re.match(r"\S+\+00:00 INFO lina_lab\.cli\.status: not listed: .*[0-9a-f]{8}\.json: damaged", verbose.stderr)
