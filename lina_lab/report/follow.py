"""A sweep that is followed: which page is at which address, and the report that is written once it is over."""

import json
import re
import threading
import time
from collections.abc import Callable
from mimetypes import guess_type
from pathlib import Path

from lina_lab.errors import LabError
from lina_lab.ledger.plan import Plan
from lina_lab.report.cell_page import cell_name, cell_parts
from lina_lab.report.frame import page, part, policy
from lina_lab.report.live import ReportState, sweep_parts
from lina_lab.report.page import write_report
from lina_lab.report.serve import Answer, PageServer
from lina_lab.report.watch import Look, SweepWatch

REST = 10
"""A look is followed by so many times the time that it took, so that looking takes a tenth of a core at most."""
LEAST_REST = 2.0
"""Seconds from a look to the next, at least."""
SETTLED = 10.0
"""Seconds that a sweep must be over before its report is written: a cell that fails may be tried again at once."""
REPORT_POLICY = "default-src 'none'; img-src 'self' data:; style-src 'unsafe-inline'; script-src 'unsafe-inline'"
"""A report is one page of ours with style and pictures in it."""
PARTS = "parts.json"


class Follower:
    """Pages of a sweep by their address, as `serve.Answers`; several threads may ask at once.

    /, /parts.json                       the sweep
    /cell/KEY, /cell/KEY/parts.json      a cell
    /sheet/KEY/step-N.png                a sheet of samples of it
    /report/NAME                         a file of the report, once it is written
    """

    def __init__(
        self,
        runs: Path,
        name: str,
        out: Path,
        tell: Callable[[str], None] = print,
        settled: float = SETTLED,
        write: Callable[[Plan], Path] | None = None,
    ) -> None:
        """`write` writes the report of a plan to `out`: by default as `lab report --no-tracking`."""
        self.runs, self.out, self.settled = runs, out, settled
        self.watch = SweepWatch(runs, name)
        self.lock = threading.Lock()
        self.look = self.watch.look()
        self.lost, self.next_look = "", 0.0
        self.made: dict[tuple[str, ReportState], Answer | None] = {}
        """What was answered since the last look."""
        write = write or (lambda plan: write_report(runs, plan, out, tell=tell))
        self.writer = ReportWriter(lambda: write(self.look.plan), tell)
        self.over_since: float | None = None

    def tick(self) -> None:
        """Look, if it is time to: a sweep that nobody has a page open of is seen to end, too."""
        with self.lock:
            self._now()

    def answer(self, path: str) -> Answer | None:
        if found := re.fullmatch(r"/sheet/([0-9a-f]+)/(step-\d+\.png)", path):
            return self._sheet(*found.groups())
        if found := re.fullmatch(r"/report/([\w.@-]+)", path):
            return self._file_of_report(found[1])
        if found := re.fullmatch(rf"/(?:cell/([0-9a-f]+))?(/?{re.escape(PARTS)})?", path):
            with self.lock:
                self._now()
                asked = (path, self.writer.state)
                if asked not in self.made:  # once a look, however many look on
                    self.made[asked] = self._page(self.look, *found.groups())
                return self.made[asked]
        return None

    def _page(self, look: Look, key: str | None, as_parts: str | None) -> Answer | None:
        if key is None:
            title, parts, source = look.plan.name, sweep_parts(look, self.writer.state), PARTS
        else:
            cell = next((cell for cell in look.plan.everything if cell.key == key), None)
            if cell is None:
                return None
            title, source = f"{look.plan.name}: {cell_name(look, cell)}", f"{key}/{PARTS}"
            sheets = f"../sheet/{key}"
            parts = cell_parts(self.runs, look, key, lambda other: other, lambda name: f"{sheets}/{name}", home="../")
        if self.lost:
            parts = {**parts, "head": f"{parts['head']}{part('lost', self.lost)}"}
        if as_parts:
            return Answer("application/json", json.dumps(parts, ensure_ascii=False).encode())
        return Answer("text/html; charset=utf-8", page(title, parts, source).encode(), policy())

    def _now(self) -> None:
        """Look, unless the last look was a moment ago; what cannot be read any more stays as it was."""
        began = time.monotonic()
        if began >= self.next_look:
            self.made.clear()
            try:
                self.look, self.lost = self.watch.look(), ""
            except LabError as error:
                self.lost = str(error)
            self._write_when_over(began)
            now = time.monotonic()
            self.next_look = now + max(LEAST_REST, REST * (now - began))

    def _write_when_over(self, now: float) -> None:
        if not self.look.is_over or not self.look.cells:
            self.over_since = None
            return
        self.over_since = now if self.over_since is None else self.over_since
        if now - self.over_since >= self.settled:
            self.writer.write_once((self.look.plan.id, tuple(self.look.states)))

    def _sheet(self, key: str, name: str) -> Answer | None:
        """A sheet that a page names; a look of before may still name one that is gone."""
        one = next((one for one in self.look.cells if one.cell.key == key), None)
        if one is None or name not in one.sheets:
            return None
        return _file(self.runs / key / "samples" / name)

    def _file_of_report(self, name: str) -> Answer | None:
        return _file(self.out / name) if self.writer.state.there else None


def _file(path: Path) -> Answer | None:
    kind = guess_type(path.name)[0] or "application/octet-stream"
    try:
        if path.suffix == ".html":
            return Answer(f"{kind}; charset=utf-8", path.read_bytes(), REPORT_POLICY)
        return Answer(kind, path.read_bytes())
    except OSError:
        return None


def serve(server: PageServer, follower: Follower) -> None:
    """Answer until Ctrl-C."""
    threading.Thread(target=server.serve_forever, name="pages", daemon=True).start()
    try:
        while True:
            follower.tick()
            time.sleep(LEAST_REST)
    finally:
        server.shutdown()
        server.server_close()


class ReportWriter:
    """Writes a report beside what goes on, once for every state of a sweep; `state` says how far it is."""

    def __init__(self, write: Callable[[], Path], tell: Callable[[str], None]) -> None:
        self.write, self.tell = write, tell
        self.state = ReportState()
        self.of: object = None
        self.thread: threading.Thread | None = None

    def write_once(self, of: object) -> None:
        """Write it, unless it is written of the same already, or is being written."""
        if of == self.of or (self.thread is not None and self.thread.is_alive()):
            return
        self.of = of
        self.state = ReportState(self.state.there, "The sweep is over: its report is being written.")
        self.thread = threading.Thread(target=self._run, name="report", daemon=True)
        self.thread.start()

    def _run(self) -> None:
        try:
            page = self.write()
        except LabError as error:
            self.state = ReportState(self.state.there, f"No report: {error}")
            self.tell(self.state.said)
        else:
            self.state = ReportState(there=True)
            self.tell(f"wrote {page}")
