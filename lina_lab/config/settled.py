"""Experiments whose files have been looked at: what a path holds is known, and what is missing is told by its line."""

from collections.abc import Callable

from lina_lab.config.base import KeyProblem
from lina_lab.config.experiment import Experiment
from lina_lab.config.load import Document, build
from lina_lab.config.problems import ConfigError, FileProblem

Settle = Callable[[Experiment], tuple[Experiment, list[KeyProblem]]]
"""From an experiment to the same with its `contents`, and what is wrong with the files that it names."""


def as_written(experiment: Experiment) -> tuple[Experiment, list[KeyProblem]]:
    """No file is looked at: paths stand for what they hold."""
    return experiment, []


def build_settled(document: Document, settle: Settle) -> Experiment:
    """The experiment that a document describes, with what its files hold.

    Raises:
        ConfigError: with every problem, each with its line.
    """
    return settled(build(document), settle, lambda: document)


def settled(experiment: Experiment, settle: Settle, document: Callable[[], Document]) -> Experiment:
    """An experiment with what its files hold; `document` gives what it was built from, for the places of problems.

    Raises:
        ConfigError: with every problem, each with its line.
    """
    experiment, problems = settle(experiment)
    if problems:
        source = document()
        raise ConfigError([FileProblem(_place(source, problem.key), problem.key, str(problem)) for problem in problems])
    return experiment


def _place(document: Document, field: str) -> str:
    key = tuple(field.split("."))
    found = (document.places[key[:end]] for end in range(len(key), 0, -1) if key[:end] in document.places)
    return next(found, next(iter(document.places.values()), "config"))
