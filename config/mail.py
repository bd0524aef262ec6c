"""Mail that a job sends: to each address one of its own, and the same one again when the run is repeated."""

import smtplib
import unicodedata
from collections.abc import Sequence
from typing import Annotated, NoReturn
from uuid import NAMESPACE_URL, uuid4, uuid5

from django.conf import settings
from django.core.exceptions import ValidationError
from django.core.mail import EmailMultiAlternatives, get_connection
from django.core.validators import validate_email
from pydantic import AfterValidator

LONGEST_LINE = 200
"""Characters of a subject: more is shown by no mail program."""

PERMANENT = 500
"""SMTP replies from here on say that trying again is of no use (RFC 5321, section 4.2.1)."""


class MailDelayed(Exception):
    """Some mails were not taken, and may be later. `str(error)` says which and why, in a sentence."""


class MailRefused(Exception):
    """Some mails will never be taken; all others have left. `str(error)` says which and why, in a sentence."""


def one_address(text: str) -> str:
    """The text, where it is one mail address and nothing else. Raises ValueError with a sentence."""
    try:
        validate_email(text)
    except ValidationError:
        raise ValueError(f"“{text[:LONGEST_LINE]}” is no mail address such as ada@example.org.") from None
    return text


def one_line(text: str) -> str:
    """The text, where it can stand in a header as it is. Raises ValueError with a sentence."""
    if any(unicodedata.category(character) in {"Cc", "Cs", "Zl", "Zp"} for character in text):
        raise ValueError("it must be one line, without control characters.")
    if not text.strip():
        raise ValueError("it must not be empty.")
    if len(text) > LONGEST_LINE:
        raise ValueError(f"it must not be longer than {LONGEST_LINE} characters.")
    return text


MailAddress = Annotated[str, "mail address", AfterValidator(one_address)]
Line = Annotated[str, "line", AfterValidator(one_line)]


def mail_to(address: str, subject: str, text: str, *, run: str | None, html: str = "") -> EmailMultiAlternatives:
    """A mail that a run sends. It has the same Message-ID whenever the run, known by its id, is repeated."""
    identity = uuid5(NAMESPACE_URL, f"{run}/{address}") if run else uuid4()
    mail = EmailMultiAlternatives(
        subject=subject,
        body=text,
        to=[address],
        headers={"Message-ID": f"<{identity}@{settings.SITE_HOST}>", "Auto-Submitted": "auto-generated"},
    )
    if html:
        mail.attach_alternative(html, "text/html")
    return mail


def send_each(mails: Sequence[EmailMultiAlternatives]) -> None:
    """Send mails over one connection; one that is refused keeps no other from leaving.

    Raises MailRefused where that is for good, MailDelayed where it may go better later or no mail leaves at all.
    """
    delayed: list[str] = []
    refused: list[str] = []
    try:
        with get_connection() as connection:
            for mail in mails:
                try:
                    connection.send_messages([mail])
                except (smtplib.SMTPRecipientsRefused, smtplib.SMTPDataError, ValueError) as error:
                    code, said = _reply(error)
                    (refused if code >= PERMANENT else delayed).append(f"{mail.to[0]} ({said})")
    except (smtplib.SMTPException, OSError) as error:
        raise MailDelayed(f"The mail server does not work with us: {_reply(error)[1]}.") from error
    if delayed:
        _say(MailDelayed, "was not taken for now", delayed + refused, len(mails))
    if refused:
        _say(MailRefused, "was refused", refused, len(mails))


def _say(error: type[Exception], what: str, failed: Sequence[str], total: int) -> NoReturn:
    raise error(f"Of {total} mails {len(failed)} {what}: {', '.join(failed)}.")


def _reply(error: Exception) -> tuple[int, str]:
    """The server's code and text; what never reached it, because it cannot be written as a mail, is permanent too."""
    match error:
        case smtplib.SMTPRecipientsRefused(recipients=recipients):
            code, reply = next(iter(recipients.values()))
        case smtplib.SMTPResponseException(smtp_code=code, smtp_error=reply):
            pass
        case _:
            return PERMANENT, str(error) or type(error).__name__
    text = reply.decode("utf-8", "replace") if isinstance(reply, bytes) else reply
    return code, f"{code} {' '.join(text.split())}"
