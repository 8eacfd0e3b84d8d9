"""The command line within the tests' own process: seconds of imports less than a process for every command."""

import contextlib
import io
import os
import subprocess
import sys
from pathlib import Path
from unittest import mock

import pytest

from lina_lab.cli.main import main


def lab(folder: Path, *words: str, code: int = 0) -> subprocess.CompletedProcess[str]:
    """What `lab WORDS` prints in a folder, without the variables that are the tests' own; it ends with `code`."""
    out, errors = io.StringIO(), io.StringIO()
    with (
        mock.patch.dict(os.environ),
        mock.patch.object(sys, "path", list(sys.path)),
        mock.patch.object(sys, "argv", ["lab", *map(str, words)]),
        contextlib.chdir(folder),
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(errors),
    ):
        for name in [name for name in os.environ if name.startswith(("LAB_", "MLFLOW_"))]:
            del os.environ[name]
        with pytest.raises(SystemExit) as end:
            main()
    printed = out.getvalue() + errors.getvalue()
    assert int(end.value.code or 0) == code, printed
    assert "Traceback" not in printed
    return subprocess.CompletedProcess(words, code, out.getvalue(), errors.getvalue())
