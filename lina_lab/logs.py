"""Log lines of the package on standard error, which is the terminal of a command and the log.txt of a cell's worker."""

import contextlib
import logging
import sys
import time

from lina_lab.escape import shown


class StderrHandler(logging.Handler):
    """Writes each line to what `sys.stderr` is at that moment: a live table and a worker put another there."""

    def emit(self, record: logging.LogRecord) -> None:
        # A full disk or a closed terminal must not end the work that is told of.
        with contextlib.suppress(OSError, ValueError):
            print("\n".join(map(shown, self.format(record).split("\n"))), file=sys.stderr, flush=True)


def show_logs(level: int) -> None:
    """Write the package's lines from a level on, as `logging.INFO`; called again, it changes the level."""
    package = logging.getLogger("lina_lab")
    package.setLevel(level)
    if any(isinstance(handler, StderrHandler) for handler in package.handlers):
        return
    form = logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s", "%Y-%m-%dT%H:%M:%S+00:00")
    form.converter = time.gmtime
    handler = StderrHandler()
    handler.setFormatter(form)
    package.addHandler(handler)
