"""Adding a WhatsApp number. Alice is a member, Bob is another one, Charlie is nobody and must see nothing."""

import re
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import pytest
import time_machine
from django.contrib.auth.models import User
from django.db import connections
from django.test import Client
from django.utils import timezone
from pytest_django import Settings

from config.cleanup import clean_up
from notifications import providers
from notifications.channels import whatsapp
from notifications.dispatch import dispatch
from notifications.models import Channel, Verification
from notifications.verification import NotVerified, TooMany, send_code, verify
from notifications.views.numbers import region_of
from tests.database import queries_of
from tests.factories import ContestFactory, MemberFactory
from tests.pages import soup, text, words
from tests.smtp import free_port
from tests.whatsapp import Graph, Refusal, sign, texts

pytestmark = pytest.mark.django_db

ADD = "/channels/whatsapp/"
NUMBER = "+4915123456789"


@pytest.fixture
def alice(client: Client) -> User:
    member: User = MemberFactory(username="alice", verified=False, preference__time_zone="Europe/Berlin")
    client.force_login(member)
    return member


def ask(client: Client, number: str = NUMBER, address: str = "192.0.2.1") -> Any:
    return client.post(ADD, {"number": number}, REMOTE_ADDR=address)


def page_of_code(client: Client, number: str = NUMBER) -> str:
    response = ask(client, number)
    assert response.status_code == 302, complaint(response)
    return str(response.headers["Location"])


def code_sent(graph: Graph, number: str = NUMBER) -> str:
    body, button = texts(graph.to(number)[-1])
    assert body == button
    assert re.fullmatch(r"\d{6}", body)
    return body


def another(code: str) -> str:
    return f"{(int(code) + 1) % 10**6:06}"


def complaint(response: Any) -> str:
    found = soup(response).select_one(".errorlist")
    return words(found) if found else ""


def test_a_member_adds_a_number_with_the_code_that_was_sent_there(client: Client, graph: Graph, alice: User) -> None:
    page = page_of_code(client, "01512 3456789")  # as people in Berlin write it
    assert graph.to(NUMBER)[0]["template"]["name"] == "verification_code"
    assert "+49 1512 3456789" in client.get(page).content.decode()
    assert not Channel.objects.exists()

    code = code_sent(graph)
    response = client.post(page, {"code": f" {code[:3]} {code[3:]} "}, follow=True)
    assert "+49 1512 3456789 gets your reminders from now on." in response.content.decode()
    channel = Channel.objects.get()
    assert (channel.user, channel.kind, channel.address) == (alice, "whatsapp", NUMBER)
    assert channel.verified_at
    ContestFactory()
    assert dispatch().total("sent") == 1
    assert len(graph.to(NUMBER)) == 2


def test_a_number_gets_nothing_before_it_is_verified(client: Client, graph: Graph, alice: User) -> None:
    page_of_code(client)
    ContestFactory()
    dispatch()
    assert len(graph.to(NUMBER)) == 1


def test_looking_at_the_pages_changes_nothing(client: Client, graph: Graph, alice: User) -> None:
    page = page_of_code(client)
    code = code_sent(graph)
    before = list(Verification.objects.values())
    for _ in range(10):
        assert client.get(ADD, {"number": NUMBER}).status_code == 200
        assert client.get(page, {"code": code}).status_code == 200
        assert client.head(page).status_code == 200
    assert list(Verification.objects.values()) == before
    assert not Channel.objects.exists()
    assert len(graph.to(NUMBER)) == 1


@pytest.mark.parametrize(
    ("typed", "words"),
    [
        ("", "This field is required."),
        ("alice", "is not a telephone number"),
        ("+49 1", "too few digits"),
        ("+1 650 111 1234", "There is no number like"),
    ],
)
def test_what_is_no_number_is_said_to_be_none(
    client: Client, graph: Graph, alice: User, typed: str, words: str
) -> None:
    response = ask(client, typed)
    assert (response.status_code, graph.requests) == (200, 0)
    assert words in complaint(response)


def test_a_zone_without_a_country_asks_for_the_countrys_code(client: Client, graph: Graph) -> None:
    client.force_login(MemberFactory(verified=False, preference__time_zone="UTC"))
    assert "plus sign and the country's code" in complaint(ask(client, "01512 3456789"))
    assert (region_of("Asia/Kolkata"), region_of("America/Sao_Paulo"), region_of("UTC")) == ("IN", "BR", None)


# --- What WhatsApp says to the code --------------------------------------------------------------------------------


def test_a_number_that_whatsapp_does_not_reach_is_said_at_once(client: Client, graph: Graph, alice: User) -> None:
    graph.refusals[NUMBER[1:]] = Refusal(131026, "Not a WhatsApp number.")
    response = ask(client)
    assert response.status_code == 200
    assert "The code could not be sent. WhatsApp does not reach this number" in complaint(response)
    assert not Channel.objects.exists()


def test_a_number_that_whatsapp_does_not_reach_is_said_when_its_callback_comes(
    client: Client, graph: Graph, alice: User
) -> None:
    page = page_of_code(client)
    body = graph.callback(graph.failure(Verification.objects.get().pk, 131026, "Not a WhatsApp number."))
    answer = client.post(
        "/webhooks/whatsapp/", body, content_type="application/json", headers={"X-Hub-Signature-256": sign(body)}
    )
    assert answer.status_code == 200
    assert "Not a WhatsApp number." in text(client.get(page), "[role=alert]")


def test_a_code_that_may_have_left_can_be_entered(
    client: Client, graph: Graph, alice: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(whatsapp, "PATIENCE", 0.2)
    graph.silent.add(NUMBER[1:])
    page = page_of_code(client)
    assert "Nobody knows whether WhatsApp took the message" in client.get(page).content.decode()
    client.post(page, {"code": code_sent(graph)})
    assert Channel.objects.get().verified_at


def test_a_provider_that_is_down_is_said_and_takes_none_of_the_three_codes(
    client: Client, graph: Graph, alice: User, settings: Settings
) -> None:
    settings.WHATSAPP_URL = f"http://127.0.0.1:{free_port()}"
    for _ in range(4):
        assert "The code could not be sent. WhatsApp cannot be reached" in complaint(ask(client))
    assert not Verification.objects.exists()
    settings.WHATSAPP_URL = graph.url
    page_of_code(client)


def test_a_provider_that_is_known_to_be_down_is_not_asked(client: Client, graph: Graph, alice: User) -> None:
    providers.record("whatsapp", timezone.now(), error="It does not work.")
    assert "WhatsApp takes no messages at the moment" in complaint(ask(client))
    assert graph.requests == 0


def test_a_code_that_cannot_be_sent_stops_nobodys_reminders(client: Client, graph: Graph, alice: User) -> None:
    graph.refusals[NUMBER[1:]] = Refusal(132001, "verification_code does not exist")
    assert "verification_code does not exist" in complaint(ask(client))
    Channel.objects.create(user=MemberFactory(verified=False), kind="whatsapp", address="+16502530000")
    Channel.objects.update(verified_at=timezone.now())
    ContestFactory()
    assert dispatch().total("sent") == 1


# --- The code ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("typed", ["", "12345", "1234567", "12345a", "١٢٣٤٥٦", "1" * 10_000])
def test_what_is_no_code_costs_no_try(client: Client, graph: Graph, alice: User, typed: str) -> None:
    page = page_of_code(client)
    assert complaint(client.post(page, {"code": typed}))
    assert Verification.objects.get().tries == 0


def test_after_five_wrong_codes_the_right_one_counts_no_more(client: Client, graph: Graph, alice: User) -> None:
    page = page_of_code(client)
    code = code_sent(graph)
    said = [complaint(client.post(page, {"code": another(code)})) for _ in range(5)]
    assert said[0] == "That is not the code: 4 tries are left."
    assert said[3] == "That is not the code: 1 try is left."
    assert said[4] == "That is not the code, and there are no tries left: ask for another one."
    assert complaint(client.post(page, {"code": code})) == "This code cannot be used any more: ask for another one."
    assert not Channel.objects.exists()


def test_a_code_is_valid_for_ten_minutes(client: Client, graph: Graph, alice: User) -> None:
    page = page_of_code(client)
    with time_machine.travel(timezone.now() + timedelta(minutes=10, seconds=1)):
        client.force_login(alice)
        assert "older than 10 minutes" in complaint(client.post(page, {"code": code_sent(graph)}))
    assert not Channel.objects.exists()
    with time_machine.travel(timezone.now() + timedelta(minutes=9)):
        client.force_login(alice)
        assert client.post(page, {"code": code_sent(graph)}).status_code == 302


def test_a_code_counts_once(client: Client, graph: Graph, alice: User) -> None:
    page = page_of_code(client)
    client.post(page, {"code": code_sent(graph)})
    Channel.objects.all().delete()
    assert client.post(page, {"code": code_sent(graph)}).status_code == 404
    assert not Channel.objects.exists()


def test_a_code_is_kept_as_a_hash_that_nobody_reckons_without_the_secret(
    client: Client, graph: Graph, alice: User, settings: Settings
) -> None:
    page_of_code(client)
    kept = Verification.objects.get()
    code = code_sent(graph)
    assert code not in str(Verification.objects.values().get())
    settings.SECRET_KEY = "another secret of at least fifty characters, as it should be"
    with pytest.raises(NotVerified):
        verify(kept, code)


def test_the_code_of_one_number_is_not_that_of_another_one(client: Client, graph: Graph, alice: User) -> None:
    first, second = page_of_code(client), page_of_code(client, "+16502530000")
    if code_sent(graph) != code_sent(graph, "+16502530000"):
        assert "not the code" in complaint(client.post(second, {"code": code_sent(graph)}))
    assert first != second


def test_a_number_that_was_off_is_on_again_once_it_is_verified_again(client: Client, graph: Graph, alice: User) -> None:
    Channel.objects.create(
        user=alice,
        kind="whatsapp",
        address=NUMBER,
        verified_at=timezone.now(),
        disabled_at=timezone.now(),
        disabled_reason="Not on WhatsApp.",
    )
    client.post(page_of_code(client), {"code": code_sent(graph)})
    channel = Channel.objects.get()
    assert (channel.disabled_at, channel.disabled_reason) == (None, "")


def test_a_number_that_works_needs_no_other_code(client: Client, graph: Graph, alice: User) -> None:
    Channel.objects.create(user=alice, kind="whatsapp", address=NUMBER, verified_at=timezone.now())
    assert "You have added this number already." in complaint(ask(client))
    assert graph.requests == 0


# --- Whose it is ---------------------------------------------------------------------------------------------------


def test_nobody_else_enters_the_code_of_a_member(client: Client, graph: Graph, alice: User) -> None:
    page = page_of_code(client)
    code = code_sent(graph)
    client.force_login(MemberFactory(username="bob"))
    assert client.get(page).status_code == 404
    assert client.post(page, {"code": code}).status_code == 404
    charlie = Client()
    for url in (page, ADD):
        assert charlie.get(url).headers["Location"].startswith("/accounts/login/")
        assert charlie.post(url, {"code": code, "number": NUMBER}).headers["Location"].startswith("/accounts/login/")
    assert not Channel.objects.filter(kind="whatsapp").exists()
    assert len(graph.to(NUMBER)) == 1


def test_a_form_of_another_site_adds_nothing(graph: Graph, alice: User) -> None:
    strict = Client(enforce_csrf_checks=True)
    strict.force_login(alice)
    assert ask(strict).status_code == 403
    assert graph.requests == 0


def test_there_are_no_such_pages_without_whatsapp(client: Client, alice: User) -> None:
    assert client.get(ADD).status_code == 404
    assert ask(client).status_code == 404


# --- Limits --------------------------------------------------------------------------------------------------------


def test_a_member_gets_three_codes_an_hour(client: Client, graph: Graph, alice: User) -> None:
    for n in range(3):
        assert ask(client, f"+1650253000{n}", f"192.0.2.{n}").status_code == 302
    response = ask(client, NUMBER, "192.0.2.9")
    assert response.status_code == 429
    assert "You have asked for 3 codes within an hour. The next one can be sent in 60 minutes." in complaint(response)
    assert graph.requests == 3
    with time_machine.travel(timezone.now() + timedelta(minutes=61)):
        client.force_login(alice)
        assert ask(client).status_code == 302


def test_a_number_gets_three_codes_an_hour_whoever_asks(client: Client, graph: Graph) -> None:
    for n in range(4):
        client.force_login(MemberFactory())
        response = ask(client, NUMBER, f"192.0.2.{n}")
    assert "3 codes were sent to this number within an hour." in complaint(response)
    assert len(graph.to(NUMBER)) == 3


@pytest.mark.parametrize(
    "addresses",
    [["192.0.2.1"] * 4, ["2001:db8::1", "2001:db8::2", "2001:db8::abcd:1", "2001:db8:0:0:ffff::"]],
    ids=["IPv4", "IPv6"],
)
def test_a_network_gets_three_codes_an_hour_whoever_asks_for_whatever(
    client: Client, graph: Graph, addresses: list[str]
) -> None:
    for n, address in enumerate(addresses):
        client.force_login(MemberFactory())
        response = ask(client, f"+1650253000{n}", address)
    assert "3 codes were asked for from your network within an hour." in complaint(response)
    assert graph.requests == 3


def test_where_the_address_is_not_known_the_other_limits_hold(client: Client, graph: Graph, alice: User) -> None:
    assert [ask(client, NUMBER, "").status_code for _ in range(4)] == [302, 302, 302, 429]


def test_behind_a_proxy_each_visitor_has_an_address(client: Client, graph: Graph, settings: Settings) -> None:
    settings.ALLAUTH_TRUSTED_PROXY_COUNT = 1
    for n in range(5):
        client.force_login(MemberFactory())
        forwarded = {"X-Forwarded-For": f"203.0.113.7, 192.0.2.{n}"}  # what the visitor claims comes first
        response = client.post(ADD, {"number": f"+1650253000{n}"}, REMOTE_ADDR="127.0.0.1", headers=forwarded)
        assert response.status_code == 302


def test_refused_codes_count_too(client: Client, graph: Graph, alice: User) -> None:
    graph.refusals[NUMBER[1:]] = Refusal(131026)
    assert [ask(client).status_code for _ in range(4)] == [200, 200, 200, 429]
    assert graph.requests == 3


def test_deleting_an_account_gives_no_more_codes(client: Client, graph: Graph) -> None:
    for _ in range(3):
        member = MemberFactory()
        client.force_login(member)
        ask(client)
        member.delete()
    client.force_login(MemberFactory())
    assert ask(client, NUMBER, "192.0.2.7").status_code == 429


@pytest.mark.django_db(transaction=True)
def test_many_at_once_get_no_more_codes_than_three(graph: Graph) -> None:
    alice = MemberFactory(verified=False)
    ready = threading.Barrier(8)

    def request(n: int) -> bool:
        try:
            ready.wait()
            send_code(alice, "whatsapp", f"+1650253000{n}", None)
        except TooMany:
            return False
        finally:
            connections.close_all()
        return True

    with ThreadPoolExecutor(8) as pool:
        sent = list(pool.map(request, range(8)))
    assert (sent.count(True), graph.requests) == (3, 3)


@pytest.mark.django_db(transaction=True)
def test_many_guesses_at_once_are_no_more_than_five(graph: Graph) -> None:
    alice = MemberFactory(verified=False)
    sent = send_code(alice, "whatsapp", NUMBER, None)
    ready = threading.Barrier(8)

    def guess(_: int) -> str:
        try:
            ready.wait()
            verify(sent, another(code_sent(graph)))
        except NotVerified as error:
            return str(error)
        finally:
            connections.close_all()
        return "verified"

    with ThreadPoolExecutor(8) as pool:
        said = list(pool.map(guess, range(8)))
    assert said.count("This code cannot be used any more: ask for another one.") == 3
    assert Verification.objects.get().tries == 5


def test_codes_are_forgotten_after_a_day(client: Client, graph: Graph, alice: User) -> None:
    page_of_code(client)
    with time_machine.travel(timezone.now() + timedelta(hours=23)):
        assert clean_up()["verification_codes"] == 0
    with time_machine.travel(timezone.now() + timedelta(hours=25)):
        assert clean_up()["verification_codes"] == 1


def test_the_pages_take_few_queries(client: Client, graph: Graph, alice: User) -> None:
    page = page_of_code(client)
    for url, most in ((ADD, 4), (page, 5)):
        assert queries_of(client.get, url) <= most
