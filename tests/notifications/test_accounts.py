"""What becomes of the reminders as Alice's account is made, verified and changed; Bob's are nobody's business."""

import json
import re
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from io import StringIO
from pathlib import Path
from threading import Barrier
from typing import Any

import pytest
import time_machine
from allauth.account.internal.flows.manage_email import delete_email
from allauth.account.models import EmailAddress
from django.contrib.auth.models import User
from django.contrib.messages.middleware import MessageMiddleware
from django.contrib.sessions.middleware import SessionMiddleware
from django.core import mail
from django.core.cache import cache
from django.core.management import call_command
from django.db import connection
from django.test import Client, RequestFactory
from django.urls import reverse
from django.utils import timezone

from notifications.accounts import follow_verified_address
from notifications.models import Channel, Notification, Preference
from notifications.planning import plan
from tests.database import queries_of
from tests.factories import ContestFactory, MemberFactory, NotificationFactory, StaffFactory, UserFactory

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("no_limits_reached")]

PASSWORD = "correct horse"


def sign_up(client: Client, email: str = "alice@example.org") -> User:
    client.post(reverse("account_signup"), {"email": email, "password1": "correct horse 9"})
    return User.objects.get(email=email.lower())


def confirm(client: Client) -> None:
    """Follow the link in the newest mail."""
    (link,) = re.findall(r"http://testserver(/accounts/confirm-email/\S+)", str(mail.outbox[-1].body))
    client.post(link)


def add_address(client: Client, email: str) -> None:
    client.post(reverse("account_email"), {"action_add": "", "email": email})
    confirm(client)


def remove_address(client: Client, email: str) -> None:
    client.post(reverse("account_email"), {"action_remove": "", "email": email})


def change_address(client: Client, email: str) -> None:
    """Add another one, sign in with that from now on, and remove the one before."""
    before = EmailAddress.objects.get(user=client.session["_auth_user_id"], primary=True).email
    add_address(client, email)
    client.post(reverse("account_email"), {"action_primary": "", "email": email})
    remove_address(client, before)


def addresses(user: User) -> list[str]:
    return sorted(Channel.objects.usable().filter(user=user).values_list("address", flat=True))


# --- Made ----------------------------------------------------------------------------------------------------------


def test_an_account_comes_with_a_preference_for_everything_a_day_and_an_hour_before() -> None:
    before = timezone.now()
    preference = UserFactory().preference
    assert preference.platforms == ["atcoder", "codechef", "codeforces", "leetcode"]
    assert preference.lead_minutes == [1440, 60]
    assert (preference.active, preference.paused, preference.trainings) == (True, False, False)
    assert preference.time_zone == "UTC"
    assert before <= preference.last_seen_at <= timezone.now()


def test_so_does_one_that_is_made_on_the_command_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DJANGO_SUPERUSER_PASSWORD", PASSWORD)
    call_command("createsuperuser", username="bob", email="bob@example.org", interactive=False, verbosity=0)
    assert Preference.objects.get(user__username="bob").lead_minutes == [1440, 60]


def test_so_does_one_that_staff_make(client: Client) -> None:
    client.force_login(StaffFactory())
    form = {"username": "carol", "password1": PASSWORD, "password2": PASSWORD, "usable_password": "true"}
    client.post(reverse("admin:auth_user_add"), form)
    assert Preference.objects.filter(user__username="carol").exists()


def test_an_account_that_is_saved_again_keeps_its_preference() -> None:
    alice = UserFactory()
    Preference.objects.filter(user=alice).update(lead_minutes=[30], time_zone="Asia/Tokyo")
    alice.first_name = "Alice"
    alice.save()
    preference = Preference.objects.get(user=alice)
    assert (preference.lead_minutes, preference.time_zone) == ([30], "Asia/Tokyo")


def test_a_preference_goes_with_its_account() -> None:
    alice, bob = MemberFactory(), MemberFactory()
    alice.delete()
    assert Preference.objects.get().user == bob
    assert Channel.objects.get().user == bob


# --- The time zone -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("cookie", "zone"),
    [
        ("Asia/Tokyo", "Asia/Tokyo"),
        ("America/Argentina/Buenos_Aires", "America/Argentina/Buenos_Aires"),
        (None, "UTC"),
        ("", "UTC"),
        ("Mars/Olympus", "UTC"),
        ("asia/tokyo", "UTC"),
        ("CET", "Europe/Brussels"),
        ("../../../etc/passwd", "UTC"),
        ("/etc/passwd", "UTC"),
        ("Asia", "UTC"),
        ("localtime", "UTC"),
        ("Factory", "UTC"),
        ("x" * 4000, "UTC"),
    ],
)
def test_who_signs_up_starts_in_the_zone_of_their_browser(client: Client, cookie: str | None, zone: str) -> None:
    if cookie is not None:
        client.cookies["time_zone"] = cookie
    assert sign_up(client).preference.time_zone == zone


def test_the_zone_a_member_chose_stays_wherever_they_sign_in(client: Client) -> None:
    alice = MemberFactory(preference__time_zone="Europe/Lisbon")
    client.cookies["time_zone"] = "Asia/Tokyo"
    client.post(reverse("account_login"), {"login": alice.email, "password": PASSWORD})
    assert client.session["_auth_user_id"] == str(alice.pk)
    assert Preference.objects.get(user=alice).time_zone == "Europe/Lisbon"


# --- Verified, changed, removed ------------------------------------------------------------------------------------


def test_reminders_go_nowhere_until_an_address_is_verified(client: Client) -> None:
    alice = sign_up(client)
    assert not Channel.objects.exists()
    confirm(client)
    channel = alice.channels.get()
    assert (channel.kind, channel.address) == ("email", "alice@example.org")
    assert channel.verified_at is not None
    assert addresses(alice) == ["alice@example.org"]


def test_an_address_is_one_however_it_is_written(client: Client) -> None:
    alice = sign_up(client, "Alice@Example.ORG")
    confirm(client)
    assert addresses(alice) == ["alice@example.org"]


def test_verifying_one_address_touches_nobody_elses(client: Client) -> None:
    bob = MemberFactory()
    alice = sign_up(client)
    confirm(client)
    assert (addresses(alice), addresses(bob)) == (["alice@example.org"], [bob.email])


def test_who_changes_their_address_is_told_nothing_twice(client: Client) -> None:
    alice = MemberFactory()
    client.force_login(alice)
    ContestFactory(starts_at=timezone.now() + timedelta(minutes=30))
    assert plan(timezone.now(), timezone.now()).new == 2
    Notification.objects.filter(lead_minutes=1440).update(status="sent", sent_at=timezone.now())

    change_address(client, "new@example.org")

    assert addresses(alice) == ["new@example.org"]
    plan(timezone.now(), timezone.now())
    told = Notification.objects.order_by("lead_minutes", "channel_id").values_list(
        "channel__address", "lead_minutes", "status", "error"
    )
    assert list(told) == [
        (alice.email, 60, "skipped", "This channel is off: It was removed."),
        ("new@example.org", 60, "pending", ""),
        (alice.email, 1440, "sent", ""),
        ("new@example.org", 1440, "expired", f"It was told at {alice.email} before this address was there."),
    ]


@pytest.mark.django_db(transaction=True)
def test_who_confirms_twice_at_once_takes_over_what_was_told_once() -> None:
    alice, together = MemberFactory(), Barrier(4)
    NotificationFactory(channel=alice.channels.get(), contest=ContestFactory(), status="sent", sent_at=timezone.now())
    address = EmailAddress.objects.create(user=alice, email="new@example.org", verified=True)

    def follow(_: int) -> None:
        try:
            together.wait()
            follow_verified_address(address)
        finally:
            connection.close()

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(follow, range(4)))
    assert Notification.objects.filter(channel__address="new@example.org", status="expired").count() == 1


def test_each_verified_address_is_a_channel(client: Client) -> None:
    alice = MemberFactory()
    client.force_login(alice)
    add_address(client, "second@example.org")
    assert addresses(alice) == sorted([alice.email, "second@example.org"])
    assert EmailAddress.objects.get(user=alice, primary=True).email == alice.email
    assert User.objects.get(pk=alice.pk).email == alice.email


def test_a_change_back_is_a_change_like_any_other(client: Client) -> None:
    alice = MemberFactory()
    client.force_login(alice)
    channel = alice.channels.get()
    change_address(client, "new@example.org")
    cache.clear()
    change_address(client, alice.email)
    assert addresses(alice) == [alice.email]
    assert alice.channels.kept().get() == channel


def test_a_new_address_is_a_way_out_where_the_old_one_is_dead(client: Client) -> None:
    alice = MemberFactory()
    client.force_login(alice)
    alice.channels.update(disabled_at=timezone.now(), disabled_reason="No such mailbox.")
    assert addresses(alice) == []
    change_address(client, "new@example.org")
    assert addresses(alice) == ["new@example.org"]


def test_verifying_again_turns_a_disabled_channel_on_again(client: Client) -> None:
    alice = MemberFactory()
    alice.channels.update(disabled_at=timezone.now(), disabled_reason="No such mailbox.")
    EmailAddress.objects.filter(user=alice).update(verified=False)
    client.post(reverse("account_login"), {"login": alice.email, "password": PASSWORD})
    confirm(client)
    assert addresses(alice) == [alice.email]
    assert alice.channels.get().disabled_reason == ""


def test_an_address_that_staff_verify_is_one_that_reminders_go_to(client: Client) -> None:
    client.force_login(StaffFactory())
    alice = MemberFactory()
    second = EmailAddress.objects.create(user=alice, email="second@example.org", verified=False)
    form = {"action": "make_verified", "_selected_action": str(second.pk)}
    client.post(reverse("admin:account_emailaddress_changelist"), form)
    assert addresses(alice) == sorted([alice.email, "second@example.org"])


def removing(user: User) -> Any:
    """A request of this member's, as allauth's own flow for removing an address wants it."""
    request = RequestFactory().post(reverse("account_email"))
    for middleware in (SessionMiddleware, MessageMiddleware):
        middleware(lambda request: request).process_request(request)
    request.user = user
    return request


def test_the_channel_goes_with_a_removed_address() -> None:
    alice, bob = MemberFactory(), MemberFactory()
    second = EmailAddress.objects.create(user=alice, email="second@example.org", verified=True)
    Channel.objects.create(user=alice, kind="email", address=second.email, verified_at=timezone.now())
    Channel.objects.create(user=bob, kind="email", address=second.email, verified_at=timezone.now())
    assert delete_email(removing(alice), second)
    assert addresses(alice) == [alice.email]
    assert addresses(bob) == sorted([bob.email, second.email])


def test_what_was_told_on_a_removed_channel_can_still_be_looked_at() -> None:
    alice = MemberFactory()
    channel = alice.channels.get()
    told = NotificationFactory(channel=channel, status="sent")
    EmailAddress.objects.filter(user=alice).delete()
    channel.refresh_from_db()
    assert (channel.verified_at, channel.disabled_reason, channel.removed_at) == (
        None,
        "It was removed.",
        channel.disabled_at,
    )
    assert list(channel.notifications.all()) == [told]
    assert not alice.channels.kept().exists()


def test_a_change_that_is_taken_back_leaves_the_channel_alone(client: Client) -> None:
    alice = MemberFactory()
    client.force_login(alice)
    client.post(reverse("account_email"), {"action_add": "", "email": "new@example.org"})
    client.post(reverse("account_email"), {"action_remove": "", "email": "new@example.org"})
    assert addresses(alice) == [alice.email]


def test_verifying_costs_the_same_whatever_was_sent_before() -> None:
    def queries(notifications: int) -> int:
        alice = MemberFactory()
        channel = alice.channels.get()
        for number in range(notifications):
            Notification.objects.create(
                channel=channel,
                contest_name="Round",
                kind="reminder",
                lead_minutes=number,
                starts_at=timezone.now(),
                due_at=timezone.now(),
                expires_at=timezone.now(),
                created_at=timezone.now(),
                available_at=timezone.now(),
            )
        address = EmailAddress.objects.create(user=alice, email=f"new{notifications}@example.org", verified=True)
        return queries_of(follow_verified_address, email_address=address)

    assert queries(20) == queries(1) <= 12


# --- Fixtures ------------------------------------------------------------------------------------------------------


def dumped(*models: str) -> list[dict[str, Any]]:
    out = StringIO()
    call_command("dumpdata", *models, stdout=out)
    return sorted(json.loads(out.getvalue()), key=lambda row: (row["model"], row["pk"]))


def load(rows: list[dict[str, Any]], directory: Path) -> None:
    (directory / "rows.json").write_text(json.dumps(rows))
    call_command("loaddata", directory / "rows.json", verbosity=0)


def test_loading_a_fixture_makes_nothing_that_is_not_in_it(tmp_path: Path) -> None:
    MemberFactory(username="alice")
    rows = dumped("auth.user", "account.emailaddress")
    User.objects.all().delete()
    load(rows, tmp_path)
    assert User.objects.get().username == "alice"
    assert EmailAddress.objects.get().verified
    assert not Preference.objects.exists()
    assert not Channel.objects.exists()


@time_machine.travel(datetime(2026, 5, 4, 12, 30, tzinfo=UTC), tick=False)
def test_a_fixture_with_preferences_comes_back_as_it_was(tmp_path: Path) -> None:
    """At a whole second, because a fixture keeps milliseconds."""
    alice = MemberFactory(preference__lead_minutes=[30], preference__time_zone="Asia/Tokyo")
    models = ("auth.user", "account.emailaddress", "notifications.preference", "notifications.channel")
    rows = dumped(*models)
    alice.delete()
    load(rows, tmp_path)
    assert len(rows) == 4
    assert dumped(*models) == rows
