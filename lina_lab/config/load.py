"""YAML to experiments: every problem at once, each with file, line, key and what would be right."""

import codecs
import difflib
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import yaml
from pydantic import BaseModel, ValidationError

from lina_lab.config.base import KeyProblem
from lina_lab.config.experiment import Experiment, set_path
from lina_lab.config.plugins import loaded, resolved
from lina_lab.config.problems import ConfigError, FileProblem, Key, problems_in
from lina_lab.errors import LabError

Model = TypeVar("Model", bound=BaseModel)


class Document(NamedTuple):
    """A YAML mapping, and the place ("file:line") of each of its keys, in the order of writing."""

    values: dict[str, Any]
    places: dict[Key, str]


class _Loader(yaml.SafeLoader):
    """YAML 1.1, except that 1e-3 is a number; YAML 1.1 reads it as a string, which nobody means."""


class _Dumper(yaml.SafeDumper):
    """Quotes strings that this loader would read as numbers, such as the digest 12345e678901."""


for reader_or_writer in (_Loader, _Dumper):
    reader_or_writer.add_implicit_resolver(
        "tag:yaml.org,2002:float",
        re.compile(r"^[-+]?(\d+(\.\d*)?|\.\d+)[eE][-+]?\d+$"),
        list("-+0123456789."),
    )


def write_yaml(values: Mapping[str, Any]) -> str:
    """Values as YAML, in their order; `read_yaml` gives them back unchanged."""
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
        LabError: if the file is missing, not UTF-8, not YAML, not one mapping, or has a key twice.
    """
    text, path = _text(path), tidy(path)
    try:
        loader = _Loader(text)
        node = loader.get_single_node()
        places: dict[Key, str] = {}
        if not isinstance(node, yaml.MappingNode):
            kind = "list" if isinstance(node, yaml.SequenceNode) else "single value"
            actual = "and is empty" if node is None else f"not a {kind}"
            raise LabError(f"{path}:1: must hold a mapping of keys to values, as in `name: x`, {actual}")
        loader.flatten_mapping(node)
        _walk(node, path, (), places)
        return Document(loader.construct_document(node), places)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = mark.line if mark else 0
        raise LabError(f"{path}:{line + 1}: {_why(error, text, line)}") from error
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        raise LabError(f"{path}: not readable as YAML: {error}") from error


def _text(path: Path) -> str:
    shown = tidy(path)
    if path.is_dir():
        raise LabError(f"{shown}: is a folder: name a file{_nearby(shown / '*')}")
    try:
        data = path.read_bytes()
        if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)) or b"\0" in data:
            raise LabError(f"{shown}: is UTF-16, or no text: save it as UTF-8")
        return data.decode("utf-8-sig")
    except FileNotFoundError as error:
        raise LabError(f"{shown}: no such file{_nearby(shown)}") from error
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise LabError(f"{shown}:{line}: is not UTF-8 (byte {data[error.start]:#04x}): save it as UTF-8") from error
    except OSError as error:
        raise LabError(f"{shown}: cannot be read: {error.strerror}") from error


def tidy(path: Path) -> Path:
    """The path without `..`, if that names the same file."""
    short = Path(os.path.normpath(path))
    return short if short.resolve() == path.resolve() else path


def _why(error: yaml.MarkedYAMLError, text: str, line: int) -> str:
    if error.problem == "but found another document":
        return "begins a second document: must hold one, without this ---"
    if re.match(r" *\t", "".join(text.splitlines()[line : line + 1])):
        return "is indented with a tab: YAML wants spaces"
    return f"not readable as YAML: {error.problem}"


def _nearby(path: Path) -> str:
    names = sorted(p.name for p in path.parent.glob("*.yaml")) if path.parent.is_dir() else []
    close = difflib.get_close_matches(path.name, names, n=1, cutoff=0.5)
    if close:
        return f"; did you mean {path.parent / close[0]}?"
    return f"; {path.parent} has {', '.join(names)}" if names else ""


def _walk(node: yaml.Node, path: Path, key: Key, places: dict[Key, str], depth: int = 0) -> None:
    if depth > 20:
        raise LabError(f"{path}:{node.start_mark.line + 1}: nested more than 20 levels deep")
    if isinstance(node, yaml.SequenceNode):
        for number, item in enumerate(node.value):
            places[*key, str(number)] = f"{path}:{item.start_mark.line + 1}"
            _walk(item, path, (*key, str(number)), places, depth + 1)
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
    return build(experiment_document(path, overrides or {}))


def experiment_document(path: Path, overrides: Mapping[str, Any]) -> Document:
    """An experiment's YAML file with `--set` overrides, not yet validated.

    Raises:
        LabError: if it cannot be read, or is a sweep.
    """
    document = read_yaml(path)
    if "axes" in document.values:
        raise LabError(f"{tidy(path)}: is a sweep, not an experiment: lab sweep {tidy(path)} runs it")
    return override(with_plugins(document, path), overrides, "--set")


def with_plugins(document: Document, path: Path) -> Document:
    """A file's document, with the plugins loaded that it names.

    Raises:
        ConfigError: if one cannot be loaded.
    """
    return document._replace(values=loaded(document.values, document.places, path.parent))


def override(document: Document, values: Mapping[str, Any], place: str | Mapping[str, str]) -> Document:
    """The document with values set by dotted path; `place` says in messages where they came from.

    As a mapping from path to place it may include paths below those that are set.
    """
    merged, places = document.values, dict(document.places)
    for path, value in values.items():
        wheres = {path: place} if isinstance(place, str) else place
        try:
            merged = set_path(merged, path, value)
        except KeyProblem as problem:
            raise ConfigError([FileProblem(wheres[path], path, str(problem))]) from problem
        key = tuple(path.split("."))
        places = {other: where for other, where in places.items() if other[: len(key)] != key}
        below = {tuple(other.split(".")): where for other, where in wheres.items() if other.startswith(f"{path}.")}
        places |= {key: wheres[path]} | below
    return Document(merged, places)


def build(document: Document) -> Experiment:
    """The experiment that a document describes.

    Raises:
        ConfigError: with every problem, each with its line.
    """
    return validate(Experiment, document._replace(values=resolved(document.values)))


def with_sections(experiment: Experiment, sections: Mapping[str, Any]) -> Experiment:
    """The experiment with whole sections, or the seed, replaced, and validated again.

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
        problems = [p for details in error.errors() for p in problems_in(model, dict(details), document.places)]
        raise ConfigError(problems) from error
