"""Accounts, page by page and mail by mail, as allauth does them in the project's own look."""

import re
from typing import Any

import pytest
from allauth.account.models import EmailAddress
from bs4 import Tag
from django.contrib.auth.models import User
from django.core import mail
from django.test import Client, RequestFactory
from django.urls import reverse
from django.views import defaults
from django.views.csrf import csrf_failure

from notifications.models import Channel
from tests.factories import MemberFactory, StaffFactory
from tests.pages import soup, text

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("no_limits_reached")]


def is_ours(response: Any) -> bool:
    return bool(soup(response).select("header.top .brand")) and "· CodeNotify" in soup(response).title.get_text()  # type: ignore[union-attr]


def link_in_mail() -> str:
    """The path of the one link in the one mail sent."""
    (message,) = mail.outbox
    (link,) = re.findall(r"^http://testserver(/accounts/\S+)$", str(message.body), re.MULTILINE)
    return str(link)


def sign_up(client: Client, email: str = "zoe@example.org") -> Any:
    return client.post(reverse("account_signup"), {"email": email, "password1": "correct horse 9"}, follow=True)


@pytest.mark.parametrize(
    "name",
    [
        "account_signup",
        "account_login",
        "account_reset_password",
        "account_reset_password_done",
        "account_reset_password_from_key_done",
        "account_email_verification_sent",
        "account_inactive",
    ],
)
def test_the_pages_for_strangers_have_our_look(client: Client, name: str) -> None:
    response = client.get(reverse(name))
    assert response.status_code == 200
    assert is_ours(response)
    assert "contact us" not in text(response)


@pytest.mark.parametrize(
    "name", ["account_email", "account_change_password", "account_logout", "account_reauthenticate"]
)
def test_the_pages_for_members_have_our_look(client: Client, alice: User, name: str) -> None:
    response = client.get(reverse(name))
    assert response.status_code == 200
    assert is_ours(response)


@pytest.mark.parametrize("name", ["account_signup", "account_login", "account_reset_password"])
def test_every_field_has_a_label(client: Client, name: str) -> None:
    page = soup(client.get(reverse(name)))
    fields = page.select("main input:not([type=hidden])")
    assert fields
    for field in fields:
        assert page.select(f"label[for={field['id']}]"), f"{field['name']} has none"


def test_an_error_stands_beside_its_field(client: Client) -> None:
    response = client.post(reverse("account_signup"), {"email": "zoe", "password1": "correct horse 9"})
    errors = soup(response).select_one(".field.wrong .errorlist")
    assert isinstance(errors, Tag)
    assert "valid email address" in errors.get_text()
    (field,) = soup(response).select(".field.wrong input")
    assert field["name"] == "email"
    assert str(errors["id"]) in str(field["aria-describedby"])


def test_an_address_that_is_too_long_makes_no_account_with_a_shorter_one(client: Client) -> None:
    response = sign_up(client, f"{'x' * 243}@example.org")
    (error,) = soup(response).select(".field.wrong .errorlist")
    assert "at most 254 characters (it has 255)" in error.get_text()
    assert not User.objects.exists()


def test_a_wrong_password_is_said_once_above_the_form(client: Client) -> None:
    MemberFactory(username="alice")
    response = client.post(reverse("account_login"), {"login": "alice@example.org", "password": "wrong"})
    assert "are not correct" in text(response, ".errorlist.nonfield")


def test_signing_up_confirming_and_being_reached(client: Client) -> None:
    client.cookies["time_zone"] = "Asia/Tokyo"
    response = sign_up(client)
    assert "Look into your mail" in text(response)
    (message,) = mail.outbox
    assert message.subject == "Confirm your address for CodeNotify"
    assert "zoe@example.org" in str(message.body)
    assert "example.com" not in str(message.body)

    confirm = client.get(link_in_mail())
    assert "zoe@example.org" in text(confirm)
    assert not Channel.objects.exists(), "a link scanner's GET confirms nothing"

    done = client.post(link_in_mail(), follow=True)
    assert "zoe@example.org is confirmed" in text(done)
    assert "Account" in text(done, "header")
    assert Channel.objects.usable().get().address == "zoe@example.org"
    assert User.objects.get().preference.time_zone == "Asia/Tokyo"


def test_signing_up_again_tells_the_page_nothing_and_the_owner_everything(client: Client) -> None:
    MemberFactory(username="alice")
    response = sign_up(client, "alice@example.org")
    assert "Look into your mail" in text(response)
    (message,) = mail.outbox
    assert message.subject == "You have a CodeNotify account"
    assert "/accounts/password/reset/" in str(message.body)


def test_a_confirmation_link_that_is_damaged_says_what_to_do(client: Client) -> None:
    response = client.get("/accounts/confirm-email/damaged/")
    assert is_ours(response)
    assert "This link is damaged" in text(response)


def test_a_forgotten_password_is_replaced_by_mail(client: Client) -> None:
    alice = MemberFactory(username="alice")
    client.post(reverse("account_reset_password"), {"email": alice.email})
    assert mail.outbox[0].subject == "A new password for CodeNotify"
    page = client.get(link_in_mail(), follow=True)
    assert is_ours(page)
    done = client.post(
        page.request["PATH_INFO"], {"password1": "another horse 9", "password2": "another horse 9"}, follow=True
    )
    assert "Your password is changed" in text(done)
    alice.refresh_from_db()
    assert alice.check_password("another horse 9")
    mail.outbox.clear()


def test_a_reset_link_that_is_used_up_offers_another(client: Client) -> None:
    response = client.get(reverse("account_reset_password_from_key", args=["1", "set-password"]), follow=True)
    assert is_ours(response)
    assert "Ask for a new one" in text(response)


def test_a_reset_for_an_unknown_address_tells_only_its_owner(client: Client) -> None:
    response = client.post(reverse("account_reset_password"), {"email": "nobody@example.org"}, follow=True)
    assert "Look into your mail" in text(response)
    (message,) = mail.outbox
    assert message.subject == "You have no CodeNotify account"
    assert "/accounts/signup/" in str(message.body)


def test_another_mail_address_waits_for_its_confirmation(client: Client, alice: User) -> None:
    waiting = client.post(reverse("account_email"), {"action_add": "", "email": "new@example.org"}, follow=True)
    assert "new@example.org waiting for confirmation" in text(waiting)
    assert [channel.address for channel in alice.channels.all()] == ["alice@example.org"]
    client.post(link_in_mail())
    assert [channel.address for channel in alice.channels.all()] == ["alice@example.org", "new@example.org"]
    assert EmailAddress.objects.get(user=alice, primary=True).email == "alice@example.org"


def test_an_address_that_is_not_confirmed_yet_can_be_taken_back(client: Client, alice: User) -> None:
    client.post(reverse("account_email"), {"action_add": "", "email": "new@example.org"})
    client.post(reverse("account_email"), {"action_remove": "", "email": "new@example.org"})
    assert EmailAddress.objects.get(user=alice).email == "alice@example.org"


def test_signing_in_is_remembered_for_two_months(client: Client) -> None:
    MemberFactory(username="alice")
    client.post(reverse("account_login"), {"login": "alice@example.org", "password": "correct horse"})
    assert client.cookies["sessionid"]["max-age"] == 60 * 24 * 60 * 60


def test_the_menu_offers_each_what_is_theirs(client: Client) -> None:
    assert "Sign up" in text(client.get("/"), "header")
    assert "Preferences" not in text(client.get("/"), "header")
    client.force_login(MemberFactory())
    assert "Sign out" in text(client.get("/"), "header")
    assert "Admin" not in text(client.get("/"), "header")
    client.force_login(StaffFactory())
    assert "Admin" in text(client.get("/"), "header")


def test_signing_out_is_one_click_that_no_link_can_fake(client: Client, alice: User) -> None:
    assert "Reminders go on" in text(client.get(reverse("account_logout")))
    form = soup(client.get("/")).select_one("header form")
    assert isinstance(form, Tag)
    assert (form["action"], form["method"]) == (reverse("account_logout"), "post")
    client.post(str(form["action"]))
    assert "_auth_user_id" not in client.session


def test_a_page_that_does_not_exist_has_our_look(client: Client, alice: User) -> None:
    response = client.get("/nowhere/")
    assert response.status_code == 404
    assert is_ours(response)
    assert "Sign out" in text(response, "header")


def test_a_form_from_elsewhere_is_refused_in_our_look(rf: RequestFactory) -> None:
    response = Client(enforce_csrf_checks=True).post(reverse("account_login"), {"login": "a", "password": "b"})
    assert response.status_code == 403
    assert is_ours(response)
    assert is_ours(csrf_failure(rf.get("/")))


def test_the_other_pages_of_errors_have_our_look(rf: RequestFactory) -> None:
    forbidden = defaults.permission_denied(rf.get("/"), Exception())
    broken = defaults.server_error(rf.get("/"))
    assert (forbidden.status_code, broken.status_code) == (403, 500)
    assert is_ours(forbidden)
    assert is_ours(broken)


UTF_7 = "application/x-www-form-urlencoded; charset=utf-7"


@pytest.mark.parametrize(
    "damaged",
    [
        {"headers": {"Host": "elsewhere.example"}},
        {"content_type": UTF_7, "data": b"x=1"},
        {"content_type": "multipart/form-data", "data": b"x"},
        {"data": {f"field{number}": "x" for number in range(2000)}},
        {"data": {"password": "x" * 3_000_000}},
    ],
    ids=["host", "charset", "no boundary", "many fields", "long"],
)
def test_what_is_no_proper_request_is_refused_in_our_look(damaged: dict[str, Any]) -> None:
    client = Client(enforce_csrf_checks=True)
    client.get(reverse("account_login"))
    response = client.post(reverse("account_login"), **damaged)
    assert response.status_code == 400
    assert is_ours(response)


@pytest.mark.parametrize("key", ['"aaaaaaaa\\000"', "a-session", "é" * 8, "x" * 3000])
def test_a_cookie_that_is_no_session_is_none(client: Client, key: str) -> None:
    client.cookies.load({"sessionid": ""})
    client.cookies["sessionid"].set("sessionid", key, key)
    assert "Sign in" in text(client.get("/"), "header")


def test_too_many_tries_are_refused_in_our_look(client: Client) -> None:
    for _ in range(100):
        response = client.post(reverse("account_reset_password"), {"email": "zoe@example.org"})
        if response.status_code == 429:
            break
    assert response.status_code == 429
    assert is_ours(response)
