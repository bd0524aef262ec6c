"""Codeforces' contest.list, answered by a real server in the real shape and in every wrong one."""

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
from contests.platforms import PLATFORMS
from contests.platforms.base import ListedContest, Listing, PlatformError
from contests.platforms.codeforces import Codeforces

PATH = "/api/contest.list"
ROUND = {
    "id": 2156,
    "name": "Codeforces Round (Div. 2)",
    "type": "CF",
    "phase": "BEFORE",
    "frozen": False,
    "durationSeconds": 7200,
    "startTimeSeconds": 1761489300,
    "relativeTimeSeconds": -1774097,
}
OTHER = ROUND | {"id": 2154, "startTimeSeconds": 1760884500}

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=8,
)
VALUE = JSON | st.integers(10**9, 2 * 10**9) | st.sampled_from([1e9, 10**18, -1, 0, True, "\0", "\ud800", "x" * 600])
ROWS = st.lists(st.fixed_dictionaries({}, optional=dict.fromkeys(ROUND, VALUE)) | JSON, max_size=4)


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http, "BACKOFF", 0.005)
    monkeypatch.setenv("NO_PROXY", "*")


def answering(httpserver: HTTPServer, *rows: Any) -> Codeforces:
    httpserver.expect_request(PATH).respond_with_json({"status": "OK", "result": list(rows)})
    return Codeforces(httpserver.url_for(""))


def fail(codeforces: Codeforces) -> PlatformError:
    with pytest.raises(PlatformError) as caught:
        codeforces.fetch()
    return caught.value


def read(codeforces: Codeforces) -> Listing | PlatformError:
    try:
        return codeforces.fetch()
    except PlatformError as error:
        return error


def reason(httpserver: HTTPServer, **changes: Any) -> str:
    """Why the row with these changes is rejected, next to a good one that is read."""
    listing = answering(httpserver, OTHER, ROUND | changes).fetch()
    assert [contest.key for contest in listing.contests] == ["2154"]
    [rejected] = listing.rejected
    assert rejected.key == ("2156" if "id" not in changes else None)
    return rejected.reason


def test_the_platform_is_registered_under_its_code() -> None:
    assert PLATFORMS["codeforces"] is Codeforces
    assert list(PLATFORMS) == ["codeforces", "leetcode", "codechef", "atcoder"]
    assert Codeforces().root == "https://codeforces.com"


def test_a_contest_is_read(httpserver: HTTPServer) -> None:
    start = datetime(2025, 10, 26, 14, 35, tzinfo=UTC)
    two_hours = timedelta(hours=2)
    url = "https://codeforces.com/contests/2156"
    contest = ListedContest(
        "2156", "Codeforces Round (Div. 2)", url, start, start + two_hours, two_hours, is_rated=True
    )
    assert answering(httpserver, ROUND).fetch() == Listing(1, (contest,))


@pytest.mark.parametrize(
    ("name", "known"),
    [
        ("Educational Codeforces Round 183 (Rated for Div. 2)", True),
        ("Codeforces Global Round 29 (Div. 1 + Div. 2)", True),
        ("CROC 2016 - Elimination Round  (Rated Unofficial Edition)", True),
        ("Codeforces Round 1010 (Div. 2, Unrated)", False),
        ("Bubble Cup 13 - Finals [Online Mirror, unrated, Div. 1]", False),
        ("VK Cup 2018 - Wild-card Round 1 (unofficial unrated mirror)", False),
        ("Bubble Cup 11 - Finals [Online Mirror, Div. 1]", None),
        ("Testing Round 19 (Div. 3)", None),
        ("Kotlin Heroes: Episode 36", None),
        ("The Overrated Cup", None),
    ],
)
def test_the_name_tells_whether_a_round_is_rated(httpserver: HTTPServer, name: str, known: bool | None) -> None:
    [contest] = answering(httpserver, ROUND | {"name": name}).fetch().contests
    assert contest.is_rated is known


def test_english_names_and_no_private_training_are_asked_for(httpserver: HTTPServer) -> None:
    answering(httpserver, ROUND).fetch()
    [(asked, _)] = httpserver.log
    assert dict(asked.args) == {"gym": "false", "lang": "en"}


def test_neither_the_phase_nor_the_order_of_the_fields_nor_unknown_fields_matter(httpserver: HTTPServer) -> None:
    zombie = dict(reversed(ROUND.items())) | {
        "phase": "PENDING_SYSTEM_TEST",
        "preparedBy": "x",
        "relativeTimeSeconds": 9,
    }
    assert answering(httpserver, zombie).fetch().contests == answering(httpserver, ROUND).fetch().contests


@pytest.mark.parametrize("absence", [{}, {"startTimeSeconds": None}])
def test_a_contest_without_a_start_is_unscheduled_and_not_missing(httpserver: HTTPServer, absence: Any) -> None:
    unscheduled = {name: value for name, value in ROUND.items() if name != "startTimeSeconds"} | absence
    listing = answering(httpserver, unscheduled, OTHER).fetch()
    assert (listing.fetched, listing.rejected) == (2, ())
    assert listing.unscheduled == {"2156"}
    assert listing.listed_keys == {"2154", "2156"}
    assert listing.names_every_row


def test_a_contest_that_has_a_start_in_any_row_is_scheduled(httpserver: HTTPServer) -> None:
    listing = answering(httpserver, ROUND | {"startTimeSeconds": None}, ROUND).fetch()
    assert [contest.key for contest in listing.contests] == ["2156"]
    assert not listing.unscheduled


@pytest.mark.parametrize("start", ["tomorrow", 1.5, True, -1, 0, 10**18, 10**40, 4102444800, 946684799, [], {}])
def test_a_start_that_makes_no_sense_rejects_its_row(httpserver: HTTPServer, start: Any) -> None:
    assert reason(httpserver, startTimeSeconds=start).startswith("the start is not ")


@pytest.mark.parametrize("duration", [None, "7200", 1.5, True, 0, -7200, 10**18, 10**40, 86400 * 3661])
def test_a_duration_that_makes_no_sense_rejects_its_row(httpserver: HTTPServer, duration: Any) -> None:
    assert reason(httpserver, durationSeconds=duration).startswith("the duration ")


@pytest.mark.parametrize("name", [None, 7, "", " \n", "a\0b", "a\x1bb", "a\x7fb", "a\ud800b", "x" * 501, ["a"]])
def test_a_name_that_makes_no_sense_rejects_its_row(httpserver: HTTPServer, name: Any) -> None:
    assert reason(httpserver, name=name).startswith("the name ")


@pytest.mark.parametrize("key", [None, "2156", 21.5, True, -5, 10**201, [2156]])
def test_a_row_without_a_readable_key_says_that_absence_cannot_be_judged(httpserver: HTTPServer, key: Any) -> None:
    assert reason(httpserver, id=key).startswith("the ")
    assert not answering(httpserver, OTHER, ROUND | {"id": key}).fetch().names_every_row


@pytest.mark.parametrize("row", [None, 1, "row", [ROUND], True])
def test_a_row_that_is_no_object_is_rejected(httpserver: HTTPServer, row: Any) -> None:
    listing = answering(httpserver, row, ROUND).fetch()
    assert [contest.key for contest in listing.contests] == ["2156"]
    assert "the row is not an object" in listing.rejected[0].reason


def test_a_name_is_put_on_one_line(httpserver: HTTPServer) -> None:
    listing = answering(httpserver, ROUND | {"name": "  Kotlin\n Heroes:\tПрактика  "}).fetch()
    assert listing.contests[0].name == "Kotlin Heroes: Практика"


def test_a_row_that_comes_twice_is_one_contest(httpserver: HTTPServer) -> None:
    listing = answering(httpserver, ROUND, OTHER, ROUND).fetch()
    assert (listing.fetched, len(listing.contests), listing.rejected) == (3, 2, ())


def test_of_two_rows_that_contradict_each_other_the_first_counts_and_the_second_is_shown(
    httpserver: HTTPServer,
) -> None:
    listing = answering(httpserver, ROUND, ROUND | {"durationSeconds": 60}).fetch()
    assert [contest.duration for contest in listing.contests] == [timedelta(hours=2)]
    assert [(row.key, row.reason) for row in listing.rejected] == [
        ("2156", "the contest is listed a second time with other data")
    ]


def test_an_answer_without_contests_is_an_error(httpserver: HTTPServer) -> None:
    error = fail(answering(httpserver))
    assert (str(error), error.retryable) == ("Codeforces listed no contest at all", True)


def test_an_answer_without_a_readable_contest_is_an_error_that_says_why(httpserver: HTTPServer) -> None:
    error = fail(answering(httpserver, ROUND | {"name": None}, None))
    assert str(error) == "Codeforces listed no contest that could be read (the name is not a text: None)"
    assert not error.retryable


@pytest.mark.parametrize(("status", "retryable"), [(200, True), (400, False), (503, True)])
def test_a_failed_envelope_speaks_for_itself_whatever_the_status(
    httpserver: HTTPServer, status: int, retryable: bool
) -> None:
    envelope = {"status": "FAILED", "comment": "Call limit exceeded"}
    httpserver.expect_request(PATH).respond_with_json(envelope, status=status)
    error = fail(Codeforces(httpserver.url_for("")))
    assert str(error) == "Codeforces refused with the comment “Call limit exceeded”"
    assert (error.retryable, len(httpserver.log)) == (retryable, 3 if status == 503 else 1)


def test_a_refusal_without_an_envelope_is_told_by_its_status(httpserver: HTTPServer) -> None:
    httpserver.expect_request(PATH).respond_with_data("Service Temporarily Unavailable", status=503)
    error = fail(Codeforces(httpserver.url_for("")))
    assert str(error) == f"{httpserver.host}:{httpserver.port} answered 503 Service Unavailable (3 attempts)"
    assert error.retryable


def test_an_outage_page_is_quoted(httpserver: HTTPServer) -> None:
    page = "<html><body><p>Codeforces is temporarily unavailable. Please, return in several minutes.</p></body></html>"
    httpserver.expect_request(PATH).respond_with_data(page, content_type="text/html")
    error = fail(Codeforces(httpserver.url_for("")))
    assert "answered with an HTML page: “Codeforces is temporarily unavailable. Please, return in" in str(error)


@pytest.mark.parametrize(
    "body", ["[]", "null", "1", '"OK"', "{}", '{"status":"OK"}', '{"status":"OK","result":{"a":1}}']
)
def test_an_answer_of_another_shape_is_an_error(httpserver: HTTPServer, body: str) -> None:
    httpserver.expect_request(PATH).respond_with_data(body)
    assert str(fail(Codeforces(httpserver.url_for("")))) == "Codeforces answered without a list of contests"


@settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    JSON.map(json.dumps)
    | ROWS.map(lambda rows: json.dumps({"status": "OK", "result": rows}))
    | JSON.map(lambda comment: json.dumps({"status": "FAILED", "comment": comment}))
    | st.binary(max_size=50)
)
def test_no_answer_makes_it_raise_anything_but_its_own_error(httpserver: HTTPServer, body: bytes | str) -> None:
    def respond(_: Request) -> Answer:
        return Answer(body)

    httpserver.clear()
    httpserver.expect_request(PATH).respond_with_handler(respond)
    outcome = read(Codeforces(httpserver.url_for("")))
    if isinstance(outcome, PlatformError):
        assert str(outcome).isprintable()
    else:
        assert all(contest.starts_at < contest.ends_at and contest.name.encode() for contest in outcome.contests)
        assert all(row.reason.isprintable() for row in outcome.rejected)
