"""Mail, over one connection that is kept for as long as there is something to send."""

import re
import smtplib
from email.utils import formatdate
from typing import ClassVar

from django.conf import settings
from django.core.mail import BadHeaderError, EmailMultiAlternatives, get_connection

from notifications.channels.base import Channel, ChannelDead, DeliveryError, GiveUp, Message, ProviderDown, RetryLater

NO_SUCH_MAILBOX = {550, 551, 553, 556}
"""Replies to RCPT that speak of the address (RFC 5321, section 4.2.3; RFC 7504 for 556)."""

ABOUT_US = re.compile(r"^\s*5\.7\.")
"""An enhanced status (RFC 3463) that speaks of policy or relaying: our configuration, not the member's address."""


class Email(Channel):
    kind: ClassVar[str] = "email"
    title: ClassVar[str] = "mail"

    def __init__(self) -> None:
        self._connection = get_connection()

    def send(self, message: Message) -> None:
        """Send one mail; a server that hung up between two mails is called again once."""
        mail = self._mail(message)
        try:
            try:
                self._hand_over(mail)
            except smtplib.SMTPServerDisconnected:
                self._connection.close()
                self._hand_over(mail)
        except Exception as error:
            raise _typed(error, message.address) from error

    def close(self) -> None:
        self._connection.close()

    def _hand_over(self, mail: EmailMultiAlternatives) -> None:
        self._connection.open()  # what Django opens for itself, it closes after each call
        self._connection.send_messages([mail])

    def _mail(self, message: Message) -> EmailMultiAlternatives:
        mail = EmailMultiAlternatives(
            subject=message.subject,
            body=message.text,
            to=[message.address],
            headers={
                "Message-ID": f"<{message.id}@{settings.SITE_HOST}>",
                "Date": formatdate(localtime=False),
                "Auto-Submitted": "auto-generated",
                # One click, as RFC 8058 has it: a POST, so that a link scanner's GET changes nothing.
                "List-Unsubscribe": f"<{message.unsubscribe_url}>",
                "List-Unsubscribe-Post": "List-Unsubscribe=One-Click",
            },
        )
        mail.attach_alternative(message.html, "text/html")
        return mail


def _typed(error: Exception, address: str) -> DeliveryError:
    match error:
        case smtplib.SMTPRecipientsRefused():
            code, reply = next(iter(error.recipients.values()), (0, b""))
            return _refused_recipient(code, _text(reply), address)
        case smtplib.SMTPDataError(smtp_code=code, smtp_error=reply):
            sentence = f"The mail server refused the message: {code} {_text(reply)}"
            return GiveUp(sentence) if code >= 500 else RetryLater(sentence)
        case smtplib.SMTPResponseException(smtp_code=code, smtp_error=reply):  # our sender, our password, our greeting
            return ProviderDown(f"The mail server does not work with us: {code} {_text(reply)}")
        case BadHeaderError() | ValueError():
            return GiveUp(f"No mail can be written to this address or with this subject: {error}")
        case smtplib.SMTPException() | OSError():
            return ProviderDown(f"The mail server cannot be reached: {error or type(error).__name__}")
    return GiveUp(f"The mail could not be made: {type(error).__name__}: {error}")


def _refused_recipient(code: int, reply: str, address: str) -> DeliveryError:
    sentence = f"The mail server refused {address}: {code} {reply}"
    if code in NO_SUCH_MAILBOX and not ABOUT_US.match(reply):
        return ChannelDead(sentence)
    return RetryLater(sentence)


def _text(reply: bytes | str) -> str:
    text = reply.decode("utf-8", "replace") if isinstance(reply, bytes) else reply
    return " ".join(text.split())
