"""The live page in a real browser: it renews itself, its slider moves, nobody else is asked, script is not needed."""

import threading
from contextlib import contextmanager

import numpy as np
import pytest
from PIL import Image

from lina_lab.ledger.metrics import append_metrics
from lina_lab.ledger.status import write_state
from lina_lab.metric_names import LOSS
from lina_lab.report import follow
from lina_lab.report.cell_page import write_cell_pages
from lina_lab.report.follow import Follower
from lina_lab.report.serve import PageServer

pytestmark = pytest.mark.slow

SEEN = """
const shown = [...document.images].filter(image => image.checkVisibility());
return {
  wide: document.documentElement.scrollWidth - window.innerWidth,
  sheets: shown.map(image => image.src.split("/").pop()),
  loaded: shown.every(image => image.complete && image.naturalWidth > 100),
  step: document.querySelector("output")?.textContent,
  panels: document.querySelectorAll("svg.panel").length,
};
"""
MOVE = """
const input = document.querySelector("input[type=range]");
input.value = arguments[0];
input.dispatchEvent(new Event("input", {bubbles: true}));
"""


def add_sheet(made, step, index=0):
    folder = made.folder(index) / "samples"
    folder.mkdir(exist_ok=True)
    picture = np.random.default_rng(step).integers(0, 256, (200, 860, 3)).astype(np.uint8)
    Image.fromarray(picture).save(folder / f"step-{step:07d}.png")


@pytest.fixture
def made(study):
    made = study(seeds=[0, 1])
    made.unfinish(0, "running")
    write_state(made.folder(0), phase="training", step=50, steps=100, loss=0.5, seconds_left=30.0)
    made.unfinish(1, "failed", "no space left on device")
    for step in (10, 20):
        add_sheet(made, step)
    return made


@contextmanager
def served(made, tmp_path):
    follower = Follower(made.runs, "fake", tmp_path / "out", lambda line: None)
    server = PageServer("127.0.0.1", 0, follower.answer)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()


def look(browser):
    return browser.ask("execute/sync", script=SEEN, args=[])


@pytest.mark.parametrize("width", [1400, 390])
def test_nothing_hangs_over_and_nobody_else_is_asked(browser, made, tmp_path, width):
    with served(made, tmp_path) as server:
        screen = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 500}
        browser.ask("goog/cdp/execute", cmd="Emulation.setDeviceMetricsOverride", params=screen)
        for path in ("", f"/cell/{made.plan.cells[0].key}"):
            browser.ask("url", url=f"{server.address}{path}")
            seen = look(browser)
            assert seen["wide"] <= 0
            assert seen["panels"] in (1, 2)
            asked = browser.ask(
                "execute/sync", script="return performance.getEntriesByType('resource').map(r => r.name)", args=[]
            )
            assert [name for name in asked if not name.startswith((server.address, "data:"))] == []
        assert browser.ask("se/log", type="browser") == []


def test_the_page_renews_itself_and_keeps_where_the_slider_is(browser, made, tmp_path, monkeypatch):
    monkeypatch.setattr(follow, "LEAST_REST", 0.1)
    with served(made, tmp_path) as server:
        browser.ask("url", url=server.address)
        browser.wait_for("14 done, 1 running, 1 failed of 16 cells", "no space left on device")
        assert (look(browser)["sheets"], look(browser)["step"]) == (["step-0000020.png"], "step 20")
        browser.ask("execute/sync", script=MOVE, args=[0])
        assert (look(browser)["sheets"], look(browser)["step"]) == (["step-0000010.png"], "step 10")
        append_metrics(made.folder(0), 150, {LOSS: 0.03125})
        add_sheet(made, 30)
        browser.wait_for("0.0312")
        assert (look(browser)["sheets"], look(browser)["step"]) == (["step-0000010.png"], "step 10")
        browser.ask("execute/sync", script=MOVE, args=[2])
        assert look(browser)["sheets"] == ["step-0000030.png"]
        add_sheet(made, 40)  # at the newest, it follows the newest
        append_metrics(made.folder(0), 160, {LOSS: 0.015625})
        browser.wait_for("0.0156")
        assert look(browser)["sheets"] == ["step-0000040.png"]
        server.answers = lambda path: None
        browser.wait_for("No answer: lab report --follow has ended", "14 done, 1 running, 1 failed of 16 cells")


def test_a_page_of_a_cell_is_whole_on_a_disk_and_on_paper(browser, made, tmp_path):
    path = write_cell_pages(made.runs, made.stored, tmp_path / "out", [made.plan.cells[0].key])[0]
    browser.ask("window/rect", width=500, height=900)
    browser.ask("url", url=path.as_uri())
    seen = look(browser)
    assert (len(seen["sheets"]), seen["loaded"], seen["step"]) == (1, True, "step 20")
    assert seen["wide"] <= 0
    browser.ask("goog/cdp/execute", cmd="Emulation.setEmulatedMedia", params={"media": "print"})
    assert len(look(browser)["sheets"]) == 2


def test_without_script_all_sheets_stand_in_a_row_and_the_page_reloads_itself(browser, made, tmp_path):
    with served(made, tmp_path) as server:
        browser.ask("goog/cdp/execute", cmd="Emulation.setScriptExecutionDisabled", params={"value": True})
        browser.ask("url", url=f"{server.address}/cell/{made.plan.cells[0].key}")
        browser.ask("goog/cdp/execute", cmd="Emulation.setScriptExecutionDisabled", params={"value": False})
        assert len(look(browser)["sheets"]) == 2
        assert browser.count("noscript meta[http-equiv=refresh]") == 1
