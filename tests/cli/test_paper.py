"""`lab paper`: from a ledger or from a report's folder alone, with TeX and without."""

import shutil

import pytest

from lina_lab.report import paper_figures
from tests.lab import lab
from tests.study import TWO
from tests.tex import needs_tex


@pytest.mark.slow
def test_a_report_alone_makes_the_same_paper_as_its_ledger(study, tmp_path, monkeypatch):
    monkeypatch.setattr(
        paper_figures, "save", lambda figure, path, formats: path.parent.mkdir(exist_ok=True, parents=True)
    )
    made = study(axes=TWO)
    lab(tmp_path, "report", "fake", "--runs", made.runs)
    first = lab(tmp_path, "paper", "fake", "--runs", made.runs, "--no-pdf")
    assert "wrote papers/fake/paper.tex: edit it, it is kept" in first.stdout
    shutil.rmtree(made.runs)
    again = lab(tmp_path, "paper", "reports/fake", "--out", "other", "--no-pdf")
    assert "wrote other: generated/, tables/ and figures/" in again.stdout
    assert (
        "kept other/paper.tex, which is yours"
        in lab(tmp_path, "paper", "reports/fake", "--out", "other", "--no-pdf").stdout
    )
    for path in (tmp_path / "papers" / "fake").rglob("*.tex"):
        other = tmp_path / "other" / path.relative_to(tmp_path / "papers" / "fake")
        assert other.read_text() == path.read_text()


@pytest.mark.slow
def test_without_tex_the_sources_are_written_and_it_is_said_how_to_go_on(study, tmp_path, monkeypatch):
    made = study(axes=TWO)
    monkeypatch.setenv("PATH", "")
    said = lab(tmp_path, "paper", "fake", "--runs", made.runs).stdout
    assert "no PDF: there is no pdflatex on the PATH (apt-get install texlive" in said
    assert (tmp_path / "papers" / "fake" / "generated" / "method.tex").exists()


@needs_tex
@pytest.mark.slow
def test_a_mistake_of_an_author_is_named_with_file_and_line(study, tmp_path):
    made = study(axes=TWO)
    assert "wrote papers/fake/paper.pdf" in lab(tmp_path, "paper", "fake", "--runs", made.runs).stdout
    source = tmp_path / "papers" / "fake" / "paper.tex"
    lines = source.read_text().splitlines()
    place = lines.index(r"\section{Introduction}") + 2
    source.write_text("\n".join([*lines[: place - 1], r"\nonsense", *lines[place - 1 :]]))
    refused = lab(tmp_path, "paper", "fake", "--runs", made.runs, code=2)
    assert f"papers/fake/paper.tex:{place}: Undefined control sequence" in refused.stderr
