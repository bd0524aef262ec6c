"""Schedules as rows of django-celery-beat, which staff edit in Django admin."""

import inspect
import json
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from functools import cache
from itertools import islice
from typing import Any

from celery import current_app
from celery.schedules import ParseException
from celery.schedules import crontab as celery_crontab
from cronsim import CronSim, CronSimError
from django.core.exceptions import ValidationError
from django.db import transaction
from django.utils import timezone
from django_celery_beat.models import CrontabSchedule, PeriodicTask

FIELDS = ("minute", "hour", "day_of_month", "month_of_year", "day_of_week")
"""Of a CrontabSchedule and of Celery's crontab, in the order of a cron expression."""

LATE_AFTER = timedelta(minutes=10)
"""The scheduler notes what it did every few minutes: a schedule whose time is longer ago than this was not run."""


def install(schedules: Mapping[str, tuple[str, str]], *, using: str = "default") -> None:
    """Make the rows that are missing: name → (task, cron expression in UTC). No row that exists is touched.

    A schedule is not missing where its job has another one: somebody renamed it, or made one that they like better.
    """
    rows = PeriodicTask.objects.using(using).values_list("name", "task")
    names, tasks = {name for name, _ in rows}, {task for _, task in rows}
    for name, (task, expression) in schedules.items():
        if name not in names and task not in tasks:
            PeriodicTask.objects.using(using).create(name=name, task=task, crontab=crontab(expression, "UTC"))


def crontab(expression: str, zone: str) -> CrontabSchedule:
    """The row for a cron expression in a time zone, made where missing. Raises ValidationError with a sentence."""
    return stored(unsaved_crontab(expression, zone))


def unsaved_crontab(expression: str, zone: str) -> CrontabSchedule:
    """As `crontab`, but touching no row."""
    validate_expression(expression)
    return CrontabSchedule(**_celery_fields(expression), timezone=zone)


@transaction.atomic
def stored(crontab: CrontabSchedule) -> CrontabSchedule:
    """The row that says the same, made where missing: many schedules share one, as django-celery-beat has it.

    It is locked until the transaction ends, so that nobody forgets it before a schedule refers to it.
    """
    fields = {name: getattr(crontab, name) for name in (*FIELDS, "timezone")}
    existing = CrontabSchedule.objects.select_for_update().filter(**fields).order_by("pk").first()
    return existing or CrontabSchedule.objects.create(**fields)


@transaction.atomic
def forget_unused_crontabs(*pks: int | None) -> None:
    """Delete the rows to which no schedule refers: deleting one that is in use would delete its schedules."""
    locked = list(CrontabSchedule.objects.select_for_update().filter(pk__in=pks).values_list("pk", flat=True))
    CrontabSchedule.objects.filter(pk__in=locked, periodictask=None).delete()


def expression(crontab: CrontabSchedule) -> str:
    """What a person would type for this row."""
    return " ".join(getattr(crontab, field) for field in FIELDS)


def in_words(task: PeriodicTask) -> str:
    """When it runs, as a sentence, with the zone; for a row that came from elsewhere as well as that can be said."""
    if task.clocked:
        return f"Once, at {task.clocked.clocked_time:%Y-%m-%d %H:%M} (UTC)"
    if task.crontab is None:
        return str(task.scheduler or "no time is set").capitalize()
    try:
        words = str(task.crontab.human_readable).removesuffix(f" {task.crontab.timezone}")
    except Exception:  # of a row that no form has checked
        return "not understood"
    return f"{words} ({task.crontab.timezone})"


def next_runs(crontab: CrontabSchedule, after: datetime, most: int) -> list[datetime]:
    """The next times in UTC, strictly after the given one; none where they never come or cannot be read."""
    if _misread(crontab):
        return []
    moments = CronSim(expression(crontab), after.astimezone(crontab.timezone))
    return [moment.astimezone(UTC) for moment in islice(moments, most)]


def next_run(crontab: CrontabSchedule, after: datetime) -> datetime | None:
    return next(iter(next_runs(crontab, after, 1)), None)


def is_late(task: PeriodicTask, now: datetime) -> bool:
    """Whether its time came and the scheduler let it pass, as far as its row tells."""
    if not task.enabled or task.crontab is None or (task.start_time and task.start_time > now):
        return False
    expected = next_run(task.crontab, task.last_run_at or task.date_changed)
    return expected is not None and expected < now - LATE_AFTER


@cache
def jobs() -> Mapping[str, str]:
    """What can be scheduled: the tasks' names, and the first lines of what they say of themselves."""
    current_app.loader.import_default_modules()
    tasks = {name: task for name, task in sorted(current_app.tasks.items()) if not name.startswith("celery.")}
    return {name: (inspect.getdoc(task.run) or "").partition("\n")[0].rstrip(".") for name, task in tasks.items()}


def problem(task: PeriodicTask) -> str:
    """Why this schedule cannot work, in a sentence; nothing where it can. No row is taken for granted."""
    if task.task not in jobs():
        return f"There is no job called “{task.task}” any more."
    try:
        if task.scheduler is None:
            return "No time is set."
        if task.crontab and (misread := _misread(task.crontab)):
            return misread
        _ = task.schedule
        validate_arguments(task.task, parsed(task.args, list), parsed(task.kwargs, dict))
    except ValidationError as error:
        return " ".join(error.messages)
    except Exception as error:  # celery's own, such as for a library that is missing
        return f"It cannot be scheduled: {error}"
    return ""


def _misread(crontab: CrontabSchedule) -> str:
    """Why neither cron nor Celery can follow this row, whoever made it; nothing where both can."""
    try:
        validate_expression(expression(crontab))
        _ = crontab.schedule
    except ValidationError as error:
        return " ".join(error.messages)
    except (ValueError, KeyError, ParseException) as error:
        return f"The scheduler does not understand “{expression(crontab)}”: {str(error).rstrip('.')}."
    return ""


def parsed(text: str, kind: "type[list[Any]] | type[dict[str, Any]]") -> Any:
    """The JSON list or object of a schedule's arguments, empty where there is no text. Raises ValidationError."""
    example = "a list, such as [] or [1, 2]" if kind is list else 'an object, such as {} or {"name": ["value"]}'
    try:
        value = json.loads(text) if text.strip() else kind()
    except ValueError as error:
        raise ValidationError(f"This is not JSON: {error}.") from error
    if not isinstance(value, kind):
        raise ValidationError(f"This must be {example}.")
    return value


def validate_arguments(job: str, args: list[Any], kwargs: dict[str, Any]) -> None:
    """Refuse, with a sentence, what the job does not take."""
    try:
        inspect.signature(current_app.tasks[job].run).bind(*args, **kwargs)
    except TypeError as error:
        raise ValidationError(f"The job does not take these arguments: {error}.") from error


def validate_expression(expression: str) -> None:
    """Refuse, with a sentence, what cron does not understand, what never comes, and what Celery reads otherwise."""
    if len(expression.split()) != len(FIELDS):
        raise ValidationError(
            "A cron expression has five fields: minute, hour, day of month, month, day of week. "
            "Every six hours is “0 */6 * * *”."
        )
    try:
        cron = CronSim(expression, timezone.now())
        next(cron)
    except CronSimError as error:
        raise ValidationError(f"Cron does not understand “{expression}”: {str(error).lower()}.") from error
    except StopIteration:
        raise ValidationError(f"“{expression}” never comes.") from None
    if not cron.day_and:
        raise ValidationError(
            "Only one of day of month and day of week can be given: cron would run on either day, "
            "the scheduler only where both come together. Make two schedules of it."
        )
    fields = _celery_fields(expression)
    try:
        celery_crontab(**fields)
    except (ValueError, KeyError, ParseException) as error:
        raise ValidationError(
            f"“{expression}” is more than the scheduler can follow: write numbers, lists, ranges and steps."
        ) from error
    if long := [name for name, text in fields.items() if len(text) > CrontabSchedule._meta.get_field(name).max_length]:
        raise ValidationError(f"The field for {long[0].replace('_', ' ')} is too long.")


def _celery_fields(expression: str) -> dict[str, str]:
    """The fields as Celery reads them: there Sunday is 0, in cron it is 7 as well."""
    fields = dict(zip(FIELDS, expression.split(), strict=True))
    if "7" in fields["day_of_week"]:
        # The pairs among them, as of 5#2, are nothing that Celery knows in any spelling.
        days = CronSim(expression, timezone.now()).weekdays
        fields["day_of_week"] = ",".join(sorted({str(day % 7) if isinstance(day, int) else str(day) for day in days}))
    return fields
