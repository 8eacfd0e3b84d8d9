"""What a sweep tells, to a real command and a real HTTP server on loopback: once, and whatever goes wrong there."""

import json
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from lina_lab.analysis.cards import study_verdict
from lina_lab.analysis.report_data import curves_table
from lina_lab.analysis.table import results_table
from lina_lab.config.notify import Notify, Webhook
from lina_lab.escape import shortened
from lina_lab.ledger.report_place import note_report
from lina_lab.sweep import notify as module
from lina_lab.sweep.local_engine import Finished
from lina_lab.sweep.notify import Notifier, notifier, settled_states

pytestmark = pytest.mark.slow

WRITE = """
import json, os, sys
said = json.load(sys.stdin)
with open(sys.argv[1], "a") as file:
    file.write(json.dumps([said, {k: v for k, v in os.environ.items() if k.startswith("LAB_")}]) + chr(10))
"""


@pytest.fixture
def heard():
    """A server that notes every body, and answers as its path says: (address, bodies)."""
    bodies = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            bodies.append((self.path, self.headers["Content-Type"], body))
            if self.path == "/slow":
                time.sleep(2)
            self.send_response({"/gone": 410, "/moved": 302}.get(self.path, 200))
            self.send_header("Location", "/other")
            self.end_headers()

        def do_GET(self):
            bodies.append((self.path, "", {}))

        def log_message(self, *words):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}", bodies
        server.shutdown()


@pytest.fixture
def command(tmp_path):
    """A command that notes what it hears, and what it has heard."""
    path = tmp_path / "heard.jsonl"
    words = [sys.executable, "-c", WRITE, str(path)]
    return words, lambda: [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def told(made, notify, retries=0, **calls):
    """Have a notifier of its own told: method to arguments."""
    found = Notifier(made.runs, made.stored, notify, retries)
    with found.thread:
        for name, arguments in calls.items():
            getattr(found, name)(*arguments)


def test_a_command_hears_the_end_on_its_input_and_in_variables(study, command):
    made, (words, heard_by_command) = study(), command
    told(made, Notify(command=words), ended=())
    ((said, variables),) = heard_by_command()
    assert (said["event"], said["sweep"], said["state"], said["counts"]) == ("end", "fake", "done", {"done": 8})
    found = results_table(made.runs, made.stored)
    verdict = study_verdict(made.stored, found, curves_table(made.runs, found))
    assert said["verdict"] == shortened(" ".join([*verdict.first, verdict.answer]), module.LONGEST)
    assert verdict.answer
    assert "\n" not in said["text"]
    assert said["text"].startswith(f"fake: done (8 done; on {said['host']}). ")
    assert said["text"].endswith("lab report fake writes the report")
    assert variables["LAB_TEXT"] == said["text"]
    assert json.loads(variables["LAB_COUNTS"]) == {"done": 8}
    assert variables.keys() >= {"LAB_EVENT", "LAB_SWEEP", "LAB_STATE", "LAB_VERDICT", "LAB_REPORT", "LAB_HOST"}


def test_a_webhook_gets_json_with_a_text_that_slack_reads(study, heard, tmp_path):
    made, (address, bodies) = study(), heard
    made.unfinish(0, "failed", "a < b & c")
    (tmp_path / "index.html").touch()
    note_report(made.runs, made.stored, tmp_path, [])
    told(
        made,
        Notify(webhook=Webhook(url=address), events=["fail"]),
        failed=([Finished(made.folder(0), "failed", "a < b & c")],),
    )
    ((_, kind, said),) = bodies
    assert kind == "application/json"
    assert (said["event"], said["state"], said["counts"]) == ("fail", "failed", {"done": 7, "failed": 1})
    assert said["reason"] == f"{made.folder(0).name}: a < b & c"
    assert "a &lt; b &amp; c" in said["text"]
    assert said["report"].endswith("index.html")


def test_an_event_that_nobody_asked_for_is_not_told(study, heard):
    made, (address, bodies) = study(), heard
    told(made, Notify(webhook=Webhook(url=address)), failed=([Finished(made.folder(0), "failed", "x")],))
    told(
        made,
        Notify(webhook=Webhook(url=address), events=["fail"]),
        ended=(),
        failed=([Finished(made.folder(0), "done")],),
    )
    told(made, None, ended=())
    assert bodies == []


def test_several_launchers_that_see_the_end_at_once_tell_it_once(study, heard):
    made, (address, bodies) = study(), heard
    start = threading.Barrier(6)

    def launcher(_):
        start.wait()
        told(made, Notify(webhook=Webhook(url=address)), ended=())

    with ThreadPoolExecutor(6) as pool:
        list(pool.map(launcher, range(6)))
    told(made, Notify(webhook=Webhook(url=address)), ended=())  # the same command again
    assert len(bodies) == 1


def test_the_job_that_ends_the_last_cell_tells_it(study, heard):
    made, (address, bodies) = study(), heard
    notify = Notify(webhook=Webhook(url=address))
    made.unfinish(0, "waiting")
    made.unfinish(1, "running")
    told(made, notify, ended=())
    made.change(0)
    told(made, notify, ended=())
    assert bodies == []
    made.change(1)
    told(made, notify, ended=())
    assert [said["state"] for _, _, said in bodies] == ["done"]


def test_a_failure_that_is_tried_again_is_no_end_and_a_retry_ends_it_anew(study, heard):
    made, (address, bodies) = study(), heard
    notify = Notify(webhook=Webhook(url=address))
    made.unfinish(0, "failed", "broken")
    assert settled_states(made.runs, made.stored, retries=1)[made.folder(0).name] == "running"
    told(made, notify, retries=1, ended=())
    assert bodies == []
    told(made, notify, retries=0, ended=())
    made.change(0)
    told(made, notify, retries=0, ended=())
    assert [said["state"] for _, _, said in bodies] == ["failed", "done"]


def test_a_sweep_that_stops_as_cells_fail_alike_is_told_once_by_all_jobs_of_an_array(study, heard, monkeypatch):
    made, (address, bodies) = study(), heard
    monkeypatch.setenv("SLURM_ARRAY_JOB_ID", "4711")
    for task in ("1", "2", "3"):
        monkeypatch.setenv("SLURM_ARRAY_TASK_ID", task)
        told(made, Notify(webhook=Webhook(url=address)), stopped=("three failed alike", [made.folder(int(task))]))
    assert [(said["state"], said["reason"]) for _, _, said in bodies] == [("stopped", "three failed alike")]


@pytest.mark.parametrize(
    ("path", "said"),
    [("/gone", "webhook: answered with HTTP 410"), ("/moved", "HTTP 302"), ("/slow", "webhook: could not be reached")],
)
def test_a_webhook_that_fails_is_shown_without_its_address(study, heard, capsys, monkeypatch, path, said):
    made, (address, bodies) = study(), heard
    monkeypatch.setattr(module, "WEBHOOK_SECONDS", 0.2)
    told(made, Notify(webhook=Webhook(url=f"{address}{path}")), ended=())
    out = capsys.readouterr().out
    assert out.startswith("fake: notify: webhook: ")
    assert said in out
    assert address not in out
    assert len(bodies) == 1  # no redirect is followed


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["/no/such/program"], "command /no/such/program: No such file or directory"),
        ([sys.executable, "-c", "raise SystemExit('no mail today')"], "ended with 1: no mail today"),
        ([sys.executable, "-c", "import time; time.sleep(9)"], "did not end within 0.5 s"),
        ([sys.executable, "-c", "pass; $(touch ran)"], "SyntaxError"),
        (["a\0b"], "is no command that can be started"),
    ],
)
def test_a_command_that_fails_is_shown_and_the_webhook_is_told_all_the_same(
    study, heard, capsys, monkeypatch, words, said
):
    made, (address, bodies) = study(), heard
    monkeypatch.setattr(module, "COMMAND_SECONDS", 0.5)
    told(made, Notify(command=words, webhook=Webhook(url=address)), ended=())
    assert said in capsys.readouterr().out
    assert len(bodies) == 1


def test_a_study_without_a_verdict_ends_all_the_same(study, heard):
    made, (address, bodies) = study(), heard
    for index in range(8):
        made.change(index, state="diverged", diverged_at=3, metrics={})
    told(made, Notify(webhook=Webhook(url=address)), ended=())
    ((_, _, said),) = bodies
    assert said["state"] == "diverged"
    assert said["verdict"].startswith("no verdict: ")


def test_no_address_is_left_in_the_runs(study, heard):
    made, (address, _) = study(), heard
    told(made, Notify(webhook=Webhook(url=f"{address}/secret-c0ffee")), ended=())
    files = [path for path in made.runs.rglob("*") if path.is_file()]
    assert any("notified" in str(path) for path in files)
    assert not any(b"c0ffee" in path.read_bytes().replace(b'"commit": "c0ffee"', b"") for path in files)


def test_a_variable_that_is_not_set_is_said_at_the_start_and_stops_nothing(study, tmp_path, capsys, monkeypatch):
    made = study()
    monkeypatch.delenv("HOOK", raising=False)
    (tmp_path / "fake.yaml").write_text("notify: {webhook: {env: HOOK}}")
    with notifier(made.runs, made.stored, tmp_path / "fake.yaml", 0) as tell:
        assert "notify: the environment variable HOOK is not set" in capsys.readouterr().out
        tell.ended()
    assert "notify: webhook: the environment variable HOOK is not set" in capsys.readouterr().out
