"""What is said of what will come is what then comes."""

from datetime import UTC, datetime, time, timedelta
from typing import Any

import pytest
from django.db import connection, transaction
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from contests.models import Contest
from notifications.models import Channel, ContestChoice, Notification, Preference, Status
from notifications.outlook import digests_of_member, of_contest, of_member
from notifications.planning import plan
from notifications.wanted import CHOICE, INTERESTING, UNINTERESTING
from tests.factories import ContestFactory, MemberFactory

pytestmark = pytest.mark.django_db


def reasons(user: Any, now: datetime) -> list[str]:
    return [each.reason for each in of_member(user.pk, now)]


def test_each_lead_on_each_channel_is_said(now: datetime) -> None:
    alice = MemberFactory(preference__lead_minutes=[1440, 60])
    contest = ContestFactory(starts_at=now + timedelta(days=3))
    found = of_member(alice.pk, now)
    assert [(each.lead_minutes, each.at) for each in found] == [
        (1440, contest.starts_at - timedelta(days=1)),
        (60, contest.starts_at - timedelta(hours=1)),
    ]
    assert all(each.comes and each.channel_name == alice.email for each in found)


@pytest.mark.parametrize(
    ("wishes", "contest", "reason"),
    [
        ({"platforms": ["atcoder"]}, {}, "Its platform is not among those chosen."),
        ({}, {"is_training": True}, "No trainings are wanted."),
        ({"unrated": False}, {"is_rated": False}, "No unrated contests are wanted."),
        ({}, {"duration": timedelta(days=2)}, "It is longer than wanted."),
        ({"excluded_words": ["kotlin"]}, {"name": "Kotlin Heroes"}, "Its name has “kotlin” in it."),
        ({"paused": True}, {}, "Everything is paused."),
        ({"active": False}, {}, "Reminders rest after 180 days without a visit: signing in wakes them."),
        ({}, {"cancelled_at": timezone.now()}, "It was cancelled."),
    ],
)
def test_what_does_not_come_is_said_with_the_reason(
    now: datetime, wishes: dict[str, Any], contest: dict[str, Any], reason: str
) -> None:
    alice = MemberFactory(**{f"preference__{name}": value for name, value in wishes.items()})
    starts_at = now + timedelta(hours=12)
    contest.setdefault("duration", timedelta(hours=2))
    ContestFactory(starts_at=starts_at, ends_at=starts_at + timedelta(days=3), **contest)
    assert reasons(alice, now) == [reason]
    assert not any(each.comes for each in of_member(alice.pk, now))


@pytest.mark.parametrize("excluded_words", [[], ["heroes"], ["nothing of it"]])
@pytest.mark.parametrize("is_rated", [None, True, False])
@pytest.mark.parametrize("wish", [None, "follow", "mute"])
def test_the_reason_is_empty_exactly_where_the_contest_is_interesting(
    now: datetime, wish: str | None, is_rated: bool | None, excluded_words: list[str]
) -> None:
    for platforms in ([], ["codeforces"]):
        for flag in (False, True):
            for longest in (None, timedelta(hours=1), timedelta(hours=2)):
                alice = MemberFactory(
                    preference__platforms=platforms,
                    preference__trainings=flag,
                    preference__unrated=not flag,
                    preference__longest_contest=longest,
                    preference__excluded_words=excluded_words,
                )
                for is_training in (False, True):
                    contest = ContestFactory(name="Kotlin Heroes", is_rated=is_rated, is_training=is_training)
                    if wish:
                        ContestChoice.objects.create(user=alice, contest=contest, wish=wish)
    with connection.cursor() as cursor:
        cursor.execute(
            f"SELECT ({UNINTERESTING}) = '', ({INTERESTING}) IS TRUE, count(*) "
            f"FROM notifications_preference preference CROSS JOIN contests_contest contest {CHOICE} GROUP BY 1, 2"
        )
        found = cursor.fetchall()
    assert sum(count for *_, count in found) == 12 * 24
    assert all(unmentioned == interesting for unmentioned, interesting, _ in found)


def test_who_mutes_hears_nothing_and_who_follows_hears_whatever_they_chose_else(now: datetime) -> None:
    alice = MemberFactory(preference__platforms=["codeforces"])
    ContestChoice.objects.create(user=alice, contest=ContestFactory(), wish="mute")
    followed = ContestFactory(platform="atcoder", is_training=True)
    ContestChoice.objects.create(user=alice, contest=followed, wish="follow")
    assert sorted(reasons(alice, now)) == ["", "", "It is muted."]
    plan(now, now + timedelta(days=1))
    assert {each.contest for each in Notification.objects.all()} == {followed}


def test_quiet_hours_show_when_it_really_comes(now: datetime) -> None:
    midnight = now.replace(hour=0, minute=0) + timedelta(days=5)
    alice = MemberFactory(
        preference__lead_minutes=[60], preference__quiet_from=time(22), preference__quiet_until=time(7)
    )
    ContestFactory(starts_at=midnight + timedelta(hours=7, minutes=30))
    (reminder,) = of_member(alice.pk, now)
    assert reminder.at == midnight - timedelta(hours=2)
    Preference.objects.update(quiet_choice="after")
    (reminder,) = of_member(alice.pk, now)
    assert reminder.at == midnight + timedelta(hours=7)


def test_a_channel_that_is_of_no_use_says_why(now: datetime) -> None:
    alice = MemberFactory(preference__lead_minutes=[60])
    off = {"verified_at": now, "disabled_at": now, "disabled_reason": "It bounced."}
    Channel.objects.create(user=alice, kind="email", address="old@example.org", **off)
    Channel.objects.create(user=alice, kind="email", address="new@example.org")
    Channel.objects.create(user=alice, kind="email", address="other@example.org", verified_at=now, purposes=["digest"])
    ContestFactory()
    assert sorted(reasons(alice, now)) == [
        "",
        "This channel is not for reminders.",
        "This channel is not verified.",
        "This channel is off: It bounced.",
    ]
    Channel.objects.filter(user=alice).remove()
    assert reasons(alice, now) == ["There is no channel."]


def test_what_was_sent_is_said_to_be(now: datetime) -> None:
    alice = MemberFactory(preference__lead_minutes=[60])
    ContestFactory(starts_at=now + timedelta(minutes=30))
    plan(now, now)
    Notification.objects.update(status=Status.SENT, sent_at=now)
    (reminder,) = of_member(alice.pk, now)
    assert (reminder.status, reminder.sent_at, reminder.comes) == (Status.SENT, now, False)


def test_of_a_contest_it_is_said_of_each_member_who_is_asked_for(now: datetime) -> None:
    contest = ContestFactory()
    members = [MemberFactory(preference__lead_minutes=[60], preference__paused=paused) for paused in (True, False)]
    MemberFactory()
    found = of_contest(contest.pk, now, [member.pk for member in members])
    assert [(each.user, each.reason) for each in found] == [
        (members[0].pk, "Everything is paused."),
        (members[1].pk, ""),
    ]
    assert of_contest(contest.pk, now, []) == []


def test_what_is_said_to_come_is_what_is_planned(now: datetime) -> None:
    for zone in ("UTC", "Asia/Kolkata", "America/New_York"):
        for choice in ("before", "after"):
            MemberFactory(
                preference__time_zone=zone,
                preference__quiet_from=time(21, 30),
                preference__quiet_until=time(6, 15),
                preference__quiet_choice=choice,
                preference__lead_minutes=[1440, 180, 10],
            )
    for hours in range(1, 80, 3):
        ContestFactory(starts_at=now + timedelta(hours=hours))
    said = {
        (each.channel, each.contest, each.lead_minutes): each.at
        for member in Preference.objects.all()
        for each in of_member(member.pk, now)
        if not each.reason
    }
    plan(now, now + timedelta(days=10))
    planned = {
        (each.channel_id, each.contest_id, each.lead_minutes): max(each.due_at, each.available_at)
        for each in Notification.objects.filter(status=Status.PENDING)
    }
    assert planned == said
    assert len(said) > 100


def test_it_is_one_query_however_much_there_is(now: datetime) -> None:
    alice = MemberFactory()
    for _ in range(20):
        ContestFactory()
    with CaptureQueriesContext(connection) as captured:
        assert len(of_member(alice.pk, now)) == 40
    assert len(captured) == 1


# --- Digests --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("wish", [{"digest": "daily"}, {"digest": "weekly", "digest_weekday": 7}])
@pytest.mark.parametrize("begin", [datetime(2027, 3, 20, tzinfo=UTC), datetime(2027, 10, 24, tzinfo=UTC)])
def test_the_digest_that_is_foretold_is_the_one_that_comes(begin: datetime, wish: dict[str, Any]) -> None:
    """Every half day of a fortnight over which clocks change, in both directions."""
    alice = MemberFactory(preference__time_zone="Europe/Berlin", preference__digest_hour=2)
    Preference.objects.update(**wish)
    Channel.objects.update(purposes=["digest"])
    ContestFactory()
    for step in range(28):
        moment = begin + step * timedelta(hours=12)
        (empty,) = digests_of_member(alice.pk, moment)
        Contest.objects.update(starts_at=empty.at + timedelta(hours=1), ends_at=empty.at + timedelta(hours=3))
        (foretold,) = digests_of_member(alice.pk, moment)
        assert (moment < foretold.at == empty.at, empty.contests, foretold.contests) == (True, 0, 1)
        with transaction.atomic():
            assert planned_digests(moment, foretold.at) == []
            assert planned_digests(moment, foretold.at + timedelta(seconds=1)) == [foretold.at]
            transaction.set_rollback(True)
        Contest.objects.update(starts_at=begin)


def planned_digests(now: datetime, until: datetime) -> list[datetime]:
    plan(now, until)
    return list(Notification.objects.filter(kind="digest").values_list("starts_at", flat=True))


def test_what_is_no_digest_is_not_foretold(now: datetime) -> None:
    alice = MemberFactory()
    assert digests_of_member(alice.pk, now) == []
    Preference.objects.update(digest="daily")
    (digest,) = digests_of_member(alice.pk, now)
    assert (digest.channel_name, digest.contests) == (alice.email, 0)
    Preference.objects.update(paused=True)
    assert digests_of_member(alice.pk, now) == []
    Preference.objects.update(paused=False)
    Channel.objects.update(purposes=["reminders"])
    assert digests_of_member(alice.pk, now) == []
