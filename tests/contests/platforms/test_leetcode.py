"""LeetCode's GraphQL, answered by a real server in the real shape and in every wrong one."""

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pytest_httpserver import HTTPServer
from werkzeug import Request
from werkzeug import Response as Answer

from config import http
from contests.platforms.base import ListedContest, Listing, PlatformError
from contests.platforms.leetcode import ROOTS, LeetCode

WEEKLY = {"title": "Weekly Contest 507", "titleSlug": "weekly-contest-507", "startTime": 1782009000, "duration": 5400}
BIWEEKLY = {
    "title": "Biweekly Contest 185",
    "titleSlug": "biweekly-contest-185",
    "startTime": 1781965800,
    "duration": 5400,
}
ORIGIN = 1781404200

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=8,
)
VALUE = JSON | st.integers(10**9, 2 * 10**9) | st.sampled_from([1e9, 10**18, "weekly", "\0", "\ud800", "x" * 600])
ROW = st.fixed_dictionaries({}, optional=dict.fromkeys([*WEEKLY, "originStartTime"], VALUE))


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http, "BACKOFF", 0.005)
    monkeypatch.setenv("NO_PROXY", "*")


def answering(httpserver: HTTPServer, answer: Callable[[str, str], Answer]) -> LeetCode:
    """LeetCode where `answer` gets the root field and the query that are asked for."""

    def respond(asked: Request) -> Answer:
        question = asked.get_json()
        root = question["operationName"]
        assert question == {"operationName": root, "variables": {}, "query": question["query"]}
        assert question["query"].startswith(f"query {root} {{ {root} {{ title titleSlug startTime duration")
        return answer(root, question["query"])

    httpserver.expect_request("/graphql", method="POST").respond_with_handler(respond)
    return LeetCode(httpserver.url_for(""))


def reply(answer: object, status: int = 200) -> Answer:
    return Answer(json.dumps(answer), status=status, content_type="application/json")


def unknown(root: str, status: int = 400) -> Answer:
    return reply({"errors": [{"message": f'Cannot query field "{root}" on type "Query".'}]}, status)


def listing_of(httpserver: HTTPServer, *rows: object) -> Listing:
    return answering(httpserver, lambda root, query: reply({"data": {root: rows}})).fetch()


def fail(leetcode: LeetCode) -> PlatformError:
    with pytest.raises(PlatformError) as caught:
        leetcode.fetch()
    return caught.value


def read(leetcode: LeetCode) -> Listing | PlatformError:
    try:
        return leetcode.fetch()
    except PlatformError as error:
        return error


def test_a_contest_is_read(httpserver: HTTPServer) -> None:
    start, duration = datetime(2026, 6, 21, 2, 30, tzinfo=UTC), timedelta(minutes=90)
    url = "https://leetcode.com/contest/weekly-contest-507/"
    contest = ListedContest("weekly-contest-507", "Weekly Contest 507", url, start, start + duration, duration)
    assert listing_of(httpserver, WEEKLY) == Listing(1, (contest,))
    assert len(httpserver.log) == 1


def test_we_look_like_a_browser_on_the_contest_page(httpserver: HTTPServer) -> None:
    listing_of(httpserver, WEEKLY)
    [(asked, _)] = httpserver.log
    assert asked.headers["Referer"] == "https://leetcode.com/contest/"
    assert asked.headers["Content-Type"] == "application/json"
    assert asked.headers["User-Agent"].startswith("Mozilla/5.0 (X11; Linux")


def test_the_start_before_any_virtual_session_counts(httpserver: HTTPServer) -> None:
    listing = listing_of(httpserver, WEEKLY | {"originStartTime": ORIGIN}, BIWEEKLY | {"originStartTime": None})
    starts = [contest.starts_at.timestamp() for contest in listing.contests]
    assert starts == [ORIGIN, BIWEEKLY["startTime"]]


def test_a_schema_without_the_original_start_is_asked_again_without_it(httpserver: HTTPServer) -> None:
    def answer(root: str, query: str) -> Answer:
        if "originStartTime" in query:
            message = 'Cannot query field "originStartTime" on type "ContestNode".'
            return reply({"errors": [{"message": message}]}, 400)
        return reply({"data": {root: [WEEKLY]}})

    listing = answering(httpserver, answer).fetch()
    assert (len(listing.contests), listing.complete, len(httpserver.log)) == (1, True, 2)


REFUSALS = {
    "unknown field, 400": unknown,
    "unknown field, 200": lambda root: unknown(root, 200),
    "null root": lambda root: reply({"data": {root: None}}),
    "null data": lambda root: reply({"data": None}),
    "null data with errors": lambda root: reply({"errors": [{"message": "internal"}], "data": None}),
    "no root": lambda root: reply({"data": {}}),
}


@pytest.mark.parametrize("refuse", REFUSALS.values(), ids=REFUSALS.keys())
@pytest.mark.parametrize("last", ROOTS[1:])
def test_a_root_field_that_is_gone_is_replaced_by_the_next(
    httpserver: HTTPServer, refuse: Callable[[str], Answer], last: str
) -> None:
    asked: list[str] = []

    def answer(root: str, query: str) -> Answer:
        asked.append(root)
        return reply({"data": {root: [BIWEEKLY]}}) if root == last else refuse(root)

    listing = answering(httpserver, answer).fetch()
    assert asked == list(ROOTS[: ROOTS.index(last) + 1])
    assert (len(listing.contests), listing.complete) == (1, False)


def test_where_every_root_field_is_gone_the_first_message_is_told(httpserver: HTTPServer) -> None:
    error = fail(answering(httpserver, lambda root, query: unknown(root)))
    assert str(error) == (
        'LeetCode answered each query for contests with an error: “Cannot query field "allContests" on type "Query".”'
    )
    assert (error.retryable, len(httpserver.log)) == (False, 4)


def test_the_message_that_is_not_about_a_field_is_the_one_to_tell(httpserver: HTTPServer) -> None:
    def answer(root: str, query: str) -> Answer:
        return reply({"errors": [{"message": "internal"}], "data": None}) if root == ROOTS[2] else unknown(root)

    error = fail(answering(httpserver, answer))
    assert str(error) == "LeetCode answered each query for contests with an error: “internal”"
    assert error.retryable


@pytest.mark.parametrize(
    ("status", "body", "said"),
    [
        (
            403,
            "<html><title>Just a moment...</title>",
            "refused the request (403 Forbidden): a bot wall, “Just a moment",
        ),
        (403, "<p>CSRF verification failed.</p>", "refused the request (403 Forbidden): “CSRF verification failed.”"),
        (404, "", "answered 404 Not Found"),
        (400, "<html><title>Bad request</title>", "answered 400 Bad Request with an HTML page: “Bad request”"),
        (400, '{"detail": "no"}', 'LeetCode\'s answer is not one of GraphQL: “{"detail": "no"}”'),
        (200, "<html><title>Sign in</title>", "answered with an HTML page: “Sign in”"),
        (200, "[]", "LeetCode's answer is not one of GraphQL: “[]”"),
        (200, '{"data":{"allContests":{}}}', "LeetCode's allContests is not a list of contests"),
        (200, '{"data":[]}', 'LeetCode\'s answer is not one of GraphQL: “{"data":[]}”'),
    ],
)
def test_an_answer_that_is_not_about_the_field_ends_it_at_once(
    httpserver: HTTPServer, status: int, body: str, said: str
) -> None:
    assert said in str(fail(answering(httpserver, lambda root, query: Answer(body, status=status))))
    assert len(httpserver.log) == 1


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"title": None}, "the name is not a text"),
        ({"title": " "}, "the name is empty"),
        ({"startTime": None}, "the start is not a whole number"),
        ({"startTime": True}, "the start is not a whole number"),
        ({"startTime": 1782009000000}, "the start is not in this century"),
        ({"originStartTime": "soon"}, "the start is not a whole number"),
        ({"duration": 0}, "the duration makes no sense"),
        ({"duration": "5400"}, "the duration is not a whole number"),
    ],
)
def test_a_bad_row_is_rejected_by_its_key_and_the_rest_goes_on(
    httpserver: HTTPServer, changes: dict[str, object], said: str
) -> None:
    listing = listing_of(httpserver, WEEKLY | changes, BIWEEKLY)
    assert [contest.key for contest in listing.contests] == ["biweekly-contest-185"]
    [rejected] = listing.rejected
    assert (rejected.key, rejected.reason[: len(said)]) == ("weekly-contest-507", said)
    assert listing.names_every_row


@pytest.mark.parametrize("slug", [None, "", 7, "a b", "a/b", "..", "é", "x" * 201, "a\0", "a\n"])
def test_a_key_that_cannot_stand_in_an_address_is_none(httpserver: HTTPServer, slug: object) -> None:
    listing = listing_of(httpserver, WEEKLY | {"titleSlug": slug}, BIWEEKLY)
    assert [row.key for row in listing.rejected] == [None]
    assert not listing.names_every_row


def test_an_empty_list_is_an_error(httpserver: HTTPServer) -> None:
    error = fail(answering(httpserver, lambda root, query: reply({"data": {root: []}})))
    assert str(error) == "LeetCode listed no contest at all"


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    JSON.map(json.dumps)
    | st.fixed_dictionaries({}, optional={"data": JSON, "errors": JSON}).map(json.dumps)
    | st.lists(ROW | JSON, max_size=4).map(lambda rows: json.dumps({"data": {"allContests": rows}}))
    | st.lists(st.fixed_dictionaries({"message": JSON}) | JSON, max_size=3).map(lambda e: json.dumps({"errors": e}))
    | st.binary(max_size=50),
    st.sampled_from([200, 400]),
)
def test_no_answer_makes_it_raise_anything_but_its_own_error(
    httpserver: HTTPServer, body: bytes | str, status: int
) -> None:
    httpserver.clear()
    outcome = read(answering(httpserver, lambda root, query: Answer(body, status=status)))
    if isinstance(outcome, PlatformError):
        assert str(outcome).isprintable()
    else:
        assert all(contest.starts_at < contest.ends_at and contest.name.encode() for contest in outcome.contests)
        assert all(row.reason.isprintable() for row in outcome.rejected)
