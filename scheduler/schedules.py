"""Schedules as rows of django-celery-beat, which staff edit in Django admin."""

from collections.abc import Mapping
from datetime import UTC, datetime

from celery.schedules import crontab as celery_crontab
from cronsim import CronSim, CronSimError
from django.core.exceptions import ValidationError
from django.utils import timezone
from django_celery_beat.models import CrontabSchedule, PeriodicTask

FIELDS = ("minute", "hour", "day_of_month", "month_of_year", "day_of_week")
"""Of a CrontabSchedule and of Celery's crontab, in the order of a cron expression."""


def install(schedules: Mapping[str, tuple[str, str]], *, using: str = "default") -> None:
    """Make the rows that are missing, by name: name → (task, cron expression in UTC). No row that exists is touched."""
    existing = set(PeriodicTask.objects.using(using).filter(name__in=schedules).values_list("name", flat=True))
    for name, (task, expression) in schedules.items():
        if name not in existing:
            PeriodicTask.objects.using(using).create(name=name, task=task, crontab=crontab(expression, "UTC"))


def crontab(expression: str, zone: str) -> CrontabSchedule:
    """The row for a cron expression in a time zone, made where missing. Raises ValidationError with a sentence."""
    return stored(unsaved_crontab(expression, zone))


def unsaved_crontab(expression: str, zone: str) -> CrontabSchedule:
    """As `crontab`, but touching no row."""
    validate_expression(expression)
    return CrontabSchedule(**dict(zip(FIELDS, expression.split(), strict=True)), timezone=zone)


def stored(crontab: CrontabSchedule) -> CrontabSchedule:
    """The row that says the same, made where missing: many schedules share one, as django-celery-beat has it."""
    fields = {name: getattr(crontab, name) for name in (*FIELDS, "timezone")}
    return CrontabSchedule.objects.filter(**fields).first() or CrontabSchedule.objects.create(**fields)


def forget_unused_crontab(pk: int | None) -> None:
    """Delete the row where no schedule refers to it: deleting one that is in use would delete its schedules."""
    CrontabSchedule.objects.filter(pk=pk, periodictask=None).delete()


def expression(crontab: CrontabSchedule) -> str:
    """What a person would type for this row."""
    return " ".join(getattr(crontab, field) for field in FIELDS)


def in_words(crontab: CrontabSchedule) -> str:
    return str(crontab.human_readable)


def next_run(crontab: CrontabSchedule, after: datetime) -> datetime | None:
    """The next time in UTC, strictly after the given one; None where it never comes or cannot be read."""
    try:
        moment: datetime = next(CronSim(expression(crontab), after.astimezone(crontab.timezone)))
    except (CronSimError, StopIteration):
        return None
    return moment.astimezone(UTC)


def validate_expression(expression: str) -> None:
    """Refuse, with a sentence, what cron does not understand and what never comes, like 31 April."""
    if len(expression.split()) != len(FIELDS):
        raise ValidationError(
            "A cron expression has five fields: minute, hour, day of month, month, day of week. "
            "Every six hours is “0 */6 * * *”."
        )
    try:
        next(CronSim(expression, timezone.now()))
    except CronSimError as error:
        raise ValidationError(f"Cron does not understand “{expression}”: {str(error).lower()}.") from error
    except StopIteration:
        raise ValidationError(f"“{expression}” never comes.") from None
    try:
        celery_crontab(**dict(zip(FIELDS, expression.split(), strict=True)))
    except (ValueError, KeyError) as error:
        reason = str(error).rstrip(".")
        raise ValidationError(f"“{expression}” cannot be scheduled: {reason}.") from error
