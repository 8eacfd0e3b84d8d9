"""A paper of a study as LaTeX: what is computed in files that are written again, around it one that people edit."""

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from lina_lab.analysis.ablation import ablation_table
from lina_lab.analysis.report_data import ReportData
from lina_lab.errors import LabError
from lina_lab.escape import latex_prose, unset_in
from lina_lab.files import write_atomic
from lina_lab.report.page import study_findings
from lina_lab.report.paper_figures import further, write_figures
from lina_lab.report.paper_method import REFERENCES
from lina_lab.report.paper_tables import paper_tables
from lina_lab.report.paper_words import paper_words
from lina_lab.report.tex import render

GENERATED = ("macros", "summary", "method", "results", "limitations", "appendix")
IN_RESULTS = (
    *(("tables", "metric"), ("figures", "scaling"), ("figures", "samples"), ("tables", "ablation")),
    *(("figures", "forest"), ("figures", "gap"), ("figures", "compute-multiplier"), ("tables", "fits")),
    *(("figures", "composition"), ("tables", "forecast"), ("tables", "forecast-gaps"), ("figures", "forecast")),
)
"""What floats in the results, in its order; TeX finds its places."""
OWNER = "% lab paper {}. "
"""Begins the macros, with the name of the study."""


class Written(NamedTuple):
    source: Path
    edited: bool
    """Whether there was a paper.tex, which is kept."""
    unset: dict[str, int]
    """Characters without a font in pdfLaTeX, and how often their code points stand in the paper instead."""


def write_paper(
    study: ReportData,
    out: Path,
    pictures: Path | None = None,
    progress: Callable[[float], None] = lambda share: None,
    tell: Callable[[str], None] = lambda line: None,
) -> Written:
    """Write the sources of a paper. Only paper.tex is never written again.

    pictures: the folder of the report, for samples that older reports keep as a picture alone.

    Raises:
        LabError: if the folder holds the paper of another study, or the cells cannot be compared.
    """
    _refuse_another(out, study.plan.name)
    results = study_findings(study, progress, tell)
    effects = ablation_table(study.table, study.plan, results.metric)
    tables = paper_tables(study, results, effects)
    figures = write_figures(study, results, effects, out / "figures", pictures)
    words = paper_words(study, results, effects)
    floats = [(kind, name) for kind, name in IN_RESULTS if name in {"tables": tables, "figures": figures}[kind]]
    words |= {"tables": list(tables), "figures": figures, "floats": floats, "further": further(figures)}
    files = {f"tables/{name}.tex": source for name, source in tables.items()}
    files |= {f"generated/{name}.tex": render(name, words) for name in GENERATED}
    files["generated/references.bib"] = REFERENCES.read_text(encoding="utf-8")
    for name, content in files.items():
        write_atomic(out / name, content)
    source, edited = out / "paper.tex", (out / "paper.tex").exists()
    if not edited:
        write_atomic(source, render("paper", words))
    captions = [(out / "figures" / f"{name}.tex").read_text(encoding="utf-8") for name in figures]
    return Written(source, edited, unset_in("".join([*files.values(), *captions])))


def _refuse_another(out: Path, study: str) -> None:
    path = out / "generated" / "macros.tex"
    first = path.read_text(encoding="utf-8") if path.exists() else ""
    if first and not first.startswith(OWNER.format(latex_prose(study))):
        raise LabError(f"{out}: holds the paper of another study ({path}): give --out another folder")
