"""The report's page in a real browser: as a reader sees it, on a desk, on a phone and on paper."""

import base64
import re

import numpy as np
import pytest

from lina_lab.analysis import gap_model
from lina_lab.cli.report import print_page
from lina_lab.errors import LabError
from lina_lab.report.page import write_report
from lina_lab.sheets import Row, sheet, write_sheet
from tests.study import AXES, FakeStudy

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("report_browser")]  # one report serves all

LOOK = """
const samples = [...document.images].filter(image => image.className == "pixels" && image.clientWidth);
const images = [...document.images].filter(image => image.className != "pixels");
const board = document.querySelector(".board"), name = board.querySelector("tbody tr:nth-child(2) th");
board.style.width = "250px";
board.scrollLeft = 1000;
return {
  text: document.body.innerText,
  shown: images.filter(image => image.complete && image.naturalWidth > 300 && image.clientWidth > 100).length,
  images: images.length,
  wide: document.documentElement.scrollWidth - window.innerWidth,
  sizes: [...new Set(samples.map(image => image.clientWidth / image.naturalWidth))],
  scrolled: board.scrollLeft,
  name: name.getBoundingClientRect().left - board.getBoundingClientRect().left,
};
"""


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    """A report takes many seconds to write, and no test changes it."""
    folder = tmp_path_factory.mktemp("report")
    made = FakeStudy(folder / "runs", [0, 1, 2], AXES | {"model.size": ["nano", "micro", "tiny", "small"]})
    for cell in made.plan.cells:
        path = made.runs / cell.key / "samples" / "generated.npz"
        path.parent.mkdir()
        images = np.random.default_rng(cell.seed).integers(0, 256, (20, 28, 28, 3)).astype(np.uint8)
        np.savez(path, arr_0=images, labels=np.arange(20) % 10)
        for step in (10, 50, 100):
            drawn = sheet([Row([np.full((28, 28, 3), step, np.uint8)] * 10)] * 4, [str(label) for label in range(10)])
            write_sheet(path.parent / f"step-{step:07d}.png", drawn)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(gap_model, "DRAWS", 50)
        return write_report(made.runs, made.stored, folder / "out").as_uri()


SLIDER = """
const box = document.querySelector(".sheets"), input = box.querySelector("input");
const shown = [...box.querySelectorAll("figure")].filter(figure => figure.checkVisibility());
return {
  steps: shown.map(figure => figure.querySelector("figcaption").textContent),
  pictures: shown.map(figure => figure.querySelectorAll("img").length),
  columns: [...shown[0].querySelectorAll("thead th")].map(name => name.textContent),
  said: box.querySelector("output").textContent,
  spoken: input.getAttribute("aria-valuetext"),
  slider: input.checkVisibility(),
};
"""
FOCUS = "const input = document.querySelector('.sheets input'); input.focus(); return input;"
LEFT = "\ue012"


def look(browser, page: str, width: int) -> dict:
    browser.ask("window/rect", width=width, height=900)
    browser.ask("url", url=page)
    return browser.ask("execute/sync", script=LOOK, args=[])


@pytest.mark.parametrize("width", [1400, 500])
def test_every_figure_is_seen_and_nothing_hangs_over(browser, page, width):
    seen = look(browser, page, width)
    assert seen["images"] == seen["shown"] == 6
    assert seen["sizes"] == [3]  # pixels of a picture are whole squares of the page
    assert seen["name"] == 0  # names stay where they are while the pictures are scrolled
    assert seen["scrolled"] > 0
    assert seen["wide"] <= 0
    assert seen["text"].index("Verdict") < seen["text"].index("Scaling")
    assert "Does a 5x5 depthwise convolution help?" in seen["text"]
    assert "conv_kernel 5 against 0" not in seen["text"]  # folded


def test_the_page_has_no_errors_and_asks_for_nothing(browser, page):
    look(browser, page, 1400)
    assert browser.ask("se/log", type="browser") == []
    asked = browser.ask(
        "execute/sync", script="return performance.getEntriesByType('resource').map(r => r.name)", args=[]
    )
    assert [name for name in asked if not name.startswith("data:")] == []


def test_it_can_be_printed(browser, page):
    look(browser, page, 1400)
    pdf = base64.b64decode(browser.ask("print", background=True))
    assert pdf.startswith(b"%PDF-")
    assert len(pdf) > 100_000


def test_a_slider_shows_the_designs_side_by_side_at_a_step_and_listens_to_keys(browser, page):
    look(browser, page, 1400)
    seen = browser.ask("execute/sync", script=SLIDER, args=[])
    assert seen["columns"] == ["", "division", "division + conv", "subtraction", "subtraction + conv"]
    assert (seen["steps"], seen["pictures"], seen["said"], seen["slider"]) == (["step 100"], [16], "step 100", True)
    browser.ask("execute/sync", script=FOCUS, args=[])
    for said in ("step 50", "step 10", "step 10"):
        keys = [{"type": kind, "value": LEFT} for kind in ("keyDown", "keyUp")]
        browser.ask("actions", actions=[{"type": "key", "id": "keys", "actions": keys}])
        seen = browser.ask("execute/sync", script=SLIDER, args=[])
        assert (seen["steps"], seen["said"], seen["spoken"]) == ([said], said, said)


def test_on_paper_and_without_script_all_steps_are_there(browser, page):
    look(browser, page, 1400)
    for media, steps in (("print", 3), ("", 1)):
        browser.ask("goog/cdp/execute", cmd="Emulation.setEmulatedMedia", params={"media": media})
        seen = browser.ask("execute/sync", script=SLIDER, args=[])
        assert (len(seen["steps"]), seen["slider"]) == (steps, not media)
    browser.ask("goog/cdp/execute", cmd="Emulation.setScriptExecutionDisabled", params={"value": True})
    browser.ask("url", url=page)
    browser.ask("goog/cdp/execute", cmd="Emulation.setScriptExecutionDisabled", params={"value": False})
    seen = browser.ask("execute/sync", script=SLIDER, args=[])
    assert (seen["steps"], seen["slider"]) == (["step 10", "step 50", "step 100"], False)


def test_lab_report_prints_a_pdf_of_several_pages(chromium, study, tmp_path, monkeypatch):
    made = study(seeds=[0, 1])
    page = write_report(made.runs, made.stored, tmp_path / "out")
    pdf = print_page(page).read_bytes()
    assert pdf.startswith(b"%PDF-")
    assert len(re.findall(rb"/Type\s*/Page\b", pdf)) > 1
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(LabError, match="--pdf needs a browser on the PATH"):
        print_page(page)
