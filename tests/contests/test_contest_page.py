"""The page of one contest and its file for calendars, at noon of 22 November 2026 in UTC, a Sunday."""

from datetime import timedelta
from typing import Any
from urllib.parse import quote

import pytest
import time_machine
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from icalendar import Calendar

from contests.history import in_words
from contests.models import Contest, ContestChange
from contests.sync import WRITTEN
from tests.contests.reading import Page, changed, starting
from tests.factories import MemberFactory
from tests.times import HOUR, NOW

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("stopped_clock")]


def fact(page: Page, name: str) -> str:
    (found,) = (text for text in page.texts(".facts div") if text.startswith(name))
    return found.removeprefix(name).strip()


def file(client: Client, contest: Contest) -> Any:
    response = client.get(f"{contest.get_absolute_url()}contest.ics")
    assert (response.status_code, response["Content-Type"]) == (200, "text/calendar; charset=utf-8")
    (event,) = Calendar.from_ical(response.content).walk("VEVENT")
    return event


def test_it_says_what_when_and_how_long_in_the_visitors_zone_and_in_utc(client: Client) -> None:
    contest = starting(HOUR * 3, name="Round <1>", is_rated=True)
    client.cookies["time_zone"] = "Asia/Tokyo"
    page = Page(client, f"/contests/codeforces/{contest.key}/")
    assert page.texts("h1") == ["Round <1>"]
    assert page.texts(".countdown") == ["Starts in 3 h"]
    assert fact(page, "Start") == "Monday 23 November 2026, 00:00 Sun 22 Nov, 15:00 UTC"
    assert fact(page, "End") == "Monday 23 November 2026, 02:00 Sun 22 Nov, 17:00 UTC"
    assert (fact(page, "Duration"), fact(page, "Rated")) == ("2 h", "Yes")
    assert "rated" in page.texts(".badge")
    (link,) = (link for link in page.soup.select("main a") if link.get_text() == "Open on Codeforces")
    assert link["href"] == contest.url


@pytest.mark.parametrize(("is_rated", "said"), [(False, "No"), (None, "Codeforces does not say")])
def test_unrated_and_unknown_are_told_apart(client: Client, is_rated: bool | None, said: str) -> None:
    page = Page(client, starting(HOUR, is_rated=is_rated).get_absolute_url())
    assert fact(page, "Rated") == said
    assert ("unrated" in page.texts(".badge")) == (is_rated is False)


def test_a_window_says_when_it_opens_and_closes(client: Client) -> None:
    contest = starting(HOUR, duration=HOUR * 3, ends_at=NOW + timedelta(days=2))
    page = Page(client, contest.get_absolute_url())
    assert fact(page, "Opens") == "Sunday 22 November 2026, 13:00"
    assert fact(page, "Closes") == "Tuesday 24 November 2026, 12:00"
    assert fact(page, "Duration") == "3 h, whenever you start within this time"


def test_the_clock_decides_whether_it_is_to_come_runs_or_is_over(client: Client) -> None:
    contest = starting(HOUR)
    said = []
    for hours in (0, 2, 4):
        with time_machine.travel(NOW + HOUR * hours, tick=False):
            said += Page(client, contest.get_absolute_url()).texts(".countdown")
    assert said == ["Starts in 1 h", "Running, 1 h left", "It is over."]


def test_what_became_of_it_is_told_in_words_the_newest_first(client: Client) -> None:
    contest = starting(HOUR, first_seen_at=NOW - timedelta(days=9))
    changed(contest, "starts_at", NOW - timedelta(days=1), NOW, HOUR)
    changed(contest, "name", "Round (Div. 1)", "Round 1 (Div. 1)", HOUR * 2)
    changed(contest, "duration", HOUR * 2, HOUR * 2.5, HOUR * 3)
    changed(contest, "cancelled_at", (NOW - HOUR).isoformat(), "", HOUR * 4)
    changed(contest, "cancelled_at", "", (NOW - HOUR).isoformat(), HOUR * 5)
    changed(contest, "is_rated", "", "True", HOUR * 6)
    changed(contest, "ends_at", "when it is ready", NOW, HOUR * 7)
    changed(contest, "colour", "red", "blue", HOUR * 8)
    client.cookies["time_zone"] = "Asia/Tokyo"
    page = Page(client, contest.get_absolute_url())
    assert page.texts(".history li span") == [
        "Moved from Sat 21 Nov 2026, 21:00 to Sun 22 Nov 2026, 21:00",
        "Renamed from “Round (Div. 1)” to “Round 1 (Div. 1)”",
        "Lasts 2 h 30 min instead of 2 h",
        "Takes place after all",
        "Cancelled: its platform lists it no more",
        "Is rated",
        "The end moved from when it is ready to Sun 22 Nov 2026, 21:00",
        "colour changed from red to blue",
        "First seen on Codeforces",
    ]
    assert page.texts(".history time")[-1] == "Fri 13 Nov 2026, 21:00"


@pytest.mark.parametrize("field", [*WRITTEN, "cancelled_at"])
def test_every_field_that_a_sync_can_change_has_words_of_its_own(field: str) -> None:
    for old, new in (("", "True"), ("True", "False"), ("False", "True")):
        assert " changed from " not in in_words(ContestChange(field=field, old=old, new=new))


def test_a_cancelled_contest_says_so_and_counts_nothing_down(client: Client) -> None:
    contest = starting(HOUR, cancelled_at=NOW - HOUR)
    page = Page(client, contest.get_absolute_url())
    assert "Cancelled. Codeforces lists it no more, as of Sunday 22 November 2026, 11:00." in page.text
    assert not page.soup.select("[data-until]")
    assert "Google" not in page.text
    assert "Cancel it in your calendar" in page.text
    assert "calendar" not in Page(client).row(contest)


def test_the_file_is_the_newest_version_of_one_entry_for_ever(client: Client) -> None:
    contest = starting(HOUR, name="Round, 1", changed_at=NOW - HOUR)
    before = file(client, contest)
    assert (before["summary"], before.decoded("dtstart"), before["url"]) == ("Round, 1", NOW + HOUR, contest.url)
    assert f"/contests/codeforces/{contest.key}/" in before["description"]
    Contest.objects.update(cancelled_at=NOW, sequence=4, changed_at=NOW)
    after = file(client, contest)
    assert before["uid"] == after["uid"] == f"codeforces-{contest.key}@codenotify"
    assert (before["status"], int(before["sequence"])) == ("CONFIRMED", 0)
    assert (after["status"], int(after["sequence"])) == ("CANCELLED", 4)
    assert before.decoded("dtstamp") < after.decoded("dtstamp")


def test_the_file_is_named_after_the_contest(client: Client) -> None:
    contest = starting(HOUR, key="adt/1")
    response = client.get(f"{contest.get_absolute_url()}contest.ics")
    assert response["Content-Disposition"] == 'attachment; filename="codeforces-adt-1.ics"'


@pytest.mark.parametrize("key", ["a/b", "a/", "contest.ics", "x/contest.ics", "é ü", "50%", "a?b=c", "a#b", "a;b+c&d"])
def test_whatever_its_key_is_its_address_leads_to_it(client: Client, key: str) -> None:
    contest = starting(HOUR, key=key)
    starting(HOUR, key="b")
    page = Page(client)
    addresses = [str(link["href"]) for link in page.soup.select(".contest h3 a")]
    assert contest.get_absolute_url() in addresses
    assert Page(client, contest.get_absolute_url()).texts("h1") == [contest.name]
    assert file(client, contest)["summary"] == contest.name


@pytest.mark.parametrize("path", ["codeforces/0", "codeforces/%00", "codeforces/" + quote("’; --"), "codeforces/a/b/c"])
def test_an_unknown_contest_is_told_with_a_way_on(client: Client, path: str) -> None:
    for address in (f"/contests/{path}/", f"/contests/{path}/contest.ics"):
        page = Page(client, address, status=404)
        assert "Codeforces lists no contest of this name, as far as is known here" in page.text
        assert page.soup.select_one("main a.button")["href"] == "/?platform=codeforces"  # type: ignore[index]


def test_who_takes_the_end_off_an_address_gets_to_what_it_was_part_of(client: Client) -> None:
    for address, goal in (
        ("/contests/", "/"),
        ("/contests/codeforces/", "/?platform=codeforces"),
        ("/contests/month/", "/contests/month/2026-11/"),
        ("/contests/?q=div", "/?q=div"),
        ("/contests/codeforces/?q=div&platform=atcoder", "/?platform=codeforces&q=div"),
        ("/contests/month/?platform=codeforces&x=1", "/contests/month/2026-11/?platform=codeforces"),
    ):
        response = client.get(address)
        assert (response.status_code, response["Location"]) == (302, goal)
    assert "no platform of this name is known here" in Page(client, "/contests/nowhere/", status=404).text


@pytest.mark.parametrize("code", ["nowhere", "%00", "month"])
def test_an_unknown_platform_is_told_with_a_way_on(client: Client, code: str) -> None:
    page = Page(client, f"/contests/{code}/1/", status=404)
    assert "no platform of this name is known here" in page.text


def test_the_number_of_queries_does_not_depend_on_the_length_of_its_history(client: Client) -> None:
    contest = starting(HOUR)
    for number in range(60):
        changed(contest, "name", number, number + 1)
    with CaptureQueriesContext(connection) as captured:
        page = Page(client, contest.get_absolute_url())
    assert len(captured) <= 2
    assert len(page.texts(".history li")) == 51


def test_a_visitor_is_asked_to_sign_up_and_a_member_is_not(client: Client) -> None:
    contest = starting(HOUR)
    assert "Sign up and be reminded" in Page(client, contest.get_absolute_url()).text
    client.force_login(MemberFactory())
    assert "Sign up" not in Page(client, contest.get_absolute_url()).text
