"""Planning: who is to be told of what, decided by one statement."""

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import TypeVar
from uuid import uuid4
from zoneinfo import ZoneInfo

import pytest
from django.db import DataError, connection, transaction
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from contests.models import Contest
from notifications import planning, settling
from notifications.dispatch import dispatch
from notifications.models import Channel, Notification, Preference, Status
from notifications.planning import plan
from notifications.scope import Scope
from notifications.zones import time_zones
from tests.database import another_transaction
from tests.factories import ContestFactory, MemberFactory, NotificationFactory
from tests.smtp import Inbox

pytestmark = pytest.mark.django_db

HALF_HOUR = timedelta(minutes=30)
LEADS = [24 * 60, 60]

Result = TypeVar("Result")


def plan_round(now: datetime) -> int:
    return plan(now, now + HALF_HOUR).new


def settle(now: datetime) -> dict[str, int]:
    """As a plan does that looks at everything."""
    return settling.settle(Scope(now, now))


def test_the_default_is_a_day_and_an_hour_before_every_contest() -> None:
    preference = Preference.objects.get(user=MemberFactory())
    assert preference.lead_minutes == LEADS
    assert set(preference.platforms) == {"codeforces", "leetcode", "codechef", "atcoder"}


@pytest.mark.parametrize(
    ("starts_in", "leads"),
    [
        (timedelta(hours=25), []),
        (timedelta(hours=24, minutes=30), []),  # due at the next round, which is soon enough
        (timedelta(hours=24, minutes=29), [1440]),
        (timedelta(hours=24), [1440]),
        (timedelta(hours=2), [1440]),
        (timedelta(hours=1, minutes=29), [1440, 60]),
        (timedelta(minutes=5), [1440, 60]),
        (timedelta(0), []),
        (timedelta(minutes=-5), []),
    ],
)
def test_a_round_plans_what_would_be_late_by_the_next_one(
    now: datetime, starts_in: timedelta, leads: list[int]
) -> None:
    MemberFactory()
    ContestFactory(starts_at=now + starts_in)
    assert plan_round(now) == len(leads)
    assert list(Notification.objects.order_by("-lead_minutes").values_list("lead_minutes", flat=True)) == leads


def test_a_reminder_says_when_it_was_due_and_of_which_start_it_speaks(now: datetime) -> None:
    MemberFactory(preference__lead_minutes=[60])
    contest = ContestFactory(starts_at=now + timedelta(minutes=75))
    plan_round(now)
    reminder = Notification.objects.get()
    assert (reminder.due_at, reminder.starts_at) == (now + timedelta(minutes=15), contest.starts_at)
    assert (reminder.status, reminder.contest_name) == (Status.PENDING, contest.name)


def test_planning_again_plans_nothing(now: datetime) -> None:
    MemberFactory()
    ContestFactory()
    assert plan_round(now) == 1
    assert plan_round(now) == 0


def test_a_moved_contest_is_a_new_reminder(now: datetime) -> None:
    MemberFactory(preference__lead_minutes=[60])
    contest = ContestFactory(starts_at=now + HALF_HOUR)
    plan_round(now)
    Contest.objects.update(starts_at=contest.starts_at + timedelta(minutes=10))
    assert plan(now, now + HALF_HOUR).by_kind == {"reminder": 1, "moved": 1}
    assert Notification.objects.filter(kind="reminder").count() == 2


@pytest.mark.parametrize(
    "wish",
    [
        {"preference__paused": True},
        {"preference__active": False},
        {"preference__platforms": ["leetcode"]},
        {"preference__platforms": []},
        {"is_active": False},
        {"verified": False},
    ],
)
def test_who_does_not_want_it_is_not_told(now: datetime, wish: dict[str, object]) -> None:
    MemberFactory(**wish)
    ContestFactory()
    assert plan_round(now) == 0


def test_nothing_is_planned_for_a_channel_that_is_off(now: datetime) -> None:
    MemberFactory()
    Channel.objects.update(disabled_at=now)
    ContestFactory()
    assert plan_round(now) == 0


def test_nobody_is_told_of_a_cancelled_contest(now: datetime) -> None:
    MemberFactory()
    ContestFactory(cancelled_at=now)
    assert plan_round(now) == 0


def test_trainings_are_only_for_those_who_ask(now: datetime) -> None:
    MemberFactory()
    eager = MemberFactory(preference__trainings=True)
    ContestFactory(is_training=True)
    plan_round(now)
    assert Notification.objects.get().channel.user == eager


def test_what_has_begun_expires(now: datetime) -> None:
    reminder = NotificationFactory(contest=ContestFactory(starts_at=now - timedelta(minutes=1)))
    assert settle(now) == {Status.EXPIRED: 1}
    reminder.refresh_from_db()
    assert reminder.status == Status.EXPIRED
    assert "began" in reminder.error


def test_what_was_sent_stays_sent(now: datetime) -> None:
    NotificationFactory(contest=ContestFactory(starts_at=now - timedelta(minutes=1)), status=Status.SENT)
    assert settle(now) == {}


@pytest.mark.parametrize(
    ("because", "reason"),
    [
        (lambda: Contest.objects.update(cancelled_at=timezone.now()), "cancelled"),
        (lambda: Contest.objects.update(starts_at=timezone.now() + timedelta(hours=3)), "moved"),
        (lambda: Contest.objects.all().delete(), "no longer known"),
        (lambda: Preference.objects.update(paused=True), "paused"),
        (lambda: Preference.objects.update(active=False), "180 days"),
        (lambda: Preference.objects.update(platforms=["atcoder"]), "platform"),
        (lambda: Preference.objects.all().delete(), "no preferences"),
        (lambda: Preference.objects.update(lead_minutes=[30]), "lead time"),
        (lambda: Channel.objects.update(disabled_at=timezone.now(), disabled_reason="It bounced."), "It bounced."),
    ],
)
def test_what_is_no_longer_right_is_skipped_with_the_reason(now: datetime, because: object, reason: str) -> None:
    reminder = NotificationFactory()
    because()  # type: ignore[operator]  # one of the functions above
    assert settle(now) == {Status.SKIPPED: 1}
    reminder.refresh_from_db()
    assert reason in reminder.error


def test_what_is_right_again_is_told_after_all(now: datetime) -> None:
    """In a message of its own: what else was in the one that it was part of may have left meanwhile."""
    reminder = NotificationFactory(message=uuid4())
    Preference.objects.update(paused=True)
    settle(now)
    Preference.objects.update(paused=False)
    assert settle(now) == {Status.PENDING: 1}
    reminder.refresh_from_db()
    assert (reminder.status, reminder.error, reminder.message) == (Status.PENDING, "", None)


def test_settling_again_settles_nothing(now: datetime) -> None:
    NotificationFactory()
    Preference.objects.update(paused=True)
    settle(now)
    assert settle(now) == {}


def test_a_plan_is_as_many_statements_for_however_many(now: datetime) -> None:
    def statements(count: int) -> int:
        for _ in range(count):
            MemberFactory()
            ContestFactory()
        with CaptureQueriesContext(connection) as captured:
            assert plan_round(now) >= count
        return len(captured)

    statements(1)
    assert statements(1) == statements(7) <= 20


def test_the_database_takes_no_zone_that_it_does_not_know(now: datetime) -> None:
    """Whatever is reckoned in it would fail, for everybody."""
    with pytest.raises(DataError, match="US/Pacific-New"), transaction.atomic():
        MemberFactory(preference__time_zone="US/Pacific-New")


@pytest.mark.parametrize("moment", [datetime(2025, 1, 15, tzinfo=UTC), datetime(2025, 7, 15, tzinfo=UTC)])
def test_the_database_understands_every_zone_that_is_offered_as_we_do(moment: datetime) -> None:
    """Among what it takes for an abbreviation are names of zones with summer time: quiet hours were off by an hour.

    Of times to come, either may have heard of a change of law before the other.
    """
    names = sorted(time_zones())
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT name, %s::timestamptz AT TIME ZONE name FROM unnest(%s::text[]) AS zone (name)", [moment, names]
        )
        reckoned = dict(cursor.fetchall())
    assert reckoned == {name: moment.astimezone(ZoneInfo(name)).replace(tzinfo=None) for name in names}


def test_after_many_new_reminders_the_database_knows_of_them(now: datetime, monkeypatch: pytest.MonkeyPatch) -> None:
    """By what it knew before, it would look through all that is pending for each of them."""
    monkeypatch.setattr(planning, "MANY", 3)
    for _ in range(3):
        MemberFactory()
    ContestFactory()
    plan_round(now)
    with connection.cursor() as cursor:
        cursor.execute("SELECT reltuples FROM pg_class WHERE relname = 'notifications_notification'")
        assert cursor.fetchone() == (3,)


@pytest.mark.django_db(transaction=True)
def test_a_member_who_goes_while_planning_stops_nobody(now: datetime) -> None:
    ContestFactory()
    alice, bob = MemberFactory(), MemberFactory()
    with ThreadPoolExecutor() as pool, another_transaction() as cursor:
        cursor.execute("DELETE FROM notifications_channel WHERE user_id = %s", [alice.pk])
        planned = pool.submit(and_disconnect, lambda: plan_round(now))
        wait_until_somebody_waits_for_a_lock()
    assert planned.result() == 1
    assert Notification.objects.get().channel.user == bob


@pytest.mark.django_db(transaction=True)
def test_a_member_who_goes_in_the_middle_of_a_round_stops_nobody(now: datetime, inbox: Inbox) -> None:
    """Whether the channel is still there is seen when the plan is committed, and not before."""
    ContestFactory()
    alice, bob = MemberFactory(), MemberFactory()
    with ThreadPoolExecutor() as pool, another_transaction() as cursor:
        cursor.execute("DELETE FROM notifications_channel WHERE user_id = %s", [alice.pk])
        dispatched = pool.submit(and_disconnect, dispatch)
        wait_until_somebody_waits_for_a_lock()
    assert dispatched.result().total("sent") == 1
    assert inbox.recipients == [bob.email]


@pytest.mark.django_db(transaction=True)
def test_a_member_who_goes_and_a_plan_that_wait_for_each_other_stop_nobody(now: datetime) -> None:
    """The plan has resolved what the account's deletion is to delete, which holds the channel that the plan needs."""
    began = ContestFactory(starts_at=now - timedelta(hours=1))
    ContestFactory()
    alice, bob = MemberFactory(), MemberFactory()
    NotificationFactory(channel=alice.channels.get(), contest=began)
    with ThreadPoolExecutor() as pool, another_transaction() as cursor:
        cursor.execute("SELECT FROM notifications_channel WHERE user_id = %s FOR UPDATE", [alice.pk])
        planned = pool.submit(and_disconnect, lambda: plan_round(now))
        wait_until_somebody_waits_for_a_lock()
        cursor.execute("DELETE FROM notifications_notification WHERE contest_id = %s", [began.pk])
        cursor.execute("DELETE FROM notifications_channel WHERE user_id = %s", [alice.pk])
    assert planned.result() == 1
    assert Notification.objects.get().channel.user == bob


def and_disconnect(work: Callable[[], Result]) -> Result:
    try:
        return work()
    finally:
        connection.close()


def wait_until_somebody_waits_for_a_lock() -> None:
    give_up_at = time.monotonic() + 10
    with connection.cursor() as cursor:
        while time.monotonic() < give_up_at:
            cursor.execute(
                "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
            )
            if cursor.fetchone() != (0,):
                return
    raise AssertionError("nobody waits")
