"""Staff send again what was sent, or was not: Bob is staff, Alice a member, Charlie may only look."""

from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from contests.models import Contest
from notifications.dispatch import dispatch
from notifications.models import Channel, ContestChoice, Notification, NotificationKind, Status
from scheduler.models import Run
from tests.admin import Page, act, page_of, staff_with
from tests.factories import ContestFactory, MemberFactory, NotificationFactory
from tests.smtp import Inbox

pytestmark = pytest.mark.django_db

NOTIFICATIONS = "/admin/notifications/notification/"


@pytest.fixture
def alice() -> User:
    return MemberFactory(username="alice", email="alice@example.org", preference__lead_minutes=[60])


@pytest.fixture
def told(alice: User, inbox: Inbox) -> Notification:
    """A reminder that Alice got."""
    ContestFactory(name="Round 1", starts_at=timezone.now() + timedelta(minutes=59))
    dispatch()
    return Notification.objects.get()


def send_again(client: Client, notification: Notification) -> Page:
    url = reverse("admin:notifications_notification_resend", args=[notification.pk])
    return Page(client, url, client.post(url, follow=True))


def stored(notification: Notification) -> Notification:
    return Notification.objects.get(pk=notification.pk)


def test_what_was_sent_is_sent_again_in_a_message_of_its_own(bob: Client, told: Notification, inbox: Inbox) -> None:
    first = told.message
    Notification.objects.update(read_at=timezone.now(), delivered_at=timezone.now())
    page = send_again(bob, told)
    assert "1 notification waits to be sent again, and a worker was asked to do so now." in page.messages[0]
    assert page.told("Status") == "pending"
    assert [run.task for run in Run.objects.all()] == ["notifications.tasks.dispatch_notifications"]

    dispatch()
    again = stored(told)
    assert (again.status, again.attempts, again.read_at, again.delivered_at) == (Status.SENT, 1, None, None)
    assert again.message != first
    assert len({mail["Message-ID"] for mail in inbox.mails}) == 2
    assert Notification.objects.count() == 1


def test_who_sent_it_again_and_how_it_stood_before_is_kept(bob: Client, told: Notification) -> None:
    Notification.objects.update(status=Status.FAILED, error="550 no such user")
    send_again(bob, told)
    (entry,) = LogEntry.objects.all()
    assert (entry.user.username, entry.object_id, entry.object_repr) == ("bob", str(told.pk), "reminder of Round 1")
    assert entry.get_change_message().startswith("Sent again. Before: failed at ")
    assert f"in message {told.message} (550 no such user)" in entry.get_change_message()
    assert f"by bob: {entry.get_change_message()}" in Page(bob, page_of(told)).told("Sent again")
    assert "Sent again. Before: failed" in Page(bob, f"{NOTIFICATIONS}{told.pk}/history/").text


@pytest.mark.parametrize("status", [Status.SENT, Status.FAILED, Status.EXPIRED, Status.SKIPPED])
def test_whatever_is_over_before_its_time_may_be_sent_again(
    bob: Client, told: Notification, inbox: Inbox, status: Status
) -> None:
    Notification.objects.update(status=status, error="Why", attempts=9, claim=UUID(int=1))
    assert Page(bob, page_of(told)).texts("form button.run-button") == ["Send again"]
    send_again(bob, told)
    dispatch()
    assert (stored(told).status, stored(told).error, len(inbox.mails)) == (Status.SENT, "", 2)


OVER = "Its time is over: nobody is told of what is worth nothing any more."


@pytest.mark.parametrize(
    ("about_it", "about_its_channel", "says"),
    [
        ({"expires_at": timezone.now()}, {}, OVER),
        ({"status": Status.PENDING}, {}, "It waits to be sent already."),
        ({"status": Status.SENDING}, {}, "It waits to be sent already."),
        ({}, {"disabled_at": timezone.now(), "disabled_reason": "It bounced."}, "Its channel is off."),
        ({}, {"verified_at": None}, "Its channel is not verified."),
    ],
)
def test_what_cannot_be_sent_again_is_refused_with_a_sentence_and_stays_as_it_was(
    bob: Client, told: Notification, about_it: dict[str, Any], about_its_channel: dict[str, Any], says: str
) -> None:
    Notification.objects.update(**about_it)
    if about_its_channel:
        Channel.objects.update(**about_its_channel)
    before = Notification.objects.values().get()
    page = Page(bob, page_of(told))
    assert f"It cannot be sent again. {says}" in page.text
    assert not page.soup.select("form button.run-button")
    assert send_again(bob, told).messages == [f"1 notification not sent again: {says}"]
    assert Notification.objects.values().get() == before
    assert not LogEntry.objects.exists()
    assert not Run.objects.exists()


def test_what_its_member_does_not_want_any_more_is_skipped_again_with_the_reason(
    bob: Client, told: Notification, alice: User, inbox: Inbox
) -> None:
    dispatch()
    ContestChoice.objects.create(user=alice, contest=Contest.objects.get(), wish="mute")
    dispatch()
    send_again(bob, told)
    dispatch()
    assert (stored(told).status, stored(told).error) == (Status.SKIPPED, "It is muted.")
    assert len(inbox.mails) == 1


def test_several_are_sent_again_and_each_that_is_not_is_counted_with_the_reason(
    bob: Client, told: Notification, alice: User
) -> None:
    channel, now = alice.channels.get(), timezone.now()
    made: dict[str, Any] = {"channel": channel, "due_at": now}
    failed = NotificationFactory(status=Status.FAILED, **made)
    waiting = NotificationFactory(status=Status.PENDING, **made)
    over = [NotificationFactory(status=Status.EXPIRED, expires_at=now, **made) for _ in range(2)]
    page = act(bob, NOTIFICATIONS, "resend", *(each.pk for each in (told, failed, waiting, *over)))
    assert "2 notifications wait to be sent again" in page.messages[0]
    assert sorted(page.messages[1:]) == [
        "1 notification not sent again: It waits to be sent already.",
        f"2 notifications not sent again: {OVER}",
    ]
    assert [stored(each).status for each in (told, failed, *over)] == ["pending", "pending", "expired", "expired"]
    assert {entry.object_id for entry in LogEntry.objects.all()} == {str(told.pk), str(failed.pk)}


def test_what_a_worker_sends_at_this_moment_is_not_touched(bob: Client, told: Notification) -> None:
    claim = UUID(int=7)
    Notification.objects.update(status=Status.SENDING, claim=claim)
    send_again(bob, told)
    assert (stored(told).status, stored(told).claim) == (Status.SENDING, claim)


def test_one_request_sends_so_many_again_and_no_more(bob: Client, alice: User) -> None:
    now = timezone.now()
    channel = alice.channels.get()
    Notification.objects.bulk_create(_test_message(channel, now, number) for number in range(1_001))
    data = {"action": "resend", "_selected_action": [str(Notification.objects.all()[0].pk)], "select_across": "1"}
    page = Page(bob, NOTIFICATIONS, bob.post(NOTIFICATIONS, {**data, "index": "0"}, follow=True))
    assert page.messages == ["At most 1,000 are sent again at once: nothing was done."]
    assert not Notification.objects.exclude(status=Status.FAILED).exists()


def _test_message(channel: Channel, now: datetime, number: int) -> Notification:
    at = now + timedelta(seconds=number)
    return Notification(
        channel=channel,
        kind=NotificationKind.TEST,
        starts_at=at,
        due_at=now,
        expires_at=now + timedelta(hours=1),
        created_at=now,
        available_at=now,
        status=Status.FAILED,
    )


def test_who_may_only_look_sends_nothing_again(client: Client, told: Notification) -> None:
    client.force_login(staff_with("view_notification"))
    assert "Send again" not in Page(client, page_of(told)).text
    assert "Send again" not in Page(client, NOTIFICATIONS).html
    url = reverse("admin:notifications_notification_resend", args=[told.pk])
    assert client.post(url).status_code == 403
    act(client, NOTIFICATIONS, "resend", told.pk)
    client.force_login(MemberFactory(username="charlie"))
    assert client.post(url).status_code == 302
    assert stored(told).status == Status.SENT


def test_a_link_sends_nothing_again(bob: Client, told: Notification) -> None:
    url = reverse("admin:notifications_notification_resend", args=[told.pk])
    assert bob.get(url).status_code == 405
    assert bob.post(reverse("admin:notifications_notification_resend", args=[told.pk + 1])).status_code == 404
    assert stored(told).status == Status.SENT
