"""The one door for outbound HTTP: a deadline, a size cap, retries, and a sentence for every failure.

Plain `requests` leaves three holes. Its timeouts bound one wait each, so a server that sends a byte a second is never
given up. It reads bodies, those of redirects too, of any size. Its retries end where the body begins, so an answer that
breaks off in the middle is not asked for again. Here urllib3's Retry only decides whether and when; the loop is ours,
and reading the body is inside an attempt.
"""

import html
import re
import socket
import threading
import time
from collections.abc import Callable, Container, Iterator, Mapping
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from http import HTTPStatus
from http.client import HTTPException, IncompleteRead
from io import BytesIO
from ipaddress import ip_address
from json import loads
from math import inf
from ssl import SSLCertVerificationError, SSLError
from types import TracebackType
from typing import Any, Self
from urllib.parse import urlsplit

import requests
from requests.adapters import HTTPAdapter
from urllib3 import Retry
from urllib3 import exceptions as urllib3_exceptions
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.util.connection import create_connection
from urllib3.util.retry import RequestHistory

USER_AGENT = "Mozilla/5.0 (compatible; CodeNotify/1.0)"
CONNECT_TIMEOUT = 5.0
READ_TIMEOUT = 10.0
BACKOFF = 0.5
MAX_REDIRECTS = 5
RETRIED_STATUSES = frozenset({429, 502, 503, 504})
CHUNK = 64 * 1024
PREFIX = 8 * 1024
"""How much of a refusal's body is kept, in bytes."""

_NETWORK_ERRORS = (requests.RequestException, urllib3_exceptions.HTTPError, OSError, ValueError)
"""ValueError too: requests lets it through for a Location header that is no address."""


class HttpError(Exception):
    """There is no usable answer; `str(error)` is one sentence that names the host and says what happened.

    `retryable`: the same request may go through later without anybody changing anything. `status` and `body` (its
    first 8 KiB) are those of the answer, where there was one. `retry_after` is for how many seconds the server asked to
    be left alone. `sent`: the request may have arrived; it did not where no connection came about.
    """

    def __init__(
        self,
        sentence: str,
        *,
        retryable: bool,
        status: int | None = None,
        body: bytes = b"",
        retry_after: float | None = None,
    ) -> None:
        super().__init__(sentence)
        self.retryable = retryable
        self.status = status
        self.body = body
        self.retry_after = retry_after
        self.sent = True

    def count(self, attempts: int) -> None:
        """Say how often it was tried, where that was more than once."""
        if attempts > 1:
            self.args = (f"{self} ({attempts} attempts)",)


@dataclass(frozen=True)
class Response:
    """An answer, read to its end. `headers` ignores case, `url` is where redirects led to."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    url: str

    @property
    def text(self) -> str:
        """The body by the charset that the answer names, or as UTF-8; what cannot be decoded becomes U+FFFD."""
        charset = re.search(r"charset=[\"']?([\w.:-]+)", self.headers.get("Content-Type", ""), re.ASCII)
        with suppress(LookupError, ValueError):
            return self.body.decode(charset[1] if charset else "utf-8", "replace")
        return self.body.decode("utf-8", "replace")

    def json(self) -> Any:
        """The body as JSON. Raises HttpError where it is something else."""
        try:
            return loads(self.body, parse_int=_integer)
        except (ValueError, RecursionError) as error:
            kind = "an HTML page" if _is_page(self.text) else "something that is not JSON"
            said = f"{kind}: “{excerpt(self.text)}”" if self.body.strip() else "nothing"
            status = "" if self.status == HTTPStatus.OK else f" {_phrase(self.status)}"
            raise HttpError(
                f"{_host(self.url)} answered{status} with {said}",
                retryable=True,
                status=self.status,
                body=self.body[:PREFIX],
            ) from error


def request(
    method: str,
    url: str,
    *,
    params: Mapping[str, str] | None = None,
    json: object = None,
    headers: Mapping[str, str] | None = None,
    deadline: float = 30.0,
    max_bytes: int = 16 * 2**20,
    attempts: int = 3,
    accept_statuses: Container[int] = (),
    public_only: bool = False,
) -> Response:
    """Ask `url` and read the answer. Raises HttpError for everything that is not a whole 2xx answer.

    - `deadline` (seconds) bounds the call with all its attempts and pauses, however slowly the answer drips.
    - `max_bytes` bounds the body after decompression.
    - A connection that fails or breaks, 10 s of silence and the statuses 429, 502, 503 and 504 are tried `attempts`
      times, with backoff and jitter, or after the time that Retry-After names. Where that is beyond the deadline, the
      call fails at once and says so.
    - POST is retried like GET: what we post is a question, or carries an identity by which the receiver can tell a
      repetition. Pass `attempts=1` where neither is true.
    - A status in `accept_statuses` is returned as an answer, without another attempt.
    - `public_only` refuses private, loopback and link-local addresses, after redirects too: for addresses that come
      from users. Behind a proxy of the operator's it is the proxy that resolves names, and the proxy that must refuse.
    """
    with _Call(deadline, public_only) as call, _session(call) as session:
        ask = partial(session.request, method, url, params=params, json=json, headers=headers)
        policy, attempt = _policy(attempts), 0
        while True:
            attempt += 1
            try:
                return _attempt(ask, url, max_bytes, accept_statuses, call)
            except HttpError as failure:
                failure.sent = call.sent
                policy, pause = _after(failure, policy)
                if pause >= call.left:
                    failure.count(attempt)
                    raise
            time.sleep(pause)


def excerpt(text: str, longest: int = 100) -> str:
    """The first words of a text or of an HTML page, on one line, printable, fit to be quoted in a sentence."""
    text = text[:PREFIX]
    if _is_page(text):
        text = html.unescape(_MARKUP.sub(" ", text))
    text = "".join(c for c in " ".join(text.split()) if c.isprintable())
    return text if len(text) <= longest else text[: longest - 1].rstrip() + "…"


class _Call:
    """What one call may do: how long it may take, where it may connect to; and the watchdog that ends it.

    A server that drips defeats the timeout of every single wait, so at the deadline a timer shuts the call's sockets
    down, and whatever waits on them wakes up. It holds duplicates of them: TLS detaches the original, and a descriptor
    of its own cannot be closed and reused for something else in the meantime.
    """

    def __init__(self, seconds: float, public_only: bool) -> None:
        self.seconds = seconds
        self.sent = False
        self._public_only = public_only
        self._end = time.monotonic() + seconds
        self._sockets: list[socket.socket] = []
        self._lock = threading.Lock()
        self._timer = threading.Timer(seconds, self._shut_down)
        self._timer.daemon = True

    def __enter__(self) -> Self:
        self._timer.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self._timer.cancel()
        with self._lock:
            for watched in self._sockets:
                watched.close()
            self._sockets.clear()

    @property
    def left(self) -> float:
        """Seconds until the deadline; negative after it."""
        return self._end - time.monotonic()

    def connect(self, connection: HTTPConnection) -> socket.socket:
        """What urllib3's `_new_conn` does, within the deadline, and only to addresses that are allowed."""
        failure: Exception = urllib3_exceptions.ConnectTimeoutError("no time was left to connect")
        for address in self._addresses(connection):
            if self.left <= 0:
                break
            try:
                opened = create_connection(
                    (address, connection.port),
                    min(CONNECT_TIMEOUT, self.left),
                    connection.source_address,
                    connection.socket_options,
                )
            except TimeoutError:
                failure = urllib3_exceptions.ConnectTimeoutError(f"{address} did not accept a connection")
            except OSError as error:
                failure = urllib3_exceptions.NewConnectionError(connection, str(error))
                failure.__cause__ = error
            else:
                self._watch(opened)
                return opened
        raise failure

    def _addresses(self, connection: HTTPConnection) -> list[str]:
        try:
            addresses = _resolve(connection.host.strip("[]"), min(READ_TIMEOUT, self.left))
        except (socket.gaierror, TimeoutError) as error:
            reason = error if isinstance(error, socket.gaierror) else socket.gaierror("timed out")
            raise urllib3_exceptions.NameResolutionError(connection.host, connection, reason) from error
        if not self._public_only or connection.proxy:
            return addresses
        public = [address for address in addresses if _is_public(address)]
        if not public:
            raise _PrivateAddressError(connection.host)
        return public

    def _watch(self, opened: socket.socket) -> None:
        with self._lock:
            self._sockets.append(opened.dup())
        if self.left <= 0:
            self._shut_down()

    def _shut_down(self) -> None:
        with self._lock:
            for watched in self._sockets:
                with suppress(OSError):
                    watched.shutdown(socket.SHUT_RDWR)


class _PrivateAddressError(ValueError):
    pass


class _Plain(HTTPConnection):
    def __init__(self, call: _Call, **options: Any) -> None:
        super().__init__(**options)
        self._call = call

    def _new_conn(self) -> socket.socket:
        return self._call.connect(self)

    def send(self, data: Any) -> None:
        if self.sock is None:
            self.connect()
        self._call.sent = True
        super().send(data)


class _Secure(HTTPSConnection):
    def __init__(self, call: _Call, **options: Any) -> None:
        super().__init__(**options)
        self._call = call

    def _new_conn(self) -> socket.socket:
        return self._call.connect(self)

    def send(self, data: Any) -> None:
        if self.sock is None:
            self.connect()
        self._call.sent = True
        super().send(data)


class _Adapter(HTTPAdapter):
    """Makes every connection of a call by the call's rules."""

    def __init__(self, call: _Call) -> None:
        self._call = call
        super().__init__()

    def get_connection_with_tls_context(self, *args: Any, **kwargs: Any) -> Any:
        pool: Any = super().get_connection_with_tls_context(*args, **kwargs)
        pool.ConnectionCls = partial(_Secure if pool.scheme == "https" else _Plain, self._call)
        return pool

    def send(self, *args: Any, **kwargs: Any) -> requests.Response:
        answer = super().send(*args, **kwargs)
        if answer.is_redirect:
            answer.close()  # requests would read the body of a redirect to its end, whatever its size
        return answer


def _session(call: _Call) -> requests.Session:
    session = requests.Session()
    session.max_redirects = MAX_REDIRECTS
    session.headers["User-Agent"] = USER_AGENT
    for scheme in ("http://", "https://"):
        session.mount(scheme, _Adapter(call))
    return session


def _policy(attempts: int) -> Retry:
    """Pauses of 0.5 to 1 s, then of 1 to 1.5 s, and so on: doubled each time, and up to half a second by chance.

    urllib3 does not pause before the first repetition; an entry in the history that stands for nothing makes it.
    """
    return Retry(
        total=attempts - 1,
        allowed_methods=None,
        status_forcelist=RETRIED_STATUSES,
        backoff_factor=BACKOFF / 2,
        backoff_jitter=BACKOFF,
        history=(RequestHistory(None, None, None, None, None),),
        retry_after_max=10**9,
    )


def _after(failure: HttpError, policy: Retry) -> tuple[Retry, float]:
    """The policy after a failure, and how many seconds to wait: without end where there is no other attempt."""
    try:
        policy = policy.increment(error=failure)
    except urllib3_exceptions.MaxRetryError:
        return policy, inf
    return policy, max(policy.get_backoff_time(), failure.retry_after or 0) if failure.retryable else inf


def _attempt(
    ask: Callable[..., requests.Response], url: str, max_bytes: int, accept_statuses: Container[int], call: _Call
) -> Response:
    try:
        with ask(stream=True, timeout=(CONNECT_TIMEOUT, READ_TIMEOUT)) as answer:
            return _read(answer, max_bytes, accept_statuses, call)
    except _NETWORK_ERRORS as error:
        raise _explain(error, url, call) from error


def _read(answer: requests.Response, max_bytes: int, accept_statuses: Container[int], call: _Call) -> Response:
    status, host = answer.status_code, _host(answer.url)
    if not (200 <= status < 300 or status in accept_statuses):
        raise _refusal(answer, host)
    declared = answer.headers.get("Content-Length", "")
    too_large = HttpError(f"{host} answered with more than {_size(max_bytes)}", retryable=False, status=status)
    if declared.isdecimal() and (len(declared) > 18 or int(declared) > max_bytes):
        raise too_large
    body = _take(answer, max_bytes)
    if call.left <= 0:  # a body without a length seems to end where the watchdog ended it
        raise _too_slow(host, call)
    if len(body) > max_bytes:
        raise too_large
    return Response(status, answer.headers, body, answer.url)


def _take(answer: requests.Response, most: int) -> bytes:
    """The body, or where it is longer than `most` bytes, its start up to a chunk more than that."""
    body = BytesIO()
    for chunk in answer.iter_content(CHUNK):
        body.write(chunk)
        if body.tell() > most:
            break
    return body.getvalue()


def _refusal(answer: requests.Response, host: str) -> HttpError:
    """A status that is no success, in the words of the page that came with it."""
    status, body = answer.status_code, b""
    with suppress(*_NETWORK_ERRORS):
        body = _take(answer, PREFIX)[:PREFIX]
    retry_after = _retry_after(answer)
    sentence = f"{host} answered {_phrase(status)}"
    if status == HTTPStatus.FORBIDDEN:
        sentence = f"{host} refused the request ({_phrase(status)})"
    if retry_after:
        sentence += f" and asked to be left alone for {retry_after:.0f} s"
    page = body.decode("utf-8", "replace")
    if _is_page(page):
        sentence += f": {'a bot wall, ' if _is_bot_wall(answer, page) else ''}“{excerpt(page)}”"
    return HttpError(
        sentence,
        retryable=_policy(1).is_retry(answer.request.method or "GET", status),
        status=status,
        body=body,
        retry_after=retry_after,
    )


def _retry_after(answer: requests.Response) -> float | None:
    """Retry-After in seconds, from either of its forms; None where there is none or it makes no sense."""
    with suppress(urllib3_exceptions.InvalidHeader, ValueError, OverflowError):
        return _policy(1).get_retry_after(answer.raw)
    return None


_REASONS: tuple[tuple[tuple[type[BaseException], ...], str, bool], ...] = (
    ((_PrivateAddressError,), "{why} is at a private address, where no request may go", False),
    ((SSLCertVerificationError,), "{host} showed a TLS certificate that cannot be trusted: {why}", False),
    ((SSLError, urllib3_exceptions.SSLError), "{host} failed at the TLS handshake: {why}", True),
    ((urllib3_exceptions.NameResolutionError,), "the name {host} could not be resolved", True),
    ((requests.exceptions.ProxyError,), "{host} could not be reached through the proxy: {why}", True),
    ((ConnectionRefusedError,), "{host} refused the connection", True),
    ((urllib3_exceptions.NewConnectionError,), "{host} could not be reached: {why}", True),
    ((urllib3_exceptions.ConnectTimeoutError,), f"{{host}} took no connection within {CONNECT_TIMEOUT:g} s", True),
    ((urllib3_exceptions.ReadTimeoutError, TimeoutError), "{host} did not answer in time", True),
    (
        (IncompleteRead, requests.exceptions.ChunkedEncodingError, requests.exceptions.ContentDecodingError),
        "{host} broke off in the middle of its answer",
        True,
    ),
    ((ConnectionError,), "{host} closed the connection without an answer", True),
    ((HTTPException,), "{host} answered with something that is not HTTP", True),
    ((requests.TooManyRedirects,), f"{{host}} redirected more than {MAX_REDIRECTS} times", False),
    ((requests.exceptions.InvalidHeader,), "a header to or from {host} is malformed: {why}", False),
    ((requests.exceptions.InvalidJSONError,), "the request to {host} is not JSON: {why}", False),
    ((ValueError,), "“{url}” is not, or leads to, an address that can be asked", False),
)
"""What may go wrong on the way: the first line counts of which one kind is among the causes."""


def _explain(error: Exception, url: str, call: _Call) -> HttpError:
    """What went wrong on the way, as a sentence about the host where it did."""
    url = getattr(getattr(error, "request", None), "url", None) or url
    causes = list(_causes(error))
    private = any(isinstance(cause, _PrivateAddressError) for cause in causes)
    if call.left <= 0 and not private:
        return _too_slow(_host(url), call)
    for kinds, sentence, retryable in _REASONS:
        for cause in causes:
            if isinstance(cause, kinds):
                why = getattr(cause, "verify_message", None) or getattr(cause.__cause__, "strerror", None) or cause
                said = sentence.format(host=_host(url), url=excerpt(url), why=excerpt(str(why)))
                return HttpError(said, retryable=retryable)
    return HttpError(f"the connection to {_host(url)} broke: {excerpt(str(error))}", retryable=True)


def _too_slow(host: str, call: _Call) -> HttpError:
    return HttpError(f"{host} did not finish its answer within {call.seconds:g} s", retryable=True)


def _causes(error: BaseException) -> Iterator[BaseException]:
    """`error` and all that led to it: requests and urllib3 wrap the first cause up to four times."""
    waiting, seen = [error], set()
    while waiting:
        cause = waiting.pop()
        if id(cause) not in seen:
            seen.add(id(cause))
            yield cause
            waiting += [e for e in (cause.__context__, cause.__cause__, *cause.args) if isinstance(e, BaseException)]


def _resolve(host: str, seconds: float) -> list[str]:
    """The addresses of `host`. In a thread of its own, because the system's resolver keeps to no deadline."""
    found: Future[list[str]] = Future()

    def look_up() -> None:
        try:
            answers = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
            found.set_result(list(dict.fromkeys(str(address[0]) for *_, address in answers)))
        except Exception as error:
            found.set_exception(error)

    threading.Thread(target=look_up, daemon=True).start()
    return found.result(max(seconds, 0))


def _is_public(address: str) -> bool:
    ip = ip_address(address.partition("%")[0])
    ip = getattr(ip, "ipv4_mapped", None) or ip
    return ip.is_global and not ip.is_multicast


_MARKUP = re.compile(r"<(script|style)\b.*?(?:</\1\s*>|\Z)|<!--.*?(?:-->|\Z)|<[^>]*>?", re.DOTALL | re.IGNORECASE)
_BOT_WALL = re.compile(r"just a moment|cf-chl|challenge-platform|attention required|captcha", re.IGNORECASE)


def _is_page(text: str) -> bool:
    return text[:PREFIX].lstrip("\ufeff \t\r\n").startswith("<")


def _is_bot_wall(answer: requests.Response, page: str) -> bool:
    """Cloudflare marks its challenges with a header; the wording is of a page seen on leetcode.com in May 2026."""
    return "cf-mitigated" in answer.headers or _BOT_WALL.search(page) is not None


def _integer(digits: str) -> int | float:
    """JSON's integers; longer ones than Python converts are floats, so that they spoil one row and not the answer."""
    return int(digits) if len(digits) < 100 else float(digits)


def _phrase(status: int) -> str:
    with suppress(ValueError):
        return f"{status} {HTTPStatus(status).phrase}"
    return str(status)


def _size(size: int) -> str:
    return f"{size >> 20} MiB" if size >= 2**20 else f"{size} bytes"


def _host(url: str) -> str:
    """The host (and port, where it is named) of a URL, without credentials."""
    with suppress(ValueError):
        return urlsplit(url).netloc.rpartition("@")[2] or excerpt(url)
    return excerpt(url)
