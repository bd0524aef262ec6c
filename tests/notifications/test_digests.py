"""What comes in the days ahead, at the hour that the member chose."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import time_machine
from django.contrib.auth.models import User
from django.utils import timezone

from notifications.digests import contents
from notifications.dispatch import dispatch
from notifications.models import Channel, Notification, Preference, Status, Weekday
from notifications.outlook import digests_of_member
from notifications.planning import plan
from tests.factories import ContestFactory, MemberFactory
from tests.smtp import Inbox, body_of
from tests.times import DAY, HOUR

pytestmark = pytest.mark.django_db

MONDAY = datetime(2027, 6, 7, tzinfo=UTC)


def digests() -> list[datetime]:
    return [each.starts_at for each in Notification.objects.filter(kind="digest").order_by("starts_at")]


def plan_days(count: int, interval: timedelta = HOUR) -> None:
    """Rounds from Monday on."""
    plan(MONDAY - timedelta(minutes=1), MONDAY)
    for number in range(count * (DAY // interval)):
        now = MONDAY + number * interval
        plan(now, now + interval)


@pytest.mark.parametrize(
    ("zone", "hour", "expected"),
    [("UTC", 8, 8), ("Asia/Kolkata", 8, 2.5), ("America/New_York", 0, 4), ("Asia/Tokyo", 8, 23)],
)
def test_every_day_at_the_local_hour(zone: str, hour: int, expected: float) -> None:
    MemberFactory(preference__digest="daily", preference__digest_hour=hour, preference__time_zone=zone)
    for day in range(5):
        ContestFactory(starts_at=MONDAY + day * DAY + 12 * HOUR)
    plan_days(3)
    assert digests() == [MONDAY + day * DAY + expected * HOUR for day in range(3)]


@pytest.mark.parametrize(("weekday", "days"), [(1, 0), (3, 2), (7, 6)])
def test_once_a_week_on_the_chosen_day(weekday: int, days: int) -> None:
    MemberFactory(preference__digest="weekly", preference__digest_weekday=weekday, preference__digest_hour=9)
    for day in range(30):
        ContestFactory(starts_at=MONDAY + day * DAY + 12 * HOUR)
    plan_days(14, timedelta(hours=6))
    assert digests() == [MONDAY + (days + week) * DAY + 9 * HOUR for week in (0, 7)]


def test_it_names_what_starts_until_the_next_one_and_nothing_else(inbox: Inbox) -> None:
    MemberFactory(preference__digest="daily", preference__lead_minutes=[10])
    with time_machine.travel(MONDAY, tick=False) as clock:
        for name, hours in (("Before", 7), ("First", 9), ("Last", 32), ("Too late", 33)):
            ContestFactory(name=name, starts_at=MONDAY + hours * HOUR)
        ContestFactory(name="A training", starts_at=MONDAY + 10 * HOUR, is_training=True)
        dispatch(next_round_at=MONDAY + HOUR)
        clock.move_to(MONDAY + 8 * HOUR)
        dispatch(next_round_at=MONDAY + 9 * HOUR)
    (digest,) = (mail for mail in inbox.mails if mail["Subject"].startswith("Coming up"))
    assert digest["Subject"] == "Coming up: 2 contests, the first Mon 7 Jun 09:00"
    text = body_of(digest)
    assert "First" in text
    assert "Last" in text
    assert not {"Before", "Too late", "A training"} & set(text.splitlines())


def test_it_does_not_come_before_its_hour(inbox: Inbox) -> None:
    MemberFactory(preference__digest="daily", preference__platforms=["codeforces"])
    ContestFactory(starts_at=MONDAY + 2 * DAY)
    with time_machine.travel(MONDAY + DAY, tick=False) as clock:
        dispatch(next_round_at=MONDAY + DAY + 7 * HOUR)
        clock.move_to(MONDAY + DAY + 7 * HOUR + timedelta(minutes=45))
        report = dispatch(next_round_at=MONDAY + DAY + 9 * HOUR)
        assert not any("Coming up" in mail["Subject"] for mail in inbox.mails)
        assert report.next_at == MONDAY + DAY + 8 * HOUR
        clock.move_to(report.next_at)
        dispatch()
    assert sum("Coming up" in mail["Subject"] for mail in inbox.mails) == 1


def test_who_chooses_a_digest_now_does_not_get_the_one_of_this_morning() -> None:
    MemberFactory(preference__digest_hour=8)
    ContestFactory(starts_at=MONDAY + 20 * HOUR)
    plan(MONDAY, MONDAY + HOUR)
    Preference.objects.update(digest="daily")
    plan(MONDAY + 10 * HOUR, MONDAY + 11 * HOUR)
    assert digests() == []


@pytest.mark.parametrize(
    "other", [{"digest_hour": 20}, {"digest": "weekly", "digest_weekday": Weekday.FRIDAY}, {"time_zone": "Asia/Tokyo"}]
)
def test_who_chooses_another_time_just_before_the_digest_gets_none_at_the_old_one(other: dict[str, Any]) -> None:
    """It is planned half an hour ahead."""
    MemberFactory(preference__digest="daily", preference__digest_hour=8)
    ContestFactory(starts_at=MONDAY + 20 * HOUR)
    plan(MONDAY + 7 * HOUR, MONDAY + 9 * HOUR)
    Preference.objects.update(**other)
    plan(MONDAY + 7.5 * HOUR, MONDAY + 9 * HOUR)
    digest = Notification.objects.get(kind="digest")
    assert (digest.status, digest.error) == (Status.SKIPPED, "The digest comes at another time.")


def test_after_hours_of_downtime_it_still_comes_but_not_the_next_day() -> None:
    for digest_hour in (1, 8):
        MemberFactory(preference__digest="daily", preference__digest_hour=digest_hour)
    ContestFactory(starts_at=MONDAY + 20 * HOUR)
    plan(MONDAY - HOUR, MONDAY)
    plan(MONDAY + 15 * HOUR, MONDAY + 16 * HOUR)
    assert digests() == [MONDAY + 8 * HOUR]


def test_a_day_with_nothing_in_it_has_no_digest() -> None:
    MemberFactory(preference__digest="daily", preference__platforms=["codeforces"])
    ContestFactory(platform="atcoder", starts_at=MONDAY + 12 * HOUR)
    plan_days(1)
    assert digests() == []


def test_it_goes_only_where_it_is_wanted() -> None:
    MemberFactory(preference__digest="daily")
    Channel.objects.update(purposes=["reminders"])
    MemberFactory(preference__digest="daily", preference__paused=True)
    ContestFactory(starts_at=MONDAY + 12 * HOUR)
    plan_days(1)
    assert digests() == []


def test_a_digest_of_which_nothing_is_left_says_so(inbox: Inbox) -> None:
    MemberFactory(preference__digest="daily", preference__lead_minutes=[10])
    with time_machine.travel(MONDAY + 7 * HOUR, tick=False) as clock:
        contest = ContestFactory(starts_at=MONDAY + 12 * HOUR)
        dispatch(next_round_at=MONDAY + 9 * HOUR)
        contest.name = "Renamed"
        contest.is_training = True
        contest.save()
        clock.move_to(MONDAY + 8 * HOUR)
        dispatch()
        digest = Notification.objects.get(kind="digest")
        assert (digest.status, digest.error) == (Status.SKIPPED, "There is nothing left to tell.")
        ContestFactory(starts_at=MONDAY + DAY)
        clock.move_to(MONDAY + 12 * HOUR)
        dispatch()
    digest.refresh_from_db()
    assert digest.status == Status.SKIPPED, "noon is not its hour"
    assert not inbox.mails


def test_the_hour_that_a_change_of_clocks_leaves_out_is_made_up_for() -> None:
    """In Lisbon the clock went from 1 to 2 on the 28th of March 2027."""
    MemberFactory(preference__digest="daily", preference__digest_hour=1, preference__time_zone="Europe/Lisbon")
    night = datetime(2027, 3, 28, tzinfo=UTC)
    ContestFactory(starts_at=night + 12 * HOUR)
    plan(night - HOUR, night)
    for hour in range(6):
        plan(night + hour * HOUR, night + (hour + 1) * HOUR)
    assert digests() == [night + HOUR]


@pytest.mark.parametrize(
    ("digest", "hours", "day"), [("daily", 24.5, 30), ("weekly", 7 * 24 + 0.5, 24)], ids=["daily", "weekly"]
)
def test_the_hour_that_a_change_of_clocks_adds_is_in_the_digest_before_it(digest: str, hours: float, day: int) -> None:
    """In Lisbon the clock went from 2 to 1 on the 31st of October 2027, a Sunday."""
    MemberFactory(
        preference__digest=digest,
        preference__digest_hour=8,
        preference__digest_weekday=Weekday.SUNDAY,
        preference__time_zone="Europe/Lisbon",
    )
    morning = datetime(2027, 10, day, 7, tzinfo=UTC)
    early = ContestFactory(starts_at=morning + hours * HOUR)
    ContestFactory(starts_at=morning + (hours + 1) * HOUR)
    plan(morning - 2 * HOUR, morning - HOUR)
    (foretold,) = digests_of_member(User.objects.get().pk, morning - HOUR)
    plan(morning - HOUR, morning + HOUR)
    written = Notification.objects.get(kind="digest")
    assert contents([written.pk], morning) == {written.pk: [early.pk]}
    assert (foretold.at, foretold.contests) == (morning, 1)


def test_a_digest_is_there_once_however_often_it_is_planned() -> None:
    MemberFactory(preference__digest="daily")
    ContestFactory(starts_at=MONDAY + 12 * HOUR)
    for _ in range(3):
        plan(MONDAY + 7 * HOUR, MONDAY + 9 * HOUR)
        Preference.objects.update(trainings=True)
        Preference.objects.update(trainings=False)
    assert len(digests()) == 1
    assert timezone.is_aware(digests()[0])
