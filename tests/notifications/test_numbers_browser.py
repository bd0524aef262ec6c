"""A WhatsApp number added in a real browser, by who holds a phone, sees little, or has turned scripts off."""

import pytest
from django.contrib.auth.models import User
from playwright.sync_api import expect
from pytest_django.live_server_helper import LiveServer

from notifications.models import Channel
from tests.chromium import PHONE, WIDE, Open, complaints, drives_chromium, sideways
from tests.factories import MemberFactory
from tests.whatsapp import Graph, texts

pytestmark = drives_chromium

NUMBER = "+4915123456789"
PAGE = "/channels/whatsapp/"


@pytest.fixture
def alice(live_server: LiveServer) -> User:
    return MemberFactory(username="alice", preference__time_zone="Europe/Berlin")


@pytest.mark.parametrize("scripts", [True, False], ids=["scripts", "no scripts"])
def test_a_number_is_added_with_keyboard_and_phone(graph: Graph, visit: Open, alice: User, scripts: bool) -> None:
    page = visit(PAGE, PHONE, member=alice, scripts=scripts)
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
def test_axe_finds_nothing(graph: Graph, visit: Open, alice: User, scheme: str, width: int) -> None:
    page = visit(PAGE, width, member=alice, color_scheme=scheme)
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
