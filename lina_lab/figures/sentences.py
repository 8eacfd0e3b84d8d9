"""One sentence above each figure: what it shows, counted from the data, with the seeds that it is of.

They describe ("lower in 6 of 6 pairs") and claim nothing: what is beyond chance is the verdict's.
"""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import pandas as pd

from lina_lab.analysis.ablation import Effect, effects
from lina_lab.analysis.findings import Finding
from lina_lab.analysis.lengths import RUN
from lina_lab.analysis.multiplier import FLOPS
from lina_lab.analysis.names import design_names
from lina_lab.analysis.report_data import ReportData
from lina_lab.analysis.study_metric import StudyMetric
from lina_lab.analysis.table import SIZE_AXIS, design_axes, designs, human
from lina_lab.analysis.tuning import tuned_names
from lina_lab.config.sweep import Scalar
from lina_lab.figures.composition import PREFIX
from lina_lab.figures.sampling import NAMES, comparable_cells, curves
from lina_lab.figures.scaling import one_size
from lina_lab.figures.ticks import si
from lina_lab.ledger.plan import Plan

MOST = 4
"""Most comparisons that a sentence lists; the figure has all."""


def sentences(
    study: ReportData, metric: StudyMetric, findings: Sequence[Finding], gates: pd.DataFrame
) -> dict[str, str]:
    """A sentence by the name of its figure; none where there is nothing to say."""
    table, plan = study.table, study.plan
    measured = table.dropna(subset=[metric.column])
    pairs = effects(measured, plan, metric)
    said = {
        "scaling": scaling_says(measured, plan, metric, pairs),
        "compute_multiplier": multiplier_says(findings, plan),
        "gap": gap_says(findings, plan),
        "forest": forest_says(pairs, plan, metric),
        "composition": composition_says(table, plan),
        "training": training_says(study.curves, table, plan),
        "length": length_says(study.points, table, metric),
        "gates": gates_says(gates),
        "efficiency": efficiency_says(measured, plan, metric),
        **{f"sampling-{over}": sampling_says(study.evaluations, over) for over in NAMES},
        **{f"tuning-{name}": tuning_says(table, name) for name in tuned_names(plan)},
    }
    return {name: f"{sentence[0].upper()}{sentence[1:]}" for name, sentence in said.items() if sentence}


def scaling_says(measured: pd.DataFrame, plan: Plan, metric: StudyMetric, pairs: Sequence[Effect]) -> str:
    """The most one-sided comparison, and in how many designs the largest models are better than the smallest."""
    if one_size(measured):
        best = best_of(measured, plan, metric)
        worst = best_of(measured, plan, metric, worst=True)
        if best.name == worst.name:
            return f"{metric.label} is {best.value:.3g} ({seeds_of(measured)})."
        return (
            f"The {_end(metric, best=True)} {metric.label} is {best.value:.3g}, of {best.name}; "
            f"the {_end(metric, best=False)} {worst.value:.3g}, of {worst.name} ({seeds_of(measured)})."
        )
    clauses = [_lower(effect, plan) for effect in sorted(pairs, key=_one_sided)[-1:]]
    grown = [_gain(rows, metric) for _, rows in designs(measured, design_axes(plan)) if not one_size(rows)]
    ends = [human(measured["parameters"].max()), human(measured["parameters"].min())]
    better = (
        f"{metric.better} at {ends[0]} than at {ends[1]} parameters in {sum(grown)} of {count(len(grown), 'design')}"
    )
    return f"{metric.label} is {'; it is '.join([*clauses, better])} ({seeds_of(measured)})."


def _gain(rows: pd.DataFrame, metric: StudyMetric) -> bool:
    by_size = rows.groupby("parameters")[metric.column].mean()
    return bool(metric.sign * (by_size.iloc[-1] - by_size.iloc[0]) < 0)


def _one_sided(effect: Effect) -> float:
    gap = effect.pairs["value"] - effect.pairs["baseline"]
    return abs(float(gap.lt(0).mean()) - float(gap.gt(0).mean()))


def _lower(effect: Effect, plan: Plan) -> str:
    """'lower with conv than with no conv in 60 of 60 pairs'."""
    gap = effect.pairs["value"] - effect.pairs["baseline"]
    lower, higher = int(gap.lt(0).sum()), int(gap.gt(0).sum())
    word, times = ("lower", lower) if lower >= higher else ("higher", higher)
    value, baseline = _values(plan, effect.axis, effect.value, effect.baseline)
    return f"{word} with {value} than with {baseline} in {times} of {count(len(gap), 'pair')}"


def forest_says(pairs: Sequence[Effect], plan: Plan, metric: StudyMetric) -> str:
    """The counts of every comparison."""
    if not pairs:
        return ""
    clauses = [_lower(effect, plan) for effect in pairs]
    more = f"; {len(clauses) - MOST} more below" if len(clauses) > MOST else ""
    return f"{metric.label} is {'; '.join(clauses[:MOST])}{more} ({seeds_of(pd.concat([e.pairs for e in pairs]))})."


def gap_says(findings: Sequence[Finding], plan: Plan) -> str:
    """In how many settings a value is lower, or higher, at every size."""
    clauses = []
    for finding in findings:
        signs = [
            {gap.ratio.mean < finding.metric.scale.neutral for gap in contrast.verdict.gaps}
            for contrast in finding.contrasts
        ]
        lower, higher = signs.count({True}), signs.count({False})
        word, times = ("lower", lower) if lower >= higher else ("higher", higher)
        value, baseline = _values(plan, finding.axis, finding.value, finding.baseline)
        total = count(len(signs), "setting")
        clauses.append(f"{word} with {value} than with {baseline} in {times} of {total}")
    if not clauses:
        return ""
    return f"At every size that was measured {findings[0].metric.label} is {'; '.join(clauses[:MOST])}."


def multiplier_says(findings: Sequence[Finding], plan: Plan) -> str:
    """The factors that the verdict calls known."""
    known = []
    for finding in findings:
        for compute in finding.compute:
            if compute.cost == FLOPS and compute.known and compute.overall is not None:
                value, baseline = _values(plan, finding.axis, finding.value, finding.baseline)
                known.append(f"{baseline} needs {compute.overall.text()} the {compute.words} of {value}")
    if not findings:
        return ""
    label = findings[0].metric.label
    if not known:
        return f"No factor of compute is known for the same {label}."
    others = "" if len(known) == len(findings) else "; no other factor is known"
    return f"For the same {label} {'; '.join(known)}{others}."


def efficiency_says(measured: pd.DataFrame, plan: Plan, metric: StudyMetric) -> str:
    """The best mean over seeds, and its training FLOPs."""
    if "flops_training" not in measured:
        return ""
    best = best_of(measured, plan, metric)
    flops = si(float(best.rows["flops_training"].mean()))
    what = f"The {_end(metric, best=True)} {metric.label}, {best.value:.3g}, is of {best.name}"
    return f"{what}: {flops} training FLOPs ({seeds_of(best.rows)})."


def training_says(curves: pd.DataFrame, table: pd.DataFrame, plan: Plan) -> str:
    """The lowest held-out loss at the end of training."""
    if curves.empty:
        return ""
    last = curves.loc[curves.groupby(RUN if RUN in curves else "key")["samples"].idxmax()]
    ended = table.merge(last[["key", "loss"]].rename(columns={"loss": "_loss"}), on="key")
    if ended.empty:
        return ""
    means = [(rows["_loss"].mean(), name, rows) for name, rows in _places(ended, plan)]
    loss, name, rows = min(means, key=lambda mean: mean[0])
    return f"At the end of training the held-out loss is lowest for {name}: {loss:.3g} ({seeds_of(rows)})."


def length_says(points: pd.DataFrame, table: pd.DataFrame, metric: StudyMetric) -> str:
    """In how many runs the end is better than the first point."""
    if metric.column not in points or points[metric.column].isna().all():
        return ""
    first = points.dropna(subset=[metric.column]).sort_values("samples_seen").groupby(RUN)[metric.column].first()
    end = table.dropna(subset=[metric.column]).set_index(RUN)[metric.column]
    both = pd.concat([first.rename("first"), end.rename("end")], axis=1, join="inner")
    better = int((metric.sign * (both["end"] - both["first"]) < 0).sum())
    runs = count(len(both), "run")
    return f"{metric.label} is {metric.better} at the end than at the first point in {better} of {runs}."


def composition_says(table: pd.DataFrame, plan: Plan) -> str:
    """The best share of right pictures, of seen and of held-out combinations."""
    column = f"{PREFIX}overall"
    if column not in table or table[column].isna().all():
        return ""
    scored = (
        table[table["parameters"] == table.dropna(subset=[column])["parameters"].max()] if SIZE_AXIS in table else table
    )
    means = [(rows[column].mean(), name, rows) for name, rows in _places(scored.dropna(subset=[column]), plan)]
    share, name, rows = max(means, key=lambda mean: mean[0])
    if not share:
        return f"No picture is right ({seeds_of(rows)})."
    novel = f"{column}_heldout"
    more = (
        f", {100 * rows[novel].mean():.2g} % of those never shown"
        if novel in rows and rows[novel].notna().any()
        else ""
    )
    seen = f"{100 * share:.2g} % of those asked for in training too"
    return f"Most pictures are right with {name}: {seen}{more} ({seeds_of(rows)})."


def gates_says(gates: pd.DataFrame) -> str:
    """The mean weight of each kind of gate."""
    if gates.empty:
        return ""
    means = [f"{gate} {weights.mean():.2f}" for gate, weights in gates.groupby("gate", sort=False)["weight"]]
    return f"Mean weights, which began at 1: {', '.join(means)}."


def sampling_says(evaluations: pd.DataFrame, over: str) -> str:
    """Where FID is lowest along each curve."""
    drawn = curves(comparable_cells(evaluations), over) if len(evaluations) else []
    if not drawn:
        return ""
    best = sorted({float(getattr(min(curve.points, key=lambda p: p.fid), over)) for curve in drawn})
    where = " to ".join(f"{value:g}" for value in dict.fromkeys((best[0], best[-1])))
    return f"FID is lowest at a {NAMES[over]} of {where} ({count(len(drawn), 'curve')})."


def tuning_says(table: pd.DataFrame, name: str) -> str:
    """The range of chosen values, and how many lie inside what was tried."""
    if name not in table or table[name].isna().all():
        return ""
    chosen = table[name].dropna()
    inside = table.get(f"{name}_inside", pd.Series(dtype=bool)).dropna()
    where = (
        f", inside the range that was tried in {int(inside.sum())} of {count(len(inside), 'cell')}"
        if len(inside)
        else ""
    )
    ends = " to ".join(f"{value:.3g}" for value in dict.fromkeys((chosen.min(), chosen.max())))
    return f"The chosen {name} is {ends}{where}."


class Best(NamedTuple):
    value: float
    """The mean over seeds; the geometric mean of what is compared by its ratio."""
    name: str
    rows: pd.DataFrame


def best_of(measured: pd.DataFrame, plan: Plan, metric: StudyMetric, *, worst: bool = False) -> Best:
    """The design and size with the best mean over its seeds."""
    scale = metric.scale
    places = [
        Best(scale.back(float(scale.forward(rows[metric.column]).mean())), name, rows)
        for name, rows in _places(measured, plan)
    ]
    return (max if worst else min)(places, key=lambda place: metric.sign * place.value)


def _places(rows: pd.DataFrame, plan: Plan) -> Iterable[tuple[str, pd.DataFrame]]:
    """The cells of every design and size, with their name."""
    names = design_names(plan)
    axes = [*design_axes(plan), *([SIZE_AXIS] if SIZE_AXIS in rows else [])]
    yield from ((names(values), cells) for values, cells in designs(rows, axes))


def _values(plan: Plan, axis: str, value: Scalar, baseline: Scalar) -> tuple[str, str]:
    names = design_names(plan)
    return names({axis: value}), names({axis: baseline})


def _end(metric: StudyMetric, *, best: bool) -> str:
    return "lowest" if (metric.better == "lower") == best else "highest"


def seeds_of(rows: pd.DataFrame) -> str:
    """'seed 0', 'seeds 0, 1, 2', or '12 seeds'."""
    seeds = sorted(set(rows["seed"]))
    if len(seeds) > 5:
        return f"{len(seeds)} seeds"
    return f"seed{'s' * (len(seeds) > 1)} {', '.join(f'{seed:g}' for seed in seeds)}"


def count(number: int, word: str) -> str:
    """'1 pair', '2 pairs'."""
    return f"{number} {word}{'s' * (number != 1)}"
