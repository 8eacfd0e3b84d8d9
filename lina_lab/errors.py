"""The one error that is meant for a user."""

import re
from pathlib import Path


class LabError(Exception):
    """A user's mistake: the command line prints the message alone and exits with 2.

    The message names what was wrong, where (file, line, key) and what would be right.
    """

    def __str__(self) -> str:
        return writable(super().__str__())


def writable(text: str) -> str:
    r"""A text that every file and terminal takes: bytes of a file name that are no UTF-8 as \xe9."""
    text = re.sub("[\udc80-\udcff]", lambda found: f"\\x{ord(found[0]) - 0xDC00:02x}", text)
    return text.encode("utf-8", "backslashreplace").decode()


def shown(name: str | Path) -> str:
    r"""A file name on one line of a message: what cannot be printed as \xe9, \n or \u202e."""
    kept = (char if char.isprintable() else char.encode("unicode_escape").decode() for char in writable(str(name)))
    return "".join(kept)
