"""What the clean-up leaves of the history: the newest of each job always, older ones for a while, to the second."""

from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from django.core.management import call_command
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django_celery_beat.models import PeriodicTask
from pytest_django import Settings

from config.cleanup import clean_up
from config.database import batches
from scheduler.models import Event, Run, RunEvent, Schedule, Status, Trigger

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("stopped_clock")]

NOW = datetime(2026, 11, 22, 2, 0, tzinfo=UTC)
SECOND, DAY, MONTH = timedelta(seconds=1), timedelta(hours=24), timedelta(days=30)


@pytest.fixture(autouse=True)
def _two_and_three_are_kept(settings: Settings) -> None:
    settings.RUNS_KEPT_SUCCEEDED, settings.RUNS_KEPT_FAILED = 2, 3


def finished(ago: timedelta, status: Status, *, task: str = "job", count: int = 1) -> list[UUID]:
    """Runs that ended one second after another, the last of them so long ago; their keys, the newest first."""
    runs = [
        Run(task=task, trigger=Trigger.API, status=status, created_at=moment, available_at=moment, finished_at=moment)
        for moment in (NOW - ago - number * SECOND for number in range(count))
    ]
    return [run.pk for run in Run.objects.bulk_create(runs)]


def event(at: datetime, *, run: UUID | None = None, schedule: int | None = None) -> None:
    RunEvent.objects.create(run_id=run, schedule_id=schedule, subject="subject", at=at, kind=Event.EDITED, actor="Bob")


def there() -> set[UUID]:
    return set(Run.objects.values_list("pk", flat=True))


@pytest.mark.parametrize(
    ("status", "kept", "age"), [(Status.SUCCEEDED, 2, DAY), (Status.FAILED, 3, MONTH)], ids=["succeeded", "failed"]
)
def test_the_newest_of_each_job_stay_however_old(status: Status, kept: int, age: timedelta) -> None:
    one, another = (finished(10 * age, status, task=task, count=5) for task in ("one", "another"))
    assert clean_up()["runs"] == 2 * (5 - kept)
    assert there() == {*one[:kept], *another[:kept]}


@pytest.mark.parametrize(
    ("status", "kept", "age"), [(Status.SUCCEEDED, 2, DAY), (Status.FAILED, 3, MONTH)], ids=["succeeded", "failed"]
)
def test_older_ones_stay_for_a_while_to_the_second(status: Status, kept: int, age: timedelta) -> None:
    newest = finished(SECOND, status, count=kept)
    young, old = finished(age, status), finished(age + SECOND, status)
    assert clean_up()["runs"] == len(old)
    assert there() == {*newest, *young}


@pytest.mark.parametrize(
    ("status", "age"),
    [(Status.SKIPPED, DAY), (Status.CANCELLED, DAY), (Status.LOST, MONTH)],
    ids=lambda each: str(each),
)
def test_what_neither_succeeded_nor_failed_goes_by_its_age_alone(status: Status, age: timedelta) -> None:
    young = finished(age, status)
    finished(age + SECOND, status)
    assert clean_up()["runs"] == 1
    assert there() == set(young)


def test_one_kind_takes_no_place_of_another() -> None:
    succeeded, failed = finished(2 * DAY, Status.SUCCEEDED, count=2), finished(2 * MONTH, Status.FAILED, count=3)
    finished(2 * DAY, Status.SKIPPED, count=5)
    clean_up()
    assert there() == {*succeeded, *failed}


def test_runs_that_ended_at_the_same_moment_stay_together() -> None:
    """Rather one too many than one of the newest."""
    moment = NOW - 2 * DAY
    values = {"task": "job", "trigger": Trigger.API, "status": Status.SUCCEEDED}
    times = {"created_at": moment, "available_at": moment, "finished_at": moment}
    Run.objects.bulk_create([Run(**values, **times) for _ in range(4)])
    assert clean_up()["runs"] == 0


@pytest.mark.parametrize("status", [Status.QUEUED, Status.RUNNING, Status.RETRYING])
def test_what_is_unfinished_is_never_deleted(status: Status) -> None:
    long_ago = NOW - timedelta(days=3650)
    Run.objects.create(
        task="job", trigger=Trigger.API, status=status, created_at=long_ago, available_at=long_ago, heartbeat_at=NOW
    )
    finished(2 * DAY, Status.SUCCEEDED, count=3)
    assert clean_up()["runs"] == 1
    assert Run.objects.filter(status=status).count() == 1


def test_events_go_with_their_run_and_not_before() -> None:
    stays, _, goes = finished(2 * MONTH, Status.SUCCEEDED, count=3)
    event(NOW - 2 * MONTH, run=stays)
    event(NOW, run=goes)
    clean_up()
    assert [left.run_id for left in RunEvent.objects.all()] == [stays]


def test_of_a_schedules_own_events_the_newest_stay_and_older_ones_for_a_month(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("scheduler.cleanup.EVENTS_KEPT", 2)
    one, another = (Schedule.objects.get(periodic_task__name=name).pk for name in ("sync-contests", "clean-up-data"))
    for schedule in (one, another, None):
        for ago in (MONTH + 3 * SECOND, MONTH + 2 * SECOND, MONTH + SECOND):
            event(NOW - ago, schedule=schedule)
    event(NOW - MONTH, schedule=another)
    event(NOW, schedule=another)

    assert clean_up()["events"] == 1 + 3 + 1

    left = RunEvent.objects.order_by("at").values_list("schedule", "at")
    assert {schedule: [NOW - at for key, at in left if key == schedule] for schedule in (one, another, None)} == {
        one: [MONTH + 2 * SECOND, MONTH + SECOND],
        another: [MONTH, timedelta(0)],
        None: [MONTH + 2 * SECOND, MONTH + SECOND],
    }


def test_events_outlive_their_schedule_as_long_as_others() -> None:
    schedule = Schedule.objects.get(periodic_task__name="clean-up-data").pk
    event(NOW - MONTH, schedule=schedule)
    PeriodicTask.objects.get(pk=schedule).delete()
    clean_up()
    assert RunEvent.objects.filter(schedule=schedule).exists()


def test_a_dry_run_counts_what_would_go_and_deletes_nothing() -> None:
    finished(2 * DAY, Status.SUCCEEDED, count=7)
    finished(2 * DAY, Status.CANCELLED, count=4)
    before = there()
    assert clean_up(dry_run=True)["runs"] == 5 + 4
    assert there() == before
    assert clean_up()["runs"] == 5 + 4


def test_many_runs_go_a_batch_at_a_time_in_a_few_statements_each(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batches, "BATCH", 100)
    for task in ("one", "another"):
        finished(2 * DAY, Status.SUCCEEDED, task=task, count=152)
    with CaptureQueriesContext(connection) as captured:
        assert clean_up()["runs"] == 300
    assert len([query for query in captured if "scheduler_run" in query["sql"]]) <= 20
    assert Run.objects.count() == 4


def test_the_numbers_are_settings_and_as_promised(settings: Settings) -> None:
    from config import settings as project

    names = ("RUNS_KEPT_SUCCEEDED", "RUNS_KEPT_FAILED", "RUNS_SUCCEEDED_HOURS", "RUNS_FAILED_DAYS")
    assert [getattr(project, name) for name in names] == [100, 1000, 24, 30]
    settings.RUNS_SUCCEEDED_HOURS = 1
    finished(timedelta(hours=2), Status.SUCCEEDED, count=3)
    assert clean_up()["runs"] == 1


def test_the_command_says_how_many_runs_went(capsys: pytest.CaptureFixture[str]) -> None:
    finished(2 * DAY, Status.SUCCEEDED, count=5)
    call_command("clean_up_data", "--json")
    assert '"runs": 3' in capsys.readouterr().out
