"""The report of a sweep: its study as data, tables, figures, and one self-contained page with the verdict first."""

import json
from collections.abc import Callable, Collection
from pathlib import Path
from typing import NamedTuple

import jinja2
import pandas as pd
from matplotlib.figure import Figure

from lina_lab.analysis.ablation import ablation_table, readable_ablation
from lina_lab.analysis.cards import StudyVerdict, verdict_of
from lina_lab.analysis.chance import with_losses
from lina_lab.analysis.evaluations import readable_evaluations
from lina_lab.analysis.findings import Finding, findings, verdicts_table
from lina_lab.analysis.forecast_score import Score, readable_cells, readable_gaps, score
from lina_lab.analysis.forecast_score import sentences as forecast_sentences
from lina_lab.analysis.guidance import OVER
from lina_lab.analysis.names import design_names
from lina_lab.analysis.progress import has_result
from lina_lab.analysis.report_data import (
    ReportData,
    make_way,
    read_report_data,
    report_data_of_ledger,
    write_report_data,
)
from lina_lab.analysis.scaling import design_fits, readable_fits
from lina_lab.analysis.study_metric import StudyMetric, study_metric
from lina_lab.analysis.table import (
    SIZE_AXIS,
    design_axes,
    designs,
    readable,
    refuse_mixtures,
    to_latex,
    to_markdown,
    write_table,
)
from lina_lab.analysis.tuning import chosen_before, tuned_names
from lina_lab.figures.composition import composition_figure
from lina_lab.figures.curves import length_figure, training_figure
from lina_lab.figures.efficiency import efficiency_figure
from lina_lab.figures.forecast import forecast_figure
from lina_lab.figures.forest import forest_figure
from lina_lab.figures.gap import gap_figure
from lina_lab.figures.gates import gates_figure
from lina_lab.figures.multiplier import multiplier_figure
from lina_lab.figures.samples import board_sheet, sample_boards, step_boards
from lina_lab.figures.sampling import NAMES, comparable_figures
from lina_lab.figures.scaling import bars, one_size, scaling_figure
from lina_lab.figures.sentences import sentences as sentences_of
from lina_lab.figures.style import COLUMN, design_looks, save
from lina_lab.figures.tuning import tuning_figure
from lina_lab.files import write_atomic
from lina_lab.ledger.plan import Plan
from lina_lab.report import text
from lina_lab.report.cards import effect_picture
from lina_lab.report.cell_page import SHEET_NOTE
from lina_lab.report.pictures import embedded, shown_board
from lina_lab.sheets import write_sheet

FORMATS = ("png", "pdf", "svg")


class StudyFindings(NamedTuple):
    """What the comparisons of a study say, before anything is written."""

    metric: StudyMetric
    findings: list[Finding]
    verdict: StudyVerdict
    """What they say for a reader: see `analysis.cards`."""
    forecast: Score
    """What was forecast beside what was reached."""


def write_report(
    runs: Path,
    plan: Plan,
    out: Path,
    progress: Callable[[float], None] = lambda share: None,
    tell: Callable[[str], None] = lambda line: None,
) -> Path:
    """Write everything of a sweep: the path of the page. The same ledger gives the same bytes.

    `progress` is told the share of the comparisons that are made: they take the time. `tell` gets lines for what the
    user must know: that cells are missing or have learnt nothing, the verdict in short, and that the report of another
    plan was moved aside.

    Raises:
        LabError: if no cell has the study's metric yet, or the cells cannot be compared.
    """
    study = report_data_of_ledger(runs, plan)
    results = study_findings(study, progress, tell)
    aside = make_way(out, plan)
    if aside is not None:
        tell(f"moved to {aside}: the report of another plan, which was in {out}")
    write_report_data(study, out)
    return _draw(study, results, out)


def redraw_report(
    folder: Path,
    progress: Callable[[float], None] = lambda share: None,
    tell: Callable[[str], None] = lambda line: None,
) -> Path:
    """Make tables, figures and page of a report anew from the data in its folder: the path of the page.

    Samples of an older report, whose data lack them, stay as they were drawn.

    Raises:
        LabError: if the folder is no report, or a file of it is damaged.
    """
    study = read_report_data(folder)
    kept = ["samples"] if not study.samples and (folder / "samples.png").exists() else []
    return _draw(study, study_findings(study, progress, tell), folder, kept)


def study_findings(study: ReportData, progress: Callable[[float], None], tell: Callable[[str], None]) -> StudyFindings:
    metric = study_metric(study.table, study.plan)
    refuse_mixtures(study.table, metric.column)
    table, plan = with_losses(study.table, study.curves), study.plan
    compared, missing = findings(table, plan, metric, progress)
    verdict = verdict_of(table, plan, metric, compared, missing)
    for line in verdict.lines:
        tell(line)
    scored = score(study.table, plan, study.forecasts, metric)
    return StudyFindings(metric=metric, findings=compared, verdict=verdict, forecast=scored)


def _draw(study: ReportData, results: StudyFindings, out: Path, kept: Collection[str] = ()) -> Path:
    """Write tables, figures and page; `kept` figures are shown as they are in the folder."""
    plan, table, metric = study.plan, study.table, results.metric
    effects, (gates_label, gates) = ablation_table(table, plan, metric), gates_of(study, metric)
    shown = _write_tables(study, results, effects, out)
    every = study_figures(study, results, effects, gates)
    figures = {name: figure for name, figure in every.items() if figure}
    for name, figure in figures.items():
        save(figure, out / f"{name}.png", FORMATS)
    for path in (out / f"{name}.{kind}" for name in every.keys() - figures.keys() for kind in FORMATS):
        path.unlink(missing_ok=True)  # of an earlier report
    boards = sample_boards(study.samples, table, plan)
    for name, board in boards.items():
        write_sheet(out / f"{name}.png", board_sheet(board))
    page = _template().render(
        plan=plan,
        metric=metric,
        verdict=results.verdict,
        effect=effect_picture,
        details=lambda card: text.details(card, effects),
        bars=bars(table, metric).replace("\n", " "),
        seen=list(text.what_is_seen(table, plan, metric)),
        unknown=list(text.what_is_not_known(table[has_result(table)], plan, metric)),
        images={name: embedded(out / f"{name}.png") for name in (*figures, *kept)},
        across=[name for name, figure in figures.items() if figure.get_figwidth() > COLUMN],
        boards={name: shown_board(board) for name, board in boards.items()},
        steps=[(step, shown_board(board)) for step, board in step_boards(study.sample_steps, table, plan)],
        sheet_note=SHEET_NOTE,
        says=sentences_of(study, metric, results.findings, gates),
        one_size=one_size(table.dropna(subset=[metric.column])),
        gates_of=gates_label,
        tuned=list(tuned_names(plan)),
        tables={name: _rows(shown_table) for name, shown_table in shown.items()},
        trouble=list(text.trouble(table, plan)),
        measured=text.measured(table),
        scanned={over: NAMES[over] for over in OVER},
        provenance=study.provenance,
        forecast=list(forecast_sentences(results.forecast)),
    )
    write_atomic(out / "index.html", page)
    write_atomic(out / "verdict.md", results.verdict.markdown())
    body = json.dumps(results.verdict.as_json(), indent=1, ensure_ascii=False, allow_nan=False)
    write_atomic(out / "verdict.json", f"{body}\n")
    return out / "index.html"


def study_figures(
    study: ReportData, results: StudyFindings, effects: pd.DataFrame, gates: pd.DataFrame
) -> dict[str, Figure | None]:
    """Every figure of a report by its name; None where there is nothing to draw."""
    plan, table = study.plan, study.table
    tuned = tuned_names(plan)
    looks = design_looks(values for values, _ in designs(table, design_axes(plan)))
    return {
        "scaling": scaling_figure(table, plan),
        "compute_multiplier": multiplier_figure(results.findings, looks, design_names(plan)),
        "gap": gap_figure(results.findings, looks, design_names(plan)),
        "forest": forest_figure(effects, results.metric, plan),
        "forecast": forecast_figure(results.forecast, plan, results.metric, looks),
        "composition": composition_figure(table, plan),
        "training": training_figure(study.curves, table, plan),
        "length": length_figure(study.points, table, plan, results.metric),
        "gates": gates_figure(gates),
        "efficiency": efficiency_figure(table, plan),
        **{f"sampling-{over}": figure for over, figure in comparable_figures(study.evaluations).items()},
        **{f"tuning-{name}": tuning_figure(study.trials, table, plan, name, path) for name, path in tuned.items()},
    }


def _write_tables(
    study: ReportData, results: StudyFindings, effects: pd.DataFrame, out: Path
) -> dict[str, pd.DataFrame]:
    """Write each table for people as Markdown and LaTeX, under what comes first, and its numbers as CSV."""
    plan, table = study.plan, study.table
    metric = results.metric
    fits = design_fits(table, plan, metric.column) if metric.has_law else pd.DataFrame()
    forecast = results.forecast
    numbers = {
        "ablation": effects,
        "fits": fits,
        "comparisons": verdicts_table(results.findings),
        "forecast": forecast.cells,
        "forecast-gaps": forecast.gaps,
    }
    shown = {
        "table": readable(table, plan.axes, [*tuned_names(plan), *chosen_before(plan)]),
        "ablation": readable_ablation(effects, metric),
    }
    if len(fits):
        shown["fits"] = readable_fits(fits, design_axes(plan))
    if len(forecast.cells):
        shown["forecast"] = readable_cells(forecast, list(plan.axes), metric)
    if len(forecast.gaps):
        shown["forecast-gaps"] = readable_gaps(forecast, metric)
    if len(study.evaluations):
        shown["evaluations"] = readable_evaluations(study.evaluations, {cell.key: cell for cell in plan.cells})
    for name, rows in numbers.items():
        if len(rows):
            write_table(rows, out / f"{name}.csv")
    for name, rows in shown.items():
        write_atomic(
            out / f"{name}.md", "".join(f"**{line}**\n\n" for line in results.verdict.first) + to_markdown(rows)
        )
        write_atomic(out / f"{name}.tex", "".join(f"% {line}\n" for line in results.verdict.first) + to_latex(rows))
    return shown


def gates_of(study: ReportData, metric: StudyMetric) -> tuple[str, pd.DataFrame]:
    """Name and gates of the best cell among the largest that have gates; none, and an empty table."""
    if study.gates.empty:
        return "", study.gates
    cells = study.table[study.table["key"].isin(study.gates["key"])].dropna(subset=[metric.column])
    if SIZE_AXIS in cells:
        cells = cells[cells[SIZE_AXIS] == cells.nlargest(1, "parameters")[SIZE_AXIS].iloc[0]]
    best = cells.sort_values(metric.column, ascending=metric.sign > 0).to_dict("records")[0]
    label = design_names(study.plan)({axis: best[axis] for axis in study.plan.axes})
    return f"{label}, seed {best['seed']}", study.gates[study.gates["key"] == best["key"]]


def _rows(table: pd.DataFrame) -> tuple[list[str], list[list[str]]]:
    rows = [["" if pd.isna(v) else str(v) for v in row] for row in table.itertuples(index=False)]
    return list(table.columns), rows


def _template() -> jinja2.Template:
    loader = jinja2.FileSystemLoader(Path(__file__).parent)
    environment = jinja2.Environment(loader=loader, autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True)
    return environment.get_template("page.html.j2")
