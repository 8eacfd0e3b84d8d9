"""YAML to experiments: every problem at once, each with file, line, key and what would be right."""

import difflib
import re
from collections.abc import Hashable, Mapping
from pathlib import Path
from typing import Any, NamedTuple, TypeVar, get_args

import yaml
from pydantic import BaseModel, ValidationError

from lina_lab.config.base import KeyProblem, MeaninglessCombination
from lina_lab.config.experiment import Experiment, set_path
from lina_lab.config.model import ModelConfig
from lina_lab.errors import LabError

Key = tuple[str, ...]
Model = TypeVar("Model", bound=BaseModel)


class Document(NamedTuple):
    """A mapping as written, and where each of its keys stands ("file:line")."""

    values: dict[str, Any]
    places: dict[Key, str]


class Problem(NamedTuple):
    place: str
    key: str
    message: str
    meaningless: bool = False

    def __str__(self) -> str:
        return f"{self.place}: {self.key}: {self.message}" if self.key else f"{self.place}: {self.message}"


class ConfigError(LabError):
    """One or more problems in configuration files."""

    def __init__(self, problems: list[Problem]) -> None:
        super().__init__("\n".join(dict.fromkeys(str(problem) for problem in problems)))
        self.problems = problems

    @property
    def meaningless(self) -> bool:
        """Whether every value is right by itself and only their combination means nothing."""
        return all(problem.meaningless for problem in self.problems)


class _Loader(yaml.SafeLoader):
    """YAML 1.1, but 1e-3 is a number: in YAML 1.1 it is a string, which nobody who writes it means."""


class _Dumper(yaml.SafeDumper):
    """Quotes what that loader would take for a number, as the digest 12345e678901."""


for reader_or_writer in (_Loader, _Dumper):
    reader_or_writer.add_implicit_resolver(
        "tag:yaml.org,2002:float",
        re.compile(r"^[-+]?(\d+(\.\d*)?|\.\d+)[eE][-+]?\d+$"),
        list("-+0123456789."),
    )


def write_yaml(values: Mapping[str, Any]) -> str:
    """Values as YAML that `read_yaml` reads as they were, in their order."""
    return str(yaml.dump(dict(values), Dumper=_Dumper, sort_keys=False))


def parse_value(text: str) -> Any:
    """A value as YAML would read it: '1e-3' is a float, '[1, 2]' a list, 'relu' a string."""
    try:
        return yaml.load(text, Loader=_Loader)  # noqa: S506, a safe loader
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        raise LabError(f"{text!r} is no YAML value: {getattr(error, 'problem', error)}") from error


def read_yaml(path: Path) -> Document:
    """The mapping in a YAML file, with the place of every key.

    Raises:
        LabError: if the file is missing, unreadable, no YAML, no mapping, or has a key twice.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError as error:
        raise LabError(f"{path}: no such file{_nearby(path)}") from error
    except (OSError, UnicodeDecodeError) as error:
        raise LabError(f"{path}: cannot be read: {error}") from error
    try:
        loader = _Loader(text)
        node = loader.get_single_node()
        places: dict[Key, str] = {}
        if not isinstance(node, yaml.MappingNode):
            raise LabError(f"{path}:1: must hold a mapping of keys to values")
        loader.flatten_mapping(node)
        _walk(node, path, (), places)
        return Document(loader.construct_document(node), places)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = mark.line + 1 if mark else 1
        raise LabError(f"{path}:{line}: not readable as YAML: {error.problem}") from error
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        raise LabError(f"{path}: not readable as YAML: {error}") from error


def _nearby(path: Path) -> str:
    names = sorted(p.name for p in path.parent.glob("*.yaml")) if path.parent.is_dir() else []
    close = difflib.get_close_matches(path.name, names, n=1, cutoff=0.5)
    if close:
        return f"; did you mean {path.parent / close[0]}?"
    return f"; {path.parent} has {', '.join(names)}" if names else ""


def _walk(node: yaml.Node, path: Path, key: Key, places: dict[Key, str], depth: int = 0) -> None:
    if depth > 20:
        raise LabError(f"{path}:{node.start_mark.line + 1}: nested more than 20 levels deep")
    if not isinstance(node, yaml.MappingNode):
        return
    for name, value in node.value:
        inner = (*key, *str(name.value).split(".")) if key[:1] in {("axes",), ("set",)} else (*key, str(name.value))
        place = f"{path}:{name.start_mark.line + 1}"
        if inner in places:
            raise LabError(f"{place}: {'.'.join(inner)}: stands twice (first at {places[inner]})")
        places[inner] = place
        _walk(value, path, inner, places, depth + 1)


def load_experiment(path: Path, overrides: Mapping[str, Any] | None = None) -> Experiment:
    """The experiment in a YAML file, with `--set` overrides by dotted path.

    Raises:
        ConfigError: with every problem of the file, each with its line.
    """
    return build(override(read_yaml(path), overrides or {}, "--set"))


def override(document: Document, values: Mapping[str, Any], place: str | Mapping[str, str]) -> Document:
    """The document with values set by dotted path; `place` is where they came from, for messages."""
    merged, places = document.values, dict(document.places)
    for path, value in values.items():
        where = place if isinstance(place, str) else place[path]
        try:
            merged = set_path(merged, path, value)
        except KeyProblem as problem:
            raise ConfigError([Problem(where, path, str(problem))]) from problem
        places[tuple(path.split("."))] = where
    return Document(merged, places)


def build(document: Document) -> Experiment:
    """The experiment that a document describes.

    Raises:
        ConfigError: with every problem, each with its line.
    """
    return validate(Experiment, document)


def with_sections(experiment: Experiment, sections: Mapping[str, Any]) -> Experiment:
    """The experiment with whole sections, or the seed, changed by options, validated again.

    Raises:
        ConfigError: with every problem.
    """
    return build(Document(experiment.model_dump() | dict(sections), {("options",): "options:1"}))


def validate(model: type[Model], document: Document) -> Model:
    """A document as a validated config; problems carry the document's places.

    Raises:
        ConfigError: with every problem.
    """
    try:
        return model.model_validate(document.values)
    except ValidationError as error:
        problems = [_problem(model, dict(details), document.places) for details in error.errors()]
        raise ConfigError(problems) from error


def _problem(model: type[BaseModel], details: dict[str, Any], places: dict[Key, str]) -> Problem:
    key: Key = tuple(str(part) for part in details["loc"])
    if key[:1] == ("axes",):
        key = tuple(".".join(key).split("."))
    cause = details.get("ctx", {}).get("error")
    if isinstance(cause, KeyProblem):
        key = (*key, *cause.key.split("."))
    key = _as_written(key, places)
    place = next((places[key[:end]] for end in range(len(key), 0, -1) if key[:end] in places), None)
    place = place or next(iter(places.values()), "config").rsplit(":", 1)[0] + ":1"
    return Problem(place, ".".join(key), _message(model, details, key), isinstance(cause, MeaninglessCombination))


def _as_written(key: Key, places: dict[Key, str]) -> Key:
    """A segment's key that the user wrote once for all segments, under `model.attention`."""
    if len(key) == 3 and key[0] == "model" and key not in places:
        shared = ("model", "attention", key[2])
        return shared if shared in places else key
    return key


def _message(model: type[BaseModel], details: dict[str, Any], key: Key) -> str:
    value, kind = details["input"], details["type"]
    if kind == "missing":
        return "is missing"
    if kind == "extra_forbidden":
        known = _fields(model, key[:-1])
        close = difflib.get_close_matches(key[-1], known, n=1)
        return f"unknown key; did you mean {close[0]}?" if close else f"unknown key; known are {', '.join(known)}"
    if kind == "value_error":
        return str(details["ctx"]["error"])
    if kind in {"model_type", "model_attributes_type", "dict_type"}:
        return f"must be a mapping of keys to values, not {value!r}"
    if kind == "string_type" and isinstance(value, int | float):
        return f"must be text, which YAML reads as the number {value!r}: write it in quotes"
    message = re.sub(r"^Input should be|^Keys should be", "must be", details["msg"])
    message = re.sub(r"^(String|List) should", "must", message).removesuffix(" after validation, not 0")
    return f"{message}, not {value!r}"


def _fields(model: type[BaseModel], key: Key) -> list[str]:
    """Names of the keys that may stand at a place in the config."""
    inner: Any = model
    for name in key:
        if name == "attention":
            name = "decoder"  # noqa: PLW2901
        annotation = inner.model_fields[name].annotation if name in inner.model_fields else None
        inner = next((t for t in (annotation, *get_args(annotation)) if _is_model(t)), model)
    return [*inner.model_fields, *(["attention"] if inner is ModelConfig else [])]


def _is_model(annotation: Hashable) -> bool:
    return isinstance(annotation, type) and issubclass(annotation, BaseModel)
