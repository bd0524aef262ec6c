"""Web Push: an encrypted message to the push service of a browser, which wakes the browser up.

RFC 8030 is the request, RFC 8291 the encryption, and RFC 8292 (VAPID) how the service knows us: by a token that our
private key signed. The endpoint is an address that a member's browser named, so it is asked only at a public host.
"""

import json
import re
import time
from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from functools import cache
from threading import Lock
from typing import Any, ClassVar
from urllib.parse import urlsplit

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from django.conf import settings
from http_ece import ECEException
from py_vapid import jwt
from py_vapid.utils import b64urldecode, b64urlencode

from config.http import Client, HttpError, PrivateAddressError, excerpt, is_public
from notifications.channels.base import Channel, ChannelDead, DeliveryError, GiveUp, Message, RetryLater

PATIENCE = 10.0
"""Seconds for a whole answer."""

LONGEST_ANSWER = 64 * 2**10

LONGEST_PLAINTEXT = 2_999
"""Bytes. A service takes 3,993 (RFC 8291, section 4), but what Mozilla passes on to phones must be smaller."""

LONGEST_ENDPOINT = 1000

ENDPOINT = re.compile(r"https?://([\w.-]+|\[[\da-f:.]+\])(:\d{1,5})?(/[!-~]*)?", re.ASCII | re.IGNORECASE)
"""Nothing beside the host that one library takes for a part of it and another one does not, as “\\” and “@”."""

POINT, AUTH = 65, 16
"""Bytes of a subscription's keys: a point of P-256, uncompressed, and a secret (RFC 8291, section 3)."""

FOOT = "\n--\n"
"""After it a text says what a mail must say."""

ADDRESS = re.compile(r"^https?://\S+$\n?", re.MULTILINE)
"""A line that is an address alone: a click on the notification leads there."""

LONGEST_TITLE = 120
"""Characters; notifications show fewer."""

LONGEST_LIFE = timedelta(days=30)
"""Mozilla refuses what shall be kept for longer (autopush, errno 112)."""

SOON = timedelta(hours=1)

TOKEN_LIFE = timedelta(hours=12)
"""A service takes tokens for up to 24 hours (RFC 8292, section 2)."""

REST = timedelta(seconds=30)
"""For so long a service that did not answer is not asked again."""

GONE = (404, 410)
"""Both in use for a subscription that is no more: RFC 8030 (section 7.3) says 404, the services say 410."""

OUR_FAULT = (400, 401, 403)
"""Statuses for a token or a header that is wrong. It is for staff to look, and the message waits for that; the
subscription is as good as before, and what others are sent may be as well."""

OTHER_KEY = b"VapidPkHashMismatch"
"""Apple's word for a subscription that was made with another key than ours."""


class Push(Channel):
    """`send` may be called by several threads.

    Each browser maker runs a push service of its own: one that is down, or refuses us, says nothing about the others.
    So no failure is ever that of all, and a service that does not answer rests for a while without stopping anything.
    """

    kind: ClassVar[str] = "push"
    title: ClassVar[str] = "push"
    message: ClassVar[str] = "a push message"
    needs_keys: ClassVar[bool] = True
    concurrency: ClassVar[int] = 8

    @classmethod
    def is_configured(cls) -> bool:
        return bool(settings.VAPID_PRIVATE_KEY)

    def __init__(self) -> None:
        self._to_anybody = Client(public_only=True, connections=self.concurrency)
        self._to_trusted = Client(connections=self.concurrency)
        self._lock = Lock()
        self._tokens: dict[str, tuple[float, str]] = {}
        self._resting: dict[str, tuple[float, str]] = {}

    def send(self, message: Message) -> None:
        now = time.time()
        origin = origin_of(message.address)
        _require_allowed(origin)
        is_trusted = origin in settings.PUSH_TRUSTED_ORIGINS
        self._leave_resting_service_alone(origin, now)
        try:
            (self._to_trusted if is_trusted else self._to_anybody).request(
                "POST",
                message.address,
                body=encrypted(_payload(message), message.keys),
                headers={**_headers(message, now), "Authorization": self._authorization(origin, now)},
                deadline=PATIENCE,
                max_bytes=LONGEST_ANSWER,
                attempts=1,
                redirects=False,
            )
        except HttpError as error:
            failure = _typed(error)
            if isinstance(failure, RetryLater) and (error.status is None or failure.after):
                self._let_rest(origin, now, failure)
            raise failure from error

    def close(self) -> None:
        self._to_anybody.close()
        self._to_trusted.close()

    def _authorization(self, origin: str, now: float) -> str:
        """The token for a push service: signing costs more than what it is made for, so it is kept."""
        with self._lock:
            signed_at, token = self._tokens.get(origin, (-float("inf"), ""))
            if abs(now - signed_at) >= TOKEN_LIFE.total_seconds() / 2:  # a clock that went back counts too
                expires = int(now + TOKEN_LIFE.total_seconds())
                claims = {"aud": origin, "exp": expires, "sub": settings.VAPID_SUBJECT}
                token = jwt.sign(claims, _key(settings.VAPID_PRIVATE_KEY))
                self._tokens[origin] = now, token
        return f"vapid t={token}, k={public_key()}"

    def _leave_resting_service_alone(self, origin: str, now: float) -> None:
        until, why = self._resting.get(origin, (0.0, ""))
        if now < until:
            raise RetryLater(why, timedelta(seconds=until - now))

    def _let_rest(self, origin: str, now: float, failure: RetryLater) -> None:
        self._resting[origin] = now + (failure.after or REST).total_seconds(), str(failure)


def check(endpoint: str, keys: object) -> dict[str, str]:
    """The keys of a subscription, and nothing else of what came with it. Raises ValueError with what is wrong with it.

    Whether a name leads into a private network is seen when it is asked: it may lead elsewhere by then.
    """
    try:
        _require_allowed(origin_of(endpoint))
    except ChannelDead as error:
        raise ValueError(f"{error}.") from error
    found = {name: str(keys.get(name, "")) for name in ("p256dh", "auth")} if isinstance(keys, dict) else {}
    try:
        ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), point := _bytes(found.get("p256dh", "")))
        is_usable = len(point) == POINT and len(_bytes(found["auth"])) == AUTH
    except ValueError:
        is_usable = False
    if not is_usable:
        raise ValueError("The keys that the browser gave with its subscription are none.")
    return found


def _bytes(encoded: str) -> bytes:
    """Of base64url without padding, as browsers say it. Raises ValueError for anything else."""
    if not re.fullmatch(r"[\w-]+", encoded, re.ASCII):
        raise ValueError
    return bytes(b64urldecode(encoded.encode()))


def _require_allowed(origin: str) -> None:
    if origin in settings.PUSH_TRUSTED_ORIGINS:
        return
    if not origin.startswith("https://"):
        raise ChannelDead("The browser named a push service that is not at an https address")
    with suppress(ValueError):  # a name; what it leads to is seen when it is asked
        if not is_public((urlsplit(origin).hostname or "").strip("[]")):
            raise ChannelDead("The browser named a push service that is at a private address")


def origin_of(url: str) -> str:
    """Scheme, host and port as a browser says them. Raises ChannelDead where the URL has none."""
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port
    except ValueError:
        host = ""
    if not host or len(url) > LONGEST_ENDPOINT or not ENDPOINT.fullmatch(url):
        raise ChannelDead("The browser named a push service by something that is no address")
    is_usual = port in (None, {"https": 443, "http": 80}[parts.scheme])
    where = f"[{host}]" if ":" in host else host
    return f"{parts.scheme}://{where}{'' if is_usual else f':{port}'}"


def public_key() -> str:
    """What a page hands to the browser: the key by which push services know us."""
    return public_key_of(settings.VAPID_PRIVATE_KEY)


@cache
def public_key_of(private: str) -> str:
    """As base64url of the uncompressed point."""
    return str(b64urlencode(_key(private).public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)))


@cache
def _key(private: str) -> ec.EllipticCurvePrivateKey:
    return ec.derive_private_key(int.from_bytes(b64urldecode(private.encode())), ec.SECP256R1())


def encrypted(plaintext: bytes, keys: Mapping[str, str]) -> bytes:
    """One record of aes128gcm that the subscription alone can read (RFC 8291)."""
    # Half a second, for an HTTP client of its own that is not used: only who pushes pays it.
    from pywebpush import WebPusher, WebPushException

    try:
        subscription = WebPusher({"endpoint": "", "keys": {"p256dh": keys["p256dh"], "auth": keys["auth"]}})
        return bytes(subscription.encode(plaintext, "aes128gcm")["body"])
    except (WebPushException, ECEException, ValueError, LookupError) as error:
        raise ChannelDead("The keys that the browser gave with its subscription are none") from error


def _headers(message: Message, now: float) -> dict[str, str]:
    left = message.expires_at - datetime.fromtimestamp(now, UTC)
    life = max(timedelta(0), min(left, LONGEST_LIFE))
    headers = {
        "Content-Encoding": "aes128gcm",
        "Content-Type": "application/octet-stream",
        "TTL": str(int(life.total_seconds())),
        "Urgency": "high" if left <= SOON else "normal",
    }
    return {**headers, "Topic": message.tag} if message.tag else headers


def _payload(message: Message) -> bytes:
    """What the service worker shows, with as much of the text as there is room for."""
    parts = {
        "title": _cut(message.subject, LONGEST_TITLE),
        "body": "",
        "url": message.url,
        "tag": message.tag,
        "id": str(message.id),
        "expires_at": message.expires_at.isoformat(),
    }
    room = LONGEST_PLAINTEXT - len(_json(parts))
    text = ADDRESS.sub("", message.text.partition(FOOT)[0]).strip()
    return _json({**parts, "body": _cut_to_fit(text, room)})


def _cut_to_fit(text: str, room: int) -> str:
    """The start of a text that takes at most `room` bytes in JSON, where a character takes from one to six."""
    text = _cut(text, room)
    while text and (size := len(_json(text)) - len('""')) > room:
        text = _cut(text, min(len(text) - 1, len(text) * room // size))
    return text


def _cut(text: str, longest: int) -> str:
    if len(text) <= longest:
        return text
    return text[: longest - 1].rstrip() + "…" if longest > 0 else ""


def _json(value: Any) -> bytes:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace")


def _typed(error: HttpError) -> DeliveryError:
    said = f"{error}{_in_its_words(error.body)}"
    after = timedelta(seconds=error.retry_after) if error.retry_after else None
    if isinstance(error, PrivateAddressError):
        return ChannelDead(f"The browser named a push service that must not be asked: {said}")
    if error.status in GONE:
        return ChannelDead(f"The push service knows the subscription no more: {said}", gone=True)
    if OTHER_KEY in error.body:
        return ChannelDead(f"The subscription was made for another VAPID key: {said}", gone=True)
    if error.status == 429 or (error.status or 0) >= 500:
        return RetryLater(f"The push service takes nothing now: {said}", after)
    if error.status in OUR_FAULT:
        return RetryLater(
            f"The push service does not work with our VAPID key, subject or request: {said}", alarming=True
        )
    kind = RetryLater if error.status is None and error.retryable else GiveUp
    return kind(f"The push service did not take the message: {said}")


def _in_its_words(body: bytes) -> str:
    """What services say in JSON; a page stands in the error's own sentence."""
    words = body.decode("utf-8", "replace").strip()
    return f": “{excerpt(words)}”" if words.startswith("{") else ""
