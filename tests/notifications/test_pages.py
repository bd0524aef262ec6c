"""Preferences and unsubscribing, as members meet them. Alice is a member, Bob is another one."""

from datetime import UTC, datetime, time, timedelta
from typing import Any

import pytest
import time_machine
from allauth.account.models import EmailAddress
from django.contrib.auth.models import User
from django.core.exceptions import ValidationError
from django.db import connection
from django.http import HttpResponse
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from contests.models import Contest
from notifications.forms import DECIDED, PreferenceForm, leads_from, length_in_words, words_from
from notifications.messages import unsubscribe_url
from notifications.models import Channel, ContestChoice, Notification, Preference
from notifications.planning import plan
from tests.factories import ContestFactory, MemberFactory
from tests.pages import read, soup, text

pytestmark = pytest.mark.django_db

SATURDAY = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)

WISHES: dict[str, Any] = {
    "platforms": ["codeforces", "atcoder"],
    "unrated": "on",
    "longest_contest": "1440",
    "excluded_words": "",
    "usual_leads": ["60", "1440"],
    "other_leads": "",
    "time_zone": "Europe/Lisbon",
    "quiet_from": "",
    "quiet_until": "",
    "quiet_choice": "before",
    "digest": "off",
    "digest_hour": "8",
    "digest_weekday": "1",
    "paused_until": "",
}


def save(client: Client, **wishes: Any) -> HttpResponse:
    return client.post("/preferences/", {**WISHES, **wishes})  # type: ignore[return-value]  # the test client's own class


def preference(member: User) -> Preference:
    return Preference.objects.get(user=member)


def as_shown(response: Any) -> dict[str, list[str]]:
    """What a browser would send if nothing were touched."""
    form = soup(response).select_one("form.wishes")
    assert form is not None
    sent: dict[str, list[str]] = {}
    for field in form.select("input[name], select[name]"):
        if field.name == "select":
            chosen = field.select("option[selected]") or field.select("option")[:1]
            values = [str(option["value"]) for option in chosen]
        elif field.get("type") in ("checkbox", "radio"):
            values = [str(field.get("value", "on"))] if field.has_attr("checked") else []
        else:
            values = [str(field.get("value", ""))]
        sent.setdefault(str(field["name"]), []).extend(values)
    return sent


def test_preferences_are_for_those_who_are_signed_in(client: Client) -> None:
    for method in (client.get, client.post):
        response = method("/preferences/")
        assert (response.status_code, response.headers["Location"]) == (302, "/accounts/login/?next=/preferences/")


def test_nothing_is_saved_for_a_page_of_somebody_else(alice: User) -> None:
    elsewhere = Client(enforce_csrf_checks=True)
    elsewhere.force_login(alice)
    before = preference(alice).lead_minutes
    assert elsewhere.post("/preferences/", {**WISHES, "usual_leads": ["10"]}).status_code == 403
    assert preference(alice).lead_minutes == before


def test_what_a_member_saves_is_kept(client: Client, alice: User) -> None:
    response = save(
        client,
        trainings="on",
        unrated="",
        longest_contest="300",
        excluded_words="Div. 3,  KOTLIN  Heroes, kotlin heroes,, ",
        other_leads="45 min, 3h and 1.5 hours",
        quiet_from="22:30",
        quiet_until="07:00",
        quiet_choice="after",
        digest="weekly",
        digest_hour="19",
        digest_weekday="7",
    )
    assert response.status_code == 302
    kept = preference(alice)
    assert kept.platforms == ["codeforces", "atcoder"]
    assert (kept.trainings, kept.unrated) == (True, False)
    assert kept.longest_contest == timedelta(hours=5)
    assert kept.excluded_words == ["div. 3", "kotlin heroes"]
    assert kept.lead_minutes == [1440, 180, 90, 60, 45]
    assert (kept.time_zone, kept.paused, kept.paused_until) == ("Europe/Lisbon", False, None)
    assert (kept.quiet_from, kept.quiet_until, kept.quiet_choice) == (time(22, 30), time(7), "after")
    assert (kept.digest, kept.digest_hour, kept.digest_weekday) == ("weekly", 19, 7)
    page = client.get("/preferences/")
    assert "Your preferences are saved." in text(page)
    shown = as_shown(page)
    assert shown["usual_leads"] == ["60", "1440"]
    assert shown["other_leads"] == ["3 h, 1 h 30 min, 45 min"]
    assert shown["excluded_words"] == ["div. 3, kotlin heroes"]
    assert shown["quiet_from"] == ["22:30"]
    assert text(page, ".tokens") == "div. 3kotlin heroes"


@pytest.mark.parametrize(
    "wishes",
    [
        {},
        {"lead_minutes": [10080, 4321, 1440, 61, 10], "time_zone": "Asia/Kolkata", "platforms": []},
        {"trainings": True, "unrated": False, "longest_contest": None, "excluded_words": ["a b", "ärger"]},
        {"longest_contest": timedelta(hours=7, minutes=30)},
        {"quiet_from": time(23), "quiet_until": time(6, 59), "quiet_choice": "after"},
        {"digest": "daily", "digest_hour": 0},
        {"digest": "weekly", "digest_hour": 23, "digest_weekday": 7},
        {"paused": True},
        {"paused": True, "paused_until": datetime(2100, 1, 1, 12, 30, tzinfo=UTC), "time_zone": "Asia/Tokyo"},
    ],
)
def test_the_form_shown_can_be_saved_as_it_is(client: Client, wishes: dict[str, Any]) -> None:
    if "paused_until" in wishes:
        wishes = {**wishes, "paused_until": timezone.now().replace(second=0, microsecond=0) + timedelta(days=300)}
    alice = MemberFactory(**{f"preference__{name}": value for name, value in wishes.items()})
    client.force_login(alice)
    before = Preference.objects.values().get(user=alice)
    response = client.post("/preferences/", as_shown(client.get("/preferences/")))
    assert response.status_code == 302, text(response, ".errorlist")
    assert Preference.objects.values().get(user=alice) == before


def test_every_zone_that_is_offered_can_be_chosen(client: Client, alice: User) -> None:
    page = read(client, "/preferences/")
    zones = [str(option["value"]) for option in page.select("[name=time_zone] option")]
    assert {"UTC", "Europe/Lisbon"} < set(zones)
    assert not {"localtime", "Factory"} & set(zones)
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(timezone(name, now())) FROM unnest(%s::text[]) AS zone (name)", [zones])
        assert cursor.fetchone() == (len(zones),)


def test_every_wish_is_on_the_page(client: Client, alice: User) -> None:
    """A column that a member decides and that no field shows could never be changed."""
    noted = {"user", "active", "last_seen_at"}
    assert {field.name for field in Preference._meta.fields} - noted == set(DECIDED)


@pytest.mark.parametrize(
    ("wishes", "field", "complaint"),
    [
        ({"usual_leads": []}, "usual_leads", "Choose at least one lead time."),
        ({"other_leads": "9 min"}, "other_leads", "“9 min” is too short: a lead time is at least 10 minutes."),
        ({"other_leads": "169 h"}, "other_leads", "“169 h” is too long: a lead time is at most 168 hours"),
        ({"other_leads": "3 h, soon"}, "other_leads", "“soon” is not a length of time"),
        ({"other_leads": "90"}, "other_leads", "“90” is not a length of time"),
        (
            {"other_leads": "11 min, 12 min, 13 min, 14 min, 16 min, 17 min, 18 min, 19 min, 20 min"},
            "usual_leads",
            "Choose at most 10 lead times.",
        ),
        ({"usual_leads": ["61"]}, "usual_leads", "61 is not one of the available choices"),
        ({"platforms": ["topcoder"]}, "platforms", "topcoder is not one of the available choices"),
        ({"time_zone": "Mars/Olympus"}, "time_zone", "Mars/Olympus is not one of the available choices"),
        ({"time_zone": ""}, "time_zone", "This field is required"),
        ({"other_leads": "\0"}, "other_leads", "Null characters are not allowed."),
        ({"longest_contest": "61"}, "longest_contest", "61 is not one of the available choices"),
        ({"longest_contest": "soon"}, "longest_contest", "soon is not one of the available choices"),
        ({"excluded_words": "\0"}, "excluded_words", "Null characters are not allowed."),
        ({"excluded_words": "x" * 51}, "excluded_words", "is too long: a word to leave out has at most 50 characters."),
        (
            {"excluded_words": ", ".join(f"word {n}" for n in range(51))},
            "excluded_words",
            "These are 51 words: at most 50 can be left out.",
        ),
        ({"quiet_from": "22:00"}, "quiet_until", "Say until when, or leave both empty."),
        ({"quiet_until": "22:00"}, "quiet_from", "Say from when, or leave both empty."),
        ({"quiet_from": "22:00", "quiet_until": "22:00"}, "quiet_until", "That would be the whole day"),
        ({"quiet_from": "24:00", "quiet_until": "07:00"}, "quiet_from", "Write a time of day, such as 22:30."),
        ({"quiet_from": "late", "quiet_until": "07:00"}, "quiet_from", "Write a time of day, such as 22:30."),
        ({"quiet_choice": "never"}, "quiet_choice", "never is not one of the available choices"),
        ({"digest": "hourly"}, "digest", "hourly is not one of the available choices"),
        ({"digest_hour": "24"}, "digest_hour", "24 is not one of the available choices"),
        ({"digest_hour": "-1"}, "digest_hour", "-1 is not one of the available choices"),
        ({"digest_weekday": "0"}, "digest_weekday", "0 is not one of the available choices"),
        ({"digest_weekday": "8"}, "digest_weekday", "8 is not one of the available choices"),
        ({"paused": "on", "paused_until": "soon"}, "paused_until", "Write a date and a time"),
        ({"paused": "on", "paused_until": "2026-02-30T12:00"}, "paused_until", "Write a date and a time"),
        ({"paused": "on", "paused_until": "99999-01-01T12:00"}, "paused_until", "Write a date and a time"),
        ({"paused": "on", "paused_until": "2026-11-21T12:00"}, "paused_until", "That is over already."),
        ({"paused": "on", "paused_until": "0001-01-01T00:00"}, "paused_until", "That is over already."),
        ({"paused": "on", "paused_until": "2027-11-22T12:01"}, "paused_until", "more than a year ahead"),
        ({"paused": "on", "paused_until": "9999-12-31T23:59"}, "paused_until", "more than a year ahead"),
        ({"paused_until": "2026-12-24T12:00"}, "paused", "Tick this as well, or leave the date empty."),
    ],
)
@time_machine.travel(SATURDAY, tick=False)
def test_what_cannot_be_is_refused_beside_its_field_and_nothing_is_lost(
    client: Client, alice: User, wishes: dict[str, Any], field: str, complaint: str
) -> None:
    before = Preference.objects.values().get(user=alice)
    sent = {"trainings": "on", "excluded_words": "kotlin", "digest": "daily", **wishes}
    response = save(client, **sent)
    assert response.status_code == 200
    assert "Nothing is saved yet" in text(response, "[role=alert]")
    (told,) = soup(response).select(".errorlist")
    assert complaint in told.get_text()
    beside = told.find_parent(class_="wrong")
    assert beside is not None
    assert beside.select_one(f"[name={field}]")
    assert all(folded.has_attr("open") for folded in told.find_parents("details"))
    assert Preference.objects.values().get(user=alice) == before
    shown = as_shown(response)
    for name in ("other_leads", "excluded_words", "quiet_from", "quiet_until", "paused_until"):
        if "\0" not in str(sent.get(name)):
            assert shown[name] == [sent.get(name, WISHES.get(name))], name
    assert shown["trainings"] == ["on"]


@time_machine.travel(SATURDAY, tick=False)
@pytest.mark.parametrize(
    ("zone", "typed", "meant"),
    [
        ("UTC", "2026-11-21T12:01", datetime(2026, 11, 21, 12, 1, tzinfo=UTC)),
        ("UTC", "2027-11-22T12:00", datetime(2027, 11, 22, 12, 0, tzinfo=UTC)),
        ("Asia/Tokyo", "2026-12-24T18:00", datetime(2026, 12, 24, 9, 0, tzinfo=UTC)),
        ("Asia/Tokyo", "2026-12-24 18:00", datetime(2026, 12, 24, 9, 0, tzinfo=UTC)),
        ("Asia/Tokyo", "2026-12-24T18:00:00", datetime(2026, 12, 24, 9, 0, tzinfo=UTC)),
        ("Europe/Lisbon", "2027-03-28T01:30", datetime(2027, 3, 28, 1, 30, tzinfo=UTC)),  # clocks go from 1:00 to 2:00
        ("Europe/Lisbon", "2027-10-31T01:30", datetime(2027, 10, 31, 0, 30, tzinfo=UTC)),  # and from 2:00 to 1:00
    ],
)
def test_a_pause_ends_at_the_local_time_of_the_zone_that_is_saved_with_it(
    client: Client, alice: User, zone: str, typed: str, meant: datetime
) -> None:
    assert save(client, paused="on", paused_until=typed, time_zone=zone).status_code == 302
    kept = preference(alice)
    assert (kept.paused, kept.paused_until) == (True, meant)


def test_who_unticks_the_pause_need_not_empty_the_date(client: Client, alice: User) -> None:
    until = timezone.now().replace(second=0, microsecond=0) + timedelta(days=3)
    Preference.objects.filter(user=alice).update(paused=True, paused_until=until)
    sent = as_shown(client.get("/preferences/"))
    assert client.post("/preferences/", {**sent, "paused": []}).status_code == 302
    kept = preference(alice)
    assert (kept.paused, kept.paused_until) == (False, None)


def test_a_pause_that_is_over_stands_in_nobodys_way(client: Client, alice: User) -> None:
    """The table is only told so by the next plan."""
    Preference.objects.filter(user=alice).update(paused=True, paused_until=timezone.now() - timedelta(minutes=1))
    page = client.get("/preferences/")
    assert "You paused" not in text(page)
    assert client.post("/preferences/", as_shown(page)).status_code == 302
    assert (preference(alice).paused, preference(alice).paused_until) == (False, None)


@pytest.mark.parametrize(
    ("typed", "words"),
    [
        ("", []),
        (" , ; \n ", []),
        ("Div. 3", ["div. 3"]),
        ("a,b;c\nd", ["a", "b", "c", "d"]),
        ("  Two   Words ,two words", ["two words"]),
        ("ÄRGER, ärger", ["ärger"]),
        (", ".join(f"w{n}" for n in range(50)), [f"w{n}" for n in range(50)]),
        ("x" * 50, ["x" * 50]),
        ("<b>, %, _", ["<b>", "%", "_"]),
    ],
)
def test_words_are_understood_as_people_write_them(typed: str, words: list[str]) -> None:
    assert words_from(typed) == words


def test_a_word_is_left_out_as_it_was_typed_by_whatever_its_case(client: Client, alice: User) -> None:
    ContestFactory(name="Ärger 100%")
    ContestFactory(name="Round 900")
    save(client, excluded_words="ÄRGER 100%", time_zone="UTC")
    plan(timezone.now(), timezone.now() + timedelta(days=2))
    assert {each.contest_name for each in Notification.objects.all()} == {"Round 900"}


def test_what_is_typed_is_shown_and_never_run(client: Client, alice: User) -> None:
    save(client, excluded_words="<script>alert(1)</script>")
    page = client.get("/preferences/").content.decode()
    assert "<script>alert" not in page
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page


@pytest.mark.parametrize(
    ("length", "words"),
    [
        (timedelta(hours=2), "2 h"),
        (timedelta(hours=24), "24 h"),
        (timedelta(hours=48), "2 days"),
        (timedelta(days=7), "1 week"),
        (timedelta(days=14), "2 weeks"),
        (timedelta(minutes=90), "1 h 30 min"),
        (timedelta(days=10), "10 days"),
    ],
)
def test_lengths_of_contests_are_said_as_people_say_them(length: timedelta, words: str) -> None:
    assert length_in_words(length) == words


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


# --- The sentence ---------------------------------------------------------------------------------------------------


def said(client: Client) -> str:
    return text(client.get("/preferences/"), ".sentence.good")


def why_nothing_comes(client: Client) -> str:
    told = text(client.get("/preferences/"), ".sentence.warning")
    assert told.startswith("You get no reminders now.")
    return told


@time_machine.travel(SATURDAY, tick=False)
def test_the_page_says_in_words_what_will_come(client: Client, alice: User) -> None:
    save(client, usual_leads=["60", "1440"], other_leads="45 min", time_zone="UTC")
    ContestFactory(name="Not theirs", platform="leetcode", starts_at=SATURDAY + timedelta(hours=2))
    ContestFactory(name="A training", is_training=True, starts_at=SATURDAY + timedelta(hours=2))
    ContestFactory(name="The next", starts_at=SATURDAY + timedelta(hours=23))
    ContestFactory(name="The one after", starts_at=SATURDAY + timedelta(days=3))
    told = said(client)
    assert told.startswith(
        "You get a mail to alice@example.org 24 h, 1 h and 45 min before AtCoder and Codeforces contests."
    )
    assert "Next: The next, tomorrow 11:00; the mail comes within minutes." in told
    plan(timezone.now(), timezone.now())
    Notification.objects.update(status="sent", sent_at=timezone.now())
    assert "Next: The next, tomorrow 11:00; the mail comes tomorrow 10:00." in said(client)
    save(client, usual_leads=["60"], time_zone="Asia/Tokyo")
    assert "Next: The next, tomorrow 20:00; the mail comes tomorrow 19:00." in said(client)


@time_machine.travel(SATURDAY, tick=False)
def test_what_is_said_to_come_next_is_what_the_plan_makes_due_first(client: Client, alice: User) -> None:
    """In quiet hours that bring it forward, and of what is muted nothing."""
    save(client, usual_leads=["60"], time_zone="UTC", quiet_from="22:00", quiet_until="07:00")
    muted = ContestFactory(name="Muted", starts_at=SATURDAY + timedelta(hours=3))
    ContestChoice.objects.create(user=alice, contest=muted, wish="mute")
    ContestFactory(name="Early", starts_at=SATURDAY + timedelta(hours=19, minutes=30))
    told = said(client)
    assert "Next: Early, tomorrow 07:30; the mail comes today 22:00." in told
    assert "Nothing comes from 22:00 to 07:00: a reminder of that time comes just before, at 22:00." in told
    assert "Besides, you muted 1." in told
    plan(timezone.now(), timezone.now() + timedelta(days=2))
    (planned,) = Notification.objects.filter(status="pending")
    assert planned.due_at == SATURDAY.replace(hour=22)
    save(client, usual_leads=["60"], time_zone="UTC", quiet_from="22:00", quiet_until="07:00", quiet_choice="after")
    assert "the mail comes tomorrow 07:00." in said(client)


def test_it_says_what_is_left_out_and_what_comes_besides(client: Client, alice: User) -> None:
    followed = ContestFactory(platform="leetcode")
    ContestChoice.objects.create(user=alice, contest=followed, wish="follow")
    save(client, unrated="", longest_contest="300", excluded_words="div. 3, kotlin", digest="weekly", digest_hour="19")
    told = said(client)
    assert (
        "Left out: daily trainings, unrated contests, what lasts longer than 5 h and what has “div. 3” or “kotlin”"
        " in its name." in told
    )
    assert "On Mondays at 19:00 you get a mail to alice@example.org with what is ahead." in told
    assert "You are told there at once when one of them moves or is cancelled." in told
    assert "Besides, you follow 1 contest." in told
    save(client, platforms=[], digest="daily")
    told = said(client)
    assert told.startswith("You get a mail to alice@example.org 24 h and 1 h before the contests that you follow.")
    assert "Every day at 08:00 you get" in told
    assert "Left out" not in told


def test_it_names_each_channel_for_what_it_is_for(client: Client, alice: User, settings: Any) -> None:
    settings.WHATSAPP_PHONE_NUMBER_ID = "1"
    own = alice.channels.get()
    for address, purposes in (("b@example.org", ["reminders"]), ("c@example.org", ["changes"])):
        Channel.objects.create(user=alice, kind="email", address=address, verified_at=timezone.now(), purposes=purposes)
    Channel.objects.create(
        user=alice,
        kind="whatsapp",
        address="+351911",
        label="Phone",
        verified_at=timezone.now(),
        purposes=["reminders"],
    )
    Channel.objects.filter(pk=own.pk).update(purposes=["reminders", "digest"])
    save(client, digest="daily")
    told = said(client)
    assert told.startswith(
        "You get a mail to alice@example.org and b@example.org and a WhatsApp message to Phone 24 h and 1 h before"
    )
    assert "You get a mail to c@example.org at once when one of them moves" in told
    assert "Every day at 08:00 you get a mail to alice@example.org with what is ahead." in told
    Channel.objects.exclude(pk=own.pk).delete()
    Channel.objects.filter(pk=own.pk).update(purposes=["reminders"])
    told = said(client)
    assert "You are not told when one of them moves or is cancelled" in told
    assert "a list of what is ahead would come, but none of your channels is for it." in told


def test_with_nothing_announced_no_next_reminder_is_promised(client: Client, alice: User) -> None:
    Contest.objects.all().delete()
    assert "No contest is announced at the moment." in said(client)


def test_where_nothing_of_what_is_announced_is_wanted_it_says_why(client: Client, alice: User) -> None:
    ContestFactory(platform="leetcode")
    save(client)
    assert "The only contest that is announced now is not for you: Its platform is not among those chosen." in said(
        client
    )
    ContestFactory(platform="leetcode")
    ContestFactory(is_training=True)
    assert (
        "Of the 3 contests that are announced now none is for you, mostly because:"
        " Its platform is not among those chosen." in said(client)
    )


@time_machine.travel(SATURDAY, tick=False)
def test_a_member_who_paused_is_told_until_when(client: Client, alice: User) -> None:
    save(client, paused="on")
    assert "You paused everything until you take it back." in why_nothing_comes(client)
    save(client, paused="on", paused_until="2026-11-25T18:00", time_zone="Asia/Tokyo")
    assert "You paused everything until Wednesday 18:00." in why_nothing_comes(client)
    save(client, paused="on", paused_until="2026-12-24T18:00", time_zone="Asia/Tokyo")
    assert "You paused everything until Thursday 24 December 2026, 18:00." in why_nothing_comes(client)


def test_a_member_whose_reminders_rest_is_told(client: Client, alice: User) -> None:
    Preference.objects.update(active=False)
    assert "rest because you were away for long" in why_nothing_comes(client)


def test_a_member_who_chose_no_platform_is_told(client: Client, alice: User) -> None:
    assert save(client, platforms=[]).status_code == 302
    assert "You chose no platform, and follow no contest." in why_nothing_comes(client)


def test_a_member_whose_address_is_not_confirmed_is_told(client: Client) -> None:
    member = MemberFactory(verified=False)
    client.force_login(member)
    assert "You have no channel" in why_nothing_comes(client)
    EmailAddress.objects.create(user=member, email=member.email, verified=False, primary=True)
    assert f"{member.email} is not confirmed yet." in why_nothing_comes(client)


def test_a_member_whose_channels_are_of_no_use_is_told_why(client: Client, alice: User) -> None:
    Channel.objects.create(user=alice, kind="whatsapp", address="+351911", verified_at=timezone.now())
    alice.channels.filter(kind="email").update(disabled_at=timezone.now(), disabled_reason="550 no such user")
    told = why_nothing_comes(client)
    assert "alice@example.org: It is off: 550 no such user" in told
    assert "+351911: WhatsApp is not set up on this site." in told
    ContestFactory()
    Preference.objects.update(lead_minutes=[60])
    alice.channels.filter(kind="email").update(disabled_at=None)
    assert "; the mail comes" in said(client)
    alice.channels.filter(kind="email").update(purposes=["digest"])
    assert "WhatsApp message comes" not in text(client.get("/preferences/"))
    alice.channels.filter(kind="email").update(disabled_at=None, purposes=["digest"])
    assert "None of your channels is for reminders. Choose one" in why_nothing_comes(client)


def test_the_page_shows_nothing_of_anybody_else(client: Client, alice: User) -> None:
    bob = MemberFactory(username="bob", preference__excluded_words=["bobsword"])
    ContestChoice.objects.create(user=bob, contest=ContestFactory(), wish="follow")
    page = client.get("/preferences/").content.decode()
    assert "bob" not in page
    assert "Besides" not in page


def test_the_page_asks_the_database_as_often_however_much_there_is(client: Client, alice: User) -> None:
    def queries() -> int:
        with CaptureQueriesContext(connection) as captured:
            assert client.get("/preferences/").status_code == 200
        return len(captured)

    ContestFactory()
    client.get("/preferences/")
    few = queries()
    for number in range(5):
        ContestChoice.objects.create(user=alice, contest=ContestFactory(), wish="follow")
        ContestFactory()
        Channel.objects.create(user=alice, kind="email", address=f"{number}@example.org", verified_at=timezone.now())
    assert queries() == few <= 10


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
    form = soup(response).select_one("main form")
    assert form is not None
    assert form["method"] == "post"
    assert wanted_for(channel) == ["changes", "digest", "reminders"]


@pytest.mark.parametrize(
    ("purpose", "what", "left"),
    [
        ("reminders", "reminders", ["changes", "digest"]),
        ("changes", "news of moved or cancelled contests", ["digest", "reminders"]),
        ("digest", "digests", ["changes", "reminders"]),
    ],
)
def test_the_mail_providers_one_click_ends_what_the_mail_was_for(
    channel: Channel, purpose: str, what: str, left: list[str]
) -> None:
    """RFC 8058: a POST from a stranger without cookies."""
    stranger = Client(enforce_csrf_checks=True)
    assert f"the address that got this message gets no more {what}." in text(stranger.get(link(channel, purpose)))
    response = stranger.post(link(channel, purpose), {"List-Unsubscribe": "One-Click"})
    assert response.status_code == 200
    assert f"That address gets no more {what}." in text(response)
    assert "/channels/" in response.content.decode()
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
