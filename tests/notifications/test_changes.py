"""A contest that moves or is cancelled is said to have moved or been cancelled, to whom it concerns."""

from datetime import datetime, time, timedelta

import pytest
from django.contrib.auth.models import User
from django.utils import timezone

from contests.models import Contest
from notifications.dispatch import dispatch
from notifications.models import Channel, ContestChoice, Notification, Preference, Status
from notifications.planning import plan
from tests.factories import ContestFactory, MemberFactory
from tests.smtp import Inbox, body_of
from tests.times import DAY, HOUR

pytestmark = pytest.mark.django_db


@pytest.fixture
def alice() -> User:
    return MemberFactory(username="alice", email="alice@example.org", preference__lead_minutes=[60])


@pytest.fixture
def contest(now: datetime) -> Contest:
    """A round in three days, which all that was planned so far knew of."""
    contest = ContestFactory(name="Round 900", starts_at=now + 3 * DAY)
    plan(now, now)
    return contest


def move(contest: Contest, by: timedelta) -> None:
    contest.starts_at += by
    contest.ends_at += by
    contest.save()


def changes() -> list[tuple[str, str]]:
    found = Notification.objects.exclude(kind="reminder").order_by("pk")
    return list(found.values_list("kind", "status"))


def test_a_move_is_told_with_the_old_and_the_new_start(
    alice: User, contest: Contest, now: datetime, inbox: Inbox
) -> None:
    before = contest.starts_at
    move(contest, HOUR)
    assert dispatch().planned == 1
    (mail,) = inbox.mails
    assert mail["Subject"] == f"Round 900 moved to {contest.starts_at:%a %-d %b %H:%M}"
    for kind in ("plain", "html"):
        body = body_of(mail, kind)
        assert f"{before:%H:%M}" in body
        assert f"{contest.starts_at:%H:%M}" in body
    told = Notification.objects.get()
    assert (told.was_at, told.starts_at, told.expires_at) == (before, contest.starts_at, contest.starts_at)


def test_a_cancellation_is_told(alice: User, contest: Contest, now: datetime, inbox: Inbox) -> None:
    Contest.objects.update(cancelled_at=now)
    dispatch()
    (mail,) = inbox.mails
    assert mail["Subject"] == "Round 900 was cancelled"
    assert f"{contest.starts_at:%H:%M}" in body_of(mail)


def test_it_is_told_once(alice: User, contest: Contest, inbox: Inbox) -> None:
    move(contest, HOUR)
    dispatch()
    assert dispatch().planned == 0
    assert len(inbox.mails) == 1


def test_a_contest_that_is_new_has_not_moved(alice: User, contest: Contest, now: datetime) -> None:
    new = ContestFactory(starts_at=now + 2 * DAY)
    move(new, HOUR)
    plan(now, now)
    assert changes() == []


def test_a_contest_that_moved_there_and_back_has_not_moved(alice: User, contest: Contest, now: datetime) -> None:
    move(contest, HOUR)
    move(contest, -HOUR)
    plan(now, now)
    assert changes() == []


def test_of_two_moves_between_rounds_the_first_start_and_the_last_are_told(
    alice: User, contest: Contest, now: datetime
) -> None:
    before = contest.starts_at
    move(contest, HOUR)
    move(contest, HOUR)
    plan(now, now)
    told = Notification.objects.get()
    assert (told.was_at, told.starts_at) == (before, before + 2 * HOUR)


def test_who_was_not_told_of_the_first_move_hears_of_the_start_that_they_know(
    alice: User, contest: Contest, now: datetime
) -> None:
    before = contest.starts_at
    move(contest, HOUR)
    plan(now, now)
    move(contest, HOUR)
    plan(now, now)
    assert sorted(changes()) == [("moved", Status.PENDING), ("moved", Status.SKIPPED)]
    told = Notification.objects.get(status=Status.PENDING)
    assert (told.was_at, told.starts_at) == (before, contest.starts_at)


def test_who_was_told_of_nothing_yet_need_not_hear_that_it_is_back(
    alice: User, contest: Contest, now: datetime
) -> None:
    move(contest, HOUR)
    plan(now, now)
    move(contest, -HOUR)
    plan(now, now)
    assert changes() == [("moved", Status.SKIPPED)]


def test_a_contest_that_moves_back_after_it_was_told_is_told_anew(alice: User, contest: Contest, inbox: Inbox) -> None:
    for by in (HOUR, -HOUR, HOUR):
        move(contest, by)
        dispatch()
    assert [mail["Subject"].startswith("Round 900 moved to") for mail in inbox.mails] == [True] * 3
    assert len({mail["Message-ID"] for mail in inbox.mails}) == 3


def test_a_move_to_an_earlier_time_is_told_until_the_old_start(
    alice: User, contest: Contest, now: datetime, inbox: Inbox
) -> None:
    before = contest.starts_at
    move(contest, -3 * DAY - HOUR)
    assert dispatch().by_channel["email"].sent == 1
    assert Notification.objects.get().expires_at == before


def test_who_was_told_is_told_of_the_change_whatever_they_want_now(
    alice: User, contest: Contest, now: datetime, inbox: Inbox
) -> None:
    move(contest, -3 * DAY + 2 * HOUR)
    dispatch(next_round_at=now + DAY)
    Preference.objects.update(platforms=["atcoder"])
    inbox.mails.clear()
    Contest.objects.update(cancelled_at=now)
    dispatch()
    assert [mail["Subject"] for mail in inbox.mails] == ["Round 900 was cancelled"]


def test_who_neither_was_nor_would_have_been_told_hears_nothing(contest: Contest, now: datetime) -> None:
    MemberFactory(preference__platforms=["atcoder"])
    MemberFactory(preference__paused=True)
    muted = MemberFactory()
    ContestChoice.objects.create(user=muted, contest=contest, wish="mute")
    Channel.objects.filter(user=MemberFactory()).update(purposes=["reminders", "digest"])
    plan(now, now)
    move(contest, HOUR)
    plan(now, now)
    assert changes() == []


def test_a_change_waits_for_the_end_of_quiet_hours(alice: User, contest: Contest, now: datetime) -> None:
    begins, ends = (now - HOUR).time(), (now + 2 * HOUR).time()
    Preference.objects.update(quiet_from=begins, quiet_until=ends)
    move(contest, HOUR)
    plan(now, now)
    assert Notification.objects.get().available_at == now + 2 * HOUR


def test_a_change_that_would_come_too_late_after_quiet_hours_says_so(alice: User, now: datetime) -> None:
    contest = ContestFactory(starts_at=now + HOUR)
    Preference.objects.update(quiet_from=(now - HOUR).time(), quiet_until=(now + 2 * HOUR).time())
    plan(now, now)
    Contest.objects.update(cancelled_at=now)
    plan(now, now)
    told = Notification.objects.get(contest=contest, kind="cancelled")
    assert told.status == Status.SKIPPED
    assert "quiet hours" in told.error


def test_what_is_no_longer_so_is_not_told(alice: User, contest: Contest, now: datetime) -> None:
    Contest.objects.update(cancelled_at=now)
    plan(now, now)
    Contest.objects.update(cancelled_at=None)
    plan(now, now)
    told = Notification.objects.get()
    assert (told.status, told.error) == (Status.SKIPPED, "The contest takes place after all.")


def test_bulk_edits_and_raw_ones_are_noticed_too(alice: User, contest: Contest, now: datetime) -> None:
    Contest.objects.filter(pk=contest.pk).update(starts_at=contest.starts_at + HOUR)
    assert plan(now, now).by_kind == {"moved": 1}


def test_the_time_of_day_of_quiet_hours_is_the_members(alice: User, contest: Contest, now: datetime) -> None:
    Preference.objects.update(time_zone="Asia/Kolkata", quiet_from=time(0), quiet_until=time(23, 59))
    move(contest, HOUR)
    plan(now, now)
    told = Notification.objects.get()
    local = told.available_at + timedelta(hours=5, minutes=30)
    assert (local.hour, local.minute) == (23, 59)


def cancel(contest: Contest, now: datetime | None) -> None:
    contest.cancelled_at = now
    contest.save()


def test_who_heard_of_a_cancellation_hears_that_it_takes_place_after_all(
    alice: User, contest: Contest, now: datetime, inbox: Inbox
) -> None:
    for cancelled_at in (now, None, now, None):
        cancel(contest, cancelled_at)
        assert dispatch().planned == 1
    subjects = [mail["Subject"] for mail in inbox.mails]
    assert subjects[::2] == ["Round 900 was cancelled"] * 2
    assert subjects[1::2] == [f"Round 900 takes place after all, {contest.starts_at:%a %-d %b %H:%M}"] * 2
    assert len({mail["Message-ID"] for mail in inbox.mails}) == 4
    for kind in ("plain", "html"):
        assert f"{contest.starts_at:%H:%M}" in body_of(inbox.mails[1], kind)
    told = Notification.objects.get(kind="reinstated")
    assert (told.starts_at, told.was_at, told.expires_at) == (contest.starts_at, None, contest.starts_at)


def test_it_takes_place_after_all_at_another_time(alice: User, contest: Contest, now: datetime, inbox: Inbox) -> None:
    cancel(contest, now)
    dispatch()
    contest.cancelled_at = None
    move(contest, HOUR)
    assert dispatch().planned == 1
    assert inbox.mails[1]["Subject"].endswith(f"{contest.starts_at:%a %-d %b %H:%M}")


def test_who_did_not_hear_of_the_cancellation_need_not_hear_that_it_is_off(
    alice: User, contest: Contest, now: datetime, inbox: Inbox
) -> None:
    cancel(contest, now)
    plan(now, now)
    cancel(contest, None)
    dispatch()
    assert (changes(), inbox.mails) == ([("cancelled", Status.SKIPPED)], [])


def test_a_contest_that_is_back_and_cancelled_again_before_that_was_told_stays_cancelled(
    alice: User, contest: Contest, now: datetime, inbox: Inbox
) -> None:
    cancel(contest, now)
    dispatch()
    cancel(contest, None)
    plan(now, now)
    cancel(contest, now)
    dispatch()
    assert ("reinstated", Status.SKIPPED) in changes()
    assert {mail["Subject"] for mail in inbox.mails} == {"Round 900 was cancelled"}


def test_a_contest_that_was_never_announced_and_is_cancelled_is_no_news(alice: User, contest: Contest) -> None:
    now = timezone.now()
    cancel(ContestFactory(starts_at=now + 2 * DAY), now)
    plan(now, now)
    assert changes() == []
