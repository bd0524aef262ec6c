"""Preferences, Channels and contests' buttons in a real browser: by a newcomer's whole way, and by axe."""

import re
from datetime import UTC, datetime, time, timedelta
from typing import Any

import pytest
from allauth.account.models import EmailAddress
from django.core import mail
from django.utils import timezone
from playwright.sync_api import expect

from notifications.dispatch import dispatch
from notifications.models import Channel, ContestChoice, NotificationKind, Preference
from tests.chromium import PHONE, WIDE, Open, complaints, drives_chromium, sideways, sign_in
from tests.factories import ContestFactory, MemberFactory, NotificationFactory
from tests.push_service import base64url
from tests.smtp import Inbox, body_of

pytestmark = drives_chromium


def a_busy_member() -> Any:
    """With something of everything that the two pages show."""
    alice = MemberFactory(
        username="alice",
        preference__quiet_from=time(23),
        preference__quiet_until=time(7),
        preference__excluded_words=["div. 3", "kotlin"],
        preference__digest="weekly",
    )
    now = timezone.now()
    EmailAddress.objects.create(user=alice, email="dead@example.org", verified=True)
    EmailAddress.objects.create(user=alice, email="waiting@example.org", verified=False)
    off = {"disabled_at": now, "disabled_reason": "550 no such user", "last_error_at": now, "last_error": "550"}
    Channel.objects.create(user=alice, kind="email", address="dead@example.org", verified_at=now, **off)
    Channel.objects.create(user=alice, kind="whatsapp", address="+351911234567", label="Phone", verified_at=now)
    gone = {"disabled_at": now, "disabled_reason": "The browser withdrew it."}
    Channel.objects.create(user=alice, kind="push", address="https://push.example/1", verified_at=now, **gone)
    for status in ("sent", "failed"):
        NotificationFactory(
            channel=alice.channels.get(address=alice.email if status == "sent" else "dead@example.org"),
            kind=NotificationKind.TEST,
            status=status,
            contest=None,
            contest_name="",
            starts_at=now + timedelta(hours=1),
            sent_at=now,
            error="550 no such user",
        )
    return alice


@pytest.mark.parametrize("width", [WIDE, PHONE])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_and_nothing_is_out_of_sight(
    visit: Open,
    settings: Any,
    scheme: Any,
    width: int,
) -> None:
    settings.WHATSAPP_PHONE_NUMBER_ID = "1"
    settings.VAPID_PRIVATE_KEY = base64url((1).to_bytes(32))
    alice = a_busy_member()
    contest = ContestFactory()
    ContestChoice.objects.create(user=alice, contest=contest, wish="follow")
    page = visit(width=width, zone="Asia/Kolkata")
    page.emulate_media(color_scheme=scheme)
    sign_in(page, alice.email)
    for path in ("/preferences/", "/channels/", contest.get_absolute_url(), "/"):
        page.goto(path)
        for folded in page.locator("main details").all():
            folded.evaluate("details => details.open = true")
        assert complaints(page) == [], path
        assert sideways(page) == 0, path
    page.goto("/preferences/")
    page.get_by_label("Words to leave out").fill("x" * 51)
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_text("is too long: a word to leave out")).to_be_visible()
    assert complaints(page) == []


def test_a_newcomers_way_from_signing_up_to_unsubscribing(visit: Open, inbox: Inbox) -> None:
    """Sign up, verify, choose, see the sentence change, mute, get the mail, and end it by its link."""
    now = timezone.now()
    for hours, name in ((20, "Round 900"), (22, "Round 901")):
        ContestFactory(name=name, starts_at=now + timedelta(hours=hours))
    page = visit(width=PHONE, zone="Asia/Kolkata")
    page.goto("/accounts/signup/")
    page.get_by_label("Email").fill("zoe@example.org")
    page.get_by_label("Password").fill("a horse of course")
    page.get_by_role("button", name="Sign up").click()
    expect(page.get_by_role("heading", name="Look into your mail")).to_be_visible()
    page.goto(link_in(inbox, "confirm-email"))
    page.get_by_role("button", name="Yes, confirm").click()

    page.goto("/preferences/")
    sentence = page.locator(".sentence")
    expect(sentence).to_contain_text(
        "You get a mail to zoe@example.org 24 h and 1 h before AtCoder, CodeChef, Codeforces and LeetCode contests."
    )
    expect(sentence).to_contain_text("Next: Round 900")
    for other in ("AtCoder", "CodeChef", "LeetCode"):
        page.get_by_label(other).uncheck()
    page.get_by_text("Quiet hours").click()
    page.get_by_label("Quiet from").fill("23:00")
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_text("Say until when, or leave both empty.")).to_be_visible()
    expect(page.get_by_label("AtCoder")).not_to_be_checked()
    page.get_by_label("Quiet from").fill("")
    page.get_by_role("button", name="Save").click()
    expect(sentence).to_contain_text("24 h and 1 h before Codeforces contests.")

    page.goto("/")
    row = page.locator(".contest", has_text="Round 900")
    row.get_by_role("button", name="Mute Round 900").click()
    expect(row.get_by_role("button", name="Mute Round 900")).to_have_attribute("aria-pressed", "true")
    assert page.evaluate("performance.getEntriesByType('navigation').length") == 1
    page.goto("/preferences/")
    expect(sentence).to_contain_text("Next: Round 901")
    expect(sentence).to_contain_text("Besides, you muted 1.")

    dispatch()
    (told,) = [message for message in inbox.mails if "Round 901" in str(message["Subject"])]
    assert not [message for message in inbox.mails if "Round 900" in str(message["Subject"])]
    page.goto(
        re.findall(r"<(http\S+?/unsubscribe/\S+?)>", str(told["List-Unsubscribe"]))[0].replace(
            "http://127.0.0.1:8000", ""
        )
    )
    page.get_by_role("button", name="No more reminders").click()
    expect(page.get_by_role("heading", name="No more reminders")).to_be_visible()
    page.goto("/preferences/")
    expect(sentence).to_contain_text("None of your channels is for reminders.")
    sentence.get_by_role("link", name="Choose one").click()
    page.get_by_label("Reminders to zoe@example.org").check()
    page.get_by_role("button", name="Save", exact=True).click()
    page.goto("/preferences/")
    expect(sentence).to_contain_text("You get a mail to zoe@example.org")


def link_in(inbox: Inbox, part: str) -> str:
    found = re.search(rf"http://[^/]+(/\S*{part}/\S+)", body_of(inbox.mails[-1]))
    assert found
    return found[1]


def test_a_test_tells_what_became_of_it_while_one_looks(visit: Open, inbox: Inbox) -> None:
    alice = MemberFactory(username="alice")
    page = visit()
    sign_in(page, alice.email)
    page.goto("/channels/")
    page.get_by_role("button", name="Send a test").click()
    status = page.get_by_role("status").filter(has_text="Test of")
    expect(status).to_contain_text("on its way")
    page.get_by_text("Name it").click()
    page.get_by_label("Name of alice@example.org").fill("half typ")
    dispatch()
    expect(status).to_contain_text("sent")
    expect(page.get_by_label("Name of alice@example.org")).to_have_value("half typ")
    assert inbox.recipients == ["alice@example.org"]


def test_words_to_leave_out_are_tokens_that_can_be_taken_away(visit: Open) -> None:
    alice = MemberFactory(preference__excluded_words=["kotlin"])
    page = visit()
    sign_in(page, alice.email)
    page.goto("/preferences/")
    words = page.get_by_label("Words to leave out")
    words.fill("Kotlin, Div. 3,div. 3 ,")
    expect(page.locator(".tokens li")).to_have_text(["kotlin×", "div. 3×"])
    page.get_by_role("button", name="Leave out “kotlin” no more").click()
    expect(words).to_have_value("div. 3")
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_text("Your preferences are saved.")).to_be_visible()
    assert Preference.objects.get(user=alice).excluded_words == ["div. 3"]


def test_all_of_it_works_without_scripts(visit: Open) -> None:
    alice = MemberFactory(username="alice")
    contest = ContestFactory(name="Round 900")
    page = visit(scripts=False, width=PHONE)
    sign_in(page, alice.email)
    page.get_by_role("button", name="Follow Round 900").click()
    expect(page.get_by_role("button", name="Follow Round 900")).to_have_attribute("aria-pressed", "true")
    page.goto(contest.get_absolute_url())
    page.get_by_role("button", name="Follow Round 900").click()
    expect(page.get_by_role("button", name="Follow Round 900")).to_have_attribute("aria-pressed", "false")
    page.goto("/preferences/")
    expect(page.get_by_text("This browser is in")).to_be_hidden()
    page.locator("#pause summary").click()
    page.get_by_label("Pause everything").check()
    page.get_by_label("Pause until").fill(f"{datetime.now(UTC) + timedelta(days=30):%Y-%m-%dT12:00}")
    page.get_by_role("button", name="Save").click()
    expect(page.locator(".sentence")).to_contain_text("You paused everything until")
    page.goto("/channels/")
    page.get_by_role("checkbox", name="Digest to alice@example.org").uncheck()
    page.get_by_role("button", name="Save", exact=True).click()
    page.get_by_text("Name it").click()
    page.get_by_label("Name of alice@example.org").fill("Home")
    page.get_by_role("button", name="Save the name").click()
    expect(page.get_by_role("heading", name="Home")).to_be_visible()
    assert sorted(alice.channels.get().purposes) == ["changes", "reminders"]
    assert mail.outbox == []
