"""A sweep that is followed: every address that a page names is there, no other is, and the end has its report."""

import json
import re
import time
from urllib.parse import unquote

import pytest

from lina_lab.errors import LabError
from lina_lab.ledger.leases import forgive
from lina_lab.ledger.metrics import append_metrics
from lina_lab.ledger.plan import plan_path
from lina_lab.metric_names import LOSS
from lina_lab.report import follow
from lina_lab.report.follow import Follower
from tests.study import TWO


@pytest.fixture(autouse=True)
def looks_at_once(monkeypatch):
    monkeypatch.setattr(follow, "LEAST_REST", 0.0)
    monkeypatch.setattr(follow, "REST", 0.0)


@pytest.fixture
def reports(monkeypatch, tmp_path):
    """Stands in for the report's own writer, which has tests of its own: what was written, in turn."""
    written = []

    def write(runs, plan, out, tell=print):
        written.append(plan.id)
        out.mkdir(parents=True, exist_ok=True)
        (out / "index.html").write_text("the verdict")
        (out / "cells").mkdir(exist_ok=True)
        return out / "index.html"

    monkeypatch.setattr(follow, "write_report", write)
    return written


def followed(made, settled=1e9):
    return Follower(made.runs, "fake", made.runs.parent / "out", lambda line: None, settled)


def with_sheets(made):
    folder = made.folder(0) / "samples"
    folder.mkdir()
    for name in ("step-0000010.png", "step-0000020.png"):
        (folder / name).write_bytes(name.encode())
    (folder / "generated.npz").write_bytes(b"npz")
    return made


def settle(follower):
    """Until the report that was begun is there."""
    deadline = time.monotonic() + 20
    follower.tick()
    while follower.writer.thread is None or follower.writer.thread.is_alive():
        assert time.monotonic() < deadline
        follower.tick()


def test_every_address_that_the_pages_name_is_there(study):
    made = with_sheets(study(axes=TWO))
    follower, seen, todo = followed(made), set(), ["/"]
    while todo:
        path = todo.pop()
        if path in seen:
            continue
        seen.add(path)
        answer = follower.answer(path)
        assert answer is not None, path
        if not answer.kind.startswith("text/html"):
            continue
        for address in re.findall(r'(?:href|src|data-parts)="([^"]+)"', answer.body.decode()):
            if not address.startswith("data:"):
                parts = [*path.split("/")[:-1], *address.split("/")]
                while ".." in parts:
                    place = parts.index("..")
                    del parts[place - 1 : place + 1]
                todo.append("/".join(parts))
    keys = [cell.key for cell in made.plan.cells]
    sheets = {f"/sheet/{keys[0]}/step-00000{n}0.png" for n in (1, 2)}
    cells = {f"/cell/{key}{end}" for key in keys for end in ("", "/parts.json")}
    assert seen == {"/", "/parts.json"} | sheets | cells


def test_parts_are_those_of_the_page(study):
    follower = followed(with_sheets(study(axes=TWO)))
    for path in ("/", f"/cell/{follower.look.cells[0].cell.key}"):
        parts = json.loads(follower.answer(f"{path.rstrip('/')}/parts.json").body)
        html = follower.answer(path).body.decode()
        for name, part in parts.items():
            assert f'<section id="{name}">{part}</section>' in html


@pytest.mark.parametrize(
    "path",
    [
        "",
        "/x",
        "/../../etc/passwd",
        "/%2e%2e/x",
        "/cell/",
        "/cell/0123456789ab",
        "/cell/KEY/",
        "/cell/KEY/../KEY",
        "/cell/KEY/config.yaml",
        "/cell/..",
        "/sheet/KEY/generated.npz",
        "/sheet/KEY/step-0000030.png",
        "/sheet/KEY/../config.yaml",
        "/sheet/KEY/step-0000010.png/",
        "/sheet/KEY/step-0000010.png%00",
        "/sheet/KEY/step-0000010.png\n",
        "/sheet/OTHER/step-0000010.png",
        "/sheet/../sweeps/fake.json",
        "/report/index.html",
        "/report/..",
        "/report/../runs/sweeps/fake.json",
        "/report/",
        "/runs/sweeps/fake.json",
        "/parts.json/x",
    ],
)
def test_nothing_else_is_served(study, path):
    made = with_sheets(study(axes=TWO))
    keys = [cell.key for cell in made.plan.cells]
    assert followed(made).answer(unquote(path).replace("KEY", keys[0]).replace("OTHER", keys[1])) is None


def test_a_cell_of_another_sweep_is_not_served(study):
    made = with_sheets(study(axes=TWO))
    other = made.runs / "abcdef012345"
    made.folder(0).rename(other)
    follower = followed(made)
    assert follower.answer("/cell/abcdef012345") is None
    assert follower.answer("/sheet/abcdef012345/step-0000010.png") is None


def test_it_is_renewed(study):
    made = study(axes=TWO)
    follower = followed(made)
    before = json.loads(follower.answer("/parts.json").body)
    append_metrics(made.folder(0), 150, {LOSS: 0.0625})
    after = json.loads(follower.answer("/parts.json").body)
    assert [name for name in before if before[name] != after[name]] == ["curves", "cells"]
    assert "0.0625" in after["cells"]


def test_a_look_is_rested_from(study, monkeypatch):
    monkeypatch.setattr(follow, "LEAST_REST", 1e9)
    follower = followed(study(axes=TWO))
    follower.tick()
    monkeypatch.setattr(follower.watch, "look", pytest.fail)
    follower.answer("/")


def test_a_sheet_that_is_gone_is_not_there(study):
    made = with_sheets(study(axes=TWO))
    follower = followed(made)
    (made.folder(0) / "samples" / "step-0000010.png").unlink()
    assert follower.answer(f"/sheet/{made.plan.cells[0].key}/step-0000010.png") is None


def test_a_ledger_that_is_gone_leaves_the_page_as_it_was_and_says_so(study):
    made = study(axes=TWO)
    follower = followed(made)
    plan_path(made.runs, "fake").unlink()
    head = json.loads(follower.answer("/parts.json").body)["head"]
    assert "2 done of 2 cells" in head
    assert 'class="warning"' in head
    assert "no sweep of that name has run" in head


def test_a_sweep_that_never_was_is_refused(tmp_path):
    with pytest.raises(LabError, match="no sweep of that name"):
        Follower(tmp_path, "never", tmp_path)


def test_the_report_comes_once_the_sweep_is_over_and_again_after_it_went_on(study, reports):
    made = study(axes=TWO)
    made.unfinish(0, "failed", "full disk")
    follower = followed(made, settled=0)
    settle(follower)
    for _ in range(3):
        follower.tick()
    assert len(reports) == 1
    assert 'href="report/index.html"' in follower.answer("/").body.decode()
    assert follower.answer("/report/index.html").body == b"the verdict"
    assert follower.answer("/report/cells") is None
    forgive(made.folder(0))  # lab retry
    follower.tick()
    assert "no cell is at work" in follower.answer("/").body.decode()
    made.change(0)
    settle(follower)
    follower.tick()
    assert len(reports) == 2


def test_a_sweep_that_has_just_ended_may_go_on_at_once(study, reports):
    made = study(axes=TWO)
    follower = followed(made)
    follower.tick()
    assert follower.writer.thread is None
    made.unfinish(0, "running")
    made.unfinish(1, "waiting")
    running = followed(made, settled=0)
    running.tick()
    assert (running.writer.thread, reports) == (None, [])


def test_why_there_is_no_report(study, monkeypatch):
    def refuse(*args, **options):
        raise LabError("all <2> cells diverged")

    monkeypatch.setattr(follow, "write_report", refuse)
    follower = followed(study(axes=TWO), settled=0)
    settle(follower)
    html = follower.answer("/").body.decode()
    assert "No report: all &lt;2&gt; cells diverged" in html
    assert follower.answer("/report/index.html") is None


def test_a_page_is_made_once_a_look_however_many_ask(study, monkeypatch):
    monkeypatch.setattr(follow, "LEAST_REST", 1e9)
    follower = followed(study(axes=TWO))
    first = follower.answer("/parts.json")
    monkeypatch.setattr(follow, "sweep_parts", pytest.fail)
    assert follower.answer("/parts.json") is first
