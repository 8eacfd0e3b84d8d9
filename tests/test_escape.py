"""Names in every medium are names: what comes back from a medium's own reader is what was written."""

import re
import shutil
import subprocess
from html import escape
from html.parser import HTMLParser

import pandas as pd
import pytest
from rich.console import Console

from lina_lab.analysis.names import design_label
from lina_lab.analysis.table import to_latex, to_markdown
from lina_lab.cli.console import print_columns, print_table, text_table
from lina_lab.cli.fit_table import FitRequest, fit_table
from lina_lab.escape import latex, latex_prose, markdown_cell, shortened, shown, unset_in, writable
from lina_lab.figures.style import new_figure, style
from lina_lab.report.page import write_report
from tests.nasty import NASTY

IN_TABLES = [name for name in NASTY if writable(name) == name]
"""pandas holds no text that is no Unicode."""
SIZES = (1e6, 4e6, 1.6e7)


@pytest.mark.parametrize("name", NASTY)
def test_a_name_on_a_terminal_is_one_line_of_what_can_be_printed(name):
    assert shown(name).isprintable()
    assert shown(name).encode()
    assert writable(name).encode()
    if name.isprintable():
        assert shown(name) == name


def test_a_long_name_keeps_its_beginning_and_its_end():
    name = "begin" + "x" * 290 + "end"
    assert len(shortened(name)) == 60
    assert shortened(name).startswith("begin")
    assert shortened(name).endswith("end")
    assert shortened("short") == "short"
    assert [len(shortened(name, most)) for most in range(3, 60)] == list(range(3, 60))


@pytest.mark.parametrize("name", NASTY)
def test_a_table_on_the_terminal_shows_names_as_they_are_and_hides_no_number(name, capsys):
    table = text_table("name", "value", numbers=1)
    table.add_row(shortened(name), "12345.678")
    print_table(table)
    _, row = capsys.readouterr().out.splitlines()
    assert row.split() == [*shown(shortened(name)).split(), "12345.678"]
    print_columns(("name", "value"), [(name, "12345.678")], numbers=1)
    assert capsys.readouterr().out.splitlines()[1].split() == [*shown(name).split(), "12345.678"]


def unescaped(cell: str) -> str:
    """What CommonMark shows of a cell without any other mark than backslashes before punctuation."""
    assert not re.search(r"(?<!\\)(?:\\\\)*[`*<\[|&~$]", cell)
    return re.sub(r"\\([!-/:-@\[-`{-~])", r"\1", cell)


@pytest.mark.parametrize("name", IN_TABLES)
def test_a_cell_of_markdown_has_no_mark_and_ends_where_the_table_says(name):
    text = to_markdown(pd.DataFrame({name: [name], "value": ["1.5"]}))
    lines = text.splitlines()
    assert len(lines) == 3
    for line in (lines[0], lines[2]):
        first, second = re.split(r"(?<!\\)\|", line)[1:3] if "\\\\" not in line else line.strip("| ").rsplit("| ", 1)
        assert unescaped(first.strip()) == shown(shortened(name)).strip()
        assert second.strip() in {"value", "1.5"}
    assert markdown_cell("conv_kernel") == "conv_kernel"


def test_latex_of_names_compiles_and_shows_them(tmp_path):
    if shutil.which("pdflatex") is None:
        pytest.skip("no pdflatex here: apt-get install texlive-latex-recommended texlive-fonts-recommended")
    table = pd.DataFrame({"name": IN_TABLES, "α": [f"{n}.5" for n in range(len(IN_TABLES))]})
    document = rf"""\documentclass{{article}}
\usepackage[T1]{{fontenc}}\usepackage[utf8]{{inputenc}}\usepackage{{booktabs}}
\begin{{document}}{to_latex(table)}\end{{document}}"""
    (tmp_path / "t.tex").write_text(document, encoding="utf-8")
    command = ["pdflatex", "-halt-on-error", "-interaction=nonstopmode", "-no-shell-escape", "t.tex"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, errors="replace", check=False)
    assert done.returncode == 0, done.stdout[-2000:]
    assert (tmp_path / "t.pdf").stat().st_size > 5000


@pytest.mark.parametrize("name", NASTY)
def test_latex_has_no_character_that_is_a_command(name):
    text = latex(name)
    assert not re.search(r"(?<!\\)[&%#_]", text)
    assert text.count("$") % 2 == 0 or "\\$" in text
    assert text.isprintable()


@pytest.mark.slow
def test_latex_of_every_latin_letter_has_a_font_or_is_said_to_have_none(tmp_path):
    if shutil.which("pdflatex") is None:
        pytest.skip("no pdflatex here: apt-get install texlive-latex-recommended texlive-fonts-recommended lmodern")
    letters = [chr(code) for code in range(0x20, 0x250) if chr(code).isprintable()]
    lines = "\n\n".join(latex(letter) for letter in letters)
    document = rf"""\documentclass{{article}}
\usepackage[T1]{{fontenc}}\usepackage[utf8]{{inputenc}}\usepackage{{lmodern}}
\begin{{document}}{lines}\end{{document}}"""
    (tmp_path / "t.tex").write_text(document, encoding="utf-8")
    command = ["pdflatex", "-halt-on-error", "-interaction=nonstopmode", "-no-shell-escape", "t.tex"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, errors="replace", check=False)
    assert done.returncode == 0, done.stdout[-2000:]
    assert set(unset_in(lines)) >= {"ħ", "ſ", "ƀ"}


def test_latex_keeps_pairs_that_fonts_would_draw_as_one_sign_apart():
    assert latex("--workers") == "-{}-workers"
    assert latex("a ,, b") == "a ,{}, b"
    assert latex("``a'' it's") == r"\textasciigrave{}\textasciigrave{}a\textquotesingle{}\textquotesingle{} it's"
    assert latex("-0.5 to 1") == "-0.5 to 1"
    assert latex("") == ""


@pytest.mark.parametrize("name", NASTY)
def test_latex_prose_is_the_same_text_with_places_to_break_it(name):
    name = name.replace("--", "-")
    assert latex_prose(name).replace(r"\allowbreak{}", "") == latex(name)
    assert max(map(len, re.split(r" |\\allowbreak{}", latex_prose(name)))) <= 24 * len(r"\textasciicircum{}")


def test_latex_prose_breaks_names_and_no_number():
    assert latex_prose("conv_kernel at 0.814") == r"conv\_\allowbreak{}kernel at 0.814"


def test_characters_without_a_font_are_counted():
    assert unset_in(latex("中 é 中 🙂")) == {"中": 2, "🙂": 1}


@pytest.mark.parametrize("name", NASTY)
@pytest.mark.filterwarnings("ignore:Glyph .* missing from font")
def test_a_figure_draws_a_name_as_it_is(name):
    with style():
        figure = new_figure(6, 2)
        axes = figure.add_subplot()
        axes.plot([1, 2], [1, 2], label=design_label({"axis": name}))
        axes.set_title(design_label({"axis": name}))
        axes.legend()
        figure.canvas.draw()
        (text,) = axes.get_legend().get_texts()
        width = axes.title.get_window_extent().width
    assert text.get_text() == shown(shortened(name, 40))
    assert not text.get_parse_math()
    assert width <= figure.bbox.width


@pytest.mark.parametrize("name", NASTY)
def test_a_page_says_a_name_as_it_is(name):
    from lina_lab.report.page import _template

    source = _template().environment.from_string("<td>{{ name }}</td>")

    class Reader(HTMLParser):
        said = ""

        def handle_data(self, data: str) -> None:
            self.said += data

    reader = Reader()
    reader.feed(source.render(name=name))
    reader.close()
    assert reader.said == name


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:Glyph .* missing from font")
def test_a_whole_report_of_nasty_names_says_them_as_they_are(study, tmp_path):
    made = study()
    first, second = "a|b <script>alert(1)</script> [ours]", r"$\foo{$ :100: %s"
    own = {0: first, 5: second}
    cells = [c._replace(values=c.values | {"note": own[c.values["conv_kernel"]]}) for c in made.stored.cells]
    axes = made.stored.axes | {"note": "data.note"}
    plan = made.stored._replace(question=" ".join(IN_TABLES), cells=cells, axes=axes)
    page = write_report(made.runs, plan, tmp_path / "report", tell=print)
    lines = (page.parent / "table.md").read_text(encoding="utf-8").splitlines()
    assert len([line for line in lines if line.startswith("|")]) == 2 + len(cells)
    text = page.read_text(encoding="utf-8")
    assert "<script>alert" not in text
    for name in own.values():
        assert f"<td>{escape(name)}</td>" in text
    assert escape(IN_TABLES[0]) in text


@pytest.mark.slow
def test_lab_fit_prints_every_name_beside_its_numbers(tmp_path, capsys, monkeypatch):
    rows = [
        {"variant": name, "params": size, "loss": 4 * (size / 1e6) ** -0.25} for name in IN_TABLES for size in SIZES
    ]
    pd.DataFrame(rows).to_csv(tmp_path / "t.csv", index=False)
    request = FitRequest(tmp_path / "t.csv", "params", "loss", None, ["variant"], "power", holdout_largest=False)
    fit_table(request, as_json=False)
    table = capsys.readouterr().out.splitlines()
    for name in IN_TABLES:
        (line,) = [row for row in table if row.startswith(f"{shown(shortened(name))} ") and " power " in row]
        assert line.split()[-1 - line.split()[::-1].index("A") :][0] == "A"
    assert sum(" 0.25 " in row for row in table) == len(IN_TABLES)


def test_a_console_of_rich_without_our_settings_would_have_taken_names_for_markup():
    """So that these tests can fail."""
    console = Console(width=80)
    with console.capture() as shown_by_rich:
        console.print("base [ours] :100:")
    assert "[ours]" not in shown_by_rich.get()
