"""Schedules as rows."""

from typing import Any

from django.utils import timezone
from django_celery_beat.models import PeriodicTask

from scheduler import schedules
from scheduler.models import Schedule
from scheduler.tick import follow_edits


def make(name: str = "mine", expression: str = "0 2 * * *", **fields: Any) -> PeriodicTask:
    """A schedule whose next run is known."""
    fields.setdefault("crontab", schedules.crontab(expression, "UTC"))
    task = PeriodicTask.objects.create(name=name, **{"task": "config.tasks.clean_up_data", **fields})
    follow_edits(timezone.now(), "test", only=[task.pk])
    return again(task)


def again(task: PeriodicTask) -> PeriodicTask:
    """As it is stored now, with its times."""
    found: PeriodicTask = PeriodicTask.objects.select_related(*schedules.WITH_ITS_TIMES).get(pk=task.pk)
    return found


def schedule(name: str = "sync-contests") -> Schedule:
    return Schedule.objects.select_related("periodic_task").get(periodic_task__name=name)
