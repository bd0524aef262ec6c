"""Delivering over a real SMTP connection."""

import os
import re
import signal
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from email.message import EmailMessage
from threading import Event
from typing import Any
from uuid import UUID, uuid4
from zoneinfo import ZoneInfo

import pytest
import time_machine
from celery.exceptions import SoftTimeLimitExceeded
from django.db import connection
from django.db.models import F
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from icalendar import Calendar
from pytest_django import Settings

from contests.models import Contest
from notifications import claiming, delivery, messages, sending
from notifications.channels import CHANNELS, email
from notifications.channels.base import Message
from notifications.channels.email import Email
from notifications.claiming import LEASE, claim
from notifications.delivery import deliver
from notifications.dispatch import dispatch
from notifications.models import Channel, Notification, Preference, Status
from notifications.outcomes import outcome, record
from notifications.scope import Scope
from notifications.sending import Clock
from notifications.settling import settle
from tests.database import another_transaction
from tests.factories import ContestFactory, MemberFactory, NotificationFactory
from tests.smtp import Inbox, body_of

pytestmark = pytest.mark.django_db


def statuses() -> dict[str, int]:
    found = list(Notification.objects.values_list("status", flat=True))
    return {status: found.count(status) for status in set(found)}


def test_a_due_reminder_becomes_one_mail(inbox: Inbox) -> None:
    alice = MemberFactory(email="alice@example.org", preference__time_zone="Asia/Kolkata")
    start = (timezone.now() + timedelta(hours=3)).replace(minute=0, second=0, microsecond=0)
    ContestFactory(name="Round <1> & Co", starts_at=start)

    report = dispatch()

    assert (report.planned, report.total("sent")) == (1, 1)
    (mail,) = inbox.mails
    assert mail["To"] == alice.email
    local = start + timedelta(hours=5, minutes=30)
    assert f"{local:%H:%M}" in mail["Subject"]
    text, html = (body_of(mail, kind) for kind in ("plain", "html"))
    assert "Round <1> & Co" in text
    assert f"{local:%H:%M} (Asia/Kolkata)" in text
    assert "Round &lt;1&gt; &amp; Co" in html
    assert f"<strong>{local:%H:%M}</strong> (Asia/Kolkata)" in html
    assert mail["Date"]
    assert mail["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"
    assert re.fullmatch(r"<http://127\.0\.0\.1:8000/unsubscribe/\S+/>", mail["List-Unsubscribe"].strip())
    reminder = Notification.objects.get()
    assert mail["Message-ID"] == f"<{reminder.message}@127.0.0.1>"
    assert reminder.sent_at is not None
    assert Channel.objects.get().last_sent_at == reminder.sent_at


def test_a_second_dispatch_sends_nothing(inbox: Inbox) -> None:
    MemberFactory()
    ContestFactory()
    dispatch()
    report = dispatch()
    assert (report.planned, report.total("sent"), len(inbox.mails)) == (0, 0, 1)


def test_contests_that_are_due_together_share_one_mail(inbox: Inbox) -> None:
    MemberFactory()
    start = timezone.now() + timedelta(hours=5)
    ContestFactory(name="Division 1", starts_at=start)
    ContestFactory(name="Division 2", starts_at=start)

    report = dispatch()

    (mail,) = inbox.mails
    assert "Division 1" in mail["Subject"]
    assert "Division 2" in mail["Subject"]
    assert report.by_channel["email"].messages == 1
    assert report.total("sent") == 2


def test_two_lead_times_that_are_due_together_name_the_contest_once(inbox: Inbox) -> None:
    MemberFactory(preference__lead_minutes=[1440, 60])
    ContestFactory(name="Only Round", starts_at=timezone.now() + timedelta(minutes=20))

    assert dispatch().total("sent") == 2

    (mail,) = inbox.mails
    assert body_of(mail).count("Only Round") == 1


def test_all_mails_of_a_round_go_over_one_connection(inbox: Inbox) -> None:
    for _ in range(30):
        MemberFactory()
    ContestFactory()
    dispatch()
    assert (len(inbox.mails), inbox.connections) == (30, 1)


def test_a_moved_contest_is_told_again_with_its_new_start(inbox: Inbox) -> None:
    MemberFactory(preference__lead_minutes=[60])
    contest = ContestFactory(starts_at=timezone.now() + timedelta(minutes=45))
    dispatch()
    contest.starts_at += timedelta(minutes=10)
    contest.save()
    assert dispatch().planned == 2
    assert len({mail["Message-ID"] for mail in inbox.mails}) == 3
    assert sum(" moved to " in mail["Subject"] for mail in inbox.mails) == 1


def entry(mail: EmailMessage) -> Any:
    """The one contest in the calendar that comes with a mail."""
    (file,) = mail.iter_attachments()
    content = file.get_payload(decode=True)
    assert isinstance(content, bytes)
    (found,) = Calendar.from_ical(content).walk("VEVENT")
    return found


def test_the_calendar_in_a_later_mail_puts_right_the_entry_that_an_earlier_one_made(inbox: Inbox) -> None:
    MemberFactory(preference__lead_minutes=[60])
    contest = ContestFactory(starts_at=timezone.now() + timedelta(minutes=45))
    dispatch()
    moved = contest.starts_at + timedelta(minutes=10)
    Contest.objects.filter(pk=contest.pk).update(starts_at=moved, sequence=1)
    dispatch()
    Contest.objects.filter(pk=contest.pk).update(cancelled_at=timezone.now(), sequence=2)
    dispatch()

    first, *_, last = (entry(mail) for mail in inbox.mails)
    assert {str(entry(mail)["UID"]) for mail in inbox.mails} == {contest.calendar_entry.uid}
    assert [entry(mail)["SEQUENCE"] for mail in inbox.mails] == [0, 1, 1, 2]
    assert last["DTSTART"].dt - first["DTSTART"].dt == timedelta(minutes=10)
    assert (first["STATUS"], last["STATUS"]) == ("CONFIRMED", "CANCELLED")


def test_a_mail_leads_to_the_contest_here_and_at_its_platform(inbox: Inbox) -> None:
    MemberFactory()
    contest = ContestFactory()
    dispatch()
    for kind in ("plain", "html"):
        content = body_of(inbox.mails[0], kind)
        assert contest.url in content
        assert f"http://127.0.0.1:8000{contest.get_absolute_url()}" in content


def test_what_is_not_asked_for_by_choice_cannot_be_unsubscribed_from(inbox: Inbox) -> None:
    NotificationFactory(kind="test", contest=None, contest_name="", starts_at=timezone.now() + timedelta(hours=1))
    dispatch()
    (mail,) = inbox.mails
    assert "List-Unsubscribe" not in mail
    assert "unsubscribe" not in mail.as_string()
    assert not list(mail.iter_attachments())


def test_an_address_that_does_not_exist_turns_its_channel_off_and_no_other(inbox: Inbox) -> None:
    MemberFactory(email="gone@example.org")
    MemberFactory(email="bob@example.org")
    ContestFactory()
    inbox.refuse = lambda address: "550 5.1.1 No such user" if address.startswith("gone") else None

    report = dispatch()

    assert (report.total("sent"), report.total("failed")) == (1, 1)
    dead = Channel.objects.get(address="gone@example.org")
    assert dead.disabled_at is not None
    assert "No such user" in dead.disabled_reason
    assert Channel.objects.get(address="bob@example.org").disabled_at is None
    assert "No such user" in report.errors[0]


@pytest.mark.parametrize("reply", ["451 4.3.0 Try again later", "550 5.7.1 Relaying denied"])
def test_a_refusal_that_is_not_about_the_address_is_tried_again_later(inbox: Inbox, reply: str) -> None:
    MemberFactory()
    ContestFactory()
    inbox.refuse = lambda address: reply

    report = dispatch()

    assert (report.total("sent"), report.total("postponed")) == (0, 1)
    reminder = Notification.objects.get()
    assert (reminder.status, reminder.attempts) == (Status.PENDING, 1)
    assert Channel.objects.get().disabled_at is None

    first = reminder.message
    inbox.refuse = lambda address: None
    Notification.objects.update(available_at=timezone.now())
    assert dispatch().total("sent") == 1
    assert inbox.mails[0]["Message-ID"] == f"<{first}@127.0.0.1>", "a retry is the same message"


def test_a_message_that_the_server_will_never_take_fails_with_the_reason(inbox: Inbox) -> None:
    MemberFactory()
    ContestFactory()
    inbox.refuse_data = lambda mail: "554 5.6.0 Looks like spam"
    assert dispatch().total("failed") == 1
    assert "Looks like spam" in Notification.objects.get().error
    assert Channel.objects.get().disabled_at is None


def test_without_a_mail_server_everybody_waits_and_no_attempt_is_used_up(settings: Settings) -> None:
    settings.EMAIL_BACKEND = "django.core.mail.backends.smtp.EmailBackend"
    settings.EMAIL_HOST, settings.EMAIL_PORT = "127.0.0.1", 9
    for _ in range(5):
        MemberFactory()
    ContestFactory()

    report = dispatch()

    assert (report.total("sent"), report.total("postponed")) == (0, 5)
    assert set(Notification.objects.values_list("status", "attempts")) == {(Status.PENDING, 0)}
    assert len(report.errors) == 1


def test_a_server_that_hung_up_is_called_again(inbox: Inbox) -> None:
    with CHANNELS["email"]() as channel:
        for _ in range(2):
            channel.send(
                Message(id=uuid4(), address="a@example.org", subject="Hi", text="Hi", expires_at=timezone.now())
            )
            channel._connection.connection.sock.close()  # type: ignore[attr-defined]  # the wire is cut
    assert len(inbox.mails) == 2


def test_what_a_dead_process_had_claimed_is_sent_when_its_lease_is_over(inbox: Inbox) -> None:
    NotificationFactory()
    (claimed,) = claim("email", uuid4(), 10)
    assert deliver("email").sent == 0, "it is still claimed"

    Notification.objects.update(available_at=timezone.now())
    assert deliver("email").sent == 1

    (mail,) = inbox.mails
    assert mail["Message-ID"] == f"<{claimed.envelope.message}@127.0.0.1>"


def test_an_outcome_whose_claim_was_lost_changes_nothing(inbox: Inbox) -> None:
    NotificationFactory()
    (letter,) = claim("email", late := uuid4(), 10)
    Notification.objects.update(available_at=timezone.now())
    deliver("email")

    record("email", late, [outcome(letter, Status.FAILED, "I was slow.")])

    assert Notification.objects.get().status == Status.SENT


def test_a_batch_whose_lease_runs_out_is_let_go_and_taken_anew(inbox: Inbox, monkeypatch: pytest.MonkeyPatch) -> None:
    for _ in range(3):
        NotificationFactory()
    claims = []

    def counted(kind: str, claimer: UUID, most: int) -> Any:
        claims.append(kind)
        return claim(kind, claimer, most)

    monkeypatch.setattr(delivery, "claim", counted)
    monkeypatch.setattr(sending, "LEASE", timedelta(seconds=0.2))
    inbox.delay = lambda address: 0.15

    report = deliver("email")

    assert (report.sent, report.postponed, report.unfinished) == (3, 0, False)
    assert len(claims) > 2
    assert len(inbox.handed_over) == 3, "nobody else took what was let go"
    assert set(Notification.objects.values_list("attempts", flat=True)) == {1}


def test_when_time_is_up_the_rest_is_left_to_another_round(inbox: Inbox) -> None:
    for _ in range(3):
        NotificationFactory()
    inbox.delay = lambda address: 0.15

    report = deliver("email", clock=Clock(time.monotonic() + 0.1))

    assert (report.sent, report.postponed, report.unfinished) == (1, 0, True)
    assert deliver("email").sent == 2


@pytest.mark.parametrize("interruption", [KeyboardInterrupt, SystemExit, SoftTimeLimitExceeded])
def test_an_interruption_ends_with_the_mail_it_is_at_and_what_left_does_not_leave_again(
    inbox: Inbox, monkeypatch: pytest.MonkeyPatch, interruption: type[BaseException]
) -> None:
    """As Celery's limit of time and Ctrl-C come: by a signal, in the main thread."""
    for _ in range(5):
        NotificationFactory()
    inbox.delay = lambda address: 0.1
    is_over = Event()

    def interrupt(*_: object) -> None:
        raise interruption

    class Pool(ThreadPoolExecutor):
        def shutdown(self, *how: Any, **more: Any) -> None:
            is_over.set()
            super().shutdown(*how, **more)

    class Interrupted(Email):
        def _hand_over(self, message: Message) -> None:
            if len(inbox.mails) == 2:
                os.kill(os.getpid(), signal.SIGUSR1)
                assert is_over.wait(10)
            super()._hand_over(message)

    monkeypatch.setattr(sending, "ThreadPoolExecutor", Pool)
    monkeypatch.setitem(CHANNELS, "email", Interrupted)
    before = signal.signal(signal.SIGUSR1, interrupt)
    try:
        with pytest.raises(interruption):
            deliver("email")
    finally:
        signal.signal(signal.SIGUSR1, before)
    monkeypatch.undo()

    assert statuses() == {Status.SENT: 3, Status.PENDING: 2}
    assert set(Notification.objects.values_list("attempts", flat=True)) == {0, 1}
    assert deliver("email").sent == 2
    assert len(set(inbox.recipients)) == len(inbox.recipients) == 5


def test_more_is_claimed_while_what_was_claimed_before_is_still_being_sent(
    inbox: Inbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And what is done is recorded meanwhile: a process that is killed leaves little to be sent again."""
    monkeypatch.setattr(delivery, "BATCH", 4)
    monkeypatch.setattr(sending, "WORTH_RECORDING", 1)
    inbox.delay = lambda address: 0.05
    contest = ContestFactory()
    for _ in range(12):
        NotificationFactory(contest=contest)
    seen = []

    def look(kind: str, claimer: UUID, most: int) -> Any:
        seen.append((statuses().get(Status.SENDING, 0), statuses().get(Status.SENT, 0)))
        return claim(kind, claimer, most)

    monkeypatch.setattr(delivery, "claim", look)
    assert deliver("email").sent == 12

    in_hand, sent = zip(*seen[1:3], strict=True)
    assert max(in_hand) > 0
    assert all(0 < count < 12 for count in sent)
    assert len(set(inbox.recipients)) == len(inbox.recipients) == 12


def test_a_message_that_cannot_be_made_stops_no_other(inbox: Inbox) -> None:
    contest = ContestFactory()
    alice, bob = (NotificationFactory(contest=contest) for _ in range(2))
    Notification.objects.filter(pk=alice.pk).update(kind="rumour")

    assert deliver("email").sent == 1

    alice.refresh_from_db()
    assert alice.status == Status.FAILED
    assert "rumour" in alice.error
    assert inbox.recipients == [bob.channel.address]


def test_a_round_goes_by_one_clock_from_plan_to_lease(inbox: Inbox) -> None:
    """Whoever moves the clock moves all of it: nothing in the statements reads another."""
    MemberFactory(preference__lead_minutes=[60])
    contest = ContestFactory(starts_at=timezone.now() + timedelta(days=400))
    assert dispatch().planned == 0

    with time_machine.travel(contest.starts_at - timedelta(hours=1), tick=False):
        dispatch()
        reminder = Notification.objects.get()
        assert (reminder.status, reminder.due_at, reminder.sent_at) == (Status.SENT, timezone.now(), timezone.now())

    Notification.objects.update(status=Status.PENDING, available_at=timezone.now())
    with time_machine.travel(contest.starts_at, tick=False):
        assert dispatch().expired == 1


def test_a_server_that_takes_so_many_mails_and_closes_is_called_again(inbox: Inbox) -> None:
    for _ in range(5):
        NotificationFactory()
    inbox.mails_per_connection = 2
    assert deliver("email").sent == 5
    assert inbox.connections == 3


def test_a_mail_on_which_the_server_hangs_stops_no_other_and_is_not_sent_twice(
    inbox: Inbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(email, "PATIENCE", 0.2)
    contest = ContestFactory()
    for name in ("slow", "alice", "bob"):
        NotificationFactory(contest=contest, channel=MemberFactory(email=f"{name}@example.org").channels.get())
    inbox.delay = lambda address: 0.5 * address.startswith("slow")

    report = deliver("email")

    assert (report.sent, report.postponed) == (2, 1)
    assert inbox.handed_over.count("slow@example.org") == 1
    waiting = Notification.objects.get(status=Status.PENDING)
    assert (waiting.attempts, waiting.channel.address) == (1, "slow@example.org")


def test_a_server_that_hangs_on_every_mail_is_down(inbox: Inbox, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(email, "PATIENCE", 0.1)
    for _ in range(5):
        NotificationFactory()
    inbox.delay = lambda address: 0.3

    report = deliver("email")

    assert (report.sent, report.postponed) == (0, 5)
    assert len(inbox.handed_over) == email.MOST_HANG_UPS
    assert sorted(Notification.objects.values_list("attempts", flat=True)) == [0, 0, 0, 1, 1]


def test_without_the_encryption_that_was_asked_for_nothing_leaves(inbox: Inbox, settings: Settings) -> None:
    settings.EMAIL_USE_TLS = True
    for _ in range(2):
        NotificationFactory()
    report = deliver("email")
    assert (report.sent, report.postponed, inbox.handed_over) == (0, 2, [])
    assert "STARTTLS" in report.errors[0]


@pytest.mark.django_db(transaction=True)
def test_nobody_waits_for_a_reminder_that_another_holds(inbox: Inbox) -> None:
    contest = ContestFactory()
    alice, bob = (NotificationFactory(contest=contest) for _ in range(2))
    with another_transaction() as others, connection.cursor() as ours:
        others.execute("SELECT FROM notifications_notification WHERE id = %s FOR UPDATE", [alice.pk])
        ours.execute("SET lock_timeout = '2s'")
        claimed = claim("email", uuid4(), 10)
        Preference.objects.update(paused=True)
        assert settle(Scope(timezone.now(), timezone.now())) == {}
    connection.close()
    assert [[each.id for each in letter.notices] for letter in claimed] == [[bob.pk]]
    assert settle(Scope(timezone.now(), timezone.now())) == {Status.SKIPPED: 1}


def test_each_distinct_message_is_rendered_once(inbox: Inbox, monkeypatch: pytest.MonkeyPatch) -> None:
    rendered: list[str] = []
    render = messages._render

    def counted(kind: Any, items: Any, zone: ZoneInfo, details: Any) -> Any:
        rendered.append(zone.key)
        return render(kind, items, zone, details)

    monkeypatch.setattr(messages, "_render", counted)
    for zone in ("Asia/Tokyo", "Asia/Tokyo", "Europe/Lisbon"):
        MemberFactory(preference__time_zone=zone)
    ContestFactory()
    dispatch()
    assert sorted(rendered) == ["Asia/Tokyo", "Europe/Lisbon"]
    links = {mail["List-Unsubscribe"] for mail in inbox.mails}
    assert len(links) == 3, "the link is each member's own"


def test_the_number_of_queries_does_not_grow_with_the_number_of_members(inbox: Inbox) -> None:
    def queries(members: int) -> int:
        for _ in range(members):
            MemberFactory()
        ContestFactory()
        with CaptureQueriesContext(connection) as captured:
            assert dispatch().total("sent") >= members
        return len(captured)

    queries(1)
    assert queries(40) <= queries(2) <= 36


def test_a_dry_run_sends_and_keeps_nothing(inbox: Inbox) -> None:
    MemberFactory()
    ContestFactory()
    assert dispatch(dry_run=True).planned == 1
    assert not Notification.objects.exists()
    assert not inbox.mails


def test_the_next_round_decides_how_far_ahead_this_one_looks(inbox: Inbox) -> None:
    MemberFactory(preference__lead_minutes=[60])
    ContestFactory(starts_at=timezone.now() + timedelta(hours=1, minutes=10))
    assert dispatch(next_round_at=timezone.now() + timedelta(minutes=5)).planned == 0
    assert dispatch(next_round_at=timezone.now() + timedelta(minutes=15)).planned == 1


def test_what_turns_up_between_two_rounds_is_due_before_the_next_one_and_told_by_one_in_between(inbox: Inbox) -> None:
    """The round before knew when the next one comes; one by hand, or after a sync, is told by nobody."""
    MemberFactory(preference__lead_minutes=[60])
    now = timezone.now()
    with time_machine.travel(now, tick=False) as clock:
        dispatch(next_round_at=now + timedelta(hours=6))
        clock.shift(timedelta(minutes=10))
        ContestFactory(starts_at=now + timedelta(hours=4))
        assert dispatch().planned == 1, "in six hours it would have begun"


def test_when_rounds_come_more_often_from_now_on_nothing_is_early_and_nothing_lost(inbox: Inbox) -> None:
    """Who edits the schedule brings the next round forward, and up to where all is planned with it."""
    MemberFactory(preference__lead_minutes=[60])
    now = timezone.now()
    with time_machine.travel(now, tick=False) as clock:
        dispatch(next_round_at=now + timedelta(days=1))
        ContestFactory(starts_at=now + timedelta(hours=4))
        assert dispatch(next_round_at=now + timedelta(minutes=30)).planned == 0, "it is in four hours"
        clock.shift(timedelta(hours=2, minutes=50))
        assert dispatch(next_round_at=now + timedelta(hours=3, minutes=20)).planned == 1


def test_a_reply_that_no_table_takes_stops_nobody_and_no_mail_is_sent_twice(inbox: Inbox) -> None:
    contest = ContestFactory()
    for name in ("alice", "bob", "carol"):
        NotificationFactory(contest=contest, channel=MemberFactory(email=f"{name}@example.org").channels.get())
    inbox.refuse = lambda address: "550 5.1.1 No such\0user" if address.startswith("bob") else None

    assert deliver("email").errors == ("The mail server refused bob@example.org: 550 5.1.1 No such�user",)

    assert statuses() == {Status.SENT: 2, Status.FAILED: 1}


def test_what_has_begun_while_it_waited_for_its_turn_is_not_sent(inbox: Inbox) -> None:
    """A whole batch is claimed at once, and a slow server takes it one by one."""
    channels = [MemberFactory().channels.get() for _ in range(3)]
    contest = ContestFactory(starts_at=timezone.now() + timedelta(seconds=1))
    for channel in channels:
        NotificationFactory(contest=contest, channel=channel)
    inbox.delay = lambda address: 1.2

    assert deliver("email").sent == len(inbox.mails) == 1

    assert dispatch().expired == 2
    expired = Notification.objects.filter(status=Status.EXPIRED)
    assert {each.error for each in expired} == {"The contest began before this could be sent."}


def test_nothing_is_claimed_for_a_channel_that_was_turned_off_since_the_plan(inbox: Inbox) -> None:
    for number in range(2):
        NotificationFactory(channel=MemberFactory(email=f"{number}@example.org").channels.get())
    Channel.objects.filter(address="0@example.org").remove()

    assert deliver("email").sent == 1

    assert inbox.recipients == ["1@example.org"]
    assert dispatch().skipped == 1


@pytest.mark.parametrize("sync", ["cancels", "moves", "deletes"])
def test_what_a_sync_makes_wrong_between_plan_and_claim_is_not_told(inbox: Inbox, sync: str) -> None:
    """Nor said to have been, where another contest is told in the same mail."""
    channel = MemberFactory().channels.get()
    for name in ("Wrong", "Right"):
        NotificationFactory(channel=channel, contest=ContestFactory(name=name))
    wrong = Contest.objects.filter(name="Wrong")
    match sync:
        case "cancels":
            wrong.update(cancelled_at=timezone.now())
        case "moves":
            wrong.update(starts_at=F("starts_at") + timedelta(hours=1), ends_at=F("ends_at") + timedelta(hours=1))
        case "deletes":
            wrong.delete()

    assert deliver("email").sent == 1

    (mail,) = inbox.mails
    assert mail["Subject"].startswith("Right starts")
    with time_machine.travel(timezone.now() + LEASE):
        dispatch()
    assert Notification.objects.get(contest_name="Wrong", lead_minutes=60, kind="reminder").status == Status.SKIPPED


@pytest.mark.django_db(transaction=True)
def test_what_was_claimed_when_the_database_hung_up_is_sent_in_the_same_round(
    inbox: Inbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It hangs up after the claim, before all is said that is known of it; and once more while others are in hand."""
    monkeypatch.setattr(delivery, "BATCH", 2)
    contest = ContestFactory()
    for _ in range(5):
        NotificationFactory(contest=contest)
    looks = 0

    def hangs_up(rows: Any, now: Any, letters: Any = claiming._letters) -> Any:
        nonlocal looks
        looks += 1
        if looks in (1, 4):
            with another_transaction() as other, connection.cursor() as ours:
                ours.execute("SELECT pg_backend_pid()")
                other.execute("SELECT pg_terminate_backend(%s)", ours.fetchone())
        return letters(rows, now)

    monkeypatch.setattr(claiming, "_letters", hangs_up)
    assert deliver("email").sent == 5
    assert looks > 4
    assert len(set(inbox.recipients)) == len(inbox.recipients) == 5
    assert set(Notification.objects.values_list("status", "attempts")) == {(Status.SENT, 1)}
