"""What comes becomes runs: each occurrence once, by the schedule's policies, whoever looks and however late."""

import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from celery.schedules import crontab as celery_crontab
from django.db import connection, transaction
from django.test.utils import CaptureQueriesContext
from django_celery_beat.models import ClockedSchedule, CrontabSchedule, IntervalSchedule, PeriodicTask, SolarSchedule
from kombu.utils.json import loads

from scheduler import ledger
from scheduler.models import Event, Missed, Overlap, Pause, Run, RunEvent, Schedule, Status, Trigger
from scheduler.tick import RECORDED_EACH, fire, follow_edits

pytestmark = pytest.mark.django_db
JOB = "config.tasks.clean_up_data"
NOON = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
"""A Sunday."""


def at(clock: str, day: int = 22) -> datetime:
    return datetime.fromisoformat(f"2026-11-{day:02d}T{clock}+00:00")


@pytest.fixture(autouse=True)
def _only_our_own(db: None) -> None:
    PeriodicTask.objects.all().delete()


def crontab(expression: str = "* * * * *", zone: str = "UTC") -> CrontabSchedule:
    minute, hour, day, month, weekday = expression.split()
    row: CrontabSchedule = CrontabSchedule.objects.create(
        minute=minute, hour=hour, day_of_month=day, month_of_year=month, day_of_week=weekday, timezone=zone
    )
    return row


def make(
    expression: str = "", *, edited_at: datetime = NOON, task: dict[str, Any] | None = None, **schedule: Any
) -> Schedule:
    """A schedule that was last edited then, with fields of its PeriodicTask in `task`."""
    fields = {"task": JOB, "name": f"schedule {PeriodicTask.objects.count()}", **(task or {})}
    if expression:
        fields["crontab"] = crontab(expression)
    # A row's own save() refuses some of what others write.
    (row,) = PeriodicTask.objects.bulk_create([PeriodicTask(**fields)])
    Schedule.objects.filter(pk=row.pk).update(stale_since=edited_at, anchor_at=edited_at, **schedule)
    # A change of seconds was marked by the database's own clock.
    Schedule.objects.filter(pk=row.pk).update(stale_since=edited_at)
    follow_edits(edited_at, "test")
    return Schedule.objects.get(pk=row.pk)


def runs() -> list[tuple[str, str]]:
    """When each recorded occurrence was, and what became of it."""
    found = Run.objects.order_by("occurrence").values_list("occurrence", "status")
    return [(occurrence.strftime("%H:%M:%S"), status) for occurrence, status in found if occurrence]


def occurrences_of(status: Status) -> list[str]:
    return [when for when, found in runs() if found == status]


# --- Edits ---------------------------------------------------------------------------------------------------------


def stale() -> set[str]:
    return set(Schedule.objects.exclude(stale_since=None).values_list("periodic_task__name", flat=True))


def test_every_new_row_gets_its_schedule_however_it_was_made() -> None:
    row = crontab()
    PeriodicTask.objects.create(name="saved", task=JOB, crontab=row)
    PeriodicTask.objects.bulk_create([PeriodicTask(name="in bulk", task=JOB, crontab=row)])
    with connection.cursor() as cursor:
        cursor.execute(
            """INSERT INTO django_celery_beat_periodictask
            (name, task, crontab_id, args, kwargs, headers, one_off, enabled, total_run_count, date_changed,
                description)
            VALUES ('by hand', %s, %s, '[]', '{}', '{}', false, true, 0, now(), '')""",
            [JOB, row.pk],
        )
    assert stale() == {"saved", "in bulk", "by hand"}
    assert follow_edits(NOON, "test") == 3
    assert stale() == set()
    assert set(Schedule.objects.values_list("error", flat=True)) == {""}
    assert not Schedule.objects.filter(next_run_at=None).exists()


EDITS: dict[str, Callable[[PeriodicTask], Any]] = {
    "by its crontab": lambda row: CrontabSchedule.objects.filter(pk=row.crontab_id).update(minute="5"),
    "by another crontab": lambda row: PeriodicTask.objects.filter(pk=row.pk).update(crontab=crontab("1 * * * *")),
    "turned off": lambda row: PeriodicTask.objects.filter(pk=row.pk).update(enabled=False),
    "by its start": lambda row: PeriodicTask.objects.filter(pk=row.pk).update(start_time=NOON),
    "by its end": lambda row: PeriodicTask.objects.filter(pk=row.pk).update(expires=NOON + timedelta(days=900)),
    "to once": lambda row: PeriodicTask.objects.filter(pk=row.pk).update(one_off=True),
    "by seconds": lambda row: Schedule.objects.filter(pk=row.pk).update(seconds="30"),
}


@pytest.mark.parametrize("edit", EDITS.values(), ids=EDITS)
def test_an_edit_of_when_it_runs_is_noticed(edit: Callable[[PeriodicTask], Any]) -> None:
    schedule = make("0 * * * *")
    assert stale() == set()
    edit(schedule.periodic_task)
    assert stale() == {schedule.periodic_task.name}


def test_saving_a_row_unchanged_or_describing_it_moves_nothing() -> None:
    interval = IntervalSchedule.objects.create(every=10, period=IntervalSchedule.SECONDS)
    schedule = make(task={"interval": interval})
    for text in ("one", "two"):
        schedule.periodic_task.description = text
        schedule.periodic_task.save()
        interval.save()
    assert stale() == set()
    assert Schedule.objects.get().next_run_at == at("12:00:10")


def test_the_next_run_is_the_first_after_the_edit_so_that_enabling_never_fires_the_past() -> None:
    schedule = make("30 * * * *", edited_at=at("11:00:00"))
    assert schedule.next_run_at == at("11:30:00")
    PeriodicTask.objects.update(enabled=False)
    follow_edits(NOON, "test")
    assert Schedule.objects.get().next_run_at is None
    PeriodicTask.objects.update(enabled=True)
    Schedule.objects.update(stale_since=at("12:31:00"))
    follow_edits(at("12:31:01"), "test")
    assert fire(at("12:31:02"), "test") == 0
    assert Schedule.objects.get().next_run_at == at("13:30:00")


def test_what_was_edited_while_no_beat_ran_is_due_from_the_edit_on() -> None:
    make("30 * * * *", edited_at=at("11:20:00"))
    Schedule.objects.update(stale_since=at("11:20:00"))
    follow_edits(NOON, "test")
    assert Schedule.objects.get().next_run_at == at("11:30:00")


@pytest.mark.django_db(transaction=True)
def test_an_edit_that_comes_while_an_earlier_one_is_followed_is_followed_as_well() -> None:
    schedule = make("5 * * * *")
    Schedule.objects.update(stale_since=NOON)
    follower = threading.Thread(target=follow_from_elsewhere, args=[schedule.pk])
    with transaction.atomic():
        CrontabSchedule.objects.update(minute="10")
        Schedule.objects.update(stale_since=NOON)
        follower.start()
        wait_for_a_lock()
    follower.join()
    assert Schedule.objects.get().next_run_at == at("12:10:00")


def follow_from_elsewhere(key: int) -> None:
    try:
        follow_edits(NOON, "test", only=[key])
    finally:
        connection.close()


def wait_for_a_lock() -> None:
    """Until somebody waits for a row that this transaction has written."""
    waiting = "SELECT FROM pg_locks WHERE NOT granted"
    until = time.monotonic() + 10
    with connection.cursor() as cursor:
        while time.monotonic() < until:
            cursor.execute(waiting)
            if cursor.fetchone() is not None:
                return
    raise AssertionError("Nobody waits.")


def test_what_a_beat_recorded_whose_clock_is_ahead_does_not_come_again_after_an_edit() -> None:
    make("* * * * *")
    fire(at("12:01:00"), "a beat whose clock is a second ahead")
    PeriodicTask.objects.update(start_time=at("00:00:00"))
    Schedule.objects.update(stale_since=at("12:00:59.500000"))
    follow_edits(at("12:01:01"), "test")
    assert Schedule.objects.get().next_run_at == at("12:02:00")


def test_a_row_that_is_being_edited_is_not_fired() -> None:
    make("* * * * *")
    Schedule.objects.update(stale_since=at("12:00:30"))
    assert fire(at("12:05:00"), "test") == 0


BAD_ROWS: dict[str, Callable[[], dict[str, Any]]] = {
    "day 31 of April": lambda: {"crontab": crontab("0 0 31 4 *")},
    "a word": lambda: {"crontab": crontab("soon * * * *")},
    "headers that are a list": lambda: {"crontab": crontab(), "headers": "[]"},
    "headers that are no JSON": lambda: {"crontab": crontab(), "headers": "not json"},
    "args that are a number": lambda: {"crontab": crontab(), "args": "5"},
    "kwargs that are a list": lambda: {"crontab": crontab(), "kwargs": "[1]"},
    "a job that is gone": lambda: {"crontab": crontab(), "task": "gone.for.good"},
    "the sun": lambda: {"solar": SolarSchedule.objects.create(event="sunset", latitude=48, longitude=16)},
    "no time at all": dict,
    "two times": lambda: {
        "crontab": crontab(),
        "interval": IntervalSchedule.objects.create(every=1, period=IntervalSchedule.HOURS),
    },
    "less than a second": lambda: {
        "interval": IntervalSchedule.objects.create(every=10, period=IntervalSchedule.MICROSECONDS)
    },
}


@pytest.mark.parametrize("bad", BAD_ROWS.values(), ids=BAD_ROWS)
def test_a_row_that_cannot_be_followed_is_set_aside_visibly_and_stops_nothing_else(
    bad: Callable[[], dict[str, Any]],
) -> None:
    bad_one = make(task={"name": "bad", **bad()})
    make("* * * * *", task={"name": "good"})
    assert bad_one.error.endswith(".")
    assert bad_one.next_run_at is None
    assert RunEvent.objects.get(kind=Event.SET_ASIDE).message == bad_one.error
    assert fire(at("12:01:00"), "test") == 1
    assert Run.objects.get().name == "good"


def test_a_row_that_went_bad_meanwhile_is_set_aside_when_it_comes_and_taken_back_when_it_is_mended() -> None:
    schedule = make("* * * * *")
    make("* * * * *", task={"name": "good"})
    PeriodicTask.objects.filter(pk=schedule.pk).update(args="5")
    fire(at("12:01:00"), "test")
    assert Run.objects.get().name == "good"
    assert "a list" in Schedule.objects.get(pk=schedule.pk).error
    PeriodicTask.objects.filter(pk=schedule.pk).update(args="[]")
    Schedule.objects.filter(pk=schedule.pk).update(stale_since=at("12:01:30"))
    follow_edits(at("12:01:30"), "test")
    mended = Schedule.objects.get(pk=schedule.pk)
    assert (mended.error, mended.next_run_at) == ("", at("12:02:00"))


def test_a_row_is_said_to_be_set_aside_once_however_often_it_is_edited() -> None:
    make("0 0 31 4 *")
    PeriodicTask.objects.update(description="I wonder why.")
    assert follow_edits(NOON, "test") == 1
    assert RunEvent.objects.filter(kind=Event.SET_ASIDE).count() == 1


# --- On time -------------------------------------------------------------------------------------------------------


def test_an_occurrence_is_recorded_with_its_own_time_and_never_again() -> None:
    schedule = make("* * * * *", task={"args": "[]", "headers": '{"asked_by": "Bob"}', "priority": 9})
    for _ in range(3):
        fire(at("12:01:00.250000"), "beat host:1")
    run = Run.objects.get()
    assert run.occurrence == at("12:01:00")
    assert (run.trigger, run.actor, run.status, run.priority) == (Trigger.SCHEDULE, "beat host:1", Status.QUEUED, 9)
    headers = loads(run.options)["headers"]
    assert headers == {
        "asked_by": "Bob",
        "periodic_task_name": schedule.periodic_task.name,
        "next_run_at": "2026-11-22T12:02:00+00:00",
    }
    assert Schedule.objects.get().next_run_at == at("12:02:00")


def test_tools_that_read_the_row_find_what_is_true() -> None:
    make("* * * * *", overlap=Overlap.ALLOW)
    fire(at("12:01:00.250000"), "test")
    fire(at("12:02:00.250000"), "test")
    row = PeriodicTask.objects.get()
    assert (row.last_run_at, row.total_run_count) == (at("12:02:00.250000"), 2)


def test_seconds_are_a_field_of_their_own() -> None:
    make("* * * * *", seconds="*/15")
    for second in range(61):
        fire(NOON + timedelta(seconds=second), "test")
    assert occurrences_of(Status.QUEUED)[0] == "12:00:15"
    assert len(runs()) == 4


def test_an_interval_counts_from_its_last_edit_and_from_its_start_where_it_has_one() -> None:
    interval = IntervalSchedule.objects.create(every=90, period=IntervalSchedule.SECONDS)
    assert make(task={"interval": interval}, edited_at=at("12:00:07")).next_run_at == at("12:01:37")
    started = make(task={"interval": interval, "start_time": at("11:00:00")}, edited_at=at("12:00:07"))
    assert started.next_run_at == at("12:01:30")
    assert make(task={"interval": interval, "start_time": at("13:00:00")}).next_run_at == at("13:00:00")


def test_nothing_comes_before_its_start_or_after_its_end() -> None:
    assert make("0 * * * *", task={"start_time": at("14:30:00")}).next_run_at == at("15:00:00")
    ending = make("0 * * * *", task={"expires": at("13:30:00")})
    fire(at("13:00:00"), "test")
    ending.refresh_from_db()
    assert ending.next_run_at is None
    assert make("0 * * * *", task={"expires": at("12:30:00")}).next_run_at is None


def test_what_comes_once_comes_once_and_is_turned_off() -> None:
    clocked = ClockedSchedule.objects.create(clocked_time=at("12:05:00"))
    once = make(task={"clocked": clocked, "one_off": True})
    after_start = make(
        task={
            "interval": IntervalSchedule.objects.create(every=300, period=IntervalSchedule.SECONDS),
            "one_off": True,
        }
    )
    recurring = make("*/5 * * * *", task={"one_off": True})
    for minute in range(4, 20):
        moment = at(f"12:{minute:02d}:00")
        follow_edits(moment, "test")
        fire(moment, "test")
    assert sorted(Run.objects.values_list("schedule", "occurrence")) == sorted(
        (schedule.pk, at("12:05:00")) for schedule in (once, after_start, recurring)
    )
    assert not PeriodicTask.objects.filter(enabled=True).exists()


def test_what_comes_once_and_was_skipped_comes_at_its_next_time() -> None:
    schedule = make("*/5 * * * *", task={"one_off": True})
    ledger.run_now(schedule, Trigger.ADMIN, "alice")
    fire(at("12:05:00"), "test")
    Run.objects.filter(status=Status.QUEUED).update(status=Status.SUCCEEDED)
    fire(at("12:10:00"), "test")
    assert runs() == [("12:05:00", "skipped"), ("12:10:00", "queued")]
    assert not PeriodicTask.objects.get().enabled


def test_an_interval_that_is_made_to_come_once_comes_so_long_after_that() -> None:
    interval = IntervalSchedule.objects.create(every=300, period=IntervalSchedule.SECONDS)
    make(task={"interval": interval})
    fire(at("12:05:00"), "test")
    PeriodicTask.objects.update(one_off=True)
    Schedule.objects.update(stale_since=at("12:07:00"), anchor_at=at("12:07:00"))
    follow_edits(at("12:07:00"), "test")
    assert Schedule.objects.get().next_run_at == at("12:12:00")


def test_a_time_that_has_passed_when_it_is_set_never_comes() -> None:
    clocked = ClockedSchedule.objects.create(clocked_time=at("11:00:00"))
    assert make(task={"clocked": clocked, "one_off": True}).next_run_at is None
    assert fire(at("13:00:00"), "test") == 0


# --- Missed --------------------------------------------------------------------------------------------------------


def test_of_missed_runs_one_stands_for_all_by_default() -> None:
    make("0 * * * *", edited_at=at("06:00:00"))
    fire(at("11:40:00"), "test")
    assert occurrences_of(Status.QUEUED) == ["11:00:00"]
    assert occurrences_of(Status.SKIPPED) == ["07:00:00", "08:00:00", "09:00:00", "10:00:00"]
    reasons = set(Run.objects.filter(status=Status.SKIPPED).values_list("error", flat=True))
    assert reasons == {"It was missed; the run of 2026-11-22 11:00:00 UTC stands for it."}
    assert Schedule.objects.get().next_run_at == at("12:00:00")


def test_missed_runs_are_skipped_where_staff_say_so() -> None:
    make("0 * * * *", edited_at=at("06:00:00"), missed=Missed.SKIP)
    fire(at("09:40:00"), "test")
    assert occurrences_of(Status.SKIPPED) == ["07:00:00", "08:00:00", "09:00:00"]
    assert PeriodicTask.objects.get().total_run_count == 0
    fire(at("10:00:00"), "test")
    assert occurrences_of(Status.QUEUED) == ["10:00:00"]


def test_each_missed_run_is_run_up_to_a_number_the_latest_ones() -> None:
    make("0 * * * *", edited_at=at("04:00:00"), missed=Missed.EACH, missed_cap=3)
    fire(at("09:40:00"), "test")
    assert occurrences_of(Status.SKIPPED) == ["05:00:00", "06:00:00"]
    assert occurrences_of(Status.QUEUED) == ["07:00:00", "08:00:00", "09:00:00"]


@pytest.mark.parametrize(
    ("missed", "queued"), [(Missed.ONCE, ["09:00:00"]), (Missed.EACH, ["09:00:00"]), (Missed.SKIP, [])]
)
def test_what_would_start_too_late_is_skipped_by_every_policy(missed: Missed, queued: list[str]) -> None:
    make("0 * * * *", edited_at=at("06:00:00"), missed=missed, max_lateness=3600)
    fire(at("09:40:00"), "test")
    assert occurrences_of(Status.QUEUED) == queued
    assert len(runs()) == 3


def test_no_run_that_does_not_run_itself_is_said_to_stand_for_others() -> None:
    make("0 * * * *", edited_at=at("09:00:00"), max_lateness=60)
    fire(at("11:40:00"), "test")
    assert set(Run.objects.values_list("error", flat=True)) == {"It could start 0:01:00 after its time at the latest."}


def test_what_was_missed_is_not_made_up_for_after_the_end_of_its_schedule() -> None:
    make("0 * * * *", edited_at=at("09:00:00"), task={"expires": at("11:00:00")})
    make("0 * * * *", edited_at=at("09:30:00"), task={"expires": at("12:00:00")})
    fire(at("12:00:20"), "test")
    assert runs() == [(f"{hour}:00:00", "skipped") for hour in (10, 10, 11, 11)] + [("12:00:00", "queued")]
    reasons = set(Run.objects.filter(occurrence=at("11:00:00")).values_list("error", flat=True))
    assert "It was missed, and its schedule ended on 2026-11-22 11:00:00 UTC." in reasons


def test_an_occurrence_that_is_a_little_late_is_not_missed() -> None:
    make("0 * * * *", edited_at=at("11:30:00"), missed=Missed.SKIP)
    fire(at("12:00:59"), "test")
    assert occurrences_of(Status.QUEUED) == ["12:00:00"]


def test_after_a_long_absence_the_latest_are_recorded_one_by_one_and_the_rest_in_one_row() -> None:
    make("* * * * *", edited_at=at("00:00:00", day=1), missed=Missed.SKIP)
    fire(at("00:00:30", day=22), "test")
    assert Run.objects.count() == RECORDED_EACH + 1
    oldest = Run.objects.order_by("occurrence")[0]
    assert oldest.occurrence == at("00:01:00", day=1)
    assert "all others before" in oldest.error
    assert occurrences_of(Status.QUEUED) == ["00:00:00"]


# --- Overlap -------------------------------------------------------------------------------------------------------


def test_an_occurrence_that_comes_while_the_last_run_goes_on_is_skipped_by_default() -> None:
    make("* * * * *")
    fire(at("12:01:00"), "test")
    Run.objects.update(status=Status.RUNNING)
    fire(at("12:02:00"), "test")
    assert runs() == [("12:01:00", Status.RUNNING), ("12:02:00", Status.SKIPPED)]
    Run.objects.filter(status=Status.RUNNING).update(status=Status.SUCCEEDED)
    fire(at("12:03:00"), "test")
    assert occurrences_of(Status.QUEUED) == ["12:03:00"]


def test_a_run_that_waits_for_its_next_attempt_is_not_finished() -> None:
    make("* * * * *")
    fire(at("12:01:00"), "test")
    Run.objects.update(status=Status.RETRYING)
    fire(at("12:02:00"), "test")
    assert runs() == [("12:01:00", Status.RETRYING), ("12:02:00", Status.SKIPPED)]


def test_one_may_wait_where_staff_say_so() -> None:
    make("* * * * *", overlap=Overlap.QUEUE)
    fire(at("12:01:00"), "test")
    Run.objects.update(status=Status.RUNNING)
    fire(at("12:02:00"), "test")
    fire(at("12:03:00"), "test")
    assert [status for _, status in runs()] == [Status.RUNNING, Status.QUEUED, Status.SKIPPED]


def test_or_all_run_side_by_side() -> None:
    make("* * * * *", overlap=Overlap.ALLOW)
    fire(at("12:01:00"), "test")
    fire(at("12:02:00"), "test")
    assert [status for _, status in runs()] == [Status.QUEUED, Status.QUEUED]
    assert not Run.objects.filter(exclusive=True).exists()


# --- Pauses --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("scope", ["everything", "task", "schedule"])
def test_what_is_paused_starts_nothing_and_forgets_nothing(scope: str) -> None:
    schedule = make("0 * * * *", edited_at=at("06:00:00"))
    values = {"task": JOB} if scope == "task" else {"schedule": schedule} if scope == "schedule" else {}
    Pause.objects.create(**values, actor="alice", created_at=at("06:30:00"))
    fire(at("09:30:00"), "test")
    assert runs() == []
    Pause.objects.all().delete()
    fire(at("09:30:00"), "test")
    assert runs() == [("07:00:00", "skipped"), ("08:00:00", "skipped"), ("09:00:00", "queued")]


def test_a_pause_of_something_else_or_that_is_over_stops_nothing() -> None:
    make("* * * * *")
    other = make("0 0 1 1 *", task={"name": "other"})
    Pause.objects.create(schedule=other, actor="alice", created_at=NOON)
    Pause.objects.create(task="another.job", actor="alice", created_at=NOON)
    Pause.objects.create(until=at("12:00:30"), actor="alice", created_at=NOON)
    assert fire(at("12:01:00"), "test") == 1


# --- Many ----------------------------------------------------------------------------------------------------------


def test_a_tick_takes_the_same_queries_for_one_as_for_many() -> None:
    counts = []
    for number, moment in ((1, at("12:01:00")), (50, at("12:02:00"))):
        for _ in range(number):
            make("* * * * *")
        with CaptureQueriesContext(
            connection,
        ) as queries:
            fire(moment, "test")
        counts.append(len(queries))
    assert counts[0] == counts[1] <= 10
    with CaptureQueriesContext(connection) as queries:
        assert (follow_edits(at("12:02:01"), "test"), fire(at("12:02:01"), "test")) == (0, 0)
    assert len(queries) <= 7


@pytest.mark.django_db(transaction=True)
def test_many_beats_share_what_is_due_and_record_each_occurrence_once() -> None:
    """Eight at once, on a hundred schedules, over five minutes."""
    row = crontab()
    PeriodicTask.objects.bulk_create(
        [PeriodicTask(name=f"schedule {number}", task=JOB, crontab=row) for number in range(100)]
    )
    Schedule.objects.update(stale_since=None, next_run_at=at("12:01:00"), overlap=Overlap.ALLOW)
    gate = threading.Barrier(8)
    errors: list[BaseException] = []

    def beat(number: int) -> None:
        try:
            for minute in range(1, 6):
                gate.wait(30)
                fire(at(f"12:{minute:02d}:00"), f"beat {number}")
        except BaseException as error:
            errors.append(error)
            gate.abort()
        finally:
            connection.close()

    threads = [threading.Thread(target=beat, args=[number]) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    fire(at("12:05:00"), "the last one")
    assert errors == []
    assert Run.objects.count() == 500
    assert Run.objects.filter(status=Status.QUEUED).values("schedule", "occurrence").distinct().count() == 500
    assert set(PeriodicTask.objects.values_list("total_run_count", flat=True)) == {5}


# --- What is kept --------------------------------------------------------------------------------------------------


def test_an_event_is_never_changed() -> None:
    make("0 0 31 4 *")
    with pytest.raises(Exception, match="never changed"):
        RunEvent.objects.update(actor="somebody else")


def test_runs_and_the_audit_outlive_their_schedule_however_it_is_deleted() -> None:
    for name in ("by the model", "by hand"):
        schedule = make("* * * * *", task={"name": name})
        ledger.pause("alice", schedule=schedule)
    Pause.objects.filter(schedule__periodic_task__name="by the model").delete()
    ledger.pause("alice", schedule=Schedule.objects.get(periodic_task__name="by the model"))
    Pause.objects.all().delete()
    fire(at("12:01:00"), "test")
    PeriodicTask.objects.get(name="by the model").delete()
    with connection.cursor() as cursor:
        cursor.execute("DELETE FROM django_celery_beat_periodictask")
    assert Schedule.objects.count() == 0
    assert sorted(Run.objects.values_list("name", flat=True)) == ["by hand", "by the model"]
    assert not Run.objects.exclude(schedule=None).exists()
    assert set(RunEvent.objects.values_list("subject", flat=True)) == {"by the model", "by hand"}


def test_a_periodic_task_keeps_what_other_tools_know_of_it() -> None:
    schedule = make("30 4 * * *")
    assert isinstance(schedule.periodic_task.schedule, celery_crontab)
