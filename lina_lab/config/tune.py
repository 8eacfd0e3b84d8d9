"""The `tune:` section of a sweep: what is tuned for every design at every size before the study itself runs."""

from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from lina_lab.config.base import Config, Count, KeyProblem
from lina_lab.metric_names import known_metric

TUNABLE = "training."
CHEAPER = ("training.", "sampling.", "evaluation.", "logging.")


class Range(Config):
    low: float
    high: float
    log: bool = True
    """Whether values are drawn evenly in their logarithm."""

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if not self.low < self.high:
            raise KeyProblem("high", f"high must be above low ({self.low:g}), not {self.high:g}")
        if self.log and self.low <= 0:
            raise KeyProblem("low", f"low must be above 0 on a logarithmic scale, not {self.low:g}")
        return self


class Tune(Config):
    """Every (design, size) gets the same number of trials; the best value is taken for all of its seeds."""

    @property
    def body(self) -> dict[str, Any]:
        """As JSON, without the storage, which changes no result; `at` only where it is set, as in older plans."""
        return self.model_dump(mode="json", exclude={"storage", *(() if self.at else ("at",))})

    search: Annotated[dict[str, Range], Field(min_length=1)]
    """Dotted path of a training value to its range."""
    trials: Count
    """Number of trials for every design at every size."""
    at: str | None = None
    """Size at which every design is tuned; all its sizes take that value. Null: each is tuned. A verdict counts the
    value as tuned under `training.parametrization: mup` where the design's coordinate check passed."""
    sampler: Literal["tpe", "random"] = "tpe"
    pruner: Literal["none", "median", "hyperband"] = "none"
    """What may end a trial early, at validations after about 1/27, 1/9 and 1/3 of its steps."""
    metric: str = "val/loss"
    """The metric to minimise; a pruner needs one that every validation measures."""
    parallel: Count = 4
    """Trials proposed together. The next are proposed when all of them have ended, so that the result of a tuning does
    not depend on the number of workers."""
    seed: Annotated[int, Field(ge=0)] = 1_000_000
    """Seed of the trials. It must not be one of the study's: the choice would favour those cells."""
    set: dict[str, Any] = {}
    """Changes of a trial, by dotted path, such as fewer steps."""
    storage: str | None = None
    """URL of an Optuna storage; by default a journal file in the ledger."""

    @model_validator(mode="after")
    def _fits(self) -> Self:
        for path in self.search:
            if not path.startswith(TUNABLE):
                raise KeyProblem("search", f"{path} cannot be tuned: it must be a value of training")
        for path in self.set:
            if not path.startswith(CHEAPER):
                raise KeyProblem(
                    "set", f"{path} would make a trial another model: only {', '.join(CHEAPER)}* may differ"
                )
            if path in self.search:
                raise KeyProblem("set", f"{path} is searched, so it cannot be set")
        known = known_metric(self.metric)
        if known and known.better == "higher":
            raise KeyProblem("metric", f"of {self.metric} higher is better, and a tuning looks for the lowest")
        if self.pruner != "none" and self.metric != "val/loss":
            raise KeyProblem(
                "pruner", f"{self.pruner} needs metric val/loss, not {self.metric}, which is measured once, at the end"
            )
        return self
