"""Pairs of cells of two designs: one for every size and seed that both have.

A pair shares its seed, hence data order, masks and noise, so that the ratio of its two values is far less noisy than
either. Cells without a partner are left out, with a warning.
"""

import re
from collections.abc import Collection, Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from lina_lab.analysis.lengths import ends
from lina_lab.analysis.scale import RATIO, Scale, scale_of
from lina_lab.analysis.table import SIZE_AXIS, refuse_mixtures
from lina_lab.errors import LabError

Array = NDArray[np.float64]
DESIGN, AT, SHARE, MEAN = "_design", "_at", "_share", "_mean"
"""Columns added to a table: the design (A or B), the size, what a pair shares, the mean x of its size."""
MAX_RATIO = 1.25
"""Sizes of two designs this far apart in x are still one size: a convolution adds 1 %, a gate some 10 %."""
MEASURED = re.compile(
    r"(eval|train|val|untrained)/.*|.*_seconds|key|state|reason|imported|commit|diff_sha256|cpu|versions|command|started"
    r"|continued_(from|step)|seconds_before"
    r"|diverged_at|(parameters|flops|tune)_.*|code|code_changed|sdpa|matmul_precision|tf32_.*|ema_share"
    r"|class_chance|reference_variance|loss_draws|at"
)
"""Columns of results and records, which do not identify a design."""


class Columns(NamedTuple):
    """Which columns of a table are compared, and how its rows are told apart."""

    x: str
    y: str
    by: tuple[str, ...]
    pair: str | None
    """What the two cells of a pair share besides their size.

    None: `seed` if there is such a column; otherwise each design must have one value at each size.
    """


class Pairs(NamedTuple):
    """n pairs in the order of x; x is the same for all pairs of one size."""

    x: Array
    """(n,): the geometric mean of the two designs' x at that size."""
    a: Array
    b: Array
    size: list[str]
    seeds: int
    rows: pd.DataFrame
    """The paired rows of the table, with `DESIGN`, `AT` and `SHARE`."""
    diverged: list[str]
    warnings: list[str]
    scale: Scale = RATIO
    """Whether a and b are compared by their ratio or their difference."""


def matched(
    table: pd.DataFrame, columns: Columns, a: Sequence[str], b: Sequence[str], scale: Scale | None = None
) -> Pairs:
    """Every pair of finished cells of designs A and B, at the ends of their runs.

    Pairs share the size: the column `size` if there is one; or x, if one design has every x of the other; or the
    place in the order of x, if both have as many and each two are within 25 %. Without a `scale` y's own is taken.

    Raises:
        LabError: if a column or value is not there, cells cannot be told apart or matched, a value is not positive,
            or values were measured differently.
    """
    if columns.pair is None and "seed" in table:
        columns = columns._replace(pair="seed")
    table = ends(table)
    _columns_exist(table, columns)
    if tuple(a) == tuple(b):
        raise LabError(f"A and B must be two designs, not {','.join(a)} twice")
    rows = pd.concat([_design(table, columns, a, "A"), _design(table, columns, b, "B")])
    rows[AT] = _sizes(rows, columns)
    rows[SHARE] = rows[columns.pair].map(as_text) if columns.pair else ""
    kept, warnings, diverged = _finished(rows, columns)
    scale = scale or scale_of(columns.y, kept[columns.y])
    _positive(kept, columns, scale)
    _unique(kept, columns)
    paired = has_partner(kept)
    if not paired.all():
        warnings.append(f"left out, the other design has no such cell: {_named(kept[~paired])}")
    kept = kept[paired]
    if kept.empty:
        what = f"size and {columns.pair}" if columns.pair else "size"
        raise LabError(f"{','.join(a)} and {','.join(b)} share no {what}; {_listed(rows, columns)}")
    kept.attrs["axes"] = columns.by
    refuse_mixtures(kept, columns.y)
    return _pairs(kept, columns, diverged, warnings)._replace(scale=scale)


def as_text(value: object) -> str:
    """A table's value as a user would type it: 5 for 5.0, nothing for a missing one."""
    if value is None or value != value:  # noqa: PLR0124, not a number
        return ""
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)


def rows_of_design(table: pd.DataFrame, by: Sequence[str], values: Sequence[str]) -> pd.DataFrame:
    """The rows that have these values, as text, in the columns `by`."""
    return table[(_texts(table, by) == list(values)).all(axis=1)]


def has_partner(cells: pd.DataFrame) -> "pd.Series[bool]":
    """Which cells have a partner: one cell of the other design with the same size and share."""
    return cells.groupby([AT, SHARE])[DESIGN].transform("size") == 2


def _texts(table: pd.DataFrame, by: Sequence[str]) -> pd.DataFrame:
    return pd.DataFrame({column: table[column].map(as_text) for column in by})


def _columns_exist(table: pd.DataFrame, columns: Columns) -> None:
    wanted = [columns.x, columns.y, *columns.by, *([columns.pair] if columns.pair else [])]
    missing = [name for name in wanted if name not in table]
    if missing:
        raise LabError(f"no column {', '.join(missing)} in the table; it has {', '.join(map(str, table.columns))}")
    for name in (columns.x, columns.y):
        bad = table[pd.to_numeric(table[name], errors="coerce").isna() & table[name].notna()]
        if len(bad):
            raise LabError(f"{name} must be a number, not {bad[name].iloc[0]} ({_numbers(bad)})")


def _design(table: pd.DataFrame, columns: Columns, values: Sequence[str], name: str) -> pd.DataFrame:
    """The rows of one design."""
    if len(values) != len(columns.by):
        raise LabError(f"{','.join(values)} must have a value for each of {', '.join(columns.by)}, not {len(values)}")
    chosen = rows_of_design(table, columns.by, values)
    if chosen.empty:
        texts = _texts(table, columns.by)
        there = "; ".join(dict.fromkeys(",".join(row) for row in texts.itertuples(index=False, name=None)))
        raise LabError(f"no row has {', '.join(columns.by)} = {','.join(values)}; there are {there}")
    numbers = {column: pd.to_numeric(chosen[column]).astype(float) for column in (columns.x, columns.y)}
    return chosen.assign(**numbers, **{DESIGN: name})


def _sizes(rows: pd.DataFrame, columns: Columns) -> pd.Series:
    """The name of every row's size."""
    if SIZE_AXIS in rows and SIZE_AXIS not in columns.by and rows[SIZE_AXIS].notna().all():
        return rows[SIZE_AXIS].map(as_text)
    a, b = (sorted(rows.loc[rows[DESIGN] == d, columns.x].dropna().unique()) for d in "AB")
    if set(a) <= set(b) or set(b) <= set(a):
        return rows[columns.x].map(lambda x: f"{x:,.15g}")
    if len(a) != len(b) or any(max(i / j, j / i) > MAX_RATIO for i, j in zip(a, b, strict=True)):
        raise LabError(f"the sizes of the designs do not match within 25 %; {_listed(rows, columns)}")
    name = {x: f"{i:,.15g}" for i, j in zip(a, b, strict=True) for x in (i, j)}
    return rows[columns.x].map(name)


def _finished(rows: pd.DataFrame, columns: Columns) -> tuple[pd.DataFrame, list[str], list[str]]:
    """Rows with a result, warnings of the others, and the diverged ones by name."""
    warnings = []
    state = rows.get("state", pd.Series("done", index=rows.index))
    unfinished = state != "done"
    empty = ~unfinished & (rows[columns.x].isna() | rows[columns.y].isna())
    if unfinished.any():
        warnings.append(f"left out, not done: {_named(rows[unfinished])}")
    if empty.any():
        warnings.append(f"left out, no {columns.x} or no {columns.y}: {_named(rows[empty])}")
    diverged = rows[state == "diverged"]
    return rows[~unfinished & ~empty].copy(), warnings, [_named(diverged)] if len(diverged) else []


def _positive(rows: pd.DataFrame, columns: Columns, scale: Scale) -> None:
    for name, positive in ((columns.x, True), (columns.y, scale == RATIO)):
        bad = rows[~(np.isfinite(rows[name]) & ((rows[name] > 0) | (not positive)))]
        if len(bad):
            must = "positive and finite" if positive else "finite"
            raise LabError(f"{name} must be {must}, not {bad[name].iloc[0]:g} ({_numbers(bad)})")


def _unique(rows: pd.DataFrame, columns: Columns) -> None:
    """Refuse two cells of one design, size and seed: which one belongs to the pair is ambiguous."""
    used = {*columns, *columns.by, DESIGN, AT, SHARE}
    for design, cells in rows.groupby(DESIGN, sort=False):
        place = [
            f"at {at}" + (f", {share}" if share else "") for at, share in zip(cells[AT], cells[SHARE], strict=True)
        ]
        refuse_pooled(cells, columns.x, pd.Series(place, cells.index), cells[SHARE], used, f"design {design}")


def refuse_pooled(
    rows: pd.DataFrame,
    x: str,
    place: pd.Series,
    share: pd.Series,
    used: Collection[str | tuple[str, ...] | None],
    what: str,
    untold: str | None = "name the column that does with --pair",
) -> None:
    """Refuse rows of several designs under one name, by the columns in which rows of one size and seed differ.

    place: the size and seed of every row, in words; share: the seed alone. Rows of one place are told apart by a column
    whose values are met at other sizes, too; a name of each run and a further metric are not. Without the column
    `size`, x that differ by less than 25 % are one size as far as columns of words go. used: columns that are accounted
    for. untold: what to do about rows that nothing tells apart; None if they are repetitions.

    Raises:
        LabError: naming columns, rows and what to do.
    """
    named = SIZE_AXIS in rows and SIZE_AXIS not in used and bool(rows[SIZE_AXIS].notna().all())
    near = _near(rows[x]).map(str) + (rows[SIZE_AXIS].map(as_text) if named else "")
    names = [str(c) for c in rows.columns if c not in used and c != SIZE_AXIS and not MEASURED.fullmatch(str(c))]
    text = {name: rows[name].map(as_text) for name in names}
    for places, equal in ((place, True), (near + "," + share, False)):
        for _, group in rows.groupby(places, sort=False):
            differ = [name for name in names if len(set(text[name][group.index])) > 1] if len(group) > 1 else []
            elsewhere = near != near[group.index[0]]
            design = [n for n in differ if set(text[n][group.index]) & set(text[n][elsewhere])]
            if not equal:
                differ = [n for n in design if named or not pd.api.types.is_numeric_dtype(rows[n])]
            elif design or untold is None:
                differ = design
            start = f"{len(group)} rows are {what} {place[group.index[0]]} ({_numbers(group)})"
            if differ:
                raise LabError(f"{start}; they differ in {', '.join(differ)}: add what makes the design to --by")
            if equal and untold and len(group) > 1:
                raise LabError(f"{start} and nothing tells them apart: {untold}")


def _near(x: pd.Series) -> pd.Series:
    """The number of the size that each x belongs to, where a size goes up to 25 % above its smallest x."""
    numbers: dict[float, int] = {}
    first, count = 0.0, 0
    for value in sorted(x.unique()):
        if value > MAX_RATIO * first:
            first, count = value, count + 1
        numbers[value] = count
    return x.map(numbers)


def _pairs(kept: pd.DataFrame, columns: Columns, diverged: list[str], warnings: list[str]) -> Pairs:
    means = kept.groupby([DESIGN, AT])[columns.x].mean()
    middle = means["A"] * (means["B"] / means["A"]) ** 0.5  # exact where both are equal
    kept = kept.assign(**{MEAN: kept[AT].map(middle)}).sort_values([MEAN, SHARE, DESIGN])
    a, b = (kept[kept[DESIGN] == design] for design in "AB")
    for at, group in kept.groupby(AT, sort=False):
        spread = group[columns.x].max() / group[columns.x].min()
        if spread > MAX_RATIO:
            raise LabError(f"{columns.x} must be nearly equal for both designs at size {at}, not {spread:.2f} to 1")
    x, of_a, of_b = (side.to_numpy(dtype=float) for side in (a[MEAN], a[columns.y], b[columns.y]))
    seeds = a[SHARE].nunique() if columns.pair else 1
    return Pairs(x=x, a=of_a, b=of_b, size=a[AT].tolist(), seeds=seeds, rows=kept, diverged=diverged, warnings=warnings)


def _named(rows: pd.DataFrame) -> str:
    return "; ".join(f"{row[DESIGN]} {_place(row)}{_state(row)}" for _, row in rows.iterrows())


def _place(row: pd.Series) -> str:
    return f"at {row[AT]}" + (f", {row[SHARE]}" if row[SHARE] else "")


def _state(row: pd.Series) -> str:
    state = row.get("state", "done")
    return "" if state == "done" else f" ({state})"


def _numbers(rows: pd.DataFrame) -> str:
    """Rows by the name of their index: "line 3, 7" of a file."""
    return f"{rows.index.name or 'row'} {', '.join(map(str, rows.index))}"


def _listed(rows: pd.DataFrame, columns: Columns) -> str:
    sides = [rows[rows[DESIGN] == design] for design in "AB"]
    texts = [", ".join(f"{x:,.15g}" for x in sorted(side[columns.x].dropna().unique())) for side in sides]
    return f"{columns.x} of A: {texts[0]}; of B: {texts[1]}"
