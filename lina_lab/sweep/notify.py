"""Tell a command or a webhook that a sweep has ended or a cell has failed: once, whoever notices, and at no risk.

runs/sweeps/<name>.notified/<event>-<digest>.json   a message; whoever creates the file sends it

Nothing here raises: what could not be sent is printed and logged. A webhook's address is a secret, which is read from
the sweep's YAML, or from a variable, as it is needed, and stands in no message.
"""

import json
import logging
import os
import platform
import subprocess
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple
from urllib.error import HTTPError, URLError
from urllib.parse import urlsplit
from urllib.request import HTTPRedirectHandler, ProxyHandler, Request, build_opener

from lina_lab.config.experiment import digest
from lina_lab.config.load import Document, read_yaml, validate
from lina_lab.config.notify import Notify
from lina_lab.errors import LabError
from lina_lab.escape import shortened, shown
from lina_lab.files import write_new
from lina_lab.ledger.leases import faults, last_attempt, this_job
from lina_lab.ledger.plan import Plan
from lina_lab.ledger.report_place import report_of
from lina_lab.ledger.status import read_status
from lina_lab.sweep.local_engine import Finished
from lina_lab.sweep.state import counts, sweep_state

logger = logging.getLogger(__name__)

COMMAND_SECONDS, WEBHOOK_SECONDS = 30.0, 10.0
OVER = ("done", "failed", "diverged")
"""What a sweep that has ended is."""
LONGEST = 600
"""Characters of a verdict in one line."""


class Message(NamedTuple):
    """What a command reads as JSON, and in variables as LAB_EVENT, LAB_SWEEP, ...; a webhook gets the same."""

    event: str
    """end or fail"""
    sweep: str
    state: str
    """Of the sweep: done, failed, diverged; stopped, as its cells failed alike; for `fail` what it does meanwhile."""
    counts: Mapping[str, int]
    """State to number of cells."""
    verdict: str
    """In a line; of a sweep that has ended."""
    reason: str
    """Of the failure; '' for none."""
    report: str
    """Path of its page; '' if none was written yet."""
    host: str

    @property
    def text(self) -> str:
        """The message for people, in a line."""
        found = ", ".join(f"{number} {state}" for state, number in self.counts.items())
        what = "a cell has failed" if self.event == "fail" else self.state
        report = self.report or f"lab report {self.sweep} writes the report"
        words = [f"{self.sweep}: {what} ({found}; on {self.host})", self.reason, self.verdict, report]
        return ". ".join(word.rstrip(".") for word in words if word)


class Notifier:
    """Sends the messages of one launcher or job, on a thread of its own."""

    def __init__(self, runs: Path, plan: Plan, notify: Notify | None, retries: int) -> None:
        self.runs, self.plan, self.notify, self.retries = runs, plan, notify, retries
        self.thread = ThreadPoolExecutor(1, "notify")

    def failed(self, finished: Iterable[Finished]) -> None:
        """Tell of cells that have failed for good."""
        for cell in finished:
            if cell.state == "failed":
                last = last_attempt(cell.folder)
                told = [cell.folder.name, last.number if last else 0]
                self._submit("fail", told, "", f"{cell.folder.name}: {cell.reason}")

    def ended(self) -> None:
        """Tell that the sweep has ended, if it has."""
        self._submit("end", None, "", "")

    def stopped(self, reason: str, folders: Iterable[Path]) -> None:
        """Tell that it was stopped, as cells failed alike: the jobs of an array tell it once."""
        lasts = [last_attempt(folder) for folder in folders]
        array = this_job().partition("_")[0]
        self._submit("end", array or sorted(str(last.path) for last in lasts if last), "stopped", reason)

    def _submit(self, event: str, what: Any, state: str, reason: str) -> None:
        if self.notify is not None and event in self.notify.events:
            self.thread.submit(self._tell, event, what, state, reason)

    def _tell(self, event: str, what: Any, state: str, reason: str) -> None:
        try:
            states = settled_states(self.runs, self.plan, self.retries)
            state = state or sweep_state(self.runs, self.plan, states)
            if what is None:
                if state not in OVER:
                    return
                what = [[key, found, read_status(self.runs / key).attempt] for key, found in sorted(states.items())]
            self._send_once(event, [self.plan.id, event, what], state, states, reason)
        except Exception as error:
            logger.debug("not told", exc_info=True)
            self._say(f"{type(error).__name__}: {error}")

    def _send_once(self, event: str, what: Any, state: str, states: Mapping[str, str], reason: str) -> None:
        path = self.runs / "sweeps" / f"{self.plan.base}.notified" / f"{event}-{digest(what)[:16]}.json"
        if path.exists():
            return
        report = report_of(self.runs, self.plan)
        message = Message(
            event=event,
            sweep=self.plan.name,
            state=state,
            counts=counts(self.plan, states),
            verdict=_verdict(self.runs, self.plan) if event == "end" else "",
            reason=reason,
            report=str(report.page) if report else "",
            host=platform.node(),
        )
        if write_new(path, json.dumps(body_of(message), indent=1)) and self.notify is not None:
            for problem in send(self.notify, message):
                self._say(problem)

    def _say(self, problem: str) -> None:
        print(f"{self.plan.name}: notify: {shown(problem)}", flush=True)


@contextmanager
def notifier(runs: Path, plan: Plan, file: Path | None, retries: int) -> Iterator[Notifier]:
    """A notifier by the `notify:` of a sweep's file; what it has to send is sent before the block is left."""
    notify = None
    try:
        notify = read_notify(file)
        if notify is not None and notify.webhook is not None:
            notify.webhook.address()
    except (LabError, ValueError) as error:
        print(f"{plan.name}: notify: {error}", flush=True)
    found = Notifier(runs, plan, notify, retries)
    with found.thread:
        yield found


def read_notify(file: Path | None) -> Notify | None:
    """The `notify:` of a sweep's file; None without one.

    Raises:
        LabError: if it is not valid.
    """
    document = Document({}, {}) if file is None or not file.exists() else read_yaml(file)
    section = document.values.get("notify")
    if section is None:
        return None
    places = {key[1:]: place for key, place in document.places.items() if key[:1] == ("notify",)}
    return validate(Notify, Document(section, places))


def settled_states(runs: Path, plan: Plan, retries: int) -> dict[str, str]:
    """The states of all cells by key; one that has failed and will be tried again is running."""
    states = {}
    for cell in plan.everything:
        folder = runs / cell.key
        state: str = read_status(folder).state
        last = last_attempt(folder)
        given_up = faults(folder) > retries or (last is not None and last.ended == "refused")
        states[cell.key] = "running" if state == "failed" and not given_up else state
    return states


def body_of(message: Message) -> dict[str, Any]:
    """A message as JSON."""
    return {**message._asdict(), "text": message.text}


def send(notify: Notify, message: Message) -> Iterator[str]:
    """Send a message; yields what went wrong, a line each."""
    if notify.command is not None and (problem := _run(notify.command, message)):
        yield f"command {notify.command[0]}: {problem}"
    if notify.webhook is not None:
        try:
            problem = _post(notify.webhook.address(), message)
        except ValueError as error:
            problem = str(error)
        if problem:
            yield f"webhook: {problem}"


def _run(command: list[str], message: Message) -> str:
    body = body_of(message)
    said = {f"LAB_{name.upper()}": v if isinstance(v, str) else json.dumps(v) for name, v in body.items()}
    options: dict[str, Any] = {"stdout": subprocess.DEVNULL, "stderr": subprocess.PIPE, "timeout": COMMAND_SECONDS}
    try:
        done = subprocess.run(command, input=json.dumps(body).encode(), env=os.environ | said, check=False, **options)
    except subprocess.TimeoutExpired:
        return f"did not end within {COMMAND_SECONDS:g} s"
    except OSError as error:
        return error.strerror or type(error).__name__
    except ValueError:  # a null byte
        return "is no command that can be started"
    last = done.stderr.decode(errors="replace").strip().splitlines()[-1:]
    return " ".join([f"ended with {done.returncode}:", *last]).rstrip(":") if done.returncode else ""


class _NoRedirect(HTTPRedirectHandler):
    """A message goes where it was sent, or nowhere."""

    def redirect_request(self, *_: Any) -> None:
        return None


def _post(address: str, message: Message) -> str:
    body = body_of(message)
    body["text"] = body["text"].replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")  # as Slack reads it
    request = Request(address, json.dumps(body).encode(), {"Content-Type": "application/json"})  # noqa: S310, checked
    here = [ProxyHandler({})] if urlsplit(address).scheme == "http" else []  # this machine is reached by no proxy
    try:
        with build_opener(_NoRedirect, *here).open(request, timeout=WEBHOOK_SECONDS) as answer:
            answer.read(1)
    except HTTPError as error:
        return f"answered with HTTP {error.code}"
    except URLError as error:
        reason = error.reason
        return f"could not be reached ({getattr(reason, 'strerror', None) or type(reason).__name__})"
    except Exception as error:  # noqa: BLE001, whose text may hold the address
        return f"could not be reached ({type(error).__name__})"
    return ""


def _verdict(runs: Path, plan: Plan) -> str:
    from lina_lab.analysis.cards import study_verdict
    from lina_lab.analysis.contrasts import design_pairs
    from lina_lab.analysis.report_data import curves_table
    from lina_lab.analysis.table import results_table

    try:
        if not any(design_pairs(plan)):
            return ""
        found = results_table(runs, plan)
        verdict = study_verdict(plan, found, curves_table(runs, found))
        said = " ".join([*verdict.first, verdict.answer])
    except Exception as error:
        logger.debug("no verdict", exc_info=True)
        said = f"no verdict: {next(iter(str(error).splitlines()), type(error).__name__)}"
    return shortened(said, LONGEST)
