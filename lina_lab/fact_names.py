"""A fact about a cell has three spellings: in result.json, as a column of a results table, as a metric of MLflow."""

from typing import NamedTuple


class FactName(NamedTuple):
    path: str
    """In result.json, dotted; .* stands for whatever else is there."""
    column: str = ""
    """Of a results table; '' for none."""
    metric: str = ""
    """In MLflow; '' for none."""


FACTS = (
    FactName("parameters.total", column="parameters", metric="model/parameters_total"),
    FactName("parameters.trainable", column="parameters_trainable", metric="model/parameters_trainable"),
    FactName("parameters.*", metric="model/parameters_*"),
    FactName("flops.*", column="flops_*", metric="model/flops_*"),
    FactName("steps", column="steps"),
    FactName("samples_seen", column="samples_seen", metric="model/samples_seen"),
    FactName("continued.cell", column="continued_from"),
    FactName("continued.step", column="continued_step"),
    FactName("continued.seconds", column="seconds_before", metric="seconds/before"),
    FactName("seconds.*", column="*_seconds", metric="seconds/*"),
)


def column(path: str) -> str:
    """The column of a fact.

    Raises:
        KeyError: if it has none.
    """
    return _spelt(path, "column")


def metric(path: str) -> str:
    """The metric of a fact in MLflow.

    Raises:
        KeyError: if it has none.
    """
    return _spelt(path, "metric")


def _spelt(path: str, spelling: str) -> str:
    section, _, entry = path.partition(".")
    for fact in FACTS:
        if fact.path in {path, f"{section}.*"} and (found := getattr(fact, spelling)):
            return str(found).replace("*", entry)
    raise KeyError(f"{path} has no {spelling}")
