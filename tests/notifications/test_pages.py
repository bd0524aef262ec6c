"""Preferences and unsubscribing, as members meet them. Alice is a member, Bob is another one."""

from datetime import timedelta
from typing import Any

import pytest
from allauth.account.models import EmailAddress
from bs4 import BeautifulSoup
from django.contrib.auth.models import User
from django.core.exceptions import ValidationError
from django.http import HttpResponse
from django.test import Client
from django.utils import timezone

from contests.models import Contest
from notifications.forms import leads_from
from notifications.messages import unsubscribe_url
from notifications.models import Channel, Preference
from tests.factories import ContestFactory, MemberFactory

pytestmark = pytest.mark.django_db

WISHES: dict[str, Any] = {
    "platforms": ["codeforces", "atcoder"],
    "usual_leads": ["60", "1440"],
    "other_leads": "",
    "time_zone": "Europe/Lisbon",
}


@pytest.fixture
def alice(client: Client) -> User:
    member: User = MemberFactory(username="alice")
    client.force_login(member)
    return member


def text(response: Any, selector: str = "main") -> str:
    element = BeautifulSoup(response.content, "lxml").select_one(selector)
    assert element is not None, f"there is no {selector}"
    return " ".join(element.get_text().split())


def save(client: Client, **wishes: Any) -> HttpResponse:
    return client.post("/preferences/", {**WISHES, **wishes})  # type: ignore[return-value]  # the test client's own class


def preference(member: User) -> Preference:
    return Preference.objects.get(user=member)


def test_preferences_are_for_those_who_are_signed_in(client: Client) -> None:
    response = client.get("/preferences/")
    assert (response.status_code, response.headers["Location"]) == (302, "/accounts/login/?next=/preferences/")


def test_what_a_member_saves_is_kept(client: Client, alice: User) -> None:
    response = save(client, other_leads="45 min, 3h and 1.5 hours", trainings="on")
    assert response.status_code == 302
    kept = preference(alice)
    assert kept.platforms == ["codeforces", "atcoder"]
    assert kept.lead_minutes == [1440, 180, 90, 60, 45]
    assert (kept.time_zone, kept.trainings, kept.paused) == ("Europe/Lisbon", True, False)
    page = client.get("/preferences/")
    assert "Your preferences are saved." in text(page)
    soup = BeautifulSoup(page.content, "lxml")
    assert {box["value"] for box in soup.select("[name=usual_leads][checked]")} == {"60", "1440"}
    assert soup.select_one("[name=other_leads]")["value"] == "3 h, 1 h 30 min, 45 min"  # type: ignore[index]
    assert soup.select_one("[name=time_zone] [selected]")["value"] == "Europe/Lisbon"  # type: ignore[index]


def test_the_form_shown_can_be_saved_as_it_is(client: Client, alice: User) -> None:
    Preference.objects.filter(user=alice).update(lead_minutes=[10080, 4321, 1440, 61, 10], time_zone="Asia/Kolkata")
    before = preference(alice)
    soup = BeautifulSoup(client.get("/preferences/").content, "lxml")
    form = {
        "platforms": [box["value"] for box in soup.select("[name=platforms][checked]")],
        "usual_leads": [box["value"] for box in soup.select("[name=usual_leads][checked]")],
        "other_leads": soup.select_one("[name=other_leads]")["value"],  # type: ignore[index]
        "time_zone": soup.select_one("[name=time_zone] [selected]")["value"],  # type: ignore[index]
    }
    assert client.post("/preferences/", form).status_code == 302
    after = preference(alice)
    assert sorted(after.platforms) == sorted(before.platforms)
    for field in ("lead_minutes", "time_zone", "trainings", "paused", "active", "last_seen_at"):
        assert getattr(after, field) == getattr(before, field), field


@pytest.mark.parametrize(
    ("wishes", "complaint"),
    [
        ({"usual_leads": []}, "Choose at least one lead time."),
        ({"other_leads": "9 min"}, "“9 min” is too short: a lead time is at least 10 minutes."),
        ({"other_leads": "169 h"}, "“169 h” is too long: a lead time is at most 168 hours, which is 7 days."),
        ({"other_leads": "3 h, soon"}, "“soon” is not a length of time"),
        ({"other_leads": "90"}, "“90” is not a length of time"),
        (
            {"other_leads": "11 min, 12 min, 13 min, 14 min, 16 min, 17 min, 18 min, 19 min, 20 min"},
            "Choose at most 10 lead times.",
        ),
        ({"usual_leads": ["61"]}, "61 is not one of the available choices"),
        ({"platforms": ["topcoder"]}, "topcoder is not one of the available choices"),
        ({"time_zone": "Mars/Olympus"}, "Mars/Olympus is not one of the available choices"),
        ({"other_leads": "\0"}, "Null characters are not allowed."),
    ],
)
def test_what_cannot_be_is_refused_with_the_reason(
    client: Client, alice: User, wishes: dict[str, Any], complaint: str
) -> None:
    before = preference(alice).lead_minutes
    response = save(client, **wishes)
    assert response.status_code == 200
    assert complaint in text(response, ".errorlist")
    assert "Nothing is saved yet" in text(response, "[role=alert]")
    assert preference(alice).lead_minutes == before
    assert preference(alice).time_zone == "UTC"


@pytest.mark.parametrize(
    ("typed", "leads"),
    [
        ("", []),
        (" , ; ", []),
        ("10min", [10]),
        ("10m;1H", [10, 60]),
        ("1 h 30 min, 2 days", [90, 2880]),
        ("1 week and 168 hours", [10080, 10080]),
        ("0.5 d", [720]),
    ],
)
def test_lengths_of_time_are_understood_as_people_write_them(typed: str, leads: list[int]) -> None:
    assert leads_from(typed) == leads


@pytest.mark.parametrize(
    "typed", ["h", "-1 h", "1 parsec", "1 h soon", "1 h 2", "١٥ min", "1,5", "1.5.5 h", "9" * 199 + "h"]
)
def test_anything_else_is_not_guessed_at(typed: str) -> None:
    with pytest.raises(ValidationError):
        leads_from(typed)


def test_saving_leaves_alone_what_the_service_notes_meanwhile(client: Client, alice: User) -> None:
    """The row is read, changed elsewhere, and only then saved."""
    from notifications.forms import PreferenceForm

    read = preference(alice)
    form = PreferenceForm(WISHES)
    assert form.is_valid()
    Preference.objects.filter(user=alice).update(active=False)
    form.save(read)
    kept = preference(alice)
    assert (kept.active, kept.time_zone) == (False, "Europe/Lisbon")


def test_a_member_without_preferences_gets_some(client: Client, alice: User) -> None:
    Preference.objects.all().delete()
    assert client.get("/preferences/").status_code == 200
    assert preference(alice).lead_minutes == [1440, 60]


def test_the_page_says_in_words_what_will_come(client: Client, alice: User) -> None:
    now = timezone.now().replace(second=0, microsecond=0)
    save(client, usual_leads=["60", "1440"], other_leads="45 min", time_zone="UTC")
    ContestFactory(name="Not theirs", platform="leetcode", starts_at=now + timedelta(hours=2))
    ContestFactory(name="A training", is_training=True, starts_at=now + timedelta(hours=2))
    ContestFactory(name="The next", starts_at=now + timedelta(hours=23))
    ContestFactory(name="The one after", starts_at=now + timedelta(days=3))
    said = text(client.get("/preferences/"), ".notice.good")
    assert said.startswith(
        "You get a mail at alice@example.org 24 h, 1 h and 45 min before a contest of AtCoder or Codeforces starts."
    )
    by = now + timedelta(hours=22)
    assert said.endswith(f"The next one comes by {by:%A} {by.day} {by:%B, %H:%M}: The next.")


def test_with_nothing_announced_no_next_reminder_is_promised(client: Client, alice: User) -> None:
    Contest.objects.all().delete()
    assert "The next one" not in text(client.get("/preferences/"), ".notice.good")


def why_nothing_comes(client: Client) -> str:
    said = text(client.get("/preferences/"), ".notice.warning")
    assert said.startswith("You get no reminders now.")
    return said


def test_a_member_who_paused_is_told(client: Client, alice: User) -> None:
    save(client, paused="on")
    assert "You paused all reminders." in why_nothing_comes(client)


def test_a_member_whose_reminders_rest_is_told(client: Client, alice: User) -> None:
    Preference.objects.update(active=False)
    assert "rest because you were away for long" in why_nothing_comes(client)


def test_a_member_who_chose_no_platform_is_told(client: Client, alice: User) -> None:
    assert save(client, platforms=[]).status_code == 302
    assert "You chose no platform." in why_nothing_comes(client)


def test_a_member_whose_address_is_not_confirmed_is_told(client: Client) -> None:
    member = MemberFactory(verified=False)
    client.force_login(member)
    assert "You have no confirmed mail address" in why_nothing_comes(client)
    EmailAddress.objects.create(user=member, email=member.email, verified=False, primary=True)
    assert "Your mail address is not confirmed yet." in why_nothing_comes(client)
    assert f"{member.email} not confirmed" in text(client.get("/preferences/"), ".channel")


def test_a_channel_that_is_off_says_why_and_can_be_turned_on_again(client: Client, alice: User) -> None:
    Channel.objects.update(disabled_at=timezone.now(), disabled_reason="The mail server refused it: 550 no such user")
    assert "Reminders to your address are off" in why_nothing_comes(client)
    page = client.get("/preferences/")
    assert "550 no such user" in text(page, ".channel")
    form = BeautifulSoup(page.content, "lxml").select_one(".channel form")
    assert form is not None
    assert form["method"] == "post"
    client.post(str(form["action"]))
    channel = alice.channels.get()
    assert (channel.disabled_at, channel.disabled_reason) == (None, "")
    assert "are on again" in text(client.get("/preferences/"))


def test_the_page_says_how_the_last_deliveries_went(client: Client, alice: User) -> None:
    sent = timezone.now() - timedelta(days=2)
    Channel.objects.update(last_sent_at=sent, last_error_at=timezone.now(), last_error="The mailbox is full.")
    said = text(client.get("/preferences/"), ".channel")
    assert f"Last mail sent {sent.day} {sent:%B %Y, %H:%M}." in said
    assert said.endswith("The mailbox is full.")


def test_nobody_turns_on_the_channel_of_somebody_else(client: Client, alice: User) -> None:
    bobs = MemberFactory(username="bob").channels.get()
    Channel.objects.filter(pk=bobs.pk).update(disabled_at=timezone.now(), disabled_reason="Bob said so.")
    assert client.post(f"/preferences/channels/{bobs.pk}/enable/").status_code == 404
    bobs.refresh_from_db()
    assert bobs.disabled_reason == "Bob said so."


def test_following_a_link_turns_no_channel_on(client: Client, alice: User) -> None:
    assert client.get(f"/preferences/channels/{alice.channels.get().pk}/enable/").status_code == 405


def test_the_page_shows_nothing_of_anybody_else(client: Client, alice: User) -> None:
    MemberFactory(username="bob")
    assert "bob@example.org" not in client.get("/preferences/").content.decode()


# --- Unsubscribing --------------------------------------------------------------------------------------------------


def link(channel: Channel, purpose: str = "reminders") -> str:
    return unsubscribe_url(channel.pk, purpose).removeprefix("http://127.0.0.1:8000")


def wanted_for(channel: Channel) -> list[str]:
    channel.refresh_from_db()
    return sorted(channel.purposes)


@pytest.fixture
def channel() -> Channel:
    found: Channel = MemberFactory(username="alice").channels.get()
    return found


def test_opening_the_link_only_asks(client: Client, channel: Channel) -> None:
    response = client.get(link(channel))
    assert response.status_code == 200
    form = BeautifulSoup(response.content, "lxml").select_one("main form")
    assert form is not None
    assert form["method"] == "post"
    assert wanted_for(channel) == ["changes", "digest", "reminders"]


@pytest.mark.parametrize(
    ("purpose", "left"),
    [
        ("reminders", ["changes", "digest"]),
        ("changes", ["digest", "reminders"]),
        ("digest", ["changes", "reminders"]),
    ],
)
def test_the_mail_providers_one_click_ends_what_the_mail_was_for(
    channel: Channel, purpose: str, left: list[str]
) -> None:
    """RFC 8058: a POST from a stranger without cookies."""
    stranger = Client(enforce_csrf_checks=True)
    response = stranger.post(link(channel, purpose), {"List-Unsubscribe": "One-Click"})
    assert response.status_code == 200
    assert f"No more {purpose}" in text(response)
    assert "/preferences/" in response.content.decode()
    assert wanted_for(channel) == left
    assert channel.disabled_at is None


def test_a_second_click_changes_nothing_more(client: Client, channel: Channel) -> None:
    for _ in range(2):
        assert "No more reminders" in text(client.post(link(channel)))
    assert wanted_for(channel) == ["changes", "digest"]


def test_the_link_is_for_that_channel_only(client: Client, channel: Channel) -> None:
    bob = MemberFactory(username="bob").channels.get()
    client.post(link(channel))
    assert wanted_for(bob) == ["changes", "digest", "reminders"]


def test_the_link_of_a_channel_that_is_gone_says_the_same(client: Client, channel: Channel) -> None:
    url = link(channel)
    channel.delete()
    response = client.post(url)
    assert response.status_code == 200
    assert "No more reminders" in text(response)


@pytest.mark.parametrize("method", ["get", "post"])
def test_a_damaged_link_changes_nothing_and_says_so(client: Client, channel: Channel, method: str) -> None:
    damaged = link(channel)[:-2] + ("A/" if not link(channel).endswith("A/") else "B/")
    for url in (damaged, "/unsubscribe/x/", "/unsubscribe/eyJjaGFubmVsIjoxfQ:forged/", "/unsubscribe/%00/"):
        response = getattr(client, method)(url)
        assert response.status_code == 404
        assert "This link is damaged" in text(response)
    assert wanted_for(channel) == ["changes", "digest", "reminders"]
