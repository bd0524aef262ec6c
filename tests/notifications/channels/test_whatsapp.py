"""WhatsApp over real connections to a server that behaves as Meta's documents say."""

import json
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pytest_django import Settings

from notifications.channels import whatsapp
from notifications.channels.base import (
    ChannelDead,
    DeliveryError,
    GiveUp,
    Message,
    OutcomeUnknown,
    ProviderDown,
    RetryLater,
)
from notifications.channels.whatsapp import WhatsApp, numbers, webhook
from notifications.channels.whatsapp.errors import GraphError
from notifications.channels.whatsapp.numbers import BadNumber
from notifications.channels.whatsapp.webhook import Refused, Report
from tests.smtp import free_port
from tests.times import NOW
from tests.whatsapp import PHONE_NUMBER_ID, VERIFY_TOKEN, Graph, Refusal, sign, texts

ALICE, BOB = "+16505551234", "+4915123456789"


def message(**more: Any) -> Message:
    given: dict[str, Any] = {
        "id": uuid4(),
        "address": ALICE,
        "subject": "Round 1 starts Sun 22 Nov 15:35",
        "text": "Round 1\nCodeforces · 2 h",
        "expires_at": NOW + timedelta(hours=1),
        "url": "http://127.0.0.1:8000/contests/7/",
        **more,
    }
    return Message(**given)


def send(to_send: Message) -> None:
    with WhatsApp() as channel:
        channel.send(to_send)


def failure(to_send: Message) -> DeliveryError:
    with pytest.raises(DeliveryError) as caught:
        send(to_send)
    return caught.value


# --- What leaves ---------------------------------------------------------------------------------------------------


def test_a_reminder_leaves_as_a_template_with_its_values_and_our_id(graph: Graph) -> None:
    reminder = message()
    send(reminder)
    (taken,) = graph.taken
    assert taken == {
        "messaging_product": "whatsapp",
        "recipient_type": "individual",
        "to": "16505551234",
        "type": "template",
        "template": {
            "name": "contest_reminder",
            "language": {"policy": "deterministic", "code": "en"},
            "components": [
                {
                    "type": "body",
                    "parameters": [
                        {"type": "text", "text": "Round 1 starts Sun 22 Nov 15:35"},
                        {"type": "text", "text": "Round 1 · Codeforces · 2 h"},
                    ],
                },
                {
                    "type": "button",
                    "sub_type": "url",
                    "index": "0",
                    "parameters": [{"type": "text", "text": "contests/7/"}],
                },
            ],
        },
        "biz_opaque_callback_data": str(reminder.id),
    }


@pytest.mark.parametrize(
    ("purpose", "template"),
    [
        ("reminders", "contest_reminder"),
        ("changes", "contest_change"),
        ("digest", "contest_digest"),
        ("test", "contest_reminder"),
        ("channel-off", "contest_change"),
    ],
)
def test_each_purpose_has_a_template(graph: Graph, purpose: str, template: str) -> None:
    send(message(purpose=purpose))
    assert graph.taken[0]["template"]["name"] == template


def test_template_names_and_language_are_the_operators(graph: Graph, settings: Settings) -> None:
    settings.WHATSAPP_LANGUAGE = "pt_BR"
    settings.WHATSAPP_TEMPLATES = {**settings.WHATSAPP_TEMPLATES, "reminders": "lembrete"}
    assert "template name (lembrete) does not exist in this language" in str(failure(message()))


def test_a_code_stands_in_the_body_and_on_the_button_that_copies_it(graph: Graph) -> None:
    send(message(purpose="verification", text="012345", url=""))
    assert graph.taken[0]["template"]["name"] == "verification_code"
    assert texts(graph.taken[0]) == ["012345", "012345"]


@pytest.mark.parametrize("url", ["", "https://codeforces.com/contests/1", "http://127.0.0.1:8000/", "http://127.0.0.1"])
def test_a_message_without_a_page_of_ours_leads_to_the_preferences(graph: Graph, url: str) -> None:
    send(message(url=url))
    assert texts(graph.taken[0])[-1] == "preferences/"


def test_the_foot_of_a_mail_is_left_out(graph: Graph) -> None:
    send(message(text="Round 1\n\n", foot="No more reminders to this address: https://example.org/unsubscribe/x/\n"))
    assert texts(graph.taken[0])[1] == "Round 1"


def test_no_value_is_empty_and_none_is_too_long(graph: Graph) -> None:
    send(message(subject="", text=" \n "))
    send(message(subject="x" * 5000, text="y\n" * 5000))
    assert texts(graph.taken[0])[:2] == ["–", "–"]
    subject, text, _ = texts(graph.taken[1])
    assert (len(subject), subject[-2:]) == (200, "x…")
    assert len(text) <= 600


@given(text=st.text(alphabet=st.sampled_from(" \t\n\r\v\f\x1c\x85\u2028\u00a0aé·"), max_size=50))
def test_a_value_never_has_what_meta_refuses(text: str) -> None:
    line = whatsapp._one_line(text, 20)
    assert not any(bad in line for bad in ("\n", "\r", "\t", "     "))
    assert len(line) <= 20
    assert line == line.strip()


def test_a_repetition_carries_the_same_id(graph: Graph) -> None:
    reminder = message()
    send(reminder)
    send(reminder)
    assert graph.taken[0] == graph.taken[1]


def test_eight_threads_send_at_once(graph: Graph) -> None:
    graph.delay = 0.05
    reminders = [message(address=f"+1650555{n:04}") for n in range(40)]
    with WhatsApp() as channel, ThreadPoolExecutor(WhatsApp.concurrency) as pool:
        list(pool.map(channel.send, reminders))
    assert {taken["biz_opaque_callback_data"] for taken in graph.taken} == {str(each.id) for each in reminders}
    assert len(graph.taken) == 40
    assert 2 <= graph.most_at_once <= 8


def test_connections_are_kept_from_one_message_to_the_next(graph: Graph) -> None:
    graph.refusals[BOB[1:]] = Refusal(131026)
    with WhatsApp() as channel:
        for _ in range(10):
            channel.send(message())
            with pytest.raises(ChannelDead):
                channel.send(message(address=BOB))
    assert (len(graph.taken), graph.connections) == (10, 1)


def test_a_connection_that_was_closed_meanwhile_is_replaced(graph: Graph) -> None:
    graph.idle = 0.05
    with WhatsApp() as channel:
        channel.send(message())
        graph.hung_up.wait(5)
        channel.send(message())
    assert (len(graph.taken), graph.connections) == (2, 2)


def test_it_is_offered_where_the_operator_has_set_it_up(settings: Settings) -> None:
    assert not WhatsApp.is_configured()
    settings.WHATSAPP_PHONE_NUMBER_ID = PHONE_NUMBER_ID
    assert WhatsApp.is_configured()


# --- What the API refuses: every code of the table -----------------------------------------------------------------

Expected = tuple[type[DeliveryError], bool, str]

TABLE: dict[int, Expected] = {
    **dict.fromkeys((0, 190), (ProviderDown, True, "WHATSAPP_TOKEN")),
    **dict.fromkeys((3, 10, *range(200, 300)), (ProviderDown, True, "permission")),
    **dict.fromkeys((4, 80007), (ProviderDown, False, "no more requests")),
    130429: (RetryLater, False, "messages a second"),
    131056: (RetryLater, False, "too many messages"),
    131048: (ProviderDown, True, "spam"),
    131064: (ProviderDown, False, "wrong category"),
    131026: (ChannelDead, False, "not on WhatsApp"),
    131047: (GiveUp, False, "template message"),
    131049: (GiveUp, False, "held it back"),
    130472: (GiveUp, False, "experiment"),
    131050: (GiveUp, False, "turned messages of this kind"),
    131030: (GiveUp, False, "listed numbers"),
    132000: (RetryLater, True, "other values"),
    132001: (RetryLater, True, "no such WhatsApp template"),
    132005: (RetryLater, True, "too little room"),
    132007: (RetryLater, True, "rule of Meta's"),
    132012: (RetryLater, True, "other values"),
    132015: (RetryLater, True, "paused"),
    132016: (RetryLater, True, "disabled"),
    **dict.fromkeys((100, 131008, 131009), (GiveUp, False, "fault of CodeNotify")),
    **dict.fromkeys((1, 131000), (RetryLater, False, "does not say why")),
    **dict.fromkeys((2, 131016, 131057), (ProviderDown, False, "does not work at the moment")),
    **dict.fromkeys((368, 131031), (ProviderDown, True, "locked our account")),
    130497: (ChannelDead, False, "this country"),
    131042: (ProviderDown, True, "wants to be paid"),
}


def check(error: DeliveryError, expected: Expected) -> None:
    kind, alarming, words = expected
    assert type(error) is kind
    assert getattr(error, "alarming", False) is alarming
    assert words in str(error)


@pytest.mark.parametrize("code", [code for code in TABLE if code < 200 or code > 299 or code == 200])
def test_each_code_of_the_table_does_what_the_table_says_whatever_the_status(graph: Graph, code: int) -> None:
    for status in (400, 500):
        graph.refusals[ALICE[1:]] = Refusal(code, "The details.", status)
        error = failure(message())
        check(error, TABLE[code])
        assert f"({code}: The details.)" in str(error)
    assert not graph.taken


@pytest.mark.parametrize("code", TABLE)
def test_each_code_means_the_same_in_a_callback(code: int, graph: Graph) -> None:
    body = graph.callback(graph.failure(uuid4(), code, "The details."))
    (report,) = webhook.reports(body, sign(body), NOW)
    assert report.error is not None
    check(report.error, TABLE[code])
    assert f"({code}: The details.)" in str(report.error)


def test_a_number_over_its_limit_waits_four_times_as_long_each_time(graph: Graph) -> None:
    graph.refusals[ALICE[1:]] = Refusal(131056, status=429)
    waits = []
    with WhatsApp() as channel:
        for _ in range(3):
            with pytest.raises(RetryLater) as caught:
                channel.send(message())
            waits.append(caught.value.after)
        channel.send(message(address=BOB))
        del graph.refusals[ALICE[1:]]
        channel.send(message())
        graph.refusals[ALICE[1:]] = Refusal(131056, status=429)
        with pytest.raises(RetryLater) as caught:
            channel.send(message())
    assert waits == [timedelta(seconds=1), timedelta(seconds=4), timedelta(seconds=16)]
    assert caught.value.after == timedelta(seconds=1)
    assert GraphError(code=131056).typed(1000).after == timedelta(hours=1)  # type: ignore[attr-defined]  # a RetryLater


@pytest.mark.parametrize(("code", "wait"), [(130429, 5), (4, 300), (80007, 300), (131048, 3600), (131064, 3600)])
def test_limits_say_how_long_to_wait(code: int, wait: int, graph: Graph) -> None:
    graph.refusals[ALICE[1:]] = Refusal(code, status=429)
    error = failure(message())
    assert isinstance(error, RetryLater | ProviderDown)
    assert error.after == timedelta(seconds=wait)


@pytest.mark.parametrize(
    ("code", "asked", "wait"), [(130429, "60", 60), (130429, "2", 5), (80007, "600", 600), (2, "7", 7), (2, "soon", 0)]
)
def test_the_longer_wait_counts_where_the_answer_asks_for_one(graph: Graph, code: int, asked: str, wait: int) -> None:
    graph.refusals[ALICE[1:]] = Refusal(code, status=429, headers={"Retry-After": asked})
    error = failure(message())
    assert isinstance(error, RetryLater | ProviderDown)
    assert (error.after or timedelta(0)) == timedelta(seconds=wait)


@pytest.mark.parametrize(
    ("refusal", "expected"),
    [
        (Refusal(999999, status=400), (GiveUp, False, "(999999: ")),
        (Refusal(999999, status=400, extra={"is_transient": True}), (RetryLater, False, "(999999: ")),
        (Refusal(999999, status=429), (RetryLater, False, "(999999: ")),
        (Refusal(999999, status=401), (ProviderDown, True, "(999999: ")),
        (Refusal(999999, status=403), (ProviderDown, True, "(999999: ")),
        (Refusal(999999, status=500), (ProviderDown, False, "(999999: ")),
        (Refusal(body=b"", status=302, headers={"Location": "/elsewhere"}), (ProviderDown, True, "(status 302)")),
        (Refusal("131026", status=500), (ChannelDead, False, "(131026: ")),
        (Refusal(None, status=400), (GiveUp, False, "(status 400: ")),
        (Refusal(True, status=503), (ProviderDown, False, "(status 503: ")),
        (Refusal(131026, extra={"error_data": [1]}), (ChannelDead, False, "(131026: (#131026) Some title)")),
        (Refusal(131026, "\x00\ud800 <b>\n" * 500), (ChannelDead, False, "(131026: ")),
        (Refusal(body=b"<html>Bad Gateway</html>", status=502), (ProviderDown, False, "(status 502)")),
        (Refusal(body=b"<html>Gateway Timeout</html>", status=504), (OutcomeUnknown, False, "a gateway waited")),
        (Refusal(body=b'{"error": "no"}', status=403), (ProviderDown, True, "(status 403)")),
        (Refusal(body=b"[" * 60_000, status=400), (GiveUp, False, "(status 400)")),
        (Refusal(body=b"", status=429, headers={"Retry-After": "9"}), (RetryLater, False, "(status 429)")),
    ],
)
def test_what_is_not_in_the_table_goes_by_transience_and_status(
    graph: Graph, refusal: Refusal, expected: Expected
) -> None:
    graph.refusals[ALICE[1:]] = refusal
    error = failure(message())
    check(error, expected)
    assert str(error).isprintable()
    assert len(str(error)) < 500


def test_a_wrong_token_and_a_wrong_number_of_ours_are_for_the_operator(graph: Graph, settings: Settings) -> None:
    settings.WHATSAPP_PHONE_NUMBER_ID = "1"
    check(failure(message()), (ProviderDown, True, "WHATSAPP_PHONE_NUMBER_ID"))
    settings.WHATSAPP_TOKEN = "expired"
    check(failure(message()), (ProviderDown, True, "WHATSAPP_TOKEN"))


def test_the_token_is_in_no_sentence(graph: Graph, settings: Settings) -> None:
    graph.broken.add(ALICE[1:])
    errors = [failure(message())]
    settings.WHATSAPP_URL = f"http://127.0.0.1:{free_port()}"
    errors.append(failure(message()))
    assert not any(settings.WHATSAPP_TOKEN in f"{error!r} {error.__cause__!r}" for error in errors)


# --- Who knows whether it left -------------------------------------------------------------------------------------


def test_silence_after_sending_leaves_the_outcome_unknown(graph: Graph, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(whatsapp, "PATIENCE", 0.2)
    graph.silent.add(ALICE[1:])
    started = time.monotonic()
    error = failure(message())
    assert time.monotonic() - started < 2
    check(error, (OutcomeUnknown, False, "Nobody knows whether WhatsApp took the message"))
    assert len(graph.to(ALICE)) == 1  # and it is not posted a second time


def test_a_connection_that_breaks_after_sending_leaves_the_outcome_unknown(graph: Graph) -> None:
    graph.broken.add(ALICE[1:])
    check(failure(message()), (OutcomeUnknown, False, "Nobody knows whether WhatsApp took the message"))
    assert len(graph.to(ALICE)) == 1


def test_a_kept_connection_that_breaks_after_sending_is_no_reason_to_send_again(graph: Graph) -> None:
    graph.broken.add(ALICE[1:])
    with WhatsApp() as channel:
        channel.send(message(address=BOB))
        with pytest.raises(OutcomeUnknown):
            channel.send(message())
    assert len(graph.to(ALICE)) == 1


def test_a_connection_that_was_never_made_is_the_providers(settings: Settings, graph: Graph) -> None:
    settings.WHATSAPP_URL = f"http://127.0.0.1:{free_port()}"
    check(failure(message()), (ProviderDown, False, "WhatsApp cannot be reached"))


@pytest.mark.parametrize(
    ("status", "words"), [("held_for_quality_assessment", "until it has seen"), ("paused", "paus")]
)
def test_a_message_that_is_held_back_is_told(graph: Graph, status: str, words: str) -> None:
    graph.statuses[ALICE[1:]] = status
    check(failure(message()), (OutcomeUnknown, False, words))


@pytest.mark.parametrize(
    "body", [b"", b"<html>", b"[]", b'{"messages": []}', b'{"messages": [{}]}', b'{"messages": 7}']
)
def test_an_answer_that_names_no_message_leaves_the_outcome_unknown(graph: Graph, body: bytes) -> None:
    graph.refusals[ALICE[1:]] = Refusal(status=200, body=body)
    check(failure(message()), (OutcomeUnknown, False, "the answer names none"))


def test_an_answer_without_an_end_leaves_the_outcome_unknown(graph: Graph) -> None:
    graph.refusals[ALICE[1:]] = Refusal(status=200, body=b" " * 10**6)
    check(failure(message()), (OutcomeUnknown, False, "more than"))


# --- Numbers -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("typed", "region", "number"),
    [
        ("+49 1512 3456789", None, "+4915123456789"),
        (" +49 (0) 1512 / 345-6789 ", None, "+4915123456789"),
        ("0049 1512 3456789", "DE", "+4915123456789"),
        ("01512 3456789", "DE", "+4915123456789"),
        ("+91 98765 43210", "DE", "+919876543210"),
        ("٠١٥١٢٣٤٥٦٧٨٩", "DE", "+4915123456789"),
        ("(650) 253-0000", "US", "+16502530000"),
    ],
)
def test_a_number_is_understood_as_people_write_it(typed: str, region: str | None, number: str) -> None:
    assert numbers.e164(typed, region) == number


@pytest.mark.parametrize(
    ("typed", "region", "words"),
    [
        ("01512 3456789", None, "plus sign and the country's code"),
        ("+999 1512 3456789", None, "plus sign and the country's code"),
        ("", None, "not a telephone number"),
        ("alice", "DE", "not a telephone number"),
        ("+49 1", None, "too few digits"),
        ("+49 1512 345678901234", None, "too many digits"),
        ("+" + "4" * 10_000, None, "too many digits"),
        ("345678", "US", "too few digits"),
        ("253-0000", "US", "lacks the area code"),
        ("+49 1512 3456789 ext. 5", None, "extension"),
        ("+1 650 111 1234", None, "no number like"),
        ("+49\x00<b>{typed}", None, ""),
    ],
)
def test_a_number_that_is_none_is_said_to_be_so(typed: str, region: str | None, words: str) -> None:
    with pytest.raises(BadNumber) as caught:
        numbers.e164(typed, region)
    assert words in str(caught.value)
    assert len(str(caught.value)) < 200


@given(st.text(max_size=40) | st.text(alphabet="+0123456789 ()-ext;=", max_size=40))
def test_whatever_is_typed_is_a_number_or_is_refused(typed: str) -> None:
    try:
        number = numbers.e164(typed, "DE")
    except BadNumber:
        return
    assert number.startswith("+")
    assert number[1:].isascii()
    assert number[1:].isdecimal()


def test_a_number_is_shown_as_people_write_it() -> None:
    assert numbers.readable("+4915123456789") == "+49 1512 3456789"


# --- The webhook ---------------------------------------------------------------------------------------------------

HANDSHAKE = {"hub.mode": "subscribe", "hub.verify_token": VERIFY_TOKEN, "hub.challenge": "1158201444"}


def test_the_handshake_is_answered_with_its_challenge(graph: Graph) -> None:
    assert webhook.challenge(HANDSHAKE) == "1158201444"


@pytest.mark.parametrize(
    ("query", "status", "words"),
    [
        ({}, 400, "callbacks alone"),
        ({**HANDSHAKE, "hub.mode": "unsubscribe"}, 400, "callbacks alone"),
        ({**HANDSHAKE, "hub.verify_token": "guessed"}, 403, "WHATSAPP_VERIFY_TOKEN"),
        ({**HANDSHAKE, "hub.verify_token": ""}, 403, "WHATSAPP_VERIFY_TOKEN"),
        ({**HANDSHAKE, "hub.verify_token": "ü\udcff"}, 403, "WHATSAPP_VERIFY_TOKEN"),
        ({**HANDSHAKE, "hub.challenge": ""}, 400, "letters and digits"),
        ({**HANDSHAKE, "hub.challenge": "<script>"}, 400, "letters and digits"),
        ({**HANDSHAKE, "hub.challenge": "1" * 1000}, 400, "letters and digits"),
    ],
)
def test_a_handshake_of_somebody_else_is_refused(graph: Graph, query: dict[str, str], status: int, words: str) -> None:
    with pytest.raises(Refused, match=words) as caught:
        webhook.challenge(query)
    assert caught.value.status == status


def read(graph: Graph, *statuses: dict[str, Any]) -> list[Report]:
    body = graph.callback(*statuses)
    return webhook.reports(body, sign(body), NOW)


def test_a_callback_says_what_became_of_each_message(graph: Graph) -> None:
    ids = [uuid4() for _ in range(3)]
    at = NOW - timedelta(minutes=1)
    found = read(
        graph,
        *(
            graph.report(id, state, at.timestamp())
            for id, state in zip(ids, ("sent", "delivered", "read"), strict=True)
        ),
    )
    assert found == [
        Report(id, "wamid.000001", state, at)  # type: ignore[arg-type]  # a plain string among the literals
        for id, state in zip(ids, ("sent", "delivered", "read"), strict=True)
    ]


def test_a_failure_without_a_reason_is_one_nevertheless(graph: Graph) -> None:
    (report,) = read(graph, graph.report(uuid4(), "failed"))
    assert isinstance(report.error, GiveUp)


@pytest.mark.parametrize(
    "signature",
    ["", "sha256=", "sha256=" + "0" * 64, "sha1=abc", "sha256=\udcff", "ü", sign(b"{}", "another secret")],
)
def test_a_forged_callback_is_refused(graph: Graph, signature: str) -> None:
    with pytest.raises(Refused) as caught:
        webhook.reports(b"{}", signature, NOW)
    assert caught.value.status == 403


def test_a_signature_of_one_body_signs_no_other(graph: Graph) -> None:
    body = graph.callback(graph.report(uuid4(), "read"))
    with pytest.raises(Refused):
        webhook.reports(body.replace(b"read", b"sent"), sign(body), NOW)


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"", 400),
        (b"\xff\xfe", 400),
        (b"[]", 400),
        (b"7", 400),
        (b"[" * 100_000, 400),
        (b'{"entry": ' + b"9" * 5000 + b"}", 400),
        (b"{}" + b" " * webhook.LONGEST_BODY, 413),
    ],
)
def test_an_odd_or_huge_body_is_refused_with_a_sentence(graph: Graph, body: bytes, status: int) -> None:
    with pytest.raises(Refused) as caught:
        webhook.reports(body, sign(body), NOW)
    assert caught.value.status == status
    assert str(caught.value).endswith(".")


ODD: list[Any] = [None, 7, "text", [], {}, [None, 7, {}], {"errors": [{}]}, "9" * 400, "-1", float("1e300"), "\ud800"]


@pytest.mark.parametrize("odd", ODD)
@pytest.mark.parametrize(
    "part", ["id", "status", "timestamp", "biz_opaque_callback_data", "errors", "statuses", "value", "changes", "entry"]
)
def test_an_odd_part_spoils_nothing_else(graph: Graph, part: str, odd: Any) -> None:
    good, strange = graph.report(uuid4(), "read"), graph.failure(uuid4(), 131026)
    callback = json.loads(graph.callback(good, strange))
    second = json.loads(graph.callback(strange))["entry"][0]
    match part:
        case "entry":
            callback["more"] = odd
            second = odd
        case "changes":
            second["changes"] = odd
        case "value":
            second["changes"][0]["value"] = odd
        case "statuses":
            second["changes"][0]["value"]["statuses"] = odd
        case _:
            second["changes"][0]["value"]["statuses"][0][part] = odd
    callback["entry"].append(second)
    body = json.dumps(callback).encode()
    found = webhook.reports(body, sign(body), NOW)
    assert [str(report.message) for report in found][:2] == [
        good["biz_opaque_callback_data"],
        strange["biz_opaque_callback_data"],
    ]
    assert all(report.at <= NOW for report in found)
    assert all(report.error is None or str(report.error).isprintable() for report in found)


def test_messages_of_somebody_else_and_what_people_write_to_us_are_left_out(graph: Graph) -> None:
    callback = json.loads(graph.callback(graph.report("another system's id", "read")))
    callback["entry"][0]["changes"][0]["value"]["messages"] = [{"from": "16505551234", "text": {"body": "Hello"}}]
    callback["entry"].append({"changes": [{"field": "account_update", "value": {"event": "VERIFIED_ACCOUNT"}}]})
    body = json.dumps(callback).encode()
    assert webhook.reports(body, sign(body), NOW) == []


def test_a_moment_to_come_counts_as_now(graph: Graph) -> None:
    (report,) = read(graph, graph.report(uuid4(), "read", (NOW + timedelta(days=400)).timestamp()))
    assert report.at == NOW
    assert isinstance(report.message, UUID)


def test_ten_thousand_statuses_in_one_body_are_read_quickly(graph: Graph) -> None:
    body = graph.callback(*(graph.report(uuid4(), "delivered") for _ in range(10_000)))
    started = time.monotonic()
    assert len(webhook.reports(body, sign(body), NOW)) == 10_000
    assert time.monotonic() - started < 2
