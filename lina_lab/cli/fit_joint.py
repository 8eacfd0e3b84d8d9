"""`lab fit --joint`: several designs with one floor, and what each needs for what the first reaches."""

import math
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from lina_lab.analysis.interval import Interval, finite_or_null
from lina_lab.analysis.scaling_fit.clusters import SEED, clusters
from lina_lab.analysis.scaling_fit.efficiency import EACH, EXPONENT, NONE, ONE, Efficiency, Joint, joint
from lina_lab.analysis.scaling_fit.fits import FORMS, refusal
from lina_lab.analysis.scaling_fit.joint import as_data
from lina_lab.analysis.scaling_fit.likelihood_ratio import LEAST_CLUSTERS, Ratio
from lina_lab.analysis.scaling_fit.remarks import in_words
from lina_lab.cli.console import print_table, text_table
from lina_lab.cli.documents import print_document
from lina_lab.cli.fit_table import FitRequest, groups, label, refuse_designs, refuse_mixture, rows_to_fit
from lina_lab.errors import LabError

TESTS = {
    "difference": ("no difference", "factors"),
    "second_factor": ("one factor", "factors"),
    "exponents": ("factors", "own exponents"),
    "exponents_beside_floor": ("factors and own floor", "own exponents and floor"),
}


class Study(NamedTuple):
    """Several designs, their joint fit, and the names that things have in the table."""

    request: FitRequest
    form: str
    designs: list[dict[str, Any]]
    """The columns and values of every group."""
    n: int
    errors: str
    """What resamples keep together."""
    clusters: int
    joint: Joint


def fit_joint(request: FitRequest, *, as_json: bool) -> None:
    """Print the joint fit of all groups.

    Raises:
        LabError: naming file and line of what cannot be fitted.
    """
    study = fitted(request)
    if as_json:
        print_document("fit", {"fits": [], "joint": record(study)})
    else:
        _print(study)


def fitted(request: FitRequest) -> Study:
    """The joint fit of the rows of a file.

    Raises:
        LabError: if there are not two designs, one of them does not allow the form, or rows cannot be fitted together.
    """
    form = "offset" if request.d is None else "surface"
    if request.form not in (None, form):
        raise LabError(f"--joint fits surface with --d, offset without: --form must be {form}, not {request.form}")
    request, table = rows_to_fit(request)
    parts = list(groups(table, request.by))
    if len(parts) < 2:
        raise LabError(f"{request.file}: --joint compares two designs or more, --by must tell them apart")
    for by, rows in parts:
        refuse_designs(request, by, rows)
        if reason := refusal(form, rows[request.sizes]):
            raise LabError(f"{request.file}: {label(by)}: no fit of the form {form}: {reason}")
    rows = pd.concat([part for _, part in parts])
    refuse_mixture(request, {}, rows)
    if len(rows) <= (needed := len(FORMS[form].names) * len(parts)):
        raise LabError(f"{request.file}: {len(parts)} designs with {needed} parameters need more rows than {len(rows)}")
    design = np.repeat(np.arange(len(parts)), [len(part) for _, part in parts])
    together = clusters(rows, request.sizes, design)
    data = as_data(form, rows[request.sizes].to_numpy(), rows[request.y].to_numpy(), design)
    what = "size and seed" if SEED in rows else " and ".join(request.sizes)
    return Study(
        request=request,
        form=form,
        designs=[by for by, _ in parts],
        n=len(rows),
        errors=f"{together.number} clusters of {what}",
        clusters=together.number,
        joint=joint(data, together),
    )


def record(study: Study) -> dict[str, Any]:
    """For --json: intervals have null ends where there are too few clusters."""
    sizes, found = study.request.sizes, study.joint
    exponents = FORMS[study.form].names[2::2]
    return {
        "form": study.form,
        "n": study.n,
        "clusters": study.clusters,
        "loss": "least squares",
        "objective": found.squares / 2,
        "params": {name: _ends(interval) for name, interval in found.params.items()},
        "first": {"by": study.designs[0], "exponents": dict(zip(exponents, found.first_exponents, strict=True))},
        "designs": [
            {
                "by": by,
                "factor": {sizes[-1]: _ends(one.factor)},
                "factors": {name: _ends(interval) for name, interval in zip(sizes, one.factors, strict=True)},
                "product": _ends(one.product),
                "exponents": dict(zip(exponents, one.exponents, strict=True)),
                "tests": {name: ratio and ratio._asdict() for name, ratio in one.tests._asdict().items()},
                "says": one.says,
                "words": words(study, by, one),
            }
            for by, one in zip(study.designs[1:], found.designs, strict=True)
        ],
        "floors": [
            {
                "floor": at.floor,
                "rise": at.rise,
                "exponents": dict(zip(exponents, at.exponents, strict=True)),
                "factors": [
                    {"by": by} | {name: float(at.factors[column, k]) for column, name in enumerate(sizes)}
                    for k, by in enumerate(study.designs[1:], start=1)
                ],
            }
            for at in found.floors
        ],
    }


def _ends(interval: Interval) -> dict[str, float | None]:
    return {name: finite_or_null(value) for name, value in zip(("value", "low", "high"), interval, strict=True)}


def words(study: Study, by: dict[str, Any], one: Efficiency) -> str:
    """What is said of a design against the first, without a full stop."""
    who, first, sizes = label(by), label(study.designs[0]), study.request.sizes
    p = "" if one.tests.exponents.p is None else f"p {one.tests.exponents.p:.2g}"
    if one.says is None:
        return (
            f"{who} needs {_times(one.factor)} times the {sizes[-1]} of {first}, by a factor alone; whether another "
            f"exponent serves better is undetermined: {study.errors}, and a likelihood ratio needs {LEAST_CLUSTERS}"
        )
    if one.says == NONE:
        return f"{who} and {first}: no difference is seen (p {one.tests.difference.p:.2g})"
    not_seen = f"another exponent is not seen to serve better ({p})"
    if one.says == ONE:
        return f"{who} needs {_times(one.factor)} times the {sizes[-1]} of {first}; {not_seen}"
    each = " and ".join(f"{_times(f)} times the {name}" for f, name in zip(one.factors, sizes, strict=True))
    if one.says == EACH:
        return f"{who} needs {each} of {first}, {_times(one.product)} times their product; {not_seen}"
    own = ", ".join(
        f"{name} {a:.3g} against {b:.3g}"
        for name, a, b in zip(FORMS[study.form].names[2::2], one.exponents, study.joint.first_exponents, strict=True)
    )
    what = (
        "has another exponent, whatever the floors"
        if one.says == EXPONENT
        else ("has another exponent or another floor, which the data do not tell apart")
    )
    return f"no factor serves {who} at all sizes against {first} ({p}): it {what}; with one floor {own}"


def _times(interval: Interval) -> str:
    ends = "" if math.isnan(interval.low) else f" ({interval.low:.3g} to {interval.high:.3g})"
    return f"{interval.mean:.3g}{ends}"


def _print(study: Study) -> None:
    request, found = study.request, study.joint
    table = text_table("parameter", "value", "95 % interval", numbers=2)
    for name, interval in found.params.items():
        table.add_row(name, f"{interval.mean:.4g}", _interval(interval))
    print_table(table)
    table = text_table(*request.by, "needs, of", "times", "95 % interval", numbers=2)
    for by, one in zip(study.designs[1:], found.designs, strict=True):
        rows = {f"{request.sizes[-1]} alone": one.factor}
        if len(request.sizes) > 1:
            rows |= dict(zip(request.sizes, one.factors, strict=True)) | {"their product": one.product}
        for place, (name, interval) in enumerate(rows.items()):
            table.add_row(*_first(by, place), name, f"{interval.mean:.4g}", _interval(interval))
    print()
    print_table(table)
    table = text_table(*request.by, "simpler model", "richer model", "2 log ratio", "p", numbers=2)
    for by, one in zip(study.designs[1:], found.designs, strict=True):
        tests: dict[str, Ratio | None] = one.tests._asdict()
        for place, (name, ratio) in enumerate((name, ratio) for name, ratio in tests.items() if ratio):
            p = "" if ratio.p is None else f"{ratio.p:.3g}"
            table.add_row(*_first(by, place), *TESTS[name], f"{ratio.statistic:.3g}", p)
    print()
    print_table(table)
    _print_floors(study)
    meaning = ", ".join(f"{name} = {column}" for name, column in zip(("x", "d"), request.sizes, strict=False))
    print(
        f"\ny = {request.y}, {meaning}; {FORMS[study.form].formula} by least squares of log y; {study.n} rows, "
        f"{study.errors}; A, B and the exponents are those of {label(study.designs[0])}, exponents shared\n"
    )
    for by, one in zip(study.designs[1:], found.designs, strict=True):
        print(words(study, by, one))


def _print_floors(study: Study) -> None:
    """How exponents and factors move over the floors that the data allow."""
    exponents, sizes = FORMS[study.form].names[2::2], study.request.sizes
    headings = [f"{name}, {label(by)}" for by in study.designs[1:] for name in sizes]
    table = text_table("floor", "squares", *exponents, *headings, numbers=2 + len(exponents) + len(headings))
    for at in study.joint.floors:
        values = [*at.exponents, *at.factors[:, 1:].T.ravel()]
        table.add_row(f"{at.floor:.4g}", f"{at.rise:+.1%}", *(f"{value:.4g}" for value in values))
    print()
    print_table(table)


def _first(by: dict[str, Any], place: int) -> list[str]:
    """A group in the first of its rows."""
    return ["" if place else str(value) for value in by.values()]


def _interval(interval: Interval) -> str:
    return "" if math.isnan(interval.low) else in_words(interval)
