"""What is refused of options before anything is computed, and nothing else."""

import os
from pathlib import Path

import pytest
from typer.testing import CliRunner

from lina_lab.cli import main
from lina_lab.cli.options import out_file, out_folder, server_host, worker_count


def lab(*words: str) -> tuple[int, str]:
    done = CliRunner().invoke(main.app, words)
    return done.exit_code, done.output


@pytest.mark.parametrize(
    "command", ["sweep s.yaml", "retry s", "cell run x", "cache e.yaml", "evaluate x", "guidance x"]
)
@pytest.mark.parametrize("count", ["0", "-1", "two", "1.5", "", "\u0662x"])
def test_workers_are_a_number_from_1_on_or_auto(command, count):
    code, output = lab(*command.split(), f"--workers={count}")
    assert code == 2
    assert f"must be a number from 1 on, or auto, not {count}" in output


def test_what_workers_mean():
    assert (worker_count("auto"), worker_count("3")) == ("auto", 3)


@pytest.mark.parametrize("number", ["0", "-1", "nan", "inf", "-inf", "many"])
@pytest.mark.parametrize(
    "words",
    ["sample x --guidance", "evaluate x --guidance", "guidance x --guidance", "sweep s --tflops", "profile --limit"],
)
def test_a_number_that_must_be_above_0_is(words, number):
    code, output = lab(*f"{words}={number}".split())
    assert code == 2
    assert f"must be a number above 0, not {number}" in output


@pytest.mark.parametrize(
    "words",
    [
        *(
            "sweep s --per-gpu 0",
            "sweep s --devices 0",
            "sweep s --retries -1",
            "sweep s --max-cells 0",
            "ui --port -1",
        ),
        *(
            "demo x --port -1",
            "profile --tokens 0",
            "evaluate x --num-samples 1",
            "sample x --each 0",
            "sample x --seed -1",
        ),
    ],
)
def test_a_count_out_of_its_range_is_refused(words):
    code, output = lab(*words.split())
    assert (code, "Invalid value for" in output) == (2, True)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("table s --out nowhere/t.csv", "nowhere/t.csv: there is no folder nowhere: make it first"),
        ("table s --out t.txt", "t.txt: must end in .csv or .parquet"),
        ("table s --out folder.csv", "folder.csv: is a folder: name a file"),
        ("reference e.yaml --out nowhere/r.npz", "there is no folder nowhere"),
        ("sample x --out nowhere/s.png", "there is no folder nowhere"),
        ("evaluate x --npz nowhere/s.npz", "there is no folder nowhere"),
        ("evaluate x --png file/below", "is a file: name a folder"),
        *(
            (f"{command} --out file", "is a file: name a folder")
            for command in ("report s", "profile", "figures paper")
        ),
        *(
            (f"figures {command} --out file/x", "is a file: name a folder")
            for command in ("gates x", "profile x", "sampling x")
        ),
        ("geneval export x --prompts p --out file", "is a file: name a folder"),
        ("export x file", "is a file: name a folder"),
    ],
)
def test_a_place_that_cannot_be_written_to_is_told_first(tmp_path, monkeypatch, words, message):
    monkeypatch.chdir(tmp_path)
    Path("file").touch()
    Path("folder.csv").mkdir()
    code, output = lab(*words.split())
    assert code == 2
    assert message in " ".join(output.split())


def test_a_place_that_can_be_written_to_is_taken_as_it_is(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for path in (None, Path("-"), Path("a.csv"), tmp_path / "a.csv"):
        assert out_file(".csv")(path) == path
    for path in (None, Path("new/deep"), tmp_path, Path(), Path("..") / "x"):
        assert out_folder(path) == path
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    with pytest.raises(Exception, match="may not be written to"):
        out_folder(tmp_path)


@pytest.mark.parametrize("host", ["127.0.0.1", "127.1.2.3", "::1", "localhost"])
def test_a_server_for_this_machine_alone_says_nothing(host, capsys):
    assert server_host(host) == host
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.5", "node7", "localhost.example", ""])  # noqa: S104
def test_a_server_that_others_reach_is_warned_of(host, capsys):
    assert server_host(host) == host
    assert "everyone who reaches this machine can read" in capsys.readouterr().err
