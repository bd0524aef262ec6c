"""Writing mails. What is the same for many recipients is put into bytes once; a recipient's own is set into it."""

import re
import secrets
from collections.abc import Mapping
from email.charset import QP, Charset
from email.encoders import encode_base64
from email.mime.nonmultipart import MIMENonMultipart
from email.utils import formatdate
from functools import lru_cache

from django.conf import settings
from django.core.mail import EmailMultiAlternatives

from notifications.channels.base import Message

CALENDAR_FILE = "contests.ics"

KEPT = 200
"""Different mails kept as bytes, of some 10 kB each."""

QUOTED_PRINTABLE = Charset("utf-8")
QUOTED_PRINTABLE.body_encoding = QP
"""Short lines of ASCII, whatever is in the text: no server on the way has a reason to recode them."""

_PLAIN_ADDRESS = re.compile(r"[\w.!#$%&'*+/=?^`{|}~-]{1,64}@[\w.-]{1,255}", re.ASCII)
"""Addresses that stand in a header as they are; the others are left to Django."""

_PLAIN_LINK = re.compile("[!-<>-~]{1,800}")
"""Links that quoted-printable leaves as they are, and that fit into one line of a header."""

_LONGEST_LINE = 76
"""Characters of a line of quoted-printable (RFC 2045, section 6.7)."""

_LINK_HERE = f"unsubscribe-{secrets.token_hex(16)}"
"""Stands, on a line of its own, for the link in which one recipient's mail differs from another's. Nobody knows it."""


def mail(message: Message) -> EmailMultiAlternatives:
    """The mail as Django has it, for whatever way it leaves."""
    written = _written(message.subject, _text(message), message.html, message.calendar, _own_headers(message))
    written.to = [message.address]
    return written


def _written(
    subject: str, text: str, html: str, calendar: bytes, own_headers: Mapping[str, str]
) -> EmailMultiAlternatives:
    written = EmailMultiAlternatives(
        subject=subject, body=text, headers={**own_headers, "Auto-Submitted": "auto-generated"}
    )
    written.encoding = QUOTED_PRINTABLE
    if html:
        written.attach_alternative(html, "text/html")
    if calendar:
        written.attach(_attachment(calendar))
    return written


def _attachment(calendar: bytes) -> MIMENonMultipart:
    """In base64, so that its lines stay as the standard of calendars wants them."""
    part = MIMENonMultipart("text", "calendar", charset="utf-8", method="PUBLISH")
    part.set_payload(calendar)
    encode_base64(part)
    part.add_header("Content-Disposition", "attachment", filename=CALENDAR_FILE)
    return part


def _text(message: Message) -> str:
    return f"{message.text}\n\n{message.foot}\n" if message.foot else f"{message.text}\n"


def _own_headers(message: Message) -> dict[str, str]:
    """What differs from one recipient to the next."""
    headers = {
        "To": message.address,
        "Message-ID": f"<{message.id}@{settings.SITE_HOST}>",
        "Date": formatdate(localtime=False),
    }
    if message.unsubscribe_url:
        headers["List-Unsubscribe"] = f"<{message.unsubscribe_url}>"
        # One click, as RFC 8058 has it: a POST, so that a link scanner's GET changes nothing.
        headers["List-Unsubscribe-Post"] = "List-Unsubscribe=One-Click"
    return headers


class Writer:
    """Writes mails as bytes, each distinct one once."""

    def __init__(self) -> None:
        self._pieces = lru_cache(KEPT)(_pieces)

    def content(self, message: Message) -> bytes | None:
        """The whole mail as it goes over the wire; None where its address or link cannot simply be set into it."""
        link = message.unsubscribe_url
        if not _PLAIN_ADDRESS.fullmatch(message.address) or (link and not _PLAIN_LINK.fullmatch(link)):
            return None
        text, html = _without(link, _text(message)), _without(link, message.html)
        pieces = self._pieces(message.subject, text, html, message.calendar)
        headers = "".join(f"{name}: {value}\r\n" for name, value in _own_headers(message).items())
        return headers.encode() + _soft_lines(link).join(pieces)


def _without(link: str, text: str) -> str:
    return text.replace(link, f"\n{_LINK_HERE}\n") if link else text


def _pieces(subject: str, text: str, html: str, calendar: bytes) -> list[bytes]:
    """The mail less a recipient's own headers, in the pieces between the links."""
    written = _written(subject, text, html, calendar, {"Message-ID": "", "Date": ""}).message()
    del written["Message-ID"], written["Date"]  # else Django makes its own
    content: bytes = written.as_bytes(linesep="\r\n")  # type: ignore[call-arg]  # Django's messages know it
    return content.split(f"\r\n{_LINK_HERE}\r\n".encode())


def _soft_lines(link: str) -> bytes:
    """The link within a line of text: quoted-printable says by `=` that a line's end is none."""
    room = _LONGEST_LINE - 1
    chunks = [link[start : start + room] for start in range(0, len(link), room)]
    return "".join(f"=\r\n{chunk}" for chunk in (*chunks, "")).encode()
