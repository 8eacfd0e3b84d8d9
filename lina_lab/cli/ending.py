"""How every command ends: with its exit code, and one line where something went wrong that is no fault of the code."""

import contextlib
import errno
import os
import sys
from collections.abc import Callable
from typing import NoReturn

from lina_lab.errors import LabError
from lina_lab.escape import shown
from lina_lab.interpreter import settle


def run(app: Callable[[], object]) -> NoReturn:
    """Run the command; a user's mistake is a message and exit code 2, never a traceback. Nor is a full disk one."""
    try:
        settle()
        code = _called(app)
        sys.stdout.flush()  # as the process ends an error would be a traceback
    except BrokenPipeError:
        _drop_output()
        code = 1  # without a word, as typer and rich do where they see that `| head`, say, has ended
    except OSError as error:
        if error.errno not in {errno.ENOSPC, errno.EDQUOT}:
            raise
        where = "standard output" if _drop_output() else "a file could not be written"
        _say(f"error: {where}: {error.strerror}")
        code = 2
    sys.exit(code)


def _called(app: Callable[[], object]) -> str | int | None:
    try:
        app()
    except SystemExit as end:
        return end.code
    except LabError as error:
        _say(f"error: {error}")
        return 2
    except OSError as error:
        if error.filename is None:
            raise
        _say(f"error: {error.filename}: {error.strerror}")
        return 2
    except KeyboardInterrupt:
        _say("stopped")
        return 130
    return 0


def _say(line: str) -> None:
    """Print a message; a line end is one, any other control character of a name in it is shown, not obeyed."""
    with contextlib.suppress(OSError):
        print("\n".join(map(shown, line.split("\n"))), file=sys.stderr)


def _drop_output() -> bool:
    """Whether standard output takes nothing more; then what it has not taken is dropped."""
    try:
        os.write(1, b"\n")
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        return True
    return False
