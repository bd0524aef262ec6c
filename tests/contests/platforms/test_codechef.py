"""CodeChef's list of contests, answered by a real server in the real shape and in every wrong one."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pytest_httpserver import HTTPServer
from werkzeug import Request
from werkzeug import Response as Answer

from config import http
from contests.platforms.base import ListedContest, Listing, PlatformError
from contests.platforms.codechef import CodeChef

PATH = "/api/list/contests/all"
STARTERS = {
    "contest_id": "1234",
    "contest_code": "START210",
    "contest_name": "Starters 210",
    "contest_start_date": "29 Oct 2025  20:00:00",
    "contest_end_date": "29 Oct 2025  22:00:00",
    "contest_start_date_iso": "2025-10-29T20:00:00+05:30",
    "contest_end_date_iso": "2025-10-29T22:00:00+05:30",
    "contest_duration": "120",
    "distinct_users": 0,
}
MUNCH = STARTERS | {
    "contest_code": "DSAMONDAY08",
    "contest_name": "Monday Munch - DSA Challenge 08",
    "contest_start_date_iso": "2025-10-20T18:00:31+05:30",
    "contest_end_date_iso": "2025-10-20T21:00:31+05:30",
    "contest_duration": "180",
}
PLACEMENT = STARTERS | {
    "contest_code": "PLACEPREP02",
    "contest_start_date_iso": "2026-08-08T00:00:00+05:30",
    "contest_end_date_iso": "2026-08-10T02:59:00+05:30",
    "contest_duration": "180",
}

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=8,
)
CODE = st.from_regex(r"(START[0-9]{1,3}[A-E]?|[A-Z]{1,5})", fullmatch=True)
MOMENT = st.datetimes(timezones=st.timezones() | st.none()).map(datetime.isoformat)
ROW = st.fixed_dictionaries(
    {
        "contest_code": CODE | JSON,
        "contest_name": st.text() | JSON,
        "contest_start_date_iso": MOMENT | JSON,
        "contest_end_date_iso": MOMENT | JSON,
        "contest_duration": st.integers().map(str) | JSON,
    }
)
ROWS = st.lists(ROW | JSON, max_size=3)


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http, "BACKOFF", 0.005)
    monkeypatch.setenv("NO_PROXY", "*")


def envelope(present: Any = (), future: Any = (), past: Any = (), **more: Any) -> dict[str, Any]:
    rows = {"present_contests": present, "future_contests": future, "past_contests": past, "practice_contests": []}
    return {"status": "success", "message": "All contests list", **rows, "skill_tests": [], "banners": [], **more}


def answering(httpserver: HTTPServer, answer: object) -> CodeChef:
    httpserver.expect_request(PATH).respond_with_json(answer)
    return CodeChef(httpserver.url_for(""))


def fail(codechef: CodeChef) -> PlatformError:
    with pytest.raises(PlatformError) as caught:
        codechef.fetch()
    return caught.value


def read(codechef: CodeChef) -> Listing | PlatformError:
    try:
        return codechef.fetch()
    except PlatformError as error:
        return error


def keys(listing: Listing) -> list[str]:
    return [contest.key for contest in listing.contests]


def test_a_contest_is_read(httpserver: HTTPServer) -> None:
    start, duration = datetime(2025, 10, 29, 14, 30, tzinfo=UTC), timedelta(hours=2)
    url = "https://www.codechef.com/START210"
    contest = ListedContest("START210", "Starters 210", url, start, start + duration, duration)
    assert answering(httpserver, envelope(future=[STARTERS])).fetch() == Listing(1, (contest,))


@pytest.mark.parametrize(
    ("name", "known"),
    [("Starters 209 (Rated till 5 star)", True), ("Starters 210 (Unrated)", False), ("Starters 210", None)],
)
def test_the_name_tells_whether_a_contest_is_rated(httpserver: HTTPServer, name: str, known: bool | None) -> None:
    [contest] = answering(httpserver, envelope(future=[STARTERS | {"contest_name": name}])).fetch().contests
    assert contest.is_rated is known


def test_all_contests_are_asked_for_by_their_start(httpserver: HTTPServer) -> None:
    answering(httpserver, envelope(future=[STARTERS])).fetch()
    [(asked, _)] = httpserver.log
    assert dict(asked.args) == {"sort_by": "START", "sorting_order": "asc", "offset": "0", "mode": "all"}


def test_running_coming_and_past_contests_are_read_and_tests_and_practice_are_not(httpserver: HTTPServer) -> None:
    ignored = STARTERS | {"contest_code": "IGNORED"}
    answer = envelope([PLACEMENT], [STARTERS], [MUNCH], skill_tests=[ignored], practice_contests=[ignored])
    listing = answering(httpserver, answer).fetch()
    assert (listing.fetched, keys(listing)) == (3, ["PLACEPREP02", "START210", "DSAMONDAY08"])
    assert listing.complete


def test_the_window_and_the_duration_are_both_kept(httpserver: HTTPServer) -> None:
    [contest] = answering(httpserver, envelope([PLACEMENT], [])).fetch().contests
    assert contest.ends_at - contest.starts_at == timedelta(days=2, hours=2, minutes=59)
    assert contest.duration == timedelta(hours=3)


def test_seconds_of_the_start_are_kept(httpserver: HTTPServer) -> None:
    [contest] = answering(httpserver, envelope([], [MUNCH])).fetch().contests
    assert contest.starts_at == datetime(2025, 10, 20, 12, 30, 31, tzinfo=UTC)


def test_the_dates_without_an_offset_are_not_read(httpserver: HTTPServer) -> None:
    odd = STARTERS | {"contest_start_date": "never", "contest_end_date": None}
    assert keys(answering(httpserver, envelope([], [odd])).fetch()) == ["START210"]


def test_a_contest_in_two_arrays_is_one_contest(httpserver: HTTPServer) -> None:
    listing = answering(httpserver, envelope([STARTERS], [STARTERS])).fetch()
    assert (listing.fetched, keys(listing), listing.rejected) == (2, ["START210"], ())


def division(letter: str, **changes: Any) -> dict[str, Any]:
    return (
        STARTERS | {"contest_code": f"START210{letter}", "contest_name": f"Starters 210 (Division {letter})"} | changes
    )


def test_divisions_are_folded_into_their_contest_wherever_it_stands(httpserver: HTTPServer) -> None:
    answer = envelope([division("A"), division("B")], [division("C"), division("D"), STARTERS, MUNCH])
    listing = answering(httpserver, answer).fetch()
    assert [(contest.key, contest.name) for contest in listing.contests] == [
        ("START210", "Starters 210"),
        ("DSAMONDAY08", "Monday Munch - DSA Challenge 08"),
    ]
    assert (listing.fetched, listing.rejected) == (6, ())


def test_divisions_without_their_contest_stand_for_it(httpserver: HTTPServer) -> None:
    listing = answering(httpserver, envelope([], [division("B"), division("A")])).fetch()
    [contest] = listing.contests
    assert (listing.fetched, listing.rejected) == (2, ())
    assert (contest.key, contest.name) == ("START210", "Starters 210 (Division B)")
    assert contest.url == "https://www.codechef.com/START210"


def test_a_bad_division_row_is_rejected_by_the_key_of_its_contest(httpserver: HTTPServer) -> None:
    listing = answering(httpserver, envelope([], [division("B", contest_duration="long"), MUNCH])).fetch()
    assert [row.key for row in listing.rejected] == ["START210"]
    assert listing.listed_keys == {"START210", "DSAMONDAY08"}


@pytest.mark.parametrize("code", ["START210E", "START210AB", "XSTART210A", "START", "STARTA", "start210A"])
def test_what_only_looks_like_a_division_is_a_contest_of_its_own(httpserver: HTTPServer, code: str) -> None:
    listing = answering(httpserver, envelope([], [STARTERS, STARTERS | {"contest_code": code}])).fetch()
    assert keys(listing) == ["START210", code]


def test_absence_means_nothing_where_no_coming_contest_is_listed(httpserver: HTTPServer) -> None:
    listing = answering(httpserver, envelope([PLACEMENT], [], [MUNCH])).fetch()
    assert (len(listing.contests), listing.complete) == (2, False)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"contest_name": None}, "the name is not a text"),
        ({"contest_start_date_iso": "when it is ready"}, "the start is not a time: 'when it is ready'"),
        ({"contest_start_date_iso": None}, "the start is not a time: None"),
        ({"contest_start_date_iso": 1761748200}, "the start is not a time: 1761748200"),
        ({"contest_start_date_iso": "2025-10-29T20:00:00"}, "the start names no offset from UTC"),
        ({"contest_start_date_iso": "0001-01-01T00:00:00+05:30"}, "the start is not in this century"),
        ({"contest_end_date_iso": "9999-12-31T23:59:59-05:30"}, "the end is not in this century"),
        ({"contest_end_date_iso": "2025-10-29T20:00:00+05:30"}, "the contest does not end after its start"),
        ({"contest_duration": "0"}, "the duration makes no sense"),
        ({"contest_duration": "-120"}, "the duration is not a whole number"),
        ({"contest_duration": "2 hours"}, "the duration is not a whole number"),
        ({"contest_duration": "9" * 50}, "the duration is not a whole number"),
        ({"contest_duration": True}, "the duration is not a whole number"),
        ({"contest_duration": None}, "the duration is not a whole number"),
    ],
)
def test_a_bad_row_is_rejected_by_its_key_and_the_rest_goes_on(
    httpserver: HTTPServer, changes: dict[str, object], said: str
) -> None:
    listing = answering(httpserver, envelope([], [STARTERS | changes, MUNCH])).fetch()
    assert keys(listing) == ["DSAMONDAY08"]
    [rejected] = listing.rejected
    assert (rejected.key, rejected.reason[: len(said)]) == ("START210", said)


def test_a_duration_as_a_number_would_do(httpserver: HTTPServer) -> None:
    [contest] = answering(httpserver, envelope([], [STARTERS | {"contest_duration": 120}])).fetch().contests
    assert contest.duration == timedelta(hours=2)


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (envelope(), "CodeChef listed no contest at all"),
        (
            envelope([], [], [{}]),
            "CodeChef listed no contest that could be read (the key cannot be part of a URL: None)",
        ),
        ({"status": "error", "message": "Unauthorized"}, "CodeChef did not answer with success: “Unauthorized”"),
        ({"status": "success"}, "CodeChef's answer lacks one of present_contests, future_contests, past_contests"),
        (envelope(past=None), "CodeChef's answer lacks one of present_contests, future_contests, past_contests"),
        (envelope(future={"a": 1}), "CodeChef's answer lacks one of"),
        ([], "CodeChef did not answer with success: “[]”"),
        ("success", "CodeChef did not answer with success: “success”"),
        (None, "CodeChef did not answer with success: “None”"),
    ],
)
def test_an_answer_of_another_shape_is_an_error(httpserver: HTTPServer, answer: object, said: str) -> None:
    assert str(fail(answering(httpserver, answer))).startswith(said)


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    JSON.map(json.dumps)
    | st.builds(envelope, ROWS | JSON, ROWS | JSON, ROWS | JSON).map(json.dumps)
    | st.builds(envelope, ROWS, ROWS, ROWS).map(json.dumps)
    | st.fixed_dictionaries({"status": JSON, "message": JSON}).map(json.dumps)
    | st.binary(max_size=50)
)
def test_no_answer_makes_it_raise_anything_but_its_own_error(httpserver: HTTPServer, body: bytes | str) -> None:
    def respond(_: Request) -> Answer:
        return Answer(body)

    httpserver.clear()
    httpserver.expect_request(PATH).respond_with_handler(respond)
    outcome = read(CodeChef(httpserver.url_for("")))
    if isinstance(outcome, PlatformError):
        assert str(outcome).isprintable()
    else:
        assert all(contest.starts_at < contest.ends_at and contest.name.encode() for contest in outcome.contests)
        assert all(row.reason.isprintable() for row in outcome.rejected)
