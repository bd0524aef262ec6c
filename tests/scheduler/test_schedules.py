"""Schedules as rows that staff decide on: what they say in words, what state they are in, who changed what."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.core.exceptions import ValidationError
from django.db import connection, transaction
from django.db.utils import OperationalError
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from django_celery_beat.models import ClockedSchedule, CrontabSchedule, IntervalSchedule, PeriodicTask, SolarSchedule

from scheduler import ledger, schedules
from scheduler.models import Event, Pause, Run, RunEvent, Schedule, Status, Trigger
from scheduler.schedules import State
from scheduler.tick import fire
from tests.database import another_transaction
from tests.factories import StaffFactory
from tests.scheduler.rows import again, make

JOB = "config.tasks.clean_up_data"
SYNC = "contests.tasks.sync_contests"
AT_TWO = "0 2 * * *"


@pytest.fixture(autouse=True)
def nothing_installed(request: pytest.FixtureRequest) -> None:
    marker = request.node.get_closest_marker("django_db")
    if marker or "db" in request.fixturenames:
        request.getfixturevalue("transactional_db" if marker and marker.kwargs.get("transaction") else "db")
        PeriodicTask.objects.all().delete()


def _come(task: PeriodicTask) -> None:
    """Let the occurrence of this minute be the next one."""
    Schedule.objects.filter(pk=task.pk).update(next_run_at=timezone.now().replace(second=0, microsecond=0))


def state(task: PeriodicTask) -> State:
    now = timezone.now()
    task = again(task)
    return schedules.state_of(task, schedules.active_pauses([task], now), now)


# --- Rows of times ---------------------------------------------------------------------------------------------------


def test_an_expression_is_kept_as_cron_understands_it_with_its_seconds_apart() -> None:
    seconds, row = schedules.unsaved_crontab(" */30 0  22-2 * * FRI-mon ", "Asia/Kolkata")
    assert (seconds, row.minute, row.hour, row.day_of_week) == ("*/30", "0", "22,23,0,1,2", "5,6,0,1")
    assert schedules.unsaved_crontab("@hourly", "UTC")[1].minute == "0"


@pytest.mark.parametrize("expression", ["", "61 * * * *", "0 0 31 4 *", "0 0 30 2 *", "every day"])
def test_an_expression_that_never_comes_makes_no_row(expression: str) -> None:
    with pytest.raises(ValidationError):
        schedules.unsaved_crontab(expression, "UTC")


@pytest.mark.django_db
def test_schedules_share_the_row_of_their_times_and_it_goes_with_the_last_of_them() -> None:
    mine, other = make("mine"), make("other")
    assert mine.crontab == other.crontab
    schedules.forget_unused([mine.crontab, None])
    assert CrontabSchedule.objects.filter(pk=mine.crontab_id).exists()

    schedules.delete(PeriodicTask.objects.all(), "alice", timezone.now())
    assert not CrontabSchedule.objects.filter(pk=mine.crontab_id).exists()


@pytest.mark.django_db
def test_of_equal_rows_that_came_from_elsewhere_one_is_taken() -> None:
    for _ in range(2):
        CrontabSchedule.objects.create(minute="1", hour="2")
    assert schedules.crontab("1 2 * * *", "UTC") == CrontabSchedule.objects.filter(minute="1").earliest("pk")


@pytest.mark.django_db
def test_default_schedules_are_made_where_missing_and_never_touched_again() -> None:
    schedules.install({"nightly": (JOB, AT_TWO)})
    PeriodicTask.objects.update(enabled=False, description="Not in winter.")
    schedules.install({"nightly": (JOB, "0 3 * * *"), "renamed": (JOB, AT_TWO), "sync": (SYNC, "@hourly")})
    assert set(PeriodicTask.objects.values_list("name", "enabled", "description")) == {
        ("nightly", False, "Not in winter."),
        ("sync", True, ""),
    }


# --- In words --------------------------------------------------------------------------------------------------------


@pytest.mark.django_db
def test_every_kind_of_schedule_is_told_in_words() -> None:
    five = IntervalSchedule.objects.create(every=5, period="minutes")
    clocked = ClockedSchedule.objects.create(clocked_time=datetime(2027, 1, 2, 3, 4, tzinfo=UTC))
    sunset = SolarSchedule.objects.create(event="sunset", latitude=40, longitude=-70)
    bare = make("bare")
    PeriodicTask.objects.filter(pk=bare.pk).update(crontab=None)
    told = {
        "At 02:00": make("cron"),
        "At 02:00, one time only": make("one", one_off=True),
        "Every 5 minutes": make("every", crontab=None, interval=five),
        "Once, 5 minutes after its start": make("delay", crontab=None, interval=five, one_off=True),
        "Once, at 2027-01-02 03:04:00 UTC": make("at", crontab=None, clocked=clocked, one_off=True),
        "Sunset, which is not supported": make("sunny", crontab=None, solar=sunset),
        "No time is set": bare,
    }
    assert {schedules.in_words(again(task)) for task in told.values()} == set(told)
    Schedule.objects.filter(pk=told["At 02:00"].pk).update(seconds="*/20")
    assert "20 seconds" in schedules.in_words(again(told["At 02:00"]))


# --- Judged ----------------------------------------------------------------------------------------------------------


@pytest.fixture
def of_each_state(db: None) -> dict[str, PeriodicTask]:
    now = timezone.now()
    once = ClockedSchedule.objects.create(clocked_time=now - timedelta(days=1))
    kinds = {
        "on": make("on"),
        "just edited": make("just edited"),
        "off": make("off", enabled=False),
        "late": make("late"),
        "paused": make("paused"),
        "paused and late": make("paused and late", task=SYNC),
        "broken": make("broken", task="gone.task"),
        "ended": make("ended", crontab=None, clocked=once, one_off=True),
    }
    rows = Schedule.objects.filter
    rows(pk__in=[kinds["late"].pk, kinds["paused and late"].pk]).update(next_run_at=now - timedelta(minutes=2))
    rows(pk=kinds["just edited"].pk).update(stale_since=now)
    ledger.pause("alice", schedule=kinds["paused"].scheduling)
    ledger.pause("alice", task=SYNC)
    ledger.pause("alice", schedule=kinds["on"].scheduling, until=now - timedelta(seconds=1))
    return kinds


EXPECTED = {
    "on": State.ON,
    "just edited": State.ON,
    "off": State.OFF,
    "late": State.LATE,
    "paused": State.PAUSED,
    "paused and late": State.PAUSED,
    "broken": State.BROKEN,
    "ended": State.ENDED,
}


def test_the_state_of_a_schedule(of_each_state: dict[str, PeriodicTask]) -> None:
    assert {name: state(task) for name, task in of_each_state.items()} == EXPECTED


def test_the_schedules_in_a_state_are_found_by_a_query(of_each_state: dict[str, PeriodicTask]) -> None:
    now = timezone.now()
    for wanted in State:
        found = schedules.in_state(PeriodicTask.objects.all(), wanted, now)
        names = {name for name, expected in EXPECTED.items() if expected == wanted}
        assert set(found.values_list("name", flat=True)) == names, wanted


def test_while_everything_is_paused_nothing_is_late(of_each_state: dict[str, PeriodicTask]) -> None:
    ledger.pause("alice")
    found = schedules.in_state(PeriodicTask.objects.all(), State.PAUSED, timezone.now())
    assert found.filter(name="late").exists()
    assert state(of_each_state["late"]) == State.PAUSED
    assert not schedules.in_state(PeriodicTask.objects.all(), State.LATE, timezone.now()).exists()


@pytest.mark.django_db
def test_a_schedule_is_not_late_within_a_minute() -> None:
    task = make()
    Schedule.objects.update(next_run_at=timezone.now() - timedelta(seconds=55))
    assert state(task) == State.ON


@pytest.mark.django_db
def test_what_came_once_and_is_over_has_ended_rather_than_being_off() -> None:
    task = make(expression="* * * * *", one_off=True)
    _come(task)
    fire(timezone.now(), "beat")
    assert (again(task).enabled, state(task)) == (False, State.ENDED)


@pytest.mark.django_db
def test_those_whose_last_run_failed_are_found() -> None:
    now = timezone.now()

    def ran(name: str, *statuses: Status) -> None:
        own = make(name).scheduling
        for number, status in enumerate(statuses):
            at = now + timedelta(seconds=number)
            common = {"task": JOB, "trigger": Trigger.SCHEDULE, "created_at": at, "available_at": at, "occurrence": at}
            Run.objects.create(schedule=own, status=status, **common)

    ran("well", Status.SUCCEEDED)
    ran("badly", Status.SUCCEEDED, Status.FAILED)
    ran("lost", Status.LOST, Status.SKIPPED)
    ran("again", Status.FAILED, Status.SUCCEEDED)
    ran("never")
    assert set(schedules.failing(PeriodicTask.objects.all()).values_list("name", flat=True)) == {"badly", "lost"}


@pytest.mark.django_db
def test_the_latest_runs_come_newest_first_and_bounded_for_each_schedule() -> None:
    mine, other = make("mine"), make("other")
    now = timezone.now()
    for number in range(5):
        at = now - timedelta(hours=number)
        common = {"task": JOB, "trigger": Trigger.SCHEDULE, "created_at": at, "available_at": at, "occurrence": at}
        Run.objects.create(schedule=mine.scheduling, error="x" * 1000, **common)
    found = schedules.latest_runs([mine, other], most=3)
    assert [run.occurrence for run in found[mine.pk]] == [now - timedelta(hours=number) for number in range(3)]
    assert len(found[mine.pk][0].error) == 200
    assert found[other.pk] == []


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({}, ""),
        ({"kwargs": ""}, ""),
        ({"enabled": False, "task": "gone.task"}, "There is no job called “gone.task”."),
        ({"enabled": False, "args": "5"}, "This must be a list, such as [] or [1, 2]."),
        ({"args": "5"}, "This must be a list, such as [] or [1, 2]."),
        ({"kwargs": "[1]"}, "This must be an object"),
        ({"kwargs": '{"speed": 9}'}, "There is no argument “speed”"),
        ({"headers": "[]"}, "This must be an object"),
        ({"headers": "not json"}, "This is not JSON"),
    ],
)
def test_why_a_schedule_does_not_work_is_said_whether_it_is_on_or_off(fields: dict[str, Any], says: str) -> None:
    problem = schedules.problem(make(**fields))
    assert says in problem
    assert bool(problem) == bool(says)


@pytest.mark.django_db
@pytest.mark.parametrize("row", [{"day_of_week": "8"}, {"day_of_month": "31", "month_of_year": "2"}, {"minute": "x"}])
def test_a_crontab_that_no_form_has_checked_is_said_to_be_the_problem(row: dict[str, str]) -> None:
    wrong = CrontabSchedule.objects.create(**row)
    assert schedules.problem(make(crontab=wrong, enabled=False))
    assert schedules.problem(make("solar", crontab=None, solar=SolarSchedule.objects.create(latitude=1, longitude=1)))


# --- Decided by staff ------------------------------------------------------------------------------------------------


@pytest.mark.django_db
def test_saving_keeps_what_the_scheduler_noted_since_the_row_was_read() -> None:
    read = make()
    ran_at = timezone.now() - timedelta(hours=1)
    PeriodicTask.objects.update(last_run_at=ran_at, total_run_count=9)
    read.enabled, read.description = False, "Why it exists."
    schedules.save(read, {}, "alice", timezone.now())
    assert (again(read).last_run_at, again(read).total_run_count) == (ran_at, 9)
    assert (again(read).enabled, again(read).description) == (False, "Why it exists.")


@pytest.mark.django_db
def test_a_saved_schedule_knows_its_next_run_in_the_same_transaction_and_only_its_timing_moves_that() -> None:
    task = make()
    before = task.scheduling.next_run_at
    task.description = "Why it exists."
    schedules.save(task, {"max_attempts": 5}, "alice", timezone.now())
    assert again(task).scheduling.next_run_at == before
    seconds, row = schedules.unsaved_crontab("30 5 4 * * *", "UTC")
    task.crontab = row
    schedules.save(task, {"seconds": seconds}, "alice", timezone.now())
    after = again(task).scheduling.next_run_at
    assert (after.hour, after.minute, after.second) == (4, 5, 30)
    assert timezone.now() < after < timezone.now() + timedelta(days=1)
    assert not CrontabSchedule.objects.filter(hour="2").exists()


@pytest.mark.django_db
def test_the_audit_says_in_words_what_was_before_and_after_and_only_that() -> None:
    task = make()
    alice = StaffFactory(username="alice")
    task.crontab, task.priority = schedules.crontab("5 4 * * *", "Asia/Tokyo"), 9
    schedules.save(task, {"owner": alice, "overlap": "queue"}, "alice", timezone.now())
    schedules.save(again(task), {"overlap": "queue"}, "alice", timezone.now())
    (event,) = RunEvent.objects.filter(kind=Event.EDITED)
    assert (event.subject, event.actor, event.schedule_id) == ("mine", "alice", task.pk)
    assert event.changes == {
        "when": ["0 2 * * * (UTC)", "5 4 * * * (Asia/Tokyo)"],
        "priority": ["normal", "critical"],
        "owner": ["", "alice"],
        "overlap": ["skip it", "let one wait"],
    }


@pytest.mark.django_db
def test_a_new_schedule_is_audited_with_what_it_was_made_of() -> None:
    _, row = schedules.unsaved_crontab(AT_TWO, "UTC")
    schedules.save(PeriodicTask(name="new", task=JOB, crontab=row), {"missed": "skip"}, "alice", timezone.now())
    event = RunEvent.objects.get(kind=Event.CREATED)
    assert (event.changes["when"], event.changes["missed runs"]) == (["", "0 2 * * * (UTC)"], ["", "skip them"])
    assert event.schedule is not None
    assert event.schedule.next_run_at is not None


@pytest.mark.django_db
def test_a_row_from_elsewhere_without_headers_can_be_saved_and_copied() -> None:
    task = make()
    PeriodicTask.objects.update(headers="")
    schedules.save(again(task), {}, "alice", timezone.now())
    copy = schedules.duplicate(again(task), "alice", timezone.now())
    assert (copy.name, copy.enabled, copy.crontab) == ("mine (copy)", False, task.crontab)
    assert schedules.duplicate(again(task), "alice", timezone.now()).name == "mine (copy 2)"


@pytest.mark.django_db
def test_a_copy_has_what_its_schedule_has_besides_and_a_name_that_fits() -> None:
    task = make("n" * 200)
    Schedule.objects.update(seconds="15", time_limit=7, overlap="allow")
    copy = schedules.duplicate(again(task), "alice", timezone.now())
    assert len(copy.name) == 200
    own = again(copy).scheduling
    assert (own.seconds, own.time_limit, own.overlap) == ("15", 7, "allow")


@pytest.mark.django_db
def test_turning_on_and_off_is_one_step_for_many_and_each_is_audited() -> None:
    tasks = [make(f"number {number}") for number in range(3)]
    everyone = PeriodicTask.objects.all()
    assert len(schedules.turn(everyone, "alice", timezone.now(), on=False)) == 3
    assert schedules.turn(everyone, "alice", timezone.now(), on=False) == []
    assert [again(task).scheduling.next_run_at for task in tasks] == [None] * 3

    Schedule.objects.update(next_run_at=timezone.now() - timedelta(days=1))
    assert len(schedules.turn(everyone, "bob", timezone.now(), on=True)) == 3
    assert all(again(task).scheduling.next_run_at > timezone.now() for task in tasks)
    told = RunEvent.objects.filter(kind=Event.EDITED).values_list("actor", "changes")
    assert sorted((actor, str(changes)) for actor, changes in told) == [
        *[("alice", "{'on': ['yes', 'no']}")] * 3,
        *[("bob", "{'on': ['no', 'yes']}")] * 3,
    ]


@pytest.mark.django_db
def test_a_schedule_whose_job_nobody_knows_is_not_turned_on() -> None:
    ghost = make(task="gone.task", enabled=False)
    assert schedules.turn(PeriodicTask.objects.all(), "alice", timezone.now(), on=True) == []
    assert not again(ghost).enabled


@pytest.mark.django_db
def test_deleting_takes_what_belongs_to_a_schedule_and_leaves_its_history_with_its_name() -> None:
    mine, other = make("mine"), make("other")
    ledger.pause("alice", schedule=mine.scheduling)
    run = ledger.run_now(mine.scheduling, Trigger.ADMIN, "alice")
    assert schedules.delete(PeriodicTask.objects.filter(pk=mine.pk), "bob", timezone.now()) == 1
    assert list(PeriodicTask.objects.all()) == [other]
    assert list(Schedule.objects.all()) == [other.scheduling]
    assert not Pause.objects.exists()
    run.refresh_from_db()
    assert (run.schedule_id, run.name) == (None, "mine")
    deleted = RunEvent.objects.get(kind=Event.DELETED)
    assert (deleted.subject, deleted.actor) == ("mine", "bob")
    assert CrontabSchedule.objects.filter(pk=other.crontab_id).exists()


@pytest.mark.django_db
def test_deleting_takes_as_many_statements_for_many_as_for_few() -> None:
    def statements(number: int) -> int:
        row = schedules.crontab(AT_TWO, "UTC")
        PeriodicTask.objects.bulk_create(PeriodicTask(name=f"n{n}", task=JOB, crontab=row) for n in range(number))
        with CaptureQueriesContext(connection) as captured:
            assert schedules.delete(PeriodicTask.objects.all(), "alice", timezone.now()) == number
        return len(captured)

    assert statements(2) == statements(300)


@pytest.mark.django_db(transaction=True)
def test_a_beat_goes_round_a_schedule_that_is_being_edited() -> None:
    """It would wait with the schedule's row in hand for the PeriodicTask, whose editor may soon wait for that row."""
    task = make(expression="* * * * *")
    _come(task)
    with another_transaction() as editor:
        editor.execute("UPDATE django_celery_beat_periodictask SET description = 'why' WHERE id = %s", [task.pk])
        with connection.cursor() as cursor:
            cursor.execute("SET lock_timeout = '2s'")
        try:
            assert fire(timezone.now(), "beat") == 0
        finally:
            with connection.cursor() as cursor:
                cursor.execute("RESET lock_timeout")
    assert fire(timezone.now(), "beat") == 1


@pytest.mark.django_db(transaction=True)
def test_two_people_who_edit_the_same_schedule_do_so_one_after_the_other() -> None:
    task = make()
    with another_transaction() as other:
        other.execute("SELECT FROM scheduler_schedule WHERE periodic_task_id = %s FOR UPDATE", [task.pk])
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute("SET LOCAL lock_timeout = '100ms'")
            with pytest.raises(OperationalError, match="lock timeout"):
                schedules.save(task, {}, "alice", timezone.now())
            transaction.set_rollback(True)


@pytest.mark.django_db
def test_what_is_rare_among_many_is_found_by_an_index() -> None:
    now = timezone.now()
    row = schedules.crontab(AT_TWO, "UTC")
    PeriodicTask.objects.bulk_create(
        PeriodicTask(name=f"n{n:04}", task=JOB, crontab=row, enabled=n % 1000 != 0) for n in range(5000)
    )
    with connection.cursor() as cursor:
        cursor.execute(
            "UPDATE scheduler_schedule "
            "SET stale_since = NULL, next_run_at = now() + periodic_task_id * interval '1 minute'"
        )
        cursor.execute("ANALYZE django_celery_beat_periodictask, scheduler_schedule, scheduler_run")
    everyone = PeriodicTask.objects.filter(scheduling__isnull=False)
    by_next_run = everyone.order_by("scheduling__next_run_at", "name")
    plans = {
        "schedule_due": (by_next_run[:50], schedules.in_state(everyone, State.LATE, now)),
        "periodictask_off": (schedules.in_state(everyone, State.OFF, now).order_by("name")[:50],),
        "periodictask_of_job": (everyone.filter(task="gone.task").order_by("name")[:50],),
        "schedule_broken": (schedules.in_state(everyone, State.BROKEN, now),),
    }
    for index, queries in plans.items():
        for query in queries:
            assert index in query.explain(), index
