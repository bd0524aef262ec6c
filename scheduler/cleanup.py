"""How long runs and events are kept: the newest always, older ones for a while."""

from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.db.models import F, Q, QuerySet, Window
from django.db.models.functions import RowNumber

from scheduler.models import Run, RunEvent, Status

EVENTS_KEPT = 1000
"""Of each schedule, besides those of its runs, which go with them."""


def past_their_time(now: datetime) -> "dict[str, QuerySet[Any]]":
    """What nobody looks at any more, by kind. What is unfinished stays, however old."""
    recent = now - timedelta(hours=settings.RUNS_SUCCEEDED_HOURS)
    this_month = now - timedelta(days=settings.RUNS_FAILED_DAYS)
    succeeded, failed = Run.objects.filter(status=Status.SUCCEEDED), Run.objects.filter(status=Status.FAILED)
    of_schedules = RunEvent.objects.filter(run=None)
    return {
        "runs": Run.objects.filter(
            Q(_after(succeeded, settings.RUNS_KEPT_SUCCEEDED, "task", "finished_at", recent), status=Status.SUCCEEDED)
            | Q(_after(failed, settings.RUNS_KEPT_FAILED, "task", "finished_at", this_month), status=Status.FAILED)
            | Q(status__in=[Status.SKIPPED, Status.CANCELLED], finished_at__lt=recent)
            | Q(status=Status.LOST, finished_at__lt=this_month)
        ),
        "events": of_schedules.filter(_after(of_schedules, EVENTS_KEPT, "schedule", "at", this_month)),
    }


def _after(rows: "QuerySet[Any]", kept: int, group: str, moment: str, limit: datetime) -> Q:
    """What comes after the newest so many of its group, and lies before the limit."""
    numbered = rows.annotate(number=Window(RowNumber(), partition_by=F(group), order_by=F(moment).desc()))
    too_old = Q(pk__in=[])
    for key, oldest_kept in numbered.filter(number=kept).values_list(group, moment):
        too_old |= Q(**{group: key, f"{moment}__lt": min(oldest_kept, limit)})
    return too_old
