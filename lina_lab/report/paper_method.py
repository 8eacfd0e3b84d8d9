"""What a study's data say of its method: data, tokens, design axes, sizes, training, as words and tables of a paper."""

import re
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd

from lina_lab.analysis.report_data import ReportData
from lina_lab.analysis.study_settings import Settings
from lina_lab.analysis.table import SIZE_AXIS, human
from lina_lab.analysis.tuning import chosen_before, tuned_names
from lina_lab.config.data import source_of
from lina_lab.config.model import SEGMENTS
from lina_lab.design.axes import AXES, OTHER_AXES
from lina_lab.design.data_sets import SIZES as IMAGES
from lina_lab.design.data_sets import Source
from lina_lab.design.sizes import SIZES
from lina_lab.design.value import Axis, Value
from lina_lab.escape import latex_prose
from lina_lab.fact_names import column
from lina_lab.ledger.plan import Plan
from lina_lab.report.formulas import formula
from lina_lab.report.tex import Tex

REFERENCES = Path(__file__).with_name("references.bib")
OF_LINA = ("LINA", "reference code")
"""Words of a source that mean the paper of LINA."""
RATE = "training.learning_rate"


class Told:
    """Settings by their dotted path as words: '600', or '600 or 1,000' where the study has both; '' if not known."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings

    def __call__(self, place: str) -> str:
        return either(map(_plain, self.settings.get(place, [])))

    def one(self, place: str) -> Any:
        """The value that all cells have; None if there is none."""
        values = self.settings.get(place, [])
        return values[0] if len(values) == 1 else None

    def has(self, *places: str) -> bool:
        """Whether a setting is anything else than null or nothing in some cell."""
        return any(value for place in places for value in self.settings.get(place, []))


def either(words: Iterable[str]) -> str:
    *others, last = [*words] or [""]
    return f"{', '.join(others)} or {last}" if others else last


def _plain(value: object) -> str:
    if isinstance(value, bool) or value is None:
        return {True: "yes", False: "no", None: "none"}[value]
    if isinstance(value, int):
        return f"{value:,}"
    return f"{value:g}" if isinstance(value, float) else str(value)


class AxisWords(NamedTuple):
    name: str
    question: str
    """'' of an axis that has no entry in `design/`."""
    values: list[tuple[str, Tex]]
    """Word, and what it computes with its source."""


def axes_of(plan: Plan) -> list[AxisWords]:
    """The axes of a study but the size, with formula and source of the values that it has."""
    words = []
    for name, path in plan.axes.items():
        if name == SIZE_AXIS:
            continue
        values = list(dict.fromkeys(cell.values[name] for cell in plan.cells))
        axis = _axis(path)
        words.append(AxisWords(name, axis.question if axis else "", [(str(v), _meaning(axis, v)) for v in values]))
    return words


def _axis(path: str) -> Axis[Value] | None:
    *sections, name = path.split(".")
    attention = sections[:1] == ["model"] and sections[1:] in [["attention"], *([segment] for segment in SEGMENTS)]
    return AXES.get(name) if attention else OTHER_AXES.get(path)


def _meaning(axis: Axis[Value] | None, word: object) -> Tex:
    value = axis.values.get(word) if axis else None
    return Tex("" if value is None else f"{formula(value.formula)}{_cited(value.source)}")


def _cited(source: str) -> str:
    """The entries of the bibliography that a source names, or its own words."""
    keys = [key for key, number in references().items() if number in source]
    if any(word in source for word in OF_LINA):
        keys.insert(0, "lina")
    return rf"~\citep{{{','.join(dict.fromkeys(keys))}}}" if keys else f" ({latex_prose(source)})"


@cache
def references() -> dict[str, str]:
    """Number at arXiv by key."""
    entries = REFERENCES.read_text(encoding="utf-8")
    return dict(re.findall(r"@misc\{(\w+),.*?arXiv:([\d.]+)", entries, flags=re.DOTALL))


class DataWords(NamedTuple):
    title: str
    """'' if not known."""
    pictures: str = ""
    """'of 8 x 8 pixels with 1 channel in 10 classes'."""
    split: str = ""
    tokens: str = ""


def data_of(told: Told) -> DataWords:
    """What is generated and in how many tokens, as far as all cells agree."""
    name, side = told.one("data.name"), told.one("data.side")
    if name is None:
        return DataWords(told("data.name"))
    source = source_of(name, told.one("data.dataset"), told.one("data.labels") or "category")
    title = told.one("data.dataset") or (f"the folder {told.one('data.path')}" if name == "images" else name)
    if source is None:
        return DataWords(title)
    classes = source.num_classes or told.one("data.num_classes")
    sides = f"{side} × {side}" if side else either(f"{n} × {n}" for n in told.settings.get("data.side", []))
    pictures = f"{sides} pixels with {_count(source.channels, 'channel')} in {_count(classes or 0, 'class')}"
    return DataWords(title=title, pictures=pictures, split=_split(name, told), tokens=_tokens(told, source))


def _split(name: str, told: Told) -> str:
    if name in IMAGES:
        sizes = IMAGES[name]
        train = f"{sizes.trained_on:,} images" if sizes.trained_on else "images that are drawn without end"
        return f"{train} to train on, {sizes.heldout:,} held out"
    share = told.one("data.held_out")
    return f"{100 * share:g} % of each class held out" if name == "images" and share else ""


def _tokens(told: Told, source: Source) -> str:
    """'16 image tokens of 4 values (patches of 2 × 2), 4 context tokens'; '' if cells differ in it."""
    side, patch, context = (told.one(p) for p in ("data.side", "model.patch", "model.context_tokens"))
    stride, channels = told.one("data.autoencoder.stride") or 1, told.one("data.autoencoder.channels")
    if not (side and patch and context) or len(told.settings.get("data.autoencoder.stride", [])) > 1:
        return ""
    across, values = side // stride // patch, patch**2 * (channels or source.channels)
    of = f"patches of {patch} × {patch} {'latent ' if channels else ''}pixels"
    return (
        f"{across * across:,} image tokens of {_count(values, 'value')} ({of}) and {_count(context, 'context token')}"
    )


def _count(count: int, what: str) -> str:
    plural = f"{what}es" if what.endswith("s") else f"{what}s"
    return f"{count:,} {what if count == 1 else plural}"


def sizes_table(study: ReportData) -> pd.DataFrame:
    """A row a size: widths and depths as far as all cells of that name have them, parameters and FLOPs over designs."""
    names = {place: column(place) for place in ("parameters.total", "flops.training", "flops.sampling")}
    table = study.table.dropna(subset=[n for n in names.values() if n in study.table][:1])
    rows = []
    groups = table.groupby(SIZE_AXIS, sort=False) if SIZE_AXIS in table else [(_only_size(study), table)]
    for size, cells in groups:
        row: dict[str, str] = {"size": str(size)}
        if str(size) in SIZES and SIZES[str(size)].width in study.settings.get("model.width", []):
            known = SIZES[str(size)]
            blocks = (known.context_depth, known.encoder_depth, known.decoder_depth, known.head_depth)
            row |= {"width": f"{known.width:,}", "heads": str(known.num_heads), "blocks": "+".join(map(str, blocks))}
        for label, place in (("parameters", "parameters.total"), ("training FLOPs", "flops.training"),
                             ("FLOPs an image", "flops.sampling")):  # fmt: skip
            if names[place] in cells:
                row[label] = _range(cells[names[place]].dropna())
        rows.append(row)
    return pd.DataFrame(rows)


def _only_size(study: ReportData) -> str:
    return either(map(str, study.settings.get("model.size", []))) or "all cells"


def _range(values: "pd.Series[float]") -> str:
    ends = [_short(value) for value in (values.min(), values.max())] if len(values) else []
    return " to ".join(dict.fromkeys(ends))


def _short(value: float) -> str:
    return human(value) if value < 1e12 else f"{value / 1e12:.3g}T"


class RateWords(NamedTuple):
    """How learning rates came about: one of the three is said, or nothing is known."""

    one: str = ""
    set_before: str = ""
    tuned: str = ""


def rates_of(study: ReportData) -> RateWords:
    """One learning rate for all, one for each part of the study, or tuned: how."""
    plan, table = study.plan, study.table
    tuned = {path: name for name, path in tuned_names(plan).items()}
    if RATE in tuned and plan.tune:
        search, at = plan.tune["search"][RATE], plan.tune.get("at")
        where = f"for every design at {at}, and taken at its other sizes" if at else "for every design at every size"
        how = f"{'log-uniformly ' if search['log'] else ''}between {search['low']:g} and {search['high']:g}"
        return RateWords(
            tuned=f"{where}, from {plan.tune['trials']} trials {how} that minimise {plan.tune['metric']} under a seed "
            "of their own"
        )
    if "learning_rate" in chosen_before(plan) and "learning_rate" in table:
        return RateWords(set_before=either(f"{rate:g}" for rate in sorted(table["learning_rate"].dropna().unique())))
    known = study.settings.get(RATE) or sorted(
        table.get("train/learning_rate", pd.Series(dtype=float)).dropna().unique()
    )
    return RateWords(one=either(f"{rate:g}" for rate in known))


def fixed_axes(told: Told, plan: Plan) -> str:
    """The decoder's values of the design axes that the study does not vary: 'normalization division, ...'."""
    varied = {path.rpartition(".")[2] for path in plan.axes.values()}
    values = {name: told.one(f"model.decoder.{name}") for name in AXES if name not in varied}
    return ", ".join(f"{name} {value}" for name, value in values.items() if value is not None)
