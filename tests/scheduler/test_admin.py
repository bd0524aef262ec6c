"""The schedules in Django admin: Alice may edit them, whatever state they are in."""

import os
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import time_machine
from django.contrib.admin.models import LogEntry
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django_celery_beat.models import (
    ClockedSchedule,
    CrontabSchedule,
    IntervalSchedule,
    PeriodicTask,
    PeriodicTasks,
    SolarSchedule,
)
from playwright.sync_api import expect, sync_playwright
from pytest_django.live_server_helper import LiveServer

from scheduler import schedules
from scheduler.admin.schedules import ScheduleAdmin
from tests.admin import Page, act, no_broker, published, staff_with
from tests.factories import StaffFactory
from tests.test_browser import CHROMIUM, FLAGS

NOW = datetime(2026, 11, 22, 12, 1, tzinfo=UTC)
LIST = "/admin/django_celery_beat/periodictask/"
ADD = f"{LIST}add/"
CLEAN_UP = "config.tasks.clean_up_data"
SYNC = "contests.tasks.sync_contests"


@pytest.fixture(autouse=True)
def moment(request: pytest.FixtureRequest) -> Iterator[None]:
    if "live_server" in request.fixturenames:
        yield  # a browser has its own clock
        return
    with time_machine.travel(NOW, tick=False):
        yield


@pytest.fixture
def staff(client: Client, db: None) -> Client:
    client.force_login(StaffFactory())
    PeriodicTask.objects.all().delete()
    CrontabSchedule.objects.all().delete()
    return client


def schedule(name: str = "mine", expression: str = "0 2 * * *", **fields: Any) -> PeriodicTask:
    fields.setdefault("crontab", schedules.crontab(expression, "UTC"))
    return PeriodicTask.objects.create(name=name, **{"task": CLEAN_UP, **fields})


def page_of(row: PeriodicTask) -> str:
    return f"{LIST}{row.pk}/change/"


def stored(row: PeriodicTask) -> PeriodicTask:
    found: PeriodicTask = PeriodicTask.objects.select_related("crontab").get(pk=row.pk)
    return found


def cron_of(row: PeriodicTask) -> str:
    return schedules.expression(stored(row).crontab)


def test_the_default_schedules_are_there_with_their_next_runs(client: Client, db: None) -> None:
    client.force_login(StaffFactory())
    page = Page(client, LIST)
    row = page.row("sync-contests")
    assert (row["cron expression"], row["in words"]) == ("0 */6 * * *", "Every 6 hours (UTC)")
    assert (row["next run"], row["last run"]) == ("2026-11-22 18:00 UTC", "never")
    assert page.row("clean-up-data")["next run"] == "2026-11-23 02:00 UTC"
    assert page.rows == 3


def test_a_schedule_is_made_from_one_cron_expression(staff: Client) -> None:
    values = {"name": "nightly", "task": SYNC, "cron": " 30  2 * * 1-5 ", "zone": "Asia/Kolkata"}
    page = Page(staff, ADD).submit(kwargs='{"platforms": ["codeforces"]}', args="", **values)
    assert "was added successfully" in page.messages[0]
    made = PeriodicTask.objects.get()
    assert (made.task, made.args, made.kwargs, made.enabled) == (SYNC, "[]", '{"platforms": ["codeforces"]}', True)
    assert (cron_of(made), str(made.crontab.timezone)) == ("30 2 * * 1-5", "Asia/Kolkata")
    assert made.crontab.schedule  # which the scheduler can follow


def test_the_page_of_a_schedule_says_its_next_five_runs(staff: Client) -> None:
    mine = schedule(expression="0 */6 * * *")
    page = Page(staff, page_of(mine))
    assert page.told("In words") == "Every 6 hours (UTC)"
    assert page.told("Next runs") == " ".join(
        ["2026-11-22 18:00 UTC", *(f"2026-11-23 {hour} UTC" for hour in ("00:00", "06:00", "12:00", "18:00"))]
    )
    PeriodicTask.objects.update(enabled=False)
    assert Page(staff, page_of(mine)).told("Next runs").startswith("None, for it is off. Were it on: 2026-11-22 18:00")


@pytest.mark.parametrize(
    ("values", "field", "says"),
    [
        ({"cron": "61 * * * *"}, "cron", "Cron does not understand “61 * * * *”: bad minute."),
        ({"cron": ""}, "cron", "A schedule needs a cron expression."),
        ({"cron": "0 0 31 2 *"}, "cron", "Cron does not understand “0 0 31 2 *”: bad day-of-month."),
        ({"zone": "Mars/Olympus"}, "zone", "Select a valid choice. Mars/Olympus is not one of the available choices."),
        ({"name": "other"}, "name", "Schedule with this Name already exists."),
        ({"name": ""}, "name", "This field is required."),
        ({"task": "gone.task"}, "task", "Select a valid choice. gone.task is not one of the available choices."),
        ({"args": "{}"}, "args", "This must be a list, such as [] or [1, 2]."),
        ({"kwargs": "[]"}, "kwargs", 'This must be an object, such as {} or {"name": ["value"]}.'),
        ({"kwargs": "{'a': 1}"}, "kwargs", "This is not JSON: Expecting property name enclosed in double quotes"),
        ({"kwargs": '{"speed": 9}'}, "kwargs", "The job does not take these arguments: got an unexpected keyword"),
        ({"args": "[1]"}, "kwargs", "The job does not take these arguments: too many positional arguments."),
    ],
)
@pytest.mark.parametrize("new", [True, False])
def test_what_is_wrong_is_said_beside_its_box_and_nothing_is_saved(
    staff: Client, values: dict[str, str], field: str, says: str, new: bool
) -> None:
    schedule("other")
    path = ADD if new else page_of(schedule())
    page = Page(staff, path).submit(**{"name": "mine", "task": CLEAN_UP, "cron": "0 2 * * *", **values})
    assert list(page.errors) == [field]
    (error,) = page.errors[field]
    assert error.startswith(says)
    assert error in page.text
    assert PeriodicTask.objects.count() == (1 if new else 2)
    assert not PeriodicTask.objects.exclude(crontab__hour="2").exists()


def test_a_name_that_is_taken_and_a_bad_expression_are_both_said(staff: Client) -> None:
    schedule("other")
    page = Page(staff, ADD).submit(name="other", task=CLEAN_UP, cron="every day")
    assert set(page.errors) == {"name", "cron"}


def test_editing_the_expression_of_one_schedule_leaves_the_others_that_shared_it(staff: Client) -> None:
    mine, other = schedule("mine"), schedule("other")
    assert mine.crontab_id == other.crontab_id
    Page(staff, page_of(mine)).submit(cron="*/5 * * * *")
    assert (cron_of(mine), cron_of(other)) == ("*/5 * * * *", "0 2 * * *")


def test_the_crontab_that_nobody_uses_any_more_is_deleted(staff: Client) -> None:
    mine = schedule()
    Page(staff, page_of(mine)).submit(cron="*/5 * * * *")
    assert [schedules.expression(each) for each in CrontabSchedule.objects.all()] == ["*/5 * * * *"]


def test_the_scheduler_hears_of_an_edit(staff: Client) -> None:
    mine = schedule()
    with time_machine.travel(NOW + timedelta(minutes=1), tick=False):
        Page(staff, page_of(mine)).submit(cron="*/5 * * * *")
    assert PeriodicTasks.last_change() == NOW + timedelta(minutes=1)


@pytest.mark.parametrize(
    ("before", "values", "kept"),
    [
        ({}, {"cron": "0 9 * * *"}, False),
        ({}, {"zone": "Asia/Tokyo"}, False),
        ({}, {"cron": "0  2 * * *"}, True),
        ({}, {"description": "Why it exists."}, True),
        ({"enabled": False}, {"enabled": "on"}, False),
    ],
)
def test_editing_or_enabling_fires_nothing_of_the_past(
    staff: Client, before: dict[str, Any], values: dict[str, str], kept: bool
) -> None:
    mine = schedule()
    ran_at = NOW - timedelta(hours=10)
    PeriodicTask.objects.update(last_run_at=ran_at, total_run_count=5, **before)
    Page(staff, page_of(mine)).submit(**values)
    assert (stored(mine).last_run_at, stored(mine).total_run_count) == (ran_at if kept else None, 5)
    told = Page(staff, LIST).row("mine")["last run"]
    assert told == ("2026-11-22 02:01 UTC" if kept else "not since its last edit")


def test_what_the_scheduler_notes_while_a_schedule_is_edited_is_kept(
    staff: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    mine = schedule()
    read = ScheduleAdmin.save_form

    def after_a_run(*args: Any, **kwargs: Any) -> Any:
        PeriodicTask.objects.update(last_run_at=NOW, total_run_count=9)
        return read(*args, **kwargs)

    monkeypatch.setattr(ScheduleAdmin, "save_form", after_a_run)
    Page(staff, page_of(mine)).submit(description="Why it exists.")
    assert (stored(mine).last_run_at, stored(mine).total_run_count) == (NOW, 9)


def test_a_schedule_whose_job_is_gone_opens_says_so_and_can_be_turned_off_or_given_another(staff: Client) -> None:
    ghost = schedule("ghost", task="contests.tasks.gone")
    assert Page(staff, LIST).row("ghost")["state"] == "broken"
    page = Page(staff, page_of(ghost))
    assert page.messages == ["There is no job called “contests.tasks.gone” any more."]
    assert page.texts("select[name=task] option[selected]") == ["contests.tasks.gone – no longer exists"]

    refused = page.submit(description="Still wanted.")
    assert refused.errors == {"task": ["This job no longer exists: choose another, or turn the schedule off."]}
    assert stored(ghost).task == "contests.tasks.gone"

    page.submit(enabled=None)
    assert (stored(ghost).task, stored(ghost).enabled) == ("contests.tasks.gone", False)
    page.submit(task=SYNC)
    assert (stored(ghost).task, stored(ghost).enabled) == (SYNC, True)


def other_kinds() -> dict[str, PeriodicTask]:
    interval = IntervalSchedule.objects.create(every=5, period="minutes")
    clocked = ClockedSchedule.objects.create(clocked_time=NOW + timedelta(days=1))
    solar = SolarSchedule.objects.create(event="sunset", latitude=40, longitude=-70)
    return {
        "every": schedule("every", interval=interval, crontab=None),
        "once": schedule("once", clocked=clocked, crontab=None, one_off=True),
        "sunny": schedule("sunny", solar=solar, crontab=None),
    }


def test_schedules_that_came_from_elsewhere_are_listed_and_open(staff: Client) -> None:
    kinds = other_kinds()
    bare = schedule("bare")
    PeriodicTask.objects.filter(pk=bare.pk).update(crontab=None)
    wrong = CrontabSchedule.objects.create(minute="0", hour="2", day_of_week="5-7")
    page = Page(staff, LIST) if schedule("wrong", crontab=wrong) else None
    assert page
    states = {name: page.row(name)["state"] for name in (*kinds, "bare", "wrong")}
    assert states == {"every": "on", "once": "on", "sunny": "broken", "bare": "broken", "wrong": "broken"}
    assert page.row("every")["in words"] == "Every 5 minutes"
    assert page.row("once")["in words"] == "Once, at 2026-11-23 12:01 (UTC)"
    for row in PeriodicTask.objects.all():
        assert Page(staff, page_of(row)).soup.select_one("input[name=cron]")


def test_an_interval_is_kept_while_the_box_for_cron_stays_empty_and_replaced_when_it_does_not(staff: Client) -> None:
    kinds = other_kinds()
    Page(staff, page_of(kinds["every"])).submit(description="Often.")
    assert (stored(kinds["every"]).interval.every, stored(kinds["every"]).description) == (5, "Often.")

    Page(staff, page_of(kinds["every"])).submit(cron="*/5 * * * *")
    assert (stored(kinds["every"]).interval, cron_of(kinds["every"])) == (None, "*/5 * * * *")

    Page(staff, page_of(kinds["once"])).submit(cron="*/5 * * * *")
    assert (stored(kinds["once"]).clocked, stored(kinds["once"]).one_off) == (None, False)


def test_a_schedule_that_nobody_runs_is_late_and_its_page_says_what_to_look_at(staff: Client) -> None:
    mine = schedule(expression="*/30 * * * *")
    PeriodicTask.objects.update(last_run_at=NOW - timedelta(hours=2))
    assert Page(staff, LIST).row("mine")["state"] == "late"
    assert "is the scheduler running" in Page(staff, page_of(mine)).messages[0]


def test_schedules_are_turned_off_and_on_in_the_list(staff: Client) -> None:
    mine, other = schedule("mine"), schedule("other")
    page = Page(staff, LIST)
    first: Any = page.soup.select_one("input[name$=enabled]")
    page.submit(**{first["name"]: None})
    assert (stored(mine).enabled, stored(other).enabled) == (False, True)
    assert (cron_of(mine), cron_of(other)) == ("0 2 * * *", "0 2 * * *")

    Page(staff, LIST).submit(**{first["name"]: "on"})
    assert stored(mine).enabled


def test_several_are_turned_off_and_on_at_once_and_the_scheduler_hears_of_it(staff: Client) -> None:
    mine, other, third = schedule("mine"), schedule("other"), schedule("third")
    PeriodicTask.objects.update(last_run_at=NOW - timedelta(days=1))
    with time_machine.travel(NOW + timedelta(minutes=1), tick=False):
        page = act(staff, LIST, "turn_off", mine.pk, other.pk)
    assert page.messages == ["2 schedules were turned off."]
    assert [stored(each).enabled for each in (mine, other, third)] == [False, False, True]
    assert PeriodicTasks.last_change() == NOW + timedelta(minutes=1)
    assert Page(staff, LIST).row("mine")["state"] == "off"

    later = NOW + timedelta(hours=1)
    with time_machine.travel(later, tick=False):
        assert act(staff, LIST, "turn_on", mine.pk, third.pk).messages == ["1 schedule was turned on."]
    assert (stored(mine).enabled, stored(mine).last_run_at, stored(mine).date_changed) == (True, None, later)
    assert stored(third).last_run_at == NOW - timedelta(days=1)
    assert LogEntry.objects.filter(object_id=mine.pk).count() == 2


def test_deleting_a_schedule_leaves_no_crontab_and_takes_nobody_elses(staff: Client) -> None:
    mine, other, alone = schedule("mine"), schedule("other"), schedule("alone", "7 7 * * *")
    staff.post(f"{LIST}{mine.pk}/delete/", {"post": "yes"})
    staff.post(f"{LIST}{alone.pk}/delete/", {"post": "yes"})
    assert list(PeriodicTask.objects.all()) == [other]
    assert list(CrontabSchedule.objects.all()) == [other.crontab]


def test_deleting_several_leaves_no_crontab_and_takes_nobody_elses(staff: Client) -> None:
    mine, other, alone = schedule("mine"), schedule("other"), schedule("alone", "7 7 * * *")
    data = {"action": "delete_selected", "_selected_action": [mine.pk, alone.pk], "post": "yes"}
    staff.post(LIST, data)
    assert list(PeriodicTask.objects.all()) == [other]
    assert list(CrontabSchedule.objects.all()) == [other.crontab]


def test_run_now_asks_for_the_job_as_the_schedule_has_it_and_moves_nothing(staff: Client) -> None:
    mine = schedule(task=SYNC, kwargs='{"platforms": ["atcoder"]}')
    with published() as jobs:
        page = act(staff, LIST, "run_now", mine.pk)
        assert jobs() == [(SYNC, [], {"platforms": ["atcoder"]})]
    assert page.messages[0].startswith("“mine” was handed to the workers.")
    assert (stored(mine).last_run_at, stored(mine).total_run_count) == (None, 0)
    assert LogEntry.objects.get().get_change_message() == "Run now."


def test_save_and_run_now_runs_what_was_saved(staff: Client) -> None:
    mine = schedule(task=SYNC)
    with published() as jobs:
        page = Page(staff, page_of(mine))
        page.submit("django_celery_beat_periodictask_save_and_run_now", kwargs='{"platforms": ["leetcode"]}')
        assert jobs() == [(SYNC, [], {"platforms": ["leetcode"]})]
        page.submit("django_celery_beat_periodictask_save_and_run_now", cron="nonsense")
        assert jobs() == []
    assert stored(mine).kwargs == '{"platforms": ["leetcode"]}'


def test_run_now_without_a_broker_says_so(staff: Client) -> None:
    mine = schedule()
    with no_broker():
        page = act(staff, LIST, "run_now", mine.pk)
    assert page.messages[0].startswith("“mine” could not be started: the message broker is out of reach")


@pytest.mark.parametrize(
    ("fields", "why"),
    [
        ({"task": "gone.task"}, "There is no job called “gone.task” any more."),
        ({"args": "5"}, "This must be a list, such as [] or [1, 2]."),
        ({"kwargs": "not json"}, "This is not JSON: Expecting value: line 1 column 1 (char 0)."),
        ({"args": "[1, 2]"}, "The job does not take these arguments: too many positional arguments."),
    ],
)
def test_run_now_of_a_broken_schedule_says_why_not(staff: Client, fields: dict[str, Any], why: str) -> None:
    with published() as jobs:
        page = act(staff, LIST, "run_now", schedule(**fields).pk)
        assert jobs() == []
    assert page.messages == [f"“mine” could not be started. {why}"]


def test_staff_who_may_only_look_see_it_all_and_change_nothing(client: Client, staff: Client) -> None:
    mine = schedule()
    client.force_login(staff_with("view_periodictask"))
    page = Page(client, LIST)
    assert page.row("mine")["cron expression"] == "0 2 * * *"
    assert not page.soup.select("select[name=action], input[name$=enabled], button[name=_save]")
    detail = Page(client, page_of(mine))
    assert (detail.told("Cron expression"), detail.told("Time zone")) == ("0 2 * * *", "UTC")
    assert "run now" not in detail.text

    with published() as jobs:
        client.post(LIST, {"action": "run_now", "_selected_action": [mine.pk], "index": "0"})
        client.post(LIST, {"action": "turn_off", "_selected_action": [mine.pk], "index": "0"})
        refused = client.post(page_of(mine), {"django_celery_beat_periodictask_save_and_run_now": "1"})
        assert (refused.status_code, jobs()) == (403, [])
    assert stored(mine).enabled


def test_the_list_takes_as_many_queries_for_many_schedules_as_for_few(staff: Client) -> None:
    def queries() -> int:
        with CaptureQueriesContext(
            connection,
        ) as captured:
            Page(staff, LIST)
        return len(captured)

    other_kinds()
    schedule("first")
    queries()  # content types and the like are remembered from now on
    few = queries()
    for number in range(20):
        schedule(f"number {number}", f"{number} 3 * * *")
    assert queries() == few


@pytest.mark.browser
@pytest.mark.skipif(not CHROMIUM.exists(), reason=f"There is no Chromium at {CHROMIUM}.")
def test_in_a_browser_an_expression_is_edited_and_seen_in_the_list(
    live_server: LiveServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(
        os.environ, "DJANGO_ALLOW_ASYNC_UNSAFE", "true"
    )  # playwright keeps an event loop in this thread
    alice = StaffFactory()
    schedule()
    with sync_playwright() as playwright, playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS) as browser:
        page = browser.new_page(base_url=live_server.url)
        complaints: list[str] = []
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.set_default_timeout(10_000)
        page.goto(LIST)
        page.get_by_label("Username").fill(alice.username)
        page.get_by_label("Password").fill("correct horse")
        page.get_by_role("button", name="Log in").click()

        page.get_by_role("link", name="mine", exact=True).click()
        page.get_by_label("Cron expression").fill("99 * * * *")
        page.get_by_role("button", name="Save", exact=True).click()
        expect(page.get_by_text("Cron does not understand “99 * * * *”: bad minute.")).to_be_visible()

        page.get_by_label("Cron expression").fill("15 4 * * 1")
        page.get_by_role("button", name="Save", exact=True).click()
        row = page.get_by_role("row").filter(has_text="mine")
        expect(row).to_contain_text("15 4 * * 1")
        expect(row).to_contain_text("At 04:15 AM, only on Monday (UTC)")
        assert complaints == []
