"""How Python processes are started: with this very copy of the package, and nothing of the user's surroundings.

The folder that a command happens to run in, and variables that are meant for other programs, change no result.
"""

import os
import sys
import sysconfig
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

START = Path(__file__).parent / "start"
BINDING = "lab_code"
"""The module in `START` that a fork server loads first."""
SAFE = {
    "PYTHONSAFEPATH": "1",  # `-c` and `-m` put the working folder first on the path otherwise
    "MPLBACKEND": "agg",  # a notebook's, say, may not be installed here
    "MATPLOTLIBRC": os.devnull,
}
DROPPED = (
    *("PYTHONIOENCODING", "PYTHONWARNINGS", "PYTHONSTARTUP", "PYTHONINSPECT", "PYTHONOPTIMIZE"),
    # They change float32 arithmetic without a trace in torch's own settings, or where no experiment says so.
    *("TORCH_ALLOW_TF32_CUBLAS_OVERRIDE", "NVIDIA_TF32_OVERRIDE"),
    *("DNNL_DEFAULT_FPMATH_MODE", "ONEDNN_DEFAULT_FPMATH_MODE"),
)


def settle() -> None:
    """Make this process, and all that it starts, independent of the working folder and of others' variables."""
    _apply(changes())
    sys.path[:] = search_path()
    write_anything()


def command(module: str, *words: str) -> list[str]:
    """The words that run a module of this copy of the package, or one that it depends on, in a new process."""
    return [sys.executable, "-P", *script(module, *words)]


def script(module: str, *words: str) -> list[str]:
    """The same for a program that starts Python itself: a script and its words."""
    return [str(START / f"{BINDING}.py"), module, *words]


def environment(more: Mapping[str, str] | None = None) -> dict[str, str]:
    """All variables of a process that is started, with `more`."""
    changed = changes() | dict(more or {})
    return {name: value for name, value in (os.environ | changed).items() if value is not None}


@contextmanager
def surroundings(more: Mapping[str, str]) -> Iterator[None]:
    """Give this process the variables of `environment`, for what starts others by itself."""
    changed: dict[str, str | None] = changes() | dict(more)
    saved = {name: os.environ.get(name) for name in changed}
    _apply(changed)
    try:
        yield
    finally:
        _apply(saved)


def changes() -> dict[str, str | None]:
    """What a process that is started has otherwise than this one; None for a variable that it has not."""
    path = [entry for entry in os.environ.get("PYTHONPATH", "").split(os.pathsep) if entry and not _is_here(entry)]
    path = [str(Path(entry).absolute()) for entry in path if entry != str(START)]
    return {**SAFE, "PYTHONPATH": os.pathsep.join([str(START), *path]), **dict.fromkeys(DROPPED)}


def search_path() -> list[str]:
    """`sys.path` without the working folder; where an installation names it, it stands last and shadows nothing."""
    own = sysconfig.get_path("stdlib")
    first = sys.path.index(own) if own in sys.path else 0
    return [entry for place, entry in enumerate(sys.path) if place > first or not _is_here(entry)]


def write_anything() -> None:
    """Standard output takes every character: what its encoding has not is escaped. What is closed goes nowhere."""
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        stream = getattr(sys, name)
        if stream is None:
            setattr(sys, name, open(os.devnull, mode, encoding="utf-8", errors="ignore"))  # noqa: PTH123, SIM115
        elif mode == "w" and hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")


def _apply(changed: Mapping[str, str | None]) -> None:
    for name, value in changed.items():
        if value is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = value


def _is_here(entry: str) -> bool:
    return os.path.realpath(entry) == os.path.realpath(os.curdir)
