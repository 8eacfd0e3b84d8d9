"""The figures of a paper: PDFs at the width that they are drawn in, each with its caption in a file of its own."""

import re
import shutil
from pathlib import Path

import pandas as pd
from matplotlib.figure import Figure

from lina_lab.analysis.report_data import ReportData
from lina_lab.analysis.study_metric import StudyMetric
from lina_lab.escape import latex_prose
from lina_lab.figures.samples import board_sheet, sample_boards
from lina_lab.figures.sampling import NAMES
from lina_lab.figures.scaling import bars
from lina_lab.figures.style import save
from lina_lab.files import write_atomic
from lina_lab.report.page import StudyFindings, gates_of, study_figures
from lina_lab.report.paper_tables import many_sizes
from lina_lab.sheets import write_sheet

COLUMN, PAGE = 3.25, 6.75
"""Inches of a column and of a page."""
SLACK = 0.15
"""Inches by which a figure may be wider than its column and is made narrower."""
TALLEST = 0.8
"""Of the page's height."""
APPENDIX = ("samples-all", "training", "length", "efficiency", "gates")
"""Figures of the appendix, in their order; those of tuning and of sampling follow."""


def write_figures(
    study: ReportData, results: StudyFindings, effects: pd.DataFrame, out: Path, pictures: Path | None = None
) -> list[str]:
    """Write every figure of a study that there is something to draw for: their names.

    pictures: the folder of a report; its samples are taken where the data have none.
    """
    metric, (gates_label, gates) = results.metric, gates_of(study, results.metric)
    drawn = study_figures(study, results, effects, gates)
    figures = {_plain(name): figure for name, figure in drawn.items() if figure is not None}
    for name, figure in figures.items():
        save(figure, out / f"{name}.pdf", ("pdf",))
        _write_float(name, caption(name, study, metric, gates_label), _width(figure), out)
    pictured = sample_boards(study.samples, study.table, study.plan)
    for name, board in pictured.items():
        write_sheet(out / f"{name}.png", board_sheet(board))
    sheets = list(pictured)
    if not sheets and pictures is not None and (pictures / "samples.png").exists():
        shutil.copyfile(pictures / "samples.png", out / "samples.png")
        sheets = ["samples"]
    for name in sheets:
        _write_float(name, caption(name, study, metric, gates_label), PAGE, out, "png")
    return [*figures, *sheets]


def further(names: list[str]) -> list[str]:
    """Those of the appendix."""
    others = [name for name in names if name.startswith(("tuning-", "sampling-"))]
    return [*(name for name in APPENDIX if name in names), *others]


def _plain(name: str) -> str:
    """Letters, digits and hyphens of a name: TeX takes others for commands."""
    return re.sub(r"[^A-Za-z0-9]+", "-", name)


def _width(figure: Figure) -> float:
    """Inches on paper: never larger than drawn."""
    width = float(figure.get_figwidth())
    return COLUMN if COLUMN < width <= COLUMN + SLACK else min(width, PAGE)


def _write_float(name: str, words: str, width: float, out: Path, kind: str = "pdf") -> None:
    across = "figure" if width <= COLUMN or name in further([name]) else "figure*"  # the appendix has one column
    lines = [
        rf"\begin{{{across}}}[{'!htbp' if name in further([name]) else 'tbp'}]",
        r"\centering",
        rf"\includegraphics[width={width:.2f}in,height={TALLEST}\textheight,keepaspectratio]{{figures/{name}.{kind}}}",
        rf"\caption{{{latex_prose(words)}}}\label{{fig:{name}}}",
        rf"\end{{{across}}}",
    ]
    write_atomic(out / f"{name}.tex", "\n".join([*lines, ""]))


def caption(name: str, study: ReportData, metric: StudyMetric, gates_label: str) -> str:
    """What a figure shows, in plain text."""
    kind, _, of = name.partition("-")
    y, word = metric.label, metric.scale.word
    sizes = ", over all sizes (bold) and at each" if many_sizes(study.table) else ""
    if kind == "tuning":
        return f"Loss of every trial against its {of}, a line a size; at the right the chosen values against size."
    if kind == "sampling":
        over = {_plain(key): words for key, words in NAMES.items()}[of]
        return (
            f"FID of trained cells against {over}; bars are one standard deviation of sampling noise, rings the lowest."
        )
    # Older reports keep a picture alone, with designs below each other.
    alike = f"Pictures of a {'row' if study.samples else 'column'} start from the same noise."
    return {
        "scaling": f"{y} of every design{' against parameters' * many_sizes(study.table)}; "
        f"{' '.join(bars(study.table, metric).split())}.",
        "samples": f"What the designs draw. {alike}",
        "samples-all": f"What every design draws at every size. {alike}",
        "compute-multiplier": f"Training FLOPs that the first value of an axis needs, over those of another value, for "
        f"the same {y}, all else equal; between sizes and over all. Bars hold together in 95 % of studies.",
        "gap": f"The {word} of {y} of two designs against parameters, all else equal; bars hold together in 95 % of "
        "studies.",
        "forest": f"Effect of every value of every axis on {y}{sizes}. Each interval stands for itself.",
        "forecast": "What was forecast before it ran (bars: 95 % intervals for a new cell) and what the cells reached.",
        "composition": "Share of pictures that show what their prompt asks for, by category, at the largest size.",
        "training": "Held-out loss of the averaged weights against samples seen: mean over seeds, band from the lowest "
        "to the highest.",
        "length": f"{y} of the averaged weights along the runs: mean over seeds, band from the lowest to the highest.",
        "efficiency": f"{y} against training FLOPs in closed form and seconds as they passed; sampling time against "
        "parameters.",
        "gates": f"Learnt weights of keys and values of {gates_label}, each at the place of its token.",
    }[name]
