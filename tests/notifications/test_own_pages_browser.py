"""What members see of what they are told, in a real browser, on a desk and on a phone."""

import re
from datetime import datetime, time, timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.utils import timezone
from playwright.sync_api import Route, expect
from pytest_django.live_server_helper import LiveServer

from contests.models import Contest, Platform
from notifications.models import CalendarFeed, Channel, ContestChoice, Notification
from tests.chromium import PHONE, WIDE, Open, complaints, drives_chromium, sideways
from tests.factories import ContestFactory, MemberFactory, NotificationFactory
from tests.times import DAY, HOUR

pytestmark = drives_chromium


@pytest.fixture
def alice(live_server: LiveServer) -> User:
    Platform.objects.update(last_success_at=timezone.now())
    member: User = MemberFactory(username="alice", preference__time_zone="Europe/Berlin")
    return member


def told(channel: Channel, name: str, ago: timedelta, now: datetime, **fields: Any) -> Notification:
    starts_at = fields.pop("starts_at", now + HOUR)
    platform = fields.pop("platform", "codeforces")
    contest = fields.pop("contest", None) or ContestFactory(name=name, starts_at=starts_at, platform=platform)
    fields = {"status": "sent", "sent_at": now - ago} | fields
    return NotificationFactory(channel=channel, contest=contest, due_at=now - ago, available_at=now - ago, **fields)


def fill(alice: User) -> None:
    """Something of every kind and state, in quiet hours and out of them."""
    now = timezone.now().replace(microsecond=0)
    alice.preference.__class__.objects.filter(user=alice).update(quiet_from=time(22), quiet_until=time(7))
    mail = alice.channels.get()
    phone = Channel.objects.create(user=alice, kind="push", address="https://push.example/1", label="Alice's phone")
    Channel.objects.filter(pk=phone.pk).update(verified_at=now)
    long_name = "The 2026 International Collegiate Contest of a Rather Long Name, Regional Round (Div. 1 + Div. 2)"
    ContestFactory(name=long_name, starts_at=now + 3 * DAY, platform="atcoder")
    ContestFactory(name="Weekly Contest", starts_at=now + 4 * DAY, platform="leetcode")
    muted = ContestFactory(name="Muted one", starts_at=now + 5 * DAY)
    ContestChoice.objects.create(user=alice, contest=muted, wish="mute")
    twice = told(mail, "Round 1", HOUR, now, read_at=now)
    told(phone, "Round 1", HOUR, now, read_at=now, contest=twice.contest)
    told(mail, long_name, 2 * HOUR, now, platform="atcoder")
    told(mail, "Moved round", 3 * HOUR, now, kind="moved", was_at=now + 5 * HOUR, lead_minutes=0)
    told(mail, "Cancelled round", DAY, now, kind="cancelled", lead_minutes=0, platform="leetcode")
    told(phone, "Failed round", 2 * DAY, now, status="failed", sent_at=None, error="410 The subscription is gone.")
    told(mail, "Expired round", 2 * DAY, now, status="expired", error="The contest began before this could be sent.")
    told(mail, "Skipped round", 3 * DAY, now, status="skipped", error="It is muted.")
    waiting = told(
        mail, "Waiting round", HOUR, now, status="pending", sent_at=None, attempts=1, error="421 Come later."
    )
    Notification.objects.filter(pk=waiting.pk).update(available_at=now + HOUR)
    off = told(mail, "Gone", 4 * DAY, now, kind="channel-off", lead_minutes=0, detail="+49 151: that number is gone.")
    Contest.objects.filter(name="Gone").delete()
    Notification.objects.filter(pk=off.pk).update(contest_name="")


PAGES = (
    "/reminders/",
    "/reminders/?show=everything",
    "/reminders/?state=failed",
    "/reminders/?state=expired&after=20200101T000000000000-1",
    "/inbox/",
    "/inbox/?show=unread",
    "/calendar/",
    "/calendar/forged.ics",
    "/account/",
    "/account/delete/",
)


@pytest.mark.parametrize("width", [WIDE, PHONE])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing(visit: Open, alice: User, scheme: str, width: int) -> None:
    page = visit("/reminders/", width, member=alice, color_scheme=scheme)
    found = complaints(page)
    for path in ("/inbox/", "/calendar/"):  # while there is nothing to show
        page.goto(path)
        found += complaints(page)
    fill(alice)
    CalendarFeed.objects.create(user=alice)
    for path in PAGES:
        page.goto(path)
        found += complaints(page)
        assert sideways(page) == 0, path
    assert found == []


@pytest.mark.parametrize("scripts", [True, False], ids=["scripts", "no scripts"])
def test_the_inbox_is_read_by_keyboard_and_counts_down(visit: Open, alice: User, scripts: bool) -> None:
    fill(alice)
    page = visit("/inbox/", member=alice, scripts=scripts)
    link = page.get_by_role("navigation", name="Main").get_by_role("link", name="Inbox")
    expect(link).to_have_text("Inbox 4 unread")
    page.get_by_role("button", name=re.compile("^Mark as read ?: Moved round")).press("Enter")
    expect(link).to_have_text("Inbox 3 unread")
    page.get_by_role("button", name=re.compile("^Cancelled round is cancelled")).press("Enter")
    expect(page.get_by_role("heading", name="Cancelled round")).to_be_visible()
    expect(link).to_have_text("Inbox 2 unread")
    page.goto("/inbox/?show=unread")
    expect(page.locator(".thing")).to_have_count(2)
    page.get_by_role("button", name="Mark all as read").click()
    expect(page.get_by_text("You have read everything.")).to_be_visible()
    expect(link).to_have_text("Inbox")


def test_going_through_the_pages_reads_nothing(visit: Open, alice: User) -> None:
    fill(alice)
    page = visit("/inbox/", member=alice)
    for path in PAGES:
        page.goto(path)
    assert Notification.objects.filter(status="sent", read_at=None).count() == 4


def test_a_calendar_is_made_copied_renewed_and_ended(visit: Open, alice: User, live_server: LiveServer) -> None:
    page = visit("/calendar/", member=alice, permissions=["clipboard-read", "clipboard-write"])
    page.get_by_role("button", name="Make my calendar's address").click()
    first = page.get_by_label("Address to subscribe to").input_value()
    page.get_by_role("button", name="Copy").click()
    expect(page.get_by_role("button", name="Copied")).to_be_visible()
    assert page.evaluate("navigator.clipboard.readText()") == first
    webcal = page.get_by_role("link", name="Subscribe on this device").get_attribute("href")
    assert webcal == first.replace("http://", "webcal://")

    page.get_by_role("button", name="Renew the address").click()
    expect(page.get_by_text("The old one works no more.")).to_be_visible()
    assert page.get_by_label("Address to subscribe to").input_value() != first
    page.goto(re.sub("^https?://[^/]+", live_server.url, first))
    expect(page.get_by_role("heading", name="No calendar here")).to_be_visible()
    page.get_by_role("link", name="take its address").click()
    page.get_by_role("button", name="End the calendar").click()
    expect(page.get_by_role("button", name="Make my calendar's address")).to_be_visible()


def test_the_data_is_downloaded_and_the_account_deleted_on_a_phone(visit: Open, alice: User) -> None:
    fill(alice)
    page = visit("/", PHONE, member=alice)
    page.get_by_text("Account", exact=True).click()
    page.get_by_role("link", name="Your data").click()
    with page.expect_download() as download:
        page.get_by_role("link", name="Download my data").click()
    assert "alice@example.org" in download.value.path().read_text()
    page.get_by_role("link", name="Delete my account").click()
    page.get_by_label("Your password").fill("wrong")
    page.get_by_role("button", name="Delete everything").click()
    expect(page.get_by_text("This is not your password.")).to_be_visible()
    page.get_by_label("Your password").fill("correct horse")
    page.get_by_role("button", name="Delete everything").click()
    expect(page.get_by_text("Your account is deleted")).to_be_visible()
    expect(page.get_by_role("link", name="Sign in")).to_be_visible()
    assert not User.objects.exists()


def test_who_clicks_twice_sends_once(visit: Open, alice: User) -> None:
    page = visit("/channels/", member=alice)
    sent: list[Route] = []
    page.route("**/test/", lambda route: sent.append(route))
    twice = "button => [0, 200].forEach((after) => setTimeout(() => button.click(), after))"
    page.get_by_role("button", name="Send a test").evaluate(twice)
    page.wait_for_timeout(500)
    assert len(sent) == 1
    sent[0].continue_()
    expect(page.get_by_text("Test of")).to_be_visible()
    assert Notification.objects.filter(kind="test").count() == 1


def test_who_closes_the_menu_by_keyboard_stays_at_it(visit: Open, alice: User) -> None:
    page = visit("/inbox/", member=alice)
    menu = page.locator("summary", has_text="Account")
    menu.press("Enter")
    page.get_by_role("link", name="Your data").focus()
    page.keyboard.press("Escape")
    expect(page.get_by_role("link", name="Your data")).to_be_hidden()
    expect(menu).to_be_focused()
