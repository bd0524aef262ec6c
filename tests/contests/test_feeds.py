"""Feeds for readers and calendars, at noon of 22 November 2026 in UTC, a Sunday."""

from datetime import timedelta
from typing import Any

import pytest
import time_machine
from bs4 import BeautifulSoup
from django.test import Client

from config.demo.world import World
from contests.models import Contest
from contests.sync import sync
from contests.views.feeds import MOST_NEWS
from tests.contests.reading import Page, changed, events, starting
from tests.database import queries_of
from tests.times import DAY, HOUR, NOW

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("stopped_clock")]


def news(client: Client, path: str = "/feeds/all.atom") -> Any:
    response = client.get(path)
    assert (response.status_code, response["Content-Type"]) == (200, "application/atom+xml; charset=utf-8")
    return BeautifulSoup(response.content, "xml")


def titles(client: Client, path: str = "/feeds/all.atom") -> list[str]:
    return [title.get_text() for title in news(client, path).select("entry > title")]


def test_new_moved_and_cancelled_contests_are_news_the_newest_first(client: Client) -> None:
    contest = starting(DAY, name="Round <1>", first_seen_at=NOW - 9 * DAY)
    changed(contest, "starts_at", NOW, NOW + DAY, 3 * HOUR)
    changed(contest, "name", "Round", "Round <1>", 2 * HOUR)
    changed(contest, "cancelled_at", "", NOW - HOUR, HOUR)
    starting(DAY, name="Weekly", platform="leetcode", first_seen_at=NOW - 4 * HOUR)
    over = starting(-DAY, name="Was over when we came", first_seen_at=NOW - HOUR)
    changed(over, "starts_at", NOW - 2 * DAY, NOW - DAY, HOUR)
    client.cookies["time_zone"] = "Asia/Tokyo"
    assert titles(client) == ["Cancelled: Round <1>", "Moved: Round <1>", "New: Weekly", "New: Round <1>"]
    moved = news(client).select("entry")[1]
    assert moved.select_one("summary").get_text() == "Moved from Sun 22 Nov 2026, 12:00 to Mon 23 Nov 2026, 12:00."
    assert moved.select_one("updated").get_text() == "2026-11-22T09:00:00+00:00"
    assert moved.select_one("link")["href"].endswith(contest.get_absolute_url())


def test_an_announcement_tells_the_times_of_now_and_says_that_its_words_changed(client: Client) -> None:
    contest = starting(DAY, first_seen_at=NOW - 9 * DAY, changed_at=NOW - 9 * DAY)

    def announcement() -> tuple[str, str, str]:
        (entry,) = news(client).select("entry")
        return tuple(entry.select_one(name).get_text() for name in ("summary", "published", "updated"))

    announced = "2026-11-13T12:00:00+00:00"
    assert announcement() == ("Codeforces, Mon 23 Nov 2026, 12:00 UTC, 2 h.", announced, announced)
    Contest.objects.update(starts_at=contest.starts_at + HOUR, changed_at=NOW)
    moved = ("Codeforces, Mon 23 Nov 2026, 13:00 UTC, 2 h.", announced, "2026-11-22T12:00:00+00:00")
    assert announcement() == moved


def test_each_piece_of_news_keeps_its_identity_and_no_other_has_it(client: Client) -> None:
    contest = starting(DAY, first_seen_at=NOW - 9 * DAY)
    for hours in (3, 2, 1):
        changed(contest, "starts_at", NOW, NOW + DAY, hours * HOUR)
    before = [entry.get_text() for entry in news(client).select("entry > id")]
    assert len({*before}) == 4
    changed(contest, "cancelled_at", "", NOW, timedelta(0))
    Contest.objects.update(name="Another")
    assert [entry.get_text() for entry in news(client).select("entry > id")][1:] == before


def test_words_of_a_platform_are_no_html(client: Client) -> None:
    changed(starting(DAY, name="<b>1 & 2</b>"), "starts_at", "<script>", NOW, HOUR)
    moved = next(entry for entry in news(client).select("entry") if "Moved" in entry.get_text())
    assert moved.select_one("title").get_text() == "Moved: <b>1 & 2</b>"
    assert "title type" not in client.get("/feeds/all.atom").content.decode()
    assert moved.select_one("summary").get_text().startswith("Moved from &lt;script&gt; to")


def test_a_platforms_feed_tells_of_that_platform_and_of_what_was_chosen(client: Client) -> None:
    starting(DAY, name="Round")
    starting(DAY, name="Weekly", platform="leetcode")
    starting(DAY, name="Training", platform="leetcode", is_training=True)
    assert titles(client, "/feeds/leetcode.atom") == ["New: Weekly"]
    assert list(events(client, "/feeds/leetcode.ics")) == ["Weekly"]
    assert list(events(client, "/feeds/leetcode.ics?trainings=1&q=train")) == ["Training"]
    assert titles(client, "/feeds/all.atom?platform=codeforces") == ["New: Round"]
    assert news(client, "/feeds/leetcode.atom").select_one("feed > title").get_text() == "LeetCode contests"


@pytest.mark.parametrize("path", ["/feeds/nowhere.atom", "/feeds/nowhere.ics", "/feeds/%00.ics"])
def test_a_platform_that_does_not_exist_has_no_feed(client: Client, path: str) -> None:
    assert client.get(path).status_code == 404


@pytest.mark.parametrize("path", ["/feeds/codeforces.atom", "/feeds/codeforces.ics"])
def test_what_did_not_change_is_not_sent_again(client: Client, path: str) -> None:
    contest = starting(DAY, changed_at=NOW - DAY, first_seen_at=NOW - DAY)
    first = client.get(path)
    assert first["Last-Modified"] == "Sat, 21 Nov 2026 12:00:00 GMT"
    with time_machine.travel(NOW + HOUR, tick=False):
        again = client.get(path, headers={"If-None-Match": first["ETag"]})
        assert (again.status_code, again.content) == (304, b"")
        assert client.get(path, headers={"If-Modified-Since": first["Last-Modified"]}).status_code == 304
    changed(contest, "starts_at", NOW, NOW + DAY, HOUR)
    Contest.objects.update(sequence=1, changed_at=NOW)
    other = client.get(path, headers={"If-None-Match": first["ETag"]})
    assert other.status_code == 200
    assert other["ETag"] != first["ETag"]
    assert client.get(path, headers={"If-Modified-Since": first["Last-Modified"]}).status_code == 200


def test_the_calendar_has_what_is_over_and_what_is_cancelled_in_the_order_of_the_starts(client: Client) -> None:
    starting(DAY, name="To come")
    starting(-DAY, name="Over")
    starting(2 * DAY, name="Cancelled", cancelled_at=NOW, sequence=3)
    found = events(client)
    assert list(found) == ["Over", "To come", "Cancelled"]
    assert [str(event["status"]) for event in found.values()] == ["CONFIRMED", "CONFIRMED", "CANCELLED"]
    text = client.get("/feeds/all.ics").content.decode()
    assert "REFRESH-INTERVAL;VALUE=DURATION:PT1H\r\n" in text
    assert "X-PUBLISHED-TTL:PT1H\r\n" in text


def test_the_feeds_follow_what_the_platforms_do(client: Client, world: World) -> None:
    name = world.get("codeforces", "3190").name
    sync()
    before = events(client, "/feeds/codeforces.ics")[name]
    world.move("codeforces", "3190", HOUR)
    sync()
    moved = events(client, "/feeds/codeforces.ics")[name]
    assert (moved["uid"], int(moved["sequence"])) == (before["uid"], 1)
    assert moved.decoded("dtstart") == before.decoded("dtstart") + HOUR
    world.drop("codeforces", "3190")
    sync()
    sync()
    cancelled = events(client, "/feeds/codeforces.ics")[name]
    assert (str(cancelled["status"]), int(cancelled["sequence"])) == ("CANCELLED", 2)
    assert {f"Cancelled: {name}", f"Moved: {name}", f"New: {name}"} <= {*titles(client)}


def test_feeds_are_found_from_the_pages(client: Client) -> None:
    contest = starting(HOUR)
    for path in ("/", "/contests/month/2026-11/", contest.get_absolute_url()):
        links = {str(link["href"]): link["type"] for link in Page(client, path).soup.select("link[rel=alternate]")}
        assert links["/feeds/all.atom"] == links["/feeds/codeforces.atom"] == "application/atom+xml"
        assert links["/feeds/all.ics"] == links["/feeds/codeforces.ics"] == "text/calendar"
        assert all(client.get(link).status_code == 200 for link in links)


def test_the_choice_can_be_subscribed_to(client: Client) -> None:
    starting(HOUR, name="Weekly", platform="leetcode")
    starting(HOUR, name="Round")
    page = Page(client, "/?platform=leetcode&q=weekly")
    calendar_link, news_link = (str(link["href"]) for link in page.soup.select(".feeds a"))
    assert list(events(client, calendar_link)) == ["Weekly"]
    assert titles(client, news_link) == ["New: Weekly"]


def test_feeds_are_bounded_and_so_are_their_queries(client: Client) -> None:
    for number in range(MOST_NEWS + 5):
        changed(starting(DAY, name=str(number)), "starts_at", NOW, NOW + DAY, number * HOUR)
    for path, most in (("/feeds/all.atom", 3), ("/feeds/all.ics", 2)):
        assert queries_of(client.get, path) <= most
    assert len(titles(client)) == MOST_NEWS
