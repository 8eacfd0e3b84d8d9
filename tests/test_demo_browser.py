"""`lab demo` in a real browser: what a visitor types, sees, and is told."""

import io
import json
import subprocess
import sys
import time
from urllib.request import urlopen

import numpy as np
import pytest
from PIL import Image

from lina_lab.demo import SHOWN_SIDE
from lina_lab.sheets import GAP
from tests.cells import DIGITS, SHAPES, served, trained_cell

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("demo_browser")]  # one server serves all

WATCH = """
window.seen = [];
const look = () => {
  const picture = document.querySelector('#picture img');
  const now = [document.querySelector('#said p').innerText, picture ? picture.src : ''];
  if (String(now) !== String(window.seen.at(-1))) window.seen.push(now);
};
new MutationObserver(look).observe(document.body, {subtree: true, childList: true, attributes: true});
"""
PRESS = "[...document.querySelectorAll('button')].find(button => button.innerText === arguments[0]).click()"
STOP_AT_A_STEP = """
const stop = [...document.querySelectorAll('button')].find(button => button.innerText === 'stop');
const observer = new MutationObserver(() => {
  if (!/^step [1-5] /.test(document.querySelector('#said p').innerText)) return;
  observer.disconnect();
  stop.click();
});
observer.observe(document.querySelector('#said'), {subtree: true, childList: true, characterData: true});
"""
ASKED = "return performance.getEntriesByType('resource').map(r => r.name).filter(n => !n.startsWith(location.origin))"
GREY = (128, 128, 128)


@pytest.fixture(scope="module")
def digits(tmp_path_factory):
    with served(trained_cell(tmp_path_factory.mktemp("runs"), DIGITS), tmp_path_factory.mktemp("tmp")) as address:
        yield address


@pytest.fixture(scope="module")
def shapes(tmp_path_factory):
    cell = trained_cell(tmp_path_factory.mktemp("runs"), SHAPES)
    with served(cell, tmp_path_factory.mktemp("tmp")) as address:
        yield address, cell


def visit(browser, address):
    browser.ask("url", url=address)
    browser.wait_for("draw shows every step")
    run(browser, WATCH)


def run(browser, script, *values):
    return browser.ask("execute/sync", script=script, args=list(values))


def enter(browser, selector, text):
    (element,) = browser.ask("element", using="css selector", value=selector).values()
    browser.ask(f"element/{element}/clear")
    browser.ask(f"element/{element}/value", text=text)


def enter_slider(browser, label, number):
    enter(browser, f"input[type=number][aria-label*='{label}']", f"{number}\ue004")


def pictures(browser):
    """What was said with each picture that was seen, and the picture (H, W, 3)."""
    for said, source in run(browser, "return window.seen"):
        if source:
            with urlopen(source, timeout=30) as file:  # noqa: S310, our own
                yield said, np.asarray(Image.open(io.BytesIO(file.read())).convert("RGB"))


def check_quiet(browser):
    """Nothing went wrong on the page, and nothing was asked of another machine."""
    assert browser.ask("se/log", type="browser") == []
    assert run(browser, ASKED) == []
    assert run(browser, "return performance.getEntriesByType('resource').length") > 10


def test_a_class_is_chosen_and_its_images_fill_in_step_by_step(browser, digits):
    visit(browser, digits)
    enter(browser, "#condition input", "7\ue007")
    enter_slider(browser, "flow steps", 100)
    run(browser, PRESS, "draw")
    browser.wait_for("done: step 7 of 7")
    seen = list(pictures(browser))
    grey = [int((picture == GREY).all(-1).sum()) for _, picture in seen]
    steps = [int(said.removeprefix("done: ").split()[1]) for said, _ in seen if "step" in said and "of" in said]
    assert steps == sorted(steps)
    assert len(set(grey)) >= 3
    assert grey == sorted(grey, reverse=True)
    assert grey[0] > seen[-1][1][..., 0].size / 2
    assert grey[-1] < grey[0] / 10
    check_quiet(browser)


def test_a_prompt_gives_the_image_of_lab_sample(browser, shapes, tmp_path):
    address, cell = shapes
    prompt = "a red circle above a blue ring"
    visit(browser, address)
    enter(browser, "#condition textarea", prompt)
    enter(browser, "#seed input", "5")
    enter(browser, "#guidance input", "1.25")
    enter_slider(browser, "images", 3)
    run(browser, PRESS, "draw")
    browser.wait_for("done: step 7 of 7")
    *_, (_, picture) = pictures(browser)
    words = ["--prompt", prompt, "--seed", "5", "--guidance", "1.25", "--each", "3", "--out", str(tmp_path / "a.png")]
    subprocess.run([sys.executable, "-m", "lina_lab.cli.main", "sample", str(cell), *words], check=True)
    with np.load(tmp_path / "a.npz") as file:
        images = file["arr_0"]
    factor, step = SHOWN_SIDE // 16, SHOWN_SIDE + GAP
    assert picture.shape == (step + GAP, 3 * step + GAP, 3)
    shown = np.stack([picture[GAP:, GAP + i * step :][:SHOWN_SIDE:factor, :SHOWN_SIDE:factor] for i in range(3)])
    np.testing.assert_array_equal(shown, images)
    check_quiet(browser)


def test_a_wrong_prompt_is_answered_and_an_empty_one_is_said_to_be_none(browser, shapes):
    visit(browser, shapes[0])
    enter(browser, "#condition textarea", "a rde circle <b>x\ue007")
    browser.wait_for("words outside the vocabulary of 30 words: rde (did you mean red?), b, x")
    assert browser.count("#picture img") == 0
    enter(browser, "#condition textarea", "red " * 13 + "\ue007")
    browser.wait_for("a prompt must have at most 12 words, not 13")
    enter(browser, "#condition textarea", " ")
    run(browser, PRESS, "draw")
    browser.wait_for("done: step 7 of 7; no prompt")
    enter(browser, "#seed input", "-1")
    run(browser, PRESS, "draw")
    browser.wait_for("seed must be a whole number from 0")
    check_quiet(browser)


def test_a_drawing_can_be_stopped_and_another_begun(browser, shapes):
    visit(browser, shapes[0])
    enter_slider(browser, "autoregressive steps", 16)
    enter_slider(browser, "flow steps", 100)
    enter_slider(browser, "images", 16)
    run(browser, STOP_AT_A_STEP)
    run(browser, PRESS, "draw")
    browser.wait_for("stopped: step")
    *_, (_, stopped) = pictures(browser)
    time.sleep(0.5)
    *_, (said, picture) = pictures(browser)
    assert said.startswith("stopped: step")
    np.testing.assert_array_equal(picture, stopped)
    assert (picture == GREY).all(-1).any()
    enter_slider(browser, "flow steps", 1)
    run(browser, PRESS, "draw")
    browser.wait_for("done: step")
    check_quiet(browser)


def test_a_second_visitor_waits_until_the_first_has_gone_and_ctrl_c_ends_a_drawing(browser, tmp_path):
    (tmp_path / "tmp").mkdir()
    slow = DIGITS | {"sampling": {"autoregressive_steps": 16, "flow_steps": 2000}}
    with served(trained_cell(tmp_path / "runs", slow), tmp_path / "tmp") as address:
        visit(browser, address)
        run(browser, PRESS, "draw")
        browser.wait_for("step", "of 13")
        with urlopen(f"{browser.session}/window", timeout=30) as answer:  # noqa: S310, our own
            first = json.load(answer)["value"]
        second = browser.ask("window/new", type="tab")["handle"]
        browser.ask("window", handle=second)
        visit(browser, address)
        enter_slider(browser, "flow steps", 3)
        run(browser, PRESS, "draw")
        browser.wait_for("waiting for its turn")
        browser.ask("window", handle=first)
        browser.ask("url", url="about:blank")
        browser.ask("window", handle=second)
        browser.wait_for("done: step 13 of 13")
        enter_slider(browser, "flow steps", 2000)
        run(browser, PRESS, "draw")
        browser.wait_for("step 1 of 13")
