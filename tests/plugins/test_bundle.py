"""A study in parts with a plugin: its source travels as text, and only a file that the user names is ever run."""

import pytest
from typer.testing import CliRunner

from lina_lab import study
from lina_lab.bundle.archive import read_archive, write_archive
from lina_lab.bundle.pack import pack
from lina_lab.bundle.verify import verified
from lina_lab.cli.main import app
from lina_lab.errors import LabError
from lina_lab.ledger.cells import read_experiment
from lina_lab.ledger.part import parse_part
from lina_lab.plugins import load
from tests.plugins.conftest import forget
from tests.plugins.files import COSINE
from tests.study import TWO, FakeStudy

LOUD = COSINE + "\nwith open('ran', 'a') as trace:\n    trace.write('x')\n"
"""A plugin that leaves a trace wherever it runs."""


@pytest.fixture
def made(folder) -> FakeStudy:
    """Two seeds of division and of the plugin's design, as another machine has them; here nothing of it is known."""
    (folder / "mine.py").write_text(LOUD)
    (digest,) = [load.load(folder / "mine.py").source.digest]
    own = FakeStudy(folder / "other", [0, 1], TWO | {"model.attention.normalization": ["division", f"cosine@{digest}"]})
    for seed in (0, 1):
        pack(own.runs, own.stored, folder / f"{seed}.tar.gz", parse_part([f"seed={seed}"], own.stored))
    forget()
    (folder / "ran").unlink()
    return own


def copied(folder) -> dict[str, bytes]:
    return {name: data for name, data in read_archive(folder / "0.tar.gz") if name.startswith("plugins/")}


def test_a_bundle_has_the_source_of_its_cells_once(made, folder):
    own = read_experiment(made.folder(2)).model.decoder.normalization
    digest = own.partition("@")[2]
    assert copied(folder) == {f"plugins/mine@{digest}/mine.py": LOUD.encode()}


def test_a_plugin_that_nobody_named_here_is_refused_and_never_run(made, folder):
    with pytest.raises(LabError, match=r"0\.tar\.gz: .*: uses cosine@\w{12}, of a plugin that .* name it: --plugin"):
        study.merge("0.tar.gz", runs="runs")
    assert not (folder / "ran").exists()
    assert not (folder / "runs").exists()


def test_a_plugin_that_the_user_names_is_taken_from_the_users_file(made, folder):
    result = CliRunner().invoke(app, ["merge", "0.tar.gz", "--plugin", "mine.py"], catch_exceptions=False)
    assert "2 added to runs/" in result.output
    assert (folder / "ran").read_text() == "x"
    (folder / "mine.py").unlink()
    forget()
    cells = {cell.key: cell.values["normalization"] for cell in made.plan.cells}
    for key, word in cells.items():
        own = read_experiment(folder / "runs" / key)
        assert own == read_experiment(made.runs / key)
        assert own.model.decoder.normalization == word


def test_a_changed_file_is_another_plugin(made, folder):
    (folder / "mine.py").write_text(LOUD + "# a thought\n")
    with pytest.raises(LabError, match="of a plugin that"):
        study.merge("0.tar.gz", plugins=["mine.py"], runs="runs")
    assert not (folder / "runs").exists()


def test_what_cells_of_this_ledger_use_was_named_before(made, folder):
    study.merge("0.tar.gz", plugins=["mine.py"], runs="runs")
    (folder / "mine.py").unlink()
    forget()
    (found,) = study.merge("1.tar.gz", runs="runs")
    assert found.added == 2


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("plugins/mine@{digest}/mine.py", "plugins/mine@{digest}: was changed"),
        ("plugins/mine@{digest}/more.npz", "plugins/mine@{digest}: was changed"),
        ("plugins/mine@{digest}/../mine.py", "is no member of a bundle"),
        ("plugins/mine@{digest}/.profile", "is no member of a bundle"),
        ("plugins/mine@{digest}//mine.py", "is no member of a bundle"),
        ("plugins/mine.py", "is no member of a bundle"),
    ],
)
def test_a_source_that_is_not_what_it_is_called_is_refused(made, folder, name, message):
    (own,) = copied(folder)
    digest = own.partition("@")[2][:12]
    members = dict(read_archive(folder / "0.tar.gz")) | {name.format(digest=digest): b"1\n"}
    load.load(folder / "mine.py")
    write_archive(folder / "bad.tar.gz", lambda: iter(members.items()), {})
    with pytest.raises(LabError, match=message.format(digest=digest)):
        verified(folder / "bad.tar.gz")


def test_files_that_a_plugin_names_travel_with_it_unless_one_is_too_large(folder, monkeypatch):
    (folder / "table.bin").write_bytes(b"0123456789" * 1000)
    (folder / "mine.py").write_text("FILES = ['table.bin']\n" + COSINE)
    digest = load.load(folder / "mine.py").source.digest
    own = FakeStudy(folder / "other", [0], TWO | {"model.attention.normalization": ["division", f"cosine@{digest}"]})
    pack(own.runs, own.stored, folder / "0.tar.gz")
    assert [name.partition("/mine@")[2] for name in copied(folder)] == [f"{digest}/mine.py", f"{digest}/table.bin"]
    assert verified(folder / "0.tar.gz").plan == own.stored._replace(file="")
    monkeypatch.setattr("lina_lab.bundle.pack.MOST_BYTES", 9_000)
    pack(own.runs, own.stored, folder / "0.tar.gz")
    assert copied(folder) == {}
