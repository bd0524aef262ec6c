"""Schedules in Django admin: what will run, how it went, and a form that lets nothing through that would not run."""

from collections.abc import Collection, Iterable, Sized
from datetime import datetime
from itertools import islice
from typing import Any
from zoneinfo import ZoneInfo

from django import forms
from django.apps import apps
from django.contrib import admin, messages
from django.contrib.admin.models import CHANGE, LogEntry
from django.core.exceptions import PermissionDenied, ValidationError
from django.db import transaction
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect, JsonResponse
from django.shortcuts import get_object_or_404
from django.template.loader import render_to_string
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils import timezone
from django.utils.decorators import method_decorator
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString
from django.utils.text import Truncator
from django.views.decorators.http import require_POST
from django_celery_beat import models as beat
from unfold.admin import ModelAdmin
from unfold.decorators import action
from unfold.views import ChangeList
from unfold.widgets import UnfoldAdminTextInputWidget

from config.admin import NOTHING, CountedSoFar, EndlessListMixin, moment
from scheduler import ledger, schedules
from scheduler.admin.how_long import HowLong
from scheduler.admin.labels import LATE, coming, outcome, state_label
from scheduler.admin.schedule_filters import JobFilter, OwnerFilter, StateFilter
from scheduler.admin.schedule_form import TIMING_FIELDS, ScheduleForm, TimingForm, timing_as_typed
from scheduler.admin.sparkline import MOST, sparkline
from scheduler.jobs import jobs
from scheduler.models import Pause, Run, Trigger
from scheduler.schedules import State
from scheduler.tick import sentence
from scheduler.timing import Timing, timing_of

# A schedule is a PeriodicTask with its time beside it; the rows of times are not edited on their own, for several
# schedules may share one.
for model in (
    beat.PeriodicTask,
    beat.CrontabSchedule,
    beat.IntervalSchedule,
    beat.SolarSchedule,
    beat.ClockedSchedule,
):
    admin.site.unregister(model)

# What these pages call them. Migrations are made from what the package itself declares, and so don't see it.
apps.get_app_config("django_celery_beat").verbose_name = "Scheduler"
beat.PeriodicTask._meta.verbose_name = "schedule"
beat.PeriodicTask._meta.verbose_name_plural = "schedules"
beat.PeriodicTask.__str__ = lambda schedule: schedule.name

RUNS_SHOWN = 5
MOST_AT_ONCE = 100
"""Schedules that are run, paused or copied by one click: each of them takes statements of its own."""

LIST = "admin:django_celery_beat_periodictask_changelist"


class SchedulesList(CountedSoFar):
    """Looks up what a page of schedules needs in a query each, however many rows it has."""

    result_list: Any

    def get_results(self, request: HttpRequest) -> None:
        super().get_results(request)
        now = timezone.now()
        self.result_list = list(self.result_list)
        pauses = schedules.active_pauses(self.result_list, now)
        runs = schedules.latest_runs(self.result_list, MOST)
        for schedule in self.result_list:
            schedule.state = schedules.state_of(schedule, pauses, now)
            schedule.latest_runs = runs[schedule.pk]
            if self.model_admin.has_change_permission(request):
                schedule.list_query = request.GET.urlencode()


# --- Pausing ---------------------------------------------------------------------------------------------------------


class PauseForm(HowLong):
    """How long the chosen schedules rest, and why."""

    reason = forms.CharField(required=False, max_length=200, widget=UnfoldAdminTextInputWidget)


# --- The pages -------------------------------------------------------------------------------------------------------


class SavesAll(admin.ModelAdmin):  # type: ignore[type-arg]  # generic for the checker alone
    """Saves a schedule with its times and what else it has, and says who changed what. Comes after ModelAdmin."""

    def save_model(
        self, request: HttpRequest, obj: beat.PeriodicTask, form: "forms.ModelForm[Any]", change: bool
    ) -> None:
        assert isinstance(form, ScheduleForm)
        schedules.save(obj, form.own_values(), request.user.get_username(), timezone.now())


@admin.register(beat.PeriodicTask)
class ScheduleAdmin(EndlessListMixin, ModelAdmin, SavesAll):
    form = ScheduleForm
    list_display = ("schedule_and_job", "controls", "when", "next_run", "last_run", "latest")
    list_filter = (StateFilter, JobFilter, OwnerFilter)
    show_facets = admin.ShowFacets.NEVER  # each would count the whole list again
    list_per_page = 50
    list_max_show_all = 100
    search_fields = ("name", "task", "description")
    search_help_text = "Name, job or description"
    ordering = ("name",)
    sortable_by = ("schedule_and_job", "next_run")
    readonly_fields = ("about_jobs", "preview", "last_run", "latest", "history")
    actions = ("run_now", "turn_on", "turn_off", "pause", "resume", "duplicate")
    actions_submit_line = ("save_and_run_now",)

    class Media:
        css = {"all": ("schedules.css",)}
        js = ("schedules.js",)

    # What is shown

    def get_fieldsets(self, request: HttpRequest, obj: beat.PeriodicTask | None = None) -> Any:
        how_it_went = ("How it goes", {"fields": ("last_run", "latest", "history")})
        if obj and not self.has_change_permission(request, obj):
            return ((None, {"fields": ("state", "decided")}), ("When", {"fields": ("preview",)}), how_it_went)
        return (
            (None, {"fields": ("name", "task", "about_jobs", "enabled", "owner", "description")}),
            (
                "When",
                {
                    "fields": (
                        *("kind", "cron", "zone", ("every", "period"), "clocked_time", "preview"),
                        *("one_off", "start_time", "expires"),
                    )
                },
            ),
            ("Arguments of the job", {"fields": ("kwargs", "args")}),
            *((how_it_went,) if obj else ()),
            (
                "When it is missed, or still busy",
                {"fields": ("missed", "missed_cap", "max_lateness", "overlap"), "classes": ("collapse",)},
            ),
            (
                "Attempts and limits",
                {
                    "fields": ("max_attempts", "retry_backoff", "retry_backoff_max", "time_limit"),
                    "classes": ("collapse",),
                },
            ),
            (
                "Advanced",
                {"fields": ("priority", "expire_seconds", "queue", "headers", "seen"), "classes": ("collapse",)},
            ),
        )

    def get_readonly_fields(self, request: HttpRequest, obj: beat.PeriodicTask | None = None) -> Any:
        return (*super().get_readonly_fields(request, obj), "state", "decided")

    def get_queryset(self, request: HttpRequest) -> "QuerySet[beat.PeriodicTask]":
        """With their Schedules, which all have: an outer join could not use the index of next runs."""
        queryset = super().get_queryset(request).filter(scheduling__isnull=False)
        return queryset.select_related(*schedules.WITH_ITS_TIMES)

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[ChangeList]:
        return SchedulesList

    @admin.display(description="schedule", ordering="name")
    def schedule_and_job(self, schedule: beat.PeriodicTask) -> SafeString:
        job = jobs().get(schedule.task)
        told = [job.title if job else schedule.task, *filter(None, [schedule.scheduling.owner])]
        return format_html('{}<span class="aside">{}</span>', schedule.name, " · ".join(map(str, told)))

    @admin.display(description="state")
    def controls(self, schedule: beat.PeriodicTask) -> SafeString:
        """With buttons for who may press them: each sends the form around the list elsewhere, without a script."""
        query = getattr(schedule, "list_query", None)
        context = {"schedule": schedule, "state": self.state(schedule), "query": query}
        return render_to_string("admin/schedule_controls.html", context)

    @admin.display(description="state")
    def state(self, schedule: beat.PeriodicTask) -> SafeString:
        return state_label(_state_of(schedule))

    @admin.display(description="when")
    def when(self, schedule: beat.PeriodicTask) -> SafeString:
        zone = f" · {schedule.crontab.timezone}" if schedule.crontab else ""
        aside = format_html("<code>{}</code>{}", schedules.expression(schedule), zone)
        return format_html('{}<span class="aside">{}</span>', schedules.in_words(schedule), aside)

    @admin.display(description="next run", ordering="scheduling__next_run_at")
    def next_run(self, schedule: beat.PeriodicTask) -> SafeString:
        at = schedule.scheduling.next_run_at if schedule.enabled else None
        if at is None:
            error = Truncator(schedule.scheduling.error).chars(120)
            return format_html('{}<span class="aside error">{}</span>', NOTHING, error)
        return format_html('{}<span class="aside">{}</span>', coming(at, timezone.now()), moment(at))

    @admin.display(description="last run")
    def last_run(self, schedule: beat.PeriodicTask) -> SafeString | str:
        return outcome(_latest_runs(schedule), timezone.now())

    @admin.display(description="latest runs")
    def latest(self, schedule: beat.PeriodicTask) -> SafeString | str:
        return sparkline(_latest_runs(schedule)) or NOTHING

    @admin.display(description="what it does")
    def about_jobs(self, schedule: beat.PeriodicTask) -> SafeString:
        """Of every job, so that choosing another shows it; a script hides all but the chosen one."""
        return render_to_string("admin/schedule_jobs.html", {"jobs": jobs().values(), "chosen": schedule.task})

    @admin.display(description="next runs")
    def preview(self, schedule: beat.PeriodicTask) -> SafeString:
        context: dict[str, Any] = {"fields": " ".join(TIMING_FIELDS), "schedule": schedule}
        if schedule.pk:
            try:
                timing = timing_of(schedule, schedule.scheduling.seconds, schedule.scheduling.anchor_at)
                context |= _preview(
                    timing, schedules.in_words(schedule), _zone_of(schedule), timezone.now(), once=schedule.one_off
                )
            except (ValidationError, ValueError) as error:
                context["problem"] = sentence(error)
        return render_to_string("admin/schedule_preview.html", context)

    @admin.display(description="more")
    def history(self, schedule: beat.PeriodicTask) -> SafeString:
        return format_html(
            '<a class="text-link" href="{0}?schedule__exact={2}">All runs</a> · '
            '<a class="text-link" href="{1}?schedule__exact={2}">All that happened</a> · {3} started so far',
            reverse("admin:scheduler_run_changelist"),
            reverse("admin:scheduler_runevent_changelist"),
            schedule.pk,
            schedule.total_run_count,
        )

    @admin.display(description="what staff decided")
    def decided(self, schedule: beat.PeriodicTask) -> SafeString:
        told = [(field, value) for field, value in schedules.described(schedule).items() if value]
        return format_html('<dl class="told">{}</dl>', format_html_join("", "<dt>{}</dt><dd>{}</dd>", told))

    def render_change_form(
        self, request: HttpRequest, context: dict[str, Any], *args: Any, **kwargs: Any
    ) -> HttpResponse:
        schedule = context.get("original")
        if schedule and request.method == "GET":
            if problem := schedules.problem(schedule):
                messages.warning(request, f"It does not work. {problem}")
            elif _state_of(schedule) == State.LATE:
                messages.warning(request, LATE)
        response: HttpResponse = super().render_change_form(request, context, *args, **kwargs)
        return response

    # What is asked for besides

    def get_urls(self) -> list[URLPattern]:
        name = "django_celery_beat_periodictask"
        view = self.admin_site.admin_view
        return [
            path("preview/", view(self.preview_view), name=f"{name}_preview"),
            path("<int:key>/run-now/", view(self.run_now_view), name=f"{name}_run_now"),
            path("<int:key>/turn/<str:to>/", view(self.turn_view), name=f"{name}_turn"),
            *super().get_urls(),
        ]

    def preview_view(self, request: HttpRequest) -> JsonResponse:
        """When a schedule would come if what is typed were saved, in words and times; or what is wrong, by field.

        `schedule` in the query is the key of one that is edited: an interval that stays as it is goes on as it does.
        """
        if not (self.has_view_or_change_permission(request) or self.has_add_permission(request)):
            raise PermissionDenied
        now = timezone.now()
        key = request.GET.get("schedule", "")
        edited = self.get_queryset(request).filter(pk=key).first() if key.isdecimal() and len(key) < 10 else None
        form = TimingForm(request.GET, initial=timing_as_typed(edited) if edited else None)
        if not form.is_valid():
            return JsonResponse({"errors": form.errors})
        goes_on = not {"kind", "every", "period"}.intersection(form.changed_data)
        try:
            timing = form.timing(edited.scheduling.anchor_at if edited and goes_on else now)
            zone = ZoneInfo(form.cleaned_data["zone"]) if form.cleaned_data["kind"] == "cron" else ZoneInfo("UTC")
            return JsonResponse(_preview(timing, form.words(), zone, now, once=form.cleaned_data["one_off"]))
        except (ValidationError, ValueError) as error:
            return JsonResponse({"errors": {"kind": [sentence(error)]}})

    @method_decorator(require_POST)
    def run_now_view(self, request: HttpRequest, key: int) -> HttpResponse:
        self._run(request, [self._one_to_change(request, key)])
        return _back_to_the_list(request)

    @method_decorator(require_POST)
    def turn_view(self, request: HttpRequest, key: int, to: str) -> HttpResponse:
        schedule = self._one_to_change(request, key)
        self._turn(request, beat.PeriodicTask.objects.filter(pk=schedule.pk), on=to == "on")
        return _back_to_the_list(request)

    def _one_to_change(self, request: HttpRequest, key: int) -> beat.PeriodicTask:
        if not self.has_change_permission(request):
            raise PermissionDenied
        return get_object_or_404(self.get_queryset(request), pk=key)

    # What is done

    def delete_model(self, request: HttpRequest, obj: beat.PeriodicTask) -> None:
        self.delete_queryset(request, beat.PeriodicTask.objects.filter(pk=obj.pk))

    def delete_queryset(self, request: HttpRequest, queryset: "QuerySet[beat.PeriodicTask]") -> None:
        schedules.delete(queryset, request.user.get_username(), timezone.now())

    def get_deleted_objects(
        self, objs: "QuerySet[beat.PeriodicTask] | Iterable[beat.PeriodicTask]", request: HttpRequest
    ) -> tuple[list[str], dict[str, int], set[str], list[str]]:
        """What belongs to a schedule goes with it, whoever may delete the schedule; its runs and events stay."""
        names = [schedule.name for schedule in objs]
        lacking = set() if self.has_delete_permission(request) else {"schedule"}
        return names, {"schedules": len(names)}, lacking, []

    @admin.action(description="Turn on", permissions=["change"])
    def turn_on(self, request: HttpRequest, queryset: "QuerySet[beat.PeriodicTask]") -> None:
        self._turn(request, queryset, on=True)

    @admin.action(description="Turn off", permissions=["change"])
    def turn_off(self, request: HttpRequest, queryset: "QuerySet[beat.PeriodicTask]") -> None:
        self._turn(request, queryset, on=False)

    def _turn(self, request: HttpRequest, queryset: "QuerySet[beat.PeriodicTask]", *, on: bool) -> None:
        to = "on" if on else "off"
        with transaction.atomic():
            turned = schedules.turn(queryset, request.user.get_username(), timezone.now(), on=on)
            self._log(request, turned, f"Turned {to}.")
        if turned:
            self.message_user(request, f"{_number_of(turned)} turned {to}.", messages.SUCCESS)
        refused = queryset.filter(enabled=False).count() if on else 0
        if refused:
            are = "schedule stays off: its job is none" if refused == 1 else "schedules stay off: their jobs are none"
            self.message_user(request, f"{refused} {are} that may be scheduled.", messages.ERROR)
        elif not turned:
            self.message_user(request, f"Nothing was turned {to}: that is how it was already.", messages.INFO)

    @admin.action(description="Run now", permissions=["change"])
    def run_now(self, request: HttpRequest, queryset: "QuerySet[beat.PeriodicTask]") -> None:
        if chosen := self._few(request, queryset):
            self._run(request, chosen)

    @action(description="Save and run now", permissions=["change"])
    def save_and_run_now(self, request: HttpRequest, obj: beat.PeriodicTask) -> None:
        self._run(request, self.get_queryset(request).filter(pk=obj.pk))

    def _run(self, request: HttpRequest, chosen: Iterable[beat.PeriodicTask]) -> None:
        """Ask for each once, as the scheduler would; their own times stay what they are."""
        for schedule in chosen:
            try:
                schedules.require_runnable(schedule)
                run = ledger.run_now(schedule.scheduling, Trigger.ADMIN, request.user.get_username())
            except ValidationError as error:
                self.message_user(
                    request, f"“{schedule.name}” could not be started. {' '.join(error.messages)}", messages.ERROR
                )
                continue
            self._log(request, [schedule], "Run now.")
            link = reverse("admin:scheduler_run_change", args=[run.pk])
            said = format_html('“{}” was asked for: <a class="text-link" href="{}">see its run</a>.', schedule, link)
            self.message_user(request, said, messages.SUCCESS)

    @admin.action(description="Pause …", permissions=["change"])
    def pause(self, request: HttpRequest, queryset: "QuerySet[beat.PeriodicTask]") -> HttpResponse | None:
        """Ask for how long on a page between, as deleting asks whether."""
        if not (chosen := self._few(request, queryset)):
            return None
        form = PauseForm(request.POST if "apply" in request.POST else None)
        if not form.is_valid():
            context = {
                **self.admin_site.each_context(request),
                "title": f"Pause {_number_of(chosen, are=False)}",
                "form": form,
                "chosen": chosen,
                "opts": self.opts,
                "media": self.media + form.media,
            }
            return TemplateResponse(request, "admin/pause_schedules.html", context)
        with transaction.atomic():
            for schedule in chosen:
                ledger.pause(
                    request.user.get_username(),
                    schedule=schedule.scheduling,
                    until=form.cleaned_data["until"],
                    reason=form.cleaned_data["reason"],
                )
            self._log(request, chosen, "Paused.")
        self.message_user(request, f"{_number_of(chosen)} paused.", messages.SUCCESS)
        return None

    @admin.action(description="Resume", permissions=["change"])
    def resume(self, request: HttpRequest, queryset: "QuerySet[beat.PeriodicTask]") -> None:
        with transaction.atomic():
            pauses = list(
                Pause.objects.filter(schedule__in=queryset.values("pk")).select_related("schedule__periodic_task")
            )
            ledger.resume(pauses, request.user.get_username())
            self._log(request, [each.schedule.periodic_task for each in pauses if each.schedule], "Resumed.")
        said = f"{_number_of(pauses)} resumed." if pauses else "None of them had a pause of its own."
        self.message_user(request, said, messages.SUCCESS if pauses else messages.INFO)

    @admin.action(description="Duplicate", permissions=["add"])
    def duplicate(self, request: HttpRequest, queryset: "QuerySet[beat.PeriodicTask]") -> HttpResponse | None:
        copies = []
        for schedule in self._few(request, queryset):
            try:
                copies.append(schedules.duplicate(schedule, request.user.get_username(), timezone.now()))
            except ValidationError as error:
                self.message_user(
                    request, f"“{schedule.name}” could not be copied. {' '.join(error.messages)}", messages.ERROR
                )
        for copy in copies:
            self.log_addition(request, copy, "Duplicated.")
        if not copies:
            return None
        self.message_user(
            request, f"{_number_of(copies)} added, and off until somebody turns them on.", messages.SUCCESS
        )
        if len(copies) > 1:
            return None
        return HttpResponseRedirect(reverse("admin:django_celery_beat_periodictask_change", args=[copies[0].pk]))

    def _few(self, request: HttpRequest, queryset: "QuerySet[beat.PeriodicTask]") -> "list[beat.PeriodicTask]":
        """What was chosen; nothing, and a sentence about it, where that is too much for one click."""
        chosen = list(queryset[: MOST_AT_ONCE + 1])
        if len(chosen) <= MOST_AT_ONCE:
            return chosen
        self.message_user(request, f"Choose {MOST_AT_ONCE} schedules at most for that.", messages.ERROR)
        return []

    def _log(self, request: HttpRequest, chosen: "Collection[beat.PeriodicTask]", said: str) -> None:
        if chosen:
            LogEntry.objects.log_actions(request.user.pk or 0, chosen, CHANGE, said)


def _state_of(schedule: beat.PeriodicTask) -> State:
    """As the list looked it up for all its rows; asked for here where there is only one."""
    if not hasattr(schedule, "state"):
        now = timezone.now()
        schedule.state = schedules.state_of(schedule, schedules.active_pauses([schedule], now), now)
    return schedule.state  # type: ignore[no-any-return]  # PeriodicTask is untyped


def _latest_runs(schedule: beat.PeriodicTask) -> list[Run]:
    if not hasattr(schedule, "latest_runs"):
        schedule.latest_runs = schedules.latest_runs([schedule], MOST)[schedule.pk]
    return schedule.latest_runs  # type: ignore[no-any-return]  # likewise


def _zone_of(schedule: beat.PeriodicTask) -> ZoneInfo:
    return ZoneInfo(str(schedule.crontab.timezone)) if schedule.crontab else ZoneInfo("UTC")


def _preview(timing: Timing, words: str, zone: ZoneInfo, now: datetime, *, once: bool) -> dict[str, Any]:
    """What is told of a schedule that comes so: in words, and its next runs in its own zone and as moments."""
    runs = [
        {"at": at.isoformat(), "there": f"{at.astimezone(zone):%a %Y-%m-%d %H:%M:%S %Z}"}
        for at in islice(timing.after(now), 1 if once else RUNS_SHOWN)
    ]
    return {"words": words, "zone": str(zone), "runs": runs}


def _number_of(chosen: Sized, *, are: bool = True) -> str:
    if len(chosen) == 1:
        return "1 schedule was" if are else "1 schedule"
    return f"{len(chosen)} schedules were" if are else f"{len(chosen)} schedules"


def _back_to_the_list(request: HttpRequest) -> HttpResponse:
    query = request.GET.urlencode()
    return HttpResponseRedirect(f"{reverse(LIST)}?{query}" if query else reverse(LIST))
