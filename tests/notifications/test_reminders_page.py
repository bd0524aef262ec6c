"""My reminders, at noon of 22 November 2026 in UTC, a Sunday. Alice is a member, Charlie is another one."""

from datetime import time, timedelta
from typing import Any

import pytest
from bs4 import BeautifulSoup
from django.contrib.auth.models import User
from django.test import Client

from notifications.models import Channel, ContestChoice, Notification, Preference
from notifications.planning import plan
from notifications.views.reminders import COMING_AT_FIRST, ON_A_PAGE
from tests.database import queries_of
from tests.factories import ContestFactory, MemberFactory, NotificationFactory
from tests.pages import read, words
from tests.times import DAY, HOUR, MINUTE, NOW

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("stopped_clock")]


@pytest.fixture
def alice(client: Client) -> User:
    member: User = MemberFactory(username="alice", preference__lead_minutes=[1440, 60])
    client.force_login(member)
    return member


def page(client: Client, query: str = "") -> BeautifulSoup:
    return read(client, f"/reminders/{query}")


def coming(client: Client, query: str = "") -> list[str]:
    return [words(row) for row in page(client, query).select("[aria-labelledby=coming] .thing")]


def past(client: Client, query: str = "") -> list[str]:
    return [words(row) for row in page(client, query).select("[aria-labelledby=past] .thing")]


def was(channel: Channel, ago: timedelta = MINUTE, **fields: Any) -> Notification:
    contest = fields.pop("contest", None) or ContestFactory(name="Round", starts_at=NOW + HOUR)
    fields = {"due_at": NOW - ago, "available_at": NOW - ago, "created_at": NOW - DAY} | fields
    return NotificationFactory(channel=channel, contest=contest, **fields)


def test_the_page_is_for_members(client: Client) -> None:
    assert client.get("/reminders/")["Location"] == "/accounts/login/?next=/reminders/"
    client.force_login(MemberFactory())
    assert client.post("/reminders/").status_code == 405


# --- What is coming ------------------------------------------------------------------------------------------------


def test_what_comes_is_said_with_channel_lead_and_time_in_the_members_zone(client: Client, alice: User) -> None:
    Preference.objects.update(time_zone="Asia/Tokyo")
    ContestFactory(name="Round", starts_at=NOW + 2 * DAY)
    (row,) = coming(client)
    assert row == (
        "Tue 24 Nov, 21:00 Round Codeforces "
        "Mail to alice@example.org: 24 h before, Mon 23 Nov 21:00; 1 h before, Tue 24 Nov 20:00"
    )


def test_what_does_not_come_is_shown_on_demand_with_the_reason(client: Client, alice: User) -> None:
    ContestFactory(name="Round", starts_at=NOW + 2 * DAY)
    muted = ContestFactory(name="Muted", starts_at=NOW + 3 * DAY)
    ContestChoice.objects.create(user=alice, contest=muted, wish="mute")
    ContestFactory(name="Training", starts_at=NOW + 4 * DAY, is_training=True)
    assert len(coming(client)) == 1
    link = page(client).select_one("[aria-labelledby=coming] > p > a")
    assert words(link) == "Show why no reminder is coming for 2 others"
    everything = coming(client, "?show=everything")
    assert "It is muted." in everything[1]
    assert "No trainings are wanted." in everything[2]


def test_a_lead_that_was_sent_or_is_skipped_says_so_beside_the_one_that_comes(client: Client, mail: Channel) -> None:
    contest = ContestFactory(name="Round", starts_at=NOW + 2 * HOUR)
    was(mail, 22 * HOUR, contest=contest, lead_minutes=1440, status="sent", sent_at=NOW - 22 * HOUR)
    (row,) = coming(client)
    assert "24 h before, sent Sat 21 Nov 14:00; 1 h before, Sun 22 Nov 13:00" in row


def test_what_is_due_already_comes_soon(client: Client, alice: User) -> None:
    ContestFactory(starts_at=NOW + 2 * HOUR)
    assert "24 h before, soon; 1 h before, Sun 22 Nov 13:00" in coming(client)[0]


def test_quiet_hours_show_when_it_really_comes(client: Client, alice: User) -> None:
    Preference.objects.update(quiet_from=time(22), quiet_until=time(8), lead_minutes=[60])
    ContestFactory(name="Round", starts_at=NOW + 19 * HOUR)  # at 7 in the morning
    assert "1 h before, Sun 22 Nov 22:00" in coming(client)[0]


def test_the_next_digest_is_foretold_with_all_its_channels(client: Client, alice: User) -> None:
    Preference.objects.update(digest="daily", digest_hour=8, time_zone="Asia/Tokyo")
    Channel.objects.create(
        user=alice, kind="push", address="https://push.example.org/1", label="Phone", verified_at=NOW
    )
    ContestFactory(starts_at=NOW + 20 * HOUR)
    ahead = words(page(client).select_one("[aria-labelledby=coming]"))
    assert "Your digest comes Mon 23 Nov 08:00 by mail to alice@example.org and push to Phone" in ahead
    assert "with 1 contest by what is known now." in ahead


def test_only_the_next_contests_are_shown_at_first(client: Client, alice: User) -> None:
    for number in range(COMING_AT_FIRST + 2):
        ContestFactory(starts_at=NOW + (number + 2) * DAY)
    assert len(coming(client)) == COMING_AT_FIRST
    assert words(page(client).select_one("[aria-labelledby=coming] > p > a")) == "Show 2 more"
    assert len(coming(client, "?show=everything")) == COMING_AT_FIRST + 2


@pytest.mark.parametrize(
    ("wishes", "reason"),
    [
        ({"paused": True}, "Everything is paused."),
        ({"platforms": ["atcoder"]}, "Its platform is not among those chosen."),
    ],
)
def test_where_nothing_comes_it_is_said_why_and_what_to_do(
    client: Client, alice: User, wishes: dict[str, Any], reason: str
) -> None:
    ContestFactory(starts_at=NOW + DAY)
    Preference.objects.update(**wishes)
    notice = page(client).select_one(".notice.warning")
    assert "No reminder is coming." in words(notice)
    assert reason in words(notice)


def test_who_has_no_channel_is_told_so(client: Client, alice: User) -> None:
    ContestFactory(starts_at=NOW + DAY)
    alice.channels.all().delete()
    assert "There is no channel." in words(page(client).select_one(".notice.warning"))


def test_without_any_contest_the_page_says_so(client: Client, alice: User) -> None:
    text = words(page(client).main)
    assert "No contest is known that is still to come." in text
    assert "Nothing was due yet." in text


def test_where_all_was_told_the_page_says_so(client: Client, mail: Channel) -> None:
    contest = ContestFactory(starts_at=NOW + HOUR)
    for lead in (60, 1440):
        was(mail, contest=contest, lead_minutes=lead, status="sent", sent_at=NOW - MINUTE)
    text = words(page(client).select_one("[aria-labelledby=coming]"))
    assert "You were told of all that is announced." in text
    assert "Show why no reminder is coming for 1 contest" in text
    assert "No contest is known" not in text


# --- What was ------------------------------------------------------------------------------------------------------


def test_what_was_sent_is_said_with_channel_and_time(client: Client, mail: Channel) -> None:
    was(mail, status="sent", sent_at=NOW - MINUTE, delivered_at=NOW)
    (row,) = past(client)
    assert row == "11:59 Round starts Sun 22 Nov, 13:00 1 h before mail to alice@example.org arrived 12:00 sent"


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"status": "failed", "error": "550 no such user"}, "550 no such user"),
        ({"status": "expired", "error": "The contest began before this could be sent."}, "The contest began before"),
        ({"status": "skipped", "error": "This channel is off: 550 no such user"}, "This channel is off: 550"),
        ({"status": "skipped", "error": "It is muted."}, "It is muted."),
        (
            {"status": "pending", "attempts": 1, "available_at": NOW + HOUR, "error": "421 come later."},
            "421 come later. It is tried again at 13:00.",
        ),
        ({"status": "pending", "available_at": NOW + 19 * HOUR}, "You have quiet hours. It waits until 07:00."),
        ({"status": "pending"}, "It leaves with the next round."),
        ({"status": "sending", "attempts": 1, "available_at": NOW + HOUR}, "It is being sent at this moment."),
    ],
)
def test_what_was_not_sent_says_why(client: Client, mail: Channel, fields: dict[str, Any], reason: str) -> None:
    was(mail, **fields)
    (row,) = past(client)
    assert reason in row
    state = "waiting" if fields["status"] in ("pending", "sending") else fields["status"]
    assert row.endswith(state)


def test_what_planning_skipped_says_which_wish_it_was_for(client: Client, alice: User) -> None:
    muted = ContestFactory(name="Muted", starts_at=NOW + HOUR)
    ContestFactory(name="Unwanted", starts_at=NOW + 2 * HOUR)
    plan(NOW, NOW + HOUR)
    ContestChoice.objects.create(user=alice, contest=muted, wish="mute")
    Preference.objects.update(platforms=[])
    plan(NOW, NOW + HOUR)
    rows = " ".join(past(client, "?state=skipped"))
    assert "It is muted." in rows
    assert "Its platform is not among those chosen." in rows
    Preference.objects.update(active=False)
    plan(NOW, NOW + HOUR)
    assert "Reminders rest after 180 days without a visit" in " ".join(past(client, "?state=skipped"))
    assert not Notification.objects.filter(status="pending").exists()


def test_what_is_planned_and_not_due_yet_is_coming_and_not_past(client: Client, alice: User) -> None:
    ContestFactory(name="Round", starts_at=NOW + 90 * MINUTE)
    Preference.objects.update(lead_minutes=[60])
    plan(NOW, NOW + HOUR)
    assert Notification.objects.get().status == "pending"
    assert "1 h before, Sun 22 Nov 12:30" in coming(client)[0]
    assert past(client) == []


def test_the_list_is_narrowed_by_state_and_channel_in_the_address(client: Client, alice: User, mail: Channel) -> None:
    phone = Channel.objects.create(user=alice, kind="whatsapp", address="+4915100000000", verified_at=NOW)
    for channel in (mail, phone):
        for status in ("sent", "failed", "expired", "skipped", "pending"):
            was(channel, status=status, contest=ContestFactory(name=f"{status} on {channel.kind}"))
    assert len(past(client)) == 10
    for state, status in (("sent", "sent"), ("waiting", "pending"), ("failed", "failed"), ("expired", "expired")):
        rows = past(client, f"?state={state}")
        assert len(rows) == 2
        assert all(status in row for row in rows)
    (row,) = past(client, f"?state=skipped&channel={phone.pk}")
    assert "skipped on whatsapp" in row
    chosen = [words(chip) for chip in page(client, f"?state=skipped&channel={phone.pk}").select("[aria-current=true]")]
    assert [chip.lower() for chip in chosen] == ["skipped", "whatsapp: +4915100000000"]
    assert coming(client, "?state=sent") == []


def test_nobody_sees_what_became_of_anothers(client: Client, alice: User) -> None:
    charlies = MemberFactory(username="charlie").channels.get()
    was(charlies, status="sent", sent_at=NOW)
    assert past(client) == past(client, f"?channel={charlies.pk}") == []
    assert "charlie" not in words(page(client))


@pytest.mark.parametrize(
    "query", ["?state=x", "?channel=x", "?channel=0", "?after=x", "?state=%00&channel=%00", "?show=x"]
)
def test_an_address_that_makes_no_sense_narrows_nothing(client: Client, mail: Channel, query: str) -> None:
    was(mail, status="sent", sent_at=NOW)
    assert len(past(client, query)) == 1


def test_an_empty_choice_leads_back(client: Client, alice: User) -> None:
    assert "Nothing that is failed. Show everything" in words(page(client, "?state=failed").main)


def test_pages_follow_each_other_and_keep_the_choice(client: Client, mail: Channel) -> None:
    contest = ContestFactory()
    Notification.objects.bulk_create(
        Notification(
            channel=mail,
            contest=contest,
            contest_name=f"Round {n}",
            kind="reminder",
            lead_minutes=n,
            status="failed",
            starts_at=NOW,
            due_at=NOW - (n // 2) * MINUTE,
            expires_at=NOW,
            created_at=NOW,
            available_at=NOW,
        )
        for n in range(ON_A_PAGE + 10)
    )
    first = page(client, "?state=failed")
    older = first.select_one(".pages a")
    assert older
    assert "state=failed" in str(older["href"])
    second = past(client, str(older["href"]).removeprefix("/reminders/"))
    assert len(second) == 10
    assert {words(row) for row in first.select(".thing")}.isdisjoint(second)


def test_the_page_costs_the_same_few_queries_whatever_is_on_it(client: Client, alice: User, mail: Channel) -> None:
    def fill(count: int) -> None:
        for number in range(count):
            ContestFactory(starts_at=NOW + (number + 3) * DAY, platform="atcoder")
            was(mail, status="sent", sent_at=NOW, contest=ContestFactory())

    fill(1)
    few = queries_of(client.get, "/reminders/?show=everything")
    fill(10)
    assert queries_of(client.get, "/reminders/?show=everything") == few <= 9
