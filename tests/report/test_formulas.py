"""Formulas of the axes as LaTeX: the same signs in mathematics, the same words around them."""

import re

import pytest

from lina_lab.design.axes import AXES, OTHER_AXES
from lina_lab.report.formulas import formula
from lina_lab.report.pdflatex import compile_paper
from tests.nasty import NASTY
from tests.tex import needs_tex

ALL = [value.formula for axis in (AXES | OTHER_AXES).values() for value in axis.values.values()]


@pytest.mark.parametrize(
    ("text", "source"),
    [
        ("s = d^-1/2: weights sum to 1", "$s = d^{-1/2}$: weights sum to 1"),
        ("k' = φ(k) + 1e-6", r"$k' = \phi (k) + 10^{-6}$"),
        ("k̄ = mean_m k'_m", r"$\bar{k} = \operatorname{mean}_{m} k'_{m}$"),
        ("v_mᵀ", r"$v_{m}^{\top}$"),
        ("5x5, with bias, on the block's input", r"$5\times 5$, with bias, on the block's input"),
        ("E + A N^-α", r"$E + A N^{-\alpha }$"),
        ("a linear map D to D", "a linear map $D$ to $D$"),
        ("T = flow_steps, as all others", r"$T =$ flow\_\allowbreak{}steps, as all others"),
        ("8e-4", r"$8\cdot 10^{-4}$"),
        ("no convolution", "no convolution"),
    ],
)
def test_signs_are_mathematics_and_words_are_words(text, source):
    assert formula(text) == source


@pytest.mark.parametrize("text", ALL)
def test_every_word_of_a_formula_is_kept_and_every_dollar_closed(text):
    source = formula(text)
    assert source.count("$") % 2 == 0
    assert not re.search(r"U\+[0-9A-F]{4}", source)
    plain = source.replace(r"\allowbreak{}", "").replace("\\_", "_")
    assert [word for word in re.findall(r"[a-z]{4,}", text) if word not in plain] == []


@needs_tex
@pytest.mark.slow
def test_all_formulas_and_any_name_compile(tmp_path):
    body = "\n\n".join(formula(text) for text in [*ALL, *NASTY, "α^β_γ", "x^", "a_", "(", "k̄̄", "̄"])
    head = r"\documentclass{article}\usepackage[T1]{fontenc}\usepackage[utf8]{inputenc}\usepackage{amsmath,lmodern}"
    (tmp_path / "t.tex").write_text(rf"{head}\begin{{document}}{body}\end{{document}}", encoding="utf-8")
    assert compile_paper(tmp_path / "t.tex").pdf.exists()
