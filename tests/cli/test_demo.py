"""`lab demo` as a user types it: what it refuses; that it stays on this machine, and how it ends."""

import socket
import subprocess
import sys
from urllib.request import urlopen

import pytest

from lina_lab.cli.main import main
from tests.browser import answers
from tests.cells import DIGITS, served, trained_cell


@pytest.fixture(scope="module")
def cell(tmp_path_factory):
    return trained_cell(tmp_path_factory.mktemp("runs"), DIGITS)


@pytest.fixture
def lab_demo(capsys, monkeypatch, tmp_path):
    """`lab_demo(*words)`: exit code, stdout, stderr."""
    for name in ("GRADIO_ANALYTICS_ENABLED", "GRADIO_TEMP_DIR", "no_proxy", "NO_PROXY"):
        monkeypatch.setenv(name, "")  # the command sets them; afterwards they are as they were

    def run(*words: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["lab", "demo", *map(str, words), "--no-open", "--runs", str(tmp_path)])
        with pytest.raises(SystemExit) as exit_:
            main()
        printed = capsys.readouterr()
        return int(exit_.value.code or 0), printed.out, printed.err

    return run


@pytest.mark.slow
def test_a_cell_that_is_not_there_or_not_trained_is_named(lab_demo, cell, tmp_path):
    assert lab_demo("nowhere") == (2, "", f"error: nowhere: no such cell in {tmp_path}\n")
    untrained = tmp_path / cell.name
    untrained.mkdir()
    (untrained / "config.yaml").write_bytes((cell / "config.yaml").read_bytes())
    code, out, err = lab_demo(untrained)
    assert (code, out) == (2, "")
    assert "the cell is not trained yet" in err


@pytest.mark.slow
def test_without_gradio_it_says_how_to_get_it(lab_demo, cell, monkeypatch):
    monkeypatch.delitem(sys.modules, "lina_lab.demo", raising=False)
    monkeypatch.setitem(sys.modules, "gradio", None)
    assert lab_demo(cell) == (2, "", "error: lab demo needs gradio: pip install 'lina-lab[demo]'\n")


@pytest.mark.slow
def test_a_port_that_is_taken_or_none_is_named(lab_demo, cell):
    with socket.socket() as busy:
        busy.bind(("127.0.0.1", 0))
        busy.listen()
        port = busy.getsockname()[1]
        code, out, err = lab_demo(cell, "--port", port)
    assert (code, out) == (2, "")
    assert f"port {port} on 127.0.0.1 must be free" in err
    assert "--port" in err
    assert lab_demo(cell, "--port", "65536")[0] == 2


@pytest.mark.slow
def test_it_serves_on_loopback_alone_and_asks_nobody(cell, tmp_path):
    """A proxy would see every request that the server makes."""
    with socket.create_server(("127.0.0.1", 0)) as proxy:
        address = f"http://127.0.0.1:{proxy.getsockname()[1]}"
        proxies = dict.fromkeys(("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"), address)
        # What gradio would take from the environment.
        lures = {"GRADIO_SHARE": "True", "GRADIO_SERVER_NAME": "0.0.0.0", "GRADIO_ANALYTICS_ENABLED": "True"}  # noqa: S104
        with served(cell, tmp_path, **proxies, **lures) as page:
            port = page.removeprefix("http://127.0.0.1:")
            with urlopen(page, timeout=30) as answer:  # noqa: S310, our own
                assert b"autoregressive steps" in answer.read()
            listening = subprocess.run(["ss", "-Htln", f"sport = :{port}"], capture_output=True, text=True, check=True)
            assert listening.stdout.count("LISTEN") == listening.stdout.count(f"127.0.0.1:{port}") == 1
        assert not answers(int(port))
        proxy.setblocking(False)
        with pytest.raises(BlockingIOError):
            proxy.accept()
