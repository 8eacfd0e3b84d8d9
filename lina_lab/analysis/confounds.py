"""Confounds: what besides the design may explain a difference. Each is a named reason against a claim."""

from numbers import Real
from typing import NamedTuple

import pandas as pd

from lina_lab.analysis.coordinates import PASSED
from lina_lab.analysis.match_cells import AT, DESIGN, Pairs
from lina_lab.analysis.rows import ARITHMETIC
from lina_lab.analysis.same_code import LABEL, changed_meanwhile, code_difference, with_code
from lina_lab.analysis.spread import COMMON, UNEVEN, below, seed_effect, uneven_scatter
from lina_lab.analysis.table import unequal_draws
from lina_lab.config.averaging import REACHES, is_long

LEARNING_RATE = "learning_rate"
TUNED = (LEARNING_RATE, f"{LEARNING_RATE}_inside", "tune_trials")
"""Columns of a table whose learning rates were tuned; see `lab sweep`."""


NO_SPREAD = "the spread over seeds was not measured"


class Reasons(NamedTuple):
    """Why a claim cannot be made."""

    better: list[str]
    """Against "A is better at the largest size"."""
    scales: list[str]
    """Against "A scales better"; holds all of `better`, too."""


def confounds(pairs: Pairs, y: str, *, lr_tuned: bool) -> Reasons:
    """Every confound of y visible in the table, and every one that the table cannot rule out.

    lr_tuned: the user asserts tuned learning rates where the table has no such columns; what it has still counts.
    """
    both = [f"cells diverged, and without them a design looks better than it is: {d}" for d in pairs.diverged]
    if pairs.seeds < 2:
        both.append(f"one seed: {NO_SPREAD}")
    elif len(set(pairs.size)) == len(pairs.size):
        both.append(f"no size has pairs of two seeds: {NO_SPREAD}")
    draws = unequal_draws(pairs.rows, y)
    both += [draws] if draws else []
    scales = []
    sizes = list(dict.fromkeys(pairs.size))
    if len(sizes) < 3:
        scales.append(f"{len(sizes)} size{'s' * (len(sizes) > 1)}: a trend needs 3")
    unequal = [_unequal(pairs.rows, n, sizes) for n in ("samples_seen", "batch_size", *ARITHMETIC) if n in pairs.rows]
    for reasons in [*unequal, _other_code(pairs.rows, sizes)]:
        both += reasons.better
        scales += reasons.scales
    if "samples_seen" not in pairs.rows or pairs.rows["samples_seen"].isna().any():
        scales.append("the table does not say how many samples each cell has seen (samples_seen)")
    return Reasons(both, both + scales + untuned(pairs, lr_tuned=lr_tuned))


def untuned(pairs: Pairs, *, lr_tuned: bool = False) -> list[str]:
    """What is wrong with the tuning of the learning rate; none if each size of each design had an equal budget.

    A rate that was tuned at one size counts at others under muP, where the coordinate check passed.
    """
    rows = pairs.rows
    if any(name not in rows or rows[name].isna().all() for name in TUNED):
        return [] if lr_tuned else [_chosen_before(rows) or "the learning rate was not tuned for every size"]
    reasons = []
    missing = rows[rows[list(TUNED)].isna().any(axis=1)]
    if len(missing) and not lr_tuned:
        reasons.append(f"the learning rate was not tuned for every size: not for {_where(missing)}")
    budgets = rows["tune_trials"].dropna().unique().tolist()
    if len(budgets) > 1:
        of = [f"{count:g} for {_where(rows[rows['tune_trials'] == count])}" for count in sorted(budgets)]
        reasons.append(f"learning rates were chosen from unequal numbers of trials: {'; '.join(of)}")
    reasons += _transferred(rows)
    edge = rows[rows[TUNED[1]].map(str).str.lower() == "false"]
    if len(edge):
        reasons.append(f"the learning rate is the lowest or highest that was tried for {_where(edge)}")
    return reasons


def warnings(pairs: Pairs) -> list[str]:
    """What a reader must know of the pairs beside the reasons against claims."""
    said = list(pairs.warnings)
    scatter, common = uneven_scatter(pairs), seed_effect(pairs)
    if below(scatter, UNEVEN):
        own = "its interval takes the spread of that size alone"
        said.append(f"values scatter more at the largest size than elsewhere (p = {scatter:.2g}): {own}")
    if below(common, COMMON):
        own = "intervals at a size take the spread of that size alone"
        said.append(f"a seed favours the same design at every size (p = {common:.2g}): {own}")
    if "ema_share" in pairs.rows and (long := pairs.rows["ema_share"].dropna().map(is_long).sum()):
        said.append(f"the averaged weights of {long} of {len(pairs.rows)} cells {REACHES}")
    return said


def _transferred(rows: pd.DataFrame) -> list[str]:
    """What is wrong with learning rates that were tuned at another size (`tune.at`)."""
    if "tune_transfer" not in rows:
        return []
    taken = rows[rows["tune_transfer"].notna() & (rows["tune_transfer"] != PASSED)]
    return [
        f"the learning rate was tuned at {at} alone and taken for {_where(cells)}, {why}"
        for (at, why), cells in taken.groupby(["tune_at", "tune_transfer"], sort=False)
    ]


def _chosen_before(rows: pd.DataFrame) -> str:
    """What learning rates a study without tuning set for its sizes and designs; '' if it has one for all."""
    if LEARNING_RATE not in rows or rows[LEARNING_RATE].nunique() < 2:
        return ""
    of = [f"{rate:g} for {_where(cells)}" for rate, cells in rows.groupby(LEARNING_RATE)]
    return f"learning rates were chosen before the study, from trials that it does not know: {'; '.join(of)}"


def _unequal(rows: pd.DataFrame, name: str, sizes: list[str]) -> Reasons:
    """The reasons if a column differs between cells; at the largest size they concern both claims."""
    seen = {(at, design): set(group[name].dropna()) for (at, design), group in rows.groupby([AT, DESIGN], sort=False)}
    if len(set().union(*seen.values())) < 2:
        return Reasons([], [])
    shown = [f"{at} {d} {'/'.join(map(_plain, sorted(seen[at, d])))}" for at in sizes for d in "AB" if seen[at, d]]
    return _against(f"{name} differs: {', '.join(shown)}", rows, name, sizes)


def _other_code(rows: pd.DataFrame, sizes: list[str]) -> Reasons:
    labelled = with_code(rows)
    difference, meanwhile = code_difference(labelled), changed_meanwhile(rows)
    better, scales = _against(difference, labelled, LABEL, sizes) if difference else Reasons([], [])
    return Reasons([*better, *([meanwhile] if meanwhile else [])], scales)


def _against(text: str, rows: pd.DataFrame, name: str, sizes: list[str]) -> Reasons:
    """A reason against both claims if a column is unequal at the largest size, else against the trend alone."""
    at_largest = rows.loc[rows[AT] == sizes[-1], name].dropna().nunique()
    return Reasons([text], []) if at_largest > 1 else Reasons([], [text])


def _plain(value: object) -> str:
    return f"{value:,.15g}" if isinstance(value, Real) and not isinstance(value, bool) else str(value)


def _where(rows: pd.DataFrame) -> str:
    return ", ".join(dict.fromkeys(f"{design} at {at}" for design, at in zip(rows[DESIGN], rows[AT], strict=True)))
