"""Fill in the `contents` of experiments, with problems of the named files reported by their lines."""

from collections.abc import Callable

from lina_lab.config.base import KeyProblem
from lina_lab.config.experiment import Experiment
from lina_lab.config.load import Document, build
from lina_lab.config.problems import ConfigError, FileProblem

Settle = Callable[[Experiment], tuple[Experiment, list[KeyProblem]]]
"""Maps an experiment to the same with its `contents`, and the problems of the files that it names."""


def as_written(experiment: Experiment) -> tuple[Experiment, list[KeyProblem]]:
    """Read no file: paths enter the key as they are written."""
    return experiment, []


def build_settled(document: Document, settle: Settle) -> Experiment:
    """The experiment that a document describes, with its `contents`.

    Raises:
        ConfigError: with every problem, each with its line.
    """
    return settled(build(document), settle, lambda: document)


def settled(experiment: Experiment, settle: Settle, document: Callable[[], Document]) -> Experiment:
    """An experiment with its `contents`; `document` gives the source that tells the lines of problems.

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
    ancestors = (document.places[key[:end]] for end in range(len(key), 0, -1) if key[:end] in document.places)
    return next(ancestors, next(iter(document.places.values()), "config"))
