"""Syncing recorded answers of the real platforms, moved to today, and every way in which their server can fail."""

import json
import re
import resource
import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from time import monotonic
from typing import Any

import pytest
from django.db import connection
from django.utils import timezone
from pytest_django import Settings

from config import http
from contests.models import Contest, ContestChange, Platform, PlatformSync
from contests.platforms import PLATFORMS
from contests.platforms.base import Platform as Adapter
from contests.sync import PlatformReport, sync
from notifications.models import Notification
from notifications.planning import plan
from tests.factories import MemberFactory

SHARED = Path(__file__).resolve().parents[3] / "shared" / "platforms"
pytestmark = [
    pytest.mark.django_db,
    pytest.mark.skipif(not (SHARED / "serve.py").exists(), reason="needs the recordings in ../shared/platforms"),
]

Order = Callable[..., None]


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    command = [sys.executable, str(SHARED / "serve.py"), "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        yield process.stdout.readline().split()[-1]
        process.terminate()


@pytest.fixture(autouse=True)
def recorded(address: str, settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    settings.PLATFORM_URLS = {code: f"{address}/{code}" for code in PLATFORMS}
    monkeypatch.setattr(http, "BACKOFF", 0.005)


@pytest.fixture
def order(address: str) -> Iterator[Order]:
    def give(**what: Any) -> None:
        http.request("POST", f"{address}/_control", json=what)

    yield give
    give(reset=True)


def stored() -> set[tuple[Any, ...]]:
    """Every contest with the place of its row, which changes with every write."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT platform_id, key, cancelled_at, missing_since, ctid::text FROM contests_contest")
        return set(cursor.fetchall())


def active(code: str) -> set[tuple[str, datetime, datetime]]:
    """Upcoming and running contests, as stored."""
    now = timezone.now()
    rows = Contest.objects.filter(platform=code, ends_at__gt=now, cancelled_at=None)
    return set(rows.values_list("key", "starts_at", "ends_at"))


def recorded_at(address: str, code: str, read: Callable[[str], Any]) -> set[tuple[str, datetime, datetime]]:
    """The same, read from the server's answer by other means than the adapters."""
    now = timezone.now()
    return {row for row in read(address) if row[2] > now}


def seconds(value: float) -> datetime:
    return datetime.fromtimestamp(value, UTC)


def codeforces(address: str) -> Iterator[tuple[str, datetime, datetime]]:
    for row in json.loads(http.request("GET", f"{address}/codeforces/api/contest.list").body)["result"]:
        start = row["startTimeSeconds"]
        yield str(row["id"]), seconds(start), seconds(start + row["durationSeconds"])


def leetcode(address: str) -> Iterator[tuple[str, datetime, datetime]]:
    headers = {"Referer": "https://leetcode.com/contest/"}
    answer = http.request(
        "POST", f"{address}/leetcode/graphql", json={"query": "{allContests{title}}"}, headers=headers
    )
    for row in json.loads(answer.body)["data"]["allContests"]:
        yield row["titleSlug"], seconds(row["startTime"]), seconds(row["startTime"] + row["duration"])


def codechef(address: str) -> Iterator[tuple[str, datetime, datetime]]:
    answer = json.loads(http.request("GET", f"{address}/codechef/api/list/contests/all").body)
    for row in answer["present_contests"] + answer["future_contests"] + answer["past_contests"]:
        yield (
            row["contest_code"],
            datetime.fromisoformat(row["contest_start_date_iso"]),
            datetime.fromisoformat(row["contest_end_date_iso"]),
        )


def atcoder(address: str) -> Iterator[tuple[str, datetime, datetime]]:
    page = http.request("GET", f"{address}/atcoder/contests/").text
    pattern = (
        r"fixtime-full'>([^<]+)</time>.*?href=\"/contests/([^\"]+)\".*?<td class=\"text-center\">(\d+):(\d\d)</td>"
    )
    for moment, key, hours, minutes in re.findall(pattern, page, re.DOTALL):
        start = datetime.strptime(moment, "%Y-%m-%d %H:%M:%S%z")
        yield key, start, start + timedelta(hours=int(hours), minutes=int(minutes))


@pytest.mark.parametrize("read", [codeforces, leetcode, codechef, atcoder])
def test_upcoming_and_running_contests_agree_with_the_recordings_to_the_second(
    address: str, read: Callable[[str], Any]
) -> None:
    code = read.__name__
    assert sync([code]).ok
    assert active(code) == recorded_at(address, code, read)
    assert len(active(code)) >= 2


def test_a_second_sync_writes_no_contest() -> None:
    sync()
    before = stored()
    report = sync()
    assert stored() == before
    assert {(outcome.created, outcome.updated) for outcome in report.platforms.values()} == {(0, 0)}


BROKEN = (
    "http503 http429 html403 html200 failed errors empty garbage truncated huge drip reset".split()  # noqa: SIM905
)


@pytest.mark.parametrize("fault", BROKEN)
@pytest.mark.parametrize("code", list(PLATFORMS))
def test_a_fault_of_one_platform_stops_no_other_and_loses_nothing(
    order: Order, monkeypatch: pytest.MonkeyPatch, code: str, fault: str
) -> None:
    if fault == "drip":
        monkeypatch.setattr(Adapter, "deadline", 1.5)
    sync()
    before = stored()
    order(platform=code, fault=fault, times=-1)
    began, memory = monotonic(), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss

    report = sync()

    assert monotonic() - began < 15
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - memory < 64 * 1024  # KiB, for an answer of 64 MiB
    assert [failed for failed, outcome in report.platforms.items() if not outcome.ok] == [code]
    assert stored() == before
    platform = Platform.objects.get(code=code)
    assert platform.is_failing
    assert len(platform.last_error.splitlines()) == 1
    assert PlatformSync.objects.filter(platform=code).latest("pk").error == platform.last_error


def test_a_slow_platform_is_waited_for(order: Order) -> None:
    order(platform="codeforces", fault="slow", times=1)
    assert sync(["codeforces"]).ok


def test_a_fault_that_passes_is_tried_again(order: Order) -> None:
    order(platform="codeforces", fault="reset", times=2)
    assert sync(["codeforces"]).ok


@pytest.mark.parametrize("code", list(PLATFORMS))
def test_a_poisoned_row_costs_one_row(order: Order, code: str) -> None:
    whole = sync([code]).platforms[code]
    before = active(code)
    order(platform=code, fault="poison", times=-1)
    for _ in range(2):
        report: PlatformReport = sync([code]).platforms[code]
        assert (report.ok, report.rejected, report.cancelled) == (True, 1, 0)
        assert report.fetched == whole.fetched
    assert active(code) == before


@pytest.mark.parametrize(
    ("code", "key"), [("codeforces", "2156"), ("leetcode", "weekly-contest-507"), ("codechef", "START211")]
)
def test_a_move_is_one_update_one_change_and_a_reminder_of_the_new_start(order: Order, code: str, key: str) -> None:
    MemberFactory(preference__lead_minutes=[10080])
    sync()
    contest = Contest.objects.get(platform=code, key=key)
    horizon = contest.starts_at - timedelta(days=7) + timedelta(hours=1)
    plan(timezone.now(), horizon)
    order(platform=code, move={"key": key, "minutes": 10})

    report = sync()

    assert {name: outcome.updated for name, outcome in report.platforms.items() if outcome.updated} == {code: 1}
    change = ContestChange.objects.get()
    assert datetime.fromisoformat(change.old) == contest.starts_at
    assert datetime.fromisoformat(change.new) == contest.starts_at + timedelta(minutes=10)
    plan(timezone.now(), horizon)
    starts = Notification.objects.filter(contest=contest).values_list("starts_at", flat=True)
    assert set(starts) == {contest.starts_at, contest.starts_at + timedelta(minutes=10)}


@pytest.mark.parametrize(
    ("code", "key"),
    [("codeforces", "2156"), ("leetcode", "weekly-contest-507"), ("codechef", "START211"), ("atcoder", "abc463")],
)
def test_a_dropped_contest_is_cancelled_by_the_second_sync(order: Order, code: str, key: str) -> None:
    sync([code])
    order(platform=code, drop=key)
    sync([code])
    assert Contest.objects.get(platform=code, key=key).cancelled_at is None
    assert sync([code]).platforms[code].cancelled == 1
    assert Contest.objects.get(platform=code, key=key).cancelled_at is not None
