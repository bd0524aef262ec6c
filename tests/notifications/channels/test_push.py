"""Web push against a real push service, which reads what it gets as the browser would."""

import json
import socket
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, timedelta
from email.utils import format_datetime
from uuid import UUID

import pytest
import time_machine
from cryptography.hazmat.primitives.asymmetric import ec
from django.core.management import call_command
from django.utils import timezone
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from pytest_django import Settings

from config import environment
from notifications.channels.base import ChannelDead, DeliveryError, GiveUp, Message, ProviderDown, RetryLater
from notifications.channels.push import LONGEST_PLAINTEXT, Push, public_key
from tests.push_service import Answer, Browser, PushService, base64url, point

Write = Callable[..., Message]


@pytest.fixture(autouse=True)
def our_address(settings: Settings, service: PushService) -> None:
    settings.VAPID_SUBJECT = "mailto:staff@example.org"


@pytest.fixture
def push() -> Iterator[Push]:
    with Push() as push:
        yield push


def message(browser: Browser, **changes: object) -> Message:
    plain = Message(
        id=UUID("019aa000-0000-7000-8000-000000000001"),
        address=browser.endpoint,
        keys=browser.keys,
        subject="Codeforces Round 1000 in 1 hour",
        text="Starts at 15:35.\nGood luck!",
        url="https://codenotify.example.org/contests/1/",
        tag="contest-1",
        expires_at=timezone.now() + timedelta(hours=3),
    )
    return replace(plain, **changes)  # type: ignore[arg-type]  # mypy knows no names of theirs


def failure(push: Push, about: Message) -> DeliveryError:
    with pytest.raises(DeliveryError) as caught:
        push.send(about)
    return caught.value


# What arrives


def test_alices_browser_reads_what_was_meant_for_it(push: Push, service: PushService) -> None:
    alice = service.browser(public_key())
    expires = timezone.now() + timedelta(hours=3)
    push.send(message(alice, expires_at=expires))
    (received,) = service.received
    assert received.browser is alice
    assert received.payload == {
        "title": "Codeforces Round 1000 in 1 hour",
        "body": "Starts at 15:35.\nGood luck!",
        "url": "https://codenotify.example.org/contests/1/",
        "tag": "contest-1",
        "id": "019aa000-0000-7000-8000-000000000001",
        "expires_at": expires.isoformat(),
    }
    assert (received.urgency, received.topic) == ("normal", "contest-1")
    assert 3 * 3600 - 10 < received.ttl <= 3 * 3600
    assert received.claims["sub"] == "mailto:staff@example.org"


@pytest.mark.parametrize(
    ("left", "ttl", "urgency"),
    [
        (timedelta(minutes=59, seconds=59.9), 3599, "high"),
        (timedelta(hours=1, seconds=1), 3601, "normal"),
        (timedelta(days=90), 2_592_000, "normal"),
        (timedelta(milliseconds=900), 0, "high"),
        (timedelta(seconds=-5), 0, "high"),
    ],
)
def test_a_service_keeps_a_message_until_it_is_worth_nothing(
    push: Push, service: PushService, left: timedelta, ttl: int, urgency: str
) -> None:
    with time_machine.travel(timezone.now(), tick=False):
        push.send(message(service.browser(), expires_at=timezone.now() + left))
    (received,) = service.received
    assert (received.ttl, received.urgency) == (ttl, urgency)


def test_a_message_without_a_tag_replaces_none(push: Push, service: PushService) -> None:
    push.send(message(service.browser(), tag=""))
    assert service.received[0].topic is None


@hypothesis_settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    subject=st.text(st.characters(exclude_categories=["Cs"]), max_size=400),
    text=st.text(st.characters(exclude_categories=["Cs"]), max_size=200).flatmap(
        lambda text: st.integers(0, 400).map(lambda times: text * times)
    ),
)
def test_a_long_message_is_cut_so_that_every_service_takes_it(
    push: Push, service: PushService, subject: str, text: str
) -> None:
    push.send(message(service.browser(), subject=subject, text=text))
    received = service.received.pop()
    assert received.size <= LONGEST_PLAINTEXT < 3000
    said = received.payload["body"]
    assert text.strip().startswith(said.removesuffix("…"))
    assert said or not text.strip()


def test_what_only_a_mail_must_say_stays_in_the_mail(push: Push, service: PushService) -> None:
    text = "Round 1000\nCodeforces · Sat 15:35\nhttps://codeforces.com/contest/1\n\n--\nNo more: https://a.org/unsubscribe/x/\n"
    push.send(message(service.browser(), text=text))
    assert service.received[0].payload["body"] == "Round 1000\nCodeforces · Sat 15:35"


def test_of_a_long_text_there_is_as_much_as_there_is_room_for(push: Push, service: PushService) -> None:
    for character in ("a", "é", "€", "😀", '"', "\0"):
        push.send(message(service.browser(), text=f"Go{character * 5000}!"))
        received = service.received.pop()
        assert LONGEST_PLAINTEXT - 20 < received.size <= LONGEST_PLAINTEXT
        assert received.payload["body"].endswith(f"{character}…")


def test_the_token_is_signed_once_for_a_service_and_again_when_half_of_its_life_is_over(
    push: Push, service: PushService
) -> None:
    browser, now = service.browser(), timezone.now()
    for later in (timedelta(0), timedelta(hours=5), timedelta(hours=7), timedelta(hours=7)):
        with time_machine.travel(now + later):
            push.send(message(browser, expires_at=now + timedelta(days=1)))
    tokens = [received.token for received in service.received]
    assert tokens[0] == tokens[1] != tokens[2] == tokens[3]


def test_a_clock_that_goes_back_gets_a_token_of_its_own(push: Push, service: PushService) -> None:
    """One of a clock that was ahead would be for longer than a day."""
    browser, now = service.browser(), timezone.now()
    with time_machine.travel(now + timedelta(days=3)):
        push.send(message(browser))
    push.send(message(browser))
    assert len(service.received) == 2


def test_each_service_gets_a_token_for_itself(push: Push, service: PushService, settings: Settings) -> None:
    with PushService() as other:
        settings.PUSH_TRUSTED_ORIGINS = [service.origin, other.origin]
        push.send(message(service.browser()))
        push.send(message(other.browser()))
        assert (len(service.received), len(other.received)) == (1, 1)


def test_eight_threads_send_over_eight_connections(push: Push, service: PushService) -> None:
    service.delay = 0.02
    browsers = [service.browser() for _ in range(80)]
    with ThreadPoolExecutor(Push.concurrency) as threads:
        list(threads.map(lambda browser: push.send(message(browser)), browsers))
    assert {received.browser for received in service.received} == set(browsers)
    assert service.connections == 8
    assert len({received.token for received in service.received}) == 1


# What the service answers


@pytest.mark.parametrize("status", [200, 201, 202, 204])
def test_any_success_is_one(push: Push, service: PushService, status: int) -> None:
    browser = service.browser()
    service.answers[browser.endpoint] = Answer(status)
    push.send(message(browser))
    assert service.requests == 1


AUTOPUSH_GONE = b'{"code":410,"errno":106,"error":"Gone","message":"Request did not validate"}'


@pytest.mark.parametrize(
    "answer",
    [
        Answer(404),
        Answer(410, AUTOPUSH_GONE),
        Answer(410, b"push subscription has unsubscribed or expired."),
        Answer(400, b'{"reason":"VapidPkHashMismatch"}'),
        Answer(403, b'{"reason":"VapidPkHashMismatch"}'),
    ],
)
def test_a_subscription_that_is_no_more_is_gone(push: Push, service: PushService, answer: Answer) -> None:
    browser = service.browser()
    service.answers[browser.endpoint] = answer
    error = failure(push, message(browser))
    assert isinstance(error, ChannelDead)
    assert error.gone


def test_a_subscription_for_another_key_is_gone(push: Push, service: PushService) -> None:
    another = base64url(point(ec.generate_private_key(ec.SECP256R1())))
    error = failure(push, message(service.browser(another)))
    assert isinstance(error, ChannelDead)
    assert error.gone
    assert "another VAPID key" in str(error)


@pytest.mark.parametrize("status", [429, 503])
def test_a_service_that_asks_to_be_left_alone_is_left_alone(push: Push, service: PushService, status: int) -> None:
    alice, bob = service.browser(), service.browser()
    service.answers[alice.endpoint] = Answer(status, headers={"Retry-After": "120"})
    now = timezone.now()
    with time_machine.travel(now):
        error = failure(push, message(alice))
        assert isinstance(error, RetryLater)
        assert error.after == timedelta(seconds=120)
        also = failure(push, message(bob))
        assert isinstance(also, RetryLater)
        assert also.after
        assert timedelta(seconds=110) < also.after <= timedelta(seconds=120)
        assert service.requests == 1
    with time_machine.travel(now + timedelta(seconds=125)):
        push.send(message(bob))
    assert len(service.received) == 1


def test_retry_after_may_be_a_date(push: Push, service: PushService) -> None:
    browser = service.browser()
    moment = format_datetime((timezone.now() + timedelta(minutes=10)).astimezone(UTC), usegmt=True)
    service.answers[browser.endpoint] = Answer(429, headers={"Retry-After": moment})
    error = failure(push, message(browser))
    assert isinstance(error, RetryLater)
    assert error.after
    assert timedelta(minutes=9) < error.after <= timedelta(minutes=10)


@pytest.mark.parametrize("status", [429, 500, 502, 503, 504])
def test_a_failure_of_the_service_passes(push: Push, service: PushService, status: int) -> None:
    alice, bob = service.browser(), service.browser()
    service.answers[alice.endpoint] = Answer(status, b'{"message":"Oh"}')
    error = failure(push, message(alice))
    assert isinstance(error, RetryLater)
    assert error.after is None
    assert "Oh" in str(error)
    push.send(message(bob))
    assert service.requests == 2


@pytest.mark.parametrize("status", [400, 401, 403])
def test_a_key_or_a_subject_that_is_wrong_loses_nothing_and_calls_for_staff(
    push: Push, service: PushService, status: int
) -> None:
    """And holds up nobody else: it may be one subscription that was made with another key."""
    browser, other = service.browser(), service.browser()
    service.answers[browser.endpoint] = Answer(status, b'{"reason":"BadJwtToken"}')
    error = failure(push, message(browser))
    assert isinstance(error, RetryLater)
    assert (error.alarming, error.after) == (True, None)
    assert "BadJwtToken" in str(error)
    push.send(message(other))
    del service.answers[browser.endpoint]
    push.send(message(browser))
    assert len(service.received) == 2


@pytest.mark.parametrize("status", [413, 301, 303, 307, 405])
def test_a_refusal_of_ours_loses_one_message_and_no_subscription(push: Push, service: PushService, status: int) -> None:
    browser = service.browser()
    headers = {"Location": f"{service.origin}/elsewhere"} if status < 400 else {}
    service.answers[browser.endpoint] = Answer(status, b'{"reason":"BadJwtToken"}', headers)
    error = failure(push, message(browser))
    assert isinstance(error, GiveUp)
    assert str(status) in str(error)
    del service.answers[browser.endpoint]
    push.send(message(browser))
    assert (service.requests, len(service.received)) == (2, 1)


def test_an_unsigned_token_is_refused_by_the_service_of_these_tests_too(
    push: Push, service: PushService, settings: Settings
) -> None:
    settings.VAPID_SUBJECT = "nobody"
    assert "BadJwtToken" in str(failure(push, message(service.browser())))


# Who does not answer


def test_one_dead_service_stops_no_other_and_is_asked_once_in_a_while(
    push: Push, service: PushService, settings: Settings
) -> None:
    with PushService() as dead:
        nobody = [dead.browser() for _ in range(3)]
    settings.PUSH_TRUSTED_ORIGINS = [service.origin, dead.origin]
    errors = [failure(push, message(browser)) for browser in nobody]
    assert all(isinstance(error, RetryLater) and not isinstance(error, ProviderDown) for error in errors)
    assert errors[0].args == errors[2].args
    assert "refused the connection" in str(errors[0])
    push.send(message(service.browser()))
    with socket.create_server(("127.0.0.1", int(dead.origin.rpartition(":")[2]))) as listener:
        listener.setblocking(False)
        failure(push, message(nobody[0]))
        with pytest.raises(BlockingIOError):
            listener.accept()
    assert len(service.received) == 1


def test_a_service_that_says_nothing_is_given_up_at_the_deadline(
    push: Push, service: PushService, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("notifications.channels.push.PATIENCE", 0.2)
    service.delay = 1
    error = failure(push, message(service.browser()))
    assert isinstance(error, RetryLater)
    assert "did not finish its answer within 0.2 s" in str(error)


# Where nobody may be asked

IN_NUMBERS = [
    "127.0.0.1",
    "127.9.9.9",
    "10.0.0.1",
    "169.254.169.254",
    "0.0.0.0",
    "[::1]",
    "[::ffff:10.0.0.1]",
    "[fd00::1]",
]
NO_HTTPS = [
    "http://push.example.org/1",
    "ftp://a.org/",
    "",
    "/push",
    "https://",
    "https://[",
    "https://a:x/",
    "about:1",
]
NO_KEYS = [{}, {"p256dh": "", "auth": ""}, {"p256dh": "A" * 87, "auth": "A" * 22}, {"p256dh": "é", "auth": "é"}]


@pytest.fixture
def names(monkeypatch: pytest.MonkeyPatch) -> None:
    """Names under .test resolve: private.test into the operator's network, mixed.test there and to this machine."""
    known = {"private.test": ["10.1.2.3"], "mixed.test": ["192.168.1.1", "::1"], "link.test": ["fe80::1"]}
    real = socket.getaddrinfo

    def resolve(name: str, port: object = None, *args: object, **options: object) -> object:
        if name not in known:
            return real(name, port, *args, **options)  # type: ignore[arg-type]  # whatever the caller passed
        families = [socket.AF_INET6 if ":" in address else socket.AF_INET for address in known[name]]
        return [
            (family, socket.SOCK_STREAM, 6, "", (a, port or 0)) for family, a in zip(families, known[name], strict=True)
        ]

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    monkeypatch.setenv("NO_PROXY", "*")


@pytest.mark.usefixtures("names")
@pytest.mark.parametrize(
    "host",
    [*IN_NUMBERS, "localhost", "127.1", "2130706433", "0x7f.1", "private.test", "mixed.test", "link.test"],
)
def test_an_endpoint_in_a_private_network_is_refused_and_not_asked(push: Push, service: PushService, host: str) -> None:
    port = service.origin.rpartition(":")[2]
    browser = replace_endpoint(service.browser(), f"https://{host}:{port}/push/1")
    error = failure(push, message(browser))
    assert isinstance(error, ChannelDead)
    assert not error.gone
    assert "is at a private address" in str(error)
    assert service.connections == 0


def replace_endpoint(browser: Browser, endpoint: str) -> Browser:
    browser.endpoint = endpoint
    return browser


@pytest.mark.parametrize(
    "endpoint",
    ["http://push.example.org/1", "ftp://a.org/", "", "/push", "https://", "https://[", "https://a:x/", "javascript:1"],
)
def test_an_endpoint_that_is_no_https_address_is_refused(push: Push, service: PushService, endpoint: str) -> None:
    assert isinstance(failure(push, message(replace_endpoint(service.browser(), endpoint))), ChannelDead)


def test_a_trusted_origin_is_that_scheme_host_and_port_alone(push: Push, service: PushService) -> None:
    port = service.origin.rpartition(":")[2]
    trusted = f"127.0.0.1:{port}"
    others = (f"https://{trusted}", f"http://localhost:{port}", f"http://{trusted}@evil.test", f"http://{trusted}:1")
    # Where one library sees a name and a password before the trusted host, another one connects to the host before.
    disguised = (f"http://localhost:{port}\\@{trusted}", f"http://localhost:{port}#@{trusted}", f"http://a@{trusted}")
    for origin in (*others, *disguised):
        assert isinstance(failure(push, message(replace_endpoint(service.browser(), f"{origin}/1"))), DeliveryError)
    assert service.requests == 0


@pytest.mark.parametrize("keys", NO_KEYS)
def test_keys_that_are_none_end_the_channel(push: Push, service: PushService, keys: dict[str, str]) -> None:
    error = failure(push, message(service.browser(), keys=keys))
    assert isinstance(error, ChannelDead)
    assert service.requests == 0


# The operator's part


def test_push_is_offered_once_there_is_a_key(settings: Settings) -> None:
    assert Push.is_configured()
    settings.VAPID_PRIVATE_KEY = ""
    assert not Push.is_configured()


def test_a_key_is_made_that_can_be_put_into_the_file_as_it_is(
    capsys: pytest.CaptureFixture[str], settings: Settings, push: Push, service: PushService
) -> None:
    call_command("make_vapid_key")
    said = capsys.readouterr().out
    (line,) = (line.strip() for line in said.splitlines() if "VAPID_PRIVATE_KEY=" in line)
    settings.VAPID_PRIVATE_KEY = environment.vapid_key(line.removeprefix("VAPID_PRIVATE_KEY="))
    push.send(message(service.browser(public_key())))
    assert len(service.received) == 1


def test_a_key_is_made_for_programs_too(capsys: pytest.CaptureFixture[str], settings: Settings) -> None:
    call_command("make_vapid_key", "--json")
    made = json.loads(capsys.readouterr().out)
    settings.VAPID_PRIVATE_KEY = made["VAPID_PRIVATE_KEY"]
    assert public_key() == made["public_key"]
    call_command("make_vapid_key", "--json")
    assert json.loads(capsys.readouterr().out) != made
