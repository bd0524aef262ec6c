"""What members were told, at noon of 22 November 2026 in UTC. Alice is a member, Charlie is another one."""

from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
import time_machine
from bs4 import BeautifulSoup
from django.contrib.auth.models import User
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from contests.models import Contest
from notifications.inbox import MOST_LOOKED_AT, count_unread
from notifications.models import Channel, Notification
from notifications.views.inbox import ON_A_PAGE
from tests.database import queries_of
from tests.factories import ContestFactory, MemberFactory, NotificationFactory
from tests.pages import read, words
from tests.times import DAY, HOUR, MINUTE, NOW
from tests.whatsapp import Graph, sign

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("stopped_clock")]


@pytest.fixture
def phone(alice: User) -> Channel:
    return Channel.objects.create(user=alice, kind="whatsapp", address="+4915100000000", verified_at=NOW)


def told(channel: Channel, ago: timedelta = MINUTE, **fields: Any) -> Notification:
    fields = {
        "status": "sent",
        "sent_at": NOW - ago,
        "contest": fields.pop("contest", None) or ContestFactory(),
    } | fields
    return NotificationFactory(channel=channel, **fields)


def page(client: Client, query: str = "") -> BeautifulSoup:
    return read(client, f"/inbox/{query}")


def titles(client: Client, query: str = "") -> list[str]:
    return [words(title) for title in page(client, query).select(".thing h3")]


def badge(client: Client) -> str:
    return words(read(client, "/preferences/").select_one('a[href="/inbox/"]'))


# --- What is there -------------------------------------------------------------------------------------------------


def test_the_inbox_is_for_members(client: Client, mail: Channel) -> None:
    one = told(mail)
    client.logout()
    assert client.get("/inbox/")["Location"] == "/accounts/login/?next=/inbox/"
    for path in ("/inbox/read/", f"/inbox/{one.pk}/read/", f"/inbox/{one.pk}/open/"):
        assert client.post(path)["Location"].startswith("/accounts/login/")
    assert Notification.objects.get().read_at is None


def test_a_thing_is_there_once_however_many_channels_and_leads_told_it(
    client: Client, mail: Channel, phone: Channel
) -> None:
    contest = ContestFactory(name="Round", starts_at=NOW + HOUR)
    for channel in (mail, phone):
        for lead in (60, 1440):
            told(channel, contest=contest, lead_minutes=lead)
    assert titles(client) == ["Unread: Round starts Sun 22 Nov, 13:00"]
    assert "told 24 h and 1 h before by mail and whatsapp" in words(page(client).select_one(".thing .meta")).lower()


def test_what_is_newest_comes_first_in_the_members_own_zone(client: Client, alice: User, mail: Channel) -> None:
    type(alice.preference).objects.update(time_zone="Asia/Tokyo")
    told(mail, 2 * HOUR, contest=ContestFactory(name="First", starts_at=NOW - HOUR))
    told(mail, HOUR, contest=ContestFactory(name="Second", starts_at=NOW + HOUR))
    told(mail, 24 * HOUR, contest=ContestFactory(name="Yesterday's", starts_at=NOW - 23 * HOUR))
    assert titles(client) == [
        "Unread: Second starts Sun 22 Nov, 22:00",
        "Unread: First started Sun 22 Nov, 20:00",
        "Unread: Yesterday's started Sat 21 Nov, 22:00",
    ]
    assert [words(day) for day in page(client).select("h2")] == ["Sunday 22 November 2026", "Saturday 21 November 2026"]


def test_every_kind_is_said_in_words(client: Client, mail: Channel) -> None:
    contest = ContestFactory(name="Round", starts_at=NOW + DAY)
    told(mail, 1 * MINUTE, contest=contest, kind="moved", was_at=NOW + HOUR, lead_minutes=0)
    told(mail, 2 * MINUTE, contest=contest, kind="cancelled", lead_minutes=0)
    told(mail, 3 * MINUTE, kind="digest", starts_at=NOW, expires_at=NOW, lead_minutes=0, contest_name="")
    told(mail, 4 * MINUTE, kind="channel-off", detail="+49151: it is gone.", lead_minutes=0, contest_name="")
    Notification.objects.filter(kind__in=["digest", "channel-off"]).update(contest=None)
    assert titles(client) == [
        "Unread: Round moved from Sun 22 Nov, 13:00 to Mon 23 Nov, 12:00",
        "Unread: Round is cancelled; it was to start Mon 23 Nov, 12:00",
        "Unread: Contests ahead, from Sun 22 Nov, 12:00",
        "Unread: A channel of yours works no more",
    ]
    assert "+49151: it is gone." in words(page(client).select(".thing")[3])


def test_what_was_not_sent_and_tests_are_no_news(client: Client, mail: Channel) -> None:
    for status in ("pending", "sending", "failed", "expired", "skipped"):
        told(mail, status=status)
    told(mail, kind="test")
    assert titles(client) == []
    assert badge(client) == "Inbox"


def test_nobody_sees_what_another_was_told(client: Client, alice: User) -> None:
    told(MemberFactory(username="charlie").channels.get())
    assert "Nothing was told to you yet" in words(page(client).main)
    assert badge(client) == "Inbox"


def test_a_contest_that_is_no_longer_known_keeps_its_name(client: Client, mail: Channel, phone: Channel) -> None:
    for name in ("One", "Two"):
        contest = ContestFactory(name=name, starts_at=NOW - 40 * DAY)
        for channel in (mail, phone):
            told(channel, 41 * DAY, contest=contest)
    Contest.objects.all().delete()
    assert sorted(titles(client)) == ["Unread: One started Tue 13 Oct, 12:00", "Unread: Two started Tue 13 Oct, 12:00"]
    assert not page(client).select(".thing .title"), "there is nothing to open"
    client.post(f"/inbox/{Notification.objects.filter(contest_name='One').first().pk}/read/")  # type: ignore[union-attr]
    assert {title.partition(":")[0] for title in titles(client)} == {"Unread", "One started Tue 13 Oct, 12"}


# --- Reading -------------------------------------------------------------------------------------------------------


def test_marking_one_read_marks_it_on_every_channel_and_nothing_else(
    client: Client, mail: Channel, phone: Channel
) -> None:
    contest = ContestFactory(name="Round", starts_at=NOW + HOUR)
    rows = [told(channel, contest=contest, lead_minutes=lead) for channel in (mail, phone) for lead in (60, 1440)]
    charlies = told(MemberFactory(username="charlie").channels.get(), contest=contest)
    moved = told(mail, contest=contest, kind="moved", was_at=NOW)
    pending = told(mail, contest=contest, lead_minutes=10, status="pending", sent_at=None)
    assert badge(client) == "Inbox 2 unread"
    response = client.post(f"/inbox/{rows[0].pk}/read/?show=unread")
    assert response["Location"] == "/inbox/?show=unread"
    read = Notification.objects.filter(read_at=NOW)
    assert {row.pk for row in read} == {row.pk for row in rows}
    assert {charlies.pk, moved.pk, pending.pk}.isdisjoint(row.pk for row in read)
    assert badge(client) == "Inbox 1 unread"


def test_a_thing_is_unread_again_when_there_is_more_to_say(client: Client, mail: Channel) -> None:
    contest = ContestFactory(name="Round", starts_at=NOW + HOUR)
    told(mail, 23 * HOUR, contest=contest, lead_minutes=1440, read_at=NOW - HOUR)
    assert badge(client) == "Inbox"
    told(mail, contest=contest, lead_minutes=60)
    assert titles(client) == ["Unread: Round starts Sun 22 Nov, 13:00"]
    assert badge(client) == "Inbox 1 unread"


def test_what_was_read_stays_as_it_was(client: Client, mail: Channel) -> None:
    one = told(mail, read_at=NOW - DAY)
    client.post(f"/inbox/{one.pk}/read/")
    client.post("/inbox/read/")
    one.refresh_from_db()
    assert one.read_at == NOW - DAY


def test_opening_marks_it_read_and_leads_to_the_contest(client: Client, mail: Channel) -> None:
    one = told(mail, contest=ContestFactory(key="2156"))
    assert client.get(f"/inbox/{one.pk}/open/").status_code == 405, "a link scanner changes nothing"
    assert Notification.objects.get().read_at is None
    assert client.post(f"/inbox/{one.pk}/open/")["Location"] == "/contests/codeforces/2156/"
    assert Notification.objects.get().read_at == NOW


@pytest.mark.parametrize(("kind", "leads_to"), [("digest", "/"), ("channel-off", "/channels/")])
def test_what_is_about_no_contest_leads_where_it_helps(client: Client, mail: Channel, kind: str, leads_to: str) -> None:
    one = told(mail, kind=kind, detail="It is gone.", contest_name="")
    Notification.objects.update(contest=None)
    assert client.post(f"/inbox/{one.pk}/open/")["Location"] == leads_to


def test_what_was_read_on_whatsapp_is_read_here_and_not_what_came_later(
    client: Client, graph: Graph, alice: User, mail: Channel, phone: Channel
) -> None:
    contest, message = ContestFactory(starts_at=NOW + HOUR), uuid4()
    told(phone, HOUR, contest=contest, message=message)
    told(mail, HOUR, contest=contest)
    later = told(mail, MINUTE, contest=contest, lead_minutes=10)
    other = told(mail, HOUR, contest=ContestFactory(starts_at=NOW + HOUR))
    charlies = told(MemberFactory(username="charlie").channels.get(), HOUR, contest=contest)
    body = graph.callback(graph.report(message, "read", (NOW - 30 * MINUTE).timestamp()))
    for _ in range(2):
        answer = client.post(
            "/webhooks/whatsapp/", body, content_type="application/json", headers={"X-Hub-Signature-256": sign(body)}
        )
        assert answer.status_code == 200
    assert set(Notification.objects.filter(read_at=None)) == {later, other, charlies}


@pytest.mark.parametrize("what", ["read", "open"])
def test_nobody_reads_for_another(client: Client, alice: User, what: str) -> None:
    charlies = told(MemberFactory(username="charlie").channels.get())
    assert client.post(f"/inbox/{charlies.pk}/{what}/").status_code == 404
    assert client.post(f"/inbox/{10**18}/{what}/").status_code == 404
    client.post("/inbox/read/")
    assert Notification.objects.get().read_at is None


def test_what_came_after_the_page_was_shown_stays_unread(client: Client, mail: Channel) -> None:
    seen = told(mail, MINUTE)
    until = page(client).select_one("[name=until]")
    assert until
    with time_machine.travel(NOW + 2 * MINUTE, tick=False):
        unseen = told(mail, -MINUTE)
        client.post("/inbox/read/", {"until": until["value"]})
    assert set(Notification.objects.exclude(read_at=None)) == {seen}
    assert set(Notification.objects.filter(read_at=None)) == {unseen}


def test_unread_things_can_be_shown_alone(client: Client, mail: Channel) -> None:
    told(mail, contest=ContestFactory(name="Read"), read_at=NOW)
    told(mail, contest=ContestFactory(name="New"))
    assert len(titles(client, "?show=unread")) == 1
    client.post("/inbox/read/")
    assert "You have read everything" in words(page(client, "?show=unread").main)


# --- Many ----------------------------------------------------------------------------------------------------------


def many(channel: Channel, count: int, **fields: Any) -> None:
    shared = {"channel": channel, "kind": "reminder", "status": "sent", "due_at": NOW, "created_at": NOW}
    Notification.objects.bulk_create(
        Notification(
            contest_name=f"Round {n}",
            starts_at=NOW + n * MINUTE,
            expires_at=NOW,
            available_at=NOW,
            sent_at=NOW - (n // 2) * MINUTE,
            **{**shared, **fields},
        )
        for n in range(count)
    )


def test_pages_follow_each_other_without_gap_or_repetition(client: Client, mail: Channel) -> None:
    many(mail, 2 * ON_A_PAGE + 1)
    found: list[str] = []
    query = ""
    for _ in range(3):
        shown = page(client, query)
        found += [words(title) for title in shown.select(".thing h3")]
        older = shown.select_one(".pages a")
        told(mail, -MINUTE)  # something new comes in while Alice turns the pages
        query = str(older["href"]).removeprefix("/inbox/") if older else ""
    assert (len(found), len({*found}), query) == (2 * ON_A_PAGE + 1, 2 * ON_A_PAGE + 1, "")


@pytest.mark.parametrize("after", ["x", "20261122T120000000000", "99999999T999999999999-1", "%00", "-", "２" * 20])
def test_a_page_that_makes_no_sense_is_the_first_one(client: Client, mail: Channel, after: str) -> None:
    told(mail)
    assert len(titles(client, f"?after={after}")) == 1


def test_there_is_an_end(client: Client, mail: Channel) -> None:
    assert "There is nothing older" in words(page(client, "?after=20200101T000000000000-1").main)


def test_the_number_is_bounded_and_costs_one_query_that_looks_at_a_bounded_number(
    client: Client, alice: User, mail: Channel
) -> None:
    many(mail, MOST_LOOKED_AT + 10)
    with CaptureQueriesContext(connection) as captured:
        assert count_unread(alice.pk) == MOST_LOOKED_AT
    assert len(captured) == 1
    assert badge(client) == "Inbox 99+ unread"


def test_the_inbox_costs_the_same_few_queries_whatever_is_in_it(client: Client, mail: Channel, phone: Channel) -> None:
    told(mail)
    few = queries_of(client.get, "/inbox/")
    for _ in range(5):
        contest = ContestFactory()
        told(mail, contest=contest)
        told(phone, contest=contest)
    assert queries_of(client.get, "/inbox/") == few <= 8


def test_visitors_without_account_cost_no_query_for_the_inbox(client: Client) -> None:
    with CaptureQueriesContext(connection) as captured:
        client.get("/accounts/login/")
    assert not [query for query in captured if "notification" in query["sql"]]
