"""Platforms, contests and syncs in Django admin, at a moment of our choosing: noon of 22 November 2026 in UTC."""

import json
from datetime import timedelta
from typing import Any

import pytest
from django.test import Client

from config.breaker import BreakerState
from contests.admin import PlatformAdmin
from contests.models import Contest, ContestChange, Platform, PlatformSync
from contests.sync import sync
from scheduler.models import Run
from tests.admin import Page, act, page_of, staff_with
from tests.factories import ContestFactory, StaffFactory
from tests.times import HOUR, NOW

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("stopped_clock")]

PLATFORMS = "/admin/contests/platform/"
CONTESTS = "/admin/contests/contest/"
SYNCS = "/admin/contests/platformsync/"


@pytest.fixture
def staff(client: Client) -> Client:
    client.force_login(StaffFactory(username="alice"))
    return client


def platform(**fields: Any) -> Platform:
    Platform.objects.filter(code="codeforces").update(**fields)
    return Platform.objects.get(code="codeforces")


def synced(**fields: Any) -> PlatformSync:
    fields = {"platform": platform(), "started_at": NOW - HOUR, "duration": timedelta(seconds=1.26), **fields}
    return PlatformSync.objects.create(**fields)


@pytest.mark.parametrize(
    ("fields", "health"),
    [
        ({}, "never read"),
        ({"last_success_at": NOW - HOUR}, "reading"),
        ({"last_success_at": NOW, "last_error_at": NOW - HOUR, "last_error": "It was down."}, "reading"),
        ({"last_success_at": NOW - HOUR, "last_error_at": NOW, "last_error": "It is down."}, "failing"),
        ({"last_error_at": NOW, "last_error": "It is down.", "enabled": False}, "off"),
    ],
)
def test_the_list_says_how_reading_each_platform_goes(staff: Client, fields: dict[str, Any], health: str) -> None:
    platform(**fields)
    assert Page(staff, PLATFORMS).row("Codeforces")["health"] == health


def test_the_list_says_what_is_wrong_now_and_nothing_of_what_is_over(staff: Client) -> None:
    failures = {"last_error": "It is down.", "failures_in_a_row": 5}
    breaker = {"breaker_state": BreakerState.OPEN, "breaker_opened_at": NOW - timedelta(seconds=20)}
    platform(last_error_at=NOW, last_success_at=NOW - HOUR, **failures, **breaker)
    row = Page(staff, PLATFORMS).row("Codeforces")
    assert row["what is wrong"] == "It is down. Failed 5 times in a row. Not asked again before 12:00:40 UTC."
    assert row["last success at"] == "2026-11-22 11:00 UTC"

    platform(last_success_at=NOW + HOUR, breaker_state=BreakerState.CLOSED, failures_in_a_row=0)
    assert Page(staff, PLATFORMS).row("Codeforces")["what is wrong"] == "–"


def test_staff_reset_the_breaker_of_a_platform_that_works_again(staff: Client) -> None:
    platform(last_error_at=NOW, breaker_state=BreakerState.OPEN, breaker_opened_at=NOW, failures_in_a_row=5)
    page = act(staff, PLATFORMS, "reset_breaker", "codeforces")
    assert "The next sync asks Codeforces, whatever went wrong before." in page.text
    assert platform().paused_until(NOW) is None


def test_the_list_counts_the_contests_to_come(staff: Client) -> None:
    ContestFactory(starts_at=NOW + HOUR)
    ContestFactory(starts_at=NOW + HOUR)
    ContestFactory(starts_at=NOW + HOUR, cancelled_at=NOW)
    ContestFactory(starts_at=NOW - HOUR)
    page = Page(staff, PLATFORMS)
    assert page.row("Codeforces")["upcoming contests"] == "2"
    assert page.row("AtCoder")["upcoming contests"] == "0"


def test_a_platform_is_turned_off_in_the_list_and_on_again_on_its_page(staff: Client) -> None:
    page = Page(staff, PLATFORMS)
    switches: dict[str, Any] = {str(field["name"]): None for field in page.soup.select("input[name$=enabled]")}
    assert len(switches) == 4
    page.submit(**switches)
    assert not Platform.objects.filter(enabled=True).exists()

    Page(staff, page_of(platform())).submit(enabled="on")
    assert [each.code for each in Platform.objects.filter(enabled=True)] == ["codeforces"]


def test_turning_a_platform_off_keeps_what_a_sync_noted_after_the_page_was_read(
    staff: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    read = PlatformAdmin.save_form

    def after_a_sync(*args: Any, **kwargs: Any) -> Any:
        platform(last_success_at=NOW, failures_in_a_row=7)
        return read(*args, **kwargs)

    monkeypatch.setattr(PlatformAdmin, "save_form", after_a_sync)
    Page(staff, page_of(platform())).submit(enabled=None)
    stored = platform()
    assert (stored.enabled, stored.last_success_at, stored.failures_in_a_row) == (False, NOW, 7)


def test_what_the_code_decides_of_a_platform_cannot_be_edited(staff: Client) -> None:
    Page(staff, page_of(platform())).submit(enabled="on", name="Mine", url="https://example.org")
    assert (platform().name, platform().url) == ("Codeforces", "https://codeforces.com")
    assert staff.get(f"{PLATFORMS}add/").status_code == 403
    assert staff.get(f"{PLATFORMS}codeforces/delete/").status_code == 403


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({}, "Closed: every sync asks it, until it has failed 5 times in a row."),
        ({"breaker_state": "half-open"}, "Half open: it works again, and is watched for a while."),
        (
            {"breaker_state": "open", "breaker_opened_at": NOW, "failures_in_a_row": 6},
            "Open after 6 failures in a row: not asked before 12:01:00 UTC.",
        ),
        (
            {"breaker_state": "open", "breaker_opened_at": NOW - HOUR, "failures_in_a_row": 6},
            "Open after 6 failures in a row: the next sync tries it again.",
        ),
    ],
)
def test_the_page_of_a_platform_explains_its_breaker(staff: Client, fields: dict[str, Any], says: str) -> None:
    assert Page(staff, page_of(platform(**fields))).told("Breaker") == says


def asked_for() -> list[tuple[str, Any, str, str]]:
    """The runs that there are: task, arguments, trigger and actor."""
    runs = Run.objects.order_by("created_at")
    return [(run.task, json.loads(run.kwargs), run.trigger, run.actor) for run in runs]


def test_sync_now_asks_for_a_run_of_the_chosen_platforms_and_shows_where_to_watch_it(staff: Client) -> None:
    page = act(staff, PLATFORMS, "sync_now", "codeforces", "atcoder")
    platforms = {"platforms": ["atcoder", "codeforces"]}
    assert asked_for() == [("contests.tasks.sync_contests", platforms, "admin", "alice")]
    assert "A sync of atcoder, codeforces was asked for." in page.messages[0]
    assert f"/{Run.objects.get().pk}/" in page.messages[0]


def test_who_may_not_see_runs_gets_no_link_to_one(client: Client) -> None:
    client.force_login(staff_with("view_platform", "change_platform"))
    page = act(client, PLATFORMS, "sync_now", "codeforces")
    assert page.messages == ["A sync of codeforces was asked for."]


def test_save_and_sync_now_does_both(staff: Client) -> None:
    page = Page(staff, page_of(platform())).submit("contests_platform_sync_this_now", enabled=None)
    platforms = {"platforms": ["codeforces"]}
    assert asked_for() == [("contests.tasks.sync_contests", platforms, "admin", "alice")]
    assert "A sync of codeforces was asked for." in page.messages[0]
    assert not platform().enabled


def test_names_of_contests_are_text_and_long_ones_are_cut_in_the_list_alone(staff: Client) -> None:
    sly = ContestFactory(name="<script>alert(1)</script><b>Bold & Round</b>")
    long = ContestFactory(name="全国統一プログラミング王決定戦" * 33)
    page = Page(staff, CONTESTS)
    assert page.row(sly.name)["name"] == sly.name
    assert "<script>alert(1)" not in page.html
    assert long.name not in page.text
    assert long.name[:79] + "…" in page.text
    assert Page(staff, page_of(sly)).told("Name") == sly.name
    assert Page(staff, page_of(long)).told("Name") == long.name


def test_times_are_in_utc_and_durations_as_a_person_says_them(staff: Client) -> None:
    ContestFactory(name="Window", starts_at=NOW, duration=timedelta(hours=2.5), ends_at=NOW + timedelta(days=10))
    ContestFactory(name="Plain", starts_at=NOW, duration=timedelta(minutes=100))
    page = Page(staff, CONTESTS)
    assert page.row("Window")["starts at"] == "2026-11-22 12:00 UTC"
    assert page.row("Window")["duration"] == "2 h 30 min, within 10 days"
    assert page.row("Plain")["duration"] == "1 h 40 min"


@pytest.fixture
def phases() -> None:
    ContestFactory(name="Past one", starts_at=NOW - 3 * HOUR, duration=2 * HOUR)
    ContestFactory(name="Running one", starts_at=NOW - HOUR, duration=2 * HOUR)
    ContestFactory(name="Coming one", starts_at=NOW + HOUR, is_training=True, platform="atcoder")
    ContestFactory(name="Dropped one", starts_at=NOW + HOUR, cancelled_at=NOW)


@pytest.mark.usefixtures("phases")
@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("", {"Past one", "Running one", "Coming one", "Dropped one"}),
        ("?phase=finished", {"Past one"}),
        ("?phase=running", {"Running one"}),
        ("?phase=upcoming", {"Coming one"}),
        ("?phase=cancelled", {"Dropped one"}),
        ("?phase=nonsense", {"Past one", "Running one", "Coming one", "Dropped one"}),
        ("?platform__code__exact=atcoder", {"Coming one"}),
        ("?is_training__exact=1", {"Coming one"}),
        ("?q=run", {"Running one"}),
        (
            "?starts_at_from=2026-11-22&starts_at_to=2026-11-22",
            {"Past one", "Running one", "Coming one", "Dropped one"},
        ),
        ("?starts_at_from=2026-11-23", set()),
        ("?starts_at_to=2026-11-21", set()),
        ("?starts_at_from=soon&starts_at_to=9999-12-31&phase=running", {"Running one"}),
        ("?_facets=True&phase=running", {"Running one"}),
        ("?starts_at__year=2026&starts_at__month=11&starts_at__day=22&phase=running", {"Running one"}),
    ],
)
def test_filters_and_search_find_what_they_name(staff: Client, query: str, found: set[str]) -> None:
    page = Page(staff, CONTESTS + query)
    assert set(page.texts("#result_list .field-short_name")) == found


def test_the_phase_of_each_contest_is_said(staff: Client, phases: None) -> None:
    page = Page(staff, CONTESTS)
    labels = {name: page.row(name)["phase"] for name in ("Past one", "Running one", "Coming one", "Dropped one")}
    assert list(labels.values()) == ["finished", "running", "upcoming", "cancelled"]
    assert page.row("Coming one")["kind"] == "training"


def test_changes_are_told_on_the_page_of_the_contest_as_the_rest_is(staff: Client) -> None:
    contest = ContestFactory()
    told = [
        ("starts_at", "2026-11-22T10:00:00+00:00", "2026-11-22T10:10:00+00:00"),
        ("duration", "2:00:00", "10 days, 0:00:00"),
        ("cancelled_at", "", "2026-11-22T11:30:00+00:00"),
        ("is_training", "False", "True"),
        ("name", "Round <i>1</i>", "Round 2"),
        ("ends_at", "when it is over", "2026-11-22T12:10:00+00:00"),
    ]
    for minutes, (field, old, new) in enumerate(told):
        at = NOW - timedelta(minutes=minutes)
        ContestChange.objects.create(contest=contest, field=field, old=old, new=new, changed_at=at)
    page = Page(staff, page_of(contest))
    columns = (page.texts(f"td.field-{name}") for name in ("changed_at", "what", "before", "after"))
    assert list(zip(*columns, strict=True)) == [
        ("2026-11-22 12:00 UTC", "start", "2026-11-22 10:00 UTC", "2026-11-22 10:10 UTC"),
        ("2026-11-22 11:59 UTC", "duration", "2 h", "10 days"),
        ("2026-11-22 11:58 UTC", "cancelled", "–", "2026-11-22 11:30 UTC"),
        ("2026-11-22 11:57 UTC", "training", "no", "yes"),
        ("2026-11-22 11:56 UTC", "name", "Round <i>1</i>", "Round 2"),
        ("2026-11-22 11:55 UTC", "end", "when it is over", "2026-11-22 12:10 UTC"),
    ]


def test_a_contest_that_never_changed_has_no_empty_table_of_changes(staff: Client) -> None:
    assert "Changes" not in Page(staff, page_of(ContestFactory())).texts("h2")


def test_contests_are_only_looked_at(staff: Client) -> None:
    contest = ContestFactory()
    assert staff.post(page_of(contest), {"name": "Mine"}).status_code == 403
    assert staff.get(f"{CONTESTS}add/").status_code == 403
    assert staff.get(page_of(contest).replace("change", "delete")).status_code == 403
    assert "Delete" not in Page(staff, CONTESTS).text
    assert Contest.objects.get() == contest


def test_the_list_of_syncs_says_in_a_line_what_came_of_each(staff: Client) -> None:
    synced(fetched=10, created=3, updated=1, cancelled=2)
    synced(platform_id="leetcode", fetched=9, unchanged=9)
    synced(platform_id="codechef", fetched=8, rejected=1, rejected_rows=[{"key": "START1", "reason": "no <time>"}])
    synced(platform_id="atcoder", error="It is down. " * 30)
    page = Page(staff, SYNCS)
    told = {name: (page.row(name)["outcome"], page.row(name)["what came of it"]) for name in ("Codeforces", "LeetCode")}
    assert told == {"Codeforces": ("done", "3 new, 1 changed, 2 cancelled"), "LeetCode": ("done", "nothing new")}
    assert page.row("Codeforces")["took"] == "1.3 s"
    assert page.row("CodeChef")["outcome"] == "done in part"
    assert page.row("AtCoder")["outcome"] == "failed"
    assert len(page.row("AtCoder")["error"]) == 120

    rejected = PlatformSync.objects.get(platform="codechef")
    assert Page(staff, page_of(rejected)).told("Rejected rows") == "START1: no <time>"


@pytest.mark.parametrize(
    ("outcome", "found"), [("failed", {"AtCoder"}), ("rejected", {"CodeChef"}), ("changed", {"Codeforces"})]
)
def test_syncs_are_filtered_by_their_outcome(staff: Client, outcome: str, found: set[str]) -> None:
    synced(created=1)
    synced(platform_id="leetcode")
    synced(platform_id="codechef", rejected=1)
    synced(platform_id="atcoder", error="It is down.")
    assert set(Page(staff, f"{SYNCS}?outcome={outcome}").texts("#result_list .field-platform")) == found


def test_what_a_real_sync_stored_can_all_be_looked_at(staff: Client, world: Any) -> None:
    world.break_down("codechef", "http503")
    world.break_down("leetcode", "poison")
    sync()
    for row in (*Platform.objects.all(), *PlatformSync.objects.all(), *Contest.objects.all()):
        Page(staff, page_of(row))
    assert Page(staff, CONTESTS).rows == Contest.objects.count()
    assert "503" in Page(staff, PLATFORMS).row("CodeChef")["what is wrong"]


def test_from_a_contest_there_is_a_way_to_its_page(staff: Client) -> None:
    contest = ContestFactory()
    links = [str(link["href"]) for link in Page(staff, page_of(contest)).soup.select("a[href]")]
    assert contest.get_absolute_url() in links
