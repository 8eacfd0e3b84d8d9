"""Tables fit their column or page, and every value of them is there."""

import re

import pandas as pd
import pytest

from lina_lab.escape import latex
from lina_lab.report.latex_tables import Layout, paper_table
from lina_lab.report.pdflatex import compile_paper
from tests.nasty import NASTY
from tests.tex import needs_tex

HEAD = r"""\documentclass[twocolumn]{article}
\usepackage[T1]{fontenc}\usepackage[utf8]{inputenc}\usepackage{lmodern,array,booktabs,longtable,amsmath}
\usepackage[letterpaper,textwidth=6.75in,textheight=9in,columnsep=0.25in]{geometry}
\newcommand{\tablesize}{\scriptsize\setlength{\tabcolsep}{3pt}}
\begin{document}
"""
FEW = pd.DataFrame({"design": ["a", "b"], "FID": ["1.5", "2.25"]})


def wide(rows: int, columns: int) -> pd.DataFrame:
    return pd.DataFrame(
        {"design": "a design", "seed": "0"} | {f"metric {n}": "0.123456" for n in range(columns)}, range(rows)
    )


def test_a_small_table_floats_in_a_column_and_a_wide_one_over_the_page():
    assert r"\begin{table}[tbp]" in paper_table(FEW, "Two.", "tab:few")
    assert r"\begin{table*}[tbp]" in paper_table(wide(2, 7), "Wide.", "tab:wide")
    assert r"\begin{table}[!htbp]" in paper_table(wide(2, 7), "Last.", "tab:wide", Layout(last=True))


def test_names_stand_left_and_numbers_right_and_empty_columns_are_left_out():
    source = paper_table(FEW.assign(reason=["", None]), "Two.", "tab:few")
    assert "{@{}lr@{}}" in source
    assert "reason" not in source
    assert paper_table(pd.DataFrame({"a": ["", ""]}), "None.", "tab:none") == ""


def test_a_table_wider_than_a_page_is_cut_into_parts_that_all_name_their_rows():
    source = paper_table(wide(3, 40), "Wide.", "tab:wide", Layout(repeated=2))
    parts = re.findall(r"\\toprule\n(.*?) \\\\", source)
    assert len(parts) > 1
    assert all(part.startswith("design & seed & ") for part in parts)
    heads = re.findall(r"metric(?:\\\\| )(\d+)", "".join(parts))
    assert sorted(map(int, heads)) == list(range(40))


def test_many_rows_are_broken_over_pages_with_one_label():
    source = paper_table(wide(40, 30), "Long.", "tab:long", Layout(repeated=2))
    assert source.count(r"\begin{longtable}") == source.count(r"\endlastfoot") > 1
    assert source.count(r"\label{tab:long}") == 1
    assert f"part 2 of {source.count('begin{longtable}')}" in source


def test_notes_stand_once_below_the_table():
    source = paper_table(FEW.assign(note=["the same words", "the same words"]), "Two.", "tab:few")
    assert source.count("the same words") == 1
    assert "(1) the same words." in source
    assert r"a & 1.5 & 1 \\" in source


def test_every_name_is_in_its_table():
    names = [name for name in NASTY if "\udce9" not in name and len(name) < 28]
    source = paper_table(pd.DataFrame({"name": names}), "Names.", "tab:names")
    assert all(latex(name) in source for name in names)


@needs_tex
@pytest.mark.slow
@pytest.mark.parametrize("rows", [4, 60])
def test_no_table_is_wider_than_its_page(rows, tmp_path):
    texts = {"WWWWWWWW": "MMMMMMMM", "a longer heading of words": "0.5 (0.25 to 0.75)", "x" * 40: "1"}
    table = wide(rows, 20).assign(**texts, words="a sentence of many words that must be broken into lines")
    sources = [
        paper_table(table, "Wide.", "tab:wide", Layout(repeated=2, last=True)),
        paper_table(FEW, "Two.", "tab:few"),
    ]
    (tmp_path / "t.tex").write_text(HEAD + "\\onecolumn\n" + "\n".join(sources) + r"\end{document}", encoding="utf-8")
    assert compile_paper(tmp_path / "t.tex").remarks == []
