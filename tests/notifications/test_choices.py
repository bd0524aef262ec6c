"""Following and muting a contest. Alice is a member, Bob is another one."""

from datetime import timedelta
from typing import Any

import pytest
from bs4 import BeautifulSoup, Tag
from django.contrib.auth.models import User
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from contests.models import Contest
from notifications.models import ContestChoice, Notification, Preference
from notifications.planning import plan
from scheduler.models import Run
from tests.factories import ContestFactory, MemberFactory
from tests.pages import read, words

pytestmark = pytest.mark.django_db


def button(soup: BeautifulSoup, contest: Contest, wish: str) -> Tag:
    found = soup.select_one(f"#choice-{contest.pk} [data-wish={wish}]")
    assert found is not None
    return found


def press(client: Client, path: str, contest: Contest, wish: str) -> Any:
    """As a browser without scripts does: the button's own value, to its own address, with the form it belongs to."""
    soup = read(client, path)
    pressed = button(soup, contest, wish)
    form = soup.find("form", id=pressed["form"])
    assert isinstance(form, Tag)
    assert form["method"] == "post"
    hidden = {str(field["name"]): str(field["value"]) for field in form.select("input")}
    return client.post(str(pressed["formaction"]), {**hidden, str(pressed["name"]): str(pressed["value"])})


def wish_of(member: User, contest: Contest) -> str | None:
    return ContestChoice.objects.filter(user=member, contest=contest).values_list("wish", flat=True).first()


@pytest.mark.parametrize("wish", ["follow", "mute"])
def test_the_same_button_takes_it_back(client: Client, alice: User, wish: str) -> None:
    contest = ContestFactory()
    for path in ("/", contest.get_absolute_url()):
        assert button(read(client, path), contest, wish)["aria-pressed"] == "false"
        response = press(client, path, contest, wish)
        assert (response.status_code, response.headers["Location"]) == (302, f"{path}#choice-{contest.pk}")
        assert wish_of(alice, contest) == wish
        assert button(read(client, path), contest, wish)["aria-pressed"] == "true"
        press(client, path, contest, wish)
        assert wish_of(alice, contest) is None


def test_who_mutes_follows_no_longer(client: Client, alice: User) -> None:
    contest = ContestFactory()
    press(client, "/", contest, "follow")
    press(client, "/", contest, "mute")
    assert wish_of(alice, contest) == "mute"
    assert button(read(client, "/"), contest, "follow")["aria-pressed"] == "false"


def test_the_button_leads_back_to_where_it_was_pressed(client: Client, alice: User) -> None:
    contest = ContestFactory()
    response = press(client, "/?platform=codeforces&q=round", contest, "mute")
    assert response.headers["Location"] == f"/?platform=codeforces&q=round#choice-{contest.pk}"


@pytest.mark.parametrize(
    "came_from",
    [
        "https://evil.example/",
        "//evil.example/",
        "/\\evil.example",
        "javascript:alert(1)",
        "",
        "x",
    ],
)
def test_nobody_is_led_elsewhere(client: Client, alice: User, came_from: str) -> None:
    contest = ContestFactory()
    response = client.post(f"/choices/{contest.pk}/", {"wish": "mute", "next": came_from})
    assert response.status_code == 302
    assert response.headers["Location"].startswith("/contests/codeforces/")


def test_a_followed_contest_is_told_whatever_else_is_chosen_and_a_muted_one_not(client: Client, alice: User) -> None:
    Preference.objects.update(platforms=["codeforces"], lead_minutes=[60])
    followed, muted = ContestFactory(platform="atcoder"), ContestFactory()
    press(client, "/", followed, "follow")
    press(client, "/", muted, "mute")
    plan(timezone.now(), timezone.now() + timedelta(days=1))
    assert [each.contest for each in Notification.objects.all()] == [followed]


def test_the_page_of_a_contest_says_what_will_be_told_of_it(client: Client, alice: User) -> None:
    def said() -> str:
        return words(read(client, contest.get_absolute_url()).select_one("#what-comes"))

    midday = timezone.now().replace(hour=12, minute=0, second=0, microsecond=0)
    contest = ContestFactory(starts_at=midday + timedelta(days=3))
    Preference.objects.update(lead_minutes=[60, 30])
    day = f"{contest.starts_at:%A}"
    assert said() == f"You get a mail to alice@example.org {day} 11:00 and {day} 11:30."
    press(client, contest.get_absolute_url(), contest, "mute")
    assert said() == "You are not told of it. It is muted."
    press(client, contest.get_absolute_url(), contest, "mute")
    Preference.objects.update(platforms=["atcoder"])
    assert said() == "You are not told of it. Its platform is not among those chosen."
    Preference.objects.update(platforms=["codeforces"])
    Contest.objects.update(starts_at=timezone.now() + timedelta(minutes=20))
    assert said() == "You get a mail to alice@example.org within minutes."
    plan(timezone.now(), timezone.now())
    Notification.objects.update(status="sent", sent_at=timezone.now())
    assert said() == "You were told of it already."


def test_what_begins_soon_is_told_by_a_round_of_its_own(client: Client, alice: User) -> None:
    def rounds() -> int:
        return Run.objects.filter(task="notifications.tasks.dispatch_notifications").count()

    later = ContestFactory(starts_at=timezone.now() + timedelta(hours=5))
    press(client, "/", later, "follow")
    assert rounds() == 0
    soon = ContestFactory(starts_at=timezone.now() + timedelta(minutes=50))
    press(client, "/", soon, "follow")
    assert rounds() == 1


@pytest.mark.parametrize(
    "when",
    [{"starts_at": timezone.now() - timedelta(hours=1)}, {"cancelled_at": timezone.now()}],
    ids=["begun", "cancelled"],
)
def test_there_is_nothing_to_choose_of_what_has_begun_or_is_cancelled(
    client: Client, alice: User, when: dict[str, Any]
) -> None:
    contest = ContestFactory(**when)
    for path in ("/", contest.get_absolute_url()):
        assert not read(client, path).select(".choice")


def test_a_contest_that_began_meanwhile_can_be_left_but_not_chosen(client: Client, alice: User) -> None:
    contest = ContestFactory(starts_at=timezone.now() - timedelta(seconds=1))
    ContestChoice.objects.create(user=alice, contest=contest, wish="follow")
    response = client.post(f"/choices/{contest.pk}/", {"wish": "mute"}, follow=True)
    assert "has begun: there is nothing left to be told of it." in response.content.decode()
    assert wish_of(alice, contest) == "follow"
    client.post(f"/choices/{contest.pk}/", {"wish": ""})
    assert wish_of(alice, contest) is None


@pytest.mark.parametrize("wish", ["hate", "FOLLOW", "follow ", "\0"])
def test_there_are_no_other_wishes(client: Client, alice: User, wish: str) -> None:
    contest = ContestFactory()
    assert client.post(f"/choices/{contest.pk}/", {"wish": wish}).status_code == 302
    assert wish_of(alice, contest) is None


def test_nobody_chooses_for_anybody_else(client: Client, alice: User) -> None:
    contest, bob = ContestFactory(), MemberFactory()
    ContestChoice.objects.create(user=bob, contest=contest, wish="follow")
    assert button(read(client, "/"), contest, "follow")["aria-pressed"] == "false"
    client.post(f"/choices/{contest.pk}/", {"wish": ""})
    client.post(f"/choices/{contest.pk}/", {"wish": "mute", "user": str(bob.pk)})
    assert wish_of(bob, contest) == "follow"
    path = f"/choices/{contest.pk}/"
    stranger = Client()
    assert stranger.post(path, {"wish": "mute"}).headers["Location"].startswith("/accounts/login/")
    forged = Client(enforce_csrf_checks=True)
    forged.force_login(bob)
    assert forged.post(path, {"wish": "mute"}).status_code == 403
    assert client.get(path).status_code == 405
    assert client.post("/choices/999999999/", {"wish": "mute"}).status_code == 404
    assert wish_of(bob, contest) == "follow"


def test_strangers_see_no_buttons(client: Client) -> None:
    contest = ContestFactory()
    for path in ("/", contest.get_absolute_url()):
        assert not read(client, path).select(".choice, #choices")


def test_the_wishes_for_all_that_is_shown_are_one_query(client: Client, alice: User) -> None:
    def asked() -> int:
        with CaptureQueriesContext(connection) as captured:
            read(client, "/")
        return len([query for query in captured if "notifications_contestchoice" in query["sql"]])

    for wish in ("follow", "mute", None, None):
        contest = ContestFactory()
        if wish:
            ContestChoice.objects.create(user=alice, contest=contest, wish=wish)
    assert asked() == 1
