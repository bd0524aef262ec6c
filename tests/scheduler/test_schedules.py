"""What a cron expression is to staff, to cron and to Celery; and what is wrong with a schedule."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import time_machine
from celery.schedules import crontab as celery_crontab
from django.core.exceptions import ValidationError
from django_celery_beat.models import ClockedSchedule, CrontabSchedule, IntervalSchedule, PeriodicTask, SolarSchedule

from scheduler import schedules

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
JOB = "config.tasks.clean_up_data"


def refusal_of(expression: str) -> str:
    with pytest.raises(ValidationError) as refused:
        schedules.validate_expression(expression)
    (sentence,) = refused.value.messages
    return str(sentence)


def row(expression: str, zone: str = "UTC") -> CrontabSchedule:
    """As somebody makes it who asks nobody."""
    return CrontabSchedule(**dict(zip(schedules.FIELDS, expression.split(), strict=True)), timezone=zone)


def task(expression: str = "0 2 * * *", **fields: Any) -> PeriodicTask:
    crontab = row(expression)
    crontab.save()
    return PeriodicTask.objects.create(**{"name": "mine", "task": JOB, "crontab": crontab, **fields})


@pytest.mark.parametrize(
    "expression",
    ["0 */6 * * *", "*/30 * * * *", "0 2 * * 1-5", "0 0 1 JAN *", "0 0 * * mon-fri", "0 0 29 2 *", "0 0 */2 * 1"],
)
def test_what_cron_and_celery_read_alike_is_taken_as_typed(expression: str) -> None:
    assert schedules.expression(schedules.unsaved_crontab(expression, "UTC")) == expression


@pytest.mark.parametrize(
    ("expression", "says"),
    [
        ("", "five fields"),
        ("* * * *", "five fields"),
        ("* * * * * *", "five fields"),
        ("@hourly", "five fields"),
        ("60 * * * *", "Cron does not understand “60 * * * *”: bad minute."),
        ("* 24 * * *", "bad hour"),
        ("* * 0 * *", "bad day-of-month"),
        ("* * * 13 *", "bad month"),
        ("* * * * 8", "bad day-of-week"),
        ("0 0 31 2 *", "bad day-of-month"),
        ("*/0 * * * *", "bad minute"),
        ("5-1 * * * *", "bad minute"),
        ("a b c d e", "bad minute"),
        ("٣ * * * *", "bad minute"),
        ("0 0 13 * 5", "Only one of day of month and day of week can be given"),
        ("0 0 L * *", "“0 0 L * *” is more than the scheduler can follow"),
        ("0 0 * * 5#2", "more than the scheduler can follow"),
        ("0 0 * * 7,5#2", "more than the scheduler can follow"),
        ("1/5 * * * *", "more than the scheduler can follow"),
        ("0," * 120 + "0 * * * *", "The field for minute is too long."),
    ],
)
def test_what_would_not_run_as_it_reads_is_refused_with_a_sentence(expression: str, says: str) -> None:
    assert says in refusal_of(expression)


@pytest.mark.parametrize(("typed", "kept"), [("7", "0"), ("5-7", "0,5,6"), ("0-7", "0,1,2,3,4,5,6"), ("*/7", "0")])
def test_sunday_may_be_seven_as_in_cron(typed: str, kept: str) -> None:
    crontab = schedules.unsaved_crontab(f"0 0 * * {typed}", "UTC")
    assert crontab.day_of_week == kept
    celery_crontab(**{name: getattr(crontab, name) for name in schedules.FIELDS})


def test_the_next_runs_are_those_that_the_scheduler_will_make() -> None:
    for expression, zone in (
        ("0 2 * * *", "America/New_York"),
        ("*/30 9-17 * * 1-5", "Asia/Kolkata"),
        ("5 4 1 * *", "UTC"),
    ):
        crontab = schedules.unsaved_crontab(expression, zone)
        expected = []
        moment = NOW
        for _ in range(5):
            with time_machine.travel(moment, tick=False):
                moment += crontab.schedule.remaining_estimate(moment)
            expected.append(moment.replace(microsecond=0))
        assert schedules.next_runs(crontab, NOW, 5) == expected


def test_the_next_run_is_in_the_schedules_own_zone_and_told_in_utc() -> None:
    assert schedules.next_run(row("0 2 * * *", "Asia/Kolkata"), NOW) == datetime(2026, 11, 22, 20, 30, tzinfo=UTC)
    assert schedules.next_run(row("0 12 * * *"), NOW) == NOW + timedelta(days=1)


@pytest.mark.parametrize("expression", ["0 2 31 2 *", "0 2 * * 5-7", "0 2 13 * 5", "x x x x x"])
def test_a_row_that_no_form_has_checked_has_no_next_run_and_no_crash(expression: str) -> None:
    assert schedules.next_run(row(expression), NOW) is None


@pytest.mark.django_db
def test_a_crontab_is_shared_and_deleted_when_nobody_uses_it() -> None:
    crontab = schedules.crontab("1 2 3 4 *", "UTC")
    assert schedules.crontab("1 2 3 4 *", "UTC") == crontab
    assert schedules.crontab("1 2 3 4 *", "Asia/Tokyo") != crontab
    kept = PeriodicTask.objects.create(name="mine", task=JOB, crontab=crontab)

    schedules.forget_unused_crontabs(crontab.pk, None)
    assert CrontabSchedule.objects.filter(pk=crontab.pk).exists()

    kept.delete()
    schedules.forget_unused_crontabs(crontab.pk)
    assert not CrontabSchedule.objects.filter(pk=crontab.pk).exists()


@pytest.mark.django_db
def test_of_equal_rows_that_came_from_elsewhere_one_is_taken() -> None:
    for _ in range(2):
        row("1 2 3 4 *").save()
    assert schedules.crontab("1 2 3 4 *", "UTC") == CrontabSchedule.objects.filter(minute="1").earliest("pk")


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("expression", "fields", "says"),
    [
        ("0 2 * * *", {}, ""),
        ("0 2 * * *", {"kwargs": ""}, ""),
        ("0 2 * * *", {"task": "gone.task"}, "There is no job called “gone.task” any more."),
        ("0 2 * * 5-7", {}, "The scheduler does not understand “0 2 * * 5-7”: Invalid end range: 7 > 6."),
        ("0 2 31 2 *", {}, "Cron does not understand “0 2 31 2 *”: bad day-of-month."),
        ("0 2 13 * 5", {}, "Only one of day of month and day of week can be given"),
        ("0 2 * * *", {"args": "5"}, "This must be a list, such as [] or [1, 2]."),
        ("0 2 * * *", {"args": "{"}, "This is not JSON"),
        ("0 2 * * *", {"kwargs": "[1]"}, "This must be an object"),
        ("0 2 * * *", {"kwargs": '{"speed": 9}'}, "The job does not take these arguments: got an unexpected keyword"),
    ],
)
def test_why_a_schedule_cannot_run_is_said(expression: str, fields: dict[str, Any], says: str) -> None:
    problem = schedules.problem(task(expression, **fields))
    assert says in problem
    assert bool(problem) == bool(says)


@pytest.mark.django_db
def test_schedules_of_other_kinds_are_told_in_words_and_judged_too() -> None:
    every = PeriodicTask(name="every", task=JOB, interval=IntervalSchedule(every=5, period="minutes"))
    once = PeriodicTask(name="once", task=JOB, clocked=ClockedSchedule(clocked_time=NOW), one_off=True)
    sunny = PeriodicTask(name="sunny", task=JOB, solar=SolarSchedule(event="sunset", latitude=40, longitude=-70))
    never = PeriodicTask(name="never", task=JOB)
    assert [schedules.in_words(each) for each in (every, once, sunny, never)] == [
        "Every 5 minutes",
        "Once, at 2026-11-22 12:00 (UTC)",
        "Sunset (40, -70)",
        "No time is set",
    ]
    assert [schedules.problem(each) for each in (every, once, never)] == ["", "", "No time is set."]
    assert "ephem" in schedules.problem(sunny)


def test_a_cron_expression_is_told_in_words_with_its_zone() -> None:
    assert schedules.in_words(PeriodicTask(crontab=row("0 */6 * * *"))) == "Every 6 hours (UTC)"
    assert schedules.in_words(PeriodicTask(crontab=row("0 2 * * *", "Asia/Tokyo"))) == "At 02:00 AM (Asia/Tokyo)"
    assert schedules.in_words(PeriodicTask(crontab=row("0 0 , * ,"))) == "not understood"


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("since_it_ran", "fields", "late"),
    [
        (timedelta(minutes=29), {}, False),
        (timedelta(minutes=39), {}, False),
        (timedelta(minutes=41), {}, True),
        (timedelta(days=9), {}, True),
        (timedelta(days=9), {"enabled": False}, False),
        (timedelta(days=9), {"start_time": NOW + timedelta(days=10)}, False),
    ],
)
def test_a_schedule_whose_time_went_by_is_late(since_it_ran: timedelta, fields: dict[str, Any], late: bool) -> None:
    assert schedules.is_late(task("*/30 * * * *", last_run_at=NOW, **fields), NOW + since_it_ran) == late


@pytest.mark.django_db
def test_a_schedule_that_never_ran_is_late_from_its_first_time_on() -> None:
    with time_machine.travel(NOW, tick=False):
        mine = task("*/30 * * * *")
    assert not schedules.is_late(mine, NOW + timedelta(minutes=39))
    assert schedules.is_late(mine, NOW + timedelta(minutes=41))


def test_the_jobs_are_those_of_the_project_with_what_they_say_of_themselves() -> None:
    jobs = schedules.jobs()
    assert jobs["contests.tasks.sync_contests"] == "Ask the contest platforms what they list, and store what changed"
    assert {"config.tasks.clean_up_data", "notifications.tasks.dispatch_notifications"} < jobs.keys()
    assert not any(name.startswith("celery.") for name in jobs)
