"""A template writes every text so that TeX shows it, and LaTeX as it is."""

import pytest

from lina_lab.escape import latex_prose
from lina_lab.report import tex
from lina_lab.report.tex import Tex, render
from tests.nasty import NASTY


@pytest.mark.parametrize("name", NASTY)
def test_texts_are_escaped_and_latex_is_not(name, tmp_path, monkeypatch):
    monkeypatch.setattr(tex, "TEMPLATES", tmp_path)
    (tmp_path / "t.tex.j2").write_text(
        "\\emph{<<< name >>>}% {{ 1 }} {% x %} {# y #}\n<% if 1 %>\n<<< own >>>\n<% endif %>\n"
    )
    written = render("t", {"name": name, "own": Tex(r"\alpha")})
    assert written == f"\\emph{{{latex_prose(name)}}}% {{{{ 1 }}}} {{% x %}} {{# y #}}\n\\alpha\n"
