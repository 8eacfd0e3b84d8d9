"""`lab demo`: the page of a trained cell, served on loopback."""

import os
import signal
import tempfile
import threading
from collections.abc import Callable
from pathlib import Path

from lina_lab.cli.ui import free_port
from lina_lab.errors import LabError
from lina_lab.ledger import find_cell

HOST = "127.0.0.1"
# Nothing is reported to anyone, and a proxy is no way to this machine.
SETTINGS = {"GRADIO_ANALYTICS_ENABLED": "False", "NO_PROXY": HOST, "no_proxy": HOST}


def serve_demo(runs: Path, name: str, port: int, *, browser: bool, echo: Callable[[str], None] = print) -> None:
    """Serve the page of a cell until Ctrl-C, on a free port if `port` is 0.

    Raises:
        LabError: if there is no such trained cell, gradio is not installed, or the port is taken.
    """
    from lina_lab.training.trained import load_trained

    folder = find_cell(runs, name)
    os.environ |= SETTINGS  # gradio reads them when it is imported, and later
    try:
        from lina_lab.demo import LOOK, Painter, demo_page
    except ImportError as error:
        raise LabError("lab demo needs gradio: pip install 'lina-lab[demo]'") from error
    experiment, model = load_trained(folder)
    port = free_port(HOST, port)
    for sign in (signal.SIGINT, signal.SIGTERM):
        signal.signal(sign, signal.default_int_handler)
    with tempfile.TemporaryDirectory() as pictures, Painter(model) as painter:
        os.environ["GRADIO_TEMP_DIR"] = pictures
        page = demo_page(folder.name, experiment, painter)
        try:
            # Every setting that the environment could change to a way out of this machine is given.
            page.launch(
                server_name=HOST,
                server_port=port,
                share=False,
                ssr_mode=False,
                mcp_server=False,
                pwa=False,
                inbrowser=browser,
                prevent_thread_lock=True,
                quiet=True,
                footer_links=[],
                **LOOK,
            )
            echo(f"{folder.name}  http://{HOST}:{port}")
            echo("Ctrl-C stops the server.")
            threading.Event().wait()
        except KeyboardInterrupt:
            return
        finally:
            page.close(verbose=False)
