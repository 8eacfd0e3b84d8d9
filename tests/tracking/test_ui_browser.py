"""`lab ui` in a real browser: what a user sees who opens the printed links, without a click."""

import io
import signal
import socket
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image

from lina_lab.cli.ui_server import server
from lina_lab.errors import LabError
from lina_lab.files import write_atomic
from lina_lab.ledger.cells import create_cell
from lina_lab.ledger.metrics import append_metrics
from lina_lab.ledger.plan import store_plan
from lina_lab.ledger.result import write_result
from lina_lab.provenance import Provenance
from lina_lab.sweep.planning import load_sweep
from tests.browser import answers, free_port
from tests.study import fake_result

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("ui_browser")]  # one server serves all

SWEEP = f"""
name: two-designs
question: Does a convolution help at every size?
experiment: {Path(__file__).parents[2] / "experiments" / "digits.yaml"}
axes:
  model.attention.conv_kernel: [0, 5]
  model.size: [nano, micro]
seeds: [0, 1]
"""
LABELS = {"division, nano", "division, micro", "division + conv, nano", "division + conv, micro"}
SERVE = """
import sys
from pathlib import Path
from lina_lab.cli.ui import serve_ui
from lina_lab.ledger.plan import load_plan
runs = Path(sys.argv[1])
serve_ui(runs, load_plan(runs, "two-designs"), int(sys.argv[2]), echo=lambda line: print(line, flush=True))
"""


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """The ledger of a finished study: FID is 30 + 10 for each cell before."""
    folder = tmp_path_factory.mktemp("study")
    (folder / "sweep.yaml").write_text(SWEEP)
    plan, experiments, *_ = load_sweep(folder / "sweep.yaml")
    store_plan(folder / "runs", plan, Provenance())
    for index, cell in enumerate(plan.cells):
        cell_folder = create_cell(folder / "runs", experiments[cell.key])
        for step in (10, 20, 30):
            append_metrics(cell_folder, step, {"train/loss": 3 / step})
        append_metrics(cell_folder, 30, {"eval/fid/digits-cnn": 30.0 + 10 * index})
        sheet = io.BytesIO()
        Image.new("RGB", (60, 40), (40, 25 * index, 90)).save(sheet, "png")
        write_atomic(cell_folder / "samples" / "step-0000030.png", sheet.getvalue())
        result = fake_result(cell.key, cell.seed, 1000 * (1 + index // 2), 0.0)
        write_result(cell_folder, replace(result, steps=30, metrics={}, seconds={}))
    return folder / "runs"


@pytest.fixture(scope="module")
def links(runs):
    """What `lab ui` prints, while it runs; then Ctrl-C."""
    port = free_port()
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        command = [sys.executable, "-c", SERVE, str(runs), str(port)]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        found = {}
        for line in process.stdout:
            name, _, link = line.strip().partition(" ")
            found[name] = link.strip()
            if name == "Ctrl-C":
                break
        assert answers(port), process.stderr.read()
        yield found
    finally:
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=120)
    assert (process.returncode, errors) == (0, "")
    assert not answers(port)


def test_the_charts_show_every_design_once_with_its_seeds_folded(links, browser):
    browser.ask("url", url=links["charts"])
    shown = browser.wait_for("Quality", "eval/fid/digits-cnn", *(f"Group: {label}" for label in LABELS))
    assert "Model training" in shown
    assert "Group by: lab.line" in shown
    assert all(shown.count(f"Group: {label}\n2") == 1 for label in LABELS)
    browser.wait_for("35.00", "55.00", "75.00", "95.00")
    assert browser.count(".js-plotly-plot .bars .point") >= 4


def test_the_table_shows_the_mean_fid_of_every_design(links, browser):
    browser.ask("url", url=links["table"])
    shown = browser.wait_for("eval/fid/digits-cnn", *LABELS, *(f"{fid} (average)" for fid in (35, 55, 75, 95)))
    assert "sweep two-designs" not in shown


def test_the_samples_show_the_sheets_of_all_designs_on_one_picture(links, browser):
    browser.ask("url", url=links["samples"])
    browser.wait_for("samples.png")
    deadline = time.monotonic() + 60
    while not browser.count("img[src^='blob:']") + browser.count("img[src*='get-artifact']"):
        assert time.monotonic() < deadline, "no picture is shown"
        time.sleep(0.2)


def test_the_run_of_the_sweep_shows_its_note(links, browser):
    browser.ask("url", url=links["sweep"])
    browser.wait_for("Does a convolution help at every size?", "8 done", "lab report two-designs")


def test_a_busy_port_is_named_with_the_option_that_helps(runs):
    with socket.socket() as busy:
        busy.bind(("127.0.0.1", 0))
        busy.listen()
        port = busy.getsockname()[1]
        with pytest.raises(LabError, match=rf"port {port} .*--port"), server(runs, port):
            pass
