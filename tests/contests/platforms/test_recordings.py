"""The adapters against recorded answers of the platforms, and against every fault of the server that serves them."""

import html
import json
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from config import http
from contests.platforms import PLATFORMS
from contests.platforms.base import Listing, Platform, PlatformError

SHARED = Path(__file__).resolve().parents[4] / "shared" / "platforms"
SERVER, RECORDINGS = SHARED / "serve.py", SHARED / "recordings"

pytestmark = pytest.mark.skipif(not SERVER.exists(), reason="needs the recordings in ../shared/platforms")

Facts = tuple[str, str, float, float, float]
"""Key, name, start and end in Unix seconds, duration in seconds."""


@contextmanager
def serving(*options: str) -> Iterator[str]:
    command = [sys.executable, str(SERVER), "--port", "0", *options]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield process.stdout.readline().split()[-1]
        finally:
            process.terminate()


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    """The recordings with the times that they were made at."""
    with serving("--no-shift") as address:
        yield address


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http, "BACKOFF", 0.005)
    monkeypatch.setenv("NO_PROXY", "*")


@pytest.fixture
def steer(server: str) -> Iterator[Callable[..., None]]:
    """Tells the server what to do, and to forget it afterwards."""

    def order(**what: object) -> None:
        http.request("POST", f"{server}/_control", json=what)

    yield order
    order(reset=True)


def platform(server: str, code: str) -> Platform:
    return PLATFORMS[code](f"{server}/{code}")


def outcome(platform: Platform) -> str | Listing:
    """The listing, or the sentence of the error without the address in it."""
    try:
        return platform.fetch()
    except PlatformError as error:
        return re.sub(r"127\.0\.0\.1:\d+", "HOST", str(error))


# What the recordings say, read by other means


def facts(listing: Listing) -> set[Facts]:
    return {
        (
            contest.key,
            contest.name,
            contest.starts_at.timestamp(),
            contest.ends_at.timestamp(),
            contest.duration.total_seconds(),
        )
        for contest in listing.contests
    }


def codeforces() -> set[Facts]:
    text = (RECORDINGS / "codeforces.json").read_text()
    pattern = r'\{"id":(\d+),"name":("(?:[^"\\]|\\.)*"),[^{}]*?"durationSeconds":(\d+)[^{}]*?"startTimeSeconds":(\d+)'
    return {
        (key, spaced(json.loads(name)), int(start), int(start) + int(duration), int(duration))
        for key, name, duration, start in re.findall(pattern, text)
    }


def leetcode() -> set[Facts]:
    text = (RECORDINGS / "leetcode.json").read_text()
    pattern = r'"title": (".*"),\s+"titleSlug": "(.*)",\s+"startTime": (\d+),\s+"duration": (\d+)'
    return {
        (key, spaced(json.loads(name)), int(start), int(start) + int(duration), int(duration))
        for name, key, start, duration in re.findall(pattern, text)
    }


def codechef() -> set[Facts]:
    """By the dates that the adapter does not read, which are Indian time."""

    def seconds(text: str) -> float:
        return datetime.strptime(f"{text} +0530", "%d %b %Y %H:%M:%S %z").timestamp()

    answer = json.loads((RECORDINGS / "codechef.json").read_text())
    return {
        (
            row["contest_code"],
            spaced(row["contest_name"]),
            seconds(spaced(row["contest_start_date"])),
            seconds(spaced(row["contest_end_date"])),
            60 * float(row["contest_duration"]),
        )
        for name, rows in answer.items()
        if name.endswith("_contests")
        for row in rows
    }


def atcoder() -> set[Facts]:
    text = (RECORDINGS / "atcoder.html").read_text()
    pattern = r'fixtime-full\'>(.*?)</time>.*?href="/contests/(.*?)">(.*?)</a>.*?(\d+):(\d\d)</td>'
    found: set[Facts] = set()
    for start, key, name, hours, minutes in re.findall(pattern, text, re.DOTALL):
        starts_at, duration = datetime.fromisoformat(start).timestamp(), (int(hours) * 60 + int(minutes)) * 60
        found.add((key, spaced(html.unescape(name)), starts_at, starts_at + duration, duration))
    return found


def spaced(name: str) -> str:
    return re.sub(r"\s+", " ", name).strip()


@pytest.mark.parametrize(
    ("code", "read", "rows"),
    [
        ("codeforces", codeforces, 2048),
        ("leetcode", leetcode, 699),
        ("codechef", codechef, 23),
        ("atcoder", atcoder, 59),
    ],
)
def test_every_recorded_contest_is_read_and_no_other(
    server: str, code: str, read: Callable[[], set[Facts]], rows: int
) -> None:
    listing = platform(server, code).fetch()
    assert facts(listing) == read()
    assert len(listing.contests) == listing.fetched == rows
    assert not listing.rejected
    assert not listing.unscheduled
    assert listing.complete


def test_the_one_recorded_training_is_marked(server: str) -> None:
    assert [c.key for c in platform(server, "atcoder").fetch().contests if c.is_training] == ["awc0091"]


@pytest.mark.parametrize(
    ("code", "rated", "unrated"),
    # AtCoder's table has a column for it; the others say so in names alone, LeetCode nowhere.
    [("codeforces", 1564, 54), ("leetcode", 0, 0), ("codechef", 7, 0), ("atcoder", 53, 6)],
)
def test_what_counts_for_ratings_is_known_where_the_platform_says_so(
    server: str, code: str, rated: int, unrated: int
) -> None:
    said = [contest.is_rated for contest in platform(server, code).fetch().contests]
    assert (said.count(True), said.count(False)) == (rated, unrated)


@pytest.mark.parametrize(
    ("code", "key"),
    [("codeforces", "2156"), ("leetcode", "weekly-contest-507"), ("codechef", "START210"), ("atcoder", "abc462")],
)
def test_a_contest_that_moves_or_vanishes_does_so_in_the_listing(
    server: str, steer: Callable[..., None], code: str, key: str
) -> None:
    def start() -> datetime | None:
        return {contest.key: contest.starts_at for contest in platform(server, code).fetch().contests}.get(key)

    before = start()
    assert before is not None
    steer(platform=code, move={"key": key, "minutes": 10})
    assert start() == before + timedelta(minutes=10)
    steer(platform=code, drop=key)
    assert start() is None


NOT_JSON = "HOST answered with something that is not JSON: “{]not json”"
OUTAGE = "“Codeforces Codeforces is temporarily unavailable. Please, return in several minutes. Please try m1.…”"
FOR_ALL = {
    "http503": "HOST answered 503 Service Unavailable (3 attempts)",
    "http429": "HOST answered 429 Too Many Requests and asked to be left alone for 1 s",
    "html403": "HOST refused the request (403 Forbidden): a bot wall, “Just a moment...”",
    "html200": f"HOST answered with an HTML page: {OUTAGE}",
    "garbage": NOT_JSON,
    "truncated": "HOST broke off in the middle of its answer (3 attempts)",
    "huge": "HOST answered with more than 16 MiB",
    "drip": "HOST did not finish its answer within 0.4 s",
    "reset": "HOST closed the connection without an answer (3 attempts)",
}
PAGE = "AtCoder answered with something else than its whole page of contests"
FOR_ONE = {
    "codeforces": {
        "failed": "Codeforces refused with the comment “Call limit exceeded”",
        "errors": "Codeforces answered without a list of contests",
        "empty": "Codeforces listed no contest at all",
    },
    "leetcode": {
        "failed": 'LeetCode\'s answer is not one of GraphQL: “{"status":"FAILED","comment":"Call limit exceeded"}”',
        "errors": "LeetCode answered each query for contests with an error: “internal”",
        "empty": "LeetCode listed no contest at all",
    },
    "codechef": {
        "failed": "CodeChef did not answer with success: “{'comment': 'Call limit exceeded', 'status': 'FAILED'}”",
        "errors": "CodeChef did not answer with success: “{'data': None, 'errors': [{'message': 'internal'}]}”",
        "empty": "CodeChef listed no contest at all",
    },
    "atcoder": {
        "html200": f"AtCoder's page has no table of upcoming contests: {OUTAGE}",
        "garbage": f"{PAGE}: “{{]not json”",
        "failed": f'{PAGE}: “{{"status":"FAILED","comment":"Call limit exceeded"}}”',
        "errors": f'{PAGE}: “{{"errors":[{{"message":"internal"}}],"data":null}}”',
        "empty": "AtCoder listed no contest at all",
    },
}
SHORT = {"drip": 0.4, "http429": 0.9}
"""Deadlines, in seconds, for faults that would be waited for."""

FAULTS = [(code, fault, said) for code, own in FOR_ONE.items() for fault, said in (FOR_ALL | own).items()]


@pytest.mark.parametrize(("code", "fault", "said"), FAULTS)
def test_every_fault_is_an_error_that_says_what_happened(
    server: str, steer: Callable[..., None], code: str, fault: str, said: str
) -> None:
    steer(platform=code, fault=fault, times=-1)
    adapter = platform(server, code)
    adapter.deadline = SHORT.get(fault, 30)
    assert outcome(adapter) == said


PASSING = [(code, fault, 2) for code in PLATFORMS for fault in ("http503", "truncated", "reset")]


@pytest.mark.parametrize(("code", "fault", "times"), [*PASSING, ("codeforces", "http429", 1)])
def test_a_fault_that_passes_is_not_even_noticed(
    server: str, steer: Callable[..., None], code: str, fault: str, times: int
) -> None:
    steer(platform=code, fault=fault, times=times)
    assert isinstance(outcome(platform(server, code)), Listing)


def test_a_slow_answer_is_an_answer(server: str, steer: Callable[..., None]) -> None:
    steer(platform="codechef", fault="slow")
    assert isinstance(outcome(platform(server, "codechef")), Listing)


@pytest.mark.parametrize(
    ("code", "key"), [("codeforces", None), ("leetcode", None), ("codechef", "START210"), ("atcoder", "abc462")]
)
def test_a_poisoned_row_costs_nothing_but_itself(
    server: str, steer: Callable[..., None], code: str, key: str | None
) -> None:
    before = platform(server, code).fetch()
    steer(platform=code, fault="poison")
    listing = platform(server, code).fetch()
    assert listing.fetched == before.fetched
    assert len(listing.contests) == len(before.contests) - 1
    assert [row.key for row in listing.rejected] == [key]
    assert listing.names_every_row == (key is not None)


def test_a_passing_error_of_graphql_leaves_a_shorter_list_that_says_so() -> None:
    with serving() as today:
        http.request("POST", f"{today}/_control", json={"platform": "leetcode", "fault": "errors", "times": 1})
        shorter, whole = platform(today, "leetcode").fetch(), platform(today, "leetcode").fetch()
    assert (len(shorter.contests), shorter.complete) == (2, False)
    assert (len(whole.contests), whole.complete) == (699, True)
    assert shorter.listed_keys < whole.listed_keys
