"""Start Python processes with this very copy of the package, shielded from the user's environment.

The working folder, and environment variables meant for other programs, must not change a result.
"""

import os
import sys
import sysconfig
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType

START = Path(__file__).parent / "start"
BINDING = "lab_code"
"""The module in `START` that a fork server loads first."""
SAFE = {
    "PYTHONSAFEPATH": "1",  # else `-c` and `-m` put the working folder first on sys.path
    "MPLBACKEND": "agg",  # the user's, a notebook's say, may not be installed here
    "MATPLOTLIBRC": os.devnull,
}
DROPPED = (
    *("PYTHONIOENCODING", "PYTHONWARNINGS", "PYTHONSTARTUP", "PYTHONINSPECT", "PYTHONOPTIMIZE"),
    # These change float32 arithmetic, without a trace in torch's settings or in the experiment.
    *("TORCH_ALLOW_TF32_CUBLAS_OVERRIDE", "NVIDIA_TF32_OVERRIDE"),
    *("DNNL_DEFAULT_FPMATH_MODE", "ONEDNN_DEFAULT_FPMATH_MODE"),
)


def settle() -> None:
    """Make this process and its children independent of the working folder and of foreign variables."""
    _apply(changes())
    sys.path[:] = search_path()
    write_anything()


def command(module: str, *words: str) -> list[str]:
    """Command line that runs a module, of this copy of the package or of a dependency, in a new process."""
    return [sys.executable, "-P", *script(module, *words)]


def script(module: str, *words: str) -> list[str]:
    """The same without the interpreter, for a program such as torchrun that starts Python itself."""
    return [str(START / f"{BINDING}.py"), module, *words]


def environment(more: Mapping[str, str] | None = None) -> dict[str, str]:
    """The environment of a new process, with `more` variables."""
    changed = changes() | dict(more or {})
    return {name: value for name, value in (os.environ | changed).items() if value is not None}


@contextmanager
def surroundings(more: Mapping[str, str]) -> Iterator[None]:
    """Give this process the variables of `environment` for a while, for libraries that start processes themselves."""
    changed: dict[str, str | None] = changes() | dict(more)
    saved = {name: os.environ.get(name) for name in changed}
    _apply(changed)
    try:
        yield
    finally:
        _apply(saved)


@contextmanager
def without_script() -> Iterator[None]:
    """Within, processes that multiprocessing starts do not run the user's script first, which need not be guarded.

    They can then call functions of the package alone.
    """
    main = sys.modules["__main__"]
    if getattr(main, "__spec__", None) is None and hasattr(main, "__file__"):
        sys.modules["__main__"] = ModuleType("__main__")
    try:
        yield
    finally:
        sys.modules["__main__"] = main


def changes() -> dict[str, str | None]:
    """Environment variables to change for a new process; None to remove one."""
    path = [entry for entry in os.environ.get("PYTHONPATH", "").split(os.pathsep) if entry and not _is_here(entry)]
    path = [str(Path(entry).absolute()) for entry in path if entry != str(START)]
    return {**SAFE, "PYTHONPATH": os.pathsep.join([str(START), *path]), **dict.fromkeys(DROPPED)}


def search_path() -> list[str]:
    """`sys.path` without the working folder, unless it comes after the standard library, where it shadows nothing."""
    own = sysconfig.get_path("stdlib")
    first = sys.path.index(own) if own in sys.path else 0
    return [entry for place, entry in enumerate(sys.path) if place > first or not _is_here(entry)]


def write_anything() -> None:
    """Make printing safe: escape characters that the encoding lacks, and replace closed streams by /dev/null."""
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
