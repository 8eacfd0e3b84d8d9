"""A plugin file: what it adds, what is refused, with file and line, and what its digest is of."""

import hashlib
import subprocess
from pathlib import Path

import pytest

from lina_lab.design.computed import FEATURE_MAPS, NORMALIZATIONS
from lina_lab.design.normalization import FEATURE_MAP, NORMALIZATION
from lina_lab.errors import LabError
from lina_lab.plugins import load
from tests.plugins.files import COSINE

HEAD = "from lina_lab.plugins.designs import Core, FeatureMap\n"
SQUARE = 'FeatureMap("square", formula="u²", source="s", phi=lambda u: u * u)'


def test_a_value_is_in_the_tables_of_its_axis_under_its_word_and_digest(folder):
    plugin = load.load(folder / "mine.py")
    digest = hashlib.sha256((folder / "mine.py").read_bytes()).hexdigest()[:12]
    assert plugin.source.digest == digest
    assert plugin.words == {
        "normalization": {"cosine": f"cosine@{digest}"},
        "feature_map": {"square": f"square@{digest}"},
    }
    assert NORMALIZATION[f"cosine@{digest}"].formula.startswith("o_n = mean")
    assert FEATURE_MAP[f"square@{digest}"].positive
    assert f"cosine@{digest}" in NORMALIZATIONS
    assert f"square@{digest}" in FEATURE_MAPS


def test_two_versions_of_a_file_stand_side_by_side(folder):
    old = load.load(folder / "mine.py")
    (folder / "mine.py").write_text(COSINE.replace("u * u", "2 * u * u"))
    new = load.load(folder / "mine.py")
    maps = [FEATURE_MAPS[plugin.words["feature_map"]["square"]] for plugin in (old, new)]
    assert [phi(3) for phi in maps] == [9, 18]


def test_a_file_runs_once(folder, capsys):
    (folder / "mine.py").write_text(COSINE + "print('loaded')\n")
    assert load.load(folder / "mine.py") is load.load(folder / "mine.py")
    out, err = capsys.readouterr()
    assert (out, err) == ("", "loaded\n")


def test_the_digest_of_several_files_is_that_of_the_lines_of_sha256sum(folder):
    (folder / "table.csv").write_text("1,2\n")
    (folder / "mine.py").write_text(COSINE + 'FILES = ["table.csv"]\n')
    command = "sha256sum mine.py table.csv | sha256sum"
    lines = subprocess.run(command, shell=True, cwd=folder, capture_output=True, text=True, check=True)  # noqa: S602
    first = load.load(folder / "mine.py").source.digest
    assert first == lines.stdout[:12]
    (folder / "table.csv").write_text("1,3\n")
    assert load.load(folder / "mine.py").source.digest != first


def test_a_copy_is_loaded_like_the_file_and_refused_once_it_was_changed(folder):
    digest = load.load(folder / "mine.py").source.digest
    load.write_copies(folder / "cell", [digest])
    load.LOADED.clear()
    load.load_copies(folder / "cell")
    assert list(load.LOADED) == [digest]
    copy = folder / "cell" / "plugins" / f"mine@{digest}" / "mine.py"
    copy.write_text(COSINE + "raise SystemExit\n")
    with pytest.raises(LabError, match=rf"mine\.py: was changed: its digest must be {digest}, not"):
        load.load_copies(folder / "cell")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("import torch\n1 +\n", "2: is not Python: invalid syntax"),
        ("raise RuntimeError('no\\x1b[31m')\n", r"1: RuntimeError: no\\x1b\[31m"),
        ("import sys\nsys.exit(3)\n", "2: SystemExit: 3"),
        ("x = 1\n", r"1: has no PROVIDES: must end in a list, as PROVIDES = \[Core"),
        ("PROVIDES = []\n", "1: has no PROVIDES"),
        ("\nPROVIDES = ['x']\n", r"2: PROVIDES must hold values as Core\('mine', \.\.\.\), not 'x'"),
        (f"{HEAD}PROVIDES = [Core('x')]\n", "2: TypeError: .* missing 3 required keyword-only arguments: 'formula'"),
        (
            HEAD + "PROVIDES = [\n" + SQUARE.replace('"square"', '"a b"') + "]\n",
            "3: word must be a letter and then .*, not 'a b'",
        ),
        (HEAD + f"PROVIDES = [{SQUARE.replace('square', '<b>')}]\n", "2: word must be a letter .*, not '<b>'"),
        (
            HEAD + f"PROVIDES = [{SQUARE.replace('lambda u', 'lambda u, w')}]\n",
            "2: square: phi must be a function of 1 arguments, not <function",
        ),
        (HEAD + f"PROVIDES = [{SQUARE.replace('u²', '')}]\n", "2: square: formula must be a line of text, not ''"),
        (HEAD + f"PROVIDES = [\n{SQUARE},\n{SQUARE}]\n", "4: provides feature_map square twice"),
        (
            HEAD + f"PROVIDES = [{SQUARE.replace('square', 'relu')}]\n",
            "2: feature_map relu is shipped with LINA Lab: give yours another word",
        ),
        ("FILES = ['../x']\n", r"1: FILES must be a list of names of files in its folder, not \['../x'\]"),
        ("FILES = glob('*')\n", "1: FILES must be a list of names"),
        ("import helper\n", "1: ModuleNotFoundError: .*; a plugin is one file"),
        ("x = '\0'\n", "is not Python"),
    ],
)
def test_what_is_wrong_with_a_file_is_told_with_its_line(folder, text, message):
    (folder / "mine.py").write_text(text)
    (folder / "helper.py").write_text("")
    with pytest.raises(LabError, match=rf"mine\.py:{message}" if message[0].isdigit() else message):
        load.load(folder / "mine.py")
    assert load.LOADED == {}


def test_a_file_that_is_not_there_is_told(folder):
    with pytest.raises(LabError, match=r"other\.py: cannot be read: No such file"):
        load.load(folder / "other.py")
    (folder / "mine.py").write_text("FILES = ['w.npz']\n" + COSINE)
    with pytest.raises(LabError, match=r"w\.npz: cannot be read: No such file"):
        load.load(folder / "mine.py")


def test_a_file_that_takes_long_says_so(folder, monkeypatch, caplog):
    monkeypatch.setattr(load, "SLOW_SECONDS", 0.01)
    (folder / "mine.py").write_text("import time\ntime.sleep(0.1)\n" + COSINE)
    load.load(folder / "mine.py")
    assert "mine.py: still loading after" in caplog.text


def test_a_package_is_loaded_by_its_entry_point_and_only_if_it_is_named(folder, monkeypatch):
    made = folder / "site" / "my_pkg-1.dist-info"
    made.mkdir(parents=True)
    (made / "METADATA").write_text("Metadata-Version: 2.1\nName: my-pkg\nVersion: 1\n")
    (made / "entry_points.txt").write_text("[lina_lab.designs]\nmine = my_pkg\n")
    (folder / "site" / "my_pkg.py").write_text(COSINE)
    monkeypatch.syspath_prepend(folder / "site")
    assert load.find("my-pkg", folder) == folder / "site" / "my_pkg.py"
    assert load.find("mine.py", folder) == folder / "mine.py"
    with pytest.raises(LabError, match=r"other: no such plugin: must be a path that ends in \.py, or a package"):
        load.find("other", Path())
    assert load.LOADED == {}
