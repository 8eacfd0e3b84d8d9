"""`lab demo`: the page of a trained cell, served on loopback unless --host says otherwise."""

import os
import signal
import tempfile
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from lina_lab.cli.options import HOST, RUNS, CellName, Host, Open, Port, Runs
from lina_lab.errors import LabError

LAUNCH: dict[str, Any] = {
    # Said, because the environment could otherwise say another thing, and open a way out of this machine.
    "share": False,
    "ssr_mode": False,
    "mcp_server": False,
    "pwa": False,
    "prevent_thread_lock": True,
    "quiet": True,
    "inbrowser": False,
    "footer_links": [],
}


def demo(
    cell: CellName,
    port: Port = 0,
    host: Host = HOST,
    browser: Open = True,
    runs: Runs = RUNS,
) -> None:
    """Start a page where a trained cell draws, step by step.

    Example: lab demo 3f2a90 --port 7860
    """
    serve_demo(runs, cell, port, host, browser=browser)


def serve_demo(
    runs: Path, name: str, port: int, host: str = HOST, *, browser: bool, echo: Callable[[str], None] = print
) -> None:
    """Serve the page of a cell until Ctrl-C, on a free port if `port` is 0.

    Raises:
        LabError: if there is no such trained cell, gradio is not installed, or the port is taken.
    """
    with tempfile.TemporaryDirectory() as pictures:
        _settle_gradio(pictures, host)
        try:
            from lina_lab.demo import LOOK, Painter, demo_page
        except ImportError as error:
            raise LabError("lab demo needs gradio: pip install 'lina-lab[demo]'") from error
        from lina_lab.checkpoints.ema_weights import load_trained
        from lina_lab.cli.ui_server import free_port, open_page, page_address
        from lina_lab.data.autoencoder import decoder
        from lina_lab.ledger.cells import find_cell
        from lina_lab.model.execution import device

        folder = find_cell(runs, name)
        experiment, model = load_trained(folder)
        port = free_port(host, port)
        for sign in (signal.SIGINT, signal.SIGTERM):
            signal.signal(sign, signal.default_int_handler)
        painter = Painter(model.to(device()), decoder(experiment.data, device()))
        page = demo_page(folder.name, experiment, painter)
        try:
            page.launch(server_name=host, server_port=port, **LAUNCH, **LOOK)
            address = page_address(host, port)
            echo(f"{folder.name}  {address}")
            if browser:
                open_page(address)
            echo("Ctrl-C stops the server.")
            threading.Event().wait()
        except KeyboardInterrupt:
            return
        finally:
            painter.close()
            page.close(verbose=False)


def _settle_gradio(pictures: str, host: str) -> None:
    """Before gradio is imported: it reports nothing to anyone, keeps pictures here, reaches itself by no proxy."""
    os.environ |= {"GRADIO_ANALYTICS_ENABLED": "False", "GRADIO_TEMP_DIR": pictures}
    for name in ("no_proxy", "NO_PROXY"):
        os.environ[name] = ",".join(filter(None, (os.environ.get(name), HOST, host)))
