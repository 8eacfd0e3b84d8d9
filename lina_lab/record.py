"""Frozen values that are JSON objects on the disk, read and written without loss.

A file of another version keeps what it has and gets nothing: a key that it lacks takes its default here and stays
absent, a key that is not known here is kept in `others`, and all keys stay in their order.
"""

from collections.abc import Mapping
from dataclasses import MISSING, dataclass, field, fields
from functools import cache
from types import NoneType
from typing import Any, NamedTuple, Self, get_args, get_type_hints


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """A JSON object whose known keys are the fields; an object within it, or in a list, is a record of its own.

    A record that was made here writes its fields in the order of the class: those without a default, null or not, and
    those that differ from theirs.
    """

    others: Mapping[str, Any] = field(default_factory=dict)
    """What is beside the fields, by key."""
    keys: tuple[str, ...] | None = field(default=None, compare=False)
    """What to write even where it is null, in this order: of a file, all that it has. None: see above."""

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Self:
        """The record of a JSON object.

        Raises:
            ValueError: if a key is missing that every version wrote, or holds no object where one belongs.
        """
        if not isinstance(values, Mapping):
            raise ValueError(f"must be an object, not {values!r}")  # noqa: TRY004, as all other damage
        shape = cls._shape()
        if lacking := shape.required - values.keys():
            raise ValueError(f"has no {', '.join(sorted(lacking))}")
        read: dict[str, Any] = dict.fromkeys(shape.nullable)
        read |= {name: values[name] for name in shape.names if name in values}
        for name, kind in shape.records.items():
            if read.get(name) is not None:
                read[name] = kind.from_json(read[name])
        for name, kind in shape.lists.items():
            if name in read:
                read[name] = tuple(map(kind.from_json, read[name]))
        others = {name: value for name, value in values.items() if name not in shape.names}
        return cls(**read, others=others, keys=tuple(values))

    @classmethod
    def _shape(cls) -> "_Shape":
        kind: type = cls
        return _shape_of(kind)

    def lacks(self, name: str) -> bool:
        """Whether the file that it comes from has no such key."""
        return self.keys is not None and name not in self.keys

    def as_json(self) -> dict[str, Any]:
        """The JSON object: what a record was read from, with the fields that have been set since at its end."""
        shape = self._shape()
        values = {name: getattr(self, name) for name in shape.names} | dict(self.others)
        names = [name for name, v in values.items() if name not in shape.defaults or v != shape.defaults[name]]
        if self.keys is not None:
            names = list(dict.fromkeys([*self.keys, *(name for name in names if values[name] is not None)]))
        return {name: _plain(values[name]) for name in names}


def _plain(value: Any) -> Any:
    """A record as its JSON object, several as a list of them; anything else unchanged."""
    if isinstance(value, tuple):
        return [_plain(each) for each in value]
    return value.as_json() if isinstance(value, Record) else value


class _Shape(NamedTuple):
    """The fields of a kind of record."""

    names: tuple[str, ...]
    defaults: dict[str, Any]
    required: set[str]
    nullable: tuple[str, ...]
    """Without a default, but null where they are missing."""
    records: dict[str, type[Record]]
    lists: dict[str, type[Record]]
    """Of a kind of record, `tuple[Kind, ...]`."""


@cache
def _shape_of(kind: type[Any]) -> _Shape:
    own = [f for f in fields(kind) if f.name not in {"others", "keys"}]
    types = get_type_hints(kind)
    hints = {f.name: {types[f.name], *get_args(types[f.name])} for f in own}
    bare = [f.name for f in own if f.default is MISSING and f.default_factory is MISSING]
    nullable = tuple(name for name in bare if NoneType in hints[name])
    return _Shape(
        names=tuple(hints),
        defaults={
            f.name: f.default_factory() if f.default_factory is not MISSING else f.default
            for f in own
            if f.name not in bare
        },
        required={*bare} - {*nullable},
        nullable=nullable,
        records={n: hint for n, kinds in hints.items() if ... not in kinds for hint in kinds if _is_record(hint)},
        lists={n: hint for n, kinds in hints.items() if ... in kinds for hint in kinds if _is_record(hint)},
    )


def _is_record(hint: Any) -> bool:
    return isinstance(hint, type) and issubclass(hint, Record)
