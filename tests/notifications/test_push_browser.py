"""Push in a real Chromium: turned on by its owner, shown by the service worker, opened by a click.

A browser is given its address by its maker's push service, over the Internet. That part alone is stood in for: the
script asks `PushManager`, which answers with a subscription of the local service's, and what that received is handed to
the browser through the DevTools protocol, as its maker's service would.
"""

import json
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.utils import timezone
from playwright.sync_api import Browser, Page, expect
from pytest_django import Settings
from pytest_django.live_server_helper import LiveServer

from notifications.channels.push import public_key
from notifications.dispatch import dispatch
from notifications.models import Channel
from tests.chromium import complaints, drives_chromium, sideways, sign_in
from tests.factories import ContestFactory
from tests.push_service import PushService

pytestmark = [
    *drives_chromium,
    pytest.mark.django_db(transaction=True),
]

CHANNELS = "/channels/"

MAKERS_PART = """
(subscription) => {
  const made = (key) => ({
    endpoint: subscription.endpoint,
    options: { applicationServerKey: key.buffer || key },
    toJSON: () => ({ ...subscription, expirationTime: null }),
    unsubscribe: async () => (localStorage.removeItem("made for"), true),
  });
  PushManager.prototype.subscribe = async ({ applicationServerKey }) => {
    localStorage.setItem("made for", JSON.stringify([...applicationServerKey]));
    return made(applicationServerKey);
  };
  PushManager.prototype.getSubscription = async () => {
    const key = localStorage.getItem("made for");
    return key ? made(new Uint8Array(JSON.parse(key))) : null;
  };
}
"""

CLICK = """
async (address) => {
  const opened = [];
  // Without a person's click, which no protocol makes, a browser opens no window.
  self.clients.openWindow = async (address) => opened.push(address);
  const [notification] = await self.registration.getNotifications();
  const waits = [];
  const click = new NotificationEvent("notificationclick", { notification });
  click.waitUntil = (promise) => waits.push(promise);
  self.dispatchEvent(click);
  await Promise.all(waits);
  return [opened, (await self.registration.getNotifications()).length];
}
"""

CHANGE = """
async ([old, subscription]) => {
  const left = [];
  const waits = [];
  const change = Object.assign(new Event("pushsubscriptionchange"), {
    oldSubscription: old,
    newSubscription: { toJSON: () => subscription, unsubscribe: async () => left.push(subscription.endpoint) },
    waitUntil: (promise) => waits.push(promise),
  });
  self.dispatchEvent(change);
  await Promise.all(waits);
  return left;
}
"""
"""A browser's own maker decides when; what the service worker then asks of the server is real."""

SHOWN = """
async () => {
  const shown = await (await navigator.serviceWorker.ready).getNotifications();
  return shown.map(({ title, body, tag, icon, data }) => ({ title, body, tag, icon, url: data.url }));
}
"""


@pytest.fixture
def page(
    browser: Browser, settings: Settings, service: PushService, live_server: LiveServer, alice: User
) -> Iterator[Page]:
    """Alice's profile, which allows them. No page may make its console complain, but of what it says itself."""
    settings.SITE_URL = live_server.url
    said: list[str] = []
    context = browser.new_context(base_url=live_server.url, permissions=["notifications"])
    context.set_default_timeout(10_000)
    page = context.new_page()
    page.on("console", lambda message: said.append(message.text) if message.type == "error" else None)
    page.on("pageerror", lambda error: said.append(str(error)))
    sign_in(page, alice.email)
    yield page
    context.close()
    expected = ("status of 400", "status of 404", "incognito")
    assert [complaint for complaint in said if not any(words in complaint for words in expected)] == []


class Wire:
    """Between a push service and a browser."""

    def __init__(self, page: Page) -> None:
        self._page, self._registrations = page, []  # type: ignore[var-annotated]  # what the protocol tells
        self._devtools = page.context.new_cdp_session(page)
        self._devtools.on("ServiceWorker.workerRegistrationUpdated", self._registered)
        self._devtools.send("ServiceWorker.enable")

    def _registered(self, event: Any) -> None:
        self._registrations += event["registrations"]

    def deliver(self, payload: str) -> None:
        self._page.evaluate("navigator.serviceWorker.ready.then(() => true)")
        origin = self._registrations[-1]["scopeURL"].rstrip("/")
        where = {"origin": origin, "registrationId": self._registrations[-1]["registrationId"]}
        self._devtools.send("ServiceWorker.deliverPushMessage", {**where, "data": payload})

    def shown(self, count: int = 1) -> Any:
        self._page.wait_for_function(
            f"navigator.serviceWorker.ready.then((r) => r.getNotifications()).then((all) => all.length === {count})"
        )
        return self._page.evaluate(SHOWN)


def test_alice_turns_push_on_gets_a_reminder_and_opens_the_contest(
    page: Page, alice: User, service: PushService
) -> None:
    contest = ContestFactory(name="Round <1000>", starts_at=timezone.now() + timedelta(minutes=50))
    browser = service.browser(public_key())
    page.add_init_script(f"({MAKERS_PART})({json.dumps({'endpoint': browser.endpoint, 'keys': browser.keys})})")
    page.goto(CHANNELS)
    expect(page.get_by_text("This browser gets no push yet.")).to_be_visible()
    page.get_by_role("button", name="Turn push on").click()
    expect(page.get_by_text("This browser gets push.")).to_be_visible()
    expect(page.get_by_role("button", name="Turn push on")).to_be_hidden()
    assert Channel.objects.get(user=alice, kind="push").label == "Chrome on Linux"
    expect(page.get_by_role("heading", name="Chrome on Linux verified")).to_be_visible()

    wire = Wire(page)
    dispatch()
    (received,) = service.received
    wire.deliver(json.dumps(received.payload))

    (shown,) = wire.shown()
    assert "Round <1000>" in shown["title"]
    assert shown["tag"] == f"contest-{contest.pk}"
    assert shown["icon"].endswith("/static/icon-192.png")
    (worker,) = page.context.service_workers
    (opened,), left = worker.evaluate(CLICK)
    assert left == 0
    page.goto(opened)
    expect(page.get_by_role("heading", name="Round <1000>")).to_be_visible()


def test_push_is_on_after_a_reload_until_it_is_turned_off(page: Page, alice: User, service: PushService) -> None:
    browser = service.browser()
    page.add_init_script(f"({MAKERS_PART})({json.dumps({'endpoint': browser.endpoint, 'keys': browser.keys})})")
    page.goto(CHANNELS)
    page.get_by_role("button", name="Turn push on").click()
    expect(page.get_by_text("This browser gets push.")).to_be_visible()
    page.reload()
    expect(page.get_by_text("This browser gets push.")).to_be_visible()
    page.get_by_role("button", name="Turn push off").click()
    expect(page.get_by_text("This browser gets no push yet.")).to_be_visible()
    assert not Channel.objects.usable().filter(user=alice, kind="push").exists()
    page.reload()
    expect(page.get_by_role("button", name="Turn push on")).to_be_visible()


def test_what_the_server_refuses_is_said_on_the_page(page: Page) -> None:
    elsewhere = {"endpoint": "http://push.example.org/1", "keys": {"p256dh": "x", "auth": "x"}}
    page.add_init_script(f"({MAKERS_PART})({json.dumps(elsewhere)})")
    page.goto(CHANNELS)
    page.route("**/push/subscribe/", lambda route: route.fulfill(json={"error": "Not so."}, status=400))
    page.get_by_role("button", name="Turn push on").click()
    expect(page.locator("[data-push-says]")).to_have_text("Not so.")
    expect(page.get_by_role("button", name="Turn push on")).to_be_enabled()


def test_a_browser_that_cannot_subscribe_says_why(page: Page) -> None:
    """As this one cannot: each test has a private window."""
    page.goto(CHANNELS)
    page.get_by_role("button", name="Turn push on").click()
    expect(page.locator("[data-push-says]")).to_contain_text("In a private window none can")
    expect(page.get_by_role("button", name="Turn push on")).to_be_enabled()
    assert not Channel.objects.filter(kind="push").exists()


def test_whatever_is_pushed_is_shown_and_no_click_leads_away(page: Page) -> None:
    page.goto(CHANNELS)
    wire = Wire(page)
    for payload in ("", "no JSON", "[]", "null", json.dumps({"title": "T", "tag": "t", "url": "https://evil.test/"})):
        wire.deliver(payload)
    shown = wire.shown(5)
    assert [each["title"] for each in shown].count("CodeNotify") == 4
    (worker,) = page.context.service_workers
    site = page.url.removesuffix(CHANNELS.removeprefix("/"))
    for left in (4, 3, 2, 1, 0):
        assert worker.evaluate(CLICK) == [[site], left]


def test_a_later_push_of_a_contest_takes_the_place_of_an_earlier_one(page: Page) -> None:
    page.goto(CHANNELS)
    wire = Wire(page)
    for title in ("in 24 hours", "in 1 hour"):
        wire.deliver(json.dumps({"title": title, "tag": "contest-1"}))
    page.wait_for_function(
        "navigator.serviceWorker.ready.then((r) => r.getNotifications()).then((all) => all[0]?.title === 'in 1 hour')"
    )
    assert [each["title"] for each in wire.shown()] == ["in 1 hour"]


def test_a_browser_that_is_given_another_address_tells_it_unless_push_was_turned_off(
    page: Page, alice: User, service: PushService
) -> None:
    old, new = service.browser(), service.browser()
    channel = Channel.objects.verify(alice, "push", old.endpoint, keys=old.keys)
    page.goto(CHANNELS)
    page.evaluate("navigator.serviceWorker.ready.then(() => true)")
    (worker,) = page.context.service_workers
    given = [{"endpoint": old.endpoint}, {"endpoint": new.endpoint, "keys": new.keys}]
    assert worker.evaluate(CHANGE, given) == []
    channel.refresh_from_db()
    assert (channel.address, channel.keys) == (new.endpoint, new.keys)
    Channel.objects.filter(pk=channel.pk).remove()
    again = [{"endpoint": new.endpoint}, {"endpoint": old.endpoint, "keys": old.keys}]
    assert worker.evaluate(CHANGE, again) == [old.endpoint]
    assert not Channel.objects.usable().filter(user=alice, kind="push").exists()


@pytest.mark.parametrize("width", [320, 1280])
def test_the_page_fits_and_axe_finds_nothing(page: Page, alice: User, service: PushService, width: int) -> None:
    browser = service.browser()
    Channel.objects.verify(alice, "push", browser.endpoint, keys=browser.keys, label="Firefox on Windows")
    page.set_viewport_size({"width": width, "height": 700})
    page.goto(CHANNELS)
    expect(page.get_by_role("button", name="Turn push on")).to_be_visible()
    assert sideways(page) <= 0
    assert complaints(page) == []
