"""What a record says of the code: the code that was loaded, whatever the disk and the user's shell say meanwhile."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from lina_lab import provenance, record

SAY = (
    "import json; from lina_lab import provenance as p; {after}; r = p.of_cell(p.provenance()).as_json();"
    "print(json.dumps([r.get('commit'), p.checkout().diff.decode(), r['code'], p.rooms_of_commit('{commit}')]))"
)
CLEAN = {k: v for k, v in os.environ.items() if not k.startswith("GIT_")} | {"GIT_CONFIG_GLOBAL": "/dev/null"}


def git(folder: Path, *words: str) -> str:
    who = ["-c", "user.name=a", "-c", "user.email=a@b"]
    return subprocess.run(
        ["git", *who, *words], cwd=folder, env=CLEAN, check=True, capture_output=True, text=True
    ).stdout


@pytest.fixture
def checkout(tmp_path):
    """A checkout of a package of three files."""
    package = tmp_path / "checkout" / "lina_lab"
    (package / "model").mkdir(parents=True)
    shutil.copy(provenance.__file__, package)
    shutil.copy(record.__file__, package)
    (package / "__init__.py").touch()
    (package / "model" / "lina.py").write_text("WIDTH = 1\n")
    git(package.parent, "init", "-q")
    git(package.parent, "add", ".")
    git(package.parent, "commit", "-qm", "a")
    return package


def said(package: Path, after: str = "0", commit: str = "0" * 40, **variables: str) -> list:
    code = SAY.format(after=after, commit=commit)
    done = subprocess.run(
        [sys.executable, "-P", "-c", code],
        cwd=package.parent.parent,
        env=CLEAN | {"PYTHONPATH": str(package.parent)} | variables,
        check=True,
        capture_output=True,
        text=True,
    )
    return json.loads(done.stdout)


@pytest.mark.slow
def test_commit_changes_new_files_and_path_are_those_of_the_package(checkout):
    head = git(checkout, "rev-parse", "HEAD").strip()
    clean = said(checkout, commit=head)
    assert clean[:2] == [head, ""]
    assert clean[2]["path"] == str(checkout)
    assert clean[2]["rooms"] == clean[3]  # git gives the same digests for the commit
    (checkout / "model" / "new.py").write_text("NEW = 1\n")
    changed = said(checkout, commit=head)
    assert (changed[0], "+NEW = 1" in changed[1]) == (head, True)
    assert {room for room in clean[3] if clean[3][room] != changed[2]["rooms"][room]} == {"model"}
    assert git(checkout, "status", "--porcelain") == "?? lina_lab/model/new.py\n"  # the user's index is as it was


@pytest.mark.slow
def test_git_variables_and_settings_of_the_users_shell_change_nothing(checkout, tmp_path):
    (checkout / "model" / "lina.py").write_text("WIDTH = 2\n")
    plain = said(checkout)
    other = tmp_path / "other"
    other.mkdir()
    git(other, "init", "-q")
    settings = tmp_path / "gitconfig"
    settings.write_text("[diff]\n\tnoprefix = true\n\tcontext = 9\n\texternal = false\n[color]\n\tui = always\n")
    shell = {"GIT_DIR": str(other / ".git"), "GIT_WORK_TREE": str(other), "GIT_CONFIG_GLOBAL": str(settings)}
    assert said(checkout, **shell, GIT_INDEX_FILE="/nowhere", GIT_EXTERNAL_DIFF="/bin/false") == plain
    assert "+WIDTH = 2" in plain[1]


@pytest.mark.slow
def test_a_project_that_ignores_its_environment_lends_the_package_no_commit(checkout):
    project = checkout.parent.parent
    (project / ".gitignore").write_text("checkout\n")
    shutil.rmtree(checkout.parent / ".git")
    git(project, "init", "-q")
    git(project, "add", ".gitignore")
    git(project, "commit", "-qm", "b")
    assert said(checkout)[:2] == [None, ""]


@pytest.mark.slow
def test_a_change_on_the_disk_is_named_and_the_record_keeps_what_was_loaded(checkout):
    path, head = checkout / "model" / "lina.py", git(checkout, "rev-parse", "HEAD").strip()
    before = said(checkout)
    change = f"open({str(path)!r}, 'a').write('WIDTH = 3')"
    seen = said(checkout, after=f"p.checkout(); {change}")
    assert seen[:2] == [head, ""]
    assert seen[2] == before[2] | {"changed": ["model/lina.py"]}
    path.write_text("WIDTH = 1\n")
    assert said(checkout, after=change)[0] is None  # nobody had asked git before
