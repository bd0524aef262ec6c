"""Where members are reached, as they see and change it. Alice is a member, Bob is another one."""

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import pytest
from allauth.account.models import EmailAddress
from bs4 import BeautifulSoup
from django.contrib.auth.models import User
from django.core import mail
from django.db import connection
from django.test import Client
from django.utils import timezone

from notifications.dispatch import dispatch
from notifications.models import Channel, Notification, NotificationKind, Status
from notifications.trial import MOST_TESTS, NotTested, ask_for_test
from scheduler.models import Run
from tests.database import queries_of
from tests.factories import ContestFactory, MemberFactory, NotificationFactory
from tests.pages import read, soup, words
from tests.smtp import Inbox

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("no_limits_reached")]

ACTIONS = ("name", "enable", "test", "remove")


def rounds() -> int:
    """How many rounds of a worker were asked for."""
    return Run.objects.filter(task="notifications.tasks.dispatch_notifications").count()


def a_channel(member: User, address: str, **details: Any) -> Channel:
    """A mail channel whose address is confirmed, and not the one that stands for the account."""
    EmailAddress.objects.create(user=member, email=address, verified=True)
    channel: Channel = Channel.objects.create(
        user=member, kind="email", address=address, verified_at=timezone.now(), **details
    )
    return channel


def page(client: Client) -> BeautifulSoup:
    return read(client, "/channels/")


def card(client: Client, channel: Channel) -> str:
    return words(page(client).select_one(f"#channel-{channel.pk}"))


def press(client: Client, channel: Channel, action: str, **fields: str) -> str:
    """What the page then says above all else."""
    response = client.post(f"/channels/{channel.pk}/{action}/", fields, follow=True)
    assert response.status_code == 200
    found = soup(response).select_one(".messages")
    return words(found) if found else ""


# --- Whose they are ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["/channels/", "/accounts/email/"])
def test_channels_are_for_those_who_are_signed_in(client: Client, path: str) -> None:
    for method in (client.get, client.post):
        response = method(path)
        assert (response.status_code, response.headers["Location"]) == (302, f"/accounts/login/?next={path}")


@pytest.mark.parametrize("action", ACTIONS)
def test_nobody_does_anything_to_the_channel_of_somebody_else(client: Client, alice: User, action: str) -> None:
    bobs = MemberFactory(username="bob").channels.get()
    Channel.objects.filter(pk=bobs.pk).update(disabled_at=timezone.now(), disabled_reason="Bob said so.")
    before = Channel.objects.values().get(pk=bobs.pk)
    path = f"/channels/{bobs.pk}/{action}/"
    assert client.post(path, {"label": "Mine"}).status_code == 404
    stranger = Client()
    assert stranger.post(path).headers["Location"].startswith("/accounts/login/")
    forged = Client(enforce_csrf_checks=True)
    forged.force_login(bobs.user)
    assert forged.post(path).status_code == 403
    assert client.get(path).status_code == 405
    assert Channel.objects.values().get(pk=bobs.pk) == before
    assert not Notification.objects.exists()
    assert EmailAddress.objects.filter(user=bobs.user).count() == 1


def test_the_page_shows_nothing_of_anybody_else(client: Client, alice: User) -> None:
    MemberFactory(username="bob")
    assert "bob" not in str(page(client))


def test_nobody_chooses_for_the_channel_of_somebody_else(client: Client, alice: User) -> None:
    bobs = MemberFactory().channels.get()
    client.post("/channels/purposes/", {"channel": str(bobs.pk)})
    bobs.refresh_from_db()
    assert sorted(bobs.purposes) == ["changes", "digest", "reminders"]


# --- What it says -----------------------------------------------------------------------------------------------------


def test_a_channel_says_how_it_is_and_how_the_last_deliveries_went(client: Client, alice: User) -> None:
    sent = timezone.now() - timedelta(days=2)
    Channel.objects.update(last_sent_at=sent, last_error_at=timezone.now(), last_error="The mailbox is full.")
    said = card(client, alice.channels.get())
    assert said.startswith("alice@example.org verified your account")
    assert f"Last message sent {sent.day} {sent:%B %Y, %H:%M}." in said
    assert "The mailbox is full." in said


def test_a_channel_that_is_off_says_why_and_can_be_turned_on_again(client: Client, alice: User) -> None:
    channel = alice.channels.get()
    Channel.objects.update(disabled_at=timezone.now(), disabled_reason="The mail server refused it: 550 no such user")
    assert "550 no such user" in card(client, channel)
    assert "Send a test" not in card(client, channel)
    assert press(client, channel, "enable") == "alice@example.org is on again."
    channel.refresh_from_db()
    assert (channel.disabled_at, channel.disabled_reason) == (None, "")
    assert "Turn on again" not in card(client, channel)


def test_a_browser_that_withdrew_can_only_be_turned_on_there(client: Client, alice: User) -> None:
    gone = {"disabled_at": timezone.now(), "disabled_reason": "The browser withdrew it.", "label": "Firefox"}
    channel = Channel.objects.create(user=alice, kind="push", address="https://p/1", verified_at=timezone.now(), **gone)
    assert "Turn on again" not in card(client, channel)
    assert "open this page in that browser" in card(client, channel)
    assert "can only be turned on where it is" in press(client, channel, "enable")
    channel.refresh_from_db()
    assert channel.disabled_at is not None


def test_what_the_operator_has_not_set_up_says_so(client: Client, alice: User, settings: Any) -> None:
    assert "WhatsApp is not set up on this site" in words(page(client).select_one("[aria-labelledby=kind-whatsapp]"))
    settings.WHATSAPP_PHONE_NUMBER_ID = "1"
    section = page(client).select_one("[aria-labelledby=kind-whatsapp]")
    assert "Add a WhatsApp number" in words(section)
    assert section is not None
    assert section.select_one("form[action='/channels/whatsapp/'] [name=number]")


def test_the_page_asks_the_database_as_often_however_many_channels_there_are(client: Client, alice: User) -> None:
    page(client)
    few = queries_of(page, client)
    for number in range(4):
        NotificationFactory(
            channel=a_channel(alice, f"{number}@example.org"),
            kind=NotificationKind.TEST,
            contest=None,
            contest_name="",
            starts_at=timezone.now() + timedelta(hours=1),
        )
    assert queries_of(page, client) == few <= 9


# --- What each is for -------------------------------------------------------------------------------------------------


def test_the_table_says_and_takes_what_each_channel_is_for(client: Client, alice: User) -> None:
    own, other = alice.channels.get(), a_channel(alice, "other@example.org", purposes=["digest"])
    boxes = page(client).select(".purposes [type=checkbox]")
    assert {box["aria-label"]: box.has_attr("checked") for box in boxes} == {
        "Reminders to alice@example.org": True,
        "Changes to alice@example.org": True,
        "Digest to alice@example.org": True,
        "Reminders to other@example.org": False,
        "Changes to other@example.org": False,
        "Digest to other@example.org": True,
    }
    chosen = {
        "channel": [str(own.pk), str(other.pk)],
        f"purposes-{other.pk}": ["reminders", "changes", "everything", "\0"],
    }
    client.post("/channels/purposes/", chosen)
    own.refresh_from_db()
    other.refresh_from_db()
    assert (own.purposes, other.purposes) == ([], ["reminders", "changes"])


def test_a_channel_that_was_added_meanwhile_keeps_what_it_is_for(client: Client, alice: User) -> None:
    own, added = alice.channels.get(), a_channel(alice, "added@example.org")
    client.post("/channels/purposes/", {"channel": ["x", str(own.pk)]})
    added.refresh_from_db()
    assert sorted(added.purposes) == ["changes", "digest", "reminders"]


# --- Names ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("typed", "label"), [("At work", "At work"), ("  Two \n lines ", "Two lines"), ("x" * 100, "x" * 100), ("", "")]
)
def test_a_channel_is_called_what_its_owner_calls_it(client: Client, alice: User, typed: str, label: str) -> None:
    channel = alice.channels.get()
    press(client, channel, "name", label=typed)
    channel.refresh_from_db()
    assert channel.label == label
    assert card(client, channel).startswith(label or "alice@example.org")


@pytest.mark.parametrize("typed", ["x" * 101, "\0"])
def test_a_name_that_cannot_be_is_refused(client: Client, alice: User, typed: str) -> None:
    channel = alice.channels.get()
    Channel.objects.update(label="Before")
    assert press(client, channel, "name", label=typed).startswith("The name is not changed.")
    channel.refresh_from_db()
    assert channel.label == "Before"


def test_a_name_is_shown_and_never_run(client: Client, alice: User) -> None:
    press(client, alice.channels.get(), "name", label="<script>alert(1)</script>")
    assert "<script>alert" not in client.get("/channels/").content.decode()


# --- Removing ---------------------------------------------------------------------------------------------------------


def test_a_removed_address_goes_and_what_was_sent_there_stays(client: Client, alice: User) -> None:
    other = a_channel(alice, "other@example.org")
    told = NotificationFactory(channel=other, status=Status.SENT, sent_at=timezone.now(), contest_name="Round 900")
    assert press(client, other, "remove") == "other@example.org is removed: nothing is sent there any more."
    other.refresh_from_db()
    assert other.removed_at is not None
    assert not Channel.objects.usable().filter(pk=other.pk).exists()
    assert not EmailAddress.objects.filter(email="other@example.org").exists()
    assert list(other.notifications.all()) == [told]
    assert "Round 900" in client.get("/reminders/").content.decode()
    assert page(client).select_one(f"#channel-{other.pk}") is None
    for action in ACTIONS:
        assert client.post(f"/channels/{other.pk}/{action}/").status_code == 404


def test_what_was_planned_for_a_removed_channel_is_not_sent(client: Client, alice: User, inbox: Inbox) -> None:
    other = a_channel(alice, "other@example.org")
    ContestFactory(starts_at=timezone.now() + timedelta(minutes=30))
    press(client, other, "remove")
    dispatch()
    assert inbox.recipients == ["alice@example.org"]


def test_the_address_of_the_account_cannot_be_removed_before_another_one_is_it(client: Client, alice: User) -> None:
    own, other = alice.channels.get(), a_channel(alice, "other@example.org")
    assert "Remove alice@example.org" not in card(client, own)
    assert "stands for your account" in press(client, own, "remove")
    assert own in Channel.objects.usable()
    client.post("/channels/", {"action_primary": "", "email": "other@example.org"})
    assert "your account" in card(client, other)
    assert press(client, own, "remove").startswith("alice@example.org is removed")
    assert User.objects.get(pk=alice.pk).email == "other@example.org"


def test_nobody_makes_somebody_elses_address_their_accounts(client: Client, alice: User) -> None:
    bob = MemberFactory(username="bob")
    for action in ("action_primary", "action_remove", "action_send"):
        client.post("/channels/", {action: "", "email": bob.email})
    assert User.objects.get(pk=alice.pk).email == "alice@example.org"
    assert EmailAddress.objects.get(user=bob).primary
    assert mail.outbox == []


# --- Adding an address ------------------------------------------------------------------------------------------------


def test_an_address_waits_until_it_is_confirmed(client: Client, alice: User) -> None:
    client.post("/channels/", {"action_add": "", "email": "New@Example.org"})
    section = page(client).select_one("[aria-labelledby=kind-email]")
    assert "new@example.org waiting for confirmation" in words(section)
    assert [message.to for message in mail.outbox] == [["new@example.org"]]
    assert alice.channels.count() == 1
    client.post("/channels/", {"action_remove": "", "email": "new@example.org"})
    assert "new@example.org" not in words(page(client).select_one("[aria-labelledby=kind-email]"))


@pytest.mark.parametrize("typed", ["new", "", "alice@example.org", "x" * 250 + "@example.org"])
def test_what_is_no_new_address_is_refused_beside_the_field(client: Client, alice: User, typed: str) -> None:
    response = client.post("/channels/", {"action_add": "", "email": typed})
    if typed:
        found = soup(response).select_one("details[open] .wrong .errorlist")
        assert words(found)
    assert EmailAddress.objects.filter(user=alice).count() == 1


def test_nobody_has_more_addresses_than_five(client: Client, alice: User) -> None:
    for number in range(4):
        a_channel(alice, f"{number}@example.org")
    assert "You have as many mail addresses as one can have." in words(page(client).select_one("main"))
    client.post("/channels/", {"action_add": "", "email": "new@example.org"})
    assert EmailAddress.objects.filter(user=alice).count() == 5


def test_letters_that_ask_for_confirmation_are_limited(client: Client, alice: User) -> None:
    client.post("/channels/", {"action_add": "", "email": "new@example.org"})
    for _ in range(3):
        client.post("/channels/", {"action_send": "", "email": "new@example.org"})
    assert len(mail.outbox) == 1


# --- Testing ----------------------------------------------------------------------------------------------------------


def test_a_test_goes_the_way_of_all_messages_and_the_page_tells_what_became_of_it(
    client: Client, alice: User, inbox: Inbox
) -> None:
    channel = alice.channels.get()
    assert press(client, channel, "test") == ""
    assert rounds() == 1
    assert "on its way" in card(client, channel)
    assert page(client).select_one(f"#test-{channel.pk}[data-watched]")
    dispatch()
    assert inbox.recipients == ["alice@example.org"]
    said = card(client, channel)
    assert "sent" in said
    assert page(client).select_one(f"#test-{channel.pk} .went-well")
    assert not page(client).select_one("[data-watched]")


def test_a_test_that_failed_says_why(client: Client, alice: User, inbox: Inbox) -> None:
    inbox.refuse = lambda address: "550 no such user"
    channel = alice.channels.get()
    press(client, channel, "test")
    dispatch()
    said = card(client, channel)
    assert "it failed" in said
    assert "no such user" in said
    assert "off" in said


def test_a_test_asked_for_twice_is_two_messages(client: Client, alice: User, inbox: Inbox) -> None:
    for _ in range(2):
        press(client, alice.channels.get(), "test")
        dispatch()
    assert len(inbox.mails) == 2


def test_a_paused_member_may_still_test(client: Client, inbox: Inbox) -> None:
    paused = MemberFactory(preference__paused=True)
    client.force_login(paused)
    press(client, paused.channels.get(), "test")
    dispatch()
    assert len(inbox.mails) == 1


def test_tests_are_limited_by_channel_and_hour(client: Client, alice: User) -> None:
    channel, other = alice.channels.get(), a_channel(alice, "other@example.org")
    for _ in range(MOST_TESTS):
        assert press(client, channel, "test") == ""
    assert press(client, channel, "test") == (
        "5 tests were sent to alice@example.org within an hour: the next one can be sent in 60 min."
    )
    assert press(client, other, "test") == ""
    assert Notification.objects.filter(channel=channel).count() == MOST_TESTS
    assert rounds() == MOST_TESTS + 1
    Notification.objects.filter(channel=channel).update(created_at=timezone.now() - timedelta(hours=1))
    assert press(client, channel, "test") == ""


@pytest.mark.django_db(transaction=True)
def test_however_many_press_at_once_the_limit_holds() -> None:
    channel = MemberFactory().channels.get()

    def ask(_: int) -> bool:
        try:
            ask_for_test(channel.pk, timezone.now())
        except NotTested:
            return False
        else:
            return True
        finally:
            connection.close()

    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(ask, range(16))).count(True) == MOST_TESTS
    assert Notification.objects.count() == MOST_TESTS


@pytest.mark.parametrize(
    ("state", "why"),
    [
        ({"disabled_at": timezone.now(), "disabled_reason": "It bounced."}, "It is off: It bounced."),
        ({"verified_at": None}, "It is not verified yet."),
        ({"kind": "whatsapp"}, "WhatsApp is not set up on this site."),
    ],
)
def test_what_cannot_be_sent_to_cannot_be_tested(client: Client, alice: User, state: dict[str, Any], why: str) -> None:
    channel = alice.channels.get()
    Channel.objects.filter(pk=channel.pk).update(**state)
    assert press(client, channel, "test") == f"Nothing can be sent to alice@example.org. {why}"
    with pytest.raises(NotTested):
        ask_for_test(channel.pk, timezone.now())
    assert (rounds(), Notification.objects.count()) == (0, 0)
