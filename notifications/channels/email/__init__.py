"""Mail, over one connection that is kept for as long as there is something to send."""

import re
import smtplib
from email.utils import parseaddr
from typing import Any, ClassVar

from django.conf import settings
from django.core.mail import get_connection
from django.core.mail.backends.smtp import EmailBackend
from django.core.mail.message import sanitize_address

from notifications.channels.base import Channel, ChannelDead, DeliveryError, GiveUp, Message, ProviderDown, RetryLater
from notifications.channels.email.writing import Writer, mail

NO_SUCH_MAILBOX = {550, 551, 553, 556}
"""Replies to RCPT that speak of the address (RFC 5321, section 4.2.3; RFC 7504 for 556)."""

ABOUT_US = re.compile(r"5\.7\.")
"""An enhanced status (RFC 3463) that speaks of policy or relaying: our configuration, not the member's address."""

PATIENCE = 60.0
"""Seconds to wait for each reply. A server that looks into mails takes its time, and takes the mail in the end: to give
up early is to send it twice."""

MOST_HANG_UPS = 3
"""A server that hangs up on one mail may choke on that one; on so many in a row, it is down."""

CLOSING = 421
"""The reply by which a server says that it hangs up (RFC 5321, section 3.8)."""


class Email(Channel):
    kind: ClassVar[str] = "email"
    title: ClassVar[str] = "mail"
    message: ClassVar[str] = "a mail"

    def __init__(self) -> None:
        self._connection: Any = get_connection(timeout=PATIENCE)
        self._writer = Writer()
        # Less the name, which smtplib would take out again for each mail.
        _, self._sender = parseaddr(sanitize_address(settings.DEFAULT_FROM_EMAIL, settings.DEFAULT_CHARSET))
        self._hang_ups = 0

    def send(self, message: Message) -> None:
        """Send one mail; a server that hung up between two mails is called again."""
        is_new = self._open()
        try:
            try:
                self._hand_over(message)
            except smtplib.SMTPException as error:
                if is_new or not _hung_up(error) or isinstance(error.__context__, TimeoutError):
                    raise
                self._drop()
                self._open()
                self._hand_over(message)
        except (smtplib.SMTPException, OSError, ValueError) as error:
            raise self._typed(error, message.address) from error
        except BaseException:  # interrupted in the middle of a mail
            self._drop()
            raise
        self._hang_ups = 0

    def close(self) -> None:
        self._connection.close()

    def _hand_over(self, message: Message) -> None:
        """The short way where it leads to the same: over Django's, a mail costs its sender five times as much."""
        smtp = self._connection.connection if isinstance(self._connection, EmailBackend) else None
        if smtp and (content := self._writer.content(message)):
            smtp.sendmail(self._sender, [message.address], content)
        else:
            self._connection.send_messages([mail(message)])

    def _open(self) -> bool:
        """See to it that there is a connection on which mail may be sent. Returns whether it is a new one."""
        try:
            is_new = bool(self._connection.open())
            if is_new:
                self._connection.connection.ehlo_or_helo_if_needed()
        except OSError as error:  # among them smtplib's
            self._drop()
            raise ProviderDown(f"The mail server cannot be reached: {_said(error)}") from error
        return is_new

    def _drop(self) -> None:
        """Hang up without a word."""
        if smtp := getattr(self._connection, "connection", None):
            smtp.close()
            self._connection.connection = None

    def _typed(self, error: Exception, address: str) -> DeliveryError:
        said = _said(error)
        if _hung_up(error):
            self._drop()
            self._hang_ups += 1
            return (ProviderDown if self._hang_ups >= MOST_HANG_UPS else RetryLater)(f"The mail server hung up: {said}")
        self._hang_ups = 0
        match error:
            case smtplib.SMTPRecipientsRefused():
                return _refused_recipient(*_replies(error)[0], address)
            case smtplib.SMTPDataError(smtp_code=code):
                sentence = f"The mail server refused the message: {said}"
                return GiveUp(sentence) if code >= 500 else RetryLater(sentence)
            case smtplib.SMTPResponseException():  # our sender
                return ProviderDown(f"The mail server does not work with us: {said}")
            case smtplib.SMTPNotSupportedError() | ValueError():
                return GiveUp(f"No mail can be written to this address or with this subject: {said}")
        return ProviderDown(f"The mail cannot be handed over: {said}")


def _hung_up(error: Exception) -> bool:
    return isinstance(error, smtplib.SMTPServerDisconnected) or any(code == CLOSING for code, _ in _replies(error))


def _refused_recipient(code: int, reply: str, address: str) -> DeliveryError:
    sentence = f"The mail server refused {address}: {code} {reply}"
    if code in NO_SUCH_MAILBOX and not ABOUT_US.match(reply):
        return ChannelDead(sentence)
    return RetryLater(sentence)


def _said(error: Exception) -> str:
    replies = "; ".join(f"{code} {reply}" for code, reply in _replies(error))
    return replies or str(error) or type(error).__name__


def _replies(error: Exception) -> list[tuple[int, str]]:
    """What the server replied, code and text."""
    match error:
        case smtplib.SMTPRecipientsRefused(recipients=recipients):
            return [(code, _text(reply)) for code, reply in recipients.values()]
        case smtplib.SMTPResponseException(smtp_code=code, smtp_error=reply):
            return [(code, _text(reply))]
    return []


def _text(reply: bytes | str) -> str:
    text = reply.decode("utf-8", "replace") if isinstance(reply, bytes) else reply
    return " ".join(text.split())
