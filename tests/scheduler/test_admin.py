"""The schedules in Django admin: Alice may edit them, whatever state they are in; Bob may only look."""

import json
import re
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import User
from django.test import Client
from django.utils import timezone
from django_celery_beat.models import (
    ClockedSchedule,
    CrontabSchedule,
    IntervalSchedule,
    PeriodicTask,
    PeriodicTasks,
    SolarSchedule,
)
from playwright.sync_api import expect

from scheduler import ledger, schedules
from scheduler.admin.schedules import MOST_AT_ONCE
from scheduler.models import Event, Pause, Priority, Run, RunEvent, Schedule, Status, Trigger
from scheduler.tick import fire, follow_edits
from tests.admin import Page, act, staff_with
from tests.chromium import CHROMIUM, PHONE, Open, sideways
from tests.database import queries_of
from tests.factories import StaffFactory, UserFactory
from tests.scheduler.rows import again, make

LIST = "/admin/django_celery_beat/periodictask/"
ADD = f"{LIST}add/"
PREVIEW = f"{LIST}preview/"
CLEAN_UP = "config.tasks.clean_up_data"
SYNC = "contests.tasks.sync_contests"
MAIL = "config.tasks.send_email"


@pytest.fixture
def staff(client: Client, db: None) -> Client:
    client.force_login(StaffFactory(username="alice"))
    schedules.delete(PeriodicTask.objects.all(), "test", timezone.now())
    RunEvent.objects.all().delete()
    return client


def page_of(task: PeriodicTask) -> str:
    return f"{LIST}{task.pk}/change/"


def cron_of(task: PeriodicTask) -> str:
    return schedules.expression(again(task))


def ran(
    task: PeriodicTask, status: Status = Status.SUCCEEDED, *, ago: int = 60, took: float = 3.0, **fields: Any
) -> Run:
    """A run of so many seconds ago."""
    began = timezone.now() - timedelta(seconds=ago)
    times = {"created_at": began, "available_at": began, "occurrence": began, "started_at": began}
    ended = began + timedelta(seconds=took)
    values = {"task": task.task, "name": task.name, "trigger": Trigger.SCHEDULE, "finished_at": ended}
    run: Run = Run.objects.create(schedule=task.scheduling, status=status, **{**values, **times, **fields})
    return run


def in_a_day() -> datetime:
    return timezone.now().replace(microsecond=0) + timedelta(days=1)


def typed(name: str, at: datetime) -> dict[str, str]:
    """A moment as the two boxes of a form have it."""
    return {f"{name}_0": f"{at:%Y-%m-%d}", f"{name}_1": f"{at:%H:%M:%S}"}


# --- The list --------------------------------------------------------------------------------------------------------


def test_the_default_schedules_are_there_with_their_next_runs(client: Client, db: None) -> None:
    client.force_login(StaffFactory())
    follow_edits(timezone.now(), "test")
    page = Page(client, LIST)
    row = page.row("sync-contests")
    assert row["schedule"] == "sync-contests Sync contests"
    assert row["when"] == "Every 6 hours 0 */6 * * * · UTC"
    assert re.fullmatch(r"in (\d hours?|.*minutes?) \d{4}-\d\d-\d\d (00|06|12|18):00 UTC", row["next run"])
    assert (row["last run"], row["latest runs"]) == ("–", "–")
    assert page.rows == 4


def test_a_row_says_how_the_last_run_went_that_was_not_skipped_and_links_to_it(staff: Client) -> None:
    task = make()
    run = ran(task, Status.FAILED, ago=3600, took=75, error="ValueError: <b>no</b>")
    ran(task, Status.SKIPPED, ago=60, started_at=None)
    ran(task, ago=7200)
    page = Page(staff, LIST)
    assert page.row("mine")["last run"] == "failed 1 min 15 s 58 minutes ago"
    link = page.soup.select_one("#result_list .field-last_run a")
    assert link
    assert link["href"] == f"/admin/scheduler/run/{run.pk}/change/"
    assert "<b>no</b>" not in page.html


def test_the_latest_runs_are_drawn_with_a_shape_and_a_title_for_each_outcome(staff: Client) -> None:
    task = make()
    ran(task, Status.SUCCEEDED, ago=300, took=10)
    ran(task, Status.FAILED, ago=200, took=100, error="ValueError: <no>")
    ran(task, Status.RUNNING, ago=100, finished_at=None)
    drawing = Page(staff, LIST).soup.select_one("svg.sparkline")
    assert drawing
    assert drawing["aria-label"] == "The latest 3 runs: 1 succeeded, 1 failed, 1 running"
    bars = drawing.select("g")
    assert [bar["class"] for bar in bars] == [["run-succeeded"], ["run-failed"], ["run-running"]]
    assert [len(bar.select("path")) for bar in bars] == [0, 1, 0]
    heights = [float(str(bar.select("rect")[0]["height"])) for bar in bars]
    assert heights[0] < heights[1] <= 24
    assert bars[1].select("title")[0].get_text().endswith("UTC, failed, 1 min 40 s: ValueError: <no>")


def test_a_broken_schedule_says_why_in_the_list_and_on_its_page(staff: Client) -> None:
    ghost = make("ghost", task="gone.task")
    row = Page(staff, LIST).row("ghost")
    assert row["state"].startswith("broken")
    assert row["next run"] == "– There is no job called “gone.task”."
    assert Page(staff, page_of(ghost)).messages == ["It does not work. There is no job called “gone.task”."]


def test_a_late_schedule_says_so_and_its_page_says_what_to_look_at(staff: Client) -> None:
    mine = make()
    Schedule.objects.update(next_run_at=timezone.now() - timedelta(minutes=7))
    row = Page(staff, LIST).row("mine")
    assert row["state"].startswith("late")
    assert row["next run"].startswith("7 minutes ago")
    assert "is the scheduler running" in Page(staff, page_of(mine)).messages[0]


@pytest.mark.parametrize(
    ("query", "names"),
    [
        ("state=late", {"late"}),
        ("state=failing", {"failing"}),
        ("state=paused", {"paused"}),
        ("state=off", {"off"}),
        ("state=broken", {"broken"}),
        ("state=on", {"failing", "owned"}),
        ("state=nonsense", {"late", "failing", "paused", "off", "broken", "owned"}),
        (f"job={SYNC}", {"owned"}),
        ("job=other", {"broken"}),
        ("owner=me", {"owned"}),
        ("owner=nobody&state=off", {"off"}),
        ("q=aus", {"paused"}),
    ],
)
def test_the_list_is_filtered(staff: Client, query: str, names: set[str]) -> None:
    late, failing, paused = make("late"), make("failing"), make("paused")
    make("off", enabled=False)
    make("broken", task="gone.task")
    owned = make("owned", task=SYNC)
    Schedule.objects.filter(pk=owned.pk).update(owner=User.objects.get(username="alice"))
    Schedule.objects.filter(pk=late.pk).update(next_run_at=timezone.now() - timedelta(hours=1))
    ran(failing, Status.FAILED)
    ledger.pause("alice", schedule=paused.scheduling)
    page = Page(staff, f"{LIST}?{query}")
    assert {text.split(" ")[0] for text in page.texts("tbody .field-schedule_and_job")} == names


def test_the_list_is_ordered_by_the_next_run_on_request(staff: Client) -> None:
    make("b", "*/5 * * * *")
    make("a", "0 0 1 1 *")
    page = Page(staff, f"{LIST}?o=4")
    assert [text.split(" ")[0] for text in page.texts("tbody .field-schedule_and_job")] == ["b", "a"]


def test_the_list_takes_as_many_queries_for_many_schedules_as_for_few(staff: Client) -> None:
    ran(make("first"))
    queries_of(Page, staff, LIST)  # content types and the like are remembered from now on
    few = queries_of(Page, staff, LIST)
    for number in range(20):
        task = make(f"number {number}", f"{number} 3 * * *", task=(SYNC, "gone.task")[number % 2])
        ran(task)
        ran(task, Status.FAILED, ago=100)
        ledger.pause("alice", schedule=task.scheduling)
    assert queries_of(Page, staff, LIST) == few


def test_a_list_of_very_many_is_not_counted_to_its_end(staff: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("config.admin.MOST_COUNTED", 200)
    row = schedules.crontab("0 2 * * *", "UTC")
    PeriodicTask.objects.bulk_create(PeriodicTask(name=f"n{n:03}", task=SYNC, crontab=row) for n in range(260))
    page = Page(staff, LIST)
    assert page.rows == 50
    assert "more than 200 schedules" in page.text
    assert Page(staff, f"{LIST}?p=4").rows == 50
    assert "more than 200 schedules" in Page(staff, f"{LIST}?q=n").text
    assert "10 schedules" in Page(staff, f"{LIST}?q=n01").text


# --- Buttons of a row ------------------------------------------------------------------------------------------------


def press(client: Client, page: Page, button: str) -> Page:
    """Press a button of a row, as a browser without scripts does it."""
    (found,) = page.soup.select(f"#result_list {button}")
    address = str(found["formaction"])
    return Page(client, address, client.post(address, follow=True))


def test_a_schedule_is_turned_off_and_on_by_its_switch_and_the_list_stays_as_it_was(staff: Client) -> None:
    mine = make()
    page = press(staff, Page(staff, f"{LIST}?q=mine"), "[role=switch]")
    assert page.messages == ["1 schedule was turned off."]
    assert page.response.redirect_chain[-1][0] == f"{LIST}?q=mine"
    assert not again(mine).enabled
    (switch,) = page.soup.select("[role=switch]")
    assert (switch["aria-checked"], switch["aria-label"]) == ("false", "mine is on")
    press(staff, page, "[role=switch]")
    assert again(mine).enabled
    assert again(mine).scheduling.next_run_at > timezone.now()


def test_run_now_asks_for_the_job_as_the_schedule_has_it_and_moves_nothing(staff: Client) -> None:
    mine = make(task=SYNC, kwargs='{"platforms": ["atcoder"]}', priority=9)
    comes = again(mine).scheduling.next_run_at
    page = press(staff, Page(staff, LIST), ".run-now")
    run = Run.objects.get()
    assert (run.task, json.loads(run.kwargs), run.priority) == (SYNC, {"platforms": ["atcoder"]}, Priority.CRITICAL)
    assert (run.trigger, run.actor, run.schedule) == (Trigger.ADMIN, "alice", mine.scheduling)
    assert page.messages[0].startswith("“mine” was asked for")
    assert f"/admin/scheduler/run/{run.pk}/change/" in page.html
    assert (again(mine).scheduling.next_run_at, again(mine).total_run_count) == (comes, 0)
    assert LogEntry.objects.get().get_change_message() == "Run now."


@pytest.mark.parametrize("button", ["turn/off", "turn/on", "run-now"])
def test_the_buttons_take_a_post_by_somebody_who_may(staff: Client, client: Client, button: str) -> None:
    mine = make()
    address = f"{LIST}{mine.pk}/{button}/"
    assert client.get(address).status_code == 405
    assert client.post(f"{LIST}999999/{button}/").status_code == 404
    assert Client(enforce_csrf_checks=True).post(address).status_code == 403
    for user, status in ((staff_with("view_periodictask"), 403), (UserFactory(), 302)):
        client.force_login(user)
        assert client.post(address).status_code == status
    assert again(mine).enabled
    assert not Run.objects.exists()


# --- Saving ----------------------------------------------------------------------------------------------------------


def test_a_schedule_is_made_from_one_cron_expression(staff: Client) -> None:
    values = {"name": "nightly", "task": SYNC, "cron": " 30  2 * * MON-fri ", "zone": "Asia/Kolkata"}
    page = Page(staff, ADD).submit(kwargs='{"platforms": ["codeforces"]}', args="", **values)
    assert "was added successfully" in page.messages[0]
    made = PeriodicTask.objects.get()
    assert (made.task, made.args, made.kwargs, made.enabled) == (SYNC, "[]", '{"platforms": ["codeforces"]}', True)
    assert (cron_of(made), str(made.crontab.timezone)) == ("30 2 * * mon-fri", "Asia/Kolkata")
    assert made.scheduling.next_run_at.hour == 21
    assert (RunEvent.objects.get().kind, RunEvent.objects.get().actor) == (Event.CREATED, "alice")


@pytest.mark.parametrize(
    ("expression", "kept"),
    [
        ("*/15 * * * * *", "*/15 * * * * *"),
        ("@daily", "0 0 * * *"),
        ("0 0 L * 5", "0 0 L * 5"),
        ("0 0 * * 7", "0 0 * * 7"),
    ],
)
def test_seconds_aliases_and_what_only_cron_knows_are_taken(staff: Client, expression: str, kept: str) -> None:
    Page(staff, ADD).submit(name="mine", task=CLEAN_UP, cron=expression)
    made = PeriodicTask.objects.get()
    assert cron_of(made) == kept
    assert made.scheduling.next_run_at > timezone.now()
    Page(staff, page_of(made)).submit(description="Why it exists.")
    assert cron_of(made) == kept


def test_an_interval_is_made(staff: Client) -> None:
    Page(staff, ADD).submit(name="often", task=CLEAN_UP, kind="interval", every="90", period="seconds")
    made = PeriodicTask.objects.get()
    assert (str(made.interval), made.crontab, made.one_off) == ("every 90 seconds", None, False)
    assert made.scheduling.next_run_at - made.scheduling.anchor_at == timedelta(seconds=90)


def test_an_interval_counts_from_its_start(staff: Client) -> None:
    start = in_a_day()
    Page(staff, ADD).submit(
        name="o", task=CLEAN_UP, kind="interval", every="2", period="hours", **typed("start_time", start)
    )
    assert PeriodicTask.objects.get().scheduling.next_run_at == start


def test_what_comes_once_at_a_time_is_made(staff: Client) -> None:
    at = in_a_day()
    Page(staff, ADD).submit(name="once", task=CLEAN_UP, kind="clocked", **typed("clocked_time", at))
    made = PeriodicTask.objects.get()
    assert (made.clocked.clocked_time, made.one_off, made.scheduling.next_run_at) == (at, True, at)


def test_what_comes_once_so_long_after_its_start_is_made(staff: Client) -> None:
    start = in_a_day()
    Page(staff, ADD).submit(
        name="d", task=CLEAN_UP, kind="delay", every="5", period="minutes", **typed("start_time", start)
    )
    made = PeriodicTask.objects.get()
    assert (made.one_off, made.scheduling.next_run_at) == (True, start + timedelta(minutes=5))
    assert Page(staff, page_of(made)).soup.select("input[name=kind][value=delay][checked]")


def test_everything_else_that_staff_decide_is_kept_and_shown_again(staff: Client) -> None:
    alice = User.objects.get(username="alice")
    values: dict[str, Any] = {
        "owner": str(alice.pk),
        "description": "Why it exists.",
        "priority": "9",
        "expire_seconds": "600",
        "queue": "elsewhere",
        "headers": '{"tenant": "a"}',
        "missed": "each",
        "missed_cap": "7",
        "max_lateness": "3600",
        "overlap": "queue",
        "max_attempts": "5",
        "retry_backoff": "2",
        "retry_backoff_max": "60",
        "time_limit": "30",
    }
    Page(staff, ADD).submit(name="mine", task=CLEAN_UP, cron="0 2 * * *", **values)
    made = again(PeriodicTask.objects.get())
    for name, value in values.items():
        row = made if hasattr(made, name) else made.scheduling
        assert str(getattr(row, f"{name}_id", None) or getattr(row, name)) == value, name

    Page(staff, page_of(made)).submit()
    assert schedules.described(again(made)) == schedules.described(made)
    assert not RunEvent.objects.filter(kind=Event.EDITED).exists()


EDITED = {"name": "mine", "task": CLEAN_UP, "cron": "0 2 * * *"}
PAST = datetime(2020, 1, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    ("values", "field", "says"),
    [
        ({"cron": "61 * * * *"}, "cron", "“61” is no minute: 0 to 59."),
        ({"cron": ""}, "cron", "A schedule by a cron expression needs one."),
        ({"cron": "0 0 31 4 *"}, "cron", "31 April never comes: April has 30 days."),
        ({"cron": "x" * 5000}, "cron", "A cron expression has at most 1000 characters."),
        ({"zone": "Mars/Olympus"}, "zone", "Select a valid choice. Mars/Olympus is not one of the available choices."),
        ({"kind": "solar"}, "kind", "Select a valid choice. solar is not one of the available choices."),
        ({"kind": "interval"}, "every", "Say a number from 1."),
        ({"kind": "interval", "every": "0"}, "every", "Ensure this value is greater than or equal to 1."),
        ({"kind": "interval", "every": "99999", "period": "days"}, "every", "This is longer than a hundred years."),
        ({"kind": "interval", "every": "5", "period": "fortnights"}, "period", "Select a valid choice."),
        ({"kind": "clocked"}, "clocked_time", "Say when, with date and time."),
        ({"kind": "clocked", **typed("clocked_time", PAST)}, "clocked_time", "This time is over: choose one"),
        (
            {"kind": "delay", "every": "5", "period": "minutes", **typed("start_time", PAST)},
            "enabled",
            "It would never run: its time, or its end, is over.",
        ),
        (typed("expires", PAST), "enabled", "It would never run: its time, or its end, is over."),
        ({**typed("start_time", PAST), **typed("expires", PAST)}, "expires", "It would end before it starts."),
        ({"start_time_0": "soon", "start_time_1": ""}, "start_time", "Enter a valid date."),
        ({"name": "other"}, "name", "Schedule with this Name already exists."),
        ({"name": ""}, "name", "This field is required."),
        ({"task": "gone.task"}, "task", "Select a valid choice. gone.task is not one of the available choices."),
        ({"args": "{}"}, "args", "This must be a list, such as [] or [1, 2]."),
        ({"args": "5"}, "args", "This must be a list, such as [] or [1, 2]."),
        ({"kwargs": "[1]"}, "kwargs", 'This must be an object, such as {} or {"name": ["value"]}.'),
        ({"kwargs": "{'a': 1}"}, "kwargs", "This is not JSON: Expecting property name enclosed in double quotes"),
        ({"kwargs": '{"speed": 9}'}, "kwargs", "There is no argument “speed”: this job takes none."),
        ({"args": "[1]"}, "kwargs", "There are 1 values in the list, and this job takes none."),
        ({"task": MAIL, "kwargs": '{"to": "a@b.cd"}'}, "kwargs", "subject is missing."),
        ({"task": SYNC, "kwargs": '{"platforms": "x"}'}, "kwargs", "platforms must be a list of"),
        ({"headers": "[]"}, "headers", 'This must be an object, such as {} or {"name": ["value"]}.'),
        ({"headers": "not json"}, "headers", "This is not JSON"),
        ({"headers": '{"task": "os.system"}'}, "headers", "“task” is a header of Celery's own: choose another name."),
        ({"queue": "a b"}, "queue", "A queue's name has letters, digits and the signs _ . -"),
        ({"queue": "q" * 48}, "queue", "Ensure this value has at most 47 characters (it has 48)."),
        ({"priority": "4"}, "priority", "Select a valid choice. 4 is not one of the available choices."),
        ({"expire_seconds": "0"}, "expire_seconds", "Ensure this value is greater than or equal to 1."),
        ({"expire_seconds": "9", **typed("expires", in_a_day())}, "expire_seconds", "Give this or an end"),
        ({"max_attempts": "0"}, "max_attempts", "Ensure this value is greater than or equal to 1."),
        ({"max_attempts": "101"}, "max_attempts", "Ensure this value is less than or equal to 100."),
        ({"time_limit": "-1"}, "time_limit", "Ensure this value is greater than or equal to"),
        ({"time_limit": "9999999999"}, "time_limit", "Ensure this value is less than or equal to 2147483647."),
        ({"missed_cap": "0"}, "missed_cap", "Ensure this value is greater than or equal to 1."),
        ({"missed_cap": ""}, "missed_cap", "This field is required."),
        ({"retry_backoff": "9", "retry_backoff_max": "1"}, "retry_backoff_max", "The longest wait is shorter"),
        ({"overlap": "dance"}, "overlap", "Select a valid choice. dance is not one of the available choices."),
        ({"owner": "999999"}, "owner", "Select a valid choice."),
    ],
)
def test_what_is_wrong_is_said_beside_its_box_and_nothing_is_saved(
    staff: Client, values: dict[str, str], field: str, says: str
) -> None:
    make("other")
    mine = make(expression="0 3 * * *")
    before = list(PeriodicTask.objects.values("name", "date_changed"))
    page = Page(staff, page_of(mine)).submit(**{**EDITED, **values})
    assert list(page.errors) == [field]
    error = page.errors[field][0]
    assert error.startswith(says)
    assert error in page.text
    assert list(PeriodicTask.objects.values("name", "date_changed")) == before
    assert not RunEvent.objects.exists()


def test_of_a_new_schedule_all_that_is_wrong_is_said_at_once(staff: Client) -> None:
    make("other")
    page = Page(staff, ADD).submit(name="other", task=CLEAN_UP, cron="every day", kwargs="x", time_limit="0")
    assert set(page.errors) == {"name", "cron", "kwargs", "time_limit"}
    assert PeriodicTask.objects.count() == 1


def test_editing_the_expression_of_one_schedule_leaves_the_others_that_shared_it(staff: Client) -> None:
    mine, other = make("mine"), make("other")
    assert mine.crontab_id == other.crontab_id
    Page(staff, page_of(mine)).submit(cron="*/5 * * * *")
    assert (cron_of(mine), cron_of(other)) == ("*/5 * * * *", "0 2 * * *")


def test_the_rows_of_times_that_nobody_uses_any_more_are_deleted(staff: Client) -> None:
    mine = make()
    Page(staff, page_of(mine)).submit(kind="interval", every="5", period="hours")
    assert not CrontabSchedule.objects.exists()
    Page(staff, page_of(mine)).submit(kind="clocked", **typed("clocked_time", in_a_day()))
    assert not IntervalSchedule.objects.exists()
    Page(staff, page_of(mine)).submit(kind="cron", cron="0 2 * * *")
    assert not ClockedSchedule.objects.exists()
    assert (again(mine).one_off, cron_of(mine)) == (False, "0 2 * * *")


def test_an_edit_is_audited_in_words_and_noted_in_djangos_log(staff: Client) -> None:
    mine = make()
    Page(staff, page_of(mine)).submit(cron="*/5 * * * *", priority="9")
    event = RunEvent.objects.get()
    assert event.changes == {"when": ["0 2 * * * (UTC)", "*/5 * * * * (UTC)"], "priority": ["normal", "critical"]}
    assert (event.kind, event.actor, event.subject) == (Event.EDITED, "alice", "mine")
    assert LogEntry.objects.get().get_change_message() == "Changed Cron expression and priority."
    assert PeriodicTasks.last_change() is not None


def test_only_a_change_of_timing_moves_the_next_run_of_an_interval(staff: Client) -> None:
    interval = IntervalSchedule.objects.create(every=1, period="hours")
    mine = make(crontab=None, interval=interval)
    comes = again(mine).scheduling.next_run_at
    Page(staff, page_of(mine)).submit(description="Why it exists.", max_attempts="2")
    assert again(mine).scheduling.next_run_at == comes
    Page(staff, page_of(mine)).submit(every="2")
    assert again(mine).scheduling.next_run_at > comes + timedelta(minutes=59)


def test_a_priority_from_elsewhere_stays_until_somebody_chooses_another(staff: Client) -> None:
    mine = make(priority=7)
    Page(staff, page_of(mine)).submit(description="Why it exists.")
    assert again(mine).priority == 7
    Page(staff, page_of(mine)).submit(priority="0")
    assert again(mine).priority == 0


def test_two_people_who_edit_at_once_do_not_overwrite_each_other(staff: Client) -> None:
    mine = make()
    opened = Page(staff, page_of(mine))
    bob = Client()
    bob.force_login(StaffFactory(username="bob"))
    Page(bob, page_of(mine)).submit(cron="*/5 * * * *")
    refused = opened.submit(description="Alice was here.")
    assert refused.errors["__all__"] == [
        "bob changed this schedule while you had its page open. Nothing of yours is saved: open it again first."
    ]
    assert (again(mine).description, cron_of(mine)) == ("", "*/5 * * * *")


def test_a_run_meanwhile_is_no_edit_but_the_one_run_of_a_one_off_is(staff: Client) -> None:
    mine, once = make("mine", "* * * * *"), make("once", "* * * * *", one_off=True)
    opened, opened_once = Page(staff, page_of(mine)), Page(staff, page_of(once))
    Schedule.objects.update(next_run_at=timezone.now().replace(second=0, microsecond=0))
    fire(timezone.now(), "beat")
    opened.submit(description="Why it exists.")
    assert (again(mine).description, again(mine).total_run_count) == ("Why it exists.", 1)
    refused = opened_once.submit(description="Why it exists.")
    assert "while you had its page open" in refused.errors["__all__"][0]
    assert not again(once).enabled


def test_a_schedule_whose_job_is_gone_can_be_described_turned_off_and_given_another(staff: Client) -> None:
    ghost = make("ghost", task="contests.tasks.gone")
    page = Page(staff, page_of(ghost))
    assert page.texts("select[name=task] option[selected]") == ["contests.tasks.gone – cannot be scheduled"]
    refused = page.submit(description="Still wanted.")
    assert refused.errors == {"task": ["This job cannot be scheduled: choose another, or turn the schedule off."]}

    page.submit(enabled=None)
    assert (again(ghost).task, again(ghost).enabled) == ("contests.tasks.gone", False)
    assert act(staff, LIST, "turn_on", ghost.pk).messages == [
        "1 schedule stays off: its job is none that may be scheduled."
    ]
    Page(staff, page_of(ghost)).submit(task=SYNC, enabled="on")
    assert (again(ghost).task, again(ghost).enabled) == (SYNC, True)


def test_a_one_off_that_is_over_may_be_described_anew_but_not_turned_on_as_it_is(staff: Client) -> None:
    over = ClockedSchedule.objects.create(clocked_time=PAST)
    mine = make(crontab=None, clocked=over, one_off=True, enabled=False)
    Page(staff, page_of(mine)).submit(description="That was it.")
    assert again(mine).description == "That was it."
    assert list(Page(staff, page_of(mine)).submit(enabled="on").errors) == ["enabled"]


def test_schedules_that_came_from_elsewhere_are_listed_and_open(staff: Client) -> None:
    interval = IntervalSchedule.objects.create(every=5_000_000, period="microseconds")
    solar = SolarSchedule.objects.create(event="sunset", latitude=40, longitude=-70)
    wrong = CrontabSchedule.objects.create(minute="x", hour="2", day_of_week="9")
    bare = make("bare", args="5", kwargs="nonsense", headers="not json", priority=200)
    kinds = [
        make("every", crontab=None, interval=interval),
        make("sunny", crontab=None, solar=solar),
        make("wrong", crontab=wrong),
    ]
    PeriodicTask.objects.filter(pk=bare.pk).update(crontab=None)
    follow_edits(timezone.now(), "test")
    page = Page(staff, LIST)
    states = {task.name: page.row(task.name)["state"].split(" ")[0] for task in (*kinds, bare)}
    assert states == {"every": "on", "sunny": "broken", "wrong": "broken", "bare": "broken"}
    for task in (*kinds, bare):
        opened = Page(staff, page_of(task))
        assert opened.soup.select_one("input[name=cron]")
        fixed = opened.submit(kind="cron", cron="0 2 * * *", args="", kwargs="", headers="")
        assert fixed.messages[-1].endswith("was changed successfully."), task
    assert {cron_of(task) for task in (*kinds, bare)} == {"0 2 * * *"}


def test_save_and_run_now_runs_what_was_saved(staff: Client) -> None:
    mine = make(task=SYNC)
    button = "django_celery_beat_periodictask_save_and_run_now"
    Page(staff, page_of(mine)).submit(button, kwargs='{"platforms": ["leetcode"]}', time_limit="77")
    run = Run.objects.get()
    assert (json.loads(run.kwargs), run.time_limit) == ({"platforms": ["leetcode"]}, 77)
    Page(staff, page_of(mine)).submit(button, cron="nonsense")
    assert Run.objects.count() == 1


# --- The preview -----------------------------------------------------------------------------------------------------


def preview(client: Client, **values: str) -> Any:
    return client.get(PREVIEW, {"zone": "UTC", **values}).json()


def test_the_preview_says_in_words_and_in_the_schedules_zone_when_it_would_come(staff: Client) -> None:
    told = preview(staff, kind="cron", cron="30 2 * * *", zone="Asia/Kolkata")
    assert (told["words"], told["zone"], len(told["runs"])) == ("At 02:30", "Asia/Kolkata", 5)
    for run in told["runs"]:
        assert run["there"].endswith("02:30:00 IST")
        assert datetime.fromisoformat(run["at"]).astimezone(UTC).hour == 21
    assert told["runs"] == sorted(told["runs"], key=lambda run: run["at"])


@pytest.mark.parametrize(
    ("values", "words", "runs"),
    [
        ({"kind": "interval", "every": "90", "period": "seconds"}, "Every 90 seconds", 5),
        ({"kind": "delay", "every": "5", "period": "minutes"}, "Once, 5 minutes after its start", 1),
        ({"kind": "cron", "cron": "*/10 * * * * *"}, "Every 10 seconds", 5),
        ({"kind": "cron", "cron": "0 2 * * *", "expires_0": "2020-01-01", "expires_1": "00:00"}, "At 02:00", 0),
        ({"kind": "cron", "cron": "0 2 * * *", "one_off": "on"}, "At 02:00, one time only", 1),
    ],
)
def test_the_preview_knows_every_kind(staff: Client, values: dict[str, str], words: str, runs: int) -> None:
    told = preview(staff, **values)
    assert (told["words"], len(told["runs"])) == (words, runs)


@pytest.mark.parametrize(
    ("values", "field"),
    [
        ({"kind": "cron", "cron": "61 * * * *"}, "cron"),
        ({"kind": "cron", "cron": "\0"}, "cron"),
        ({"kind": "cron", "cron": "0 2 * * *", "zone": "../etc/passwd"}, "zone"),
        ({"kind": "clocked", **typed("clocked_time", PAST)}, "clocked_time"),
        ({"kind": "interval", "every": "1e9", "period": "days"}, "every"),
        ({}, "kind"),
    ],
)
def test_the_preview_says_by_field_what_is_wrong(staff: Client, values: dict[str, str], field: str) -> None:
    assert list(preview(staff, **values)["errors"]) == [field]


def test_the_preview_of_an_interval_that_is_not_changed_goes_on_as_it_does(staff: Client) -> None:
    mine = make(crontab=None, interval=IntervalSchedule.objects.create(every=1, period="hours"))
    Schedule.objects.update(anchor_at=timezone.now() - timedelta(minutes=50))
    values = {"kind": "interval", "every": "1", "period": "hours"}
    (first, *_) = preview(staff, schedule=str(mine.pk), **values)["runs"]
    assert datetime.fromisoformat(first["at"]) == Schedule.objects.get().anchor_at + timedelta(hours=1)
    (first, *_) = preview(staff, schedule=str(mine.pk), **{**values, "every": "2"})["runs"]
    assert datetime.fromisoformat(first["at"]) > timezone.now() + timedelta(minutes=119)
    for nobody in ("999999", "x", "9" * 30):
        assert preview(staff, schedule=nobody, **values)["runs"]


def test_the_preview_is_for_staff_who_may_see_schedules(staff: Client, client: Client) -> None:
    for user, status in (
        (staff_with("view_periodictask"), 200),
        (staff_with("view_contest"), 403),
        (UserFactory(), 302),
    ):
        client.force_login(user)
        assert client.get(PREVIEW, {"kind": "cron", "cron": "0 2 * * *", "zone": "UTC"}).status_code == status
    client.logout()
    assert client.get(PREVIEW).status_code == 302


def test_without_a_script_the_page_says_when_it_comes_and_shows_every_field(staff: Client) -> None:
    page = Page(staff, page_of(make(expression="0 */6 * * *")))
    assert page.texts("#schedule-preview p") == ["Every 6 hours."]
    assert len(page.texts("#schedule-preview td")) == 5
    assert page.texts("#schedule-jobs .job:not([hidden]) .job-title") == ["Clean up data"]
    assert "platforms" in " ".join(page.texts("#schedule-jobs [data-job='contests.tasks.sync_contests'] code"))
    assert not page.soup.select(".form-row[hidden]")


# --- Many at once ----------------------------------------------------------------------------------------------------


def test_several_are_turned_off_and_on_at_once(staff: Client) -> None:
    mine, other, third = make("mine"), make("other"), make("third")
    assert act(staff, LIST, "turn_off", mine.pk, other.pk).messages == ["2 schedules were turned off."]
    assert [again(task).enabled for task in (mine, other, third)] == [False, False, True]
    assert act(staff, LIST, "turn_on", mine.pk, third.pk).messages == ["1 schedule was turned on."]
    assert act(staff, LIST, "turn_on", mine.pk).messages == ["Nothing was turned on: that is how it was already."]
    assert LogEntry.objects.filter(object_id=mine.pk).count() == 2
    assert RunEvent.objects.filter(schedule=mine.pk, kind=Event.EDITED, actor="alice").count() == 2


def test_several_are_run_at_once_and_what_cannot_be_says_why(staff: Client) -> None:
    good, ghost, bad = make("good"), make("ghost", task="gone.task"), make("bad", args="[1, 2]")
    said = act(staff, LIST, "run_now", good.pk, ghost.pk, bad.pk).messages
    assert [text.split("<")[0] for text in said] == [
        "“bad” could not be started. There are 2 values in the list, and this job takes none.",
        "“ghost” could not be started. There is no job called “gone.task”.",
        "“good” was asked for: ",
    ]
    assert Run.objects.get().schedule == good.scheduling


def test_several_are_paused_for_a_while_on_a_page_between_and_resumed(staff: Client) -> None:
    mine, other = make("mine"), make("other")
    between = act(staff, LIST, "pause", mine.pk, other.pk)
    assert "Pause 2 schedules" in between.text
    assert not Pause.objects.exists()
    chosen = {"action": "pause", "apply": "1", "_selected_action": [mine.pk, other.pk], "reason": "Maintenance"}
    refused = Page(staff, LIST, staff.post(LIST, {**chosen, "length": "until"}, follow=True))
    assert "Choose a time that is still to come." in refused.text

    done = Page(staff, LIST, staff.post(LIST, {**chosen, "length": "240"}, follow=True))
    assert done.messages[0] == "2 schedules were paused."
    pause = Pause.objects.get(schedule=mine.pk)
    assert (pause.actor, pause.reason) == ("alice", "Maintenance")
    assert pause.until is not None
    assert timedelta(hours=3, minutes=59) < pause.until - timezone.now() <= timedelta(hours=4)
    assert done.row("mine")["state"].startswith("paused")

    assert act(staff, LIST, "resume", mine.pk, other.pk).messages[0] == "2 schedules were resumed."
    assert act(staff, LIST, "resume", mine.pk).messages[0] == "None of them had a pause of its own."
    assert not Pause.objects.exists()
    assert set(RunEvent.objects.values_list("kind", flat=True)) == {Event.PAUSED, Event.RESUMED}


def test_a_duplicate_opens_is_off_and_can_be_saved(staff: Client) -> None:
    mine = make(task=SYNC, kwargs='{"platforms": ["atcoder"]}')
    page = act(staff, LIST, "duplicate", mine.pk)
    copy = PeriodicTask.objects.get(name="mine (copy)")
    assert page.response.redirect_chain[-1][0] == page_of(copy)
    assert (copy.enabled, copy.kwargs, copy.crontab) == (False, mine.kwargs, mine.crontab)
    Page(staff, page_of(copy)).submit(name="another", enabled="on")
    assert again(copy).scheduling.next_run_at is not None


def test_what_takes_statements_for_each_is_not_done_to_very_many(staff: Client) -> None:
    row = schedules.crontab("0 2 * * *", "UTC")
    PeriodicTask.objects.bulk_create(
        PeriodicTask(name=f"n{n}", task=SYNC, crontab=row) for n in range(MOST_AT_ONCE + 1)
    )
    keys = PeriodicTask.objects.values_list("pk", flat=True)
    for action in ("run_now", "pause", "duplicate"):
        assert act(staff, LIST, action, *keys).messages == ["Choose 100 schedules at most for that."]
    assert (Run.objects.count(), Pause.objects.count()) == (0, 0)


def test_deleting_one_and_several_leaves_no_row_of_times_and_takes_nobody_elses(staff: Client) -> None:
    mine, other, alone, fourth = make("mine"), make("other"), make("alone", "7 7 * * *"), make("fourth", "8 8 * * *")
    run = ran(mine)
    assert "mine" in Page(staff, f"{LIST}{mine.pk}/delete/").text
    staff.post(f"{LIST}{mine.pk}/delete/", {"post": "yes"})
    data = {"action": "delete_selected", "_selected_action": [alone.pk, fourth.pk]}
    assert "alone" in Page(staff, LIST, staff.post(LIST, data)).text
    staff.post(LIST, {**data, "post": "yes"})
    assert list(PeriodicTask.objects.all()) == [other]
    assert list(CrontabSchedule.objects.all()) == [other.crontab]
    run.refresh_from_db()
    assert (run.schedule, run.name) == (None, "mine")
    assert set(RunEvent.objects.values_list("subject", "kind")) == {
        (n, Event.DELETED) for n in ("mine", "alone", "fourth")
    }


# --- Who may what ----------------------------------------------------------------------------------------------------


def test_staff_who_may_only_look_see_it_all_and_change_nothing(client: Client, staff: Client) -> None:
    mine = make(kwargs="{}", description="<script>alert(1)</script>")
    client.force_login(staff_with("view_periodictask"))
    page = Page(client, LIST)
    assert page.row("mine")["when"] == "At 02:00 0 2 * * * · UTC"
    assert not page.soup.select("select[name=action], [role=switch], .run-now")
    detail = Page(client, page_of(mine))
    assert "0 2 * * * (UTC)" in detail.text
    assert "<script>alert" not in detail.html
    assert not detail.soup.select("#content-main input:not([type=hidden]), #content-main button[type=submit]")

    for action in ("run_now", "turn_off", "pause", "duplicate", "delete_selected"):
        client.post(LIST, {"action": action, "_selected_action": [mine.pk], "index": "0", "apply": "1", "post": "yes"})
    assert client.post(page_of(mine), {"name": "hijacked"}).status_code == 403
    assert client.post(f"{LIST}{mine.pk}/delete/", {"post": "yes"}).status_code == 403
    assert (again(mine).name, again(mine).enabled, Run.objects.count(), Pause.objects.count()) == ("mine", True, 0, 0)


@pytest.mark.parametrize("path", [LIST, ADD, PREVIEW])
def test_members_and_strangers_see_nothing(client: Client, db: None, path: str) -> None:
    assert client.get(path).status_code == 302
    client.force_login(UserFactory())
    assert client.get(path).status_code == 302
    client.force_login(staff_with("view_contest"))
    assert client.get(path).status_code == 403


# --- In a browser ----------------------------------------------------------------------------------------------------


@pytest.mark.browser
@pytest.mark.skipif(not CHROMIUM.exists(), reason=f"There is no Chromium at {CHROMIUM}.")
def test_in_a_browser_an_expression_is_previewed_while_typing_and_its_next_run_changes(visit: Open) -> None:
    alice = StaffFactory()
    mine = make()
    page = visit(LIST, PHONE, zone="Asia/Tokyo")
    page.get_by_label("Username").fill(alice.username)
    page.get_by_label("Password").fill("correct horse")
    page.get_by_role("button", name="Log in").click()
    assert sideways(page) == 0

    page.goto(page_of(mine))
    preview = page.locator("#schedule-preview")
    expect(preview).to_contain_text("At 02:00.")
    expect(preview).to_contain_text("Here (Asia/Tokyo)")
    expect(preview).to_contain_text("11:00:00")
    box = page.get_by_role("textbox", name="Cron expression")
    box.fill("99 * * * *")
    expect(page.locator("#cron-typed")).to_have_text("“99” is no minute: 0 to 59.")
    expect(box).to_have_attribute("aria-invalid", "true")
    box.fill("15 4 * * 1")
    expect(preview).to_contain_text("At 04:15, only on Monday.")
    expect(preview.get_by_role("row")).to_have_count(6)
    expect(page.locator("#cron-typed")).to_be_empty()

    page.get_by_label("Every so often").check()
    expect(box).to_be_hidden()
    page.get_by_role("button", name="Save", exact=True).click()
    expect(page.get_by_text("Say a number from 1.")).to_be_visible()
    page.wait_for_load_state("networkidle")
    expect(page.get_by_text("Say a number from 1.")).to_be_visible()
    page.get_by_label("How often").fill("90")
    page.get_by_label("Unit").select_option("seconds")
    expect(preview).to_contain_text("Every 90 seconds.")
    page.get_by_label("By a cron expression").check()
    expect(preview).to_contain_text("At 04:15, only on Monday.")

    page.get_by_label("Job*").select_option(SYNC)
    expect(page.locator("#schedule-jobs")).to_contain_text("platforms")
    assert sideways(page) == 0
    page.get_by_role("button", name="Save", exact=True).click()
    row = page.get_by_role("row").filter(has_text="mine")
    expect(row).to_contain_text("At 04:15, only on Monday")
    expect(row).to_contain_text("04:15 UTC")

    row.get_by_role("switch").click()
    expect(page.get_by_role("switch", name="mine is on")).not_to_be_checked()
