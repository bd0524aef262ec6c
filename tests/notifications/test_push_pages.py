"""Turning push on and off, as the page's script and the service worker ask for it."""

import json
from datetime import timedelta
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone
from pytest_django import DjangoAssertNumQueries, Settings

from notifications import browsers
from notifications.channels.push import public_key
from notifications.dispatch import dispatch
from notifications.models import Channel, Notification, Status
from notifications.views.push import MOST_BROWSERS
from tests.factories import ContestFactory, MemberFactory
from tests.push_service import Answer, Browser, PushService, base64url

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("service")]

FIREFOX = "Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:142.0) Gecko/20100101 Firefox/142.0"


class Script:
    """What runs in a member's browser: it has their session, and the token that the server gave it."""

    def __init__(self, member: Any = None) -> None:
        self.client = Client(enforce_csrf_checks=True, headers={"User-Agent": FIREFOX})
        if member:
            self.client.force_login(member)
        self.token = self.key().get("csrf_token", "")

    def key(self) -> Any:
        return self.client.get(reverse("push-key")).json()

    def post(self, name: str, content: object, **headers: str) -> Any:
        body = content if isinstance(content, str | bytes) else json.dumps(content)
        headers = {"X-CSRFToken": self.token, **headers}
        return self.client.post(reverse(name), body, content_type="application/json", headers=headers)

    def subscribe(self, browser: Browser, **more: Any) -> Any:
        return self.post("push-subscribe", {"endpoint": browser.endpoint, "keys": browser.keys, **more})

    def unsubscribe(self, browser: Browser) -> Any:
        return self.post("push-unsubscribe", {"endpoint": browser.endpoint})


def test_while_the_key_is_refused_everybody_waits_and_staff_are_called_once(
    service: PushService, caplog: pytest.LogCaptureFixture
) -> None:
    for _ in range(3):
        browser = service.browser(public_key())
        Script(MemberFactory(verified=False)).subscribe(browser)
        service.answers[browser.endpoint] = Answer(403, b'{"reason":"BadJwtToken"}')
    ContestFactory(starts_at=timezone.now() + timedelta(hours=3))
    assert dispatch().total("postponed") == 3
    (called,) = (record for record in caplog.records if record.levelname == "ERROR")
    assert "needs its operator" in called.getMessage()

    service.answers.clear()
    Notification.objects.update(available_at=timezone.now())
    assert dispatch().total("sent") == 3


def endpoints(member: Any) -> set[str]:
    return set(Channel.objects.usable().filter(user=member, kind="push").values_list("address", flat=True))


def test_alice_turns_push_on_and_is_reminded_by_it(service: PushService) -> None:
    alice, browser = MemberFactory(verified=False), service.browser(public_key())
    assert Script(alice).subscribe(browser).status_code == 200
    channel = Channel.objects.get(user=alice)
    assert (channel.kind, channel.address, channel.keys) == ("push", browser.endpoint, browser.keys)
    assert channel.label == "Firefox on Windows"
    contest = ContestFactory(name="Round 1000", starts_at=timezone.now() + timedelta(minutes=50))

    report = dispatch()

    assert report.total("sent") == report.planned == 2  # both leads, in one message
    (received,) = service.received
    assert "Round 1000" in received.payload["title"]
    assert "--" not in received.payload["body"]
    assert "http" not in received.payload["body"]
    assert received.payload["url"].endswith(contest.get_absolute_url())
    assert received.topic == f"contest-{contest.pk}"
    assert received.urgency == "high"
    assert 45 * 60 < received.ttl <= 50 * 60
    assert {n.status for n in Notification.objects.all()} == {Status.SENT}


def test_a_subscription_that_its_browser_withdrew_is_no_channel_any_more(service: PushService) -> None:
    alice, browser = MemberFactory(verified=False), service.browser()
    Script(alice).subscribe(browser)
    service.answers[browser.endpoint] = Answer(410)
    ContestFactory()
    dispatch()
    channel = Channel.objects.get(kind="push")
    assert channel.disabled_at
    assert "410 Gone" in channel.disabled_reason
    assert channel.keys == {}
    assert not Notification.objects.filter(kind="channel-off").exists()


def test_one_push_service_that_is_down_keeps_nobody_else_waiting(service: PushService, settings: Settings) -> None:
    alice, bob = MemberFactory(verified=False), MemberFactory(verified=False)
    with PushService() as dead:
        settings.PUSH_TRUSTED_ORIGINS = [service.origin, dead.origin]
        Script(alice).subscribe(dead.browser())
    Script(bob).subscribe(service.browser())
    ContestFactory()
    dispatch()
    told = dict(Notification.objects.filter(channel__kind="push").values_list("channel__user", "status"))
    assert told == {alice.pk: Status.PENDING, bob.pk: Status.SENT}
    assert "refused the connection" in Notification.objects.get(channel__kind="push", channel__user=alice).error


def test_turning_it_on_again_changes_the_one_channel_and_keeps_its_name(service: PushService) -> None:
    alice, browser = MemberFactory(), service.browser()
    script = Script(alice)
    script.subscribe(browser)
    Channel.objects.filter(kind="push").update(label="At work", disabled_at=timezone.now(), purposes=["digest"])
    again = Browser(browser.endpoint)
    script.subscribe(again)
    channel = Channel.objects.get(kind="push")
    assert (channel.label, channel.keys, channel.disabled_at) == ("At work", again.keys, None)
    assert channel.purposes == ["digest"]


def test_who_signs_in_on_the_same_browser_gets_its_push_and_the_one_before_no_more(service: PushService) -> None:
    alice, bob, browser = MemberFactory(), MemberFactory(), service.browser()
    Script(alice).subscribe(browser)
    Script(bob).subscribe(browser)
    assert (endpoints(alice), endpoints(bob)) == (set(), {browser.endpoint})


def test_who_only_knows_the_address_takes_it_from_nobody(service: PushService) -> None:
    alice, mallory, browser = MemberFactory(), MemberFactory(), service.browser()
    Script(alice).subscribe(browser)
    Script(mallory).subscribe(Browser(browser.endpoint))
    Script(mallory).unsubscribe(browser)
    assert endpoints(alice) == {browser.endpoint}


def test_alice_turns_push_off_in_one_of_two_browsers(service: PushService) -> None:
    alice, one, other = MemberFactory(), service.browser(), service.browser()
    script = Script(alice)
    script.subscribe(one)
    script.subscribe(other)
    assert set(script.key()["endpoints"]) == {one.endpoint, other.endpoint}
    assert script.unsubscribe(one).status_code == 200
    assert endpoints(alice) == {other.endpoint}
    assert script.key()["endpoints"] == [other.endpoint]
    assert script.unsubscribe(one).status_code == 200


def test_a_browser_that_gets_another_address_stays_the_same_channel(service: PushService) -> None:
    alice, old, new = MemberFactory(), service.browser(), service.browser()
    script = Script(alice)
    script.subscribe(old)
    before = Channel.objects.get(kind="push")
    Channel.objects.filter(pk=before.pk).update(purposes=["changes"])
    assert script.subscribe(new, replaces=old.endpoint).status_code == 200
    after = Channel.objects.get(kind="push")
    assert (after.pk, after.address, after.keys, after.purposes) == (before.pk, new.endpoint, new.keys, ["changes"])
    assert script.subscribe(new, replaces=new.endpoint).status_code == 200
    assert endpoints(alice) == {new.endpoint}


def test_an_address_that_was_there_before_takes_over(service: PushService) -> None:
    alice, old, new = MemberFactory(), service.browser(), service.browser()
    script = Script(alice)
    script.subscribe(new)
    script.subscribe(old)
    assert script.subscribe(new, replaces=old.endpoint).status_code == 200
    assert endpoints(alice) == {new.endpoint}


def test_what_was_turned_off_stays_off_when_the_browser_gets_another_address(service: PushService) -> None:
    alice, bob, old, new = MemberFactory(), MemberFactory(), service.browser(), service.browser()
    script = Script(alice)
    script.subscribe(old)
    script.unsubscribe(old)
    answer = script.subscribe(new, replaces=old.endpoint)
    assert (answer.status_code, answer.json()) == (404, {"error": "Push was turned off for this browser."})
    Script(bob).subscribe(old)
    assert script.subscribe(new, replaces=old.endpoint).status_code == 404
    assert (endpoints(alice), endpoints(bob)) == (set(), {old.endpoint})


def test_nobody_has_push_in_more_browsers_than_a_person_has(service: PushService) -> None:
    script = Script(MemberFactory())
    all_of_them = [service.browser() for _ in range(MOST_BROWSERS)]
    assert {script.subscribe(browser).status_code for browser in all_of_them} == {200}
    answer = script.subscribe(service.browser())
    assert (answer.status_code, answer.json()["error"][:24]) == (409, "Push is on in 20 browser")
    assert script.subscribe(all_of_them[0]).status_code == 200
    script.unsubscribe(all_of_them[0])
    assert script.subscribe(service.browser()).status_code == 200


# What is refused

KEYS = Browser("").keys
GOOD = {"endpoint": "https://push.example.org/1", "keys": KEYS}
BAD = {
    "no JSON": "{",
    "a list": [],
    "deep": "[" * 8000,
    "bytes": b"\xff",
    "nothing": {},
    "no endpoint": {"keys": KEYS},
    "a number": {**GOOD, "endpoint": 1},
    "a NUL": {**GOOD, "endpoint": "https://push.example.org/\0"},
    "no https": {**GOOD, "endpoint": "http://push.example.org/1"},
    "another port": {**GOOD, "endpoint": "http://127.0.0.1:1/push"},
    "a private address": {**GOOD, "endpoint": "https://169.254.169.254/latest"},
    "this machine": {**GOOD, "endpoint": "https://[::1]:8000/"},
    "two hosts": {**GOOD, "endpoint": "https://10.0.0.1\\@push.example.org/"},
    "a password": {**GOOD, "endpoint": "https://a:b@push.example.org/"},
    "a script": {**GOOD, "endpoint": "javascript:alert(1)"},
    "half an address": {**GOOD, "endpoint": "https://["},
    "a space": {**GOOD, "endpoint": "https://push.example.org/ 1"},
    "long": {**GOOD, "endpoint": f"https://push.example.org/{'x' * 1000}"},
    "no keys": {**GOOD, "keys": None},
    "half the keys": {**GOOD, "keys": {"auth": KEYS["auth"]}},
    "a short secret": {**GOOD, "keys": {**KEYS, "auth": KEYS["auth"][:-2]}},
    "a long secret": {**GOOD, "keys": {**KEYS, "auth": base64url(bytes(17))}},
    "no point": {**GOOD, "keys": {**KEYS, "p256dh": base64url(b"\4" + bytes(64))}},
    "a short point": {**GOOD, "keys": {**KEYS, "p256dh": base64url(b"\2" + bytes(31) + b"\5")}},
    "no base64url": {**GOOD, "keys": {**KEYS, "p256dh": "é" * 87}},
    "what it replaces": {**GOOD, "replaces": ["x"]},
    "half a character": {**GOOD, "replaces": "\ud800"},
}


@pytest.mark.parametrize("content", BAD.values(), ids=BAD.keys())
def test_what_is_no_subscription_is_refused_with_a_sentence(content: object) -> None:
    answer = Script(MemberFactory()).post("push-subscribe", content)
    assert answer.status_code == 400
    assert answer.json()["error"].endswith(".")
    assert not Channel.objects.filter(kind="push").exists()


def test_what_is_too_long_is_refused() -> None:
    assert Script(MemberFactory()).post("push-subscribe", {**GOOD, "x": "x" * 9000}).status_code == 413


def test_more_than_the_keys_is_not_kept() -> None:
    Script(MemberFactory()).post(
        "push-subscribe", {**GOOD, "keys": {**KEYS, "more": "x" * 100}, "expirationTime": None}
    )
    assert Channel.objects.get(kind="push").keys == KEYS


@pytest.mark.parametrize("name", ["push-subscribe", "push-unsubscribe"])
def test_nobody_who_is_signed_out_changes_anything(service: PushService, name: str) -> None:
    alice, browser = MemberFactory(), service.browser()
    Script(alice).subscribe(browser)
    stranger = Script()
    assert stranger.key() == {"error": "You are signed out. Sign in and try again."}
    stranger.client.get(reverse("account_login"))
    stranger.token = stranger.client.cookies["csrftoken"].value
    answer = stranger.post(name, {"endpoint": browser.endpoint, "keys": browser.keys})
    assert (answer.status_code, answer.json()["error"]) == (401, "You are signed out. Sign in and try again.")
    assert endpoints(alice) == {browser.endpoint}


@pytest.mark.parametrize("name", ["push-subscribe", "push-unsubscribe"])
def test_no_other_site_changes_anything_in_alices_name(service: PushService, name: str) -> None:
    alice, browser, other = MemberFactory(), service.browser(), service.browser()
    script = Script(alice)
    script.subscribe(browser)
    script.token = ""
    for target in (browser, other):
        answer = script.post(name, {"endpoint": target.endpoint, "keys": target.keys})
        assert answer.status_code == 403
    assert endpoints(alice) == {browser.endpoint}


def test_a_get_changes_nothing_and_no_answer_is_kept_by_anybody(service: PushService) -> None:
    script = Script(MemberFactory())
    assert script.client.get(reverse("push-subscribe")).status_code == 405
    assert "no-store" in script.client.get(reverse("push-key"))["Cache-Control"]
    assert "no-store" in script.subscribe(service.browser())["Cache-Control"]


def test_without_a_key_there_is_no_push(settings: Settings) -> None:
    settings.VAPID_PRIVATE_KEY = ""
    script = Script(MemberFactory())
    answer = script.client.get(reverse("push-key"))
    assert (answer.status_code, answer.json()) == (404, {"error": "Push is not set up here."})
    assert b"Push is not set up on this site" in script.client.get(reverse("channels")).content


def test_the_page_of_channels_says_what_to_do_without_scripts() -> None:
    page = Script(MemberFactory()).client.get(reverse("channels")).content.decode()
    assert "Turning push on needs JavaScript" in page


def test_the_key_costs_few_queries(django_assert_max_num_queries: DjangoAssertNumQueries) -> None:
    script = Script(MemberFactory())
    for n in range(3):
        script.post("push-subscribe", {**GOOD, "endpoint": f"https://push.example.org/{n}"})
    with django_assert_max_num_queries(5):
        assert len(script.key()["endpoints"]) == 3


# The app


def test_the_service_worker_is_at_the_root_and_looked_at_each_time() -> None:
    answer = Client().get("/service-worker.js")
    assert answer["Content-Type"] == "text/javascript; charset=utf-8"
    assert answer["Cache-Control"] == "no-cache"
    script = answer.content.decode()
    assert '"/static/icon-192.png"' in script
    assert "{%" not in script


def test_the_site_can_be_installed_as_an_app() -> None:
    assert '<link rel="manifest" href="/manifest.webmanifest">' in Client().get("/").content.decode()
    answer = Client().get("/manifest.webmanifest")
    assert answer["Content-Type"] == "application/manifest+json"
    described = answer.json()
    assert (described["start_url"], described["display"], described["short_name"]) == ("/", "standalone", "CodeNotify")
    for icon in described["icons"]:
        picture = b"".join(Client().get(icon["src"]).streaming_content)  # type: ignore[attr-defined]  # a file's
        if icon["type"] == "image/png":
            assert picture.startswith(b"\x89PNG")
            width, height = (int.from_bytes(picture[at : at + 4]) for at in (16, 20))
            assert icon["sizes"] == f"{width}x{height}"
        else:
            assert picture.startswith(b"<svg")


CHROME = "AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0"
SAFARI = "AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.5"
AGENTS = {
    FIREFOX: "Firefox on Windows",
    f"Mozilla/5.0 (X11; Linux x86_64) {CHROME} Safari/537.36": "Chrome on Linux",
    f"Mozilla/5.0 (Windows NT 10.0; Win64; x64) {CHROME} Safari/537.36 Edg/140.0.0.0": "Edge on Windows",
    f"Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) {SAFARI} Safari/605.1.15": "Safari on Mac",
    f"Mozilla/5.0 (iPhone; CPU iPhone OS 18_5 like Mac OS X) {SAFARI} Mobile/15E148 Safari/604.1": "Safari on iPhone",
    "Mozilla/5.0 (Linux; Android 15; SM-S931B) AppleWebKit/537.36 (KHTML, like Gecko) SamsungBrowser/28.0 "
    "Chrome/130.0.0.0 Mobile Safari/537.36": "Samsung Internet on Android",
    "Mozilla/5.0 (Android 15; Mobile; rv:142.0) Gecko/142.0 Firefox/142.0": "Firefox on Android",
    f"Mozilla/5.0 (X11; CrOS x86_64 14541.0.0) {CHROME} Safari/537.36": "Chrome on ChromeOS",
    "curl/8": "A browser",
    "": "A browser",
}


@pytest.mark.parametrize(("agent", "name"), AGENTS.items(), ids=AGENTS.values())
def test_a_browser_is_called_what_people_call_it(agent: str, name: str) -> None:
    assert browsers.name(agent) == name
