"""Reminders that leave by WhatsApp, and what its callbacks make of them. Alice has a number and nothing else."""

import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest
import time_machine
from django.contrib.auth.models import User
from django.db import connection, connections
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from pytest_django import Settings
from pytest_django.live_server_helper import LiveServer

from config.breaker import BreakerState
from notifications.channels import whatsapp
from notifications.dispatch import dispatch
from notifications.models import Channel, Notification, NotificationKind, Provider, Status
from notifications.outcomes import UNKNOWN_PAUSE
from tests.factories import ContestFactory, MemberFactory, NotificationFactory
from tests.notifications.channels.test_whatsapp import TABLE
from tests.smtp import Inbox
from tests.whatsapp import APP_SECRET, VERIFY_TOKEN, Graph, Refusal, sign, texts

pytestmark = pytest.mark.django_db

URL = "/webhooks/whatsapp/"
NUMBER = "+16505551234"


def with_number(member: User, number: str = NUMBER) -> Channel:
    return Channel.objects.create(user=member, kind="whatsapp", address=number, verified_at=timezone.now())


@pytest.fixture
def alice() -> User:
    member: User = MemberFactory(username="alice", verified=False)
    with_number(member)
    return member


@pytest.fixture
def reminder(graph: Graph, alice: User) -> Notification:
    """One that WhatsApp has taken."""
    ContestFactory(name="Round 1")
    dispatch()
    return Notification.objects.get()


def call_back(client: Client, body: bytes, signature: str | None = None) -> Any:
    return client.post(
        URL, body, content_type="application/json", headers={"X-Hub-Signature-256": signature or sign(body)}
    )


def tell(client: Client, graph: Graph, *reports: dict[str, Any]) -> None:
    response = call_back(client, graph.callback(*reports))
    assert (response.status_code, response.content) == (200, b"")


def everything() -> list[Any]:
    """All that callbacks could change."""
    return [*Notification.objects.order_by("pk").values(), *Channel.objects.order_by("pk").values()]


# --- From a due reminder to the one who read it --------------------------------------------------------------------


@pytest.mark.django_db(transaction=True)
def test_a_due_reminder_is_sent_delivered_and_read(graph: Graph, alice: User, live_server: LiveServer) -> None:
    ContestFactory(name="Round 1")
    report = dispatch()
    assert (report.planned, report.total("sent")) == (1, 1)
    (taken,) = graph.to(NUMBER)
    assert texts(taken)[0].startswith("Round 1 starts ")
    reminder = Notification.objects.get()
    assert taken["biz_opaque_callback_data"] == str(reminder.message)
    assert (reminder.status, reminder.delivered_at) == (Status.SENT, None)

    at = int(timezone.now().timestamp())
    answer = graph.call_back(live_server.url + URL, graph.report(reminder.message or "", "delivered", at))
    assert answer.status_code == 200
    reminder.refresh_from_db()
    assert reminder.delivered_at == datetime.fromtimestamp(at, UTC)
    assert reminder.read_at is None

    graph.call_back(live_server.url + URL, graph.report(reminder.message or "", "read", at))
    reminder.refresh_from_db()
    assert reminder.read_at == datetime.fromtimestamp(at, UTC)


@pytest.mark.django_db(transaction=True)
def test_mail_and_whatsapp_leave_side_by_side(graph: Graph, inbox: Inbox) -> None:
    bob = MemberFactory(email="bob@example.org")
    with_number(bob)
    ContestFactory()
    assert dispatch().total("sent") == 2
    assert (len(inbox.to("bob@example.org")), len(graph.to(NUMBER))) == (1, 1)


def test_a_due_reminder_waits_while_the_operator_has_no_whatsapp(graph: Graph, alice: User, settings: Settings) -> None:
    settings.WHATSAPP_PHONE_NUMBER_ID = ""
    ContestFactory()
    dispatch()
    assert graph.requests == 0


# --- Who knows whether it left -------------------------------------------------------------------------------------


@pytest.fixture
def unknown(graph: Graph, alice: User, monkeypatch: pytest.MonkeyPatch) -> Notification:
    """A reminder that WhatsApp took without a word."""
    monkeypatch.setattr(whatsapp, "PATIENCE", 0.2)
    graph.silent.add(NUMBER[1:])
    ContestFactory()
    dispatch()
    graph.silent.clear()
    reminder = Notification.objects.get()
    assert reminder.status == Status.PENDING
    assert "Nobody knows" in reminder.error
    return reminder


@pytest.mark.parametrize("state", ["sent", "delivered", "read"])
def test_a_timeout_waits_for_the_callback_and_is_not_sent_again(
    client: Client, graph: Graph, unknown: Notification, state: str
) -> None:
    dispatch()
    assert len(graph.to(NUMBER)) == 1
    tell(client, graph, graph.report(unknown.message or "", state))
    unknown.refresh_from_db()
    assert (unknown.status, unknown.error) == (Status.SENT, "")
    assert unknown.sent_at
    assert Channel.objects.get().last_sent_at == unknown.sent_at
    with time_machine.travel(timezone.now() + 2 * UNKNOWN_PAUSE):
        dispatch()
    assert len(graph.to(NUMBER)) == 1


def test_a_timeout_of_which_nobody_tells_is_tried_again_with_the_same_id(graph: Graph, unknown: Notification) -> None:
    with time_machine.travel(timezone.now() + 2 * UNKNOWN_PAUSE):
        dispatch()
    first, second = graph.to(NUMBER)
    assert first["biz_opaque_callback_data"] == second["biz_opaque_callback_data"]
    unknown.refresh_from_db()
    assert unknown.status == Status.SENT


def test_a_callback_that_comes_before_our_own_record_is_kept(client: Client, graph: Graph, alice: User) -> None:
    """The worker was killed after WhatsApp had taken it: it is not sent a second time."""
    sending = NotificationFactory(
        channel=alice.channels.get(),
        lead_minutes=24 * 60,
        status=Status.SENDING,
        claim=uuid4(),
        message=uuid4(),
        available_at=timezone.now() - timedelta(seconds=1),
    )
    tell(client, graph, graph.report(sending.message or "", "sent"))
    dispatch()
    sending.refresh_from_db()
    assert (sending.status, sending.claim) == (Status.SENT, None)
    assert not graph.to(NUMBER)


def test_a_reminder_that_expired_unknown_and_arrived_has_arrived(
    client: Client, graph: Graph, unknown: Notification
) -> None:
    Notification.objects.update(status=Status.EXPIRED)
    tell(client, graph, graph.report(unknown.message or "", "delivered"))
    unknown.refresh_from_db()
    assert (unknown.status, unknown.error) == (Status.SENT, "")


# --- What the table says, in an answer and in a callback -----------------------------------------------------------

CODES = [code for code in TABLE if not 200 < code < 300]


def consequence(code: int) -> tuple[str, bool, bool]:
    """Of a code: the state of the reminder, whether its channel is off, whether the provider is down."""
    kind = TABLE[code][0].__name__
    return {
        "ChannelDead": (Status.FAILED, True, False),
        "GiveUp": (Status.FAILED, False, False),
        "RetryLater": (Status.PENDING, False, False),
        "ProviderDown": (Status.PENDING, False, True),
    }[kind]


def state() -> tuple[str, bool, bool]:
    provider = Provider.objects.filter(kind="whatsapp").first()
    return (
        Notification.objects.get(kind=NotificationKind.REMINDER).status,
        Channel.objects.get(kind="whatsapp").disabled_at is not None,
        provider is not None and provider.breaker_state != BreakerState.CLOSED,
    )


@pytest.mark.parametrize("code", CODES)
def test_each_code_of_an_answer_does_to_the_row_what_the_table_says(graph: Graph, alice: User, code: int) -> None:
    graph.refusals[NUMBER[1:]] = Refusal(code, "The details.")
    ContestFactory()
    dispatch()
    assert state() == consequence(code)
    reminder = Notification.objects.get()
    assert f"({code}: The details.)" in reminder.error
    assert reminder.attempts == (0 if consequence(code)[2] else 1)


@pytest.mark.parametrize("code", CODES)
def test_each_code_of_a_callback_does_to_the_row_what_the_table_says(
    client: Client, graph: Graph, reminder: Notification, code: int
) -> None:
    tell(client, graph, graph.failure(reminder.message or "", code, "The details."))
    assert state() == consequence(code)
    reminder.refresh_from_db()
    assert f"({code}: The details.)" in reminder.error
    assert f"({code}: The details.)" in Channel.objects.get().last_error
    assert (reminder.sent_at, reminder.delivered_at) == (None, None)


@pytest.mark.parametrize("code", [131000, 130429, 131042])
def test_what_failed_and_may_be_tried_again_is_sent_again(
    client: Client, graph: Graph, reminder: Notification, code: int
) -> None:
    failure = graph.failure(reminder.message or "", code)
    tell(client, graph, failure)
    dispatch()
    assert len(graph.to(NUMBER)) == 1
    with time_machine.travel(timezone.now() + timedelta(minutes=2)):
        dispatch()
    first, second = graph.to(NUMBER)
    assert first["biz_opaque_callback_data"] != second["biz_opaque_callback_data"]
    before = everything()
    tell(client, graph, failure, graph.report(first["biz_opaque_callback_data"], "sent"))
    assert everything() == before
    assert Notification.objects.get().status == Status.SENT


def test_a_dead_number_is_off_and_its_owner_is_told_elsewhere(client: Client, graph: Graph) -> None:
    bob = MemberFactory(email="bob@example.org")
    channel = with_number(bob)
    dead = NotificationFactory(channel=channel, status=Status.SENT, message=uuid4())
    failure = graph.failure(dead.message or "", 131026, "Not on WhatsApp.")
    tell(client, graph, failure)
    channel.refresh_from_db()
    assert channel.disabled_at
    assert "Not on WhatsApp." in channel.disabled_reason
    (news,) = Notification.objects.filter(kind=NotificationKind.CHANNEL_OFF)
    assert (news.channel.kind, news.status) == ("email", Status.PENDING)
    assert NUMBER in news.detail
    assert "Not on WhatsApp." in news.detail

    Channel.objects.filter(pk=channel.pk).update(disabled_at=None, disabled_reason="")
    before = everything()
    tell(client, graph, failure)
    assert everything() == before  # bob turned it on again after that, and is not turned off by a repetition


def test_a_number_that_its_owner_turned_off_keeps_their_reason(
    client: Client, graph: Graph, reminder: Notification
) -> None:
    Channel.objects.update(disabled_at=timezone.now(), disabled_reason="You turned it off.")
    with_number(reminder.channel.user, "+16502530000")
    tell(client, graph, graph.failure(reminder.message or "", 131026))
    assert Channel.objects.get(address=NUMBER).disabled_reason == "You turned it off."
    assert not Notification.objects.filter(kind=NotificationKind.CHANNEL_OFF).exists()


# --- Order, repetition, crowds -------------------------------------------------------------------------------------

Step = Callable[[Graph, Notification], dict[str, Any]]


def says(state: str) -> Step:
    return lambda graph, reminder: graph.report(reminder.message or "", state, 1_790_000_000)


def fails(code: int) -> Step:
    return lambda graph, reminder: graph.failure(reminder.message or "", code)


@pytest.mark.parametrize(
    ("steps", "status", "delivered", "read"),
    [
        ([says("sent"), says("delivered"), says("read")], Status.SENT, True, True),
        ([says("read")], Status.SENT, True, True),
        ([says("read"), says("delivered"), says("sent")], Status.SENT, True, True),
        ([says("delivered"), fails(131026)], Status.SENT, True, False),
        ([says("read"), fails(131000)], Status.SENT, True, True),
        ([fails(131026), says("delivered")], Status.SENT, True, False),
        ([fails(131049), says("sent")], Status.FAILED, False, False),
        ([says("sent"), fails(131049)], Status.FAILED, False, False),
        ([fails(131049), fails(131000)], Status.FAILED, False, False),
    ],
)
@pytest.mark.parametrize("in_one_body", [False, True])
def test_no_later_state_is_turned_back(
    client: Client,
    graph: Graph,
    reminder: Notification,
    steps: list[Step],
    status: Status,
    delivered: bool,
    read: bool,
    in_one_body: bool,
) -> None:
    reports = [step(graph, reminder) for step in steps]
    for body in [reports] if in_one_body else [[report] for report in reports]:
        tell(client, graph, *body)
    reminder.refresh_from_db()
    assert (reminder.status, bool(reminder.delivered_at), bool(reminder.read_at)) == (status, delivered, read)
    assert bool(reminder.error) == (status == Status.FAILED)


@pytest.mark.parametrize("step", [says("sent"), says("delivered"), says("read"), fails(131026), fails(131049)])
def test_a_repeated_callback_changes_nothing(client: Client, graph: Graph, reminder: Notification, step: Step) -> None:
    tell(client, graph, step(graph, reminder))
    before = everything()
    tell(client, graph, step(graph, reminder), step(graph, reminder))
    assert everything() == before


@pytest.mark.parametrize("order", [("delivered", "read"), ("read", "delivered")])
def test_a_message_was_delivered_when_it_was_and_not_when_it_was_read(
    client: Client, graph: Graph, reminder: Notification, order: tuple[str, str]
) -> None:
    at = {"delivered": 1_790_000_000, "read": 1_790_000_060}
    with time_machine.travel(datetime.fromtimestamp(1_790_000_100, UTC)):
        for state in order:
            tell(client, graph, graph.report(reminder.message or "", state, at[state]))
    reminder.refresh_from_db()
    assert reminder.delivered_at == datetime.fromtimestamp(at["delivered"], UTC)
    assert reminder.read_at == datetime.fromtimestamp(at["read"], UTC)


def test_what_a_member_has_read_here_was_read_then(client: Client, graph: Graph, reminder: Notification) -> None:
    earlier = timezone.now() - timedelta(days=1)
    Notification.objects.update(read_at=earlier)
    tell(client, graph, graph.report(reminder.message or "", "read"))
    assert Notification.objects.get().read_at == earlier


def test_one_message_of_several_reminders_marks_them_all(client: Client, graph: Graph, alice: User) -> None:
    start = timezone.now() + timedelta(hours=5)
    ContestFactory(starts_at=start)
    ContestFactory(starts_at=start)
    dispatch()
    (taken,) = graph.to(NUMBER)
    tell(client, graph, graph.report(taken["biz_opaque_callback_data"], "read"))
    assert Notification.objects.filter(delivered_at__isnull=False, read_at__isnull=False).count() == 2


def test_a_message_of_nobody_here_changes_nothing(client: Client, graph: Graph, reminder: Notification) -> None:
    before = everything()
    tell(client, graph, graph.report(uuid4(), "read"), graph.failure(uuid4(), 131042))
    assert everything() == before
    assert Provider.objects.get(kind="whatsapp").breaker_state == BreakerState.CLOSED


def test_a_thousand_statuses_take_as_many_queries_as_one(client: Client, graph: Graph, alice: User) -> None:
    channel = alice.channels.get()
    contest = ContestFactory()
    reminders = [
        NotificationFactory(channel=channel, contest=contest, lead_minutes=10 + n, status=Status.SENT, message=uuid4())
        for n in range(300)
    ]
    with CaptureQueriesContext(
        connection,
    ) as queries:
        tell(client, graph, *(graph.report(each.message or "", "delivered") for each in reminders))
    assert Notification.objects.filter(delivered_at=None).count() == 0
    assert len(queries) <= 2


@pytest.mark.django_db(transaction=True)
def test_callbacks_in_any_order_at_once_all_count(graph: Graph, live_server: LiveServer) -> None:
    alice = MemberFactory(verified=False)
    channel, contest = with_number(alice), ContestFactory()
    messages = [
        NotificationFactory(
            channel=channel, contest=contest, lead_minutes=10 + n, status=Status.SENT, message=uuid4()
        ).message
        for n in range(60)
    ]
    answers: list[int] = []

    def call(ordered: list[Any], state: str) -> None:
        reports = [graph.report(message, state) for message in ordered]
        answers.append(graph.call_back(live_server.url + URL, *reports).status_code)
        connections.close_all()

    threads = [
        threading.Thread(target=call, args=(order, state))
        for state in ("delivered", "read", "sent")
        for order in (messages, messages[::-1])
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert answers == [200] * 6
    assert Notification.objects.filter(delivered_at__isnull=False, read_at__isnull=False).count() == 60


# --- The door ------------------------------------------------------------------------------------------------------


def test_the_handshake_is_answered(client: Client, graph: Graph) -> None:
    query = {"hub.mode": "subscribe", "hub.verify_token": VERIFY_TOKEN, "hub.challenge": "1158201444"}
    response = client.get(URL, query)
    assert (response.status_code, response.content) == (200, b"1158201444")
    assert response.headers["Content-Type"].startswith("text/plain")
    assert client.get(URL, {**query, "hub.verify_token": "guessed"}).status_code == 403
    assert client.get(URL).status_code == 400


def test_nobody_without_the_secret_changes_anything(client: Client, graph: Graph, reminder: Notification) -> None:
    body = graph.callback(graph.report(reminder.message or "", "read"))
    before = everything()
    for signature in ("none", sign(body, "guessed"), sign(b"another body", APP_SECRET)):
        response = call_back(client, body, signature)
        assert (response.status_code, response.content) == (
            403,
            b"The signature is not that of WHATSAPP_APP_SECRET.\n",
        )
    assert client.post(URL, body, content_type="application/json").status_code == 403
    assert everything() == before


@pytest.mark.parametrize(
    ("body", "status"), [(b"", 400), (b"[]", 400), (b"\x00", 400), (b" " * (3 * 2**20 + 1), 413), (b"{}", 200)]
)
def test_an_odd_body_is_answered_with_a_sentence(client: Client, graph: Graph, body: bytes, status: int) -> None:
    response = call_back(client, body)
    assert response.status_code == status
    assert bool(response.content) == (status != 200)


def test_a_body_as_large_as_meta_sends_is_read(client: Client, graph: Graph, reminder: Notification) -> None:
    body = graph.callback(graph.report(reminder.message or "", "read", padding="x" * (3 * 2**20 - 1000)))
    assert call_back(client, body).status_code == 200
    assert Notification.objects.get().read_at


def test_other_methods_are_refused(client: Client, graph: Graph) -> None:
    assert client.put(URL).status_code == 405


def test_there_is_no_webhook_without_whatsapp(client: Client) -> None:
    assert client.get(URL).status_code == 404
    assert client.post(URL, b"{}", content_type="application/json").status_code == 404
