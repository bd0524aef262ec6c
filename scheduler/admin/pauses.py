"""Pauses in Django admin: what is stopped, what waits behind it, and the way to stop and resume."""

from datetime import datetime
from typing import Any

from django import forms
from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db.models import F, QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import URLPattern, path, reverse
from django.utils import timezone
from django.utils.html import format_html
from django.utils.http import url_has_allowed_host_and_scheme
from django.utils.safestring import SafeString
from django.views.decorators.http import require_POST
from unfold.admin import ModelAdmin
from unfold.widgets import UnfoldAdminSelectWidget

from config.admin import NOTHING
from scheduler import ledger
from scheduler.admin.filters import known_tasks, title_of
from scheduler.admin.how_long import HowLong
from scheduler.admin.run_page import instant
from scheduler.jobs import jobs
from scheduler.models import Pause, PauseQuerySet
from scheduler.pausing import MOST_LOOKED_AT, held_back, missed_schedules, outlook, waiting_runs

MOST_SHOWN = 50
"""Schedules of which the page of a pause says what becomes of what they missed."""


class PauseForm(HowLong, forms.ModelForm):  # type: ignore[type-arg]  # generic for the checker alone
    what = forms.ChoiceField(
        label="What",
        required=False,
        widget=UnfoldAdminSelectWidget,
        help_text="One schedule alone is paused in the list of schedules.",
    )

    class Meta:
        model = Pause
        fields = ("reason",)
        help_texts = {"reason": "For your colleagues: they see it on every page."}

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        tasks = {*jobs(), *known_tasks()}
        titles = sorted(((task, title_of(task)) for task in tasks), key=lambda choice: choice[1].lower())
        self.fields["what"].choices = [("", "Everything"), *titles]  # type: ignore[attr-defined]  # a ChoiceField


@admin.register(Pause)
class PauseAdmin(ModelAdmin):
    form = PauseForm
    list_display = ("what", "until_when", "reason", "who", "waiting", "missed")
    list_select_related = ("schedule__periodic_task",)
    list_per_page = 20
    list_before_template = "admin/scheduler/pause/before.html"
    ordering = (F("schedule").asc(nulls_first=True), "task")
    sortable_by = ()
    actions = ("resume",)

    class Media:
        css = {"all": ("runs.css",)}

    # Whoever may change them may pause and resume; nobody edits one.

    def has_add_permission(self, request: HttpRequest) -> bool:
        return bool(request.user.has_perm("scheduler.change_pause"))

    def has_change_permission(self, request: HttpRequest, obj: Pause | None = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Pause | None = None) -> bool:
        return False

    def has_view_permission(self, request: HttpRequest, obj: Pause | None = None) -> bool:
        return bool(request.user.has_perm("scheduler.view_pause") or request.user.has_perm("scheduler.change_pause"))

    def has_resume_permission(self, request: HttpRequest) -> bool:
        return self.has_add_permission(request)

    def get_fieldsets(self, request: HttpRequest, obj: Pause | None = None) -> Any:
        return ((None, {"fields": () if obj else ("what", "length", "until", "reason")}),)

    def get_queryset(self, request: HttpRequest) -> "QuerySet[Pause]":
        """Those in force; one that is over is taken away by beat."""
        pauses: PauseQuerySet = super().get_queryset(request)
        return pauses.active(timezone.now()).select_related(*self.list_select_related)

    def get_list_display(self, request: HttpRequest) -> Any:
        return (*self.list_display, "resume_button") if self.has_resume_permission(request) else self.list_display

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        extra = {"title": "Pauses", **(extra_context or {})}
        response: HttpResponse = super().changelist_view(request, extra)
        changelist = getattr(response, "context_data", {}).get("cl")
        if changelist is not None:
            self._count(list(changelist.result_list))
        return response

    @staticmethod
    def _count(pauses: list[Pause]) -> None:
        """Note in the rows of a page what waits behind each, with one query for all of them."""
        counts = held_back([pause.pk for pause in pauses], timezone.now())
        for pause in pauses:
            pause.waiting, pause.missed = counts.get(pause.pk, (0, 0))  # type: ignore[attr-defined]  # shown below

    # The list

    @admin.display(description="what")
    def what(self, pause: Pause) -> str:
        return _named(pause)

    @admin.display(description="until")
    def until_when(self, pause: Pause) -> SafeString:
        return _until(pause.until)

    @admin.display(description="by")
    def who(self, pause: Pause) -> SafeString:
        return format_html('{}<span class="aside">{}</span>', pause.actor, instant(pause.created_at))

    @admin.display(description="runs that wait")
    def waiting(self, pause: Pause) -> str:
        return _at_most(getattr(pause, "waiting", 0))

    @admin.display(description="schedules that came")
    def missed(self, pause: Pause) -> str:
        return _at_most(getattr(pause, "missed", 0))

    @admin.display(description="")
    def resume_button(self, pause: Pause) -> SafeString:
        url = reverse("admin:scheduler_pause_resume", args=[pause.pk])
        return format_html('<button type="submit" class="run-button" formaction="{}">Resume</button>', url)

    # Pausing and resuming

    def save_model(self, request: HttpRequest, obj: Pause, form: PauseForm, change: bool) -> None:
        values = form.cleaned_data
        paused = ledger.pause(
            request.user.get_username(), task=values["what"], until=values["until"], reason=values["reason"]
        )
        obj.pk, obj.task, obj.until = paused.pk, paused.task, paused.until

    def response_add(self, request: HttpRequest, obj: Pause, post_url_continue: str | None = None) -> HttpResponse:
        until = f"until {instant(obj.until)}" if obj.until else "until somebody resumes it"
        messages.success(request, f"{_named(obj)} is paused {until}. What runs goes on, what comes is kept.")
        return HttpResponseRedirect(reverse("admin:scheduler_pause_changelist"))

    @admin.action(description="Resume", permissions=["resume"])
    def resume(self, request: HttpRequest, queryset: "QuerySet[Pause]") -> None:
        self._resume(request, list(queryset))

    def get_urls(self) -> list[URLPattern]:
        resume = self.admin_site.admin_view(require_POST(self.resume_one))
        return [path("<int:pk>/resume/", resume, name="scheduler_pause_resume"), *super().get_urls()]

    def resume_one(self, request: HttpRequest, pk: int) -> HttpResponse:
        if not self.has_resume_permission(request):
            raise PermissionDenied
        paused = Pause.objects.select_related("schedule__periodic_task").filter(pk=pk).first()
        if paused:
            self._resume(request, [paused])
        else:
            messages.info(request, "Somebody else has resumed it already.")
        return HttpResponseRedirect(_back(request))

    def _resume(self, request: HttpRequest, pauses: list[Pause]) -> None:
        """Say what that starts, reckoned before it does."""
        now = timezone.now()
        waiting = waiting_runs(pauses, now).order_by()[:MOST_LOOKED_AT].count()
        missed = missed_schedules(pauses, now).order_by()[:MOST_LOOKED_AT].count()
        ledger.resume(pauses, request.user.get_username())
        names = ", ".join(_named(paused) for paused in pauses)
        starts = f" Runs that waited start now: {_at_most(waiting)}." if waiting else ""
        comes = f" Schedules that came meanwhile, and follow their policy: {_at_most(missed)}." if missed else ""
        messages.success(request, f"Resumed: {names}.{starts}{comes}")

    # The page of one

    def render_change_form(
        self, request: HttpRequest, context: dict[str, Any], *args: Any, **kwargs: Any
    ) -> HttpResponse:
        if paused := context.get("original"):
            context |= self._page_of(paused)
            context["may_resume"] = self.has_resume_permission(request)
        else:
            context |= {
                "title": "Pause everything, or a job",
                "show_save_and_add_another": False,
                "show_save_and_continue": False,
            }
        response: HttpResponse = super().render_change_form(request, context, *args, **kwargs)
        return response

    def _page_of(self, paused: Pause) -> dict[str, Any]:
        now = timezone.now()
        missed = missed_schedules([paused], now)
        outlooks = [outlook(schedule, now) for schedule in missed[:MOST_SHOWN]]
        return {
            "title": _named(paused),
            "subtitle": None,
            "paused": paused,
            "until": _until(paused.until),
            "since": instant(paused.created_at),
            "waiting": _at_most(waiting_runs([paused], now).order_by()[: MOST_LOOKED_AT + 1].count()),
            "outlooks": outlooks,
            "more": _at_most(missed.order_by()[: MOST_LOOKED_AT + 1].count() - MOST_SHOWN)
            if len(outlooks) == MOST_SHOWN
            else "",
        }


def _named(pause: Pause) -> str:
    if pause.schedule_id:
        return f"The schedule {pause}"
    return f"The job {title_of(pause.task)}" if pause.task else "Everything"


def _until(until: datetime | None) -> SafeString:
    if until is None:
        return format_html("{}", "somebody resumes it")
    return format_html('<time datetime="{}" data-local>{}</time>', until.isoformat(), instant(until))


def _at_most(number: int) -> str:
    if number >= MOST_LOOKED_AT:
        return f"{MOST_LOOKED_AT:,} or more"
    return str(number) if number else NOTHING


def _back(request: HttpRequest) -> str:
    """Where the button was pressed, if that is one of our pages."""
    wanted = request.POST.get("next", "")
    if url_has_allowed_host_and_scheme(wanted, allowed_hosts={request.get_host()}, require_https=request.is_secure()):
        return wanted
    return reverse("admin:scheduler_pause_changelist")
