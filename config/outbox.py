"""Mail without a mail server: every message becomes one .eml file in DATA_DIR/outbox, which any mail program opens."""

import heapq
import os
import re
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from email import message_from_bytes, policy
from email.message import EmailMessage as ParsedMessage

from django.conf import settings
from django.core.mail import EmailMessage
from django.core.mail.backends.base import BaseEmailBackend
from django.http import HttpRequest
from django.utils import timezone

NAME = r"\d{8}-\d{6}-[0-9a-f]{8}"
"""What a message's file is called, less its suffix; it begins with the time in UTC."""


class EmailBackend(BaseEmailBackend):
    def send_messages(self, email_messages: Sequence[EmailMessage]) -> int:
        directory = settings.EMAIL_OUTBOX
        directory.mkdir(parents=True, exist_ok=True)
        for message in email_messages:
            name = f"{timezone.now():%Y%m%d-%H%M%S}-{uuid.uuid4().hex[:8]}"
            unfinished = directory / f"{name}.part"
            unfinished.write_bytes(message.message().as_bytes(linesep="\r\n"))  # type: ignore[call-arg]  # Django's messages know it
            os.replace(unfinished, directory / f"{name}.eml")
        return len(email_messages)


@dataclass(frozen=True, slots=True)
class Mail:
    name: str
    message: ParsedMessage

    @property
    def sent_at(self) -> datetime:
        return datetime.strptime(self.name[:15], "%Y%m%d-%H%M%S").replace(tzinfo=UTC)

    def body(self, kind: str) -> str:
        """The text of the part `plain` or `html`; nothing where there is none."""
        part = self.message.get_body((kind,))
        return str(part.get_content()) if part is not None else ""


def is_in_use() -> bool:
    return bool(f"{__name__}.{EmailBackend.__name__}" == settings.EMAIL_BACKEND)


def context(request: HttpRequest) -> dict[str, bool]:
    """For templates: whether mail stays here."""
    return {"mail_stays_here": is_in_use()}


def newest(most: int) -> list[Mail]:
    """The last messages written, newest first."""
    return [mail for name in heapq.nlargest(most, _names()) if (mail := read(name))]


def read(name: str) -> Mail | None:
    """The message of that name; None where there is none, or where no message is ever called so."""
    if not re.fullmatch(NAME, name, re.ASCII):
        return None
    try:
        content = (settings.EMAIL_OUTBOX / f"{name}.eml").read_bytes()
    except FileNotFoundError:
        return None
    return Mail(name, message_from_bytes(content, policy=policy.default))


def _names() -> Iterator[str]:
    if settings.EMAIL_OUTBOX.is_dir():
        for file in os.scandir(settings.EMAIL_OUTBOX):
            name, suffix = os.path.splitext(file.name)
            if suffix == ".eml":
                yield name
