"""The one door for outbound HTTP: a deadline, a size cap, retries, and a sentence for every failure.

Plain `requests` leaves three holes. Its timeouts bound one wait each, so a server that sends a byte a second is never
given up. It reads bodies, those of redirects too, of any size. Its retries end where the body begins, so an answer that
breaks off in the middle is not asked for again. Here urllib3's Retry only decides whether and when; the loop is ours,
and reading the body is inside an attempt.
"""

import re
import time
from collections.abc import Callable, Container, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from http import HTTPStatus
from io import BytesIO
from json import loads
from math import inf
from types import TracebackType
from typing import Any, Self, TypedDict, Unpack

import requests
from urllib3 import Retry
from urllib3.exceptions import MaxRetryError
from urllib3.util.retry import RequestHistory

from config.http.connections import CONNECT_TIMEOUT, Call, Connections, Session, is_public
from config.http.errors import NETWORK_ERRORS, HttpError, PrivateAddressError, explain, refusal, too_slow
from config.http.sentences import PREFIX, excerpt, host, is_page, phrase, size

__all__ = ["Client", "HttpError", "PrivateAddressError", "Response", "excerpt", "is_public", "request"]

READ_TIMEOUT = 10.0
BACKOFF = 0.5
CHUNK = 64 * 1024


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
            kind = "an HTML page" if is_page(self.text) else "something that is not JSON"
            said = f"{kind}: “{excerpt(self.text)}”" if self.body.strip() else "nothing"
            status = "" if self.status == HTTPStatus.OK else f" {phrase(self.status)}"
            raise HttpError(
                f"{host(self.url)} answered{status} with {said}",
                retryable=True,
                status=self.status,
                body=self.body[:PREFIX],
            ) from error


class Options(TypedDict, total=False):
    """What `Client.request` takes by name."""

    params: Mapping[str, str] | None
    json: object
    body: bytes | None
    headers: Mapping[str, str] | None
    deadline: float
    max_bytes: int
    attempts: int
    accept_statuses: Container[int]
    repeatable: bool
    redirects: bool


def request(method: str, url: str, *, public_only: bool = False, **options: Unpack[Options]) -> Response:
    """Ask once, over a connection that is not kept. The options are those of `Client` and `Client.request`."""
    with Client(public_only=public_only, connections=1) as client:
        return client.request(method, url, **options)


class Client:
    """Keeps connections, up to `connections` to a host, for many requests from as many threads.

    `public_only` refuses private, loopback and link-local addresses, after redirects too: for addresses that come from
    users. Behind a proxy of the operator's it is the proxy that resolves names, and the proxy that must refuse.
    """

    def __init__(self, *, public_only: bool = False, connections: int = 8) -> None:
        self._connections = Connections(public_only, connections)
        self._session = Session(self._connections)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Hang up, once no thread is in `request` any more."""
        self._connections.close()

    def request(
        self,
        method: str,
        url: str,
        *,
        params: Mapping[str, str] | None = None,
        json: object = None,
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        deadline: float = 30.0,
        max_bytes: int = 16 * 2**20,
        attempts: int = 3,
        accept_statuses: Container[int] = (),
        repeatable: bool = True,
        redirects: bool = True,
    ) -> Response:
        """Ask `url` and read the answer. Raises HttpError for everything that is not a whole 2xx answer.

        - `deadline` (seconds) bounds the call with all its attempts and pauses, however slowly the answer drips.
        - `max_bytes` bounds the body after decompression.
        - A connection that fails or breaks, 10 s of silence and the statuses 429, 502, 503 and 504 are tried `attempts`
          times, with backoff and jitter, or after the time that Retry-After names. Where that is beyond the deadline,
          the call fails at once and says so.
        - POST is retried like GET: what we post is a question, or carries an identity by which the receiver can tell a
          repetition. Where neither is true, with `repeatable=False`, nothing is sent that may have been sent before.
        - A kept connection that turns out to be closed is replaced, and that is no attempt.
        - A status in `accept_statuses` is returned as an answer, without another attempt.
        - `redirects=False` takes a redirect for a refusal.
        """
        session = self._session.for_one_call()
        ask = partial(
            session.ask, method, url, headers=headers, redirects=redirects, params=params, json=json, data=body
        )
        with self._connections.within(deadline) as call:
            policy, attempt = _policy(attempts), 1
            while True:
                try:
                    return _attempt(ask, url, max_bytes, accept_statuses, call)
                except HttpError as failure:
                    may_repeat = repeatable or not failure.sent
                    if call.hung_up and may_repeat and call.left > 0:
                        continue
                    policy, pause = _after(failure, policy) if may_repeat else (policy, inf)
                    if pause >= call.left:
                        failure.count(attempt)
                        raise
                time.sleep(pause)
                attempt += 1


def _policy(attempts: int) -> Retry:
    """Pauses of 0.5 to 1 s, then of 1 to 1.5 s, and so on: doubled each time, and up to half a second by chance.

    urllib3 does not pause before the first repetition; an entry in the history that stands for nothing makes it.
    """
    return Retry(
        total=attempts - 1,
        backoff_factor=BACKOFF / 2,
        backoff_jitter=BACKOFF,
        history=(RequestHistory(None, None, None, None, None),),
    )


def _after(failure: HttpError, policy: Retry) -> tuple[Retry, float]:
    """The policy after a failure, and how many seconds to wait: without end where there is no other attempt."""
    try:
        policy = policy.increment(error=failure)
    except MaxRetryError:
        return policy, inf
    return policy, max(policy.get_backoff_time(), failure.retry_after or 0) if failure.retryable else inf


def _attempt(
    ask: Callable[..., requests.Response], url: str, max_bytes: int, accept_statuses: Container[int], call: Call
) -> Response:
    call.hung_up = False
    try:
        with ask(timeout=(CONNECT_TIMEOUT, READ_TIMEOUT)) as answer:
            return _read(answer, max_bytes, accept_statuses, call)
    except NETWORK_ERRORS as error:
        raise explain(error, url, call) from error


def _read(answer: requests.Response, max_bytes: int, accept_statuses: Container[int], call: Call) -> Response:
    status = answer.status_code
    if not (200 <= status < 300 or status in accept_statuses):
        raise refusal(answer, _start(answer))
    declared = answer.headers.get("Content-Length", "")
    too_large = HttpError(
        f"{host(answer.url)} answered with more than {size(max_bytes)}", retryable=False, status=status
    )
    if declared.isdecimal() and (len(declared) > 18 or int(declared) > max_bytes):
        raise too_large
    body = _take(answer, max_bytes)
    if call.left <= 0:  # a body without a length seems to end where the watchdog ended it
        raise too_slow(answer.url, call)
    if len(body) > max_bytes:
        raise too_large
    return Response(status, answer.headers, body, answer.url)


def _start(answer: requests.Response) -> bytes:
    """What can be had of a refusal's body: of one that breaks off, nothing."""
    with suppress(*NETWORK_ERRORS):
        return _take(answer, PREFIX)[:PREFIX]
    return b""


def _take(answer: requests.Response, most: int) -> bytes:
    """The body, or where it is longer than `most` bytes, its start up to a chunk more than that."""
    body = BytesIO()
    for chunk in answer.iter_content(CHUNK):
        body.write(chunk)
        if body.tell() > most:
            break
    return body.getvalue()


def _integer(digits: str) -> int | float:
    """JSON's integers; longer ones than Python converts are floats, so that they spoil one row and not the answer."""
    return int(digits) if len(digits) < 100 else float(digits)
