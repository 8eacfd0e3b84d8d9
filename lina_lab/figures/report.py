"""The report of a sweep: its study as data, tables, figures, and one self-contained page with the verdict first."""

import base64
from collections.abc import Callable
from pathlib import Path

import jinja2
import pandas as pd
from matplotlib.figure import Figure

from lina_lab.analysis.ablation import ablation_table, readable_ablation
from lina_lab.analysis.findings import Finding, findings, verdicts_table
from lina_lab.analysis.plan import StoredPlan
from lina_lab.analysis.progress import has_result, unfinished
from lina_lab.analysis.report_data import ReportData, make_way, report_data_of_ledger, write_report_data
from lina_lab.analysis.scaling import design_fits, readable_fits
from lina_lab.analysis.table import (
    SIZE_AXIS,
    design_axes,
    design_label,
    designs,
    main_metric,
    readable,
    refuse_mixtures,
    to_latex,
    to_markdown,
    write_table,
)
from lina_lab.analysis.tuning import tuned_names
from lina_lab.figures import report_text
from lina_lab.figures.composition import composition_figure
from lina_lab.figures.curves import training_figure
from lina_lab.figures.efficiency import efficiency_figure
from lina_lab.figures.forest import forest_figure
from lina_lab.figures.gap import gap_figure
from lina_lab.figures.gates import gates_figure
from lina_lab.figures.samples import samples_figure
from lina_lab.figures.scaling import bars, scaling_figure
from lina_lab.figures.style import design_looks, save
from lina_lab.figures.tuning import tuning_figure
from lina_lab.files import write_atomic

FORMATS = ("png", "pdf", "svg")


def write_report(
    runs: Path,
    plan: StoredPlan,
    out: Path,
    progress: Callable[[float], None] = lambda share: None,
    tell: Callable[[str], None] = lambda line: None,
) -> Path:
    """Write everything of a sweep: the path of the page. The same ledger gives the same bytes.

    Raises:
        LabError: if no cell has a FID yet, or the cells cannot be compared.
    """
    return draw_report(report_data_of_ledger(runs, plan), out, progress, tell)


def draw_report(
    study: ReportData,
    out: Path,
    progress: Callable[[float], None] = lambda share: None,
    tell: Callable[[str], None] = lambda line: None,
) -> Path:
    """Write everything of a study: the path of the page. `read_report_data` of a report's folder gives it again.

    `progress` is told the share of the comparisons that are made: they take the time. `tell` gets a line for what the
    user must know: that cells are missing, or that the report of another plan was moved aside.

    Raises:
        LabError: if no cell has a FID yet, or the cells cannot be compared.
    """
    plan, table, metric = study.plan, study.table, main_metric(study.table)
    refuse_mixtures(table, metric)
    note = unfinished(table, plan)
    if note:
        tell(note)
    judged, missing = findings(table, plan, metric, progress, study.curves)
    aside = make_way(out, plan)
    if aside is not None:
        tell(f"moved to {aside}: the report of another plan, which was in {out}")
    write_report_data(study, out)
    effects, (gates_label, gates) = ablation_table(table, plan, metric), gates_of(study, metric)
    shown = _write_tables(study, judged, effects, metric, out, note)
    figures = _study_figures(study, judged, effects, gates)
    for name, figure in figures.items():
        if figure is not None:
            save(figure, out / f"{name}.png", ("png",) if name == "samples" else FORMATS)
    page = _template().render(
        plan=plan,
        unfinished=note,
        verdict=list(report_text.verdict_sentences(judged, effects)),
        missing=missing,
        bars=bars(table).replace("\n", " "),
        seen=list(report_text.what_is_seen(table, plan, metric)),
        unknown=list(report_text.what_is_not_known(table[has_result(table)], plan)),
        images={name: _embedded(out / f"{name}.png") for name, figure in figures.items() if figure is not None},
        gates_of=gates_label,
        tuned=list(tuned_names(plan)),
        tables={name: _rows(part) for name, part in shown.items()},
        trouble=list(report_text.trouble(table, plan)),
        measured=report_text.measured(table),
        provenance=study.provenance,
    )
    write_atomic(out / "index.html", page)
    return out / "index.html"


def _study_figures(
    study: ReportData, found: list[Finding], effects: pd.DataFrame, gates: pd.DataFrame
) -> dict[str, Figure | None]:
    """Every figure of a report by its name; None where there is nothing to draw."""
    plan, table = study.plan, study.table
    tuned = tuned_names(plan)
    return {
        "scaling": scaling_figure(table, plan),
        "gap": gap_figure(found, design_looks(values for values, _ in designs(table, design_axes(plan)))),
        "forest": forest_figure(effects, "FID"),
        "composition": composition_figure(table, plan),
        "training": training_figure(study.curves, table, plan),
        "gates": gates_figure(gates),
        "efficiency": efficiency_figure(table, plan),
        "samples": samples_figure(study.samples, table, plan),
        **{f"tuning-{name}": tuning_figure(study.trials, table, plan, name, path) for name, path in tuned.items()},
    }


def _write_tables(
    study: ReportData, found: list[Finding], effects: pd.DataFrame, metric: str, out: Path, note: str
) -> dict[str, pd.DataFrame]:
    """Write each table for people as Markdown and LaTeX, under a note, and its numbers as CSV: those for people."""
    plan, table = study.plan, study.table
    fits = design_fits(table, plan, metric)
    numbers = {"ablation": effects, "fits": fits, "comparisons": verdicts_table(found)}
    shown = {"table": readable(table, plan.axes, tuned_names(plan)), "ablation": readable_ablation(effects)}
    if len(fits):
        shown["fits"] = readable_fits(fits, design_axes(plan))
    for name, part in numbers.items():
        if len(part):
            write_table(part, out / f"{name}.csv")
    for name, part in shown.items():
        write_atomic(out / f"{name}.md", (note and f"**{note}**\n\n") + to_markdown(part))
        write_atomic(out / f"{name}.tex", (note and f"% {note}\n") + to_latex(part))
    return shown


def gates_of(study: ReportData, metric: str) -> tuple[str, pd.DataFrame]:
    """Name and gates of the cell with the lowest FID among the largest that have gates; none, and an empty table."""
    if study.gates.empty:
        return "", study.gates
    cells = study.table[study.table["key"].isin(study.gates["key"])].dropna(subset=[metric])
    if SIZE_AXIS in cells:
        cells = cells[cells[SIZE_AXIS] == cells.nlargest(1, "parameters")[SIZE_AXIS].iloc[0]]
    best = cells.nsmallest(1, metric).to_dict("records")[0]
    label = design_label({axis: best[axis] for axis in study.plan.axes})
    return f"{label}, seed {best['seed']}", study.gates[study.gates["key"] == best["key"]]


def _rows(table: pd.DataFrame) -> tuple[list[str], list[list[str]]]:
    rows = [["" if pd.isna(v) else str(v) for v in row] for row in table.itertuples(index=False)]
    return list(table.columns), rows


def _embedded(path: Path) -> str | None:
    if not path.exists():
        return None
    return f"data:image/png;base64,{base64.b64encode(path.read_bytes()).decode()}"


def _template() -> jinja2.Template:
    environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True)
    return environment.from_string((Path(__file__).parent / "report.html.j2").read_text(encoding="utf-8"))
