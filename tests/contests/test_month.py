"""The month of contests, at noon of 22 November 2026 in UTC, a Sunday."""

from datetime import UTC, datetime, timedelta

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from contests.models import Contest, Platform
from contests.views.month import MOST_CONTESTS
from tests.contests.reading import Page
from tests.factories import ContestFactory
from tests.pages import words
from tests.times import NOW

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("stopped_clock")]

NOVEMBER = "/contests/month/2026-11/"


def at(month: int, day: int, hour: int = 12, minute: int = 0, **fields: object) -> Contest:
    return ContestFactory(starts_at=datetime(2026, month, day, hour, minute, tzinfo=UTC), **fields)


def days(page: Page) -> dict[str, list[str]]:
    """What stands in each cell that is not empty, by its date."""
    cells = {str(cell.select_one("time")["datetime"]): cell for cell in page.soup.select(".day")}  # type: ignore[index]
    told = {day: [words(item) for item in cell.select("li")] for day, cell in cells.items()}
    return {day: items for day, items in told.items() if items}


def turning(page: Page) -> dict[str, str]:
    return {str(link["rel"][0]): str(link["href"]) for link in page.soup.select(".turning a[rel]")}


def test_weeks_begin_with_monday_and_are_whole(client: Client) -> None:
    page = Page(client, NOVEMBER)
    dates = [str(time["datetime"]) for time in page.soup.select(".day h3 time")]
    assert (dates[0], dates[-1], len(dates)) == ("2026-10-26", "2026-12-06", 42)
    assert page.texts(".weekdays span")[0] == "Mon"
    assert len(page.soup.select(".day.beside")) == 12
    (today,) = page.soup.select(".day#today[aria-current=date]")
    assert "Today, Sunday 22 November" in today.get_text()


def test_a_contest_stands_on_the_day_of_its_start_in_the_visitors_zone(client: Client) -> None:
    contest = at(11, 22, 16, name="Late one")
    assert days(Page(client, NOVEMBER)) == {"2026-11-22": ["16:00 Late one"]}
    client.cookies["time_zone"] = "Asia/Tokyo"
    page = Page(client, NOVEMBER)
    assert days(page) == {"2026-11-23": ["01:00 Late one"]}
    assert page.soup.select_one(".day li a")["href"] == contest.get_absolute_url()  # type: ignore[index]


def test_a_zone_decides_which_contests_its_month_has(client: Client) -> None:
    at(10, 25, 23, 30, name="First")
    at(12, 6, 23, 30, name="Last")
    assert days(Page(client, NOVEMBER)) == {"2026-12-06": ["23:30 Last"]}
    client.cookies["time_zone"] = "Asia/Tokyo"
    assert days(Page(client, NOVEMBER)) == {"2026-10-26": ["08:30 First"]}


def test_a_round_past_midnight_stands_on_one_day_and_a_long_contest_on_each_of_its_own(client: Client) -> None:
    at(11, 3, 23, name="Night")
    at(11, 29, 12, name="Long", duration=timedelta(days=2), platform="atcoder")
    at(10, 20, 12, name="Old", duration=timedelta(days=7), platform="atcoder")
    assert days(Page(client, NOVEMBER)) == {
        "2026-10-26": ["goes on: … Old"],
        "2026-10-27": ["goes on: … Old"],
        "2026-11-03": ["23:00 Night"],
        "2026-11-29": ["12:00 Long"],
        "2026-11-30": ["goes on: … Long"],
        "2026-12-01": ["goes on: … Long"],
    }


def test_a_contest_that_ends_at_midnight_is_not_on_the_next_day(client: Client) -> None:
    at(11, 3, 0, name="Whole day", duration=timedelta(days=1))
    assert list(days(Page(client, NOVEMBER))) == ["2026-11-03"]


@pytest.mark.parametrize("zone", ["America/Sao_Paulo", "Africa/Cairo", "Asia/Beirut", "America/Havana", "Asia/Gaza"])
def test_where_midnight_is_skipped_or_comes_twice_no_contest_is_lost(client: Client, zone: str) -> None:
    ContestFactory(starts_at=NOW + timedelta(days=1), name="Any")
    client.cookies["time_zone"] = zone
    for month in range(1, 13):
        year = 2026 if month >= 11 else 2027
        Page(client, f"/contests/month/{year}-{month:02}/")
    assert len(days(Page(client, NOVEMBER))) == 1


def test_a_cancelled_contest_is_crossed_out_and_says_so(client: Client) -> None:
    at(11, 25, name="Gone", cancelled_at=NOW)
    page = Page(client, NOVEMBER)
    assert days(page) == {"2026-11-25": ["12:00 Gone, cancelled"]}
    assert page.soup.select(".month .cancelled")


def test_the_choice_stays_when_a_page_is_turned(client: Client) -> None:
    at(11, 25, name="Weekly", platform="leetcode")
    at(11, 25, name="Round")
    at(11, 25, name="Long weekly", platform="leetcode", duration=timedelta(hours=6))
    query = "?platform=leetcode&trainings=1&unrated=0&longest=5&q=weekly"
    page = Page(client, NOVEMBER + query)
    assert days(page) == {"2026-11-25": ["12:00 Weekly"]}
    assert turning(page) == {
        "prev": f"/contests/month/2026-10/{query}",
        "next": f"/contests/month/2026-12/{query}",
    }
    assert page.chip("LeetCode")["href"] == f"{NOVEMBER}?trainings=1&unrated=0&longest=5&q=weekly"
    assert [str(link["href"]) for link in page.soup.select(".views a")] == [f"/{query}", NOVEMBER + query]
    assert f"/contests/month/2026-11/{query}" in [
        str(a["href"]) for a in Page(client, f"/{query}").soup.select(".views a")
    ]


def test_pages_end_where_nothing_can_be_known(client: Client) -> None:
    assert "prev" not in turning(Page(client, "/contests/month/2026-10/"))
    assert "next" not in turning(Page(client, "/contests/month/2027-11/"))
    for month in ("2026-09", "2027-12", "2000-01", "2099-12"):
        page = Page(client, f"/contests/month/{month}/", status=404)
        assert "Contests are kept for 30 days after their end" in page.text
        assert page.soup.select_one("main a.button")["href"] == NOVEMBER  # type: ignore[index]


@pytest.mark.parametrize("month", ["2026-13", "2026-00", "0000-01", "2026-1", "abcd-ef"])
def test_what_is_no_month_is_no_page(client: Client, month: str) -> None:
    assert client.get(f"/contests/month/{month}/").status_code == 404


def test_from_any_month_there_is_a_way_back_to_today(client: Client) -> None:
    page = Page(client, "/contests/month/2027-03/?q=round")
    assert f"{NOVEMBER}?q=round#today" in [str(link["href"]) for link in page.soup.select(".turning a")]


def test_a_platform_that_was_not_read_lately_is_told_here_too(client: Client) -> None:
    assert not Page(client, NOVEMBER).soup.select(".warning"), "nothing is out of date before the first sync"
    Platform.objects.update(last_success_at=NOW)
    Platform.objects.filter(code="leetcode").update(last_error_at=NOW + timedelta(hours=1), last_error="It is down.")
    said = Page(client, NOVEMBER).texts(".warning li")
    assert said == ["LeetCode could not be read since 22 November, 12:00: It is down."]
    assert not Page(client, f"{NOVEMBER}?platform=atcoder").soup.select(".warning")


def test_an_empty_month_says_so(client: Client) -> None:
    assert "Nothing that fits what you chose is known in December." in Page(client, "/contests/month/2026-12/").text


def test_the_number_of_queries_does_not_depend_on_the_number_of_contests(client: Client) -> None:
    Contest.objects.bulk_create(
        Contest(
            platform_id="codeforces",
            key=str(n),
            name=str(n),
            starts_at=NOW + timedelta(minutes=n),
            ends_at=NOW + timedelta(days=3),
            duration=timedelta(hours=1),
            last_seen_at=NOW,
        )
        for n in range(MOST_CONTESTS + 1)
    )
    with CaptureQueriesContext(connection) as captured:
        page = Page(client, NOVEMBER)
    assert len(captured) <= 2
    assert "Only the first 1000 contests are shown." in page.text
