"""Building blocks of configs: number types, problems of keys, the base class."""

from collections.abc import Sequence
from typing import Annotated, Any, NamedTuple

from pydantic import BaseModel, ConfigDict, Field
from pydantic_core import CoreSchema, PydanticKnownError, core_schema

from lina_lab.design.value import Axis, Value, plain

Count = Annotated[int, Field(gt=0)]
Probability = Annotated[float, Field(ge=0, lt=1)]
PositiveFloat = Annotated[float, Field(gt=0, allow_inf_nan=False)]
NonNegativeFloat = Annotated[float, Field(ge=0, allow_inf_nan=False)]


class Table(NamedTuple):
    """What is known by a word."""

    values: dict[str, Any]


class OneOf(NamedTuple):
    """Annotates a field that holds a value of a design axis, or of another table, by its word."""

    axis: Axis[Value] | Table

    def __get_pydantic_core_schema__(self, source: Any, handler: Any) -> CoreSchema:
        return core_schema.no_info_plain_validator_function(self._known)

    def _known(self, word: Any) -> Any:
        """The word itself, if the axis has it now: a plugin may have added it."""
        if any(word == known and type(word) is type(known) for known in self.axis.values):
            return word
        *others, last = dict.fromkeys(repr(plain(known)) for known in self.axis.values)
        raise PydanticKnownError("literal_error", {"expected": f"{', '.join(others)} or {last}"})


class KeyProblem(ValueError):
    """A value that is wrong together with others: reported at `key` or at the latest written of `beside`."""

    also: "Sequence[KeyProblem]" = ()
    """Other problems of the same rule."""

    def __init__(self, key: str, message: str, *beside: str) -> None:
        super().__init__(message)
        self.key, self.beside = key, beside


class MeaninglessCombination(KeyProblem):
    """Two values that are right by themselves and meaningless together: a sweep omits such a cell and says so."""


class Config(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, use_attribute_docstrings=True)
