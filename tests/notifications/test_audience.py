"""Who would be told of a contest, as staff see it: Bob is staff, Alice and Charlie are members."""

from datetime import timedelta

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from contests.models import Contest
from notifications.admin import audience
from notifications.models import Status
from tests.admin import Page, staff_with
from tests.database import queries_of
from tests.factories import ContestFactory, MemberFactory, NotificationFactory, UserFactory

pytestmark = pytest.mark.django_db


@pytest.fixture
def bob(client: Client) -> Client:
    client.force_login(staff_with("view_notification", "view_contest"))
    User.objects.update(username="bob")
    return client


@pytest.fixture
def contest() -> Contest:
    starts_at = timezone.now().replace(year=2036, month=5, day=6, hour=12, minute=0, second=0, microsecond=0)
    return ContestFactory(name="<b>Round</b> 1", starts_at=starts_at)


def page(client: Client, contest: Contest, query: str = "") -> Page:
    return Page(client, reverse("admin:notifications_audience", args=[contest.pk]) + query)


def told(page: Page) -> list[list[str]]:
    """The rows, by cell."""
    rows = [[" ".join(cell.get_text(" ").split()) for cell in row.select("td")] for row in page.soup.select("tr")]
    return [row for row in rows if row]


def test_the_page_of_a_contest_leads_to_who_would_be_told(bob: Client, contest: Contest) -> None:
    (link,) = Page(bob, reverse("admin:contests_contest_change", args=[contest.pk])).soup.select(
        f"a[href='{reverse('admin:notifications_audience', args=[contest.pk])}']"
    )
    assert "Who would be told" in link.get_text()
    assert "Who would be told of <b>Round</b> 1" in Page(bob, str(link["href"])).text


def test_each_member_is_there_with_when_and_by_what_or_why_not(bob: Client, contest: Contest) -> None:
    MemberFactory(username="alice", preference__lead_minutes=[1440, 60])
    MemberFactory(username="charlie", preference__platforms=["atcoder"])
    dora = MemberFactory(username="dora", preference__lead_minutes=[60, 30])
    made = {"contest": contest, "channel": dora.channels.get(), "due_at": timezone.now()}
    NotificationFactory(lead_minutes=60, status=Status.SENT, sent_at=contest.starts_at - timedelta(hours=1), **made)
    NotificationFactory(lead_minutes=30, status=Status.FAILED, error="550 <b>no</b>", **made)
    assert [row for row in told(page(bob, contest)) if row[0] != "bob"] == [
        ["alice", "will be", "2036-05-05 12:00 UTC", "mail to alice@example.org, 24 h before"],
        ["alice", "will be", "2036-05-06 11:00 UTC", "mail to alice@example.org, 1 h before"],
        ["charlie", "no", "–", "Its platform is not among those chosen."],
        ["dora", "sent", "2036-05-06 11:00 UTC", "mail to dora@example.org, 1 h before"],
        ["dora", "failed", "–", "550 <b>no</b> mail to dora@example.org, 30 min before"],
    ]


def test_members_come_a_page_at_a_time_and_all_of_them(
    bob: Client, contest: Contest, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(audience, "MEMBERS_SHOWN", 3)
    names = {MemberFactory().username for _ in range(7)} | {"bob"}
    seen: list[str] = []
    query = ""
    while True:
        shown = page(bob, contest, query)
        seen += list(dict.fromkeys(row[0] for row in told(shown)))
        following = shown.soup.select("a[href*='after=']")
        if not following:
            break
        query = str(following[0]["href"])
    assert len(seen) == len(names)
    assert set(seen) == names


@pytest.mark.parametrize(
    ("query", "names"),
    [
        ("?q=ali", {"alice"}),
        ("?q=ALICE@", {"alice"}),
        ("?q=%20charlie%20", {"charlie"}),
        ("?q=nobody", set()),
        ("?after=x", {"alice", "charlie", "bob"}),
        ("?after=99999999999999999999", set()),
    ],
)
def test_members_are_found_by_how_their_name_or_address_begins(
    bob: Client, contest: Contest, query: str, names: set[str]
) -> None:
    MemberFactory(username="alice")
    MemberFactory(username="charlie")
    assert {row[0] for row in told(page(bob, contest, query))} == names


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"cancelled_at": timezone.now()}, "It was cancelled: nobody is reminded of it."),
        ({"starts_at": timezone.now()}, "It has begun: nobody is reminded of it any more."),
    ],
)
def test_of_a_contest_of_which_nobody_is_told_the_page_says_why(
    bob: Client, contest: Contest, change: dict[str, object], says: str
) -> None:
    MemberFactory()
    Contest.objects.update(**change)
    shown = page(bob, contest)
    assert says in shown.text
    assert told(shown) == []


def test_the_page_leads_to_what_was_told_of_it(bob: Client, contest: Contest) -> None:
    NotificationFactory(contest=contest)
    NotificationFactory()
    (link,) = page(bob, contest).soup.select("a[href*='contest__id__exact']")
    assert Page(bob, str(link["href"])).rows == 1


def test_it_takes_as_few_queries_for_many_members_as_for_few(bob: Client, contest: Contest) -> None:
    queries_of(page, bob, contest)
    few = queries_of(page, bob, contest)
    for _ in range(10):
        MemberFactory()
    assert queries_of(page, bob, contest) == few <= 10


def test_who_may_not_see_notifications_sees_no_audience_and_no_link_to_it(client: Client, contest: Contest) -> None:
    url = reverse("admin:notifications_audience", args=[contest.pk])
    client.force_login(staff_with("view_contest"))
    assert client.get(url).status_code == 403
    assert url not in Page(client, reverse("admin:contests_contest_change", args=[contest.pk])).html
    client.force_login(UserFactory())
    assert client.get(url).status_code == 302
    client.force_login(staff_with("view_notification"))
    assert client.get(reverse("admin:notifications_audience", args=[contest.pk + 1])).status_code == 404
