"""What narrows the list of schedules."""

from typing import Any

from django.contrib.admin import SimpleListFilter
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils import timezone
from django_celery_beat.models import PeriodicTask

from scheduler import schedules
from scheduler.jobs import jobs
from scheduler.schedules import State


class StateFilter(SimpleListFilter):
    title = "state"
    parameter_name = "state"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [("failing", "failing"), *((state.value, state.value) for state in State)]

    def queryset(self, request: HttpRequest, queryset: "QuerySet[PeriodicTask]") -> Any:
        chosen = self.value()
        if chosen == "failing":
            return schedules.failing(queryset)
        known = chosen in [state.value for state in State]
        return schedules.in_state(queryset, State(str(chosen)), timezone.now()) if known else queryset


class JobFilter(SimpleListFilter):
    title = "job"
    parameter_name = "job"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [*((job.name, job.title) for job in jobs().values()), ("other", "no job that may be scheduled")]

    def queryset(self, request: HttpRequest, queryset: "QuerySet[PeriodicTask]") -> Any:
        if self.value() == "other":
            return queryset.exclude(task__in=jobs())
        return queryset.filter(task=self.value()) if self.value() else queryset


class OwnerFilter(SimpleListFilter):
    title = "owner"
    parameter_name = "owner"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [("me", "mine"), ("nobody", "nobody's")]

    def queryset(self, request: HttpRequest, queryset: "QuerySet[PeriodicTask]") -> Any:
        match self.value():
            case "me":
                return queryset.filter(scheduling__owner=request.user)
            case "nobody":
                return queryset.filter(scheduling__owner=None)
        return queryset
