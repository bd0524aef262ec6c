"""Syncing against a small world of our own, over real HTTP, into a real PostgreSQL."""

from dataclasses import replace
from datetime import timedelta

import pytest
from django.db import connection
from django.utils import timezone

from config.breaker import BreakerState
from config.demo.world import World, WorldContest
from contests.models import Contest, ContestChange, Platform, PlatformSync
from contests.signals import contests_changed
from contests.sync import sync
from tests.database import queries_of

pytestmark = pytest.mark.django_db

CODEFORCES, UPCOMING = "codeforces", "3190"


def contest(key: str = UPCOMING) -> Contest:
    return Contest.objects.get(platform=CODEFORCES, key=key)


def versions() -> set[tuple[str, str]]:
    """Where each contest's row is stored: PostgreSQL writes a new version of a row at every UPDATE of it."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT key, ctid::text FROM contests_contest")
        return set(cursor.fetchall())


def test_what_the_platforms_list_is_stored_to_the_second(world: World) -> None:
    report = sync()

    assert report.ok
    now = timezone.now()
    for code in report.platforms:
        stored = Contest.objects.filter(platform=code)
        expected = {
            (listed.key, listed.name, listed.starts_at, listed.ends_at, listed.duration, listed.is_training)
            for listed in world.of(code)
            if not listed.is_unscheduled and listed.ends_at > now - timedelta(days=30)
        }
        fields = ("key", "name", "starts_at", "ends_at", "duration", "is_training")
        assert set(stored.values_list(*fields)) == expected
        assert report.platforms[code].created == len(expected) > 0


def test_a_second_sync_changes_nothing_and_writes_no_contest(world: World) -> None:
    sync()
    before = versions()

    report = sync()

    assert versions() == before
    assert {(r.created, r.updated, r.cancelled) for r in report.platforms.values()} == {(0, 0, 0)}
    assert not report.changed


def test_a_moved_contest_is_one_update_and_one_change_with_both_starts(world: World) -> None:
    sync()
    old = contest().starts_at
    world.move(CODEFORCES, UPCOMING, timedelta(minutes=10))

    report = sync()

    assert report.platforms[CODEFORCES].updated == 1
    assert contest().starts_at == old + timedelta(minutes=10)
    change = ContestChange.objects.get()
    assert (change.contest, change.field) == (contest(), "starts_at")
    assert (change.old, change.new) == (old.isoformat(), (old + timedelta(minutes=10)).isoformat())


def test_a_renamed_contest_stays_the_same_contest(world: World) -> None:
    sync()
    pk = contest().pk
    world.rename(CODEFORCES, UPCOMING, "Codeforces Round 2190 (Div. 1, based on a Cup)")

    sync()

    assert contest().pk == pk
    assert contest().name == "Codeforces Round 2190 (Div. 1, based on a Cup)"
    assert ContestChange.objects.get().field == "name"


def test_a_contest_missing_once_stays_and_missing_twice_is_cancelled_not_deleted(world: World) -> None:
    sync()
    world.drop(CODEFORCES, UPCOMING)

    assert sync().platforms[CODEFORCES].cancelled == 0
    assert contest().cancelled_at is None

    assert sync().platforms[CODEFORCES].cancelled == 1
    assert contest().cancelled_at is not None
    assert ContestChange.objects.get().field == "cancelled_at"

    assert sync().platforms[CODEFORCES].cancelled == 0, "it is cancelled once"


def test_a_contest_that_comes_back_in_between_is_not_cancelled(world: World) -> None:
    sync()
    listed = world.get(CODEFORCES, UPCOMING)
    for _ in range(3):
        world.drop(CODEFORCES, UPCOMING)
        sync()
        world.add(listed)
        sync()
    assert contest().cancelled_at is None


def test_a_cancelled_contest_that_is_listed_again_takes_place(world: World) -> None:
    sync()
    listed = world.get(CODEFORCES, UPCOMING)
    world.drop(CODEFORCES, UPCOMING)
    sync()
    sync()
    world.add(listed)

    before = version()
    assert sync().platforms[CODEFORCES].updated == 1
    assert contest().cancelled_at is None
    assert (before, version()) == ((1, True), (2, True)), "its entry in calendars is in force again"


def test_a_contest_that_began_is_not_cancelled_when_it_leaves_the_list(world: World) -> None:
    sync()
    Contest.objects.filter(key=UPCOMING).update(starts_at=timezone.now() - timedelta(minutes=1))
    world.drop(CODEFORCES, UPCOMING)
    sync()
    sync()
    assert contest().cancelled_at is None


def version(key: str = UPCOMING) -> tuple[int, bool]:
    """How often the contest's entry in calendars changed, and whether it did by the newest sync."""
    newest = PlatformSync.objects.filter(platform=CODEFORCES).latest("pk")
    return contest(key).sequence, contest(key).changed_at >= newest.started_at


def test_each_sync_that_changes_a_calendars_entry_makes_a_new_version_of_it_and_no_other_does(world: World) -> None:
    sync()
    assert version() == (0, True)
    assert contest().first_seen_at == contest().changed_at
    listed = world.get(CODEFORCES, UPCOMING)

    world.move(CODEFORCES, UPCOMING, timedelta(minutes=10))
    world.rename(CODEFORCES, UPCOMING, "Codeforces Round (Div. 1)")
    sync()
    assert version() == (1, True), "one sync is one version, whatever it changed"
    sync()
    assert version() == (1, False)
    world.drop(CODEFORCES, UPCOMING)
    sync()
    assert version() == (1, False), "missing once is no news"
    sync()
    assert version() == (2, True), "it is cancelled"
    world.add(listed)
    sync()
    assert version() == (3, True), "and takes place after all"
    assert contest().first_seen_at < contest().changed_at


def test_a_contest_is_first_seen_by_the_sync_that_finds_it(world: World) -> None:
    sync()
    world.add(replace(world.get(CODEFORCES, UPCOMING), key="4000", name="Another"))
    sync()
    newest = PlatformSync.objects.filter(platform=CODEFORCES).latest("pk")
    assert contest().first_seen_at < newest.started_at <= contest("4000").first_seen_at


def test_a_longer_contest_is_a_new_version_in_calendars_and_one_that_counts_for_ratings_is_not(world: World) -> None:
    sync()
    world.add(replace(world.get(CODEFORCES, UPCOMING), duration=timedelta(hours=3)))
    sync()
    assert version() == (1, True)
    Contest.objects.filter(key=UPCOMING).update(is_rated=False)
    sync()
    assert version() == (1, False)
    change = ContestChange.objects.filter(field="is_rated").get()
    assert (change.old, change.new, contest().is_rated) == ("False", "True", True)


def test_a_row_that_makes_no_sense_costs_itself_only(world: World) -> None:
    sync()
    world.break_down(CODEFORCES, "poison")

    for _ in range(2):
        report = sync().platforms[CODEFORCES]

    assert (report.ok, report.rejected, report.cancelled) == (True, 1, 0)
    assert not Contest.objects.exclude(cancelled_at=None).exists()
    sync_row = PlatformSync.objects.filter(platform=CODEFORCES).first()
    assert sync_row is not None
    assert sync_row.rejected_rows[0]["reason"]


@pytest.mark.parametrize("fault", ["http503", "empty", "garbage"])
def test_a_broken_platform_keeps_its_contests_and_stops_no_other(world: World, fault: str) -> None:
    sync()
    before = versions()
    world.break_down(CODEFORCES, fault)  # type: ignore[arg-type]  # one of the literals
    world.move("atcoder", "abc840", timedelta(minutes=30))

    report = sync()

    assert [code for code, outcome in report.platforms.items() if not outcome.ok] == [CODEFORCES]
    assert report.platforms["atcoder"].updated == 1
    unchanged = {pair for pair in before if pair[0] != "abc840"}
    assert unchanged <= versions()
    platform = Platform.objects.get(code=CODEFORCES)
    assert platform.is_failing
    assert platform.last_error == report.platforms[CODEFORCES].error
    assert "\n" not in platform.last_error


def test_an_answer_that_lacks_everything_known_is_a_fault_and_not_news(world: World) -> None:
    sync()
    for listed in world.of(CODEFORCES):
        if listed.starts_at > timezone.now() and not listed.is_unscheduled:
            world.drop(CODEFORCES, listed.key)

    for _ in range(2):
        report = sync().platforms[CODEFORCES]

    assert not report.ok
    assert not Contest.objects.exclude(cancelled_at=None).exists()


def test_absence_from_a_partial_answer_means_nothing(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """LeetCode's other fields list the next two contests only; the third is not missing."""
    sync()
    from contests.platforms import leetcode

    monkeypatch.setattr(leetcode, "ROOTS", ("fieldOfYesterday", "topTwoContests"))
    for _ in range(2):
        report = sync(["leetcode"]).platforms["leetcode"]
    assert (report.ok, report.cancelled) == (True, 0)


def test_five_failures_open_the_breaker_for_everybody(world: World) -> None:
    world.break_down(CODEFORCES, "empty")
    for _ in range(5):
        sync([CODEFORCES])
    asked = len(world.requests)
    world.repair(CODEFORCES)

    report = sync([CODEFORCES]).platforms[CODEFORCES]

    assert not report.ok
    assert len(world.requests) == asked, "an open breaker asks nobody"
    assert Platform.objects.get(code=CODEFORCES).breaker_state == BreakerState.OPEN


def test_a_disabled_platform_is_asked_only_by_name(world: World) -> None:
    Platform.objects.filter(code=CODEFORCES).update(enabled=False)
    assert CODEFORCES not in sync().platforms
    assert sync([CODEFORCES]).platforms[CODEFORCES].ok


def test_a_dry_run_counts_and_stores_nothing(world: World) -> None:
    report = sync(dry_run=True)
    assert report.platforms[CODEFORCES].created > 0
    assert not Contest.objects.exists()
    assert not PlatformSync.objects.exists()
    assert Platform.objects.get(code=CODEFORCES).last_success_at is None


def test_a_sync_says_whether_there_is_anything_to_tell(world: World) -> None:
    told = []
    contests_changed.connect(lambda **_: told.append(True), weak=False, dispatch_uid="test")
    try:
        sync(dry_run=True)
        assert not told
        sync()
        assert told == [True]
        sync()
        assert told == [True]
    finally:
        contests_changed.disconnect(dispatch_uid="test")


def test_the_number_of_queries_does_not_grow_with_the_number_of_contests(world: World) -> None:
    def add(first: int, count: int) -> None:
        start = timezone.now().replace(microsecond=0) + timedelta(days=1)
        for key in range(first, first + count):
            world.add(WorldContest(CODEFORCES, str(key), f"Round {key}", start, timedelta(hours=2)))

    add(9000, 5)
    few = queries_of(sync, [CODEFORCES])
    add(10000, 500)
    many = queries_of(sync, [CODEFORCES])
    assert many <= few
    assert few < 20
