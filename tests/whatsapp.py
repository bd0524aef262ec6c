"""Meta's Cloud API as its documents describe it, on a real socket: it takes templates, refuses, hangs, breaks off and
calls back with a signature."""

import hashlib
import hmac
import json
import multiprocessing
import re
import socket
import struct
import threading
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from multiprocessing.connection import Connection
from typing import Any, Self
from uuid import UUID

import requests

PHONE_NUMBER_ID = "106540352242922"
TOKEN = "EAAJB-only-for-tests"
APP_SECRET = "an app's secret, only for tests".replace(" ", "-")
VERIFY_TOKEN = "a-word-only-for-tests"

TEMPLATES = {"contest_reminder": 2, "contest_change": 2, "contest_digest": 2, "verification_code": 1}
"""The values in the body of each approved template."""

OWN_WORDS = 224
"""Characters that a template may have besides."""


@dataclass(frozen=True)
class Refusal:
    """An answer that refuses. `body` stands in for the API's own JSON, as what a proxy in front of it says."""

    code: int | str | None = None
    details: str = "Something is not as it should be."
    status: int = 400
    headers: Mapping[str, str] = field(default_factory=dict)
    extra: Mapping[str, Any] = field(default_factory=dict)
    body: bytes | None = None

    @property
    def content(self) -> bytes:
        if self.body is not None:
            return self.body
        error = {
            "message": f"(#{self.code}) Some title",
            "type": "OAuthException",
            "code": self.code,
            "error_data": {"messaging_product": "whatsapp", "details": self.details},
            "fbtrace_id": "Az8or2yhqkZfEZ-_4Qn_Bam",
            **self.extra,
        }
        return json.dumps({"error": error}).encode()


class Graph:
    """What it does with a number (without the plus sign) is said beforehand:

    - `refusals` maps it to the answer, and `statuses` to the message_status of a message that is taken.
    - What is for one in `silent` is taken, and never answered.
    - What is for one in `broken` is taken, and the connection reset.

    A connection that is silent for `idle` seconds is closed, and the first such sets `hung_up`.
    """

    def __init__(self) -> None:
        self.refusals: dict[str, Refusal] = {}
        self.statuses: dict[str, str] = {}
        self.silent: set[str] = set()
        self.broken: set[str] = set()
        self.taken: list[dict[str, Any]] = []
        self.connections = 0
        self.requests = 0
        self.most_at_once = 0
        self.delay = 0.0
        self.idle = 30.0
        self.hung_up = threading.Event()
        self.stopped = threading.Event()
        self._at_once = 0
        self._lock = threading.Lock()
        self._server = _Server(self)

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stopped.set()
        self._server.shutdown()
        self._server.server_close()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}/v23.0"

    @property
    def settings(self) -> dict[str, str]:
        """Those by which the service finds it."""
        return {
            "WHATSAPP_URL": self.url,
            "WHATSAPP_PHONE_NUMBER_ID": PHONE_NUMBER_ID,
            "WHATSAPP_TOKEN": TOKEN,
            "WHATSAPP_APP_SECRET": APP_SECRET,
            "WHATSAPP_VERIFY_TOKEN": VERIFY_TOKEN,
        }

    def to(self, number: str) -> list[dict[str, Any]]:
        return [message for message in self.taken if message["to"] == number.removeprefix("+")]

    def take(self, message: dict[str, Any]) -> str:
        """Returns the name it is given."""
        with self._lock:
            self.taken.append(message)
            return f"wamid.{len(self.taken):06}"

    def counted(self, difference: int) -> None:
        with self._lock:
            self._at_once += difference
            self.requests += max(difference, 0)
            self.most_at_once = max(self.most_at_once, self._at_once)

    def report(self, message: UUID | str, state: str, at: float | None = None, **more: Any) -> dict[str, Any]:
        """A status as a callback has it."""
        return {
            "id": "wamid.000001",
            "status": state,
            "timestamp": str(int(time.time() if at is None else at)),
            "recipient_id": "16505551234",
            "biz_opaque_callback_data": str(message),
            **more,
        }

    def failure(self, message: UUID | str, code: int, details: str = "Details.") -> dict[str, Any]:
        error = {"code": code, "title": "Title", "message": "Title", "error_data": {"details": details}, "href": "…"}
        return self.report(message, "failed", errors=[error])

    def callback(self, *reports: Mapping[str, Any]) -> bytes:
        value = {
            "messaging_product": "whatsapp",
            "metadata": {"display_phone_number": "15550783881", "phone_number_id": PHONE_NUMBER_ID},
            "statuses": reports,
        }
        entry = {"id": "102290129340398", "changes": [{"value": value, "field": "messages"}]}
        return json.dumps({"object": "whatsapp_business_account", "entry": [entry]}).encode()

    def call_back(self, url: str, *reports: Mapping[str, Any]) -> requests.Response:
        """Tell the service at this address, as Meta does."""
        body = self.callback(*reports)
        headers = {"Content-Type": "application/json", "X-Hub-Signature-256": sign(body)}
        return requests.post(url, data=body, headers=headers, timeout=10)


@contextmanager
def elsewhere() -> Iterator[dict[str, str]]:
    """A server in a process of its own, which takes no turns of ours. Gives its settings."""
    here, there = multiprocessing.Pipe()
    process = multiprocessing.get_context("spawn").Process(target=_serve, args=(there,))
    process.start()
    there.close()
    try:
        yield here.recv()
    finally:
        here.close()
        process.join()


def _serve(pipe: Connection) -> None:
    with Graph() as graph, suppress(EOFError):
        pipe.send(graph.settings)
        pipe.recv()


def sign(body: bytes, secret: str = APP_SECRET) -> str:
    return "sha256=" + hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 64

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        super().__init__(("127.0.0.1", 0), _Handler)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that hung up is no news."""


class _Handler(BaseHTTPRequestHandler):
    server: _Server
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def setup(self) -> None:
        super().setup()
        self.server.graph.connections += 1
        self.connection.settimeout(self.server.graph.idle)

    def finish(self) -> None:
        super().finish()
        self.server.shutdown_request(self.request)
        self.server.graph.hung_up.set()

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing: a test's output is its own."""

    def do_POST(self) -> None:
        graph = self.server.graph
        body = self.rfile.read(int(self.headers["Content-Length"]))
        graph.counted(+1)
        try:
            time.sleep(graph.delay)
            self._answer(graph, body)
        finally:
            graph.counted(-1)

    def _answer(self, graph: Graph, body: bytes) -> None:
        message = json.loads(body)
        number = message.get("to", "")
        if refusal := self._complaint(message) or graph.refusals.get(number):
            return self._send(refusal.status, refusal.content, refusal.headers)
        wamid = graph.take(message)
        if number in graph.silent:
            graph.stopped.wait(10)
        elif number in graph.broken:
            with suppress(OSError):
                self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.close_connection = True
        else:
            taken = {"id": wamid, "message_status": graph.statuses.get(number, "accepted")}
            contact = {"input": number, "wa_id": number}
            answer = {"messaging_product": "whatsapp", "contacts": [contact], "messages": [taken]}
            self._send(200, json.dumps(answer).encode())
        return None

    def _send(self, status: int, content: bytes, headers: Mapping[str, str] | None = None) -> None:
        self.send_response(status)
        for name, value in {"Content-Type": "application/json", **(headers or {})}.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def _complaint(self, message: dict[str, Any]) -> Refusal | None:
        """What the API finds wrong with a request, whoever it is for."""
        if self.headers["Authorization"] != f"Bearer {TOKEN}":
            return Refusal(190, "Error validating access token", 401)
        if self.path != f"/v23.0/{PHONE_NUMBER_ID}/messages":
            text = f"Unsupported post request. Object with ID '{self.path.split('/')[2]}' does not exist"
            return Refusal(100, extra={"message": text, "error_subcode": 33, "error_data": None})
        kind = (message.get("messaging_product"), message.get("recipient_type"), message.get("type"))
        if kind != ("whatsapp", "individual", "template") or not re.fullmatch(r"\d{7,15}", message.get("to", "")):
            return Refusal(131009, "Parameter value is not valid")
        if len(message.get("biz_opaque_callback_data", "")) > 512:
            return Refusal(131009, "biz_opaque_callback_data is too long")
        return _complaint_about(message["template"])


def _complaint_about(template: dict[str, Any]) -> Refusal | None:
    if template["name"] not in TEMPLATES or template["language"] != {"policy": "deterministic", "code": "en"}:
        return Refusal(132001, f"template name ({template['name']}) does not exist in this language", 404)
    components = {component["type"]: component for component in template["components"]}
    values = [parameter["text"] for parameter in components["body"]["parameters"]]
    button = components["button"]
    if len(values) != TEMPLATES[template["name"]] or (button["sub_type"], button["index"]) != ("url", "0"):
        return Refusal(132000, "number of localizable_params does not match the expected number of params")
    suffixes = [parameter["text"] for parameter in button["parameters"]]
    if any(_is_malformed(value) for value in [*values, *suffixes]):
        return Refusal(100, "Param text cannot have new-line/tab characters or more than 4 consecutive spaces")
    if sum(map(len, values)) + OWN_WORDS > 1024:
        return Refusal(132005, "Translated text too long")
    if template["name"] == "verification_code" and (values != suffixes or any(len(value) > 15 for value in values)):
        return Refusal(131009, "The code must stand in body and button, with 15 characters at most")
    return None


def _is_malformed(value: str) -> bool:
    return not value or bool(re.search(r"[\n\r\t]| {5}", value))


def texts(message: Mapping[str, Any]) -> list[str]:
    """What a taken message says: the values of its body, then the end of its button's address."""
    components: Iterable[Mapping[str, Any]] = message["template"]["components"]
    return [parameter["text"] for component in components for parameter in component["parameters"]]
