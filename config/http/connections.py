"""Connections to allowed addresses, kept for the next request, and the watchdog that ends a request at its deadline."""

import os
import socket
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future
from contextlib import contextmanager, suppress
from copy import copy
from functools import partial
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address
from math import inf
from ssl import SSLError
from typing import Any, Self
from urllib.parse import urlsplit

import requests
from requests.adapters import HTTPAdapter
from requests.cookies import RequestsCookieJar
from urllib3 import exceptions
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.util.connection import create_connection

USER_AGENT = "Mozilla/5.0 (compatible; CodeNotify/1.0)"
CONNECT_TIMEOUT = 5.0
NAME_TIMEOUT = 10.0
MAX_REDIRECTS = 5
MOST_HOSTS = 64
"""To more hosts than this no connections are kept at a time."""

_NAT64 = IPv6Network("64:ff9b::/96")
"""Where a network without IPv4 reaches the addresses of IPv4 (RFC 6052)."""


class PrivateAddress(ValueError):
    """A host has no address but private ones."""


class Call:
    """One request with all its attempts and redirects: how long it may take, and what became of it so far.

    `sent`: a server may have got the request. `hung_up`: a connection that was kept turned out to be closed.
    """

    def __init__(self, seconds: float) -> None:
        self.seconds, self.end = seconds, time.monotonic() + seconds
        self.sent = self.hung_up = False
        self.lines: list[tuple[_Plain, socket.socket]] = []

    @property
    def left(self) -> float:
        """Seconds until the deadline; negative after it."""
        return self.end - time.monotonic()


class Watchdog:
    """Ends calls at their deadline.

    A server that drips defeats the timeout of every single wait, so at the deadline a thread shuts the call's sockets
    down, and whatever waits on them wakes up. It holds duplicates of them: TLS detaches the original, and a descriptor
    of its own cannot be closed and reused for something else in the meantime. A connection that was kept and works for
    another call by now is left alone.
    """

    def __init__(self) -> None:
        self._calls: set[Call] = set()
        self._changed = threading.Condition()
        self._wakes_at = inf
        self._thread: threading.Thread | None = None
        self._closed = False

    @contextmanager
    def over(self, call: Call) -> Iterator[Call]:
        with self._changed:
            self._calls.add(call)
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, daemon=True)
                self._thread.start()
            elif call.end < self._wakes_at:
                self._changed.notify()
        try:
            yield call
        finally:
            with self._changed:
                self._calls.discard(call)
                for _, line in call.lines:
                    line.close()

    def watch(self, call: Call, connection: "_Plain", opened: socket.socket) -> None:
        line = socket.socket(opened.family, opened.type, opened.proto, os.dup(opened.fileno()))
        with self._changed:
            connection.call = call
            call.lines.append((connection, line))
            if call.left <= 0:
                self._end(call)

    def close(self) -> None:
        with self._changed:
            self._closed = True
            self._changed.notify()

    def _run(self) -> None:
        with self._changed:
            while not self._closed:
                now = time.monotonic()
                for call in self._calls:
                    if call.end <= now:
                        self._end(call)
                self._wakes_at = min((call.end for call in self._calls if call.end > now), default=inf)
                self._changed.wait(None if self._wakes_at == inf else self._wakes_at - now)

    def _end(self, call: Call) -> None:
        for connection, line in call.lines:
            if connection.call is call:
                with suppress(OSError):
                    line.shutdown(socket.SHUT_RDWR)


class _Plain(HTTPConnection):
    """A connection that works for one call after another."""

    call: Call | None = None

    def __init__(self, connections: "Connections", **options: Any) -> None:
        super().__init__(**options)
        self._connections = connections
        self._is_kept = False
        self._unsent: list[bytes] | None = None

    def _new_conn(self) -> socket.socket:
        self._is_kept = False
        return self._connections.connect(self)

    def request(self, *args: Any, **options: Any) -> None:
        if self.sock is None:
            self.connect()
        call = self._connections.call
        if self.call is not call:
            self._connections.watchdog.watch(call, self, self.sock)
        packet = self._written(partial(super().request, *args, **options))
        call.sent = True
        try:
            self.send(packet)
        except (ConnectionError, SSLError):
            call.hung_up = self._is_kept
            raise

    def _written(self, write: Callable[[], None]) -> bytes:
        """Headers and body in one piece: by themselves they would be two packets, of which each wakes the server up."""
        self._unsent = []
        try:
            write()
            return b"".join(self._unsent)
        finally:
            self._unsent = None

    def send(self, data: Any) -> None:
        if self._unsent is None:
            super().send(data)
        else:
            self._unsent.append(data)

    def getresponse(self) -> Any:
        try:
            answer = super().getresponse()
        except (ConnectionError, SSLError):
            self._connections.call.hung_up = self._is_kept
            raise
        self._is_kept = True
        return answer


class _Secure(_Plain, HTTPSConnection):
    pass


class Connections(HTTPAdapter):
    """Makes and keeps the connections of a client, up to `most` to a host, all by its rules."""

    def __init__(self, public_only: bool, most: int) -> None:
        self.watchdog = Watchdog()
        self._public_only = public_only
        self._in_this_thread = threading.local()
        super().__init__(pool_connections=MOST_HOSTS, pool_maxsize=most)

    @contextmanager
    def within(self, seconds: float) -> Iterator[Call]:
        """A call of this thread's, which ends after so many seconds."""
        with self.watchdog.over(Call(seconds)) as call:
            self._in_this_thread.call = call
            try:
                yield call
            finally:
                del self._in_this_thread.call

    @property
    def call(self) -> Call:
        """The call that this thread is at."""
        call: Call = self._in_this_thread.call
        return call

    def close(self) -> None:
        super().close()
        self.watchdog.close()

    def get_connection_with_tls_context(self, *args: Any, **kwargs: Any) -> Any:
        pool: Any = super().get_connection_with_tls_context(*args, **kwargs)
        pool.ConnectionCls = partial(_Secure if pool.scheme == "https" else _Plain, self)
        return pool

    def send(self, *args: Any, **kwargs: Any) -> requests.Response:
        answer = super().send(*args, **kwargs)
        if answer.is_redirect:
            answer.close()  # requests would read the body of a redirect to its end, whatever its size
        return answer

    def connect(self, connection: _Plain) -> socket.socket:
        """What urllib3's `_new_conn` does, within the deadline, and only to addresses that are allowed."""
        call = self.call
        failure: Exception = exceptions.ConnectTimeoutError("no time was left to connect")
        for address in self._addresses(connection, call):
            if call.left <= 0:
                break
            try:
                opened = create_connection(
                    (address, connection.port),
                    min(CONNECT_TIMEOUT, call.left),
                    connection.source_address,
                    connection.socket_options,
                )
            except TimeoutError:
                failure = exceptions.ConnectTimeoutError(f"{address} did not accept a connection")
            except OSError as error:
                failure = exceptions.NewConnectionError(connection, str(error))
                failure.__cause__ = error
            else:
                self.watchdog.watch(call, connection, opened)
                return opened
        raise failure

    def _addresses(self, connection: _Plain, call: Call) -> list[str]:
        try:
            addresses = _resolve(connection.host.strip("[]"), min(NAME_TIMEOUT, call.left))
        except (socket.gaierror, TimeoutError) as error:
            reason = error if isinstance(error, socket.gaierror) else socket.gaierror("timed out")
            raise exceptions.NameResolutionError(connection.host, connection, reason) from error
        if not self._public_only or connection.proxy:
            return addresses
        public = [address for address in addresses if is_public(address)]
        if not public:
            raise PrivateAddress(connection.host)
        return public


class Session(requests.Session):
    """What requests adds to connections: redirects, cookies between them, and the proxies of the environment.

    The environment is read once for each server: it does not change, and it is a quarter of what a request costs.
    """

    __attrs__ = [*requests.Session.__attrs__, "_environment"]

    def __init__(self, connections: Connections) -> None:
        super().__init__()
        self._environment: dict[tuple[str, str], Any] = {}
        self.max_redirects = MAX_REDIRECTS
        self.headers["User-Agent"] = USER_AGENT
        for scheme in ("http://", "https://"):
            self.mount(scheme, connections)

    def for_one_call(self) -> Self:
        """With the same connections, and with cookies of its own."""
        session = copy(self)
        session.cookies = RequestsCookieJar()
        return session

    def ask(
        self, method: str, url: str, *, headers: Mapping[str, str] | None, redirects: bool, timeout: Any, **content: Any
    ) -> requests.Response:
        """What `Session.request` does, without a look into ~/.netrc and at half the price."""
        request = requests.PreparedRequest()
        request.prepare(method=method.upper(), url=url, headers={**self.headers, **(headers or {})}, **content)
        options = self._settings(request.url or "")
        return self.send(request, timeout=timeout, allow_redirects=redirects, **options)

    def _settings(self, url: str) -> Any:
        scheme, host, *_ = urlsplit(url)
        if (scheme, host) not in self._environment:
            self._environment[scheme, host] = self.merge_environment_settings(url, {}, True, None, None)
        return self._environment[scheme, host]


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


def is_public(address: str) -> bool:
    """Whether a request may go there; ValueError for a name. An IPv6 address for an IPv4 one is judged by that."""
    ip = ip_address(address.partition("%")[0])
    if isinstance(ip, IPv6Address):
        if ip.is_site_local:
            return False
        ip = IPv4Address(int(ip) & 0xFFFFFFFF) if ip in _NAT64 else ip.ipv4_mapped or ip.sixtofour or ip
    return ip.is_global and not ip.is_multicast and not ip.is_reserved
