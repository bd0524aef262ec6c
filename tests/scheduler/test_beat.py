"""The scheduler process: a pass, how it lives through trouble, and which schedules there are to begin with."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import kombu
import pytest
from django.conf import settings as project
from django.core.management import call_command
from django.db import OperationalError
from django.utils import timezone
from django_celery_beat.models import CrontabSchedule, PeriodicTask
from pytest_django import Settings

from config.celery import app
from scheduler import beat, schedules
from scheduler.beat import Scheduler
from scheduler.models import Run, Schedule, Status
from scheduler.timing import cron_expression
from tests.installation import Installation, eventually

pytestmark = pytest.mark.django_db
DISPATCH = "notifications.tasks.dispatch_notifications"


@pytest.fixture
def scheduler(broker: kombu.Connection, monkeypatch: pytest.MonkeyPatch, settings: Settings) -> Iterator[Scheduler]:
    # The test's transaction is on the connection that it would close.
    monkeypatch.setattr(beat, "close_old_connections", lambda: None)
    settings.SCHEDULING_ENABLED = True
    scheduler = Scheduler(app=app)
    yield scheduler
    scheduler._finalize.cancel()


def published(broker: kombu.Connection) -> list[dict[str, Any]]:
    """The headers of the messages that were published since the last call."""
    with broker.SimpleQueue(project.CELERY_TASK_DEFAULT_QUEUE) as queue:
        return [queue.get_nowait().headers for _ in range(queue.qsize())]


def only(expression: str = "* * * * *", **fields: Any) -> PeriodicTask:
    """The only schedule there is; it is due."""
    PeriodicTask.objects.all().delete()
    crontab = schedules.crontab(expression, "UTC")
    task: PeriodicTask = PeriodicTask.objects.create(name="only", task=DISPATCH, crontab=crontab, **fields)
    this_minute = timezone.now().replace(second=0, microsecond=0)
    Schedule.objects.update(stale_since=None, next_run_at=this_minute)
    return task


# --- A pass --------------------------------------------------------------------------------------------------------


def test_what_is_due_is_fired_once_and_told_when_it_comes_next(scheduler: Scheduler, broker: kombu.Connection) -> None:
    only(headers='{"asked_by": "Bob"}')
    for _ in range(3):
        scheduler.tick()
    (message,) = published(broker)
    run = Run.objects.get()
    assert (message["id"], message["task"], message["run_attempt"]) == (str(run.pk), DISPATCH, 1)
    assert message["asked_by"] == "Bob"
    assert run.occurrence
    next_run_at = Schedule.objects.get().next_run_at
    assert next_run_at
    assert message["next_run_at"] == next_run_at.isoformat()
    assert next_run_at > run.occurrence


def test_a_pass_comes_every_half_second_and_just_after_each_second(scheduler: Scheduler) -> None:
    PeriodicTask.objects.all().delete()
    for _ in range(20):
        wait = scheduler.tick()
        assert 0 < wait <= 0.501


def test_where_scheduling_is_off_nothing_is_fired_but_what_was_asked_for_is_published(
    scheduler: Scheduler, broker: kombu.Connection, settings: Settings
) -> None:
    settings.SCHEDULING_ENABLED = False
    only()
    now = timezone.now()
    asked_for = Run.objects.create(task=DISPATCH, trigger="api", created_at=now, available_at=now)
    for _ in range(3):
        scheduler.tick()
    assert [message["id"] for message in published(broker)] == [str(asked_for.pk)]
    assert PeriodicTask.objects.get().total_run_count == 0


def test_that_scheduling_is_off_is_said(settings: Settings, caplog: pytest.LogCaptureFixture) -> None:
    settings.SCHEDULING_ENABLED = False
    Scheduler(app=app, lazy=True)._finalize.cancel()
    assert "SCHEDULING_ENABLED" in caplog.text


def test_beat_holds_no_schedule_in_memory_and_adds_none_of_celerys_own(scheduler: Scheduler) -> None:
    scheduler.tick()
    assert scheduler.schedule == {}
    assert names() == set(project.SCHEDULES)


def test_a_pass_that_fails_is_said_and_followed_by_the_next(
    scheduler: Scheduler, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def gone(*_: Any) -> int:
        raise OperationalError("the server closed the connection")

    with monkeypatch.context() as patched:
        patched.setattr(beat, "fire", gone)
        assert scheduler.tick() == 1.0
    assert "the server closed the connection" in caplog.text
    only()
    scheduler.tick()
    assert Run.objects.count() == 1


def test_while_the_broker_is_out_of_reach_runs_wait_and_beat_asks_ever_less_often(
    scheduler: Scheduler, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    @contextmanager
    def gone(*_: Any, **__: Any) -> Iterator[None]:
        raise ConnectionError("nobody listens there")
        yield

    monkeypatch.setattr(app, "producer_or_acquire", gone)
    only()
    for _ in range(20):
        scheduler.tick()
    run = Run.objects.get()
    assert (run.status, run.published_at) == (Status.QUEUED, None)
    assert caplog.text.count("nobody listens there") == 1


# --- As it is run --------------------------------------------------------------------------------------------------


def test_the_word_of_the_next_run_reaches_the_job_through_scheduler_broker_and_worker(
    installation: Installation,
) -> None:
    """Alice's contest starts in five days. No round tells of it yet, but one that is not followed for months does."""
    months_away = (timezone.now() + timedelta(days=150)).month
    installation.python(f"""
from datetime import timedelta
from django.utils.timezone import now
from django_celery_beat.models import PeriodicTask
from scheduler import schedules
from scheduler.models import Schedule
from scheduler.tick import follow_edits
from tests.factories import ContestFactory, make_members
make_members(1)
ContestFactory(starts_at=now() + timedelta(days=5))
PeriodicTask.objects.update(enabled=False)
row = PeriodicTask.objects.get(name="dispatch-notifications")
row.crontab = schedules.crontab("0 * 1 {months_away} *", "UTC")
row.enabled = True
row.save()
Schedule.objects.filter(pk=row.pk).update(stale_since=now() - timedelta(days=400))
follow_edits(now(), "test")
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
rows = PeriodicTask.objects.filter(total_run_count__gt=0).values_list("name", "total_run_count")
result = [list(rows), sorted(Notification.objects.values_list("status", "lead_minutes"))]
""")
    assert found == [[["dispatch-notifications", 1]], [["sent", 60], ["sent", 1440]]]


# --- What there is to begin with -----------------------------------------------------------------------------------


def rows() -> list[dict[str, Any]]:
    return list(PeriodicTask.objects.order_by("pk").values())


def names() -> set[str]:
    return set(PeriodicTask.objects.values_list("name", flat=True))


def migrate() -> None:
    call_command("migrate", verbosity=0)


def test_the_default_schedules_are_installed() -> None:
    found = {
        row.name: (row.task, cron_expression(row.crontab), str(row.crontab.timezone), row.enabled)
        for row in PeriodicTask.objects.select_related("crontab")
    }
    assert found == {
        "sync-contests": ("contests.tasks.sync_contests", "0 */6 * * *", "UTC", True),
        "dispatch-notifications": ("notifications.tasks.dispatch_notifications", "*/30 * * * *", "UTC", True),
        "clean-up-data": ("config.tasks.clean_up_data", "0 2 * * *", "UTC", True),
        "report-to-staff": ("config.tasks.report", "0 7 * * 1", "UTC", True),
    }
    app.loader.import_default_modules()
    assert {task for task, _ in project.SCHEDULES.values()} <= set(app.tasks)


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
    assert names() == {"mine", *project.SCHEDULES} - {"sync-contests"}
