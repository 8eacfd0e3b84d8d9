"""`lab paper`: a study as a two-column paper, LaTeX source and PDF."""

import os
from pathlib import Path
from typing import Annotated

import typer

from lina_lab.cli.options import RUNS, Runs, out_folder


def paper(
    name: Annotated[
        str,
        typer.Argument(
            metavar="SWEEP",
            help="Name of a sweep that has run, or its YAML file; or the folder of a report, as reports/gates, whose "
            "own data are enough.",
        ),
    ],
    out: Annotated[
        Path | None, typer.Option(callback=out_folder, help="Folder to write; by default papers/SWEEP.")
    ] = None,
    pdf: Annotated[bool, typer.Option(help="Compile it with pdfLaTeX, where there is one.")] = True,
    runs: Runs = RUNS,
) -> None:
    """Write a study as a two-column paper: method, results, and an appendix with every cell, ready to edit.

    paper.tex is written once and is yours; generated/, tables/ and figures/ are written again every time. Published
    values of others are drawn by lab figures paper.

    Example: lab paper digits

    Example: lab paper reports/digits --out papers/draft --no-pdf
    """
    from lina_lab.analysis.report_data import read_report_data, report_data_of_ledger
    from lina_lab.cli.progress_display import ShareDone
    from lina_lab.ledger.plan import load_plan
    from lina_lab.report.paper import write_paper

    folder = Path(name) if os.sep in name and Path(name).is_dir() else None
    study = read_report_data(folder) if folder else report_data_of_ledger(runs, load_plan(runs, name))
    written = write_paper(
        study, out or Path("papers") / study.plan.name, folder, ShareDone("comparing pairs of designs")
    )
    place = written.source.parent
    print(f"wrote {place}: generated/, tables/ and figures/")
    print(
        f"kept {written.source}, which is yours" if written.edited else f"wrote {written.source}: edit it, it is kept"
    )
    if written.unset:
        signs = ", ".join(f"{sign} (U+{ord(sign):04X}, {count} times)" for sign, count in written.unset.items())
        print(f"pdfLaTeX has no font for {signs}: their code points stand there instead")
    if pdf:
        _compile(written.source)


def _compile(source: Path) -> None:
    from lina_lab.report.pdflatex import INSTALL, compile_paper, has_pdflatex

    if not has_pdflatex():
        print(f"no PDF: there is no pdflatex on the PATH ({INSTALL}); or compile {source} elsewhere")
        return
    made = compile_paper(source)
    for remark in made.remarks:
        print(f"{source}: {remark}")
    print(f"wrote {made.pdf}")
