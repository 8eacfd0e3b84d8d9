"""The key `plugins` of experiments and sweeps: files whose designs the words beside it may name."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lina_lab.config.model import SEGMENTS
from lina_lab.config.problems import ConfigError, FileProblem, Key
from lina_lab.design.sizes import OWN
from lina_lab.errors import LabError
from lina_lab.plugins.data import DATA
from lina_lab.plugins.extractors import EXTRACTOR
from lina_lab.plugins.load import Words, find, load, merged
from lina_lab.plugins.sizes import SIZE


def loaded(values: Mapping[str, Any], places: Mapping[Key, str], folder: Path) -> dict[str, Any]:
    """The values of a file in a folder, its plugins loaded: in place of their names stand their words.

    Raises:
        ConfigError: if one cannot be loaded, with the line that names it.
    """
    named = values.get("plugins", [])
    if not isinstance(named, list) or not all(isinstance(name, str) for name in named):
        raise ConfigError([_problem(places, "must be a list of files, as plugins: [my_attention.py]")])
    words: Words = {}
    for number, name in enumerate(named):
        try:
            words = merged(words, load(find(name, folder)).words)
        except LabError as error:
            raise ConfigError([_problem(places, str(error), str(number))]) from error
    return {**values, "plugins": words} if named else {k: v for k, v in values.items() if k != "plugins"}


def with_words_of(values: Mapping[str, Any], words: Words, places: Mapping[Key, str]) -> dict[str, Any]:
    """The values of a base experiment that may also name the words of a sweep's plugins.

    Raises:
        ConfigError: if both have a word.
    """
    try:
        both = merged(values.get("plugins", {}), words)
    except LabError as error:
        raise ConfigError([_problem(places, str(error))]) from error
    return {**values, "plugins": both} if both else dict(values)


def resolved(values: Mapping[str, Any]) -> dict[str, Any]:
    """The values of an experiment, each word of a plugin as word@digest.

    Raises:
        ConfigError: if plugins were set by `--set`.
    """
    words, rest = values.get("plugins", {}), {key: value for key, value in values.items() if key != "plugins"}
    if not isinstance(words, dict):
        raise ConfigError([FileProblem("--set", "plugins", "name plugins in the YAML file: paths are relative to it")])
    model = rest.get("model")
    if words and isinstance(model, Mapping):
        parts = {name: model[name] for name in ("attention", *SEGMENTS) if isinstance(model.get(name), Mapping)}
        rest["model"] = _sized(model, words) | {name: _with_digests(part, words) for name, part in parts.items()}
    data = rest.get("data")
    if isinstance(data, Mapping):
        rest["data"] = _with_digests(data, {"name": words.get(DATA, {})})
    evaluation, known = rest.get("evaluation"), words.get(EXTRACTOR, {})
    if known and isinstance(evaluation, Mapping):
        also = evaluation.get("also")
        more = {"also": [known.get(name, name) if isinstance(name, str) else name for name in also]} if also else {}
        rest["evaluation"] = {**_with_digests(evaluation, {"extractor": known}), **more}
    return rest


def _sized(model: Mapping[str, Any], words: Words) -> dict[str, Any]:
    """A model whose size a plugin names, with the widths and depths that this stands for."""
    size, known = model.get("size"), words.get(SIZE, {})
    return {**(OWN[known[size]]._asdict() if isinstance(size, str) and size in known else {}), **model}


def _with_digests(part: Mapping[str, Any], words: Words) -> dict[str, Any]:
    def qualified(axis: str, word: Any) -> Any:
        return words.get(axis, {}).get(word, word) if isinstance(word, str) else word

    return {axis: qualified(axis, word) for axis, word in part.items()}


def _problem(places: Mapping[Key, str], message: str, *below: str) -> FileProblem:
    place = places.get(("plugins", *below)) or places.get(("plugins",), "plugins:1")
    return FileProblem(place, "plugins", message)
