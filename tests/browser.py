"""A real headless Chromium, which tests steer through chromedriver."""

# ruff: noqa: S310, all addresses are our own on loopback

import json
import socket
import subprocess
import time
from pathlib import Path
from typing import NamedTuple
from urllib.request import Request, urlopen

import pytest

FLAGS = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--window-size=1900,1500"]
FLAGS += ["--disable-background-networking", "--disable-component-update", "--disable-sync"]


class Browser(NamedTuple):
    """A session of chromedriver, which speaks JSON over HTTP."""

    session: str

    def ask(self, path: str, **body):
        return _post(f"{self.session}/{path}", body)

    def text(self) -> str:
        return self.ask("execute/sync", script="return document.body.innerText", args=[])

    def count(self, selector: str) -> int:
        return self.ask("execute/sync", script=f"return document.querySelectorAll({selector!r}).length", args=[])

    def wait_for(self, *texts: str) -> str:
        """The text of the page once it shows all of these."""
        deadline = time.monotonic() + 120
        while time.monotonic() < deadline:
            shown = self.text()
            if all(text in shown for text in texts):
                return shown
            time.sleep(0.2)
        missing = [text for text in texts if text not in shown]
        raise AssertionError(f"the page does not show {missing}, but:\n{shown}")


def _post(url: str, body: dict):
    request = Request(url, data=json.dumps(body).encode(), headers={"Content-Type": "application/json"})
    with urlopen(request, timeout=120) as response:
        return json.load(response)["value"]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def answers(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


@pytest.fixture(scope="session")
def chromium(tmp_path_factory) -> None:
    """Installs the browser where it is missing; the tests are skipped, with the reason, where that cannot be."""
    script = Path(__file__).parent / "services" / "chromium.sh"
    command = ["bash", str(script), str(tmp_path_factory.mktemp("chromium"))]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"pages were NOT looked at: {done.stderr.strip()}")


@pytest.fixture
def browser(chromium, tmp_path):
    port = free_port()
    driver = subprocess.Popen(["chromedriver", f"--port={port}"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    session = None
    try:
        while not answers(port):
            assert driver.poll() is None
            time.sleep(0.1)
        arguments = [*FLAGS, f"--user-data-dir={tmp_path}"]
        wanted = {"capabilities": {"alwaysMatch": {"goog:chromeOptions": {"args": arguments}}}}
        sessions = f"http://127.0.0.1:{port}/session"
        session = f"{sessions}/{_post(sessions, wanted)['sessionId']}"
        yield Browser(session)
    finally:
        if session is not None:
            urlopen(Request(session, method="DELETE"), timeout=30).close()
        driver.terminate()
        driver.wait(30)
