"""What the kinds of channels send through, as staff see it: Bob is staff."""

from typing import Any

import pytest
from django.contrib.admin.models import LogEntry
from django.test import Client
from pytest_django import Settings

from config.breaker import BreakerState
from notifications import providers
from notifications.channels import CHANNELS
from notifications.dispatch import dispatch
from notifications.models import Channel, Notification, Provider, Status
from notifications.providers import MOST_COUNTED, Queue, queues
from scheduler.models import Run
from tests.admin import Page, act, staff_with
from tests.database import queries_of
from tests.factories import ContestFactory, MemberFactory, NotificationFactory
from tests.smtp import Inbox
from tests.times import HOUR, MINUTE, NOW

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("stopped_clock")]

PROVIDERS = "/admin/notifications/provider/"
MAIL = f"{PROVIDERS}email/change/"


def mail() -> Provider:
    return Provider.objects.get(kind="email")


def test_there_is_one_for_every_kind_of_channel_before_anything_was_sent(bob: Client) -> None:
    page = Page(bob, PROVIDERS)
    assert page.rows == len(CHANNELS)
    assert page.row("mail")["health"] == "never used"
    whatsapp = page.row("WhatsApp")
    assert whatsapp["health"] == "not set up"
    assert whatsapp["what is wrong"].startswith("The operator has not set it up")


def test_one_that_is_up_says_when_it_last_took_something(bob: Client) -> None:
    providers.record("email", NOW - MINUTE)
    row = Page(bob, PROVIDERS).row("mail")
    assert (row["health"], row["last success at"], row["what is wrong"]) == ("up", "2026-11-22 11:59 UTC", "–")


def test_one_that_is_down_says_since_when_why_and_when_it_is_tried_again(bob: Client) -> None:
    providers.record("email", NOW - 3 * HOUR)
    providers.record("email", NOW - 2 * HOUR, error="It refused the connection.")
    providers.record("email", NOW - MINUTE / 2, error="It did not answer.")
    row = Page(bob, PROVIDERS).row("mail")
    assert row["health"] == "down"
    assert row["what is wrong"] == (
        "It did not answer. Down since 2026-11-22 10:00 UTC. It is tried again after 12:00:30 UTC."
    )
    page = Page(bob, MAIL)
    assert page.told("Down since") == "2026-11-22 10:00 UTC"
    assert page.told("Last error") == "It did not answer."
    assert page.told("Breaker") == "Open after 2 failures in a row: nothing is sent before 12:00:30 UTC."

    providers.reset(["email"], NOW)
    providers.record("email", NOW - MINUTE, error="It did not answer.")
    assert Page(bob, MAIL).told("Breaker") == "Open after a failure: the next message tries it again."

    providers.record("email", NOW)
    assert Page(bob, PROVIDERS).row("mail")["health"] == "up"
    assert mail().down_since is None


def test_how_much_waits_and_since_when_is_told_of_each(bob: Client) -> None:
    alice = MemberFactory()
    whatsapp = Channel.objects.create(user=alice, kind="whatsapp", address="+15550100", verified_at=NOW)
    for minutes in (5, 90):
        NotificationFactory(channel=alice.channels.get(kind="email"), due_at=NOW - minutes * MINUTE)
    NotificationFactory(channel=whatsapp, due_at=NOW + HOUR, status=Status.SENDING)
    for over in ({"status": Status.SENT}, {"status": Status.SKIPPED}, {"expires_at": NOW}):
        NotificationFactory(channel=whatsapp, due_at=NOW - HOUR, **over)
    page = Page(bob, PROVIDERS)
    assert (page.row("mail")["waiting"], page.row("mail")["oldest due"]) == ("2", "2026-11-22 10:30 UTC")
    assert (page.row("WhatsApp")["waiting"], page.row("WhatsApp")["oldest due"]) == ("1", "2026-11-22 13:00 UTC")
    assert (page.row("push")["waiting"], page.row("push")["oldest due"]) == ("0", "–")
    assert Page(bob, MAIL).told("Waiting") == "2"


def test_what_waits_is_counted_up_to_a_number(monkeypatch: pytest.MonkeyPatch) -> None:
    assert Queue(MOST_COUNTED).counted == "10,000"
    assert Queue(MOST_COUNTED + 1).counted == "more than 10,000"
    monkeypatch.setattr(providers, "MOST_COUNTED", 2)
    for _ in range(5):
        NotificationFactory()
    assert queues(NOW)["email"].waiting == 3


def test_the_list_takes_as_many_queries_for_much_that_waits_as_for_little(bob: Client) -> None:
    queries_of(Page, bob, PROVIDERS)
    few = queries_of(Page, bob, PROVIDERS)
    for _ in range(10):
        NotificationFactory()
    assert queries_of(Page, bob, PROVIDERS) == few <= 8


def test_staff_say_how_much_it_takes_and_what_deliveries_note_meanwhile_stays(bob: Client) -> None:
    page = Page(bob, MAIL)
    providers.record("email", NOW, error="Down.")
    page.submit(per_second="12.5")
    assert (mail().per_second, mail().last_error, mail().breaker_state) == (12.5, "Down.", BreakerState.OPEN)
    assert Page(bob, PROVIDERS).row("mail")["messages per second"] == "12.5"
    Page(bob, MAIL).submit(per_second="")
    assert mail().per_second is None
    assert Page(bob, PROVIDERS).row("mail")["messages per second"] == "any number"


@pytest.mark.parametrize("rate", ["0", "-1", "fast", "nan", "inf"])
def test_a_rate_that_would_stop_everything_is_refused(bob: Client, rate: str) -> None:
    assert "per_second" in Page(bob, MAIL).submit(per_second=rate).errors
    assert mail().per_second is None


def test_resetting_the_breaker_sends_at_once_what_waited_for_the_provider(
    bob: Client, inbox: Inbox, settings: Settings
) -> None:
    MemberFactory(preference__lead_minutes=[60])
    ContestFactory(starts_at=NOW + HOUR)
    settings.EMAIL_PORT = 9  # nobody listens on the discard port
    dispatch()
    waiting = Notification.objects.get()
    assert (waiting.status, waiting.available_at > NOW, mail().breaker_state) == ("pending", True, BreakerState.OPEN)
    settings.EMAIL_PORT = inbox.port
    dispatch()
    assert inbox.mails == []

    page = act(bob, PROVIDERS, "reset_breaker", "email")
    assert page.messages == ["What waits for mail is tried now, whatever went wrong before."]
    assert mail().breaker_state == BreakerState.CLOSED
    assert mail().last_error != ""
    assert [run.task for run in Run.objects.all()] == ["notifications.tasks.dispatch_notifications"]
    assert [(entry.user.username, entry.get_change_message()) for entry in LogEntry.objects.all()] == [
        ("bob", "Reset the breaker.")
    ]
    dispatch()
    assert len(inbox.mails) == 1


def test_the_button_on_its_page_saves_and_resets(bob: Client) -> None:
    providers.record("email", NOW, error="Down.")
    Page(bob, MAIL).submit("notifications_provider_reset_this_breaker", per_second="5")
    assert (mail().breaker_state, mail().per_second) == (BreakerState.CLOSED, 5)


@pytest.mark.parametrize(
    "waits",
    [
        {"attempts": 1, "error": "Nobody knows whether it left."},
        {"error": ""},
        {"status": Status.SENDING, "error": "Down."},
    ],
)
def test_what_waits_for_a_reason_of_its_own_goes_on_waiting(bob: Client, waits: dict[str, Any]) -> None:
    later = NOW + HOUR
    NotificationFactory(available_at=later, contest=ContestFactory(starts_at=NOW + 3 * HOUR), **waits)
    act(bob, PROVIDERS, "reset_breaker", "email")
    assert Notification.objects.get().available_at == later


def test_a_breaker_is_reset_for_that_kind_alone(bob: Client) -> None:
    for kind in ("email", "push"):
        providers.record(kind, NOW, error="Down.")
    act(bob, PROVIDERS, "reset_breaker", "push")
    assert mail().breaker_state == BreakerState.OPEN


def test_who_may_only_look_changes_nothing(client: Client) -> None:
    client.force_login(staff_with("view_provider"))
    providers.record("email", NOW, error="Down.")
    page = Page(client, MAIL)
    assert page.told("Last error") == "Down."
    assert "eset the breaker" not in page.text
    assert client.post(MAIL, {"per_second": "1"}).status_code == 403
    act(client, PROVIDERS, "reset_breaker", "email")
    assert mail().breaker_state == BreakerState.OPEN
    assert client.get(f"{PROVIDERS}add/").status_code == 403
    assert client.get(f"{PROVIDERS}email/delete/").status_code == 403
