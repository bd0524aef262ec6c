"""The world of the demo: each adapter reads from it, over real HTTP, exactly what it says."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest
import requests
from hypothesis import example, given, settings
from hypothesis import strategies as st

from config.demo.server import WorldServer
from config.demo.world import MAY_BE_CANCELLED, PLATFORMS, Fault, Request, World, WorldContest
from contests.platforms import PLATFORMS as ADAPTERS
from contests.platforms.base import ListedContest, Listing, PlatformError
from tests.times import DAY, HOUR, MINUTE

NOW = datetime(2026, 11, 22, 9, 41, 12, 345678, tzinfo=UTC)

moments = st.datetimes(datetime(2005, 1, 1), datetime(2095, 1, 1), timezones=st.just(UTC))

Facts = tuple[str, str, datetime, datetime, timedelta, bool]


def clock() -> datetime:
    return NOW


@pytest.fixture
def world() -> World:
    return World.around(NOW, clock)


@pytest.fixture
def server(world: World) -> Iterator[WorldServer]:
    with WorldServer(world) as server:
        yield server


def read(server: WorldServer, platform: str) -> Listing:
    return ADAPTERS[platform](server.url_of(platform)).fetch()


def facts(c: ListedContest | WorldContest) -> Facts:
    return c.key, c.name, c.starts_at, c.ends_at, c.duration, c.is_training


def assert_read_exactly(server: WorldServer, platform: str) -> None:
    listing, contests = read(server, platform), server.world.of(platform)
    assert sorted(map(facts, listing.contests)) == sorted(facts(c) for c in contests if not c.is_unscheduled)
    assert listing.unscheduled == {contest.key for contest in contests if contest.is_unscheduled}
    assert listing.rejected == ()
    assert listing.complete


def test_the_world_has_the_platforms_that_have_adapters() -> None:
    assert set(PLATFORMS) == set(ADAPTERS)


@pytest.mark.parametrize("platform", PLATFORMS)
def test_an_adapter_reads_the_world_exactly(server: WorldServer, platform: str) -> None:
    assert_read_exactly(server, platform)


@settings(max_examples=15, deadline=None)
@given(moments)
def test_adapters_read_the_world_of_any_moment_exactly(now: datetime) -> None:
    with WorldServer(World.around(now, lambda: now)) as server:
        for platform in PLATFORMS:
            assert_read_exactly(server, platform)


@settings(max_examples=10, deadline=None)
@given(st.timedeltas(timedelta(hours=-30), timedelta(days=5)))
@example(5.5 * HOUR)  # a training runs, which is in two tables of AtCoder's
def test_adapters_read_the_world_exactly_whatever_runs_by_then(later: timedelta) -> None:
    with WorldServer(World.around(NOW, lambda: NOW + later)) as server:
        for platform in PLATFORMS:
            assert_read_exactly(server, platform)


@given(moments)
def test_each_platform_has_something_within_the_hour_and_more_within_the_day(now: datetime) -> None:
    world = World.around(now)
    for platform in PLATFORMS:
        waits = [contest.starts_at - now for contest in world.of(platform) if contest.is_upcoming(now)]
        assert any(15 * MINUTE <= wait <= HOUR for wait in waits)
        assert sum(15 * MINUTE <= wait <= DAY for wait in waits) >= 2
        assert any(contest.ends_at < now for contest in world.of(platform))


@given(moments)
def test_what_is_to_come_starts_at_half_hours_in_two_cases_together_and_one_contest_runs(now: datetime) -> None:
    world = World.around(now)
    contests = [contest for platform in PLATFORMS for contest in world.of(platform)]
    upcoming = [contest for contest in contests if contest.is_upcoming(now)]
    assert all(contest.starts_at.timestamp() % 1800 == 0 for contest in upcoming)
    first, second = world.get("codeforces", "3190"), world.get("codeforces", "3191")
    assert first.starts_at == second.starts_at
    assert [contest.key for contest in contests if contest.is_running(now)] == ["DEVWEEKEND91"]
    assert sum(contest.is_training for contest in upcoming) == 1
    assert sum(contest.is_unscheduled for contest in contests) == 1
    assert now < world.get(*MAY_BE_CANCELLED).starts_at <= now + DAY


def test_the_containers_window_is_longer_than_its_duration(server: WorldServer) -> None:
    (container,) = (contest for contest in read(server, "codechef").contests if contest.key == "PLACEPREP42")
    assert container.duration == 3 * HOUR
    assert container.ends_at - container.starts_at == timedelta(days=2, hours=2, minutes=59)


def test_changes_of_the_world_are_read(world: World, server: WorldServer) -> None:
    was = world.get("codechef", "PLACEPREP42")
    world.move("codechef", "PLACEPREP42", 10 * MINUTE)
    world.rename("atcoder", "arc340", "Fish & “Chips” <Contest>")
    world.drop(*MAY_BE_CANCELLED)
    world.add(WorldContest("leetcode", "weekly-contest-908", "Weekly Contest 908", was.starts_at, HOUR))
    for platform in PLATFORMS:
        assert_read_exactly(server, platform)
    assert world.get("codechef", "PLACEPREP42").ends_at == was.ends_at + 10 * MINUTE
    assert MAY_BE_CANCELLED[1] not in read(server, "codeforces").listed_keys


def test_what_is_not_there_cannot_be_changed(world: World) -> None:
    with pytest.raises(KeyError):
        world.move("atcoder", "abc1", DAY)
    with pytest.raises(KeyError):
        world.rename("codeforces", "abc840", "Another platform's")
    with pytest.raises(KeyError):
        world.drop("atcoder", "abc1")


def test_atcoder_has_a_table_of_running_contests_only_while_one_runs(world: World, server: WorldServer) -> None:
    def page() -> str:
        return requests.get(server.url_of("atcoder") + "/contests/", timeout=5).text

    assert "contest-table-action" not in page()
    world.move("atcoder", "abc840", -HOUR)
    assert "contest-table-action" in page()
    assert_read_exactly(server, "atcoder")


@pytest.mark.parametrize("platform", PLATFORMS)
@pytest.mark.parametrize(
    ("fault", "said"), [("empty", "no contest"), ("garbage", "answered with something"), ("http503", "503")]
)
def test_a_broken_platform_gives_no_listing_until_it_is_repaired(
    world: World, server: WorldServer, monkeypatch: pytest.MonkeyPatch, platform: str, fault: Fault, said: str
) -> None:
    monkeypatch.setattr(ADAPTERS[platform], "deadline", 1.0)
    world.break_down(platform, fault)
    with pytest.raises(PlatformError, match=said):
        read(server, platform)
    monkeypatch.undo()
    world.repair(platform)
    assert_read_exactly(server, platform)


@pytest.mark.parametrize("platform", PLATFORMS)
def test_a_poisoned_row_is_rejected_by_its_key_and_the_others_are_read(
    world: World, server: WorldServer, platform: str
) -> None:
    poisoned = next(contest for contest in world.of(platform) if contest.is_upcoming(NOW))
    world.break_down(platform, "poison")
    listing = read(server, platform)
    assert [row.key for row in listing.rejected] == [poisoned.key]
    assert len(listing.contests) == sum(not contest.is_unscheduled for contest in world.of(platform)) - 1


def test_one_platforms_fault_is_not_anothers(world: World, server: WorldServer) -> None:
    world.break_down("leetcode", "garbage")
    assert_read_exactly(server, "codeforces")


def test_calls_are_remembered(world: World, server: WorldServer) -> None:
    for platform in PLATFORMS:
        read(server, platform)
    assert world.requests == [
        Request("codeforces", "GET", "/api/contest.list"),
        Request("leetcode", "POST", "/graphql"),
        Request("codechef", "GET", "/api/list/contests/all"),
        Request("atcoder", "GET", "/contests/"),
    ]


def ask_leetcode(server: WorldServer, query: str, **headers: str) -> requests.Response:
    headers = {"Referer": "https://leetcode.com/contest/", **headers}
    return requests.post(server.url_of("leetcode") + "/graphql", json={"query": query}, headers=headers, timeout=5)


def test_leetcode_refuses_who_does_not_come_from_its_pages(server: WorldServer) -> None:
    answer = ask_leetcode(server, "{ allContests { title } }", Referer="https://example.com/leetcode.com")
    assert answer.status_code == 403
    assert "CSRF" in answer.text


def test_leetcode_gives_the_fields_that_were_asked_for_and_names_those_it_does_not_know(server: WorldServer) -> None:
    rows = ask_leetcode(server, "query x { topTwoContests { titleSlug isVirtual } }").json()["data"]["topTwoContests"]
    assert rows == [
        {"titleSlug": "weekly-contest-906", "isVirtual": False},
        {"titleSlug": "biweekly-contest-385", "isVirtual": False},
    ]
    for query, unknown in [("{ allContests { rank } }", "rank"), ("{ nextContests { title } }", "nextContests")]:
        answer = ask_leetcode(server, query)
        assert f'Cannot query field "{unknown}"' in answer.json()["errors"][0]["message"]


def test_leetcode_understands_json_only(server: WorldServer) -> None:
    answer = ask_leetcode(server, "{ allContests { title } }", **{"Content-Type": "text/plain"})
    assert answer.status_code == 400


@pytest.mark.parametrize("path", ["", "codeforces", "codeforces/api/contest.status", "leetcode/graphql", "x/contests/"])
def test_there_is_nothing_else(server: WorldServer, path: str) -> None:
    assert requests.get(f"http://127.0.0.1:{server.server_port}/{path}", timeout=5).status_code == 404


def test_a_platform_that_is_not_served_has_no_address(server: WorldServer) -> None:
    with pytest.raises(KeyError):
        server.url_of("topcoder")
