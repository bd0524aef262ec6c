"""A WhatsApp number added in a real browser, by who holds a phone, sees little, or has turned scripts off."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect
from pytest_django.live_server_helper import LiveServer

from notifications.models import Channel
from tests.chromium import drives_chromium, sideways, sign_in
from tests.contests.test_accessibility import complaints
from tests.factories import MemberFactory
from tests.whatsapp import Graph, texts

pytestmark = drives_chromium

WIDE, PHONE = 1280, 390
NUMBER = "+4915123456789"

Open = Callable[..., Page]


@pytest.fixture
def sign_in_alice(browser: Browser, live_server: LiveServer) -> Iterator[Open]:
    contexts = []

    def sign_in_alice(width: int = WIDE, **options: Any) -> Page:
        MemberFactory(email="alice@example.org", preference__time_zone="Europe/Berlin")
        size = {"width": width, "height": 800}
        context = browser.new_context(base_url=live_server.url, viewport=size, **options)  # type: ignore[arg-type]  # a dict does for the TypedDict
        context.set_default_timeout(10_000)
        contexts.append(context)
        page = context.new_page()
        sign_in(page, "alice@example.org")
        page.goto("/channels/whatsapp/")
        return page

    yield sign_in_alice
    for context in contexts:
        context.close()


@pytest.mark.parametrize("options", [{}, {"java_script_enabled": False}], ids=["scripts", "no scripts"])
def test_a_number_is_added_with_keyboard_and_phone(graph: Graph, sign_in_alice: Open, options: dict[str, Any]) -> None:
    page = sign_in_alice(PHONE, **options)
    number = page.get_by_label("Your WhatsApp number")
    number.fill("01512 34567")
    number.press("Enter")
    expect(page.get_by_text("There is no number like “01512 34567”")).to_be_visible()
    number.fill("01512 3456789")
    number.press("Enter")

    expect(page.get_by_text("We sent a code of 6 digits by WhatsApp to +49 1512 3456789.")).to_be_visible()
    page.get_by_role("button", name="Send another code").click()
    expect(page.get_by_role("heading", name="Enter the code")).to_be_visible()
    older, newest = (texts(taken)[0] for taken in graph.to(NUMBER))
    code = page.get_by_label("The code")
    code.fill(f"{(int(newest) + 1) % 10**6:06}")
    code.press("Enter")
    expect(page.get_by_text("That is not the code: 4 tries are left.")).to_be_visible()
    code.fill(newest)
    page.get_by_role("button", name="Confirm the number").click()

    expect(page.get_by_text("+49 1512 3456789 gets your reminders from now on.")).to_be_visible()
    assert Channel.objects.usable().get(kind="whatsapp").address == NUMBER
    assert len(older) == len(newest) == 6


@pytest.mark.parametrize("width", [WIDE, PHONE])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing(graph: Graph, sign_in_alice: Open, scheme: str, width: int) -> None:
    page = sign_in_alice(width, color_scheme=scheme)
    found = complaints(page)
    page.get_by_label("Your WhatsApp number").fill("alice")
    page.get_by_role("button", name="Send the code").click()
    expect(page.get_by_text("is not a telephone number")).to_be_visible()
    found += complaints(page)
    page.get_by_label("Your WhatsApp number").fill(NUMBER)
    page.get_by_role("button", name="Send the code").click()
    expect(page.get_by_role("heading", name="Enter the code")).to_be_visible()
    found += complaints(page)
    assert sideways(page) == 0
    page.get_by_label("The code").fill("12")
    page.get_by_role("button", name="Confirm the number").click()
    expect(page.get_by_text("The code is a number of 6 digits.")).to_be_visible()
    found += complaints(page)
    assert found == []
