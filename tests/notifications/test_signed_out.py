"""Who sends something from a page on which they were signed out meanwhile."""

import pytest
from bs4 import BeautifulSoup
from django.test import Client

from notifications.models import ContestChoice
from tests.factories import ContestFactory, MemberFactory

pytestmark = pytest.mark.django_db

HERE = "http://testserver"
SIGN_IN = "/accounts/login/"


def sent(path: str, page: str) -> str:
    """Where who is signed out gets to by sending something there from that page."""
    return str(Client().post(path, headers={"Referer": page}).headers["Location"])


@pytest.mark.parametrize(
    "path",
    [
        *("/choices/1/", "/inbox/read/", "/inbox/1/read/", "/inbox/1/open/", "/channels/purposes/"),
        *(f"/channels/1/{action}/" for action in ("name", "enable", "test", "remove")),
        *("/calendar/renew/", "/calendar/end/"),
    ],
)
def test_what_takes_a_post_leads_to_the_page_from_which_it_was_sent(path: str) -> None:
    assert sent(path, f"{HERE}/inbox/?show=unread") == f"{SIGN_IN}?next=/inbox/%3Fshow%3Dunread"


@pytest.mark.parametrize(
    "page", ["", "https://evil.example/inbox/", "http://[", "javascript:alert(1)", "//evil.example"]
)
def test_who_came_from_elsewhere_gets_to_the_contests(page: str) -> None:
    assert sent("/inbox/read/", page) == f"{SIGN_IN}?next=/"


def test_it_is_said_that_nothing_was_done_and_signing_in_leads_back(client: Client) -> None:
    alice, contest = MemberFactory(), ContestFactory()
    page = {"Referer": f"{HERE}{contest.get_absolute_url()}"}
    login = client.post(f"/choices/{contest.pk}/", {"wish": "follow"}, headers=page, follow=True)
    assert "so nothing was done" in login.content.decode()
    form = BeautifulSoup(login.content, "lxml").select_one("main form")
    assert form is not None
    sent = {str(field["name"]): str(field.get("value", "")) for field in form.select("input[name]")}
    back = client.post(SIGN_IN, {**sent, "login": alice.email, "password": "correct horse"})
    assert back.headers["Location"] == contest.get_absolute_url()
    assert not ContestChoice.objects.exists()
