"""Mails as bytes: read back with the email package, and held against what Django writes."""

import email
import email.policy
import string
from datetime import timedelta
from email.message import EmailMessage
from typing import Any
from uuid import uuid4

import pytest
from django.core import mail as django_mail
from django.core.mail.backends.smtp import EmailBackend
from django.utils import timezone
from hypothesis import example, given
from hypothesis import strategies as st
from icalendar import Calendar
from pytest_django import Settings

from config.calendars import Entry, calendar
from notifications.channels.base import GiveUp, Message
from notifications.channels.email import Email
from notifications.channels.email.writing import Writer, mail
from tests.smtp import Inbox, body_of

LINK = "https://codenotify.example.org/unsubscribe/1234567-reminders:" + "aB3_-" * 9 + "/"


def message(**given: Any) -> Message:
    standard: dict[str, Any] = {
        "id": uuid4(),
        "address": "alice@example.org",
        "subject": "Round 1 starts Sat 22 Nov 15:35",
        "text": "Round 1\nCodeforces · 2 h",
        "foot": f"-- \nNo more: {LINK}",
        "html": f'<p>Round 1</p>\n<p>Codeforces · 2 h</p><a href="{LINK}">No more</a>\n',
        "unsubscribe_url": LINK,
        "expires_at": timezone.now() + timedelta(hours=1),
    }
    return Message(**{**standard, **given})


def written(message: Message) -> bytes:
    content = Writer().content(message)
    assert content is not None
    return content


def read(content: bytes) -> EmailMessage:
    return email.message_from_bytes(content, policy=email.policy.default)


def lines(text: str) -> list[str]:
    """A mail knows one kind of line end only, and those at its end say nothing."""
    return text.replace("\r\n", "\n").replace("\r", "\n").rstrip("\n").split("\n")


anything = st.text(st.characters(exclude_categories=["Cs", "Cc", "Zl", "Zp"], include_characters="\n"), max_size=400)


@given(before=anything, after=anything, html=anything, link=st.text("-_:/." + string.ascii_letters, min_size=1))
@example(before="." * 80, after=".\n.\n", html="=", link="." * 200)
@example(before="競技プログラミング " * 100, after=" \n", html="From me\n", link=LINK)
def test_whatever_a_mail_says_can_be_read_in_it_and_no_line_is_long(
    before: str, after: str, html: str, link: str
) -> None:
    link = f"https://{link}"
    sent = message(text=before, foot=f"{link}{after}", html=f"{html}{link}{html}", unsubscribe_url=link)
    content = written(sent)
    assert content.isascii()
    assert max(map(len, content.split(b"\r\n"))) <= max(78, len(f"List-Unsubscribe: <{link}>"))
    assert b"\n" not in content.replace(b"\r\n", b""), "each line ends as SMTP wants it"
    mail = read(content)
    assert lines(body_of(mail, "plain")) == lines(f"{sent.text}\n\n{sent.foot}")
    assert lines(body_of(mail, "html")) == lines(sent.html)
    assert mail["List-Unsubscribe"] == f"<{link}>"


@pytest.mark.parametrize(
    "given",
    [
        {},
        {"subject": "AtCoder 初心者コンテスト 400 " * 20},
        {"text": "AtCoder 初心者コンテスト\n" * 100, "html": f"<p>{'x' * 5000}{LINK}</p>"},
        {"calendar": b"BEGIN:VCALENDAR\r\nEND:VCALENDAR\r\n"},
        {"unsubscribe_url": "", "foot": "", "html": "<p>It works.</p>"},
        {"html": ""},
    ],
)
def test_a_mail_reads_as_if_django_had_written_it(given: dict[str, Any]) -> None:
    sent = message(**given)
    ours, django = read(written(sent)), read(mail(sent).message().as_bytes(linesep="\r\n"))  # type: ignore[call-arg]
    for name in {*ours.keys(), *django.keys()} - {"Content-Type"}:
        assert ours[name].strip() == django[name].strip()
    assert [part.get_content_type() for part in ours.walk()] == [part.get_content_type() for part in django.walk()]
    for mine, theirs in zip(ours.walk(), django.walk(), strict=True):
        assert mine.get_payload(decode=True) == theirs.get_payload(decode=True)


def test_two_recipients_share_all_but_what_is_their_own() -> None:
    writer = Writer()
    mails = []
    for name in ("alice", "bob"):
        link = LINK.replace("1234567", name)
        to = message(
            address=f"{name}@example.org", foot=f"No more: {link}", html=f"<a href='{link}'>x</a>", unsubscribe_url=link
        )
        content = writer.content(to)
        assert content
        mails.append(read(content))
    assert writer._pieces.cache_info().misses == 1
    alice, bob = mails
    assert (alice["To"], bob["To"]) == ("alice@example.org", "bob@example.org")
    assert alice["Message-ID"] != bob["Message-ID"]
    for kind in ("plain", "html"):
        assert "alice" in body_of(alice, kind)
        assert "alice" not in body_of(bob, kind), "the link is each one's own"


@pytest.mark.parametrize(
    "address", ["álvaro@example.org", "alice@exämple.org", '"a b"@example.org', "a@example.org\r\nBcc: eve@example.org"]
)
def test_an_unusual_address_is_left_to_django(address: str) -> None:
    assert Writer().content(message(address=address)) is None


@pytest.mark.parametrize("link", ["https://example.org/?a=b", "https://example.org/ü", "x y", "x" * 900, "a\r\nBcc: e"])
def test_an_unusual_link_is_left_to_django(link: str) -> None:
    assert Writer().content(message(unsubscribe_url=link)) is None


def test_both_ways_lead_over_smtp(inbox: Inbox, settings: Settings) -> None:
    settings.DEFAULT_FROM_EMAIL = "CodeNotify für alle <codenotify@exämple.org>"
    with Email() as channel:
        for address in ("alice@example.org", '"a b"@example.org'):
            channel.send(message(address=address, text=".\n..\nFrom me\n"))
    assert inbox.recipients == ["alice@example.org", '"a b"@example.org']
    first, second = inbox.mails
    assert first["From"] == second["From"] == settings.DEFAULT_FROM_EMAIL.replace("exämple", "xn--exmple-cua")
    assert lines(body_of(first, "plain")) == lines(body_of(second, "plain"))
    assert lines(body_of(first, "plain"))[:3] == [".", "..", "From me"]


def test_a_subject_with_a_line_break_in_it_is_refused(inbox: Inbox) -> None:
    with Email() as channel, pytest.raises(GiveUp, match="newlines"):
        channel.send(message(subject="Hi\nBcc: eve@example.org"))
    assert inbox.mails == []


def test_a_backend_that_is_not_smtp_gets_djangos_mail(settings: Settings) -> None:
    assert f"{EmailBackend.__module__}.{EmailBackend.__name__}" != settings.EMAIL_BACKEND
    sent = message()
    with Email() as channel:
        channel.send(sent)
    (kept,) = django_mail.outbox
    assert kept.body == f"{sent.text}\n\n{sent.foot}\n"


def test_the_calendar_comes_as_a_file_beside_what_is_read() -> None:
    now = timezone.now().replace(microsecond=0)
    entry = Entry(
        "codeforces-1@codenotify", 3, now, "Round 1 · 競プロ" * 9, now, now + timedelta(hours=2), "https://x.org"
    )
    mail = read(written(message(calendar=calendar([entry]))))
    assert mail.get_content_type() == "multipart/mixed"
    bodies, file = mail.iter_parts()
    assert [part.get_content_type() for part in bodies.iter_parts()] == ["text/plain", "text/html"]
    assert (file.get_content_type(), file.get_param("method")) == ("text/calendar", "PUBLISH")
    assert file.get_filename() == "contests.ics"
    content = file.get_payload(decode=True)
    assert content == calendar([entry])
    (event,) = Calendar.from_ical(content).walk("VEVENT")
    assert (event["UID"], event["SEQUENCE"]) == ("codeforces-1@codenotify", 3)
