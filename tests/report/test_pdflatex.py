"""pdfLaTeX reads nothing of the user's, starts nothing, and an error is told with file and line."""

import shutil

import pytest

from lina_lab.errors import LabError
from lina_lab.report.pdflatex import compile_paper, has_pdflatex, remarks
from tests.tex import needs_tex

DOCUMENT = r"""\documentclass{article}\pdftrailerid{}
\begin{document}
BODY
\end{document}
"""


@pytest.fixture
def source(tmp_path):
    def write(body: str):
        path = tmp_path / "my papers" / "paper.tex"
        path.parent.mkdir(exist_ok=True)
        path.write_text(DOCUMENT.replace("BODY", body))
        return path

    return write


def test_without_tex_it_is_said_what_to_install(source, monkeypatch):
    monkeypatch.setenv("PATH", "")
    assert not has_pdflatex()
    with pytest.raises(LabError, match=r"no pdflatex on the PATH: apt-get install .*paper\.tex elsewhere"):
        compile_paper(source("Hello"))


def test_lines_beyond_the_margin_and_references_to_nothing_are_remarked():
    log = r"""Overfull \hbox (2.9pt too wide) in paragraph at lines 3--4
Overfull \hbox (12.4pt too wide) in paragraph at lines 5--6
LaTeX Warning: Reference `fig:a' on page 1 undefined on input line 3.
LaTeX Warning: Reference `fig:a' on page 1 undefined on input line 3.
Package natbib Warning: Citation `b' on page 1 undefined on input line 4.
"""
    assert list(remarks(log)) == [
        "12 pt beyond the margin in paragraph at lines 5--6",
        "Reference `fig:a' on page 1 undefined",
        "Citation `b' on page 1 undefined",
    ]


@needs_tex
@pytest.mark.slow
def test_a_document_compiles_to_the_same_bytes_and_leaves_pdf_and_log(source):
    path = source(r"See \ref{here}. \section{A}\label{here} Text.")
    made = compile_paper(path)
    assert made.remarks == []
    first = made.pdf.read_bytes()
    assert first.startswith(b"%PDF")
    assert {file.name for file in path.parent.iterdir()} == {"paper.tex", "paper.pdf", "paper.log"}
    assert compile_paper(path).pdf.read_bytes() == first


@needs_tex
@pytest.mark.slow
def test_an_error_is_told_with_file_and_line(source):
    path = source(r"\input{parts/second}")
    (path.parent / "parts").mkdir()
    (path.parent / "parts" / "second.tex").write_text("fine\n\n\\nonsense\n")
    with pytest.raises(
        LabError, match=r"my papers/parts/second\.tex:3: Undefined control sequence\.; all .*paper\.log"
    ):
        compile_paper(path)
    assert not path.with_suffix(".pdf").exists()


@needs_tex
@pytest.mark.slow
def test_a_document_starts_no_program_and_writes_nowhere_else(source, tmp_path):
    escaped = tmp_path / "escaped"
    compile_paper(source(rf"\immediate\write18{{touch {escaped}}} Hello"))
    assert not escaped.exists()
    with pytest.raises(LabError, match=r"paper\.tex:3: "):
        compile_paper(source(rf"\newwrite\out\immediate\openout\out={tmp_path}/outside.tex\immediate\write\out{{x}}"))
    assert not (tmp_path / "outside.tex").exists()


@needs_tex
@pytest.mark.slow
def test_neither_variables_nor_files_of_the_user_change_the_paper(source, tmp_path, monkeypatch):
    other = tmp_path / "other"
    (other / "texmf" / "tex" / "latex").mkdir(parents=True)
    (other / "article.cls").write_text(r"\errmessage{of the user}")
    shutil.copy(other / "article.cls", other / "texmf" / "tex" / "latex" / "article.cls")
    for name in ("TEXINPUTS", "TEXMFHOME"):
        monkeypatch.setenv(name, f"{other}:")
    monkeypatch.setenv("HOME", str(other))
    assert compile_paper(source("Hello")).pdf.exists()
