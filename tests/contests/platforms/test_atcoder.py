"""AtCoder's page of contests, served for real in the real shape and in every wrong one."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pytest_httpserver import HTTPServer
from werkzeug import Request
from werkzeug import Response as Answer

from config import http
from contests.platforms.atcoder import AtCoder
from contests.platforms.base import ListedContest, Listing, PlatformError

CLOCK = "http://www.timeanddate.com/worldclock/fixedtime.html?iso=20260613T2100&p1=248"
KIND = """<span aria-hidden='true' data-toggle='tooltip' data-placement='top' title="Algorithm">Ⓐ</span>"""


def row(
    key: str = "abc462",
    name: str = "AtCoder Beginner Contest 462",
    start: str = "2026-06-13 21:00:00+0900",
    duration: str = "01:40",
    rated: str = " - 1999",
) -> str:
    return f"""
        <tr>
            <td class="text-center"><a href='{CLOCK}'><time class='fixtime fixtime-full'>{start}</time></a></td>
            <td >{KIND}<span class="user-blue">◉</span> <a href="/contests/{key}">{name}</a></td>
            <td class="text-center">{duration}</td>
            <td class="text-center">{rated}</td>
        </tr>"""


def table(name: str, *rows: str) -> str:
    head = "<thead><tr><th>Start Time</th><th>Contest Name</th><th>Duration</th><th>Rated Range</th></tr></thead>"
    return f"""<div id="contest-table-{name}"><h3>{name}</h3><div class="panel"><div class="table-responsive">
        <table class="table">{head}<tbody>{"".join(rows)}</tbody></table></div></div></div>"""


PERMANENT = """<div id="contest-table-permanent"><table><tbody><tr>
    <td><a href="/contests/practice">practice contest</a></td><td>-</td></tr></tbody></table></div>"""


def page(*tables: str) -> str:
    head = "<head><title>Present Contests - AtCoder</title></head>"
    return f"\n\n\n<!DOCTYPE html>\n<html>{head}<body>{PERMANENT}{''.join(tables)}</body>\n</html>\n\n"


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http, "BACKOFF", 0.005)
    monkeypatch.setenv("NO_PROXY", "*")


def answering(httpserver: HTTPServer, html: str) -> AtCoder:
    httpserver.expect_request("/contests/").respond_with_data(html, content_type="text/html; charset=utf-8")
    return AtCoder(httpserver.url_for(""))


def upcoming(httpserver: HTTPServer, *rows: str) -> Listing:
    return answering(httpserver, page(table("upcoming", *rows))).fetch()


def fail(atcoder: AtCoder) -> PlatformError:
    with pytest.raises(PlatformError) as caught:
        atcoder.fetch()
    return caught.value


def read(atcoder: AtCoder) -> Listing | PlatformError:
    try:
        return atcoder.fetch()
    except PlatformError as error:
        return error


def keys(listing: Listing) -> list[str]:
    return [contest.key for contest in listing.contests]


def test_a_contest_is_read(httpserver: HTTPServer) -> None:
    start, duration = datetime(2026, 6, 13, 12, tzinfo=UTC), timedelta(hours=1, minutes=40)
    url = "https://atcoder.jp/contests/abc462"
    contest = ListedContest(
        "abc462", "AtCoder Beginner Contest 462", url, start, start + duration, duration, is_rated=True
    )
    assert upcoming(httpserver, row()) == Listing(1, (contest,))


def test_the_english_page_is_asked_for(httpserver: HTTPServer) -> None:
    upcoming(httpserver, row())
    [(asked, _)] = httpserver.log
    assert dict(asked.args) == {"lang": "en"}


def test_every_table_with_times_is_read_and_the_permanent_one_is_not(httpserver: HTTPServer) -> None:
    tables = [table(name, row(f"{name}1")) for name in ("recent", "daily", "upcoming", "action")]
    listing = answering(httpserver, page(*tables)).fetch()
    assert (listing.fetched, keys(listing)) == (4, ["action1", "upcoming1", "daily1", "recent1"])
    assert listing.complete
    assert not listing.rejected


def test_an_empty_table_of_coming_contests_is_news_where_others_are_listed(httpserver: HTTPServer) -> None:
    listing = answering(httpserver, page(table("upcoming"), table("recent", row()))).fetch()
    assert (keys(listing), listing.complete) == (["abc462"], True)


@pytest.mark.parametrize(
    ("duration", "hours"), [("01:00", 1), ("00:30", 0.5), ("239:50", 239 + 5 / 6), ("240:00", 240), ("1000:00", 1000)]
)
def test_hours_have_no_bound(httpserver: HTTPServer, duration: str, hours: float) -> None:
    assert upcoming(httpserver, row(duration=duration)).contests[0].duration == timedelta(hours=hours)


@pytest.mark.parametrize(
    ("rated", "known"),
    [
        (" - 1999", True),
        ("2000 - ", True),
        ("1200 ~ 2799", True),
        (" ~ 1199", True),
        ("All", True),
        ("-", False),
        (" - ", False),
        ("", None),
        ("soon", None),
    ],
)
def test_a_range_of_ratings_is_rated_and_a_dash_is_not(httpserver: HTTPServer, rated: str, known: bool | None) -> None:
    assert upcoming(httpserver, row(rated=rated)).contests[0].is_rated is known


def test_the_name_is_the_text_of_the_link_alone(httpserver: HTTPServer) -> None:
    name = "第七回　Tokio &amp; Nichido&#39;s  <b>Contest</b>（ABC 459）"
    assert upcoming(httpserver, row(name=name)).contests[0].name == "第七回 Tokio & Nichido's Contest（ABC 459）"


@pytest.mark.parametrize(
    "link", ["/contests/abc462/", "https://atcoder.jp/contests/abc462", "/contests/abc462?lang=en"]
)
def test_the_key_is_the_last_part_of_the_link(httpserver: HTTPServer, link: str) -> None:
    assert keys(upcoming(httpserver, row().replace("/contests/abc462", link))) == ["abc462"]


def test_a_training_is_one_in_whatever_table_it_stands(httpserver: HTTPServer) -> None:
    tables = [
        table("action", row("awc0091"), row("typical90")),
        table("upcoming", row("adt_easy_20260401_1"), row("awtf2026")),
        table("daily", row("awc0091"), row("typical90")),
        table("recent", row("awc0090"), row("abc462")),
    ]
    listing = answering(httpserver, page(*tables)).fetch()
    trainings = {contest.key: contest.is_training for contest in listing.contests}
    assert trainings == {
        "awc0091": True,
        "typical90": True,
        "adt_easy_20260401_1": True,
        "awtf2026": False,
        "awc0090": True,
        "abc462": False,
    }
    assert (listing.fetched, listing.rejected) == (8, ())


@pytest.mark.parametrize(
    ("bad", "said"),
    [
        (row(start="soon2026-06-13 21:00:00+0900"), "the start is not a time: 'soon"),
        (row(start="2026-06-13 21:00:00"), "the start is not a time"),
        (row(start=""), "the start is not a time: ''"),
        (row(start="1999-06-13 21:00:00+0900"), "the start is not in this century"),
        (row(start="9999-12-31 23:59:59-0900"), "the start is not in this century"),
        (row(start="2026-02-30 21:00:00+0900"), "the start is not a time"),
        (row(duration="01:60"), "the duration is not in hours and minutes: '01:60'"),
        (row(duration="100 min"), "the duration is not in hours and minutes"),
        (row(duration="00:00"), "the duration makes no sense"),
        (row(duration="99999:00"), "the duration makes no sense"),
        (row(name=" "), "the name is empty"),
        (row(name="x" * 501), "the name is longer than 500 characters"),
        (row(name="a\x07b"), "the name has control characters"),
        (row().replace('<td class="text-center"> - 1999</td>', ""), "the row has 3 columns instead of 4"),
    ],
)
def test_a_bad_row_is_rejected_by_its_key_and_the_rest_goes_on(httpserver: HTTPServer, bad: str, said: str) -> None:
    listing = upcoming(httpserver, bad, row("arc222"))
    assert keys(listing) == ["arc222"]
    [rejected] = listing.rejected
    assert (rejected.key, rejected.reason[: len(said)]) == ("abc462", said)
    assert listing.names_every_row


@pytest.mark.parametrize(
    "bad",
    [
        row().replace("/contests/abc462", "/rankings"),
        row().replace("/contests/abc462", "http://["),
        row("a b"),
        row("../settings"),
        row("x" * 201),
        row("é"),
        "<tr><td>No contest.</td></tr>",
    ],
)
def test_a_row_without_a_readable_key_says_that_absence_cannot_be_judged(httpserver: HTTPServer, bad: str) -> None:
    listing = upcoming(httpserver, bad, row("arc222"))
    assert [rejected.key for rejected in listing.rejected] == [None]
    assert not listing.names_every_row


def test_of_two_rows_that_contradict_each_other_the_first_counts_and_the_second_is_shown(
    httpserver: HTTPServer,
) -> None:
    listing = upcoming(httpserver, row(), row(), row(duration="02:00"))
    assert [contest.duration for contest in listing.contests] == [timedelta(minutes=100)]
    assert [rejected.key for rejected in listing.rejected] == ["abc462"]


@pytest.mark.parametrize(
    ("html", "said"),
    [
        (page(), "AtCoder's page has no table of upcoming contests: “Present Contests - AtCoder practice contest -”"),
        (page(table("recent", row())), "AtCoder's page has no table of upcoming contests"),
        ("<html><title>Sign In - AtCoder</title></html>", "AtCoder's page has no table of upcoming contests: “Sign In"),
        (
            page(table("upcoming", row())).replace("</html>", ""),
            "AtCoder answered with something else than its whole page",
        ),
        (page(table("upcoming", row()))[:-300], "AtCoder answered with something else than its whole page"),
        ('{"status":"maintenance"}', "AtCoder answered with something else than its whole page"),
        ("", "AtCoder answered with something else than its whole page"),
        (page(table("upcoming")), "AtCoder listed no contest at all"),
        (
            page(table("upcoming", row(duration="?"))),
            "AtCoder listed no contest that could be read (the duration is not",
        ),
        (page(" " * 2**20, table("upcoming", row())), "AtCoder's page is too large"),
        (page(table("upcoming", "<tr><td>x</td></tr>" * 2001)), "AtCoder's page has too many rows"),
    ],
    ids=["none", "recent", "login", "no end", "cut", "json", "empty", "no row", "bad row", "large", "many rows"],
)
def test_a_page_that_is_not_the_one_is_an_error(httpserver: HTTPServer, html: str, said: str) -> None:
    assert str(fail(answering(httpserver, html))).startswith(said)


def test_the_home_page_with_its_two_columns_is_no_list_of_contests(httpserver: HTTPServer) -> None:
    two = '<tr><td><time class="fixtime-short">06/13</time></td><td><a href="/contests/abc462">ABC</a></td></tr>'
    error = fail(answering(httpserver, page(table("upcoming", two))))
    assert str(error) == "AtCoder listed no contest that could be read (the row has 2 columns instead of 4)"


def test_html_nested_without_end_is_read_in_time(httpserver: HTTPServer) -> None:
    assert keys(upcoming(httpserver, "<div>" * 10_000, row())) == ["abc462"]


PIECES = [
    "<tr>",
    "<td>",
    "</td>",
    "</tr>",
    "<table>",
    "<a href='/contests/x'>",
    "<time>",
    "<div id='contest-table-daily'>",
]
FIELDS = st.text(max_size=20) | st.sampled_from(["\0", "&#0;", "&#xd800;", "01:00", "2026-06-13 21:00:00+0900", "<!--"])


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(st.builds(row, FIELDS, FIELDS, FIELDS, FIELDS)).map(lambda rows: page(table("upcoming", *rows)).encode())
    | st.lists(st.sampled_from(PIECES) | FIELDS).map(lambda pieces: page(table("upcoming", *pieces)).encode())
    | st.binary(max_size=50)
    | st.binary(max_size=50).map(lambda start: start + page(table("upcoming", row())).encode()),
    st.sampled_from(["utf-8", "shift_jis", "utf-16", "utf-7", "nonsense"]),
)
def test_no_page_makes_it_raise_anything_but_its_own_error(httpserver: HTTPServer, body: bytes, charset: str) -> None:
    def respond(_: Request) -> Answer:
        return Answer(body, content_type=f"text/html; charset={charset}")

    httpserver.clear()
    httpserver.expect_request("/contests/").respond_with_handler(respond)
    outcome = read(AtCoder(httpserver.url_for("")))
    if isinstance(outcome, PlatformError):
        assert str(outcome).isprintable()
    else:
        assert all(contest.starts_at < contest.ends_at and contest.name.encode() for contest in outcome.contests)
        assert all(rejected.reason.isprintable() for rejected in outcome.rejected)
