"""The pages of contests for those who see little, use no mouse, or hold a phone: in a real browser, judged by axe."""

from datetime import timedelta

import pytest
from axe_playwright_python.sync_playwright import Axe
from django.utils import timezone
from playwright.sync_api import expect
from pytest_django.live_server_helper import LiveServer

from contests.models import Contest, ContestChange, Platform
from tests.chromium import PHONE, WIDE, Open, complaints, drives_chromium, sideways
from tests.factories import ContestFactory

pytestmark = drives_chromium


@pytest.fixture
def contest(live_server: LiveServer) -> Contest:
    """One of many of all kinds: it has moved, others run, are cancelled, go on for days, and a platform is down."""
    now = timezone.now().replace(microsecond=0)
    Platform.objects.update(last_success_at=now)
    Platform.objects.filter(code="codechef").update(last_error_at=now, last_error="It is down.")
    moved = ContestFactory(name="Moved round", starts_at=now + timedelta(days=1), is_rated=True)
    before = (moved.starts_at - timedelta(days=2)).isoformat()
    ContestChange.objects.create(
        contest=moved, field="starts_at", old=before, new=moved.starts_at.isoformat(), changed_at=now
    )
    ContestFactory(name="Cancelled round", starts_at=now + timedelta(hours=20), cancelled_at=now, platform="atcoder")
    ContestFactory(name="Long one", starts_at=now - timedelta(days=1), duration=timedelta(days=9), platform="codechef")
    ContestFactory(name="Unrated one", is_rated=False, platform="leetcode")
    ContestFactory(name="Training", is_training=True, platform="atcoder")
    return moved


def this_month() -> str:
    return f"/contests/month/{timezone.now():%Y-%m}/"


@pytest.mark.parametrize("width", [WIDE, PHONE])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing(visit: Open, contest: Contest, scheme: str, width: int) -> None:
    cancelled = Contest.objects.get(name="Cancelled round")
    page = visit("/?trainings=1", width, color_scheme=scheme)
    found = complaints(page)
    for path in (
        "/?q=nothing+at+all",
        this_month(),
        contest.get_absolute_url(),
        cancelled.get_absolute_url(),
        "/contests/codeforces/0/",
        "/accounts/login/",
        "/accounts/signup/",
    ):
        page.goto(path)
        found += complaints(page)
        assert sideways(page) == 0, path
    assert found == []


def test_axe_would_find_something(visit: Open, contest: Contest) -> None:
    page = visit("/")
    page.evaluate("document.querySelector('label[for=longest]').remove()")
    page.evaluate("document.querySelector('.left').style.color = '#ddd'")
    assert {"select-name", "color-contrast"} <= {found["id"] for found in Axe().run(page).response["violations"]}


def test_a_month_is_a_grid_where_there_is_room_and_a_list_of_days_with_contests_on_a_phone(
    visit: Open, contest: Contest
) -> None:
    page = visit(this_month())
    cells = page.locator(".day")
    expect(page.locator(".weekdays")).to_be_visible()
    assert page.locator(".day:visible").count() == cells.count()
    tops = page.evaluate("[...document.querySelectorAll('.day')].map((day) => day.getBoundingClientRect().top)")
    assert len({*tops[:7]}) == 1, "the days of a week stand side by side"
    assert tops[6] < tops[7]
    expect(page.locator(".month .cancelled a")).to_have_css("text-decoration-line", "line-through")

    page = visit(this_month(), PHONE)
    expect(page.locator(".weekdays")).to_be_hidden()
    expect(page.locator(".day.beside").first).to_be_hidden()
    for cell in page.locator(".day:visible").all():
        expect(cell.locator("li").first).to_be_visible()
        expect(cell.locator(".full")).to_be_visible()


def test_a_contest_is_found_and_opened_by_keyboard_alone(visit: Open, contest: Contest) -> None:
    page = visit("/")
    page.get_by_label("Words in the name").press_sequentially("moved")
    page.keyboard.press("Enter")
    expect(page.locator(".contest h3")).to_have_text(["Moved round"])
    for _ in range(60):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.textContent") == "Moved round":
            break
    outline = page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
    assert outline == "solid", "one sees where one is"
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="Moved round", level=1)).to_be_visible()
    expect(page.get_by_text("Moved from")).to_be_visible()


def test_the_months_own_view_keeps_what_was_chosen_in_the_list(visit: Open, contest: Contest) -> None:
    page = visit("/?q=moved")
    page.get_by_role("link", name="Month", exact=True).click()
    expect(page.get_by_label("Words in the name")).to_have_value("moved")
    page.get_by_label("Longest duration").select_option(label="At most 2 h")
    page.get_by_role("button", name="Search").click()
    page.wait_for_url(f"**{this_month()}?q=moved&longest=2")
    page.get_by_role("link", name="AtCoder", exact=True).click()
    page.wait_for_url("**/?platform=atcoder&longest=2&q=moved")
