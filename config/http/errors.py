"""Everything that may go wrong with a request, each with its sentence."""

import re
from collections.abc import Iterator
from contextlib import suppress
from http import HTTPStatus
from http.client import HTTPException, IncompleteRead
from ssl import SSLCertVerificationError, SSLError

import requests
from urllib3 import Retry
from urllib3 import exceptions as urllib3_exceptions

from config.http.connections import CONNECT_TIMEOUT, MAX_REDIRECTS, Call, PrivateAddress
from config.http.sentences import excerpt, host, is_page, phrase

RETRIED_STATUSES = frozenset({429, 502, 503, 504})

NETWORK_ERRORS = (requests.RequestException, urllib3_exceptions.HTTPError, OSError, ValueError)
"""ValueError too: requests lets it through for a Location header that is no address."""


class HttpError(Exception):
    """There is no usable answer; `str(error)` is one sentence that names the host and says what happened.

    `retryable`: the same request may go through later without anybody changing anything. `sent`: the server may have
    got it; False where there was no connection to send it on. `status` and `body` (its first 8 KiB) are those of the
    answer, where there was one. `retry_after` is for how many seconds the server asked to be left alone.
    """

    def __init__(
        self,
        sentence: str,
        *,
        retryable: bool,
        sent: bool = True,
        status: int | None = None,
        body: bytes = b"",
        retry_after: float | None = None,
    ) -> None:
        super().__init__(sentence)
        self.retryable = retryable
        self.sent = sent
        self.status = status
        self.body = body
        self.retry_after = retry_after

    def count(self, attempts: int) -> None:
        """Say how often it was tried, where that was more than once."""
        if attempts > 1:
            self.args = (f"{self} ({attempts} attempts)",)


class PrivateAddressError(HttpError):
    """The host is in a private network, and only public ones may be asked."""


def refusal(answer: requests.Response, body: bytes) -> HttpError:
    """A status that is no success, in the words of the page that came with it."""
    status, asked = answer.status_code, host(answer.url)
    retry_after = _retry_after(answer)
    sentence = f"{asked} answered {phrase(status)}"
    if status == HTTPStatus.FORBIDDEN:
        sentence = f"{asked} refused the request ({phrase(status)})"
    if retry_after:
        sentence += f" and asked to be left alone for {retry_after:.0f} s"
    page = body.decode("utf-8", "replace")
    if is_page(page):
        sentence += f": {'a bot wall, ' if _is_bot_wall(answer, page) else ''}“{excerpt(page)}”"
    return HttpError(sentence, retryable=status in RETRIED_STATUSES, status=status, body=body, retry_after=retry_after)


def _retry_after(answer: requests.Response) -> float | None:
    """Retry-After in seconds, from either of its forms; None where there is none or it makes no sense."""
    with suppress(urllib3_exceptions.InvalidHeader, ValueError, OverflowError):
        return Retry(retry_after_max=10**9).get_retry_after(answer.raw)
    return None


_BOT_WALL = re.compile(r"just a moment|cf-chl|challenge-platform|attention required|captcha", re.IGNORECASE)


def _is_bot_wall(answer: requests.Response, page: str) -> bool:
    """Cloudflare marks its challenges with a header; the wording is of a page seen on leetcode.com in May 2026."""
    return "cf-mitigated" in answer.headers or _BOT_WALL.search(page) is not None


_REASONS: tuple[tuple[tuple[type[BaseException], ...], str, bool], ...] = (
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


def explain(error: Exception, url: str, call: Call) -> HttpError:
    """What went wrong on the way, as a sentence about the host where it did."""
    url = getattr(getattr(error, "request", None), "url", None) or url
    causes = list(_causes(error))
    for cause in causes:
        if isinstance(cause, PrivateAddress):
            said = f"{excerpt(str(cause))} is at a private address, where no request may go"
            return PrivateAddressError(said, retryable=False, sent=call.sent)
    if call.left <= 0:
        return too_slow(url, call)
    for kinds, sentence, retryable in _REASONS:
        for cause in causes:
            if isinstance(cause, kinds):
                why = getattr(cause, "verify_message", None) or getattr(cause.__cause__, "strerror", None) or cause
                said = sentence.format(host=host(url), url=excerpt(url), why=excerpt(str(why)))
                return HttpError(said, retryable=retryable, sent=call.sent)
    return HttpError(f"the connection to {host(url)} broke: {excerpt(str(error))}", retryable=True, sent=call.sent)


def too_slow(url: str, call: Call) -> HttpError:
    said = f"{host(url)} did not finish its answer within {call.seconds:g} s"
    return HttpError(said, retryable=True, sent=call.sent)


def _causes(error: BaseException) -> Iterator[BaseException]:
    """`error` and all that led to it: requests and urllib3 wrap the first cause up to four times."""
    waiting, seen = [error], set()
    while waiting:
        cause = waiting.pop()
        if id(cause) not in seen:
            seen.add(id(cause))
            yield cause
            waiting += [e for e in (cause.__context__, cause.__cause__, *cause.args) if isinstance(e, BaseException)]
