"""The scheduler: what it fires, what it says along with it, and which schedules there are to begin with."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import kombu
import pytest
import time_machine
from django.conf import settings as project
from django.core.management import call_command
from django.utils import timezone
from django_celery_beat.models import CrontabSchedule, IntervalSchedule, PeriodicTask
from pytest_django import Settings

from config.celery import app
from scheduler import schedules
from scheduler.beat import Scheduler
from tests.installation import Installation, eventually

pytestmark = pytest.mark.django_db
DISPATCH = "notifications.tasks.dispatch_notifications"


@pytest.fixture
def broker() -> Iterator[kombu.Connection]:
    """One in this process: what is published is really encoded, routed and read."""
    with kombu.Connection("memory://localhost") as connection:
        yield connection


@pytest.fixture
def scheduler(broker: kombu.Connection, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    # The test's transaction is on the one that it would close.
    monkeypatch.setattr("django_celery_beat.schedulers.close_old_connections", lambda: None)
    scheduler = Scheduler(app=app)
    scheduler.producer = kombu.Producer(broker)
    yield scheduler
    scheduler._finalize.cancel()


def published(broker: kombu.Connection) -> list[dict[str, Any]]:
    """The headers of the jobs that were published since the last call."""
    with broker.SimpleQueue(project.CELERY_TASK_DEFAULT_QUEUE) as queue:
        return [queue.get_nowait().headers for _ in range(queue.qsize())]


def only(name: str = "only", expression: str = "* * * * *", zone: str = "UTC", **fields: Any) -> PeriodicTask:
    """The only schedule there is."""
    PeriodicTask.objects.all().delete()
    crontab = schedules.crontab(expression, zone)
    task: PeriodicTask = PeriodicTask.objects.create(name=name, task=DISPATCH, crontab=crontab, **fields)
    return task


# --- When it fires next --------------------------------------------------------------------------------------------


def fire(row: PeriodicTask, scheduler: Any, broker: kombu.Connection) -> dict[str, Any]:
    """Fire this schedule, due or not, as a tick does. Returns the headers of what was published."""
    scheduler.apply_async(scheduler.Entry(row, app=app), producer=scheduler.producer, advance=False)
    (headers,) = published(broker)
    return headers


def told_at(moment: datetime, row: PeriodicTask, scheduler: Any, broker: kombu.Connection) -> datetime:
    """What a run that is fired then is told of the next one."""
    with time_machine.travel(moment):
        return datetime.fromisoformat(fire(row, scheduler, broker)["next_run_at"])


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).astimezone(UTC)


@pytest.mark.parametrize(
    ("expression", "zone", "fired", "expected"),
    [
        ("*/30 * * * *", "UTC", "2026-11-22T12:00:00.003Z", "2026-11-22T12:30:00Z"),
        ("*/30 * * * *", "UTC", "2026-11-22T12:30:00Z", "2026-11-22T13:00:00Z"),
        ("0 2 * * *", "Asia/Kolkata", "2026-11-22T02:00:01+05:30", "2026-11-23T02:00:00+05:30"),
        ("0 9 * * 1", "America/New_York", "2026-11-16T09:00:00-05:00", "2026-11-23T09:00:00-05:00"),
        ("0 0 29 2 *", "UTC", "2026-11-22T12:00:00Z", "2028-02-29T00:00:00Z"),
        # The hour from two to three does not exist, or exists twice.
        ("30 2 * * *", "Europe/Berlin", "2026-03-28T02:30:00+01:00", "2026-03-29T01:30:00Z"),
        ("*/30 * * * *", "Europe/Berlin", "2026-03-29T00:30:00Z", "2026-03-29T01:00:00Z"),
        ("30 2 * * *", "Europe/Berlin", "2026-10-24T02:30:00+02:00", "2026-10-25T00:30:00Z"),
        ("30 2 * * *", "Europe/Berlin", "2026-10-25T00:30:00Z", "2026-10-26T01:30:00Z"),
    ],
)
def test_a_run_is_told_when_its_schedule_fires_next(
    scheduler: Any, broker: kombu.Connection, expression: str, zone: str, fired: str, expected: str
) -> None:
    row = only(expression=expression, zone=zone)
    assert told_at(at(fired), row, scheduler, broker) == at(expected)


@pytest.mark.parametrize("zone", ["UTC", "Europe/Berlin", "Asia/Kolkata", "Australia/Lord_Howe", "America/St_Johns"])
@pytest.mark.parametrize("expression", ["*/30 * * * *", "17 3 * * *", "0 */6 * * 1-5", "5 1 1 * *"])
def test_at_the_moment_it_was_told_the_schedule_is_due_and_a_second_before_it_is_not(
    scheduler: Any, broker: kombu.Connection, expression: str, zone: str
) -> None:
    row = only(expression=expression, zone=zone)
    for month in range(1, 13):
        fired = datetime(2026, month, 28, 23, 45, 1, 5, tzinfo=ZoneInfo(zone))
        told = told_at(fired, row, scheduler, broker)
        with time_machine.travel(told, tick=False):
            assert row.schedule.is_due(fired).is_due
        with time_machine.travel(told - timedelta(seconds=1), tick=False):
            assert not row.schedule.is_due(fired).is_due


def test_a_schedule_by_interval_is_told_of_too(scheduler: Any, broker: kombu.Connection) -> None:
    PeriodicTask.objects.all().delete()
    interval = IntervalSchedule.objects.create(every=10, period=IntervalSchedule.MINUTES)
    row = PeriodicTask.objects.create(name="only", task=DISPATCH, interval=interval)
    told = told_at(at("2026-11-22T12:00:00Z"), row, scheduler, broker)
    assert timedelta(0) <= told - at("2026-11-22T12:10:00Z") <= timedelta(seconds=1)


def test_headers_that_staff_gave_stay(scheduler: Any, broker: kombu.Connection) -> None:
    headers = fire(only(headers='{"asked_by": "Bob"}'), scheduler, broker)
    assert headers["asked_by"] == "Bob"
    assert headers["periodic_task_name"] == "only"
    assert headers["task"] == DISPATCH


def test_the_word_reaches_the_job_through_scheduler_broker_and_worker(installation: Installation) -> None:
    """Alice's contest starts in five days. No round tells of it yet, but one that is not followed for months does."""
    months_away = (timezone.now() + timedelta(days=150)).month
    installation.python(f"""
from datetime import timedelta
from django.utils.timezone import now
from django_celery_beat.models import PeriodicTask
from scheduler import schedules
from tests.factories import ContestFactory, make_members
make_members(1)
ContestFactory(starts_at=now() + timedelta(days=5))
PeriodicTask.objects.update(enabled=False)
row = PeriodicTask.objects.get(name="dispatch-notifications")
row.crontab = schedules.crontab("0 * 1 {months_away} *", "UTC")
row.enabled, row.last_run_at = True, now() - timedelta(days=800)
row.save()
""")
    assert installation.json("dispatch_notifications")["planned"] == 0

    installation.start("celery", "-A", "config", "worker", "--concurrency", "1")
    installation.start("celery", "-A", "config", "beat")
    try:
        eventually(lambda: list((installation.data_dir / "outbox").glob("*.eml")), what="the mail")
    finally:
        installation.stop()
    found = installation.python("""
from django_celery_beat.models import PeriodicTask
from notifications.models import Notification
rows = PeriodicTask.objects.order_by("name").values_list("name", "total_run_count")
result = [list(rows), sorted(Notification.objects.values_list("status", "lead_minutes"))]
""")
    assert found == [
        [["clean-up-data", 0], ["dispatch-notifications", 1], ["sync-contests", 0]],
        [["sent", 60], ["sent", 1440]],
    ]


# --- Whether it fires ----------------------------------------------------------------------------------------------


def test_what_is_due_is_fired_once(scheduler: Any, broker: kombu.Connection, settings: Settings) -> None:
    """Though it came up just now, after the schedules were first read."""
    settings.SCHEDULING_ENABLED = True
    only(last_run_at=timezone.now() - timedelta(days=1))
    for _ in range(3):
        scheduler.tick()
    assert [headers["task"] for headers in published(broker)] == [DISPATCH]


def test_where_scheduling_is_off_nothing_is_fired(scheduler: Any, broker: kombu.Connection, settings: Settings) -> None:
    settings.SCHEDULING_ENABLED = False
    only(last_run_at=timezone.now() - timedelta(days=1))
    assert {scheduler.tick() for _ in range(3)} == {scheduler.max_interval}
    scheduler.sync()
    assert published(broker) == []
    assert PeriodicTask.objects.get().total_run_count == 0


def test_that_scheduling_is_off_is_said(settings: Settings, caplog: pytest.LogCaptureFixture) -> None:
    settings.SCHEDULING_ENABLED = False
    Scheduler(app=app, lazy=True)._finalize.cancel()
    assert "SCHEDULING_ENABLED" in caplog.text


# --- What there is to begin with -----------------------------------------------------------------------------------


def rows() -> list[dict[str, Any]]:
    return list(PeriodicTask.objects.order_by("pk").values())


def names() -> set[str]:
    return set(PeriodicTask.objects.values_list("name", flat=True))


def migrate() -> None:
    call_command("migrate", verbosity=0)


def test_three_schedules_are_installed() -> None:
    found = {
        row.name: (row.task, schedules.expression(row.crontab), str(row.crontab.timezone), row.enabled)
        for row in PeriodicTask.objects.select_related("crontab")
    }
    assert found == {
        "sync-contests": ("contests.tasks.sync_contests", "0 */6 * * *", "UTC", True),
        "dispatch-notifications": ("notifications.tasks.dispatch_notifications", "*/30 * * * *", "UTC", True),
        "clean-up-data": ("config.tasks.clean_up_data", "0 2 * * *", "UTC", True),
    }
    app.loader.import_default_modules()
    assert {task for task, _ in project.SCHEDULES.values()} <= set(app.tasks)


def test_the_scheduler_adds_none_of_celerys_own(scheduler: Any) -> None:
    assert set(scheduler.schedule) <= names() == set(project.SCHEDULES)


def test_migrating_again_changes_nothing() -> None:
    before, crontabs = rows(), CrontabSchedule.objects.count()
    migrate()
    migrate()
    assert (rows(), CrontabSchedule.objects.count()) == (before, crontabs)


@pytest.mark.parametrize(
    "edit",
    [
        {"enabled": False},
        {"name": "Ask the platforms"},
        {"args": '[["codeforces"]]'},
        {"description": "Mine."},
        {"task": "config.tasks.clean_up_data"},
    ],
)
def test_an_edit_by_staff_outlives_migrations(edit: dict[str, Any]) -> None:
    PeriodicTask.objects.filter(name="sync-contests").update(**edit)
    before = rows()
    migrate()
    assert rows() == before


def test_another_expression_outlives_migrations() -> None:
    row = PeriodicTask.objects.get(name="sync-contests")
    row.crontab = schedules.crontab("15 4 * * *", "Asia/Tokyo")
    row.save()
    before = rows()
    migrate()
    assert rows() == before


def test_a_schedule_that_is_missing_is_installed() -> None:
    PeriodicTask.objects.filter(name="sync-contests").delete()
    migrate()
    assert names() == set(project.SCHEDULES)


def test_a_job_that_has_a_schedule_of_somebodys_own_gets_no_second_one() -> None:
    PeriodicTask.objects.filter(name="sync-contests").delete()
    crontab = schedules.crontab("15 4 * * *", "UTC")
    PeriodicTask.objects.create(name="mine", task="contests.tasks.sync_contests", crontab=crontab)
    migrate()
    assert names() == {"mine", "dispatch-notifications", "clean-up-data"}
