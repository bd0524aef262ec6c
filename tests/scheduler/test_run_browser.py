"""Runs and pauses in a real browser, with a real worker and a real beat behind them."""

from collections.abc import Iterator
from typing import Any

import pytest
import requests
from playwright.sync_api import Page, expect, sync_playwright

from tests.chromium import CHROMIUM, FLAGS, drives_chromium, sideways
from tests.installation import Installation, eventually
from tests.smtp import free_port

pytestmark = drives_chromium

JOBS = "from tests.scheduler.sample_jobs import be_picky, work\n"
BOB = "from django.contrib.auth.models import User\nUser.objects.create_superuser('bob', 'bob@example.org', 'secret')"


@pytest.fixture(scope="module")
def site(installation: Installation) -> Iterator[str]:
    """The address of the whole service, at work."""
    port = free_port()
    site = f"http://127.0.0.1:{port}"
    installation.environment |= {"SITE_URL": site, "PORT": str(port)}
    installation.start("gunicorn", "tests.scheduler.web:application", "--bind", f"127.0.0.1:{port}", "--threads", "4")
    for process in ("worker --concurrency 2", "beat"):
        installation.start("celery", "-A", "tests.scheduler.application", *process.split(), "--loglevel", "INFO")
    installation.python(BOB)
    eventually(lambda: _answers(site), what="an answer of the pages")
    yield site
    installation.stop()


def _answers(site: str) -> bool:
    try:
        return requests.get(f"{site}/admin/login/", timeout=5).ok
    except requests.ConnectionError:
        return False


@pytest.fixture
def page(site: str) -> Iterator[Page]:
    """Signed in as Bob. No page may make its console complain."""
    complaints: list[str] = []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        context = browser.new_context(
            base_url=site, timezone_id="Asia/Kolkata", viewport={"width": 1280, "height": 900}
        )
        context.set_default_timeout(20_000)
        page = context.new_page()
        page.on("console", lambda message: complaints.append(message.text) if message.type == "error" else None)
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.goto("/admin/login/?next=/admin/")
        page.locator("input[name=username]").fill("bob")
        page.locator("input[name=password]").fill("secret")
        page.get_by_role("button", name="Log in").click()
        page.wait_for_url("**/admin/")
        yield page
        browser.close()
    assert complaints == []


def state(page: Page) -> Any:
    return page.locator("#run .run-state span").first


def ends(page: Page, *, as_: str) -> None:
    """The page comes to say so by itself: what it is told here, a reload would forget."""
    page.evaluate("window.neverLoadedAgain = true")
    expect(state(page)).to_have_text(as_, timeout=30_000)
    assert page.evaluate("window.neverLoadedAgain") is True
    expect(page.locator("#run[hx-get]")).to_have_count(0)


def test_a_failed_run_is_retried_and_watched_to_its_end_without_a_reload(
    installation: Installation, page: Page
) -> None:
    failed = installation.python(f"{JOBS}result = str(be_picky.delay('value').id)")
    page.goto(f"/admin/scheduler/run/{failed}/change/")
    ends(page, as_="failed")
    expect(page.locator(".run-error")).to_contain_text("ValueError: on purpose")
    page.get_by_text("Traceback", exact=True).click()
    expect(page.locator("details pre")).to_contain_text("sample_jobs.py")

    page.get_by_role("button", name="Retry").click()
    expect(page.get_by_text("It was asked for again: this is the new run.")).to_be_visible()
    assert failed not in page.url
    ends(page, as_="failed")
    expect(page.get_by_role("button", name="Retry")).to_be_visible()


def test_a_run_is_watched_while_it_runs_and_cancelled(installation: Installation, page: Page) -> None:
    running = installation.python(f"{JOBS}result = str(work.delay(seconds=2).id)")
    page.goto(f"/admin/scheduler/run/{running}/change/")
    ends(page, as_="succeeded")
    expect(page.locator(".run-texts")).to_contain_text('"done"')

    late = installation.python(f"{JOBS}result = str(work.apply_async(countdown=3600).id)")
    page.goto(f"/admin/scheduler/run/{late}/change/")
    expect(page.get_by_text("Not before")).to_be_visible()
    page.get_by_role("button", name="Cancel").click()
    expect(page.get_by_text("The run was cancelled before it started.")).to_be_visible()
    expect(state(page)).to_have_text("cancelled")


def test_everything_is_paused_and_resumed_from_the_banner_of_any_page(installation: Installation, page: Page) -> None:
    page.goto("/admin/scheduler/pause/add/")
    page.get_by_label("1 hour").check()
    page.get_by_label("Reason").fill("the disk is full")
    page.get_by_role("button", name="Save", exact=True).click()
    banner = page.locator(".scheduling-banner")
    expect(banner).to_contain_text("Everything is paused until")
    expect(banner).to_contain_text("by bob: the disk is full")
    expect(banner.locator("time")).to_contain_text(" here")  # in the reader's zone

    held = installation.python(f"{JOBS}result = str(work.delay().id)")
    page.goto(f"/admin/scheduler/run/{held}/change/")
    expect(page.locator(".timeline-now")).to_contain_text("Waiting")
    page.set_viewport_size({"width": 390, "height": 800})
    assert sideways(page) == 0
    page.get_by_role("button", name="Resume everything").click()
    expect(page.get_by_text("Runs that waited start now: 1.")).to_be_visible()
    assert held in page.url
    ends(page, as_="succeeded")
    expect(banner).to_have_count(0)


@pytest.mark.parametrize("path", ["run/", "pause/", "pause/add/", "runevent/"])
def test_nothing_is_out_of_sight_on_a_phone(page: Page, path: str) -> None:
    page.set_viewport_size({"width": 390, "height": 800})
    page.goto(f"/admin/scheduler/{path}")
    assert sideways(page) == 0
