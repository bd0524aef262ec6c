"""A browser maker's push service as RFC 8030, 8291 and 8292 have it, on a real socket, and the browsers behind it.

It refuses what the RFCs have it refuse, and reads each message as the browser would, by the key that only that has.
"""

import base64
import json
import os
import re
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import count
from typing import Any, Self

import http_ece
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

LONGEST_TTL = 2_592_000
DAY = 86_400


def base64url(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


def decoded(text: str) -> bytes:
    if not re.fullmatch(r"[\w-]+", text, re.ASCII):
        raise ValueError("no base64url without padding")
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def point(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)


class Browser:
    """A subscription, with what only the browser knows of it. `server_key` is the VAPID key it was made for."""

    def __init__(self, endpoint: str, server_key: str | None = None) -> None:
        self.endpoint, self.server_key = endpoint, server_key
        self._key, self._secret = ec.generate_private_key(ec.SECP256R1()), os.urandom(16)

    @property
    def keys(self) -> dict[str, str]:
        return {"p256dh": base64url(point(self._key)), "auth": base64url(self._secret)}

    def read(self, body: bytes) -> bytes:
        return bytes(http_ece.decrypt(body, private_key=self._key, auth_secret=self._secret, version="aes128gcm"))


@dataclass(frozen=True)
class Received:
    """A message as the browser got it."""

    browser: Browser
    payload: dict[str, Any]
    size: int
    ttl: int
    urgency: str
    topic: str | None
    token: str
    claims: dict[str, Any]


@dataclass(frozen=True)
class Answer:
    status: int
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)


class Refused(Exception):
    def __init__(self, status: int, why: str) -> None:
        super().__init__(why)
        self.answer = Answer(status, json.dumps({"code": status, "message": why}).encode())


class PushService:
    """`answers` says beforehand, by the browser's endpoint, what is answered instead of taking the message."""

    def __init__(self) -> None:
        self.received: list[Received] = []
        self.answers: dict[str, Answer] = {}
        self.requests = self.connections = 0
        self.delay = 0.0
        self._browsers: dict[str, Browser] = {}
        self._numbers = count(1)
        self._lock = threading.Lock()
        self._server = _Server(self)

    @property
    def origin(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def browser(self, server_key: str | None = None) -> Browser:
        browser = Browser(f"{self.origin}/push/{next(self._numbers)}-{base64url(os.urandom(24))}", server_key)
        self._browsers[browser.endpoint] = browser
        return browser

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    def answer(self, path: str, headers: Mapping[str, str], body: bytes) -> Answer:
        endpoint = f"{self.origin}{path}"
        with self._lock:
            self.requests += 1
        time.sleep(self.delay)
        if told := self.answers.get(endpoint):
            return told
        try:
            received = self._read(endpoint, headers, body)
        except Refused as refused:
            return refused.answer
        with self._lock:
            self.received.append(received)
        return Answer(201, headers={"Location": f"{self.origin}/message/1", "TTL": str(received.ttl)})

    def _read(self, endpoint: str, headers: Mapping[str, str], body: bytes) -> Received:
        """Numbers of sections are those of RFC 8030, where no other is named."""
        token, claims, key = self._authorized(headers.get("Authorization", ""))
        browser = self._browsers.get(endpoint)
        if browser is None:  # 7.3
            raise Refused(404, "No such subscription")
        if browser.server_key not in (None, key):
            raise Refused(403, "VapidPkHashMismatch")
        ttl, urgency, topic = headers.get("TTL", ""), headers.get("Urgency", "normal"), headers.get("Topic")
        if not re.fullmatch(r"\d+", ttl, re.ASCII) or int(ttl) > LONGEST_TTL:  # 5.2
            raise Refused(400, "Invalid TTL")
        if urgency not in ("very-low", "low", "normal", "high"):  # 5.3
            raise Refused(400, "Invalid urgency")
        if topic is not None and not re.fullmatch(r"[\w-]{1,32}", topic, re.ASCII):  # 5.4
            raise Refused(400, "Invalid topic")
        if len(body) > 4096:  # 7.2
            raise Refused(413, "Too large")
        if headers.get("Content-Encoding") != "aes128gcm":  # RFC 8291, section 4
            raise Refused(400, "Unknown content encoding")
        plaintext = browser.read(body)
        return Received(browser, json.loads(plaintext), len(plaintext), int(ttl), urgency, topic, token, claims)

    def _authorized(self, header: str) -> tuple[str, dict[str, Any], str]:
        """The token, its claims, and the key that signed it (RFC 8292, sections 2 and 3)."""
        found = re.fullmatch(r"vapid t=(([\w-]+)\.([\w-]+)\.[\w-]+), ?k=([\w-]+)", header)
        if found is None:
            raise Refused(401, "No VAPID token")
        token, head, claims, key = found.groups()
        signature = decoded(token.rpartition(".")[2])
        r, s = (int.from_bytes(half) for half in (signature[:32], signature[32:]))
        public = ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), decoded(key))
        try:
            public.verify(encode_dss_signature(r, s), f"{head}.{claims}".encode(), ec.ECDSA(SHA256()))
        except InvalidSignature as error:
            raise Refused(403, "BadJwtToken") from error
        said = json.loads(decoded(claims))
        now = time.time()
        if (
            json.loads(decoded(head)) != {"typ": "JWT", "alg": "ES256"}
            or said["aud"] != self.origin
            or not now < said["exp"] <= now + DAY
            or not re.match(r"mailto:.+@|https://", said.get("sub", ""))
        ):
            raise Refused(403, "BadJwtToken")
        return token, said, key


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 64

    def __init__(self, service: PushService) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.service = service

    def process_request(self, *arguments: Any) -> None:
        self.service.connections += 1
        super().process_request(*arguments)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: _Server

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        answer = self.server.service.answer(self.path, dict(self.headers), body)
        self.send_response(answer.status)
        for name, value in {**answer.headers, "Content-Length": str(len(answer.body))}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(answer.body)

    def log_message(self, *_: Any) -> None:
        """Tests print enough."""
