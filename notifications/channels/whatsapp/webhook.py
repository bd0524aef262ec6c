"""What Meta calls back: a handshake once, and from then on what became of each message.

https://developers.facebook.com/documentation/business-messaging/whatsapp/webhooks/reference/messages/status: callbacks
come in any order, several in one body and some again; a message that was read need not be called delivered first.
"""

import hashlib
import hmac
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Any, Literal, cast
from uuid import UUID

from django.conf import settings

from notifications.channels.base import DeliveryError, GiveUp
from notifications.channels.whatsapp.errors import GraphError

LONGEST_BODY = 3 * 2**20
"""Bytes; Meta sends no more."""

LONGEST_CHALLENGE = 200

State = Literal["sent", "delivered", "read", "failed"]


class Refused(Exception):
    """The caller gets this status and sentence."""

    def __init__(self, status: HTTPStatus, sentence: str) -> None:
        super().__init__(sentence)
        self.status = status


@dataclass(frozen=True, slots=True)
class Report:
    """What became of a message: `wamid` is Meta's name for it, `error` says why it failed."""

    message: UUID
    wamid: str
    state: State
    at: datetime
    error: DeliveryError | None = None


def challenge(query: Mapping[str, str]) -> str:
    """What to answer to the handshake. Raises Refused where it is not Meta who asks."""
    if query.get("hub.mode") != "subscribe":
        raise Refused(HTTPStatus.BAD_REQUEST, "This address is for WhatsApp's callbacks alone.")
    if not _same(query.get("hub.verify_token", ""), settings.WHATSAPP_VERIFY_TOKEN):
        raise Refused(HTTPStatus.FORBIDDEN, "The verify token is not the one in WHATSAPP_VERIFY_TOKEN.")
    answer = query.get("hub.challenge", "")
    if not answer.isalnum() or len(answer) > LONGEST_CHALLENGE:
        raise Refused(HTTPStatus.BAD_REQUEST, "The challenge must be letters and digits.")
    return answer


def reports(body: bytes, signature: str, now: datetime) -> list[Report]:
    """The reports in a body, whose signature is that of the header X-Hub-Signature-256.

    What speaks of no message of ours, or is of a kind that we don't know, is left out. Raises Refused where the body is
    not Meta's, or makes no sense.
    """
    if len(body) > LONGEST_BODY:
        raise Refused(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "A callback has at most 3 MiB.")
    if not _same(signature, sign(body)):
        raise Refused(HTTPStatus.FORBIDDEN, "The signature is not that of WHATSAPP_APP_SECRET.")
    try:
        callback = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise Refused(HTTPStatus.BAD_REQUEST, "A callback is JSON.") from error
    if not isinstance(callback, dict):
        raise Refused(HTTPStatus.BAD_REQUEST, "A callback is a JSON object.")
    return [report for status in _statuses(callback) if (report := _report(status, now))]


def sign(body: bytes) -> str:
    """As Meta does: https://developers.facebook.com/docs/graph-api/webhooks/getting-started#validate-payloads"""
    return "sha256=" + hmac.new(settings.WHATSAPP_APP_SECRET.encode(), body, hashlib.sha256).hexdigest()


def _same(given: str, expected: str) -> bool:
    return hmac.compare_digest(given.encode("utf-8", "surrogateescape"), expected.encode())


def _statuses(callback: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    for entry in _objects(callback, "entry"):
        for change in _objects(entry, "changes"):
            if isinstance(value := change.get("value"), dict):
                yield from _objects(value, "statuses")


def _objects(parent: Mapping[str, Any], name: str) -> list[Mapping[str, Any]]:
    found = parent.get(name)
    return [item for item in found if isinstance(item, dict)] if isinstance(found, list) else []


def _report(status: Mapping[str, Any], now: datetime) -> Report | None:
    message, state = _uuid(status.get("biz_opaque_callback_data")), status.get("status")
    if message is None or state not in ("sent", "delivered", "read", "failed"):
        return None
    error = _why(status) if state == "failed" else None
    return Report(message, str(status.get("id", "")), cast(State, state), _moment(status, now), error)


def _why(status: Mapping[str, Any]) -> DeliveryError:
    for error in _objects(status, "errors"):
        return GraphError.read(error).typed()
    return GiveUp("WhatsApp could not deliver it and does not say why")


def _moment(status: Mapping[str, Any], now: datetime) -> datetime:
    """When it happened: never later than now, and now where that cannot be read."""
    try:
        return min(datetime.fromtimestamp(int(status["timestamp"]), UTC), now)
    except (KeyError, TypeError, ValueError, OverflowError, OSError):
        return now


def _uuid(text: object) -> UUID | None:
    try:
        return UUID(text) if isinstance(text, str) else None
    except ValueError:
        return None
