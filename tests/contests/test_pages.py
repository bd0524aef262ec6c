"""The page of contests, at a moment of our choosing: noon of 22 November 2026 in UTC, a Sunday."""

import re
from datetime import timedelta

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from contests.lengths import countdown, duration
from contests.models import Contest, Platform
from contests.views.listing import MOST_ROWS
from tests.contests.reading import Page, moved, starting
from tests.factories import MemberFactory, StaffFactory
from tests.times import NOW

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def all_were_read(stopped_clock: None) -> None:
    Platform.objects.update(last_success_at=NOW - timedelta(hours=1))


def test_upcoming_contests_are_grouped_by_day_in_the_order_of_their_start(client: Client) -> None:
    starting(timedelta(days=45), name="Next year")
    starting(timedelta(days=1), name="Tomorrow's")
    starting(timedelta(hours=3), name="Today's")
    starting(timedelta(days=2), name="Tuesday's")
    page = Page(client)
    assert page.names == ["Today's", "Tomorrow's", "Tuesday's", "Next year"]
    assert page.texts("h2") == [
        "Today, Sunday 22 November",
        "Tomorrow, Monday 23 November",
        "Tuesday 24 November",
        "Wednesday 6 January 2027",
    ]


def test_days_and_times_are_those_of_the_visitors_browser(client: Client) -> None:
    contest = starting(timedelta(hours=4), name="Late one")
    client.cookies["time_zone"] = "Asia/Tokyo"
    page = Page(client)
    assert "Times in Asia/Tokyo" in page.text
    assert page.texts("h2") == ["Tomorrow, Monday 23 November"]
    assert page.row(contest).startswith("01:00")
    (time,) = page.soup.select(".when time")
    assert time["datetime"] == "2026-11-22T16:00:00+00:00"


def test_without_a_known_zone_times_are_in_utc_and_say_so(client: Client) -> None:
    contest = starting(timedelta(hours=3))
    client.cookies["time_zone"] = "Mars/Olympus"
    page = Page(client)
    assert "Times in UTC" in page.text
    assert page.row(contest).startswith("15:00")


def test_a_members_times_are_in_the_zone_they_chose_with_a_way_to_change_it(client: Client) -> None:
    contest = starting(timedelta(hours=3))
    client.force_login(MemberFactory(preference__time_zone="Asia/Kolkata"))
    client.cookies["time_zone"] = "Asia/Tokyo"
    page = Page(client)
    assert "Times in Asia/Kolkata" in page.text
    assert page.row(contest).startswith("20:30")
    assert page.soup.select_one(".heading a")["href"] == "/preferences/#time-zone"  # type: ignore[index]


def test_a_row_says_when_what_where_and_how_long(client: Client) -> None:
    contest = starting(timedelta(hours=3, minutes=20), name="Round <1> & Co", duration=timedelta(hours=2, minutes=30))
    page = Page(client)
    assert page.row(contest) == (
        "15:20 Round <1> & Co Codeforces’s page of Round <1> & Co 2 h 30 min "
        "Add to calendar: Round <1> & Co in 3 h 20 min"
    )
    links = [(link["href"], link.get("rel")) for link in page.soup.select(".contest a")]
    own = f"/contests/codeforces/{contest.key}/"
    assert links == [(own, None), (contest.url, ["noopener"]), (f"{own}contest.ics", None)]
    assert "Round &lt;1&gt; &amp; Co" in page.html


def test_a_contest_with_a_window_says_both_lengths(client: Client) -> None:
    contest = starting(timedelta(hours=1), duration=timedelta(hours=3), ends_at=NOW + timedelta(days=2))
    assert "3 h within a window until Tue 24 Nov, 12:00" in Page(client).row(contest)


def test_what_runs_comes_first_and_says_how_long_it_still_goes(client: Client) -> None:
    starting(timedelta(hours=1), name="Later")
    long = starting(timedelta(days=-1), name="Long", duration=timedelta(days=3))
    short = starting(timedelta(0), name="Short", duration=timedelta(hours=2))
    starting(timedelta(hours=-2), name="Just over", duration=timedelta(hours=2))
    page = Page(client)
    assert page.names == ["Short", "Long", "Later"]
    assert page.texts("h2")[0] == "Running now"
    assert page.row(short).endswith("2 h left")
    assert page.row(long).startswith("12:00 Sat 21 Nov Long Codeforces")
    assert "3 days until Tue 24 Nov, 12:00" in page.row(long)
    assert page.row(long).endswith("2 days left")


def test_a_contest_that_moved_lately_says_from_when(client: Client) -> None:
    contest = starting(timedelta(hours=3))
    moved(contest, NOW + timedelta(days=2), ago=timedelta(hours=1))
    moved(contest, NOW + timedelta(days=1), ago=timedelta(days=3))
    assert "moved from Mon 23 Nov, 12:00" in Page(client).row(contest)


def test_a_contest_that_is_back_where_it_was_or_moved_long_ago_says_nothing(client: Client) -> None:
    back = starting(timedelta(hours=3))
    moved(back, NOW + timedelta(hours=5), ago=timedelta(hours=1))
    moved(back, back.starts_at, ago=timedelta(hours=2))
    old = starting(timedelta(hours=4))
    moved(old, NOW + timedelta(hours=5), ago=timedelta(days=8))
    longer = starting(timedelta(hours=4))
    moved(longer, NOW + timedelta(hours=5), field="ends_at")
    assert "moved" not in Page(client).text


def test_a_cancelled_contest_is_shown_as_such_until_it_would_have_started(client: Client) -> None:
    contest = starting(timedelta(hours=3), cancelled_at=NOW - timedelta(days=1))
    starting(timedelta(hours=-1), name="Would run", cancelled_at=NOW - timedelta(days=1))
    page = Page(client)
    assert page.names == [contest.name]
    assert page.row(contest).endswith("cancelled")
    assert page.soup.select(".contest.cancelled")
    assert not page.soup.select("[data-until]")


def test_platforms_are_chosen_in_the_address(client: Client) -> None:
    for platform in ("codeforces", "atcoder", "leetcode"):
        starting(timedelta(hours=1), name=platform, platform=platform)
    page = Page(client, "/?platform=codeforces&platform=atcoder&platform=nowhere")
    assert set(page.names) == {"codeforces", "atcoder"}
    assert page.chip("Codeforces")["aria-current"] == "true"
    assert page.chip("Codeforces")["href"] == "/?platform=atcoder"
    assert "aria-current" not in page.chip("LeetCode").attrs
    assert set(page.chip("LeetCode")["href"].split("?")[1].split("&")) == {
        "platform=codeforces",
        "platform=atcoder",
        "platform=leetcode",
    }
    assert page.chip("All platforms")["href"] == "/"


def test_a_platform_that_does_not_exist_is_no_choice(client: Client) -> None:
    contest = starting(timedelta(hours=1))
    page = Page(client, "/?platform=%00nowhere&trainings=maybe")
    assert page.names == [contest.name]
    assert page.chip("All platforms")["aria-current"] == "true"


def test_trainings_are_hidden_until_asked_for(client: Client) -> None:
    starting(timedelta(hours=1), name="Daily", is_training=True, platform="atcoder")
    starting(timedelta(hours=2), name="Real", platform="atcoder")
    page = Page(client, "/?platform=atcoder")
    assert page.names == ["Real"]
    assert page.chip("Trainings")["href"] == "/?platform=atcoder&trainings=1"
    with_trainings = Page(client, page.chip("Trainings")["href"])
    assert with_trainings.names == ["Daily", "Real"]
    assert with_trainings.chip("Trainings")["href"] == "/?platform=atcoder"
    assert with_trainings.chip("Trainings")["aria-current"] == "true"


def test_words_in_the_name_a_longest_duration_and_rated_narrow_the_list(client: Client) -> None:
    starting(timedelta(hours=1), name="Codeforces Round 7 (Div. 2)", is_rated=True)
    starting(timedelta(hours=2), name="Kotlin Heroes 100%", duration=timedelta(hours=3))
    starting(timedelta(hours=3), name="ICPC Round mirror", is_rated=False, duration=timedelta(hours=5))

    def names(query: str) -> list[str]:
        return [name.split()[0] for name in Page(client, f"/?{query}").names]

    assert names("q=round") == ["Codeforces", "ICPC"]
    assert names("q=ROUND++icpc") == ["ICPC"]
    assert names("q=100%25") == names("longest=3&q=heroes") == ["Kotlin"]
    assert names("q=_") == names("q=round+heroes") == []
    assert names("longest=2") == ["Codeforces"]
    assert names("unrated=0") == ["Codeforces", "Kotlin"]
    assert names("longest=77&unrated=maybe&q=%00") == ["Codeforces", "Kotlin", "ICPC"]
    assert len(names("q=" + "a" * 100_000)) == 0


def test_the_search_keeps_what_the_chips_chose_and_the_chips_keep_the_search(client: Client) -> None:
    page = Page(client, "/?platform=codeforces&trainings=1&unrated=0&longest=3&q=a+%22b%22")
    form = page.soup.select_one("form.search")
    assert form is not None
    kept = {str(field["name"]): field["value"] for field in form.select("input")}
    assert kept == {"platform": "codeforces", "trainings": "1", "unrated": "0", "q": 'a "b"'}
    assert [option["value"] for option in form.select("option[selected]")] == ["3"]
    assert page.chip("Unrated")["href"] == "/?platform=codeforces&trainings=1&longest=3&q=a+%22b%22"
    assert page.chip("All platforms")["href"] == "/?trainings=1&unrated=0&longest=3&q=a+%22b%22"


def test_before_the_first_sync_the_page_says_how_to_start_it(client: Client) -> None:
    Platform.objects.update(last_success_at=None)
    page = Page(client)
    assert "No contests yet." in page.text
    assert "the first one has not run" in page.text
    assert "manage.py sync_contests" in page.text
    assert not page.soup.select(".warning")
    assert not page.soup.select(".nothing a")
    client.force_login(StaffFactory())
    assert Page(client).soup.select_one(".nothing a")["href"] == "/admin/"  # type: ignore[index]


def test_when_the_first_sync_failed_the_page_says_why(client: Client) -> None:
    Platform.objects.update(last_success_at=None)
    Platform.objects.filter(code="leetcode").update(last_error_at=NOW, last_error="leetcode.com refused the request.")
    page = Page(client)
    assert "No contests yet." in page.text
    assert "the first one has not run" not in page.text
    assert "LeetCode could not be read so far: leetcode.com refused the request." in page.texts(".warning li")


def test_a_choice_that_leaves_nothing_can_be_taken_back(client: Client) -> None:
    starting(timedelta(hours=1), name="Daily", is_training=True)
    page = Page(client, "/?platform=codeforces")
    assert "Nothing fits what you chose." in page.text
    link = page.soup.select_one(".nothing a")
    assert Page(client, link["href"]).names == ["Daily"]  # type: ignore[index, arg-type]


def test_when_nothing_is_announced_the_page_says_that(client: Client) -> None:
    assert "Nothing is announced." in Page(client).text
    starting(timedelta(hours=-1), name="Running")
    assert "Nothing is announced after what runs now." in Page(client).text


def test_a_platform_that_fails_says_since_when_and_why(client: Client) -> None:
    Platform.objects.filter(code="codechef").update(
        last_success_at=NOW - timedelta(hours=5), last_error_at=NOW, last_error="codechef.com answered <503>"
    )
    client.cookies["time_zone"] = "Asia/Tokyo"
    page = Page(client)
    assert page.texts(".warning li") == [
        "CodeChef could not be read since 22 November, 16:00: codechef.com answered <503>."
    ]
    assert "What you see may be out of date." in page.text
    assert not Page(client, "/?platform=atcoder").soup.select(".warning")


def test_a_failure_before_the_last_success_is_forgotten(client: Client) -> None:
    Platform.objects.update(last_error_at=NOW - timedelta(hours=2), last_error="It was down.")
    assert not Page(client).soup.select(".warning")


def test_a_platform_not_read_for_half_a_day_says_so(client: Client) -> None:
    Platform.objects.filter(code="atcoder").update(last_success_at=NOW - timedelta(hours=12))
    Platform.objects.filter(code="leetcode").update(last_success_at=NOW - timedelta(hours=12, seconds=1))
    assert Page(client).texts(".warning li") == ["LeetCode was not read since 21 November, 23:59."]


def test_a_platform_that_is_new_says_that_it_was_not_read_yet(client: Client) -> None:
    Platform.objects.filter(code="atcoder").update(last_success_at=None)
    assert Page(client).texts(".warning li") == ["AtCoder was not read so far."]


def test_a_platform_that_staff_switched_off_says_so(client: Client) -> None:
    Platform.objects.filter(code="atcoder").update(enabled=False)
    assert Page(client).texts(".warning li") == ["AtCoder is switched off; it was not read since 22 November, 11:00."]


def test_the_number_of_queries_does_not_depend_on_the_number_of_contests(client: Client) -> None:
    def queries() -> int:
        with CaptureQueriesContext(
            connection,
        ) as captured:
            Page(client)
        return len(captured)

    def add(count: int) -> None:
        for number in range(count):
            contest = starting(timedelta(hours=number - 1), platform=("codeforces", "atcoder")[number % 2])
            moved(contest, NOW + timedelta(days=90))

    add(3)
    few = queries()
    add(297)
    assert queries() == few <= 3
    client.force_login(MemberFactory())
    assert queries() <= few + 5  # session, account, preference, unread, follows and mutes


def test_a_very_long_list_ends_and_says_so(client: Client) -> None:
    now_on = {"platform_id": "codeforces", "ends_at": NOW + timedelta(days=9), "last_seen_at": NOW}
    Contest.objects.bulk_create(
        Contest(key=str(n), name=str(n), starts_at=NOW + timedelta(minutes=n), duration=timedelta(hours=1), **now_on)
        for n in range(1, MOST_ROWS + 2)
    )
    page = Page(client)
    assert page.names == [str(n) for n in range(1, MOST_ROWS + 1)]
    assert "Only the first 500 contests are shown." in page.text


def test_the_page_runs_no_script_and_loads_nothing_from_elsewhere(client: Client) -> None:
    starting(timedelta(hours=1))
    page = Page(client)
    assert not page.soup.select("style, [style], script:not([src]), [onclick]")
    loaded = [
        element.get("src") or element.get("href")
        for element in page.soup.select("script, link:not([rel=alternate]), img")
    ]
    assert loaded
    assert all(re.match("/(?!/)", str(address)) for address in loaded)


@pytest.mark.parametrize(
    ("left", "words"),
    [
        (timedelta(seconds=-5), "less than a minute"),
        (timedelta(seconds=59), "less than a minute"),
        (timedelta(minutes=1), "1 min"),
        (timedelta(minutes=59, seconds=59), "59 min"),
        (timedelta(hours=1), "1 h"),
        (timedelta(days=1, minutes=5), "1 day 5 min"),
        (timedelta(days=6, hours=23, minutes=59), "6 days 23 h"),
        (timedelta(days=7, hours=3), "7 days"),
    ],
)
def test_a_countdown_is_as_exact_as_one_wants_it(left: timedelta, words: str) -> None:
    assert countdown(NOW + left, NOW) == words


def test_a_duration_is_said_in_full() -> None:
    assert duration(timedelta(days=10)) == "10 days"
    assert duration(timedelta(days=1, hours=2, minutes=3)) == "1 day 2 h 3 min"
    assert duration(timedelta(0)) == "0 min"
