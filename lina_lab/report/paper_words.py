"""Everything that the templates of a paper say of a study, by name; each number is one of its data."""

import string
from collections.abc import Iterable
from typing import Any, NamedTuple

import pandas as pd

from lina_lab.analysis.ablation import ALL_SIZES
from lina_lab.analysis.cards import Card, StudyVerdict
from lina_lab.analysis.forecast_score import sentences as forecast_sentences
from lina_lab.analysis.progress import has_result
from lina_lab.analysis.report_data import ReportData
from lina_lab.analysis.study_metric import StudyMetric
from lina_lab.analysis.table import SIZE_AXIS, design_axes, designs, human
from lina_lab.analysis.variance_components import fid_spread, spread_sentences
from lina_lab.escape import latex, latex_prose
from lina_lab.fact_names import column
from lina_lab.metric_names import FID, METRICS, heading
from lina_lab.report import text
from lina_lab.report.page import StudyFindings
from lina_lab.report.paper_method import Told, axes_of, data_of, fixed_axes, rates_of
from lina_lab.report.paper_tables import many_sizes
from lina_lab.report.tex import Tex


class Macro(NamedTuple):
    what: str
    name: str
    """Letters; in the paper it follows \\lab."""
    value: Tex


class Answer(NamedTuple):
    """What the study says of one axis value."""

    name: str
    text: str


def paper_words(study: ReportData, results: StudyFindings, effects: pd.DataFrame) -> dict[str, Any]:
    plan, table, metric, told = study.plan, study.table, results.metric, Told(study.settings)
    answered, note = answers(results.verdict)
    over = " over all sizes" if many_sizes(table) else ""
    headlines = [_headline(row, metric, number, over) for number, row in enumerate(_over_all_sizes(effects))]
    return {
        "study": plan.name,
        "first": results.verdict.first,
        "macros": [*_macros(study, results), *(macro for macro in headlines)],
        "effects": headlines,
        "time": study.provenance.get("time", ""),
        "told": told,
        "data": data_of(told),
        "axes": axes_of(plan),
        "fixed": fixed_axes(told, plan),
        "rates": rates_of(study),
        "steps": _numbers(table, column("steps")),
        "samples_seen": _numbers(table, column("samples_seen")),
        "metric": metric,
        "is_fid": metric.column.startswith(FID),
        "others": _other_metrics(table, metric),
        **_statistics(study, results),
        "seen": [*text.what_tuning_saw(table, plan), *_spread(study, metric)],
        "answers": answered,
        "note": note,
        "missing": results.verdict.missing,
        "forecast": list(forecast_sentences(results.forecast)),
        "unknown": list(text.what_is_not_known(table[has_result(table)], plan, metric)),
        "trouble": list(text.trouble(table, plan)),
        "provenance": study.provenance,
        "commands": _commands(study),
    }


def answers(verdict: StudyVerdict) -> tuple[list[Answer], str]:
    """The verdict's cards: question, outcome with its sentence, what would settle it; and what holds of all of them."""
    return [Answer(card.question, _answer(card)) for card in verdict.cards], " ".join(verdict.notes)


def _answer(card: Card) -> str:
    """'Undetermined. FID is ... What would settle it: more seeds ...'."""
    settle = f" What would settle it: {card.settle}" if card.settle else ""
    return f"{card.badge[0].upper()}{card.badge[1:]}. {card.sentence}{settle}"


def _statistics(study: ReportData, results: StudyFindings) -> dict[str, Any]:
    contrasts = [contrast for finding in results.findings for contrast in finding.contrasts]
    seeds = sorted(study.table["seed"].unique().tolist())
    measured = {"autoregressive_steps": "", "flow_steps": "", "guidance_scale": ""}
    measured |= {"num_generated": "", "num_reference": "", "extractor": ""} | text.measured(study.table)
    return {
        "measured": measured,
        "comparisons": len(contrasts),
        "level": f"{contrasts[0].verdict.level:.2%}" if contrasts else "",
        "neutral": f"{results.metric.scale.neutral:g}",
        "seeds": f"seed{'s' * (len(seeds) > 1)} {', '.join(map(str, seeds))}",
        "many_seeds": len(seeds) > 1,
        "many_sizes": many_sizes(study.table),
    }


def _macros(study: ReportData, results: StudyFindings) -> Iterable[Macro]:
    plan, table = study.plan, study.table
    of_designs = len(list(designs(table, design_axes(plan))))
    numbers = {
        "Study": ("its name", plan.name),
        "Question": ("what it asks", plan.question),
        "Answer": ("what came out, in a line", results.verdict.answer),
        "Metric": ("what designs are compared by", results.metric.label),
        "Cells": ("cells", f"{len(table):,}"),
        "Finished": ("cells with a result", f"{has_result(table).sum():,}"),
        "Designs": ("designs", _count(of_designs, "design")),
        "Sizes": ("sizes", _sizes(table)),
        "Seeds": ("training seeds", _count(table["seed"].nunique(), "training seed")),
        "Time": ("what it took", study.provenance.get("time", "")),
    }
    return [Macro(what, name, Tex(latex_prose(value))) for name, (what, value) in numbers.items()]


def _sizes(table: pd.DataFrame) -> str:
    known = table.get(column("parameters.total"), pd.Series(dtype=float)).dropna()
    count = _count(table[SIZE_AXIS].nunique() if SIZE_AXIS in table else 1, "size")
    if not len(known):
        return count
    ends = list(dict.fromkeys([human(known.min()), human(known.max())]))
    return f"{count} {'from ' if len(ends) > 1 else 'of '}{' to '.join(ends)} parameters"


def _count(count: int, what: str) -> str:
    return f"{count:,} {what}{'s' * (count != 1)}"


def _over_all_sizes(effects: pd.DataFrame) -> list[dict[Any, Any]]:
    return effects[effects["size"] == ALL_SIZES].to_dict("records") if len(effects) else []


def _headline(row: dict[Any, Any], metric: StudyMetric, number: int, over: str) -> Macro:
    """An effect as a macro, EffectA and so on."""
    letters = string.ascii_uppercase
    place = letters[number] if number < len(letters) else letters[number // 26 - 1] + letters[number % 26]
    shortly, interval = metric.scale.shortly, "no interval: one seed"
    if not pd.isna(row["low"]):
        interval = f"95 % interval {shortly(row['low'])} to {shortly(row['high'])}"
    what = f"{metric.label} {metric.scale.word} of {row['axis']} {row['value']} to {row['baseline']}{over}"
    return Macro(what, f"Effect{place}", Tex(latex(f"{shortly(row[metric.scale.word])} ({interval})")))


def _spread(study: ReportData, metric: StudyMetric) -> list[str]:
    if not metric.column.startswith(FID):
        return []
    return spread_sentences(fid_spread(study.table, metric.column.removeprefix(FID), list(study.plan.axes)))


def _numbers(table: pd.DataFrame, name: str) -> str:
    """'600', or '600 or 1,000' where cells differ."""
    values: list[float] = table[name].dropna().unique().tolist() if name in table else []
    return " or ".join(f"{int(value):,}" for value in sorted(values)) or "?"


CITED = {
    "kid/": "kid",
    "precision/": "precision",
    "recall/": "precision",
    "density/": "density",
    "coverage/": "density",
}
CITED |= {"geneval/overall": "geneval"}


def _other_metrics(table: pd.DataFrame, metric: StudyMetric) -> Tex:
    """The brief metrics beside the one that decides, with who published them."""
    words = []
    for known in METRICS:
        for name in [name for name in table.columns if known.brief and known.covers(name) and known.better]:
            if name != metric.column and table[name].notna().any():
                key = CITED.get(known.key.removeprefix("eval/"))
                words.append(latex(heading(name, table.columns)) + (rf"~\citep{{{key}}}" if key else ""))
    return Tex(", ".join(words))


def _commands(study: ReportData) -> list[tuple[str, str]]:
    name, command = study.plan.name, study.provenance.get("command", "")
    return [
        *([(command, "what ran the cells")] if command else []),
        (f"lab report {name}", "the report: figures, tables and the data that they are made from"),
        (f"lab paper {name}", "this paper"),
    ]
