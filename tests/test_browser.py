"""The pages in a real browser: what only scripts, style sheets and cookies decide."""

import re
from datetime import timedelta

import pytest
from django.core import mail
from django.utils import timezone
from playwright.sync_api import expect
from pytest_django.live_server_helper import LiveServer

from contests.models import Platform
from notifications.models import Channel, Preference
from tests.chromium import Open, drives_chromium, sideways, sign_in
from tests.factories import ContestFactory, MemberFactory

HOW_LOADED = "performance.getEntriesByType('navigation')[0].type"

pytestmark = drives_chromium


@pytest.fixture(autouse=True)
def all_were_read(live_server: LiveServer) -> None:
    Platform.objects.update(last_success_at=timezone.now())


def test_a_newcomer_signs_up_confirms_by_mail_and_is_signed_in_in_their_own_zone(visit: Open) -> None:
    page = visit(zone="Asia/Kolkata")
    page.get_by_role("navigation", name="Main").get_by_role("link", name="Sign up").click()
    page.get_by_label("Email").fill("zoe@example.org")
    page.get_by_label("Password").fill("a horse of course")
    page.get_by_role("button", name="Sign up").click()
    expect(page.get_by_role("heading", name="Look into your mail")).to_be_visible()

    link = re.search(r"http\S+/confirm-email/\S+", str(mail.outbox[0].body))
    assert link
    page.goto(link[0])
    assert not Channel.objects.exists()
    page.get_by_role("button", name="Yes, confirm").click()

    expect(page.get_by_text("zoe@example.org is confirmed")).to_be_visible()
    expect(page.get_by_text("Times in Asia/Kolkata")).to_be_visible()
    page.get_by_text("Account", exact=True).click()
    expect(page.get_by_role("button", name="Sign out")).to_be_visible()
    assert Channel.objects.usable().get().address == "zoe@example.org"


def test_a_visitors_times_are_local_after_one_reload(visit: Open) -> None:
    start = timezone.now().replace(hour=9, minute=15, second=0, microsecond=0) + timedelta(days=2)
    ContestFactory(starts_at=start)
    page = visit(zone="Asia/Tokyo")
    expect(page.get_by_text("Times in Asia/Tokyo")).to_be_visible()
    expect(page.locator(".contest time").first).to_have_text("18:15")
    assert page.evaluate(HOW_LOADED) == "reload"
    page.goto("/")
    page.wait_for_load_state("networkidle")
    assert page.evaluate(HOW_LOADED) == "navigate"


def test_a_visitor_who_takes_no_cookies_is_not_sent_round_in_circles(visit: Open) -> None:
    page = visit(zone="Asia/Tokyo")
    page.context.clear_cookies()
    page.add_init_script("Object.defineProperty(Document.prototype, 'cookie', {get: () => '', set: () => {}})")
    page.goto("/")
    page.wait_for_load_state("networkidle")
    expect(page.get_by_text("Times in UTC")).to_be_visible()
    assert page.evaluate(HOW_LOADED) == "navigate"


def test_a_member_saves_preferences_with_the_browsers_zone(visit: Open) -> None:
    alice = MemberFactory(username="alice")
    page = visit(zone="America/Sao_Paulo")
    sign_in(page, alice.email)
    page.get_by_role("link", name="Preferences").click()
    page.get_by_label("LeetCode").uncheck()
    page.get_by_label("48 h").check()
    page.get_by_label("Other lead times").fill("45 min, soon")
    expect(page.get_by_text("This browser is in America/Sao Paulo, but your time zone here is UTC.")).to_be_visible()
    page.get_by_role("button", name="Use America/Sao Paulo").click()
    expect(page.get_by_text("“soon” is not a length of time")).to_be_visible()
    expect(page.get_by_label("Time zone")).to_have_value("America/Sao_Paulo")

    page.get_by_label("Other lead times").fill("45 min")
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_text("Your preferences are saved.")).to_be_visible()
    expect(page.get_by_text("48 h, 24 h, 1 h and 45 min before")).to_be_visible()
    expect(page.get_by_role("button", name="Use America/Sao Paulo")).to_be_hidden()
    kept = Preference.objects.get(user=alice)
    assert kept.lead_minutes == [2880, 1440, 60, 45]
    assert kept.time_zone == "America/Sao_Paulo"
    assert "leetcode" not in kept.platforms


def test_chips_filter_and_the_address_keeps_the_choice(visit: Open) -> None:
    for platform in ("codeforces", "leetcode", "atcoder"):
        ContestFactory(platform=platform, name=f"{platform} round")
    page = visit()
    page.get_by_role("link", name="LeetCode", exact=True).click()
    expect(page.locator(".contest h3")).to_have_text(["leetcode round"])
    page.get_by_role("link", name="AtCoder", exact=True).click()
    expect(page.locator(".contest")).to_have_count(2)
    page.reload()
    expect(page.locator(".contest")).to_have_count(2)
    page.get_by_role("link", name="LeetCode", exact=True).click()
    expect(page.locator(".contest h3")).to_have_text(["atcoder round"])
    page.get_by_role("link", name="All platforms").click()
    expect(page.locator(".contest")).to_have_count(3)


def test_a_countdown_goes_on_and_says_what_the_server_says(visit: Open) -> None:
    ContestFactory(starts_at=timezone.now() + timedelta(hours=5, minutes=3, seconds=30))
    page = visit(scripts=False)
    served = page.locator(".left").inner_text()
    assert served == "in 5 h 3 min"
    page = visit()
    assert page.locator(".left").inner_text() == served
    page.clock.install()
    page.goto("/")
    page.clock.fast_forward("02:00:00")
    expect(page.locator(".left")).to_have_text("in 3 h 3 min")


@pytest.mark.parametrize("width", [360, 390])
def test_nothing_is_out_of_sight_on_a_phone(visit: Open, width: int) -> None:
    alice = MemberFactory(username="alice-with-an-address-that-is-longer-than-most-addresses-are")
    ContestFactory(name="Anextraordinarilylongnamewithoutanyplacetobreakitsaveinthemiddle" * 2)
    ContestFactory(starts_at=timezone.now() - timedelta(days=3), duration=timedelta(days=20), name="Running")
    Platform.objects.filter(code="atcoder").update(last_error_at=timezone.now(), last_error="https://" + "a" * 90)
    page = visit(width=width, zone="America/Argentina/ComodRivadavia")
    assert sideways(page) == 0
    for path in ("/accounts/signup/", "/accounts/login/", "/nowhere/", "/unsubscribe/damaged/"):
        page.goto(path)
        assert sideways(page) == 0, path
    sign_in(page, alice.email)
    for path in ("/", "/preferences/", "/channels/", "/accounts/password/change/"):
        page.goto(path)
        assert sideways(page) == 0, path
    page.get_by_text("Account", exact=True).click()
    box = page.locator(".menu-items").bounding_box()
    assert box is not None
    assert box["x"] >= 0
    assert box["x"] + box["width"] <= width
    page.keyboard.press("Escape")
    expect(page.locator(".menu-items")).to_be_hidden()
