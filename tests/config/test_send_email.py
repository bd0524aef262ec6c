"""The job that sends a mail: over a real SMTP server, to the letter."""

from typing import Any

import pytest
from django.core.exceptions import ValidationError
from pytest_django import Settings

from config.mail import MailDelayed, MailRefused
from config.tasks import send_email
from scheduler.jobs import jobs
from tests.smtp import Inbox, free_port

ADA, BOB, EVE = "ada@example.org", "bob@example.org", "eve@example.org"
JOB = "config.tasks.send_email"


def send(to: Any = ADA, subject: Any = "Hello", body: Any = "Text", *, run: str = "a-run") -> Any:
    """As a worker runs it."""
    send_email.push_request(id=run)
    try:
        return send_email.run(to, subject, body)
    finally:
        send_email.pop_request()


def refusal(**arguments: Any) -> str:
    """Why it cannot be scheduled like that."""
    with pytest.raises(ValidationError) as refused:
        jobs()[JOB].validate([], {"to": ADA, "subject": "Hello", "body": "Text", **arguments})
    (sentence,) = refused.value.messages
    return str(sentence)


def test_a_mail_arrives_as_it_was_written(inbox: Inbox, settings: Settings) -> None:
    assert send(subject="Grüße, 世界", body="First line.\n.\nLast line, ✓") == {"sent": 1}
    (mail,) = inbox.mails
    assert (mail["To"], mail["From"], mail["Subject"]) == (ADA, settings.DEFAULT_FROM_EMAIL, "Grüße, 世界")
    assert mail.get_content_type() == "text/plain"
    assert mail.get_content().splitlines() == ["First line.", ".", "Last line, ✓"]
    assert mail["Auto-Submitted"] == "auto-generated"


def test_each_of_several_gets_one_of_their_own_over_one_connection(inbox: Inbox) -> None:
    assert send([ADA, BOB, ADA]) == {"sent": 2}
    assert [mail["To"] for mail in inbox.mails] == inbox.recipients == [ADA, BOB]
    assert inbox.connections == 1


def test_a_repeated_run_repeats_the_same_messages_and_another_run_sends_others(inbox: Inbox) -> None:
    for run in ("a-run", "a-run", "another"):
        send([ADA, BOB], run=run)
    ids = [mail["Message-ID"] for mail in inbox.mails]
    assert ids[:2] == ids[2:4]
    assert len({*ids}) == 4, "to each, and in each run, one of its own"


def test_called_without_a_run_every_mail_is_a_new_one(inbox: Inbox) -> None:
    send_email(ADA, "Hello", "Text")
    send_email(ADA, "Hello", "Text")
    assert len({mail["Message-ID"] for mail in inbox.mails}) == 2


# --- What cannot be sent -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "to", ["ada", "Ada <ada@example.org>", "ada@example.org, bob@example.org", "", "ada@ex\nample"]
)
def test_who_has_no_address_gets_no_mail_and_cannot_be_scheduled(to: str, inbox: Inbox) -> None:
    assert refusal(to=to) == refusal(to=[ADA, to]) == f"to: “{to}” is no mail address such as ada@example.org."
    with pytest.raises(ValueError, match="is no mail address"):
        send([ADA, to])
    assert inbox.mails == [], "nor does anybody else, for that is a mistake to mend first"


def test_nobody_is_nobody_to_send_to(inbox: Inbox) -> None:
    assert refusal(to=[]).startswith("to must be a mail address or list of mail addresses, not []")
    with pytest.raises(ValueError, match="nobody to send to"):
        send([])


@pytest.mark.parametrize(
    ("subject", "why"),
    [
        ("Hello\nBcc: eve@example.org", "it must be one line, without control characters."),
        ("Hello\r\n\r\nBody", "it must be one line, without control characters."),
        ("Hello\u2028Bcc: eve@example.org", "it must be one line, without control characters."),
        ("Hello\x85Bcc: eve@example.org", "it must be one line, without control characters."),
        (" ", "it must not be empty."),
        ("a" * 201, "it must not be longer than 200 characters."),
    ],
)
def test_a_subject_cannot_smuggle_in_a_header(subject: str, why: str, inbox: Inbox) -> None:
    assert refusal(subject=subject) == f"subject: {why}"
    with pytest.raises(ValueError, match=why):
        send(subject=subject)
    assert inbox.mails == []


def test_what_is_no_text_cannot_be_scheduled() -> None:
    assert refusal(to=5) == "to must be a mail address or list of mail addresses, not 5."
    assert refusal(subject=None) == "subject must be a line, not null."
    assert refusal(body=["a"]) == 'body must be a text, not ["a"].'


def test_one_and_several_addresses_can_be_scheduled() -> None:
    for to in (ADA, [ADA], [ADA, BOB]):
        jobs()[JOB].validate([to], {"subject": "Hello", "body": ""})


# --- What the server says ------------------------------------------------------------------------------------------


def test_an_address_that_is_refused_keeps_no_other_from_its_mail(inbox: Inbox) -> None:
    inbox.refuse = lambda address: "550 5.1.1 No such mailbox" if address == BOB else None
    with pytest.raises(MailRefused) as failed:
        send([ADA, BOB, EVE])
    assert str(failed.value) == "Of 3 mails 1 was refused: bob@example.org (550 5.1.1 No such mailbox)."
    assert inbox.recipients == [ADA, EVE]


def test_what_is_refused_for_good_is_not_tried_again_and_what_is_delayed_is(inbox: Inbox) -> None:
    assert issubclass(MailDelayed, send_email.autoretry_for)
    assert not issubclass(MailRefused, send_email.autoretry_for)


def test_a_server_that_asks_for_patience_is_tried_again_with_all_mails(inbox: Inbox) -> None:
    inbox.refuse = lambda address: "451 4.7.1 Greylisted" if address == ADA else None
    with pytest.raises(MailDelayed, match=r"Of 2 mails 1 was not taken for now: ada@example.org \(451 4.7.1 Grey"):
        send([ADA, BOB])
    assert inbox.recipients == [BOB]
    inbox.refuse = lambda address: None
    send([ADA, BOB])
    assert len({mail["Message-ID"] for mail in inbox.to(BOB)}) == 1, "Bob's is the same one again"


def test_a_message_that_is_refused_is_said_to_be(inbox: Inbox) -> None:
    inbox.refuse_data = lambda mail: "554 5.7.1 Spam"
    with pytest.raises(MailRefused, match=r"ada@example.org \(554 5.7.1 Spam\)"):
        send()


def test_a_server_that_is_out_of_reach_is_tried_again(settings: Settings) -> None:
    settings.EMAIL_BACKEND = "django.core.mail.backends.smtp.EmailBackend"
    settings.EMAIL_HOST, settings.EMAIL_PORT = "127.0.0.1", free_port()
    with pytest.raises(MailDelayed, match=r"The mail server does not work with us: .*refused"):
        send()


def test_a_server_that_hangs_up_is_tried_again(inbox: Inbox) -> None:
    inbox.mails_per_connection = 1
    with pytest.raises(MailDelayed, match="The mail server does not work with us"):
        send([ADA, BOB])
    assert inbox.recipients == [ADA]
