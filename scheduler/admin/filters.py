"""How the lists of runs and of events are narrowed, each way quick among a million."""

from collections.abc import Collection, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

from django.contrib.admin import SimpleListFilter
from django.contrib.admin.options import IncorrectLookupParameters
from django.db import connection
from django.db.models import Q, QuerySet
from django.http import HttpRequest
from django.utils import timezone
from django_celery_beat.models import PeriodicTask

from config.admin import as_id
from scheduler.jobs import jobs
from scheduler.models import UNFINISHED, Event, Run, Status

UNFINISHED_VALUE = "unfinished"
MOST_COUNTED = 1_000
"""Runs of a status that are counted beside its name."""

LONG_AGO = datetime(1970, 1, 1, tzinfo=UTC)

Choices = list[tuple[str, str]]


# --- What the tables know --------------------------------------------------------------------------------------------

# From one name to the next in the index, however many rows have each.
_TASKS = """
WITH RECURSIVE known(task) AS (
    (SELECT task FROM scheduler_run ORDER BY task LIMIT 1)
    UNION ALL
    SELECT (SELECT run.task FROM scheduler_run run WHERE run.task > known.task ORDER BY run.task LIMIT 1)
    FROM known
    WHERE known.task IS NOT NULL
)
SELECT task FROM known WHERE task IS NOT NULL LIMIT 1000
"""


_COUNT = """
SELECT %s, count(*)
FROM (SELECT FROM scheduler_run WHERE status = %s AND created_at >= %s LIMIT %s) found
"""


def known_tasks() -> list[str]:
    """The tasks that runs were ever made of and kept, by name."""
    with connection.cursor() as cursor:
        cursor.execute(_TASKS)
        return [task for (task,) in cursor.fetchall()]


def title_of(task: str) -> str:
    """What staff call it."""
    declared = jobs().get(task)
    return declared.title if declared else task


def counted(statuses: Collection[Status], most: int, since: datetime = LONG_AGO) -> dict[Status, int]:
    """How many runs have each of these statuses, and one more than `most` where they are more; in one query."""
    values = [value for status in statuses for value in (status, status, since, most + 1)]
    with connection.cursor() as cursor:
        cursor.execute(" UNION ALL ".join([_COUNT] * len(statuses)), values)
        return {Status(status): count for status, count in cursor.fetchall()}


# --- Filters ---------------------------------------------------------------------------------------------------------


class StatusFilter(SimpleListFilter):
    title = "status"
    parameter_name = "status__exact"

    def lookups(self, request: HttpRequest, model_admin: Any) -> Choices:
        """With the number of those that are rare where all is well."""
        few = [status for status in Status if status != Status.SUCCEEDED]
        counts = counted(few, MOST_COUNTED)
        unfinished = sum(counts[status] for status in UNFINISHED)
        return [
            (UNFINISHED_VALUE, _with_count("unfinished", unfinished)),
            *((status.value, _with_count(status.label, counts.get(status))) for status in Status),
        ]

    def queryset(self, request: HttpRequest, queryset: "QuerySet[Run]") -> "QuerySet[Run]":
        match self.value():
            case None:
                return queryset
            case "unfinished":
                return queryset.filter(status__in=UNFINISHED)
            case status:
                return queryset.filter(status=status)


def _with_count(label: str, count: int | None) -> str:
    if count is None:
        return label
    return f"{label} ({count:,})" if count <= MOST_COUNTED else f"{label} (more than {MOST_COUNTED:,})"


class JobFilter(SimpleListFilter):
    title = "job"
    parameter_name = "task__exact"

    def lookups(self, request: HttpRequest, model_admin: Any) -> Choices:
        return sorted(((task, title_of(task)) for task in known_tasks()), key=lambda choice: choice[1].lower())

    def queryset(self, request: HttpRequest, queryset: "QuerySet[Run]") -> "QuerySet[Run]":
        return queryset.filter(task=self.value()) if self.value() else queryset


class AskedFilter(SimpleListFilter):
    title = "time"
    parameter_name = "asked"
    field = "created_at"
    lengths = {"hour": timedelta(hours=1), "day": timedelta(days=1), "week": timedelta(weeks=1)}

    def lookups(self, request: HttpRequest, model_admin: Any) -> Choices:
        return [(name, f"last {'24 hours' if name == 'day' else name}") for name in self.lengths]

    def queryset(self, request: HttpRequest, queryset: "QuerySet[Any]") -> "QuerySet[Any]":
        length = self.lengths.get(self.value() or "")
        return queryset.filter(**{f"{self.field}__gte": timezone.now() - length}) if length else queryset


class HappenedFilter(AskedFilter):
    parameter_name = "happened"
    field = "at"


class FailuresFilter(SimpleListFilter):
    title = "attempts"
    parameter_name = "attempts"

    def lookups(self, request: HttpRequest, model_admin: Any) -> Choices:
        return [("failed", "some failed")]

    def queryset(self, request: HttpRequest, queryset: "QuerySet[Run]") -> "QuerySet[Run]":
        return queryset.filter(Q(failures__gt=0) | Q(crashes__gt=0)) if self.value() == "failed" else queryset


class OneOnly(SimpleListFilter):
    """Shown only where a link has chosen something, so that one sees it and gets rid of it."""

    def has_output(self) -> bool:
        return self.value() is not None

    def lookups(self, request: HttpRequest, model_admin: Any) -> Choices:
        return []

    def choices(self, changelist: Any) -> Iterator[Any]:
        name = self.parameter_name
        yield {"selected": False, "query_string": changelist.get_query_string(remove=[name]), "display": "All"}
        yield {"selected": True, "query_string": changelist.get_query_string(), "display": self.chosen()}

    def chosen(self) -> str:
        return str(self.value())


class ScheduleFilter(OneOnly):
    title = "schedule"
    parameter_name = "schedule__exact"

    def queryset(self, request: HttpRequest, queryset: "QuerySet[Any]") -> "QuerySet[Any]":
        if (value := self.value()) is None:
            return queryset
        if not value.isascii() or not value.isdigit() or len(value) > 9:
            raise IncorrectLookupParameters
        return queryset.filter(schedule=int(value))

    def chosen(self) -> str:
        name = PeriodicTask.objects.filter(pk=self.value()).values_list("name", flat=True).first()
        return str(name or "one that was deleted")


class RunFilter(OneOnly):
    title = "run"
    parameter_name = "run__exact"

    def queryset(self, request: HttpRequest, queryset: "QuerySet[Any]") -> "QuerySet[Any]":
        if (value := self.value()) is None:
            return queryset
        if (run := as_id(value)) is None:
            raise IncorrectLookupParameters
        return queryset.filter(run=run)


class KindFilter(SimpleListFilter):
    title = "kind"
    parameter_name = "kind__exact"

    def lookups(self, request: HttpRequest, model_admin: Any) -> Choices:
        return sorted(((kind.value, kind.label) for kind in Event), key=lambda choice: choice[1])

    def queryset(self, request: HttpRequest, queryset: "QuerySet[Any]") -> "QuerySet[Any]":
        return queryset.filter(kind=self.value()) if self.value() else queryset


class ActorFilter(OneOnly):
    title = "actor"
    parameter_name = "actor__exact"

    def queryset(self, request: HttpRequest, queryset: "QuerySet[Any]") -> "QuerySet[Any]":
        return queryset if self.value() is None else queryset.filter(actor=self.value())
