"""A small server for pages that are made here: read only, of addresses that the pages name, for whoever asks by them.

It answers GET and HEAD alone. A request whose Host is a name that this server was not given is refused, so that no page
of somebody else's, whose name was made to mean this machine (DNS rebinding), reads what is served.
"""

import hashlib
import ipaddress
import logging
import socket
import socketserver
import sys
from collections.abc import Callable
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, NamedTuple
from urllib.parse import unquote, urlsplit

from lina_lab.errors import LabError

logger = logging.getLogger(__name__)

HEADERS = {
    "Cache-Control": "no-cache",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
}
PATIENCE = 30.0
"""Seconds that a connection may say nothing."""


class Answer(NamedTuple):
    kind: str
    """The content type."""
    body: bytes
    policy: str = "default-src 'none'"
    """Its Content-Security-Policy."""


Answers = Callable[[str], Answer | None]
"""From the path of an address, without its query, to what is there; None: nothing."""


class PageServer(ThreadingHTTPServer):
    """Listens; `serve_forever` answers.

    Raises:
        LabError: if the port is taken, or there is no such host.
    """

    def __init__(self, host: str, port: int, answers: Answers) -> None:
        self.host, self.answers = host, answers
        try:
            self.address_family, _, _, _, place = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
            super().__init__((str(place[0]), port), Handler)
        except OSError as error:
            raise LabError(f"port {port} on {host}: {error.strerror}; choose another with --port or --host") from error

    def server_bind(self) -> None:
        socketserver.TCPServer.server_bind(self)  # without asking the network for our own name

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A reader who has gone is no error."""
        if isinstance(sys.exception(), ConnectionError | TimeoutError):
            logger.debug("a reader has gone")
        else:
            super().handle_error(request, client_address)

    @property
    def address(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"http://{host}:{self.server_address[1]}"

    def is_ours(self, host: str) -> bool:
        """Whether a Host header names this server: by a number, which no other name server decides, or by its name."""
        name = urlsplit(f"//{host}").hostname or ""
        try:
            ipaddress.ip_address(name)
        except ValueError:
            return name in {"localhost", self.host.lower(), socket.gethostname().lower()}
        return True


class Handler(BaseHTTPRequestHandler):
    server: PageServer
    server_version, sys_version = "lab", ""
    protocol_version = "HTTP/1.1"
    timeout = PATIENCE

    def do_GET(self) -> None:
        try:
            ours = self.server.is_ours(self.headers.get("Host", ""))
        except ValueError:  # no host at all, such as "["
            ours = False
        if not ours:
            self.send_error(HTTPStatus.FORBIDDEN, explain="Not known by that name: use its number, or --host NAME")
            return
        answer = self.server.answers(unquote(urlsplit(self.path).path, errors="replace"))
        if answer is None:
            self.send_error(HTTPStatus.NOT_FOUND)
            return
        tag = f'"{hashlib.sha256(answer.body).hexdigest()[:32]}"'
        known = self.headers.get("If-None-Match") == tag
        self.send_response(HTTPStatus.NOT_MODIFIED if known else HTTPStatus.OK)
        self.send_header("ETag", tag)
        for name, value in {**HEADERS, "Content-Security-Policy": answer.policy}.items():
            self.send_header(name, value)
        if not known:
            self.send_header("Content-Type", answer.kind)
            self.send_header("Content-Length", str(len(answer.body)))
        self.end_headers()
        if not known and self.command != "HEAD":
            self.wfile.write(answer.body)

    do_HEAD = do_GET  # noqa: N815, the name it is asked by

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002, its name there
        logger.debug(format, *args)
