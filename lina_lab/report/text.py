"""The sentences of a report: what is seen, what is not known, and what has no result."""

from collections.abc import Iterable
from typing import Any

import pandas as pd

from lina_lab.analysis.ablation import ALL_SIZES
from lina_lab.analysis.cards import Card
from lina_lab.analysis.confounds import LEARNING_RATE
from lina_lab.analysis.names import design_names
from lina_lab.analysis.notes import NOTED, notes
from lina_lab.analysis.rows import ARITHMETIC
from lina_lab.analysis.same_code import changed_meanwhile, code_difference, with_code
from lina_lab.analysis.study_metric import StudyMetric
from lina_lab.analysis.table import (
    design_axes,
    designs,
    human,
    unequal_draws,
    unequal_exposure,
)
from lina_lab.analysis.tuning import power_law, tuned_names
from lina_lab.analysis.variance_components import fid_spread, spread_sentences
from lina_lab.config.averaging import REACHES, is_long
from lina_lab.config.sweep import cell_label, left_out
from lina_lab.ledger.plan import Plan
from lina_lab.metric_names import FID, LOSS


def details(card: Card, effects: pd.DataFrame) -> list[str]:
    """Everything that is known of a card's question, with its numbers; `effects` is the `ablation_table`."""
    known = not any(case.verdict.at_chance for case in card.cases)
    return [*card.details, *(_over_everything(card, effects) if known else [])]


def _over_everything(card: Card, effects: pd.DataFrame) -> Iterable[str]:
    scale = card.subject.metric.scale
    of_value = (effects["axis"] == card.axis) & (effects["value"] == str(card.value))
    for row in effects[of_value & (effects["size"] == ALL_SIZES) & effects["low"].notna()].to_dict("records"):
        mean, low, high = (scale.shortly(row[name]) for name in (scale.word, "low", "high"))
        yield (
            f"Averaged over all sizes and settings the {scale.word} is {mean} (95 % interval, taken by itself, "
            f"{low} to {high} over {row['seeds']} seeds)."
        )


def what_is_seen(table: pd.DataFrame, plan: Plan, metric: StudyMetric) -> Iterable[str]:
    """Sentences that say what the table shows, each number computed from it."""
    names = design_names(plan)
    yield from what_tuning_saw(table, plan)
    for values, rows in designs(table.dropna(subset=[metric.column]), design_axes(plan)):
        by_size = rows.groupby("parameters")[metric.column].mean()
        if len(by_size) > 1:
            first, last = by_size.index[0], by_size.index[-1]
            fall = "fall" if metric.better == "lower" else "rise"
            improves = by_size.is_monotonic_decreasing if metric.better == "lower" else by_size.is_monotonic_increasing
            yield (
                f"{names(values)}: {metric.label} {by_size.iloc[0]:.3g} at {human(first)} parameters, "
                f"{by_size.iloc[-1]:.3g} at {human(last)}"
                f"{'' if improves else f'; it does not {fall} at every step of size'}."
            )
    if metric.column.startswith(FID):
        yield from spread_sentences(fid_spread(table, metric.column.removeprefix(FID), list(plan.axes)))


def what_tuning_saw(table: pd.DataFrame, plan: Plan) -> Iterable[str]:
    """How the chosen values change with size, where each size has its own."""
    if (plan.tune or {}).get("at"):
        return
    names = design_names(plan)
    for name, path in tuned_names(plan).items():
        if name not in table or not (plan.tune or {})["search"][path]["log"]:
            continue
        for values, rows in designs(table.dropna(subset=[name, "parameters"]), design_axes(plan)):
            chosen = rows.drop_duplicates(subset=["parameters", name])
            law = power_law(chosen["parameters"].tolist(), chosen[name].tolist())
            if law is not None:
                interval = "no interval from two sizes"
                if law.low is not None:
                    interval = f"95 % interval {law.low:.2f} to {law.high:.2f}"
                yield (
                    f"{names(values)}: the chosen {name} goes with parameters to the power {law.exponent:.2f} "
                    f"({interval})."
                )


def what_is_not_known(table: pd.DataFrame, plan: Plan, metric: StudyMetric) -> Iterable[str]:
    """Sentences on what the study cannot show."""
    if table["seed"].nunique() < 2:
        yield (
            "With one seed no difference here is evidence of a general one: the spread over training seeds was not "
            "measured. No verdict is given."
        )
    yield from what_tuning_leaves_open(table, plan)
    warning = unequal_exposure(table)
    if warning:
        yield f"{warning[0].upper()}{warning[1:]}: differences between them are differences of training, too."
    yield from notes({name: table[name].dropna() for name in NOTED if name in table})
    yield from what_code_leaves_open(table)
    if "size" in plan.axes and table["size"].nunique() < 4:
        yield (
            f"{table['size'].nunique()} sizes cannot tell a power law from one with a floor; "
            "do not read the lines beyond their ends."
        )
    if "size" in plan.axes and table["size"].nunique() == 2:
        yield "Two sizes always lie on a power law: nothing here checks that one is right."
    yield from what_the_metric_leaves_open(table, metric)


def what_the_metric_leaves_open(table: pd.DataFrame, metric: StudyMetric) -> Iterable[str]:
    """Sentences on what values of the metric may be compared with, and on their error."""
    if draws := unequal_draws(table, metric.column):
        yield f"{draws[0].upper()}{draws[1:]}. A difference between such cells may be one of the draws."
    if not metric.error or metric.error not in table:
        yield f"{metric.label} has no error of its own here: only the spread over training seeds says how sure it is."
    if metric.column == LOSS:
        yield (
            "The held-out loss says how well a design predicts, not how its pictures look: a lower loss need not mean "
            "a lower FID. It is comparable where data, tokens and draws are the same."
        )
    if not metric.column.startswith(FID):
        return
    yield (
        "FID with this extractor is not comparable with FID as published for ImageNet (Inception features, "
        "50,000 samples), nor with values of another number of samples."
    )


def what_code_leaves_open(table: pd.DataFrame) -> Iterable[str]:
    """Sentences on cells that differ in code or arithmetic, and on weight averages that reach far back."""
    done = table[table["state"] == "done"]
    for difference in (code_difference(with_code(done)), changed_meanwhile(done)):
        if difference:
            yield f"{difference[0].upper()}{difference[1:]}; a difference between such cells may be one of the code."
    for name in [name for name in ARITHMETIC if name in done]:
        values = list(map(str, done[name].dropna().unique()))
        if len(values) > 1:
            yield f"Cells differ in {name} ({', '.join(values)}): their difference may be one of the arithmetic."
    if "ema_share" in done and (long := done["ema_share"].dropna().map(is_long).sum()):
        yield (
            f"The averaged weights of {long} of {len(done)} cells {REACHES}: they were measured as a model of earlier "
            "steps, and a longer training may order the designs differently."
        )


def what_tuning_leaves_open(table: pd.DataFrame, plan: Plan) -> Iterable[str]:
    names = tuned_names(plan)
    if "training.learning_rate" not in names.values():
        rates = table.get(LEARNING_RATE, pd.Series(dtype=float))
        served = "One learning rate served every size and design"
        if rates.min() < rates.max():
            served = f"Learning rates from {rates.min():g} to {rates.max():g} were set for its parts, not tuned in it"
        yield (
            f"{served}. A design may be behind because its best learning rate is another, so nothing here says which "
            "design scales better."
        )
    for name in [name for name in names if name in table]:
        edge = table[table[f"{name}_inside"] == False].drop_duplicates(list(plan.axes))  # noqa: E712, a column
        where = "; ".join(cell_label({axis: row[axis] for axis in plan.axes}) for row in edge.to_dict("records"))
        at = (plan.tune or {}).get("at")
        yield (
            f"{name} was chosen from {int(table['tune_trials'].max())} trials for every design at "
            f"{f'{at}, and taken at the other sizes' if at else 'every size'}, all of one seed: the choice itself has "
            "a spread that was not measured."
        )
        if where:
            yield f"The chosen {name} is the lowest or highest that was tried, so a better one may lie beyond: {where}."


def trouble(table: pd.DataFrame, plan: Plan) -> Iterable[str]:
    """Cells without a result, and points of the grid without a cell, each with its reason."""
    unfinished = table["state"].isin(["waiting", "running"]).sum()
    if unfinished:
        yield f"{unfinished} of {len(table)} cells are waiting or running: this is no report of the whole study"
    for row in table[~table["state"].isin(["waiting", "running"])].to_dict("records"):
        name = f"{cell_label({axis: row[axis] for axis in plan.axes})}, seed {row['seed']}"
        if row["state"] == "diverged":
            yield f"diverged: {name}, at step {int(row['diverged_at'])}"
        elif row["state"] != "done":
            reason = row.get("reason")
            yield f"{row['state']}: {name}{f' ({reason})' if isinstance(reason, str) and reason else ''}"
    yield from left_out(plan.omitted)


def measured(table: pd.DataFrame) -> dict[str, Any]:
    names = ("extractor", "num_generated", "num_reference", "autoregressive_steps", "flow_steps", "guidance_scale")
    values_of = {name: sorted(table[name].dropna().unique().tolist(), key=str) for name in names if name in table}
    return {name: ", ".join(_plain(v) for v in values) for name, values in values_of.items()}


def _plain(value: object) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)
