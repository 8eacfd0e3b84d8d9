"""The server answers what it was made to answer, to whoever asks by its name, and nothing else."""

import http.client
import socket
import threading
from contextlib import contextmanager

import pytest

from lina_lab.errors import LabError
from lina_lab.report.serve import Answer, PageServer

PAGE = Answer("text/html; charset=utf-8", "<p>é</p>".encode(), "default-src 'none'; img-src 'self'")


@contextmanager
def serving(answers, host="127.0.0.1"):
    server = PageServer(host, 0, answers)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join(5)


@pytest.fixture
def server():
    asked = []

    def answer(path):
        asked.append(path)
        return PAGE if path == "/" else None

    with serving(answer) as made:
        made.asked = asked
        yield made


def ask(server, path="/", method="GET", **headers):
    connection = http.client.HTTPConnection(*server.server_address[:2], timeout=10)
    try:
        connection.request(method, path, headers={name.replace("_", "-"): value for name, value in headers.items()})
        response = connection.getresponse()
        return response.status, dict(response.getheaders()), response.read()
    finally:
        connection.close()


def test_a_page_with_its_headers(server):
    code, headers, body = ask(server)
    assert (code, body, headers["Content-Type"]) == (200, PAGE.body, PAGE.kind)
    assert headers["Content-Security-Policy"] == PAGE.policy
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert "Access-Control-Allow-Origin" not in headers
    assert server.address == f"http://127.0.0.1:{server.server_address[1]}"


def test_head_has_the_length_and_no_body(server):
    code, headers, body = ask(server, method="HEAD")
    assert (code, body, headers["Content-Length"]) == (200, b"", str(len(PAGE.body)))


def test_what_has_not_changed_is_not_sent_again(server):
    tag = ask(server)[1]["ETag"]
    assert ask(server, If_None_Match=tag)[::2] == (304, b"")
    assert ask(server, If_None_Match='"other"')[0] == 200


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "CONNECT", "LAB"])
def test_nothing_but_get_and_head(server, method):
    assert ask(server, method=method)[0] == 501
    assert server.asked == []


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:80", "127.0.0.1.evil.example", "localhost.evil.example", "", "[", "a b", "."]
)
def test_another_name_is_refused(server, host):
    """DNS rebinding: a page of evil.example asks us, after its name was made to mean 127.0.0.1."""
    code, _, body = ask(server, Host=host)
    assert code == 403
    assert PAGE.body not in body
    assert server.asked == []


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "LOCALHOST:8000", "127.0.0.1:1", "[::1]:80", "10.1.2.3"])
def test_a_number_and_our_own_names_are_not(server, host):
    assert ask(server, Host=host)[0] == 200


def test_the_name_that_it_was_given_is_ours():
    with serving(lambda path: PAGE, "localhost") as server:
        assert ask(server, Host=f"{socket.gethostname()}:80")[0] == 200
        assert server.is_ours("localhost")


@pytest.mark.parametrize("path", ["/x", "/%2e%2e/etc/passwd", "/..%2f", "/%ff", "/?a=/"])
def test_paths_are_decoded_once_and_have_no_query(server, path):
    code, _, _ = ask(server, path)
    assert code == (200 if path == "/?a=/" else 404)
    assert "%2e" not in server.asked[0]


@pytest.mark.parametrize(
    "said", [b"\x00\x01\r\n\r\n", b"GET\r\n\r\n", b"GET / HTTP/9.9\r\n\r\n", b"GET /" + b"a" * 70_000]
)
def test_what_is_no_request_ends_nothing(server, said, capfd):
    with socket.create_connection(server.server_address[:2], timeout=10) as raw:
        raw.sendall(said)
        raw.shutdown(socket.SHUT_WR)
        raw.settimeout(10)
        while raw.recv(1000):
            pass
    assert ask(server)[0] == 200
    assert "Traceback" not in capfd.readouterr().err


def test_a_reader_who_goes_is_no_error(capfd):
    large = Answer("text/plain", b"x" * 20_000_000)
    with serving(lambda path: large) as server:
        raw = socket.create_connection(server.server_address[:2], timeout=10)
        raw.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
        raw.recv(10)
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")  # reset, not a goodbye
        raw.close()
        assert ask(server)[2] == large.body
    assert "Traceback" not in capfd.readouterr().err


def test_a_port_that_is_taken_is_named(server):
    with pytest.raises(LabError, match=r"port \d+ on 127.0.0.1: .*; choose another with --port"):
        PageServer("127.0.0.1", server.server_address[1], lambda path: None)
    with pytest.raises(LabError, match=r"on no\.such\.invalid"):
        PageServer("no.such.invalid", 0, lambda path: None)


def test_an_address_of_the_other_kind():
    try:
        with serving(lambda path: PAGE, "::1") as server:
            assert server.address == f"http://[::1]:{server.server_address[1]}"
            assert ask(server)[0] == 200
    except LabError as error:
        pytest.skip(f"no IPv6 here: {error}")
