"""WhatsApp, by template messages of Meta's Cloud API.

A template is written and approved at Meta; we send its name and what belongs into its gaps. The API has no key by which
it would know a repetition: what may have left waits for the callback (`webhook`), which carries our message's id.
https://developers.facebook.com/documentation/business-messaging/whatsapp/reference/whatsapp-business-phone-number/message-api
"""

from collections import Counter
from contextlib import suppress
from datetime import timedelta
from threading import Lock
from typing import Any, ClassVar

from django.conf import settings

from config.http import Client, HttpError, Response
from notifications.channels.base import Channel, DeliveryError, Message, OutcomeUnknown, ProviderDown
from notifications.channels.whatsapp.errors import PAIR_LIMIT, GraphError

PATIENCE = 20.0
"""Seconds for a whole answer."""

LONGEST_ANSWER = 64 * 2**10

LONGEST_SUBJECT, LONGEST_TEXT = 200, 600
"""Characters. A message has 1024 at most, and the template's own words are among them."""

NOTHING = "–"
"""In place of an empty value, which Meta takes for a missing one."""

HOME = "preferences/"
"""Where the button leads in a message that speaks of no page of ours: it cannot lead nowhere."""

HELD = {
    "held_for_quality_assessment": "WhatsApp holds the message back until it has seen how people take the template",
    "paused": "WhatsApp holds the message back, as the template is paused for its quality",
}


class WhatsApp(Channel):
    """`send` may be called by several threads. A verification's `text` is the code, of at most 15 characters."""

    kind: ClassVar[str] = "whatsapp"
    title: ClassVar[str] = "WhatsApp"
    message: ClassVar[str] = "a WhatsApp message"
    concurrency: ClassVar[int] = 8

    @classmethod
    def is_configured(cls) -> bool:
        return bool(settings.WHATSAPP_PHONE_NUMBER_ID)

    def __init__(self) -> None:
        self._client = Client(connections=self.concurrency)
        self._lock = Lock()
        self._over_limit: Counter[str] = Counter()

    def send(self, message: Message) -> None:
        try:
            answer = self._client.request(
                "POST",
                f"{settings.WHATSAPP_URL}/{settings.WHATSAPP_PHONE_NUMBER_ID}/messages",
                json=_body(message),
                headers={"Authorization": f"Bearer {settings.WHATSAPP_TOKEN}"},
                deadline=PATIENCE,
                max_bytes=LONGEST_ANSWER,
                attempts=1,
                accept_statuses=range(300, 600),
                repeatable=False,
                redirects=False,
            )
        except HttpError as error:
            raise _unanswered(error) from error
        if answer.status >= 300:
            raise self._refusal(answer, message.address)
        with self._lock:
            del self._over_limit[message.address]
        _check(answer)

    def close(self) -> None:
        self._client.close()

    def _refusal(self, answer: Response, address: str) -> DeliveryError:
        found = _json(answer).get("error")
        if not isinstance(found, dict):
            return _refusal_of_somebody_else(answer)
        error = GraphError.read(found, status=answer.status, asked_for=_retry_after(answer))
        with self._lock:
            refusals = self._over_limit[address]
            if error.code == PAIR_LIMIT:
                self._over_limit[address] += 1
        return error.typed(refusals)


def _body(message: Message) -> dict[str, Any]:
    return {
        "messaging_product": "whatsapp",
        "recipient_type": "individual",
        "to": message.address.removeprefix("+"),
        "type": "template",
        "template": {
            "name": settings.WHATSAPP_TEMPLATES[message.purpose],
            "language": {"policy": "deterministic", "code": settings.WHATSAPP_LANGUAGE},
            "components": _components(message),
        },
        "biz_opaque_callback_data": str(message.id),
    }


def _components(message: Message) -> list[dict[str, Any]]:
    """What belongs into the template's gaps: two in the body, and the end of the address that its button opens.

    An authentication template has its code in both, as its button copies it:
    https://developers.facebook.com/docs/whatsapp/business-management-api/authentication-templates/copy-code-button-authentication-templates
    """
    if message.purpose == "verification":
        values, end = [message.text], message.text
    else:
        values = [_one_line(message.subject, LONGEST_SUBJECT), _one_line(message.text, LONGEST_TEXT)]
        end = _end(message.url)
    button = {"type": "button", "sub_type": "url", "index": "0"}
    return [{"type": "body", "parameters": _texts(*values)}, {**button, "parameters": _texts(end)}]


def _texts(*values: str) -> list[dict[str, str]]:
    return [{"type": "text", "text": value or NOTHING} for value in values]


def _one_line(text: str, longest: int) -> str:
    """Without line breaks, tabs and more than four spaces in a row, for which Meta refuses a message."""
    lines = (" ".join(line.split()) for line in text.splitlines())
    line = " · ".join(line for line in lines if line)
    return line if len(line) <= longest else line[: longest - 1].rstrip() + "…"


def _end(url: str) -> str:
    """What follows the site's address, with which the template's button begins."""
    site = f"{settings.SITE_URL}/"
    return (url.startswith(site) and url.removeprefix(site)) or HOME


def _unanswered(error: HttpError) -> DeliveryError:
    if error.sent:
        return OutcomeUnknown(f"Nobody knows whether WhatsApp took the message: {error}")
    return ProviderDown(f"WhatsApp cannot be reached: {error}")


def _check(answer: Response) -> None:
    """Raise OutcomeUnknown where the message was not plainly taken. Taken is not delivered: the callback says that."""
    messages = _json(answer).get("messages")
    taken = messages[0] if isinstance(messages, list) and messages else None
    if not isinstance(taken, dict) or not taken.get("id"):
        raise OutcomeUnknown("Nobody knows whether WhatsApp took the message: the answer names none")
    if (status := taken.get("message_status")) in HELD:
        raise OutcomeUnknown(HELD[status])


def _refusal_of_somebody_else(answer: Response) -> DeliveryError:
    """A refusal that is not the API's: of a proxy, or of the servers in front of it."""
    if answer.status == 504:
        return OutcomeUnknown("Nobody knows whether WhatsApp took the message: a gateway waited in vain for the answer")
    return GraphError(code=None, status=answer.status, asked_for=_retry_after(answer)).typed()


def _retry_after(answer: Response) -> timedelta | None:
    """As Meta writes it, in seconds."""
    value = answer.headers.get("Retry-After", "")
    return timedelta(seconds=int(value)) if value.isascii() and value.isdecimal() and len(value) < 7 else None


def _json(answer: Response) -> dict[str, Any]:
    with suppress(HttpError):
        found = answer.json()
        return found if isinstance(found, dict) else {}
    return {}
