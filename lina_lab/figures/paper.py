"""Figures of published values for a paper, for one and for two columns, with one's own results beside them."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import NamedTuple

import pandas as pd
from matplotlib.figure import Figure

from lina_lab.analysis.literature import published_fid, published_losses, with_reasons
from lina_lab.analysis.names import design_names
from lina_lab.analysis.report_data import find_report_data
from lina_lab.analysis.study_metric import metric_of
from lina_lab.analysis.table import design_axes, main_metric, refuse_mixtures, to_latex, to_markdown
from lina_lab.figures import paper_captions as captions
from lina_lab.figures.paper_context import context_figure
from lina_lab.figures.paper_lina import Own, beside_figure, loss_figure, scaling_figure
from lina_lab.figures.style import save
from lina_lab.files import write_atomic

WIDTHS = {2: "", 1: "-one-column"}
"""Columns of a page that a figure fills, and what its file name then ends with."""


class Page(NamedTuple):
    """A figure for either width, and its caption."""

    name: str
    draw: Callable[[int], Figure]
    caption: str


def write_paper(out: Path, own: Own | None = None) -> list[str]:
    """Write every figure in both widths as PNG, PDF and SVG, the table of values, and captions.md: the names written.

    Raises:
        LabError: if one's own cells cannot be compared with each other.
    """
    fid, losses = published_fid(), published_losses()
    pages = [
        Page("lina-scaling", partial(scaling_figure, fid, losses), captions.scaling(fid, losses)),
        Page("lina-loss", partial(loss_figure, losses), captions.loss(losses)),
        Page("context", partial(context_figure, fid), captions.context(fid, losses)),
    ]
    if own is not None:
        pages.append(Page("published-and-own", partial(beside_figure, fid, own), captions.beside(own, losses)))
    for page in pages:
        for columns, ending in WIDTHS.items():
            save(page.draw(columns), out / f"{page.name}{ending}.png", ("png", "pdf", "svg"))
    values = readable_values(fid)
    write_atomic(out / "published.md", to_markdown(values))
    write_atomic(out / "published.tex", to_latex(values))
    text = "\n".join(f"## {page.name}\n\n{page.caption}\n" for page in pages)
    write_atomic(out / "captions.md", f"# Captions\n\n{text}")
    return [page.name for page in pages]


def readable_values(fid: pd.DataFrame) -> pd.DataFrame:
    """The published values as text, with their source, and the curve of each or why it is on none."""
    rows = with_reasons(fid)
    shown = rows[["model", "variant"]].copy()
    shown["parameters"] = rows["params"].map(lambda n: f"{n / 1e6:,.0f}M", na_action="ignore")
    shown["steps"] = rows["steps"].map(lambda n: f"{n:,.0f}", na_action="ignore")
    shown["epochs"] = rows["epochs"].map(lambda n: f"{n:.0f}", na_action="ignore")
    shown["guidance"] = rows["guidance"]
    shown["FID"] = rows["fid"].map(lambda v: f"{v:.4g}", na_action="ignore")
    shown["source"] = rows["source"]
    shown["curve"] = rows["curve"].where(rows["left_out"].isna(), "left out: " + rows["left_out"])
    return shown


def own_results(runs: Path, name: str) -> Own:
    """A sweep's results, by the folder of its report or its name in the ledger.

    Raises:
        LabError: if there is neither, or no cell has a FID.
    """
    study = find_report_data(runs, name)
    metric = metric_of(main_metric(study.table))
    refuse_mixtures(study.table, metric.column)
    axes, names = design_axes(study.plan), design_names(study.plan)
    return Own(name=study.plan.name, table=study.table, axes=axes, metric=metric, names=names)
