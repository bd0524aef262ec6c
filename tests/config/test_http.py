"""The outbound door against real servers that misbehave on real sockets."""

import gzip
import os
import shutil
import socket
import ssl
import struct
import subprocess
import threading
import time
import tracemalloc
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pytest_httpserver import HTTPServer
from werkzeug import Request
from werkzeug import Response as Answer

from config import http
from config.http import Client, HttpError, PrivateAddressError, Response, connections, excerpt, request
from config.http.connections import is_public
from tests.installation import eventually

CLOUDFLARE = "<!DOCTYPE html><html><head><title>Just a moment...</title></head><body>Checking…</body></html>"


class RawServer:
    """Accepts connections and lets `behave` do with each what no HTTP server does. Counts them in `calls`."""

    def __init__(self, behave: Callable[[socket.socket, int], None]) -> None:
        self.behave, self.calls = behave, 0
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.stopped = threading.Event()
        threading.Thread(target=self.accept, daemon=True).start()

    @property
    def host(self) -> str:
        return f"127.0.0.1:{self.listener.getsockname()[1]}"

    @property
    def url(self) -> str:
        return f"http://{self.host}/"

    def accept(self) -> None:
        while not self.stopped.is_set():
            try:
                connection, _ = self.listener.accept()
            except OSError:
                return
            self.calls += 1
            threading.Thread(target=self.serve, args=(connection, self.calls), daemon=True).start()

    def serve(self, connection: socket.socket, call: int) -> None:
        with connection, suppress(OSError):
            self.behave(connection, call)

    def drip(self, connection: socket.socket, piece: bytes, pause: float = 0.05) -> None:
        while not self.stopped.wait(pause):
            connection.sendall(piece)

    def close(self) -> None:
        self.stopped.set()
        self.listener.close()


Raw = Callable[[Callable[[socket.socket, int], None]], RawServer]


@pytest.fixture
def raw() -> Iterator[Raw]:
    servers: list[RawServer] = []

    def start(behave: Callable[[socket.socket, int], None]) -> RawServer:
        servers.append(RawServer(behave))
        return servers[-1]

    yield start
    for server in servers:
        server.close()


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pauses of milliseconds, for tests that count attempts and not time."""
    monkeypatch.setattr(http, "BACKOFF", 0.005)


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_PROXY", "*")


def fail(method: str, url: str, **options: Any) -> HttpError:
    with pytest.raises(HttpError) as caught:
        request(method, url, **options)
    return caught.value


def host(httpserver: HTTPServer) -> str:
    return f"{httpserver.host}:{httpserver.port}"


# What goes right


def test_an_answer_comes_with_its_status_headers_body_and_address(httpserver: HTTPServer) -> None:
    httpserver.expect_request("/a", query_string="b=c+d").respond_with_data("é", content_type="text/plain", status=201)
    answer = request("GET", httpserver.url_for("/a"), params={"b": "c d"})
    assert (answer.status, answer.body, answer.text) == (201, "é".encode(), "é")
    assert answer.headers["content-TYPE"] == "text/plain"
    assert answer.url == httpserver.url_for("/a?b=c+d")


def test_we_say_who_we_are_unless_told_to_say_something_else(httpserver: HTTPServer) -> None:
    httpserver.expect_request("/").respond_with_handler(lambda asked: Answer(asked.headers["User-Agent"]))
    assert request("GET", httpserver.url_for("/")).text == "Mozilla/5.0 (compatible; CodeNotify/1.0)"
    assert request("GET", httpserver.url_for("/"), headers={"User-Agent": "curl"}).text == "curl"


def test_json_goes_out_and_comes_back(httpserver: HTTPServer) -> None:
    httpserver.expect_request("/", method="POST", json={"q": ["é"]}).respond_with_json({"a": 1})
    assert request("POST", httpserver.url_for("/"), json={"q": ["é"]}).json() == {"a": 1}


def test_a_compressed_answer_is_unpacked(httpserver: HTTPServer) -> None:
    packed = gzip.compress(b"hello")
    httpserver.expect_request("/").respond_with_data(packed, headers={"Content-Encoding": "gzip"})
    assert request("GET", httpserver.url_for("/")).text == "hello"


def test_redirects_are_followed(httpserver: HTTPServer) -> None:
    httpserver.expect_request("/a").respond_with_data(status=302, headers={"Location": "/b"})
    httpserver.expect_request("/b").respond_with_data("there")
    answer = request("GET", httpserver.url_for("/a"))
    assert (answer.text, answer.url) == ("there", httpserver.url_for("/b"))


def test_an_accepted_status_is_an_answer_and_is_not_asked_for_again(httpserver: HTTPServer) -> None:
    httpserver.expect_request("/").respond_with_json({"why": "x"}, status=503)
    answer = request("GET", httpserver.url_for("/"), accept_statuses={503})
    assert (answer.status, answer.json(), len(httpserver.log)) == (503, {"why": "x"}, 1)


def test_the_charset_that_the_answer_names_is_used_and_nonsense_is_not() -> None:
    def text(charset: str, body: bytes) -> str:
        return Response(200, {"Content-Type": f"text/html; charset={charset}"}, body, "http://x/").text

    assert text("iso-8859-1", b"\xe9") == "é"
    assert text('"shift_jis"', "日本".encode("shift_jis")) == "日本"
    for nonsense in ("no-such-thing", "base64", "idna", "undefined", ""):
        assert text(nonsense, "é\xff".encode()) == "éÿ"
    assert text("utf-8", b"a\xffb") == "a\ufffdb"


# What is tried again


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.parametrize("status", [429, 502, 503, 504])
def test_a_passing_failure_is_tried_again(httpserver: HTTPServer, status: int, method: str) -> None:
    httpserver.expect_ordered_request("/").respond_with_data("no", status=status)
    httpserver.expect_ordered_request("/").respond_with_data("no", status=status)
    httpserver.expect_ordered_request("/").respond_with_data("yes")
    assert request(method, httpserver.url_for("/"), json={}).text == "yes"


def test_three_attempts_are_seconds_apart_and_then_it_is_said(httpserver: HTTPServer) -> None:
    times: list[float] = []

    def refuse(_: Request) -> Answer:
        times.append(time.monotonic())
        return Answer("Service Unavailable", status=503)

    httpserver.expect_request("/").respond_with_handler(refuse)
    error = fail("GET", httpserver.url_for("/"))
    assert str(error) == f"{host(httpserver)} answered 503 Service Unavailable (3 attempts)"
    assert (error.retryable, error.status, error.body) == (True, 503, b"Service Unavailable")
    assert 0.5 <= times[1] - times[0] < 2
    assert 1.0 <= times[2] - times[1] < 2.5


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("status", [400, 401, 404, 410, 413, 500, 501])
def test_a_failure_that_will_not_pass_is_not_tried_again(httpserver: HTTPServer, status: int) -> None:
    httpserver.expect_request("/").respond_with_data("no", status=status, headers={"Retry-After": "1"})
    error = fail("GET", httpserver.url_for("/"))
    assert (error.retryable, error.status, len(httpserver.log)) == (False, status, 1)
    assert f"answered {status} " in str(error)


@pytest.mark.usefixtures("impatient")
def test_one_attempt_can_be_all(httpserver: HTTPServer) -> None:
    httpserver.expect_request("/").respond_with_data(status=503)
    assert str(fail("GET", httpserver.url_for("/"), attempts=1)).endswith("503 Service Unavailable")
    assert len(httpserver.log) == 1


def test_retry_after_in_seconds_is_waited_for(httpserver: HTTPServer) -> None:
    httpserver.expect_ordered_request("/").respond_with_data(status=429, headers={"Retry-After": "1"})
    httpserver.expect_ordered_request("/").respond_with_data("yes")
    started = time.monotonic()
    assert request("GET", httpserver.url_for("/")).text == "yes"
    assert 1 <= time.monotonic() - started < 3


@pytest.mark.usefixtures("impatient")
def test_retry_after_as_a_date_is_waited_for(httpserver: HTTPServer) -> None:
    moment = format_datetime(datetime.now(UTC) + timedelta(seconds=2), usegmt=True)
    httpserver.expect_ordered_request("/").respond_with_data(status=503, headers={"Retry-After": moment})
    httpserver.expect_ordered_request("/").respond_with_data("yes")
    started = time.monotonic()
    assert request("GET", httpserver.url_for("/")).text == "yes"
    assert 0.9 < time.monotonic() - started < 4


@pytest.mark.parametrize("form", ["seconds", "date"])
def test_retry_after_beyond_the_deadline_is_said_and_not_waited_for(httpserver: HTTPServer, form: str) -> None:
    moment = format_datetime(datetime.now(UTC) + timedelta(days=1), usegmt=True)
    value = "86400" if form == "seconds" else moment
    httpserver.expect_request("/").respond_with_data(status=429, headers={"Retry-After": value})
    started = time.monotonic()
    error = fail("GET", httpserver.url_for("/"))
    assert time.monotonic() - started < 5
    assert error.retryable
    assert error.retry_after == pytest.approx(86400, abs=5)
    assert f"{host(httpserver)} answered 429 Too Many Requests and asked to be left alone for 86" in str(error)


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("value", ["soon", "", "-1", "9" * 5000, "Fri, 99 Nov 99999 00:00:00 GMT", "1.5"])
def test_a_retry_after_that_makes_no_sense_does_no_harm(httpserver: HTTPServer, value: str) -> None:
    httpserver.expect_request("/").respond_with_data(status=503, headers={"Retry-After": value})
    assert "answered 503 Service Unavailable" in str(fail("GET", httpserver.url_for("/"), deadline=2))


@pytest.mark.usefixtures("impatient")
def test_a_connection_reset_is_tried_again(raw: Raw) -> None:
    def behave(connection: socket.socket, call: int) -> None:
        connection.recv(4096)
        if call < 3:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        else:
            connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nyes")

    server = raw(behave)
    assert request("GET", server.url).text == "yes"
    assert server.calls == 3


BREAKS = {
    "reset": (b"", "closed the connection without an answer"),
    "cut body": (b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf", "broke off in the middle of its answer"),
    "cut chunk": (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n9\r\nhalf", "broke off in the middle"),
    "cut chunks": (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n", "broke off in the middle"),
    "no chunk": (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzzz\r\n", "broke off in the middle"),
    "no gzip": (b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 4\r\n\r\nhalf", "broke off in the"),
    "no HTTP": (b"SSH-2.0-OpenSSH_9.6\r\n", "answered with something that is not HTTP"),
    "a long line": (b"HTTP/1.1 200 OK\r\nX: " + b"x" * 70000, "answered with something that is not HTTP"),
    "many headers": (b"HTTP/1.1 200 OK\r\n" + b"X: x\r\n" * 200 + b"\r\n", "answered with something that is not HTTP"),
}


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize(("sent", "said"), BREAKS.values(), ids=BREAKS.keys())
def test_an_answer_that_breaks_off_is_tried_again_and_then_named(raw: Raw, sent: bytes, said: str) -> None:
    def behave(connection: socket.socket, call: int) -> None:
        connection.recv(4096)
        connection.sendall(sent)

    server = raw(behave)
    error = fail("GET", server.url, deadline=5)
    assert f"{server.host} {said}" in str(error)
    assert str(error).endswith(" (3 attempts)")
    assert (error.retryable, error.sent, server.calls) == (True, True, 3)


@pytest.mark.usefixtures("impatient")
def test_silence_is_tried_again(raw: Raw, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http, "READ_TIMEOUT", 0.2)
    server = raw(lambda connection, call: time.sleep(1))
    assert str(fail("GET", server.url)) == f"{server.host} did not answer in time (3 attempts)"
    assert server.calls == 3


@pytest.mark.usefixtures("impatient")
def test_a_refused_connection_is_tried_again() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    error = fail("GET", f"http://127.0.0.1:{port}/")
    assert str(error) == f"127.0.0.1:{port} refused the connection (3 attempts)"
    assert (error.retryable, error.sent) == (True, False)


# The deadline

HEAD = b"HTTP/1.1 200 OK\r\n"
DRIPS = {
    "status line": (b"", b"H"),
    "headers": (HEAD, b"X: x\r\n"),
    "one header": (HEAD + b"X: ", b"x"),
    "body without a length": (HEAD + b"Connection: close\r\n\r\n", b" "),
    "body with a length": (HEAD + b"Content-Length: 1000000\r\n\r\n", b" "),
    "chunks": (HEAD + b"Transfer-Encoding: chunked\r\n\r\n", b"1\r\nx\r\n"),
    "chunk length": (HEAD + b"Transfer-Encoding: chunked\r\n\r\n", b"0"),
    "redirect": (b"HTTP/1.1 302 Found\r\nLocation: /\r\nX: ", b"x"),
    "interim answers": (b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
}


@pytest.mark.parametrize(("start", "drop"), DRIPS.values(), ids=DRIPS.keys())
def test_a_drip_is_ended_at_the_deadline(raw: Raw, start: bytes, drop: bytes) -> None:
    def behave(connection: socket.socket, call: int) -> None:
        connection.recv(4096)
        connection.sendall(start)
        server.drip(connection, drop, 0.01)

    server = raw(behave)
    started = time.monotonic()
    error = fail("GET", server.url, deadline=0.25)
    assert time.monotonic() - started < 1.5
    assert str(error) == f"{server.host} did not finish its answer within 0.25 s"
    assert (error.retryable, server.calls) == (True, 1)


def test_a_tls_handshake_that_drips_is_ended_at_the_deadline(raw: Raw) -> None:
    def behave(connection: socket.socket, call: int) -> None:
        connection.recv(4096)
        connection.sendall(b"\x16\x03\x03\x40\x00")
        server.drip(connection, b"\x00")

    server = raw(behave)
    started = time.monotonic()
    error = fail("GET", f"https://{server.host}/", deadline=0.4)
    assert "did not finish its answer within 0.4 s" in str(error)
    assert not error.sent
    assert time.monotonic() - started < 1.5


def test_a_pause_never_goes_beyond_the_deadline(httpserver: HTTPServer) -> None:
    httpserver.expect_request("/").respond_with_data(status=503)
    started = time.monotonic()
    error = fail("GET", httpserver.url_for("/"), deadline=0.4)
    assert time.monotonic() - started < 0.4
    assert str(error) == f"{host(httpserver)} answered 503 Service Unavailable"


def test_a_refusal_whose_page_drips_is_still_that_refusal(raw: Raw) -> None:
    def behave(connection: socket.socket, call: int) -> None:
        connection.recv(4096)
        connection.sendall(b"HTTP/1.1 503 Oh\r\nContent-Length: 1000\r\n\r\n")
        server.drip(connection, b" ")

    server = raw(behave)
    assert str(fail("GET", server.url, deadline=0.4)) == f"{server.host} answered 503 Service Unavailable"


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="counts open files by /proc")
def test_nothing_is_left_behind(raw: Raw) -> None:
    def behave(connection: socket.socket, call: int) -> None:
        connection.recv(4096)
        connection.sendall(HEAD + b"Content-Length: 100\r\n\r\nhalf")

    server = raw(behave)
    fail("GET", server.url, attempts=1)
    time.sleep(0.1)
    threads, files = threading.active_count(), len(os.listdir("/proc/self/fd"))
    for _ in range(10):
        fail("GET", server.url, attempts=1)
    time.sleep(0.1)
    assert threading.active_count() <= threads
    assert len(os.listdir("/proc/self/fd")) <= files


# Sizes


def test_a_declared_size_that_is_too_large_is_not_even_read(raw: Raw) -> None:
    def behave(connection: socket.socket, call: int) -> None:
        connection.recv(4096)
        connection.sendall(HEAD + b"Content-Length: 99999999999\r\n\r\n")
        server.stopped.wait(5)

    server = raw(behave)
    started = time.monotonic()
    error = fail("GET", server.url)
    assert time.monotonic() - started < 1
    assert str(error) == f"{server.host} answered with more than 16 MiB"
    assert (error.retryable, server.calls) == (False, 1)


def test_a_body_without_an_end_is_given_up_at_the_limit(raw: Raw) -> None:
    def behave(connection: socket.socket, call: int) -> None:
        connection.recv(4096)
        connection.sendall(HEAD + b"\r\n")
        server.drip(connection, b"x" * 65536, 0)

    server = raw(behave)
    assert str(fail("GET", server.url, max_bytes=2**20)) == f"{server.host} answered with more than 1 MiB"


def test_a_compressed_bomb_is_given_up_at_the_limit_and_never_held(httpserver: HTTPServer) -> None:
    bomb = gzip.compress(b"\0" * 2**26)
    httpserver.expect_request("/").respond_with_data(bomb, headers={"Content-Encoding": "gzip"})
    tracemalloc.start()
    error = fail("GET", httpserver.url_for("/"), max_bytes=2**20)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert "more than 1 MiB" in str(error)
    assert peak < 32 * 2**20  # whatever else the process does at the time is counted too


def test_a_body_of_exactly_the_limit_is_read(httpserver: HTTPServer) -> None:
    httpserver.expect_request("/").respond_with_data(b"x" * 1000)
    assert len(request("GET", httpserver.url_for("/"), max_bytes=1000).body) == 1000
    assert "more than 999 bytes" in str(fail("GET", httpserver.url_for("/"), max_bytes=999))


def test_the_body_of_a_redirect_is_not_read(raw: Raw) -> None:
    def behave(connection: socket.socket, call: int) -> None:
        connection.recv(4096)
        if call == 1:
            connection.sendall(b"HTTP/1.1 302 Found\r\nLocation: /b\r\n\r\n")
            server.drip(connection, b"x" * 65536, 0)
        connection.sendall(HEAD + b"Content-Length: 5\r\n\r\nthere")

    server = raw(behave)
    assert request("GET", server.url, deadline=2).text == "there"


# What is refused


def test_a_bot_wall_is_called_so(httpserver: HTTPServer) -> None:
    httpserver.expect_request("/").respond_with_data(CLOUDFLARE, status=403, content_type="text/html")
    error = fail("GET", httpserver.url_for("/"))
    said = f"{host(httpserver)} refused the request (403 Forbidden): a bot wall, “Just a moment... Checking…”"
    assert str(error) == said
    assert (error.retryable, error.status, len(httpserver.log)) == (False, 403, 1)
    assert error.body == CLOUDFLARE.encode()


def test_a_refusal_speaks_in_the_words_of_its_page(httpserver: HTTPServer) -> None:
    page = "<p>CSRF verification\n failed. <script>alert('x')</script><!-- no --> Request &amp; aborted.</p>"
    httpserver.expect_request("/").respond_with_data(page, status=403)
    said = "refused the request (403 Forbidden): “CSRF verification failed. Request & aborted.”"
    assert str(fail("GET", httpserver.url_for("/"))).endswith(said)


def test_only_the_start_of_a_refusal_is_kept(httpserver: HTTPServer) -> None:
    httpserver.expect_request("/").respond_with_data(b"x" * 10**6, status=404)
    assert fail("GET", httpserver.url_for("/")).body == b"x" * 8192


def test_a_ring_of_redirects_is_left(httpserver: HTTPServer) -> None:
    httpserver.expect_request("/").respond_with_data(status=302, headers={"Location": "/"})
    error = fail("GET", httpserver.url_for("/"))
    assert str(error) == f"{host(httpserver)} redirected more than 5 times"
    assert (error.retryable, len(httpserver.log)) == (False, 6)


@pytest.mark.parametrize("location", [b"ftp://x/", b"file:///etc/passwd", b"http://[", b"\xff\xfe"])
def test_a_redirect_to_nowhere_is_an_error(raw: Raw, location: bytes) -> None:
    def behave(connection: socket.socket, call: int) -> None:
        connection.recv(4096)
        head = b"HTTP/1.1 302 Found\r\nContent-Length: 0\r\nLocation: " if call == 1 else b"HTTP/1.1 404 No\r\nX: "
        connection.sendall(head + location + b"\r\n\r\n")

    error = fail("GET", raw(behave).url, deadline=3)
    assert not error.retryable


@pytest.mark.parametrize(
    "url", ["", "nothing", "http://", "ftp://x/", "http://[", "http://x:99999/", f"http://{'x' * 70}/"]
)
def test_an_address_that_is_none_is_named(url: str) -> None:
    error = fail("GET", url, deadline=2)
    assert not error.retryable
    assert "is not, or leads to, an address that can be asked" in str(error)


def test_a_header_that_cannot_be_sent_is_an_error() -> None:
    assert "malformed" in str(fail("GET", "http://127.0.0.1:1/", headers={"X": "a\nb"}))


def test_a_password_in_the_address_stays_out_of_the_sentence(httpserver: HTTPServer) -> None:
    httpserver.expect_request("/").respond_with_data(status=404)
    url = httpserver.url_for("/").replace("http://", "http://me:secret@")
    assert str(fail("GET", url)) == f"{host(httpserver)} answered 404 Not Found"


@pytest.fixture
def certificate(tmp_path: Path) -> Path:
    """A fresh certificate for 127.0.0.1, signed by nobody, in a file with its key."""
    if shutil.which("openssl") is None:
        pytest.skip("needs openssl to make a certificate")
    file = tmp_path / "certificate.pem"
    kind = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "1"]
    subject = ["-subj", "/CN=test", "-addext", "subjectAltName=IP:127.0.0.1"]
    command = ["openssl", "req", "-x509", *kind, *subject, "-keyout", str(tmp_path / "key.pem"), "-out", str(file)]
    subprocess.run(command, check=True, capture_output=True)
    file.write_text(file.read_text() + (tmp_path / "key.pem").read_text())
    return file


def over_tls(certificate: Path) -> Callable[[socket.socket, int], None]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)

    def behave(connection: socket.socket, call: int) -> None:
        with context.wrap_socket(connection, server_side=True) as secured:
            secured.recv(4096)
            secured.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nsecret")

    return behave


def test_an_answer_over_tls_is_read(raw: Raw, certificate: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(certificate))
    assert request("GET", f"https://{raw(over_tls(certificate)).host}/").text == "secret"


def test_a_certificate_that_cannot_be_trusted_ends_it_at_once(raw: Raw, certificate: Path) -> None:
    server = raw(over_tls(certificate))
    error = fail("GET", f"https://{server.host}/")
    assert f"{server.host} showed a TLS certificate that cannot be trusted: self" in str(error)
    assert (error.retryable, error.sent, server.calls) == (False, False, 1)


def test_the_proxy_of_the_operator_is_used(raw: Raw, monkeypatch: pytest.MonkeyPatch) -> None:
    heard: list[bytes] = []

    def behave(connection: socket.socket, call: int) -> None:
        heard.append(connection.recv(4096))
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nyes")

    monkeypatch.delenv("NO_PROXY")
    monkeypatch.setenv("http_proxy", raw(behave).url)
    assert request("GET", "http://platform.test/a", public_only=True).text == "yes"
    assert heard[0].startswith(b"GET http://platform.test/a HTTP/1.1\r\n")


@pytest.mark.usefixtures("impatient")
def test_a_server_without_tls_is_named_as_such(raw: Raw) -> None:
    server = raw(lambda connection, call: connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n"))
    assert f"{server.host} failed at the TLS handshake" in str(fail("GET", f"https://{server.host}/"))


# Names and addresses: the system's resolver is replaced, the sockets are real


@pytest.mark.usefixtures("impatient")
def test_a_name_that_cannot_be_resolved_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def resolve(*args: object, **options: object) -> None:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    error = fail("GET", "http://platform.test/")
    assert str(error) == "the name platform.test could not be resolved (3 attempts)"
    assert (error.retryable, error.sent) == (True, False)


def test_a_resolver_that_hangs_does_not_hold_up_the_deadline(monkeypatch: pytest.MonkeyPatch) -> None:
    released = threading.Event()
    monkeypatch.setattr(socket, "getaddrinfo", lambda *args, **options: released.wait(5) and [])
    started = time.monotonic()
    error = fail("GET", "http://platform.test/", deadline=0.3)
    released.set()
    assert time.monotonic() - started < 1.5
    assert str(error) == "platform.test did not finish its answer within 0.3 s"


def addresses(*all_of_them: str) -> Callable[..., object]:
    real = socket.getaddrinfo

    def resolve(name: str, port: object = None, *args: Any, **options: Any) -> object:
        if name != "platform.test":
            return real(name, port, *args, **options)  # type: ignore[arg-type]  # whatever the caller passed
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port or 0)) for address in all_of_them]

    return resolve


def test_the_next_address_is_tried_where_one_is_dead(httpserver: HTTPServer, monkeypatch: pytest.MonkeyPatch) -> None:
    httpserver.expect_request("/").respond_with_data("yes")
    monkeypatch.setattr(socket, "getaddrinfo", addresses("127.0.0.9", "127.0.0.1"))
    assert request("GET", f"http://platform.test:{httpserver.port}/").text == "yes"


def test_a_dead_address_takes_no_longer_than_the_deadline(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0), backlog=0) as full:
        port = full.getsockname()[1]
        waiting = [socket.socket() for _ in range(4)]
        for client in waiting:
            client.setblocking(False)
            client.connect_ex(("127.0.0.1", port))
        monkeypatch.setattr(socket, "getaddrinfo", addresses("127.0.0.1"))
        started = time.monotonic()
        error = fail("GET", f"http://platform.test:{port}/", deadline=0.5)
        for client in waiting:
            client.close()
    assert time.monotonic() - started < 2
    assert str(error) == f"platform.test:{port} did not finish its answer within 0.5 s"


PRIVATE = ["127.0.0.1", "10.1.2.3", "192.168.1.1", "169.254.169.254", "100.64.0.1", "0.0.0.0", "::1", "fe80::1%eth0"]


DISGUISED = ["64:ff9b::7f00:1", "64:ff9b:1::a00:1", "2002:7f00:1::1", "::7f00:1", "::ffff:0:a00:1", "fec0::1"]
"""127.0.0.1 and the like, as a network without IPv4 or an old standard writes them in IPv6."""


@pytest.mark.parametrize("address", [*PRIVATE, "fd00::1", "::ffff:127.0.0.1", "224.0.0.1", "ff02::1", *DISGUISED])
def test_a_private_address_is_known_as_such(address: str) -> None:
    assert not is_public(address)


@pytest.mark.parametrize("address", ["8.8.8.8", "2606:4700:4700::1111", "::ffff:8.8.8.8", "64:ff9b::808:808"])
def test_a_public_address_is_known_as_such(address: str) -> None:
    assert is_public(address)


@pytest.mark.parametrize("name", ["127.0.0.1", "localhost", "127.1", "0x7f000001", "platform.test"])
def test_a_private_address_is_never_asked_where_only_public_ones_may_be(
    httpserver: HTTPServer, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    httpserver.expect_request("/").respond_with_data("secret")
    monkeypatch.setattr(socket, "getaddrinfo", addresses("10.0.0.1", "127.0.0.1"))
    error = fail("GET", f"http://{name}:{httpserver.port}/", public_only=True)
    assert str(error) == f"{name} is at a private address, where no request may go"
    assert not error.retryable
    assert not httpserver.log


def test_a_redirect_to_a_private_address_is_not_followed(raw: Raw, monkeypatch: pytest.MonkeyPatch) -> None:
    def behave(connection: socket.socket, call: int) -> None:
        connection.recv(4096)
        target = f"http://127.0.0.2:{server.listener.getsockname()[1]}/"
        connection.sendall(f"HTTP/1.1 302 Found\r\nContent-Length: 0\r\nLocation: {target}\r\n\r\n".encode())

    server = raw(behave)
    monkeypatch.setattr(connections, "is_public", lambda address: address == "127.0.0.1")
    error = fail("GET", server.url, public_only=True)
    assert str(error) == "127.0.0.2 is at a private address, where no request may go"
    assert server.calls == 1


# Connections that are kept


def answers(connection: socket.socket, *bodies: bytes) -> Iterator[bytes]:
    """Answers one request after another on one connection, and gives what was asked."""
    for body in bodies:
        yield connection.recv(4096)
        connection.sendall(HEAD + b"Content-Length: %d\r\n\r\n%s" % (len(body), body))


def test_a_client_keeps_its_connection_after_refusals_too(raw: Raw) -> None:
    def behave(connection: socket.socket, call: int) -> None:
        for _ in range(4):
            connection.recv(4096)
            connection.sendall(b"HTTP/1.1 404 Not Found\r\nContent-Length: 3\r\n\r\nno!")
            list(answers(connection, b"yes"))

    server = raw(behave)
    with Client() as client:
        for _ in range(4):
            with pytest.raises(HttpError):
                client.request("GET", server.url)
            assert client.request("POST", server.url).text == "yes"
    assert server.calls == 1


def test_threads_share_the_connections_of_a_client(raw: Raw) -> None:
    together = threading.Barrier(4)

    def behave(connection: socket.socket, call: int) -> None:
        for asked in answers(connection, *[b"%d" % n for n in range(10)]):
            if asked:
                together.wait(5)

    server = raw(behave)
    with Client(connections=4) as client, ThreadPoolExecutor(4) as threads:
        said = list(threads.map(lambda _: client.request("GET", server.url).text, range(40)))
    assert sorted(said) == sorted(str(n) for n in range(10) for _ in range(4))
    assert server.calls == 4


def test_bytes_go_out_as_they_are(httpserver: HTTPServer) -> None:
    httpserver.expect_request("/", method="POST").respond_with_handler(lambda asked: Answer(asked.data))
    body = bytes(range(256))
    assert request("POST", httpserver.url_for("/"), body=body).body == body


def test_a_drip_on_a_kept_connection_is_ended_at_the_deadline(raw: Raw) -> None:
    def behave(connection: socket.socket, call: int) -> None:
        list(answers(connection, b"quick"))
        connection.recv(4096)
        server.drip(connection, b"HTTP/1.1 100 Continue\r\n\r\n", 0.01)

    server = raw(behave)
    with Client() as client:
        client.request("GET", server.url)
        started = time.monotonic()
        with pytest.raises(HttpError) as caught:
            client.request("GET", server.url, deadline=0.25)
    assert 0.2 < time.monotonic() - started < 1.5
    assert str(caught.value) == f"{server.host} did not finish its answer within 0.25 s"
    assert (caught.value.sent, server.calls) == (True, 1)


def test_a_drip_on_a_kept_connection_over_tls_is_ended_too(
    raw: Raw, certificate: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(certificate))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)

    def behave(connection: socket.socket, call: int) -> None:
        with context.wrap_socket(connection, server_side=True) as secured:
            list(answers(secured, b"quick"))
            secured.recv(4096)
            server.drip(secured, b"x", 0.01)

    server = raw(behave)
    with Client() as client:
        assert client.request("GET", f"https://{server.host}/").text == "quick"
        with pytest.raises(HttpError, match=r"did not finish its answer within 0\.25 s"):
            client.request("GET", f"https://{server.host}/", deadline=0.25)
    assert server.calls == 1


def test_the_deadline_of_one_request_is_not_that_of_the_next(raw: Raw, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first is refused and waits for another attempt; at its deadline the second is on the connection it had."""
    monkeypatch.setattr(http, "BACKOFF", 0.2)

    def behave(connection: socket.socket, call: int) -> None:
        connection.recv(4096)
        if call > 1:
            server.stopped.wait(5)
        connection.sendall(b"HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n")
        refused.set()
        connection.recv(4096)
        late.wait(5)
        connection.sendall(HEAD + b"Content-Length: 3\r\n\r\nyes")

    refused, late = threading.Event(), threading.Event()
    server = raw(behave)
    with Client() as client, ThreadPoolExecutor(2) as threads:
        first = threads.submit(client.request, "GET", server.url, deadline=0.5)
        assert refused.wait(5)
        time.sleep(0.05)  # the connection is given back just after the answer was sent
        second = threads.submit(client.request, "GET", server.url, attempts=1, repeatable=False)
        assert "did not finish its answer within 0.5 s" in str(first.exception())
        late.set()
        assert second.result().text == "yes"
    assert server.calls == 2


@pytest.mark.parametrize("repeatable", [True, False])
def test_a_kept_connection_that_was_closed_meanwhile_is_replaced(raw: Raw, repeatable: bool) -> None:
    closed = threading.Semaphore(0)

    def behave(connection: socket.socket, call: int) -> None:
        list(answers(connection, b"%d" % call))
        connection.shutdown(socket.SHUT_WR)
        closed.release()

    server = raw(behave)
    with Client() as client:
        for n in range(1, 4):
            assert client.request("POST", server.url, attempts=1, repeatable=repeatable).text == str(n)
            assert closed.acquire(timeout=5)
    assert server.calls == 3


def hangs_up_on_the_second_request(connection: socket.socket, call: int) -> None:
    list(answers(connection, b"%d" % call))
    connection.recv(4096)


def test_a_connection_that_closes_under_a_request_is_replaced_at_once(raw: Raw) -> None:
    server = raw(hangs_up_on_the_second_request)
    started = time.monotonic()
    with Client() as client:
        assert [client.request("POST", server.url, attempts=1).text for _ in range(3)] == ["1", "2", "3"]
    assert time.monotonic() - started < 0.4  # without the pause before another attempt


def test_what_must_not_be_repeated_is_not_sent_again_on_another_connection(raw: Raw) -> None:
    server = raw(hangs_up_on_the_second_request)
    with Client() as client:
        client.request("POST", server.url, repeatable=False)
        with pytest.raises(HttpError) as caught:
            client.request("POST", server.url, repeatable=False)
    assert str(caught.value) == f"{server.host} closed the connection without an answer"
    assert (caught.value.sent, server.calls) == (True, 1)


def test_an_answer_that_was_too_large_does_not_spoil_the_next(raw: Raw) -> None:
    def behave(connection: socket.socket, call: int) -> None:
        list(answers(connection, b"x" * 200_000 if call == 1 else b"small"))
        server.stopped.wait(5)

    server = raw(behave)
    with Client() as client:
        with pytest.raises(HttpError, match="more than 1000 bytes"):
            client.request("GET", server.url, max_bytes=1000)
        assert client.request("GET", server.url, max_bytes=1000).text == "small"
    assert server.calls == 2


def test_cookies_go_along_with_a_redirect_and_not_into_the_next_request(httpserver: HTTPServer) -> None:
    there = {"Location": "/b", "Set-Cookie": "who=alice"}
    httpserver.expect_request("/a").respond_with_data(status=302, headers=there)
    httpserver.expect_request("/b").respond_with_handler(lambda asked: Answer(asked.headers.get("Cookie", "nobody")))
    with Client() as client:
        assert client.request("GET", httpserver.url_for("/a")).text == "who=alice"
        assert client.request("GET", httpserver.url_for("/b")).text == "nobody"


def test_a_redirect_can_be_a_refusal(httpserver: HTTPServer) -> None:
    httpserver.expect_request("/a", method="POST").respond_with_data(status=303, headers={"Location": "/b"})
    error = fail("POST", httpserver.url_for("/a"), redirects=False)
    assert str(error) == f"{host(httpserver)} answered 303 See Other"
    assert (error.retryable, error.status, len(httpserver.log)) == (False, 303, 1)


def test_a_kept_connection_leads_to_no_private_address_by_a_redirect(raw: Raw, monkeypatch: pytest.MonkeyPatch) -> None:
    def behave(connection: socket.socket, call: int) -> None:
        list(answers(connection, b"yes"))
        connection.recv(4096)
        target = f"http://127.0.0.2:{server.listener.getsockname()[1]}/"
        connection.sendall(f"HTTP/1.1 302 Found\r\nContent-Length: 0\r\nLocation: {target}\r\n\r\n".encode())

    server = raw(behave)
    monkeypatch.setattr(connections, "is_public", lambda address: address == "127.0.0.1")
    with Client(public_only=True) as client:
        assert client.request("GET", server.url).text == "yes"
        with pytest.raises(PrivateAddressError) as caught:
            client.request("GET", server.url)
    assert (caught.value.sent, server.calls) == (True, 1)


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="counts open files by /proc")
def test_a_client_leaves_nothing_behind(raw: Raw) -> None:
    def behave(connection: socket.socket, call: int) -> None:
        list(answers(connection, *[b"yes"] * 50))

    def files() -> int:
        return len(os.listdir("/proc/self/fd"))

    server, before = raw(behave), (files(), threading.active_count())
    with Client() as client:
        client.request("GET", server.url)
        used = files()
        for _ in range(40):
            client.request("GET", server.url)
        assert files() == used
    eventually(lambda: files() <= before[0] and threading.active_count() <= before[1], within=5, what="the end of it")


# Whether it was sent


@pytest.mark.usefixtures("impatient")
def test_what_found_no_connection_was_not_sent_and_is_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        nobody = listener.getsockname()[1]
    error = fail("POST", f"http://127.0.0.1:{nobody}/", repeatable=False)
    assert (error.sent, error.retryable) == (False, True)
    assert str(error).endswith("refused the connection (3 attempts)")
    monkeypatch.setattr(socket, "getaddrinfo", addresses("10.0.0.1"))
    error = fail("POST", "http://platform.test/", public_only=True)
    assert isinstance(error, PrivateAddressError)
    assert not error.sent


def test_what_ended_at_the_tls_handshake_was_not_sent(raw: Raw, certificate: Path) -> None:
    assert not fail("POST", f"https://{raw(over_tls(certificate)).host}/").sent


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("answer", [b"", b"HTTP/1.1 503 Busy\r\n\r\n", HEAD + b"Content-Length: 9\r\n\r\nhalf"])
def test_what_was_sent_once_is_not_sent_again_where_it_must_not_be(raw: Raw, answer: bytes) -> None:
    def behave(connection: socket.socket, call: int) -> None:
        connection.recv(4096)
        connection.sendall(answer)

    server = raw(behave)
    error = fail("POST", server.url, repeatable=False)
    assert (error.sent, error.retryable, server.calls) == (True, True, 1)


def test_silence_after_sending_says_that_it_was_sent(raw: Raw, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http, "READ_TIMEOUT", 0.2)
    server = raw(lambda connection, call: time.sleep(1))
    error = fail("POST", server.url, repeatable=False)
    assert str(error) == f"{server.host} did not answer in time"
    assert (error.sent, error.retryable, server.calls) == (True, True, 1)


# JSON and excerpts


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b"<html><title>Down</title><body>Please wait</body>", "answered with an HTML page: “Down Please wait”"),
        (b"\x00\x01{]not json", "answered with something that is not JSON: “{]not json”"),
        (b"  ", "answered with nothing"),
        (b"\xff\xfe\xfa", "answered with something that is not JSON"),
        (b"[" * 100_000, "answered with something that is not JSON"),
        (b'{"a":', "answered with something that is not JSON"),
    ],
    ids=["page", "garbage", "blank", "bytes", "deep", "cut"],
)
def test_what_is_not_json_is_said_to_be_something_else(body: bytes, said: str) -> None:
    with pytest.raises(HttpError) as caught:
        Response(200, {}, body, "https://platform.test/api").json()
    assert f"platform.test {said}" in str(caught.value)
    assert len(str(caught.value)) < 200
    assert (caught.value.retryable, caught.value.body) == (True, body[:8192])


def test_a_number_of_a_thousand_digits_does_not_spoil_the_rest() -> None:
    answer = Response(200, {}, b'{"a": 1, "b": ' + b"9" * 10_000 + b"}", "http://x/").json()
    assert answer == {"a": 1, "b": float("inf")}


@settings(max_examples=50)
@given(st.text(max_size=300) | st.text(alphabet="<>/!- scriptxy\n", max_size=300))
def test_an_excerpt_is_one_short_printable_line(text: str) -> None:
    assert excerpt(text).isprintable()
    assert len(excerpt(text)) <= 100


def test_an_excerpt_of_a_hostile_page_takes_no_time() -> None:
    started = time.monotonic()
    for piece in ("<script", "<!--", "<style>", "<", "&lt;"):
        excerpt("<" + piece * 10**5)
    assert time.monotonic() - started < 0.5
