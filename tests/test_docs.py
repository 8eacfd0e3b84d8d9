"""The handbook says what is true: its links and paths lead somewhere, its commands parse, the README stays short."""

import re
import shlex
import subprocess
from pathlib import Path

import pytest
import typer

from lina_lab.cli.main import app

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / name for name in ("README.md", "ARCHITECTURE.md", "CONTRIBUTING.md")] + sorted(ROOT.glob("docs/*.md"))
TOP = ("lina_lab", "docs", "tests", "experiments", "sweeps", "analysis", "benchmarks", "reports")
READERS_OWN = {
    "sweeps/gates.yaml",
    "reports/gates",
    "reports/SWEEP",
    "reports/coordinates",
    "reports/demo",
    "reports/guidance",
    "reports/profile",
}
"""What a page asks its reader to write, or what that makes."""
LONGEST_LINE = 400
"""Characters of a paragraph or list item: beyond it nobody finds the sentence again. Rows of tables may be longer."""

pages = pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)


def prose(page):
    """A page without its code blocks."""
    return re.sub(r"^```.*?^```", "", page.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)


def commands(page):
    """The words of every `lab` command in the code blocks of a page, without their comments."""
    blocks = re.findall(r"^```console\n(.*?)^```", page.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    whole = "\n".join(blocks).replace("\\\n", " ")
    lines = re.findall(r"^\$ lab (.*)$", whole, flags=re.MULTILINE)
    return [shlex.split(line.replace(" ...", ""), comments=True) for line in lines]


def parse(words):
    """What Typer makes of the words of a command, down to the command that would run.

    Raises:
        click.UsageError: if they are not what a command takes.
    """
    command, name = typer.main.get_command(app), "lab"
    context = command.make_context(name, list(words))
    while hasattr(command, "resolve_command"):
        rest = [*context._protected_args, *context.args]
        name, command, rest = command.resolve_command(context, rest)
        context = command.make_context(name, rest, parent=context)
    return context


def anchors(page):
    """The anchors of a page's headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.*)$", prose(page), flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def expanded(path):
    """A path with {a,b} in it as the paths that it stands for."""
    before, brace, rest = path.partition("{")
    if not brace:
        return [path]
    choices, _, after = rest.partition("}")
    return [whole for choice in choices.split(",") for whole in expanded(before + choice + after)]


def named_paths(page):
    """Paths of this repository that stand in backticks, from its root or, for modules, from the package."""
    words = [word for code in re.findall(r"`([^`\n]+)`", prose(page)) for word in code.split()]
    for word in (word.rstrip("/").removesuffix("...") for word in words):
        if "<" in word or "*" in word or "/" not in word:
            continue
        if word.split("/")[0] in TOP or re.fullmatch(r"[a-z_]+/[a-z_]+\.py", word):
            yield from expanded(word)


def test_readme_is_read_in_five_minutes():
    assert len((ROOT / "README.md").read_text(encoding="utf-8").split()) < 1200


@pages
def test_every_relative_link_leads_somewhere(page):
    for target in re.findall(r"\]\(([^)\s]+)\)", prose(page)):
        if re.match(r"https?://", target):
            continue
        path, _, anchor = target.partition("#")
        there = page.parent / path if path else page
        assert there.exists(), target
        if anchor:
            assert anchor in anchors(there), target


@pages
def test_every_path_that_is_named_exists(page):
    missing = [
        path
        for path in named_paths(page)
        if path not in READERS_OWN and not (ROOT / path).exists() and not (ROOT / "lina_lab" / path).exists()
    ]
    assert missing == []


@pages
def test_every_command_parses(page):
    for words in commands(page):
        parse(words)


def verbs():
    """Every command by its words, groups included: `sweep`, `cell run`."""
    root = typer.main.get_command(app)
    groups = {name: list(getattr(command, "commands", {})) for name, command in root.commands.items()}
    return {*groups, *(f"{name} {inner}" for name, inners in groups.items() for inner in inners)}


@pages
def test_every_verb_that_is_named_exists(page):
    named = set(re.findall(r"`lab ([a-z]+)", prose(page)))
    assert named - verbs() == set()


def test_every_verb_is_listed():
    text = (ROOT / "docs" / "commands.md").read_text(encoding="utf-8").replace("\\|import", "`, `lab geneval import")
    groups = {verb.split()[0] for verb in verbs() if " " in verb}
    assert [verb for verb in sorted(verbs() - groups) if f"`lab {verb}" not in text] == []


def test_a_wrong_option_would_be_seen():
    with pytest.raises(Exception, match="No such option"):
        parse(["sweep", "sweeps/digits.yaml", "--workres", "2"])


@pages
def test_lines_that_a_diff_adds_are_in_their_file(page):
    blocks = re.findall(r"^```diff\n(.*?)^```", page.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    for path, change in re.findall(r"^\+\+\+ b/(\S+)\n((?:(?!--- ).*\n)*)", "".join(blocks), flags=re.MULTILINE):
        added = [line[1:] for line in change.splitlines() if line.startswith("+")]
        assert added
        assert [line for line in added if line not in (ROOT / path).read_text(encoding="utf-8").splitlines()] == []


@pages
def test_no_paragraph_is_a_wall(page):
    lines = [line for line in prose(page).splitlines() if not line.startswith("|")]
    assert [line for line in lines if len(line) > LONGEST_LINE] == []


def git(*words):
    """The lines that git prints of this checkout."""
    done = subprocess.run(["git", *words], cwd=ROOT, capture_output=True, text=True, check=False)
    if "not a git repository" in done.stderr:
        pytest.skip("no git checkout")
    return done.stdout.splitlines()


def test_what_commands_write_by_default_is_ignored_by_git_and_no_file_of_ours():
    """A clone stays as it was after `make demo`, and our own measurements are not overwritten by a reader's."""
    recipe = subprocess.run(["make", "-n", "demo"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    (demo,) = re.findall(r"lab report (\S+)", recipe)
    assert f"lab sweep sweeps/{demo}.yaml" in recipe
    folders = [f"reports/{name}" for name in (demo, f"{demo}@0a1b2c", "guidance", "profile")]
    written = ["runs/ab12/result.json", "reports/digits/01_scaling_curves.ipynb"]
    written += [f"{folder}/index.html" for folder in folders]
    assert git("check-ignore", *written) == written
    assert git("ls-files", *folders, "runs") == []
    assert git("check-ignore", "reports/gates/index.html") == []
