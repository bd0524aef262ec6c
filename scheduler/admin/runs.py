"""What ran, runs and waits, in Django admin: the list, and what staff may do to runs."""

from typing import Any
from uuid import UUID

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db.models import Q, QuerySet
from django.db.models.functions import Left
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import render
from django.urls import URLPattern, path, reverse
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.text import Truncator
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET, require_POST
from django_celery_beat.models import PeriodicTask
from kombu.utils.json import loads
from unfold.admin import ModelAdmin
from unfold.decorators import display

from config.admin import NOTHING, DaysFilter, EndlessListMixin, ReadOnlyMixin, as_id
from scheduler import ledger
from scheduler.admin import run_page
from scheduler.admin.filters import (
    AskedFilter,
    FailuresFilter,
    JobFilter,
    ScheduleFilter,
    StatusFilter,
    known_tasks,
    title_of,
)
from scheduler.admin.labels import COLOURS
from scheduler.admin.run_page import duration_of, instant, wait_of
from scheduler.heartbeat import GRACE
from scheduler.jobs import is_known
from scheduler.models import UNFINISHED, Run, RunQuerySet, Trigger

MOST_AT_ONCE = 10_000
"""Runs that one action touches."""

MOST_SCHEDULES = 200
"""Schedules whose runs one search finds."""

LONG = ("args", "kwargs", "options", "result", "error", "traceback")
"""Columns that may be as long as a book, and are read only where they are shown."""


@admin.register(Run)
class RunAdmin(ReadOnlyMixin, EndlessListMixin, ModelAdmin):
    list_display = ("job", "state", "asked", "started", "took", "tries", "trouble")
    list_display_links = ("job",)
    list_filter = (
        *(StatusFilter, JobFilter, "trigger", ScheduleFilter, AskedFilter, FailuresFilter),
        ("created_at", DaysFilter),
    )
    list_filter_submit = True
    list_per_page = 50
    list_after_template = "admin/scheduler/run/older.html"
    show_facets = admin.ShowFacets.NEVER
    search_fields = ("id",)
    search_help_text = "Id, name of a schedule, or job"
    ordering = ("-created_at",)
    sortable_by = ()  # by anything else they would all be sorted
    fields = ()
    actions = ("cancel", "repeat")

    class Media:
        css = {"all": ("runs.css",)}

    def has_act_permission(self, request: HttpRequest) -> bool:
        """Whether this member of staff may cancel and repeat, though nobody edits a run."""
        return bool(request.user.has_perm("scheduler.change_run"))

    def get_queryset(self, request: HttpRequest) -> "QuerySet[Run]":
        runs: QuerySet[Run] = super().get_queryset(request)
        return runs.defer(*LONG).annotate(error_shown=Left("error", 200))

    def get_search_results(
        self, request: HttpRequest, queryset: "QuerySet[Run]", search_term: str
    ) -> "tuple[QuerySet[Run], bool]":
        """Look among schedules and jobs, which are few, and not among the runs."""
        if not (term := search_term.strip()):
            return queryset, False
        if run := as_id(term):
            return queryset.filter(pk=run), False
        known = [task for task in known_tasks() if term.lower() in f"{task} {title_of(task)}".lower()]
        # Beginnings are found by an index, in the ways that people write them.
        begins = Q(name__startswith=term) | Q(name__startswith=term.lower()) | Q(name__startswith=term.capitalize())
        found = list(PeriodicTask.objects.filter(begins).values_list("pk", flat=True)[:MOST_SCHEDULES])
        return queryset.filter(Q(task__in=known) | Q(schedule__in=found)), False

    # The list

    @admin.display(description="run")
    def job(self, run: Run) -> SafeString:
        title = title_of(run.task)
        short = run.task.rpartition(".")[2] if title == run.task else title
        return format_html('{}<span class="aside">{}</span>', run.name or short, run.task)

    @display(description="status", label=COLOURS)
    def state(self, run: Run) -> str:
        return run.status

    @admin.display(description="asked for")
    def asked(self, run: Run) -> SafeString:
        actor = "" if run.trigger == Trigger.SCHEDULE else f" · {run.actor}" if run.actor else ""
        by = f"{run.get_trigger_display()}{actor}"
        return format_html('{}<span class="aside">{}</span>', instant(run.occurrence or run.created_at), by)

    @admin.display(description="started")
    def started(self, run: Run) -> SafeString:
        """On the day that stands beside it, mostly."""
        shown = instant(run.started_at)
        if run.started_at and run.started_at.date() == (run.occurrence or run.created_at).date():
            shown = shown.split()[1]
        return format_html('{}<span class="aside">{}</span>', shown, run.worker)

    @admin.display(description="took")
    def took(self, run: Run) -> SafeString:
        wait = wait_of(run)
        aside = "" if wait == NOTHING else f"waited {wait}"
        return format_html('{}<span class="aside">{}</span>', duration_of(run), aside)

    @admin.display(description="attempts")
    def tries(self, run: Run) -> str:
        return str(run.attempt) if run.started_at or run.attempt > 1 else NOTHING

    @admin.display(description="error")
    def trouble(self, run: Run) -> str:
        first_line, _, _ = getattr(run, "error_shown", "").strip().partition("\n")
        return Truncator(first_line).chars(100) or NOTHING

    # What may be done

    @admin.action(description="Cancel", permissions=["act"])
    def cancel(self, request: HttpRequest, queryset: RunQuerySet) -> None:
        chosen, unfinished = _number(queryset), _keys(queryset.unfinished())
        waiting, running = ledger.cancel(unfinished, request.user.get_username())
        if waiting:
            messages.success(request, f"{_runs(waiting)} cancelled before {_they(waiting)} started.")
        if running:
            messages.warning(
                request, f"{_runs(running)} asked to stop; what does not within {GRACE:g} seconds is stopped by force."
            )
        _say_left(request, chosen - waiting - running, "over already, or asked to stop before")

    @admin.action(description="Run again", permissions=["act"])
    def repeat(self, request: HttpRequest, queryset: RunQuerySet) -> None:
        chosen, over = _number(queryset), _keys(queryset.exclude(status__in=UNFINISHED))
        asked = ledger.repeat_all(_that_can_run(over), request.user.get_username())
        if asked:
            messages.success(request, f"{_runs(len(asked))} asked for again.")
        _say_left(request, chosen - len(asked), "not over yet, or of a job that is gone")

    # The page of a run

    def get_urls(self) -> list[URLPattern]:
        wrap = self.admin_site.admin_view
        own = [
            path("<uuid:pk>/progress/", never_cache(self.progress), name="scheduler_run_progress"),
            path("<uuid:pk>/text/<slug:what>/", wrap(require_GET(self.text)), name="scheduler_run_text"),
            path("<uuid:pk>/cancel/", wrap(require_POST(self.cancel_one)), name="scheduler_run_cancel"),
            path("<uuid:pk>/repeat/", wrap(require_POST(self.repeat_one)), name="scheduler_run_repeat"),
        ]
        return [*own, *super().get_urls()]

    def render_change_form(
        self, request: HttpRequest, context: dict[str, Any], *args: Any, **kwargs: Any
    ) -> HttpResponse:
        run: Run = context["original"]
        context |= run_page.context(run, timezone.now(), may_act=self.has_act_permission(request))
        context["title"] = run.name or title_of(run.task)
        context["subtitle"] = None
        response: HttpResponse = super().render_change_form(request, context, *args, **kwargs)
        return response

    def progress(self, request: HttpRequest, pk: UUID) -> HttpResponse:
        """The part of a run's page that changes while it runs; 204 where nothing did since `seen`.

        Who may not see it, or not any more, is refused with 403: a page that asks every second follows no redirect.
        """
        if not (self.admin_site.has_permission(request) and self.has_view_permission(request)):
            return HttpResponse(status=403)
        run = self._run(pk)
        context = run_page.context(run, timezone.now(), may_act=self.has_act_permission(request))
        if request.GET.get("seen") == context["version"]:
            return HttpResponse(status=204)
        return render(request, "admin/scheduler/run/progress.html", {**context, "original": run})

    def text(self, request: HttpRequest, pk: UUID, what: str) -> HttpResponse:
        """One of a run's long texts, whole, as nothing but text."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        whole = run_page.whole_text(pk, what)
        if whole is None:
            raise Http404
        return HttpResponse(whole, content_type="text/plain; charset=utf-8")

    def cancel_one(self, request: HttpRequest, pk: UUID) -> HttpResponse:
        self._require_act(request)
        waiting, running = ledger.cancel([pk], request.user.get_username())
        if waiting:
            messages.success(request, "The run was cancelled before it started.")
        elif running:
            messages.warning(
                request, f"The run was asked to stop; if it does not within {GRACE:g} seconds, it is stopped by force."
            )
        else:
            messages.info(request, "The run is over already, or was asked to stop before.")
        return _to(self._run(pk))

    def repeat_one(self, request: HttpRequest, pk: UUID) -> HttpResponse:
        self._require_act(request)
        run = self._run(pk)
        if run.status in UNFINISHED:
            messages.error(request, "The run is not over yet.")
            return _to(run)
        if not (again := ledger.repeat_all(_that_can_run([pk]), request.user.get_username())):
            messages.error(request, f"There is no job called “{run.task}” any more.")
            return _to(run)
        messages.success(request, "It was asked for again: this is the new run.")
        return _to(again[0])

    def _require_act(self, request: HttpRequest) -> None:
        if not (self.has_view_permission(request) and self.has_act_permission(request)):
            raise PermissionDenied

    def _run(self, pk: UUID) -> Run:
        run = Run.objects.defer(*LONG).filter(pk=pk).first()
        if run is None:
            raise Http404
        return run


def _to(run: Run) -> HttpResponse:
    return HttpResponseRedirect(reverse("admin:scheduler_run_change", args=[run.pk]))


def _number(runs: "QuerySet[Run]") -> int:
    return runs.order_by()[:MOST_AT_ONCE].count()


def _keys(runs: "QuerySet[Run]") -> list[UUID]:
    return list(runs.values_list("pk", flat=True)[:MOST_AT_ONCE])


def _that_can_run(keys: list[UUID]) -> list[Run]:
    """Without those of jobs that no worker knows any more."""
    runs = Run.objects.filter(pk__in=keys).defer("result", "error", "traceback").order_by("created_at")
    return [run for run in runs if is_known(run.task, loads(run.options).get("queue"))]


def _runs(number: int) -> str:
    return "1 run was" if number == 1 else f"{number:,} runs were"


def _they(number: int) -> str:
    return "it" if number == 1 else "they"


def _say_left(request: HttpRequest, number: int, why: str) -> None:
    if number > 0:
        messages.info(request, f"{_runs(number)} {why}: nothing was done about {'it' if number == 1 else 'them'}.")
