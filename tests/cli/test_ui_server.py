"""Who is answered by what `lab ui` serves: MLflow's own rules are the judge, and a real server."""

# ruff: noqa: S310, all addresses are our own on loopback

import json
import shutil
import socket
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import pytest

from lina_lab.cli import ui_server
from lina_lab.cli.ui_server import free_port, open_page, page_address, protection, server
from lina_lab.errors import LabError

HERE = ["localhost", "localhost:5000", "localhost:8888", "127.0.0.1:5000", "[::1]:5000", "[::1]"]
FOREIGN = [
    "10.evil.example",
    "192.168.evil.example:5000",
    "evil.example:5000",
    "node7.evil.example:5000",
    "10.0.0.5",
    "",
]


def allowed(host, port=5000):
    """Hosts and origins that the options name."""
    words = protection(host, port)
    found = dict(zip(words[::2], words[1::2], strict=True))
    return found["--allowed-hosts"].split(","), found.get("--cors-allowed-origins", "").split(",")


@pytest.mark.slow
@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "::1", "node7", "192.168.1.5", "fd00::7", "0.0.0.0"])  # noqa: S104
def test_mlflow_answers_the_names_of_a_host_and_no_other(host, monkeypatch):
    from mlflow.server.security_utils import is_allowed_host_header, should_block_cors_request

    monkeypatch.setattr(socket, "gethostname", lambda: "node7")
    monkeypatch.setattr(socket, "getfqdn", lambda: "node7.our-lab.example")
    hosts, origins = allowed(host)
    own = page_address(host, 5000)
    assert all(is_allowed_host_header(hosts, name) for name in [*HERE, own.removeprefix("http://")])
    assert not any(is_allowed_host_header(hosts, name) for name in FOREIGN)
    assert not should_block_cors_request(own, "POST", origins)
    for other in ("http://evil.example", "http://node7.evil.example:5000", "http://10.evil.example:5000"):
        assert should_block_cors_request(other, "POST", origins)


def test_every_address_of_a_machine_is_shown_by_its_name(monkeypatch):
    monkeypatch.setattr(socket, "gethostname", lambda: "node7")
    assert page_address("0.0.0.0", 80) == "http://node7:80"  # noqa: S104
    assert page_address("::1", 5000) == "http://[::1]:5000"


def test_a_port_is_the_one_that_was_asked_for_or_a_free_one():
    port = free_port("127.0.0.1", 0)
    assert port > 0
    assert free_port("127.0.0.1", port) == port


@pytest.mark.parametrize("host", ["192.0.2.1", "no-such-host.invalid"])
def test_a_host_that_is_not_of_this_machine_is_named(host):
    with pytest.raises(LabError, match=f"--host {host}: must be a name or an address of this machine"):
        free_port(host, 0)


@pytest.mark.parametrize("screen", ["", ":0"])
def test_a_page_is_opened_where_there_is_a_screen(screen, monkeypatch):
    opened = []
    monkeypatch.setattr(ui_server.webbrowser, "open", opened.append)
    monkeypatch.setattr(ui_server.sys, "platform", "linux")
    for name in ui_server.SCREENS:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("DISPLAY", screen)
    open_page("http://127.0.0.1:1")
    assert opened == ["http://127.0.0.1:1"] * bool(screen)


@pytest.mark.slow
def test_a_page_of_another_address_searches_runs_and_a_foreign_page_does_not(tmp_path, empty_store, monkeypatch):
    """127.0.0.2 is an address that MLflow by itself does not know as this machine's."""
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.setenv("MLFLOW_SERVER_CORS_ALLOWED_ORIGINS", "http://evil.example")  # of another server of the user's
    shutil.copy(empty_store, tmp_path / "mlflow.db")
    with server(tmp_path, 0, "127.0.0.2") as (address, _):
        asked = address + "/ajax-api/2.0/mlflow/experiments/search"

        def status(**headers):
            body = json.dumps({"max_results": 1}).encode()
            request = Request(asked, body, {"Content-Type": "application/json"} | headers)
            try:
                with urlopen(request, timeout=60) as answer:
                    return answer.status
            except HTTPError as error:
                return error.code

        assert status(Origin=address) == 200
        assert status(Origin="http://evil.example") == 403
        assert status(Host="10.evil.example") == 403
