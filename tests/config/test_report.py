"""The weekly report: who gets it, what it says, and what becomes of it when a part cannot be computed."""

import re
from datetime import UTC, datetime, timedelta
from email.message import EmailMessage
from typing import Any

import pytest
from django.db import connection
from django_celery_beat.models import PeriodicTask
from pytest_django import Settings

from config import report as reporting
from config.report import Figures, ReportFailed, Section, build
from config.tasks import report
from contests.models import Platform, PlatformSync
from notifications import providers
from notifications.models import Channel, Provider
from scheduler.models import Pause, Run, Schedule
from tests.database import queries_of
from tests.factories import ContestFactory, MemberFactory, NotificationFactory, StaffFactory, make_members
from tests.smtp import Inbox, body_of
from tests.times import DAY, HOUR, SECOND

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("stopped_clock")]

NOW = datetime(2026, 11, 23, 7, 0, tzinfo=UTC)


def a_run(status: str, ago: timedelta = DAY, *, took: timedelta = SECOND, **fields: Any) -> Run:
    ended = NOW - ago
    fields = {"task": "config.tasks.clean_up_data", "trigger": "schedule", **fields}
    return Run.objects.create(
        status=status,
        created_at=ended - took,
        available_at=ended - took,
        started_at=ended - took,
        finished_at=ended,
        **fields,
    )


def figures(title: str) -> Figures:
    return dict(build(NOW).sections)[title]


def rows(title: str) -> list[tuple[Any, ...]]:
    return [tuple(row) for row in figures(title).rows]


def text_of(mail: EmailMessage, kind: str = "plain") -> str:
    return "\n".join(body_of(mail, kind).splitlines())


# --- Who gets it ---------------------------------------------------------------------------------------------------


def test_active_staff_with_an_address_get_it_and_nobody_else(inbox: Inbox) -> None:
    StaffFactory(email="ada@example.org")
    StaffFactory(email="bob@example.org", is_superuser=False)
    StaffFactory(email="gone@example.org", is_active=False)
    StaffFactory(email="", verified=False)
    MemberFactory(email="member@example.org")
    assert report() == {"sent": 2, "left_out": []}
    assert sorted(inbox.recipients) == ["ada@example.org", "bob@example.org"]


def test_two_accounts_with_one_address_get_one_mail(inbox: Inbox) -> None:
    for address in ("ada@example.org", "Ada@example.org"):
        StaffFactory(email=address)
    assert report()["sent"] == len(inbox.mails) == 1


def test_nobody_to_send_to_is_a_result(inbox: Inbox) -> None:
    assert report() == {"sent": 0, "note": "No active member of staff has a mail address."}
    assert inbox.mails == []


def test_a_repeated_run_repeats_the_same_mail(inbox: Inbox) -> None:
    StaffFactory()
    for run in ("a-run", "a-run", "another"):
        report.push_request(id=run)
        report.run()
        report.pop_request()
    first, second, third = (mail["Message-ID"] for mail in inbox.mails)
    assert first == second != third


# --- What it says --------------------------------------------------------------------------------------------------


def test_a_week_in_which_all_went_well_says_so(inbox: Inbox) -> None:
    StaffFactory()
    report()
    (mail,) = inbox.mails
    assert mail["Subject"] == "CodeNotify's week: all is well"
    assert mail.get_content_type() == "multipart/alternative"
    for kind in ("plain", "html"):
        text = text_of(mail, kind)
        assert "All is well" in text
        assert "No run failed or was lost." in text
        assert "http://127.0.0.1:8000/admin/" in text
        titles = [text.index(title) for title, _ in build(NOW).sections]
        assert titles == sorted(titles)


def test_what_to_look_at_comes_first_and_is_counted_in_the_subject(inbox: Inbox) -> None:
    StaffFactory()
    a_run("failed", error="It broke.\nHere is how: <b>")
    NotificationFactory(status="failed", due_at=NOW - DAY)
    report()
    (mail,) = inbox.mails
    assert mail["Subject"] == "CodeNotify's week: 2 things to look at"
    text = text_of(mail)
    first = "- 1 run of “Clean up data” failed or was lost.\n- 1 notification failed.\n"
    assert text.index(first) < text.index(
        "- Clean up data: failed 1 · lost 0 · newest error It broke. Here is how: <b>\n"
    )
    assert "It broke. Here is how: &lt;b&gt;" in text_of(mail, "html")


def test_moments_are_in_the_readers_own_zone(inbox: Inbox) -> None:
    ContestFactory(name="Round 1", starts_at=NOW + HOUR)
    for zone in ("Asia/Kolkata", "America/New_York"):
        StaffFactory(email=f"{zone.partition('/')[2].lower()}@example.org", preference__time_zone=zone)
    report()
    (kolkata,) = map(text_of, inbox.to("kolkata@example.org"))
    (new_york,) = map(text_of, inbox.to("new_york@example.org"))
    assert "Mon 16 Nov 2026, 12:30 to Mon 23 Nov 2026, 12:30 (Asia/Kolkata)" in kolkata
    assert "- Round 1: on Codeforces · starts Mon 23 Nov 2026, 13:30" in kolkata
    assert "- Round 1: on Codeforces · starts Mon 23 Nov 2026, 03:00" in new_york


def test_the_html_is_one_well_formed_page_without_anything_from_elsewhere(inbox: Inbox) -> None:
    StaffFactory()
    a_run("failed", error="<script>alert(1)</script>")
    report()
    html = text_of(inbox.mails[0], "html")
    assert "<script" not in html
    assert re.findall(r"(?:src|url)\b", html) == []
    for tag in ("div", "p", "strong", "span", "a"):
        assert len(re.findall(rf"<{tag}[ >]", html)) == html.count(f"</{tag}>"), tag


# --- The sections --------------------------------------------------------------------------------------------------


def test_runs_that_failed_or_were_lost_within_the_week_are_counted_by_job() -> None:
    a_run("failed", 7 * DAY - SECOND, error="older")
    a_run("failed", HOUR, error="newer")
    a_run("lost", DAY, error="its worker died")
    a_run("lost", DAY, task="no.longer.there", error="gone")
    a_run("failed", 7 * DAY, task="before.the.week")
    for status in ("succeeded", "skipped", "cancelled"):
        a_run(status)
    assert rows("Runs that failed") == [("Clean up data", 2, 1, "newer"), ("no.longer.there", 0, 1, "gone")]
    assert figures("Runs that failed").attention == [
        "3 runs of “Clean up data” failed or were lost.",
        "1 run of “no.longer.there” failed or was lost.",
    ]


def test_schedules_that_are_set_aside_or_paused_are_something_to_look_at() -> None:
    broken = PeriodicTask.objects.get(name="sync-contests")
    Schedule.objects.update_or_create(periodic_task=broken, defaults={"error": "Its time\ncannot be read."})
    off = PeriodicTask.objects.get(name="clean-up-data")
    Schedule.objects.update_or_create(periodic_task=off, defaults={"error": "Its time cannot be read."})
    PeriodicTask.objects.filter(pk=off.pk).update(enabled=False)
    Pause.objects.create(actor="ada", created_at=NOW - DAY)
    Pause.objects.create(actor="ada", created_at=NOW - DAY, task="a.task", until=NOW - SECOND)
    assert figures("Runs that failed").attention == [
        "The schedule “sync-contests” does not run: Its time cannot be read.",
        "Paused since 2026-11-22: everything.",
    ]


def test_what_was_told_is_counted_by_channel_and_kind_and_by_what_became_of_it(push_is_offered: None) -> None:
    for status, ago in (
        *(("sent", HOUR), ("sent", DAY), ("failed", DAY), ("expired", DAY), ("skipped", DAY)),
        *(("pending", HOUR), ("sending", HOUR)),
        *(("sent", 7 * DAY), ("failed", 8 * DAY), ("pending", -HOUR)),
    ):
        NotificationFactory(status=status, due_at=NOW - ago)
    NotificationFactory(status="sent", kind="moved", due_at=NOW - DAY)
    NotificationFactory(status="failed", kind="moved", due_at=NOW - DAY)
    assert rows("Notifications") == [
        ("mail, moved", 1, 1, 0, 0, 0),
        ("mail, reminder", 2, 1, 1, 1, 2),
        ("push", 0, 0, 0, 0, 0),
    ]
    attention = figures("Notifications").attention
    assert attention == ["2 notifications failed.", "1 notification expired before being sent."]


@pytest.fixture
def push_is_offered(settings: Settings) -> None:
    settings.VAPID_PRIVATE_KEY = "set up"


def test_a_channel_that_is_down_is_told_with_the_reason_and_what_waits_for_it() -> None:
    Provider.objects.filter(kind="email").update(last_success_at=NOW - DAY)
    assert rows("Channels") == [("mail", "up", NOW - DAY, "0")]
    assert figures("Channels").attention == []

    providers.record("email", NOW - HOUR, error="The mail server refused the connection.")
    NotificationFactory(due_at=NOW - 2 * HOUR, contest=ContestFactory())
    assert rows("Channels") == [("mail", "down", NOW - DAY, "1, the oldest due 2026-11-23 05:00 UTC")]
    (attention,) = figures("Channels").attention
    assert attention.startswith(
        "Nothing can be sent by mail: The mail server refused the connection. Down since 2026-11-23 06:00 UTC."
    )


def test_what_waits_for_a_channel_that_is_not_set_up_is_told() -> None:
    channel = Channel.objects.create(user=MemberFactory(), kind="whatsapp", address="+15550100", verified_at=NOW)
    NotificationFactory(channel=channel, contest=ContestFactory())
    assert [row[:2] for row in rows("Channels")] == [("mail", "never used"), ("WhatsApp", "not set up")]
    assert figures("Channels").attention == ["1 notification waits for WhatsApp, which is not set up."]


def test_platforms_say_how_often_they_were_asked_in_vain() -> None:
    codeforces = Platform.objects.get(code="codeforces")
    for ago, error in ((DAY, ""), (HOUR, "503"), (7 * DAY, "503")):
        PlatformSync.objects.create(platform=codeforces, started_at=NOW - ago, duration=SECOND, error=error)
    failing = {"last_success_at": NOW - DAY, "last_error_at": NOW - HOUR, "last_error": "It answered 503."}
    Platform.objects.filter(code="codeforces").update(**failing)
    Platform.objects.filter(code="leetcode").update(**failing, enabled=False)
    found = {row[0]: row[1:] for row in rows("Platforms")}
    assert found["Codeforces"] == (2, 1, NOW - DAY)
    assert found["AtCoder"] == (0, 0, None)
    assert "LeetCode (off)" in found
    assert figures("Platforms").attention == ["Codeforces cannot be read: It answered 503."]


def test_members_are_counted() -> None:
    MemberFactory(date_joined=NOW - DAY, preference__paused=True)
    MemberFactory(date_joined=NOW - 8 * DAY, preference__active=False)
    MemberFactory(date_joined=NOW - 8 * DAY)
    Channel.objects.filter(user__preference__active=False).update(disabled_at=NOW - DAY)
    Channel.objects.filter(user__preference__paused=True).update(disabled_at=NOW - 8 * DAY)
    assert [number for _, number in rows("Members")] == [3, 1, 1, 1, 1]


def test_the_next_contests_are_listed_and_the_others_counted() -> None:
    for number in range(12):
        ContestFactory(name=f"Round {number}", starts_at=NOW + (number + 1) * HOUR)
    ContestFactory(starts_at=NOW + 7 * DAY + SECOND)
    ContestFactory(starts_at=NOW + HOUR, is_training=True)
    ContestFactory(starts_at=NOW + HOUR, cancelled_at=NOW)
    upcoming = figures("Upcoming contests")
    assert [row[0] for row in upcoming.rows] == [f"Round {number}" for number in range(10)]
    assert upcoming.remark == "And 2 more within seven days."


def test_the_slowest_jobs_come_with_their_longest_and_their_usual_run() -> None:
    a_run("succeeded", took=90 * SECOND, task="slow")
    a_run("failed", took=30 * SECOND, task="slow")
    for number in range(6):
        a_run("succeeded", took=(number + 1) * SECOND, task=f"quick {number}")
    a_run("succeeded", 8 * DAY, took=HOUR, task="long ago")
    Run.objects.filter(pk=a_run("failed", task="never began").pk).update(started_at=None)
    slowest = rows("Slowest jobs")
    assert slowest[0] == ("slow", 90 * SECOND, 60 * SECOND)
    assert [row[0] for row in slowest[1:]] == [f"quick {number}" for number in (5, 4, 3, 2)]


def test_the_cost_does_not_grow_with_what_is_told() -> None:
    few = queries_of(build, NOW)
    make_members(50)
    for number in range(20):
        a_run("failed", task=f"task {number}", error="It broke.")
        contest = ContestFactory(starts_at=NOW + (number + 1) * HOUR)
        NotificationFactory(contest=contest, status="failed", due_at=NOW - HOUR)
    assert queries_of(build, NOW) == few <= 30


# --- When a part cannot be computed --------------------------------------------------------------------------------


def breaks(now: datetime) -> Figures:
    with connection.cursor() as cursor:
        cursor.execute("SELECT * FROM no_such_table")
    raise AssertionError


@pytest.fixture
def broken(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> None:
    """The section of that title asks the database for what is not there."""
    changed = tuple(
        Section(each.title, breaks if each.title == request.param else each.figures, each.critical)
        for each in reporting.SECTIONS
    )
    assert changed != reporting.SECTIONS
    monkeypatch.setattr(reporting, "SECTIONS", changed)


@pytest.mark.parametrize("broken", ["Runs that failed", "Notifications", "Channels", "Platforms"], indirect=True)
@pytest.mark.usefixtures("broken")
def test_without_a_critical_section_there_is_no_report(inbox: Inbox) -> None:
    StaffFactory()
    with pytest.raises(
        ReportFailed, match=r"No report was sent. The section “.*” could not be computed: Prog.*no_such"
    ):
        report()
    assert inbox.mails == []


@pytest.mark.parametrize("broken", ["Upcoming contests", "Members", "Slowest jobs"], indirect=True)
@pytest.mark.usefixtures("broken")
def test_another_section_is_left_out_and_the_mail_says_so(inbox: Inbox, request: pytest.FixtureRequest) -> None:
    StaffFactory()
    title = request.node.callspec.params["broken"]
    assert report() == {"sent": 1, "left_out": [title]}
    for kind in ("plain", "html"):
        text = text_of(inbox.mails[0], kind)
        assert f"Left out, because they could not be computed: {title}." in text
        assert text.count(title) == 1
        assert "Notifications" in text


def test_a_failed_report_is_tried_again() -> None:
    assert issubclass(ReportFailed, report.autoretry_for)
