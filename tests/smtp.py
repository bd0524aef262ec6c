"""A real SMTP server for tests: it keeps the mails it was given, and refuses or hangs up as told."""

import asyncio
import email
import email.policy
import socket
from collections.abc import Callable
from email.message import EmailMessage
from typing import Any

from aiosmtpd.smtp import SMTP, Envelope, Session


class Inbox:
    """An aiosmtpd handler. `refuse` gets each recipient and may answer with an SMTP reply instead of taking it.

    `mails_per_connection` are taken, then the server closes. A mail is taken after `delay` seconds.
    """

    def __init__(self) -> None:
        self.port = 0
        self.mails: list[EmailMessage] = []
        self.recipients: list[str] = []
        self.connections = 0
        self.handed_over: list[str] = []
        self.mails_per_connection: int | None = None
        self.delay: Callable[[str], float] = lambda address: 0.0
        self.refuse: Callable[[str], str | None] = lambda address: None
        self.refuse_data: Callable[[EmailMessage], str | None] = lambda mail: None

    @property
    def url(self) -> str:
        return f"smtp://127.0.0.1:{self.port}"

    def to(self, address: str) -> list[EmailMessage]:
        return [mail for mail in self.mails if mail["To"] == address]

    async def handle_EHLO(
        self, server: SMTP, session: Session, envelope: Envelope, hostname: str, responses: list[str]
    ) -> list[str]:
        self.connections += 1
        session.host_name = hostname
        return responses

    async def handle_MAIL(
        self, server: SMTP, session: Session, envelope: Envelope, address: str, mail_options: list[Any]
    ) -> str:
        taken = getattr(session, "taken", 0)
        if taken == self.mails_per_connection:
            return "421 4.7.0 Too many mails in this connection"
        session.taken = taken + 1  # type: ignore[attr-defined]  # ours
        envelope.mail_from = address
        return "250 OK"

    async def handle_RCPT(
        self, server: SMTP, session: Session, envelope: Envelope, address: str, rcpt_options: list[Any]
    ) -> str:
        if reply := self.refuse(address):
            return reply
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:
        content = envelope.content
        assert isinstance(content, bytes)
        mail = email.message_from_bytes(content, policy=email.policy.default)
        self.handed_over += envelope.rcpt_tos
        await asyncio.sleep(self.delay(envelope.rcpt_tos[0]))
        if reply := self.refuse_data(mail):
            return reply
        self.mails.append(mail)
        self.recipients += envelope.rcpt_tos
        return "250 OK"


def body_of(mail: EmailMessage, kind: str = "plain") -> str:
    """The part that is plain text, or the one that is html."""
    part = mail.get_body((kind,))
    assert part is not None
    return str(part.get_content())


def free_port() -> int:
    """A port of the loopback that nobody uses: aiosmtpd wants to know it beforehand."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
