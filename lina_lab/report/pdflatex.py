"""pdfLaTeX on a folder: nothing but that folder and TeX's own files is read, and a document starts no program."""

import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from lina_lab.errors import LabError
from lina_lab.escape import shown
from lina_lab.files import write_atomic

INSTALL = "apt-get install texlive-latex-recommended texlive-fonts-recommended lmodern, or TeX Live for your system"
FLAGS = ("-no-shell-escape", "-interaction=nonstopmode", "-halt-on-error", "-file-line-error")
MOST_RUNS = 4
"""Of TeX after the first, until what it notes for the next run stays the same."""
SECONDS = 300
TOO_WIDE = 3.0
"""Points beyond the margin that a reader sees."""
ERROR = re.compile(r"^(?:\./)?(?P<file>[^\s:][^:\n]*):(?P<line>\d+): (?P<what>.+)$", re.MULTILINE)
OTHER_ERROR = re.compile(r"^! ?(?P<what>.+)$", re.MULTILINE)
OVERFULL = re.compile(r"^Overfull \\hbox \((?P<points>[\d.]+)pt too wide\) (?P<where>.*)$", re.MULTILINE)
UNDEFINED = re.compile(
    r"^(?:LaTeX|Package natbib) Warning: (?P<what>(?:Reference|Citation) .* undefined).*$", re.MULTILINE
)


class Compiled(NamedTuple):
    pdf: Path
    remarks: list[str]
    """What a reader of the PDF would see: lines beyond the margin, references to nothing."""


def has_pdflatex() -> bool:
    return shutil.which("pdflatex") is not None


def compile_paper(source: Path) -> Compiled:
    r"""The PDF of a `.tex` file, beside it, with its log; of one with `\pdftrailerid{}` the same bytes every time.

    No variable of the user's environment (TEXINPUTS and the like) and no file of their home counts.

    Raises:
        LabError: naming file and line, if TeX finds an error; or what to install, if there is no TeX.
    """
    if not has_pdflatex():
        raise LabError(f"no pdflatex on the PATH: {INSTALL}; or compile {shown(source)} elsewhere")
    with tempfile.TemporaryDirectory() as folder:
        build = Path(folder)
        log = _pdflatex(source, build)
        if _auxiliary(build).count("\\bibdata{"):
            _run("bibtex", [source.stem], build, source)
        for _ in range(MOST_RUNS):
            before, log = _auxiliary(build), _pdflatex(source, build)
            if _auxiliary(build) == before:
                break
        pdf = source.with_suffix(".pdf")
        write_atomic(pdf, (build / pdf.name).read_bytes())
    return Compiled(pdf, list(remarks(log)))


def remarks(log: str) -> Iterable[str]:
    """What a log says that a reader of the PDF would see."""
    for found in OVERFULL.finditer(log):
        if float(found["points"]) > TOO_WIDE:
            yield f"{float(found['points']):.0f} pt beyond the margin {found['where']}"
    yield from dict.fromkeys(found["what"] for found in UNDEFINED.finditer(log))


def _pdflatex(source: Path, build: Path) -> str:
    done = _run("pdflatex", [*FLAGS, f"-output-directory={build}", source.name], source.parent, source)
    written = build / f"{source.stem}.log"
    log = written.read_text(encoding="utf-8", errors="replace") if written.exists() else done.stdout
    write_atomic(source.with_suffix(".log"), log)
    if done.returncode:
        raise LabError(_error(source, log))
    return log


def _error(source: Path, log: str) -> str:
    """'papers/x/generated/method.tex:12: Undefined control sequence.'"""
    found, other = ERROR.search(log), OTHER_ERROR.search(log)
    where, what = str(source), other["what"] if other else "pdflatex failed"
    if found:
        where, what = f"{source.parent / found['file']}:{found['line']}", found["what"]
    return f"{shown(where)}: {shown(what)}; all that TeX said: {shown(source.with_suffix('.log'))}"


def _auxiliary(build: Path) -> str:
    """What TeX notes for its next run."""
    files = sorted(path for path in build.iterdir() if path.suffix in {".aux", ".out", ".toc", ".bbl"})
    return "".join(path.read_text(encoding="utf-8", errors="replace") for path in files)


def _run(program: str, words: list[str], folder: Path, source: Path) -> subprocess.CompletedProcess[str]:
    path = shutil.which(program)
    if path is None:
        raise LabError(f"no {program} on the PATH: {INSTALL}")
    with tempfile.TemporaryDirectory() as home:
        environment = {
            "PATH": os.environ["PATH"],
            "HOME": home,
            "BIBINPUTS": f"{source.parent.resolve()}:",
            "max_print_line": "1000",
            "openout_any": "p",
            "SOURCE_DATE_EPOCH": "0",
            "FORCE_SOURCE_DATE": "1",
        }
        try:
            return subprocess.run(
                [path, *words],
                cwd=folder,
                env=environment,
                capture_output=True,
                text=True,
                errors="replace",
                check=False,
                timeout=SECONDS,
                stdin=subprocess.DEVNULL,
            )
        except subprocess.TimeoutExpired as error:
            raise LabError(f"{program} did not end in {SECONDS} seconds on {shown(source)}") from error
