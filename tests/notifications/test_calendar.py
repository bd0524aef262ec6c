"""The member's own calendar, at noon of 22 November 2026 in UTC. Alice and Charlie are members."""

from time import process_time
from typing import Any

import pytest
import time_machine
from django.contrib.auth.models import User
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from pytest_django import Settings

from contests.models import Contest
from notifications.models import CalendarFeed, ContestChoice, Preference
from tests.contests.reading import events, starting
from tests.factories import MemberFactory
from tests.pages import soup, text
from tests.times import DAY, HOUR, NOW

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("stopped_clock")]


def path(member: User) -> str:
    feed, _ = CalendarFeed.objects.get_or_create(user=member)
    return f"/calendar/{feed.token}.ics"


def events_of(member: User) -> dict[str, Any]:
    """What a calendar program without any cookie reads."""
    return events(Client(), path(member))


# --- The page ------------------------------------------------------------------------------------------------------


def test_the_page_is_for_members(client: Client) -> None:
    for address in ("/calendar/", "/calendar/renew/", "/calendar/end/"):
        assert client.post(address)["Location"].startswith("/accounts/login/")
    assert not CalendarFeed.objects.exists()


def test_the_address_is_made_when_it_is_asked_for_and_not_by_looking(
    client: Client, alice: User, settings: Settings
) -> None:
    settings.SITE_URL = "https://codenotify.example"
    assert "has no address yet" in text(client.get("/calendar/"))
    assert not CalendarFeed.objects.exists()
    for _ in range(2):  # a second click makes no other one
        page = client.post("/calendar/", follow=True)
    token = CalendarFeed.objects.get(user=alice).token
    assert len(token) == 43
    url = soup(page).select_one("#calendar-url")
    assert url
    assert url["value"] == f"https://codenotify.example/calendar/{token}.ics"
    assert soup(page).select(f'a[href="webcal://codenotify.example/calendar/{token}.ics"]')
    assert "no-store" in page["Cache-Control"]


def test_a_renewed_address_is_another_one_and_the_old_one_is_nothing_at_once(client: Client, alice: User) -> None:
    old = path(alice)
    assert "works no more" in text(client.post("/calendar/renew/", follow=True))
    assert Client().get(old).status_code == 404
    assert path(alice) != old
    assert Client().get(path(alice)).status_code == 200


def test_an_ended_calendar_is_nothing_and_renewing_makes_none(client: Client, alice: User) -> None:
    old = path(alice)
    client.post("/calendar/end/")
    client.post("/calendar/renew/")
    assert Client().get(old).status_code == 404
    assert not CalendarFeed.objects.exists()


def test_the_pages_let_browsers_say_from_where_a_form_is_sent(client: Client, alice: User) -> None:
    """Without that they say `null`, and the form is refused as one from elsewhere."""
    for address in ("/calendar/", "/calendar/forged.ics"):
        assert client.get(address)["Referrer-Policy"] == "same-origin"


@pytest.mark.parametrize("address", ["/calendar/renew/", "/calendar/end/"])
def test_a_link_changes_nothing(client: Client, alice: User, address: str) -> None:
    before = path(alice)
    assert client.get(address).status_code == 405
    assert path(alice) == before


def test_nobody_renews_or_ends_anothers(client: Client, alice: User) -> None:
    charlies = path(MemberFactory(username="charlie"))
    client.post("/calendar/renew/")
    client.post("/calendar/end/")
    assert Client().get(charlies).status_code == 200


# --- Who is let in -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("token", ["x", "A" * 43, "%00" * 43, "é" * 43, "A" * 5000, "..%2F..", "A" * 42 + "%0A", "%FF"])
def test_a_forged_or_odd_address_is_none_and_says_so(alice: User, token: str) -> None:
    path(alice)
    response = Client().get(f"/calendar/{token}.ics")
    assert response.status_code == 404
    if "%2F" not in token and token != "%FF":
        assert "There is no calendar at this address" in text(response)
        assert (response["Referrer-Policy"], response["X-Robots-Tag"]) == ("same-origin", "noindex")


def test_an_account_that_was_closed_has_no_calendar(alice: User) -> None:
    address = path(alice)
    User.objects.update(is_active=False)
    assert Client().get(address).status_code == 404


def test_signing_in_as_somebody_else_changes_nothing_of_what_is_read(alice: User) -> None:
    starting(DAY, name="Round", platform="codeforces")
    address = path(alice)
    charlie = MemberFactory(username="charlie", preference__platforms=[])
    signed_in = Client()
    signed_in.force_login(charlie)
    assert signed_in.get(address).content == Client().get(address).content


def test_nothing_is_set_and_nothing_kept_by_what_lies_between(alice: User) -> None:
    response = Client().get(path(alice))
    assert not response.cookies
    assert response["Cache-Control"] == "private, no-cache"
    assert (response["Referrer-Policy"], response["X-Robots-Tag"]) == ("no-referrer", "noindex")


def test_asking_for_the_head_answers_the_same_without_a_body(alice: User) -> None:
    whole, head = Client().get(path(alice)), Client().head(path(alice))
    assert (head.status_code, head["ETag"], head.content) == (200, whole["ETag"], b"")
    assert Client().post(path(alice)).status_code == 405


# --- What is in it -------------------------------------------------------------------------------------------------


def test_it_has_what_the_member_wants_and_nothing_else(alice: User) -> None:
    Preference.objects.filter(user=alice).update(platforms=["codeforces"], excluded_words=["div. 4"])
    starting(DAY, name="Wanted")
    starting(300 * DAY, name="Far away")
    starting(DAY, name="Elsewhere", platform="leetcode")
    starting(DAY, name="Training", is_training=True)
    starting(DAY, name="Round (Div. 4)")
    starting(DAY, name="For days", duration=9 * DAY)
    followed = starting(DAY, name="Followed", platform="atcoder")
    muted = starting(DAY, name="Muted")
    ContestChoice.objects.create(user=alice, contest=followed, wish="follow")
    ContestChoice.objects.create(user=alice, contest=muted, wish="mute")
    ContestChoice.objects.create(user=MemberFactory(username="charlie"), contest=muted, wish="follow")
    assert sorted(events_of(alice)) == ["Far away", "Followed", "Wanted"]


def test_pausing_reminders_leaves_the_calendar(alice: User) -> None:
    Preference.objects.update(paused=True, active=False)
    starting(DAY, name="Round")
    assert list(events_of(alice)) == ["Round"]


def test_it_reaches_thirty_days_back(alice: User) -> None:
    starting(-30 * DAY, name="Too old")
    starting(-30 * DAY + HOUR, name="Just not")
    assert list(events_of(alice)) == ["Just not"]


def test_a_contest_that_moves_and_is_cancelled_stays_the_same_entry(alice: User) -> None:
    contest = starting(DAY, name="Round", key="1", changed_at=NOW)
    before = events_of(alice)["Round"]
    Contest.objects.filter(pk=contest.pk).update(starts_at=NOW + 2 * DAY, ends_at=NOW + 2 * DAY + HOUR, sequence=1)
    moved = events_of(alice)["Round"]
    Contest.objects.filter(pk=contest.pk).update(cancelled_at=NOW, sequence=2)
    cancelled = events_of(alice)["Round"]
    assert {str(event["uid"]) for event in (before, moved, cancelled)} == {"codeforces-1@codenotify"}
    assert [int(event["sequence"]) for event in (before, moved, cancelled)] == [0, 1, 2]
    assert [str(event["status"]) for event in (before, moved, cancelled)] == ["CONFIRMED", "CONFIRMED", "CANCELLED"]
    assert moved.decoded("dtstart") == NOW + 2 * DAY


def test_it_says_its_name_and_how_often_to_come_and_sets_no_alarm(alice: User) -> None:
    starting(DAY)
    content = Client().get(path(alice)).content.decode()
    assert "X-WR-CALNAME:CodeNotify: my contests\r\n" in content
    assert "REFRESH-INTERVAL;VALUE=DURATION:PT1H\r\n" in content
    assert "X-PUBLISHED-TTL:PT1H\r\n" in content
    assert "VALARM" not in content


def test_a_calendar_without_contests_is_one_all_the_same(alice: User) -> None:
    assert events_of(alice) == {}


def test_what_did_not_change_is_not_sent_again(alice: User) -> None:
    contest = starting(DAY, changed_at=NOW)
    first = Client().get(path(alice))
    with time_machine.travel(NOW + HOUR, tick=False):
        again = Client().get(path(alice), headers={"If-None-Match": first["ETag"]})
        assert (again.status_code, again.content, again["Cache-Control"]) == (304, b"", "private, no-cache")
        assert again["Referrer-Policy"] == "no-referrer"
    ContestChoice.objects.create(user=alice, contest=contest, wish="mute")
    changed = Client().get(path(alice), headers={"If-None-Match": first["ETag"]})
    assert changed.status_code == 200
    assert changed["ETag"] != first["ETag"]


def test_two_thousand_contests_cost_two_queries_and_little_time(alice: User) -> None:
    shared = {"platform_id": "codeforces", "url": "https://example.org/", "duration": HOUR, "last_seen_at": NOW}
    Contest.objects.bulk_create(
        Contest(key=str(n), name=f"Round {n}", starts_at=NOW + n * HOUR, ends_at=NOW + (n + 1) * HOUR, **shared)
        for n in range(2_000)
    )
    address = path(alice)
    with CaptureQueriesContext(connection) as captured:
        first = Client().get(address)
    assert len(captured) == 2
    assert first.content.count(b"BEGIN:VEVENT") == 2_000
    began = process_time()
    assert Client().get(address).content == first.content
    assert process_time() - began < 1
