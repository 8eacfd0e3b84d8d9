"""Documents of `--json` name themselves and their version, and the handbook has all of them."""

import json
import re
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from lina_lab.cli.documents import VERSIONS, print_document
from lina_lab.cli.main import app

PAGE = Path(__file__).parents[2] / "docs" / "json.md"


def test_the_handbook_has_every_document_with_its_version():
    told = re.findall(r"^## lab (.+)\n\nVersion (\d+)\.", PAGE.read_text(encoding="utf-8"), flags=re.MULTILINE)
    assert {name: int(version) for name, version in told} == VERSIONS


def test_every_command_with_json_has_a_document():
    commands = typer.main.get_command(app).commands
    with_json = {name for name, command in commands.items() if any("--json" in p.opts for p in command.params)}
    assert with_json == set(VERSIONS)


def test_a_document_begins_with_name_and_version_and_has_no_nan(capsys):
    print_document("fit", {"fits": []})
    assert json.loads(capsys.readouterr().out) == {"document": "lab fit", "version": VERSIONS["fit"], "fits": []}
    with pytest.raises(ValueError, match="not JSON compliant"):
        print_document("fit", {"fits": [float("nan")]})


def test_the_status_as_json_has_every_cell(study):
    made = study()
    done = CliRunner().invoke(app, ["status", made.stored.name, "--runs", str(made.runs), "--json"])
    document = json.loads(done.stdout)
    assert document["document"] == "lab status"
    assert [cell["key"] for cell in document["cells"]] == [cell.key for cell in made.stored.cells]
    assert {cell["state"] for cell in document["cells"]} == {"done"}
    assert document["cells"][0]["values"] == made.stored.cells[0].values
