"""What goes, to the second, and what stays; who is away, and who is back."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest
import time_machine
from allauth.account.models import EmailAddress, EmailConfirmation
from django.contrib.auth.models import User
from django.contrib.sessions.backends.db import SessionStore
from django.contrib.sessions.models import Session
from django.db import connection
from django.db.models import Model
from django.test import Client
from django.test.utils import CaptureQueriesContext

from config.cleanup import clean_up
from config.database import batches
from contests.models import Contest, ContestChange, Platform, PlatformSync
from notifications.models import Channel, Notification, Preference, Verification
from notifications.planning import plan
from tests.factories import ContestFactory, MemberFactory, NotificationFactory, make_members
from tests.times import SECOND

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("stopped_clock")]

NOW = datetime(2026, 11, 22, 2, 0, tzinfo=UTC)
KINDS = ("contests", "syncs", "notifications", "channels", "members_marked_inactive", "sessions", "tokens")


@pytest.fixture
def batches_of_three(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batches, "BATCH", 3)


def a_contest(ended: timedelta) -> Contest:
    return ContestFactory(starts_at=NOW - ended - timedelta(hours=2))


def a_sync(ago: timedelta) -> PlatformSync:
    return PlatformSync.objects.create(
        platform=Platform.objects.get(code="codeforces"), started_at=NOW - ago, duration=SECOND
    )


def a_read_notification(ago: timedelta) -> Notification:
    return NotificationFactory(created_at=NOW - ago, read_at=NOW - ago)


def a_removed_channel(ago: timedelta) -> Channel:
    channel: Channel = MemberFactory().channels.get()
    NotificationFactory(channel=channel, created_at=NOW - ago)
    Channel.objects.filter(pk=channel.pk).remove()
    Channel.objects.filter(pk=channel.pk).update(removed_at=NOW - ago)
    return channel


def a_code(ago: timedelta) -> Verification:
    return Verification.objects.create(
        pk=uuid4(), user=MemberFactory(), kind="whatsapp", address="+4915123456789", created_at=NOW - ago
    )


def an_unread_notification(ago: timedelta) -> Notification:
    """Of a contest that was known a while before it started."""
    return NotificationFactory(created_at=NOW - ago, status="sent", expires_at=NOW - SECOND)


def a_failed_notification(ago: timedelta) -> Notification:
    return NotificationFactory(created_at=NOW - days(200), expires_at=NOW - ago, status="failed")


def a_session(expired: timedelta) -> Session:
    return Session.objects.create(session_key=f"{expired.total_seconds()}", expire_date=NOW - expired)


def a_token(ago: timedelta) -> EmailConfirmation:
    user = MemberFactory()
    address = EmailAddress.objects.get(user=user)
    token: EmailConfirmation = EmailConfirmation.objects.create(email_address=address, key=user.username)
    EmailConfirmation.objects.filter(pk=token.pk).update(sent=NOW - ago)
    return token


def days(count: int) -> timedelta:
    return timedelta(days=count)


def there(*rows: Model) -> list[bool]:
    return [type(row)._default_manager.filter(pk=row.pk).exists() for row in rows]


# --- What goes -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "make", "kept_for"),
    [
        ("contests", a_contest, days(30)),
        ("syncs", a_sync, days(30)),
        ("notifications", a_read_notification, days(90)),
        ("notifications", a_failed_notification, days(90)),
        ("notifications", an_unread_notification, days(365)),
        ("channels", a_removed_channel, days(90)),
        ("verification_codes", a_code, days(1)),
        ("sessions", a_session, days(0)),
        ("tokens", a_token, days(3)),
    ],
)
def test_what_is_past_its_time_goes_a_second_later(
    kind: str, make: Callable[[timedelta], Model], kept_for: timedelta
) -> None:
    past, just_not, young = make(kept_for + SECOND), make(kept_for), make(kept_for - SECOND)
    report = clean_up()
    assert there(past, just_not, young) == [False, True, True]
    assert {name: count for name, count in report.items() if count and name != "seconds"} == {kind: 1}


def test_the_report_names_every_kind() -> None:
    kinds = (
        "contests",
        "syncs",
        "notifications",
        "channels",
        "verification_codes",
        "runs",
        "events",
        "sessions",
        "tokens",
        "members_marked_inactive",
    )
    assert tuple(clean_up())[:-1] == kinds
    assert isinstance(clean_up()["seconds"], float)


def test_a_contest_that_goes_leaves_what_members_were_told() -> None:
    contest = a_contest(ended=days(31))
    told = NotificationFactory(contest=contest, status="sent")
    ContestChange.objects.create(contest=contest, field="name", old="a", new="b", changed_at=NOW)
    assert clean_up()["contests"] == 1
    told.refresh_from_db()
    assert (told.contest, told.contest_name, told.starts_at) == (None, contest.name, contest.starts_at)
    assert not ContestChange.objects.exists()


def test_a_contest_that_still_runs_stays_however_long_ago_it_began() -> None:
    contest = ContestFactory(starts_at=NOW - days(400), duration=days(400) + SECOND)
    clean_up()
    assert there(contest) == [True]


@pytest.mark.parametrize("status", ["pending", "sending", "sent", "skipped"])
def test_what_may_still_be_told_or_is_still_to_come_stays(status: str) -> None:
    far_ahead = NotificationFactory(created_at=NOW - days(400), status=status)
    clean_up()
    assert there(far_ahead) == [True]


def test_platforms_members_and_channels_stay() -> None:
    a_read_notification(days(91))
    before = [model.objects.count() for model in (Platform, User, Preference)]
    clean_up()
    assert [model.objects.count() for model in (Platform, User, Preference)] == before


def one_of_each() -> None:
    a_contest(days(31))
    a_sync(days(31))
    a_read_notification(days(91))
    a_removed_channel(days(91))
    a_session(days(1))
    a_token(days(4))
    MemberFactory(preference__last_seen_at=NOW - days(181))


def test_a_dry_run_counts_and_changes_nothing() -> None:
    one_of_each()
    with CaptureQueriesContext(
        connection,
    ) as queries:
        report = clean_up(dry_run=True)
    assert {query["sql"].split()[0] for query in queries} == {"SELECT"}
    assert {kind: report[kind] for kind in KINDS} == dict.fromkeys(KINDS, 1)
    really = clean_up()
    assert {kind: really[kind] for kind in KINDS} == dict.fromkeys(KINDS, 1)
    again = clean_up()
    assert {kind: again[kind] for kind in KINDS} == dict.fromkeys(KINDS, 0)


# --- In batches ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("count", [0, 1, 2, 3, 4, 6, 7])
@pytest.mark.usefixtures("batches_of_three")
def test_however_many_there_are_they_all_go(count: int) -> None:
    for number in range(count):
        a_session(days(1) + number * SECOND)
    kept = a_session(-SECOND)
    assert clean_up()["sessions"] == count
    assert list(Session.objects.all()) == [kept]


@pytest.mark.usefixtures("batches_of_three")
def test_a_batch_costs_the_same_few_queries_whatever_hangs_on_it() -> None:
    def queries(contests: int, notifications: int) -> int:
        channel = MemberFactory().channels.get()
        for _ in range(contests):
            contest = a_contest(days(31))
            ContestChange.objects.create(contest=contest, field="name", old="a", new="b", changed_at=NOW)
            for lead in range(notifications):
                NotificationFactory(contest=contest, channel=channel, lead_minutes=lead)
        with CaptureQueriesContext(connection) as captured:
            assert clean_up()["contests"] == contests
        return len(captured)

    one, two, three = queries(2, 1), queries(5, 1), queries(8, 4)
    assert two - one == three - two <= 8


@pytest.mark.usefixtures("batches_of_three")
def test_no_statement_deletes_more_than_a_batch() -> None:
    """So that whoever waits for one of the rows does not wait for all of them."""
    for number in range(7):
        a_session(days(1) + number * SECOND)
    with CaptureQueriesContext(connection) as captured:
        clean_up()
    deletes = [query["sql"] for query in captured if query["sql"].startswith('DELETE FROM "django_session"')]
    assert [sql.partition(" IN (")[2].count("'") // 2 for sql in deletes] == [3, 3, 1]


def test_a_session_that_is_prolonged_meanwhile_stays() -> None:
    session, other = a_session(SECOND), a_session(days(1))

    def prolong(execute: Callable[..., Any], sql: str, *rest: Any) -> Any:
        if sql.startswith('DELETE FROM "django_session"'):
            with connection.cursor() as cursor:
                renewed = [NOW + days(60), session.pk]
                cursor.cursor.execute("UPDATE django_session SET expire_date = %s WHERE session_key = %s", renewed)
        return execute(sql, *rest)

    with connection.execute_wrapper(prolong):
        assert clean_up()["sessions"] == 1
    assert there(session, other) == [True, False]


# --- Who is away ---------------------------------------------------------------------------------------------------


def member(seen: timedelta, **wishes: Any) -> User:
    return MemberFactory(preference__last_seen_at=NOW - seen, **{f"preference__{k}": v for k, v in wishes.items()})


def active(user: User) -> bool:
    return Preference.objects.get(user=user).active


def seen(user: User) -> datetime:
    return Preference.objects.get(user=user).last_seen_at


def test_members_not_seen_for_180_days_rest_a_second_later() -> None:
    away, just_not = member(days(180) + SECOND), member(days(180))
    assert clean_up()["members_marked_inactive"] == 1
    assert (active(away), active(just_not)) == (False, True)
    assert clean_up()["members_marked_inactive"] == 0


def test_who_is_away_is_told_of_nothing_and_who_is_back_of_everything() -> None:
    ContestFactory(starts_at=NOW + timedelta(minutes=30))
    away = member(days(181))
    clean_up()
    assert plan(NOW, NOW).new == 0
    Client().force_login(away)
    assert plan(NOW, NOW).new == 2


def test_many_members_are_one_statement() -> None:
    make_members(50, last_seen_at=NOW - days(181))
    with CaptureQueriesContext(connection) as captured:
        assert clean_up()["members_marked_inactive"] == 50
    assert len([query for query in captured if "notifications_preference" in query["sql"]]) == 1


def test_resting_is_not_pausing() -> None:
    away = member(days(181), paused=True)
    clean_up()
    Client().force_login(away)
    assert Preference.objects.get(user=away).paused, "the member's own wish stays"


def test_signing_in_makes_a_member_active_again_and_seen() -> None:
    away = member(days(181))
    clean_up()
    client = Client()
    client.post("/accounts/login/", {"login": away.email, "password": "correct horse"})
    assert client.session["_auth_user_id"] == str(away.pk)
    assert (active(away), seen(away)) == (True, NOW)


def test_a_visit_with_an_old_session_makes_a_member_active_again_and_seen() -> None:
    away = member(days(0))
    client = Client()
    client.force_login(away)
    Preference.objects.filter(user=away).update(active=False, last_seen_at=NOW - days(181))
    client.get("/")
    assert (active(away), seen(away)) == (True, NOW)


def test_being_here_is_written_down_at_most_twice_a_day() -> None:
    alice = member(days(0))
    client = Client()
    client.force_login(alice)

    def writes(after: timedelta) -> int:
        with time_machine.travel(NOW + after, tick=False), CaptureQueriesContext(connection) as captured:
            client.get("/")
        return len([query for query in captured if query["sql"].startswith("UPDATE")])

    twelve_hours = timedelta(hours=12)
    moments = (SECOND, twelve_hours, twelve_hours + SECOND, twelve_hours + 2 * SECOND, 2 * twelve_hours + 2 * SECOND)
    assert [writes(moment) for moment in moments] == [0, 0, 1, 0, 1]
    assert seen(alice) == NOW + moments[-1]


def test_a_visitor_without_account_is_nobody_to_write_down() -> None:
    alice = member(days(1))
    Client().get("/")
    assert seen(alice) == NOW - days(1)


def test_a_session_that_expired_opens_nothing_and_one_in_use_outlives_the_clean_up() -> None:
    alice = member(days(0))
    client = Client()
    client.force_login(alice)
    store = SessionStore(client.session.session_key)
    with time_machine.travel(store.get_expiry_date() - SECOND, tick=False):
        clean_up()
        assert client.get("/preferences/").status_code == 200
    with time_machine.travel(store.get_expiry_date() + SECOND, tick=False):
        assert client.get("/preferences/").status_code == 302
        assert clean_up()["sessions"] == 1
