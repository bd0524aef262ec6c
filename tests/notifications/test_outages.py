"""Servers that are away, dead, choosy or slow, on real wires: who waits, who does not, and that nothing is lost."""

import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from datetime import time as time_of_day
from itertools import combinations
from pathlib import Path

import pytest
import time_machine
from aiosmtpd.controller import Controller
from django.db import connection, connections
from django.utils import timezone
from pytest_django import Settings

from config.breaker import BreakerState
from notifications import providers
from notifications.channels import email
from notifications.delivery import deliver
from notifications.dispatch import dispatch
from notifications.models import Channel, Notification, Provider, Status
from notifications.sending import Clock
from tests import mailserver
from tests.factories import ContestFactory, MemberFactory, NotificationFactory, make_members
from tests.installation import ROOT, eventually
from tests.smtp import Inbox, body_of, free_port
from tests.whatsapp import Graph, Refusal

pytestmark = pytest.mark.django_db


def statuses() -> set[tuple[str, int]]:
    return set(Notification.objects.values_list("status", "attempts"))


def test_while_the_mail_server_is_away_nobody_loses_an_attempt_and_when_it_is_back_all_leave(
    settings: Settings,
) -> None:
    settings.EMAIL_BACKEND = "django.core.mail.backends.smtp.EmailBackend"
    settings.EMAIL_HOST, settings.EMAIL_PORT = "127.0.0.1", free_port()
    make_members(30, lead_minutes=[60])
    ContestFactory(starts_at=timezone.now() + timedelta(minutes=50))
    for minutes in (0, 5, 10):
        with time_machine.travel(timezone.now() + timedelta(minutes=minutes)):
            assert dispatch().total("postponed") == (30 if minutes == 0 else 1), "one is tried, the rest waits"
            assert statuses() == {(Status.PENDING, 0)}
            assert dispatch().total("postponed") == 0, "nobody is asked again at once"

    inbox = Inbox()
    controller = Controller(inbox, hostname="127.0.0.1", port=settings.EMAIL_PORT)
    controller.start()
    try:
        with time_machine.travel(timezone.now() + timedelta(minutes=15)):
            assert dispatch().total("sent") == 30
    finally:
        controller.stop()
    assert statuses() == {(Status.SENT, 1)}
    assert len(set(inbox.recipients)) == len(inbox.recipients) == 30
    assert Provider.objects.get(kind="email").breaker_state == BreakerState.CLOSED


@pytest.fixture
def tarpit(settings: Settings) -> Iterator[None]:
    """A mail server that takes up the phone and says nothing."""
    settings.EMAIL_BACKEND = "django.core.mail.backends.smtp.EmailBackend"
    with socket.create_server(("127.0.0.1", 0)) as server:
        settings.EMAIL_HOST, settings.EMAIL_PORT = server.getsockname()
        yield


@pytest.mark.django_db(transaction=True)
def test_a_dead_mail_server_delays_no_whatsapp(graph: Graph, tarpit: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(email, "PATIENCE", 2.0)
    ContestFactory()
    for number in range(5):
        alice = MemberFactory()
        Channel.objects.create(user=alice, kind="whatsapp", address=f"+1650555123{number}", verified_at=timezone.now())

    def round_of_all() -> None:
        dispatch()
        connections.close_all()

    working = threading.Thread(target=round_of_all)
    working.start()
    eventually(lambda: Notification.objects.filter(status=Status.SENT).count() == 5, within=20)
    assert working.is_alive(), "the mails are still waited for"
    working.join()
    assert len(graph.taken) == 5
    assert set(Notification.objects.values_list("channel__kind", "status", "attempts")) == {
        ("whatsapp", Status.SENT, 1),
        ("email", Status.PENDING, 0),
    }


DELIVER = """
import sys, django
from django.conf import settings
settings.DATABASES["default"]["NAME"] = sys.argv[1]
django.setup()
from notifications.delivery import deliver
deliver("email")
"""


@pytest.mark.django_db(transaction=True)
def test_two_processes_share_one_rate_and_drop_nothing(settings: Settings, tmp_path: Path) -> None:
    """In any span of time the server is given that span's worth, and a second's worth at most besides."""
    rate, mails = 30, 120
    Provider.objects.update_or_create(kind="email", defaults={"per_second": rate})
    contest = ContestFactory()
    make_members(mails)
    for channel in Channel.objects.all():
        NotificationFactory(contest=contest, channel=channel)
    with mailserver.running(tmp_path / "mails") as server:
        environment = {**os.environ, "TEST_DATA_DIR": str(settings.DATA_DIR), "TEST_EMAIL_URL": server.url}
        command = [sys.executable, "-c", DELIVER, str(connection.settings_dict["NAME"])]
        processes = [subprocess.Popen(command, cwd=ROOT, env=environment) for _ in range(2)]
        assert [process.wait(60) for process in processes] == [0, 0]
        taken = sorted(mail.at for mail in server.taken)
        senders = {mail.port for mail in server.taken}

    assert statuses() == {(Status.SENT, 1)}
    assert (len(taken), len(senders)) == (mails, 2)
    late = 0.7  # seconds by which a mail may come after it was let through, and so be nearer to the next
    for first, last in combinations(range(mails), 2):
        assert last - first + 1 <= rate * (taken[last] - taken[first] + 1 + late)


def test_who_loses_an_address_is_told_at_the_other_one(inbox: Inbox) -> None:
    alice = MemberFactory(email="alice@gone.example.org")
    Channel.objects.create(user=alice, kind="email", address="alice@example.org", verified_at=timezone.now())
    bob = MemberFactory(email="bob@gone.example.org")
    ContestFactory(name="Round 1")
    inbox.refuse = lambda address: "550 5.1.1 No such user" if "gone" in address else None

    dispatch()

    reminder, told = inbox.to("alice@example.org")
    assert "Round 1" in reminder["Subject"]
    assert told["Subject"] == "One of your channels works no more"
    text = body_of(told)
    assert "alice@gone.example.org: The mail server refused alice@gone.example.org: 550 5.1.1 No such user" in text
    assert bob.channels.get().disabled_at is not None, "there is nowhere to tell him"
    assert not Notification.objects.filter(kind="channel-off", channel__user=bob).exists()
    inbox.mails.clear()
    dispatch()
    assert inbox.mails == []


def test_a_provider_that_takes_less_than_a_message_a_second_is_waited_for(inbox: Inbox) -> None:
    Provider.objects.filter(kind="email").update(per_second=0.5)
    contest = ContestFactory()
    for _ in range(3):
        NotificationFactory(contest=contest)

    clock, began, sent_after = Clock(), time.monotonic(), []

    def stop_at_the_second(done: int) -> None:
        sent_after.extend([time.monotonic() - began] * done)
        clock.stop_at = 0 if len(sent_after) == 2 else clock.stop_at

    report = deliver("email", stop_at_the_second, clock=clock)

    assert (report.sent, report.unfinished) == (2, True)
    assert sent_after[1] >= 1.9, "one at once, and one after two seconds"


def several_messages_to_one_member(kind: str, address: str) -> None:
    contest = ContestFactory()
    channel = Channel.objects.create(user=MemberFactory(), kind=kind, address=address, verified_at=timezone.now())
    for what in ("reminder", "moved", "reinstated"):
        NotificationFactory(contest=contest, channel=channel, kind=what)


def test_several_messages_to_one_member_keep_to_the_rate(inbox: Inbox) -> None:
    """A channel is claimed as a whole, and may be worth more messages than were let through."""
    Provider.objects.filter(kind="email").update(per_second=2)
    several_messages_to_one_member("email", "alice@example.org")
    clock = Clock()

    def stop(done: int) -> None:
        clock.stop_at = 0

    assert deliver("email", stop, clock=clock).messages == 2
    assert deliver("email").messages == 1
    assert Notification.objects.filter(attempts=1, status=Status.SENT).count() == 3


def test_a_provider_that_was_down_is_tried_with_one_message_though_several_are_due_to_one_member(graph: Graph) -> None:
    several_messages_to_one_member("whatsapp", "+16505551234")
    providers.record("whatsapp", timezone.now() - timedelta(minutes=2), error="It was down")
    graph.refusals["16505551234"] = Refusal(131016, status=500)
    assert deliver("whatsapp").sent == 0
    assert graph.requests == 1
    assert statuses() == {(Status.PENDING, 0)}


def test_what_left_before_a_provider_asked_for_rest_does_not_wake_it() -> None:
    """Of two processes, one has its last message taken while the other hears that there shall be no more."""
    now = timezone.now()
    providers.record("whatsapp", now, error="Slow down", after=timedelta(hours=1))
    providers.record("whatsapp", now + timedelta(seconds=1))
    assert providers.let_through("whatsapp", 10, now + timedelta(minutes=59))[0] == 0
    later = now + timedelta(minutes=61)
    assert providers.let_through("whatsapp", 10, later)[0] == 1
    providers.record("whatsapp", later)
    assert providers.let_through("whatsapp", 10, later)[0] == 10


def test_who_loses_an_address_at_night_is_told_in_the_morning(inbox: Inbox) -> None:
    """A digest may be asked for at any hour, and providers tell when they like what became of a message."""
    midnight = datetime(2027, 6, 7, tzinfo=UTC)
    with time_machine.travel(midnight, tick=False):
        alice = MemberFactory(preference__quiet_from=time_of_day(22), preference__quiet_until=time_of_day(7))
        gone = Channel.objects.create(
            user=alice, kind="email", address="alice@gone.example.org", verified_at=timezone.now()
        )
        NotificationFactory(
            channel=gone, kind="test", contest=None, contest_name="", starts_at=midnight + timedelta(days=1)
        )
        inbox.refuse = lambda address: "550 5.1.1 No such user" if "gone" in address else None
        dispatch()
    assert inbox.mails == []
    with time_machine.travel(midnight + timedelta(hours=7), tick=False):
        dispatch()
    assert [mail["Subject"] for mail in inbox.to(alice.email)] == ["One of your channels works no more"]
