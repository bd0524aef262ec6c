"""Preferences, channels and notifications in Django admin: Bob is staff, Alice is a member."""

from datetime import time, timedelta
from typing import Any
from uuid import UUID

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from contests.models import Platform
from notifications.admin.preferences import PreferenceAdmin
from notifications.models import Channel, Notification, NotificationKind, Preference, Status
from scheduler.models import Run
from tests.admin import Page, page_of, staff_with
from tests.factories import ContestFactory, MemberFactory, NotificationFactory, StaffFactory
from tests.times import NOW

pytestmark = pytest.mark.django_db

PREFERENCES = "/admin/notifications/preference/"
CHANNELS = "/admin/notifications/channel/"
NOTIFICATIONS = "/admin/notifications/notification/"


@pytest.fixture
def staff(client: Client) -> Client:
    client.force_login(StaffFactory(username="bob"))
    return client


@pytest.fixture
def alice() -> User:
    return MemberFactory(username="alice", email="alice@example.org")


def stored(row: Any) -> Any:
    return type(row)._default_manager.get(pk=row.pk)


def test_the_list_says_what_each_member_wants(staff: Client, alice: User) -> None:
    wishes = {"platforms": ["leetcode", "atcoder"], "lead_minutes": [15, 1440, 90], "time_zone": "Asia/Kolkata"}
    Preference.objects.filter(user=alice).update(last_seen_at=NOW, **wishes)
    row = Page(staff, PREFERENCES).row("alice")
    assert row == {
        "user": "alice",
        "address": "alice@example.org",
        "reminders": "on",
        "platforms": "atcoder, leetcode",
        "lead times": "24 h, 1 h 30 min, 15 min",
        "time zone": "Asia/Kolkata",
        "last seen at": "2026-11-22 12:00 UTC",
    }


@pytest.mark.parametrize(
    ("wishes", "state"),
    [({}, "on"), ({"paused": True}, "paused"), ({"active": False}, "inactive"), ({"platforms": []}, "on")],
)
def test_the_list_says_who_gets_no_reminders(staff: Client, wishes: dict[str, Any], state: str) -> None:
    MemberFactory(username="alice", **{f"preference__{name}": value for name, value in wishes.items()})
    assert Page(staff, PREFERENCES).row("alice")["reminders"] == state


def test_preferences_are_edited_as_on_the_members_own_page(staff: Client, alice: User) -> None:
    page = Page(staff, page_of(alice.preference))
    assert page.texts("label:has(input[name=platforms]:checked)") == ["AtCoder", "CodeChef", "Codeforces", "LeetCode"]
    page.submit(
        platforms=["leetcode", "codeforces"],
        usual_leads=["60", "15"],
        other_leads="45 min, 1 day",
        time_zone="Asia/Tokyo",
        trainings="on",
        unrated=None,
        longest_contest="300",
        excluded_words="Kotlin, div. 3",
        quiet_from="22:30",
        quiet_until="07:00",
        quiet_choice="after",
        digest="weekly",
        digest_hour="19",
        digest_weekday="7",
        paused="on",
        paused_until=f"{timezone.now() + timedelta(days=30):%Y-%m-%dT21:00}",
        active=None,
    )
    preference = stored(alice.preference)
    assert set(preference.platforms) == {"codeforces", "leetcode"}
    assert preference.lead_minutes == [1440, 60, 45, 15]
    assert preference.time_zone == "Asia/Tokyo"
    assert (preference.trainings, preference.paused, preference.active) == (True, True, False)
    assert (preference.unrated, preference.longest_contest) == (False, timedelta(hours=5))
    assert preference.excluded_words == ["kotlin", "div. 3"]
    assert (preference.quiet_from, preference.quiet_until, preference.quiet_choice) == (time(22, 30), time(7), "after")
    assert (preference.digest, preference.digest_hour, preference.digest_weekday) == ("weekly", 19, 7)
    assert f"{preference.paused_until:%H:%M}" == "12:00"  # in UTC


def test_a_pause_that_staff_take_back_leaves_no_end_of_it_behind(staff: Client) -> None:
    alice = MemberFactory(preference__paused=True, preference__paused_until=timezone.now() + timedelta(days=2))
    Page(staff, page_of(alice.preference)).submit(paused=None)
    preference = stored(alice.preference)
    assert (preference.paused, preference.paused_until) == (False, None)


def test_saving_without_a_change_changes_nothing(staff: Client) -> None:
    wishes = {
        "platforms": ["atcoder"],
        "lead_minutes": [10080, 100, 10],
        "time_zone": "Europe/Lisbon",
        "longest_contest": timedelta(hours=7),
        "excluded_words": ["kotlin", "div. 3"],
        "quiet_from": time(23),
        "quiet_until": time(7),
        "digest": "daily",
        "paused": True,
        "paused_until": timezone.now().replace(second=0, microsecond=0) + timedelta(days=2),
    }
    alice = MemberFactory(**{f"preference__{name}": value for name, value in wishes.items()})
    before = Preference.objects.values().get(user=alice)
    page = Page(staff, page_of(alice.preference)).submit()
    assert "was changed successfully" in page.messages[0]
    assert Preference.objects.values().get(user=alice) == before


@pytest.mark.parametrize(
    ("wishes", "field", "says"),
    [
        ({"platforms": ["topcoder"]}, "platforms", "Select a valid choice. topcoder is not one"),
        ({"usual_leads": None}, "usual_leads", "Choose at least one lead time."),
        ({"usual_leads": ["61"]}, "usual_leads", "Select a valid choice. 61 is not one"),
        ({"other_leads": "9 min"}, "other_leads", "“9 min” is too short: a lead time is at least 10 minutes."),
        ({"other_leads": "169 h"}, "other_leads", "“169 h” is too long: a lead time is at most 168 hours"),
        ({"other_leads": "soon"}, "other_leads", "“soon” is not a length of time"),
        (
            {"other_leads": ", ".join(f"{lead} min" for lead in range(20, 30))},
            "usual_leads",
            "Choose at most 10 lead times.",
        ),
        ({"time_zone": "Mars/Olympus"}, "time_zone", "Select a valid choice. Mars/Olympus is not one"),
        ({"excluded_words": "x" * 51}, "excluded_words", "“" + "x" * 51 + "” is too long"),
        ({"quiet_from": "22:00"}, "quiet_until", "Say until when, or leave both empty."),
        ({"digest_hour": "24"}, "digest_hour", "Select a valid choice. 24 is not one"),
        ({"paused": "on", "paused_until": "2020-01-01T00:00"}, "paused_until", "That is over already."),
    ],
)
def test_what_a_member_could_not_ask_for_staff_cannot_either(
    staff: Client, alice: User, wishes: dict[str, Any], field: str, says: str
) -> None:
    before = Preference.objects.values().get(user=alice)
    page = Page(staff, page_of(alice.preference)).submit(**wishes)
    assert list(page.errors) == [field]
    assert page.errors[field][0].startswith(says)
    assert page.errors[field][0] in page.text
    assert Preference.objects.values().get(user=alice) == before


def test_a_lead_time_that_is_given_twice_counts_once(staff: Client, alice: User) -> None:
    Page(staff, page_of(alice.preference)).submit(usual_leads=["60"], other_leads="1 h, 60 min")
    assert stored(alice.preference).lead_minutes == [60]


def test_editing_keeps_that_the_member_was_here_meanwhile(
    staff: Client, alice: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    read = PreferenceAdmin.save_form

    def after_a_visit(*args: Any, **kwargs: Any) -> Any:
        Preference.objects.filter(user=alice).update(last_seen_at=NOW, trainings=True)
        return read(*args, **kwargs)

    monkeypatch.setattr(PreferenceAdmin, "save_form", after_a_visit)
    Page(staff, page_of(alice.preference)).submit(paused="on")
    preference = stored(alice.preference)
    assert (preference.last_seen_at, preference.trainings, preference.paused) == (NOW, True, True)


def test_preferences_come_and_go_with_the_account_alone(staff: Client, alice: User) -> None:
    assert staff.get(f"{PREFERENCES}add/").status_code == 403
    assert staff.get(f"{PREFERENCES}{alice.pk}/delete/").status_code == 403


def test_a_channel_is_turned_off_with_a_reason_and_on_again(staff: Client, alice: User) -> None:
    channel = alice.channels.get()
    Page(staff, page_of(channel)).submit(on=None)
    off = stored(channel)
    assert off.disabled_at is not None
    assert off.disabled_reason == "Turned off by the staff."
    assert "Turned off by the staff." in Page(staff, page_of(channel)).html
    assert Page(staff, CHANNELS).row("alice@example.org")["state"] == "off"

    Page(staff, page_of(channel)).submit()
    assert stored(channel).disabled_at == off.disabled_at

    Page(staff, page_of(channel)).submit(on="on")
    assert (stored(channel).disabled_at, stored(channel).disabled_reason) == (None, "")
    assert Page(staff, CHANNELS).row("alice@example.org")["state"] == "on"


def test_a_channel_is_turned_off_with_the_words_that_staff_choose(staff: Client, alice: User) -> None:
    channel = alice.channels.get()
    Page(staff, page_of(channel)).submit(on=None, reason="It bounces.")
    off = stored(channel)
    assert off.disabled_reason == "It bounces."
    Page(staff, page_of(channel)).submit(reason="It still bounces.")
    again = stored(channel)
    assert (again.disabled_reason, again.disabled_at) == ("It still bounces.", off.disabled_at)
    Page(staff, page_of(channel)).submit(on="on")
    assert stored(channel).disabled_reason == ""


def test_a_channel_that_is_turned_on_asks_for_a_round(staff: Client, alice: User) -> None:
    channel = alice.channels.get()
    Page(staff, page_of(channel)).submit()
    assert not Run.objects.exists()
    Channel.objects.update(disabled_at=NOW)
    Page(staff, page_of(channel)).submit(on="on")
    assert [run.task for run in Run.objects.all()] == ["notifications.tasks.dispatch_notifications"]


def test_nothing_else_of_a_channel_is_edited(staff: Client, alice: User) -> None:
    channel = alice.channels.get()
    before = list(Channel.objects.values())
    Page(staff, page_of(channel)).submit(address="eve@example.org", user="1", verified_at_0="2026-01-01")
    assert list(Channel.objects.values()) == before
    assert staff.get(f"{CHANNELS}add/").status_code == 403
    assert staff.get(f"{CHANNELS}{channel.pk}/delete/").status_code == 403


def test_the_list_of_channels_says_how_each_one_is(staff: Client, alice: User) -> None:
    Channel.objects.create(user=alice, kind="email", address="new@example.org")
    alice.channels.filter(address="alice@example.org").update(last_error="550 " + "no such user " * 20)
    page = Page(staff, CHANNELS)
    assert page.row("new@example.org")["state"] == "not verified"
    assert len(page.row("alice@example.org")["last error"]) == 100


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("?state=on", {"on@", "failing@"}),
        ("?state=off", {"off@"}),
        ("?state=unverified", {"new@"}),
        ("?state=failing", {"failing@"}),
        ("?purpose=digest", {"on@"}),
        ("?kind__exact=whatsapp", set()),
        ("?q=FAILING@", {"failing@"}),
        ("?q=ali", {"on@", "off@", "new@", "failing@"}),
        ("?q=charlie", set()),
    ],
)
def test_channels_are_found_by_member_address_state_and_purpose(
    staff: Client, alice: User, query: str, found: set[str]
) -> None:
    MemberFactory(username="charlie").channels.all().delete()
    alice.channels.all().delete()
    made: dict[str, Any] = {"user": alice, "kind": "email", "purposes": ["reminders"], "verified_at": NOW}
    later = NOW + timedelta(minutes=1)
    channels: dict[str, dict[str, Any]] = {
        "on@": {"purposes": ["digest"], "last_error": "550", "last_error_at": NOW, "last_sent_at": later},
        "off@": {"disabled_at": NOW},
        "new@": {"verified_at": None},
        "failing@": {"last_error": "550", "last_error_at": later, "last_sent_at": NOW},
    }
    for address, more in channels.items():
        Channel.objects.create(address=address, **{**made, **more})
    StaffFactory().channels.all().delete()
    told = Page(staff, CHANNELS + query).texts("#result_list .field-name_and_kind")
    assert {text.partition(" ")[0] for text in told} - {"bob@example.org"} == found


def test_the_newest_notifications_come_first_and_say_how_they_went(staff: Client, alice: User) -> None:
    channel = alice.channels.get()
    for status in Status:
        NotificationFactory(
            channel=channel, contest_name=f"Of {status}", status=status, lead_minutes=90, due_at=NOW, error="550 " * 50
        )
    page = Page(staff, NOTIFICATIONS)
    assert page.texts("#result_list .field-state") == list(reversed(Status.values))
    row = page.row("Of failed")
    assert row["notification"] == "1 h 30 min before Of failed"
    assert (row["to"], row["due at"]) == ("alice mail · alice@example.org", "2026-11-22 12:00 UTC")
    assert len(row["error"]) <= 80
    assert Page(staff, page_of(Notification.objects.get(status="failed"))).told("Error") == ("550 " * 50).strip()


def test_a_notification_outlives_its_contest(staff: Client) -> None:
    notification = NotificationFactory(contest_name="<b>Gone</b> " + "長い" * 200)
    Notification.objects.update(contest=None)
    assert Page(staff, NOTIFICATIONS).row("<b>Gone</b>")["notification"].endswith("…")
    assert Page(staff, page_of(notification)).told("Contest name") == notification.contest_name


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("?q=alice", {"Round A"}),
        ("?q=ALICE@example", {"Round A"}),
        ("?q=charlie", {"Round C"}),
        ("?q=round", {"Round A", "Round C"}),
        ("?q=round+c", {"Round C"}),
        ("?q=%20", {"Round A", "Round C"}),
        ("?q=nobody", set()),
        ("?q=100%25", set()),
        ("?status__exact=failed", {"Round C"}),
        ("?status__exact=failed&q=alice", set()),
        ("?channel__kind__exact=email", {"Round A", "Round C"}),
        ("?contest__platform__code__exact=atcoder", {"Round C"}),
        ("?due_at_from=2026-11-22&due_at_to=2026-11-22", {"Round A"}),
        ("?_facets=True", {"Round A", "Round C"}),
        ("?kind__exact=moved", {"Round C"}),
        ("?status__exact=waiting", {"Round A"}),
        ("?q=00000000-0000-0000-0000-00000000000c", {"Round C"}),
    ],
)
def test_notifications_are_found_by_member_address_and_contest(
    staff: Client, alice: User, query: str, found: set[str]
) -> None:
    charlie = MemberFactory(username="charlie", email="chuck@example.org")
    NotificationFactory(
        channel=alice.channels.get(), contest=ContestFactory(name="Round A"), due_at=NOW.replace(hour=23, minute=59)
    )
    NotificationFactory(
        channel=charlie.channels.get(),
        contest=ContestFactory(name="Round C", platform="atcoder"),
        kind=NotificationKind.MOVED,
        status=Status.FAILED,
        due_at=NOW + timedelta(days=1),
        message=UUID(int=12),
    )
    told = Page(staff, NOTIFICATIONS + query).texts("#result_list .field-what")
    assert {text.removeprefix("1 h before ").removeprefix("Moved: ") for text in told} == found


def test_notifications_are_found_by_when_they_are_due(staff: Client, alice: User) -> None:
    now = timezone.now()
    for hours in (-200, -100, -20, -0.5, 0.5):
        NotificationFactory(
            channel=alice.channels.get(), contest=ContestFactory(name=f"{hours}"), due_at=now + timedelta(hours=hours)
        )

    def due(when: str) -> list[str]:
        told = Page(staff, f"{NOTIFICATIONS}?due={when}").texts("#result_list .field-what")
        return [text.removeprefix("1 h before ") for text in told]

    assert due("coming") == ["0.5"]
    assert due("hour") == ["-0.5"]
    assert due("day") == ["-0.5", "-20"]
    assert due("week") == ["-0.5", "-20", "-100"]


def test_notifications_are_only_looked_at(staff: Client) -> None:
    notification = NotificationFactory()
    assert staff.post(page_of(notification), {"status": "sent"}).status_code == 403
    assert staff.get(f"{NOTIFICATIONS}add/").status_code == 403
    assert staff.get(f"{NOTIFICATIONS}{notification.pk}/delete/").status_code == 403


def test_the_search_reads_no_text_of_notifications_and_counts_only_so_far(staff: Client) -> None:
    """They may be millions; contests are few, and accounts and channels are found by an index."""
    NotificationFactory()
    with CaptureQueriesContext(connection) as captured:
        assert Page(staff, f"{NOTIFICATIONS}?q=round").rows == 1
    about = [query["sql"] for query in captured if 'FROM "notifications_notification"' in query["sql"]]
    assert len([sql for sql in about if sql.startswith("SELECT COUNT") and "LIMIT 10001" in sql]) == 1
    assert len(about) == 2
    assert not any("LIKE" in sql or " JOIN " in sql for sql in about)


@pytest.mark.parametrize(
    ("path", "index"),
    [
        (f"{NOTIFICATIONS}?status__exact=failed", "notification_untold"),
        (f"{NOTIFICATIONS}?status__exact=expired", "notification_untold"),
        (f"{NOTIFICATIONS}?status__exact=waiting", "notification_"),
        (f"{NOTIFICATIONS}?kind__exact=moved", "notification_no_reminder"),
        (f"{NOTIFICATIONS}?q=alice", "channel_address"),
        (f"{NOTIFICATIONS}?q=alice", "auth_user_username_begins"),
        (f"{NOTIFICATIONS}?q=alice", "auth_user_email_begins"),
        (f"{PREFERENCES}?q=alice", "auth_user_email_begins"),
        (f"{CHANNELS}?q=alice", "channel_address"),
    ],
)
def test_what_staff_look_for_is_found_by_an_index(staff: Client, path: str, index: str) -> None:
    """Whether there are enough rows for that or not: what matters is that the database can."""
    NotificationFactory()
    with CaptureQueriesContext(connection) as captured:
        Page(staff, path)
    plans = []
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL enable_seqscan = off; SET LOCAL enable_indexscan = off")
        for query in captured:
            if "notifications_" in query["sql"] or "auth_user" in query["sql"]:
                cursor.execute("EXPLAIN " + query["sql"])
                plans += [line for (line,) in cursor.fetchall()]
    assert [line for line in plans if f" {index}" in line]


def test_notifications_come_in_the_order_of_an_index_and_no_column_offers_another(staff: Client) -> None:
    NotificationFactory()
    with CaptureQueriesContext(connection) as captured:
        Page(staff, NOTIFICATIONS)
    (rows,) = (query["sql"] for query in captured if '"notifications_notification"."error"' in query["sql"])
    assert rows.endswith('ORDER BY "notifications_notification"."id" DESC')
    assert " JOIN " not in rows
    assert not Page(staff, NOTIFICATIONS).soup.select("#result_list th a[href*='o=']")


@pytest.mark.parametrize("path", [PREFERENCES, CHANNELS, NOTIFICATIONS])
def test_the_lists_take_as_many_queries_for_many_rows_as_for_few(staff: Client, path: str) -> None:
    def queries() -> int:
        with CaptureQueriesContext(connection) as captured:
            assert Page(staff, path).rows
        return len(captured)

    NotificationFactory()
    queries()
    few = queries()
    for _ in range(10):
        NotificationFactory()
    assert queries() == few
    assert few <= 8


def test_a_list_that_is_not_narrowed_says_how_many_there_are_and_offers_no_way_to_see_all(staff: Client) -> None:
    NotificationFactory()
    assert "Show all" not in Page(staff, NOTIFICATIONS).text
    assert "Show all" in Page(staff, f"{NOTIFICATIONS}?q=nobody").text


def test_an_empty_list_says_so_in_a_sentence_that_fits(staff: Client) -> None:
    assert "There are no notifications yet." in Page(staff, NOTIFICATIONS).text
    assert "Nothing matches." in Page(staff, f"{NOTIFICATIONS}?q=nobody").text


def test_staff_who_may_only_look_see_wishes_and_channels_and_change_nothing(client: Client, alice: User) -> None:
    client.force_login(staff_with("view_preference", "view_channel", "view_notification"))
    page = Page(client, page_of(alice.preference))
    assert page.told("Platforms") == ", ".join(sorted(Platform.objects.values_list("code", flat=True)))
    assert page.told("Lead times") == "24 h, 1 h"
    channel = alice.channels.get()
    assert Page(client, page_of(channel)).told("Address") == "alice@example.org"
    Page(client, page_of(NotificationFactory(channel=channel)))

    assert client.post(page_of(alice.preference), {"paused": "on"}).status_code == 403
    assert client.post(page_of(channel), {}).status_code == 403
    assert not stored(alice.preference).paused
    assert stored(channel).disabled_at is None
