"""What the kinds of values of a plugin share: their place in tables, and the checks of their fields."""

import inspect
import re
from typing import Any, NamedTuple

WORD = re.compile(r"[A-Za-z][A-Za-z0-9_-]{0,39}")


class Entry(NamedTuple):
    """A place in a table, by the word of the value there."""

    table: dict[Any, Any]
    value: Any


def check_fields(kind: Any, arguments: dict[str, int]) -> None:
    """Check words, texts, yes-or-no's, and functions by the number of arguments that they are called with.

    Raises:
        ValueError: naming the field, and what would be right.
    """
    if not isinstance(kind.word, str) or not WORD.fullmatch(kind.word):
        message = "word must be a letter and then at most 39 letters, digits, _ or -, as in delta-2"
        raise ValueError(f"{message}, not {kind.word!r}")
    for name in ("formula", "source"):
        text = getattr(kind, name, "none")
        if not isinstance(text, str) or not text.strip() or not text.isprintable():
            raise ValueError(f"{kind.word}: {name} must be a line of text, not {text!r}")
    for name, field in kind.__dataclass_fields__.items():
        if isinstance(field.default, bool) and not isinstance(getattr(kind, name), bool):
            raise ValueError(f"{kind.word}: {name} must be True or False, not {getattr(kind, name)!r}")  # noqa: TRY004
    for name, count in arguments.items():
        function = getattr(kind, name)
        required = kind.__dataclass_fields__[name].default is not None
        if (function is not None or required) and not _takes(function, count):
            raise ValueError(f"{kind.word}: {name} must be a function of {count} arguments, not {function!r}")


def _takes(function: Any, count: int) -> bool:
    if not callable(function):
        return False
    try:
        inspect.signature(function).bind(*range(count))
    except TypeError:
        return False
    except ValueError:  # of torch's own functions no signature is known
        return True
    return True


def check_whole(kind: Any, name: str) -> None:
    """Check a field that is a number of things.

    Raises:
        ValueError: if it is no whole number above 0.
    """
    number = getattr(kind, name)
    if type(number) is not int or number < 1:
        raise ValueError(f"{kind.word}: {name} must be a whole number above 0, not {number!r}")
