"""What is wrong with configuration files, in words for the user: pydantic's errors with file, line and key."""

import difflib
import re
from collections.abc import Hashable
from typing import Any, NamedTuple, get_args

from pydantic import BaseModel

from lina_lab.config.base import KeyProblem, MeaninglessCombination
from lina_lab.config.model import ModelConfig
from lina_lab.errors import LabError

Key = tuple[str, ...]


class FileProblem(NamedTuple):
    place: str
    key: str
    message: str
    meaningless: bool = False

    def __str__(self) -> str:
        return f"{self.place}: {self.key}: {self.message}" if self.key else f"{self.place}: {self.message}"


class ConfigError(LabError):
    """One or more problems in configuration files."""

    def __init__(self, problems: list[FileProblem]) -> None:
        super().__init__("\n".join(dict.fromkeys(str(problem) for problem in problems)))
        self.problems = problems

    @property
    def meaningless(self) -> bool:
        """Whether each value is right and only their combination is meaningless."""
        return all(problem.meaningless for problem in self.problems)


def problems_in(model: type[BaseModel], details: dict[str, Any], places: dict[Key, str]) -> list[FileProblem]:
    """One of pydantic's errors as problems of the files: `details` are its own, `places` where each key stands."""
    key: Key = tuple(str(part) for part in details["loc"])
    cause = details.get("ctx", {}).get("error")
    if not isinstance(cause, KeyProblem):
        if key[:1] in {("axes",), ("set",)}:
            key = tuple(".".join(key).split("."))
        key = _as_written(key, places)
        return [FileProblem(_place(key, places), ".".join(key), _message(model, details, key))]
    problems = []
    for problem in (cause, *cause.also):
        keys = [_as_written((*key, *name.split(".")), places) for name in (problem.key, *problem.beside)]
        youngest = _youngest(keys, places)
        meaningless = isinstance(problem, MeaninglessCombination)
        place, name = _place(youngest, places), ".".join(youngest)
        problems.append(FileProblem(place, name, str(problem), meaningless=meaningless))
    return problems


def _youngest(keys: list[Key], places: dict[Key, str]) -> Key:
    """The key that was written last, since the user must change that one; within one file, the first of the keys."""
    order = {written: number for number, written in enumerate(places)}
    last = max(keys, key=lambda key: order.get(_written(key, places), -1))
    first = keys[0]
    return first if first in places and _file(places[first]) == _file(_place(last, places)) else last


def _written(key: Key, places: dict[Key, str]) -> Key:
    """The key, or its nearest ancestor that has a place."""
    return next((key[:end] for end in range(len(key), 0, -1) if key[:end] in places), ())


def _place(key: Key, places: dict[Key, str]) -> str:
    return places.get(_written(key, places)) or f"{_file(next(iter(places.values()), 'config'))}:1"


def _file(place: str) -> str:
    return place.rsplit(":", 1)[0]


def _as_written(key: Key, places: dict[Key, str]) -> Key:
    """The key under `model.attention` if the user wrote a segment's value there, once for all segments."""
    if len(key) == 3 and key[0] == "model" and key not in places:
        shared = ("model", "attention", key[2])
        return shared if shared in places else key
    return key


def _message(model: type[BaseModel], details: dict[str, Any], key: Key) -> str:
    kind = details["type"]
    if kind == "missing":
        return "is missing"
    if kind == "extra_forbidden":
        known = _fields(model, key[:-1])
        close = difflib.get_close_matches(key[-1], known, n=1)
        return f"unknown key; did you mean {close[0]}?" if close else f"unknown key; known are {', '.join(known)}"
    return str(details["ctx"]["error"]) if kind == "value_error" else _of_value(details["input"], kind, details["msg"])


def _of_value(value: Any, kind: str, message: str) -> str:
    """pydantic's message in our words, with the value, and how to write one of the right type."""
    if kind in {"model_type", "model_attributes_type", "dict_type"}:
        return f"must be a mapping of keys to values, not {value!r}"
    if kind in {"list_type", "tuple_type"}:
        return f"must be a list, in brackets, not {value!r}"
    if kind == "string_type" and isinstance(value, int | float):
        return f"must be text, which YAML reads as the number {value!r}: write it in quotes"
    message = re.sub(r"^Input should be|^Keys should be", "must be", message)
    message = re.sub(r"^(String|List) should", "must", message).removesuffix(" after validation, not 0")
    axis = ": it is one value; a sweep has lists, under axes" if isinstance(value, list) and kind != "too_short" else ""
    return f"{message}, not {value!r}{axis}"


def _fields(model: type[BaseModel], key: Key) -> list[str]:
    """Names of the keys that are allowed below a key."""
    inner: Any = model
    for name in key:
        if name == "attention":
            name = "decoder"  # noqa: PLW2901
        annotation = inner.model_fields[name].annotation if name in inner.model_fields else None
        inner = next((t for t in (annotation, *get_args(annotation)) if _is_model(t)), model)
    return [*inner.model_fields, *(["attention"] if inner is ModelConfig else [])]


def _is_model(annotation: Hashable) -> bool:
    return isinstance(annotation, type) and issubclass(annotation, BaseModel)
