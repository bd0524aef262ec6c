"""Who did what to which schedule or run, and when: the audit in Django admin, which nobody changes."""

import re
from typing import Any

from django.contrib import admin
from django.db.models import Q, QuerySet
from django.db.models.functions import Left
from django.http import HttpRequest
from django.urls import reverse
from django.utils.dateparse import parse_datetime
from django.utils.html import format_html, format_html_join
from django.utils.http import urlencode
from django.utils.safestring import SafeString
from django.utils.text import Truncator
from unfold.admin import ModelAdmin
from unfold.decorators import display

from config.admin import NOTHING, DaysFilter, EndlessListMixin, ReadOnlyMixin, as_id
from scheduler.admin.filters import ActorFilter, HappenedFilter, KindFilter, RunFilter, ScheduleFilter
from scheduler.admin.run_page import instant
from scheduler.admin.sparkline import duration
from scheduler.models import Event, RunEvent

# What these pages call them; migrations are made from what the model itself declares, and so don't see it.
RunEvent._meta.verbose_name, RunEvent._meta.verbose_name_plural = "event", "events"

A_MOMENT = re.compile(r"\d{4}-\d\d-\d\dT[\d:.]+(Z|[+-]\d\d:\d\d)$")
"""As JSON says a time: with its zone."""

COLOURS = {
    Event.CREATED: "success",
    Event.EDITED: "info",
    Event.DELETED: "danger",
    Event.PAUSED: "warning",
    Event.RESUMED: "success",
    Event.SET_ASIDE: "danger",
    Event.RUN_REQUESTED: "info",
    Event.ATTEMPT_FAILED: "danger",
    Event.WORKER_LOST: "danger",
    Event.HANDED_BACK: "warning",
    Event.CANCEL_REQUESTED: "warning",
    Event.CANCELLED: "default",
    Event.REPUBLISHED: "warning",
}


@admin.register(RunEvent)
class RunEventAdmin(ReadOnlyMixin, EndlessListMixin, ModelAdmin):
    list_display = ("when", "what", "about", "who", "told")
    list_filter = (KindFilter, ActorFilter, ScheduleFilter, RunFilter, HappenedFilter, ("at", DaysFilter))
    list_filter_submit = True
    show_facets = admin.ShowFacets.NEVER
    search_fields = ("actor",)
    search_help_text = "Who did it, in full, or a run's id"
    list_per_page = 50
    ordering = ("-at",)
    sortable_by = ()  # by anything else they would all be sorted
    fieldsets = (
        (None, {"fields": ("when", "what", "about", "who", "attempt", "took")}),
        ("In detail", {"fields": ("message_in_full", "changed", "raised")}),
    )
    readonly_fields = ("when", "what", "about", "who", "took", "message_in_full", "changed", "raised")

    class Media:
        css = {"all": ("runs.css",)}

    def get_queryset(self, request: HttpRequest) -> "QuerySet[RunEvent]":
        events: QuerySet[RunEvent] = super().get_queryset(request)
        return events.defer("message", "traceback").annotate(message_shown=Left("message", 300))

    def get_search_results(
        self, request: HttpRequest, queryset: "QuerySet[RunEvent]", search_term: str
    ) -> "tuple[QuerySet[RunEvent], bool]":
        """By what an index finds: reading every message takes too long."""
        if not (term := search_term.strip()):
            return queryset, False
        run = as_id(term)
        return queryset.filter(Q(run=run) if run else Q(actor=term)), False

    @admin.display(description="when")
    def when(self, event: RunEvent) -> str:
        return instant(event.at)

    @display(description="what", label=COLOURS)
    def what(self, event: RunEvent) -> tuple[str, str]:
        return event.kind, event.get_kind_display()

    @admin.display(description="schedule or job")
    def about(self, event: RunEvent) -> SafeString | str:
        if event.run_id:
            return _link(event.subject, reverse("admin:scheduler_run_change", args=[event.run_id]))
        if event.schedule_id and event.kind != Event.DELETED:
            url = reverse("admin:django_celery_beat_periodictask_change", args=[event.schedule_id])
            return _link(event.subject, url)
        return event.subject

    @admin.display(description="who")
    def who(self, event: RunEvent) -> SafeString | str:
        if not event.actor:
            return NOTHING
        url = f"{reverse('admin:scheduler_runevent_changelist')}?{urlencode({'actor__exact': event.actor})}"
        return _link(event.actor, url)

    @admin.display(description="in detail")
    def told(self, event: RunEvent) -> SafeString:
        first_line, _, _ = getattr(event, "message_shown", "").strip().partition("\n")
        return format_html("{}{}", Truncator(first_line).chars(160), _changes(event.changes, longest=80))

    @admin.display(description="took")
    def took(self, event: RunEvent) -> str:
        return NOTHING if event.seconds is None else duration(event.seconds)

    @admin.display(description="message")
    def message_in_full(self, event: RunEvent) -> SafeString | str:
        return _preformatted(event.message)

    @admin.display(description="changes")
    def changed(self, event: RunEvent) -> SafeString | str:
        return _changes(event.changes, longest=5_000) or NOTHING

    @admin.display(description="traceback")
    def raised(self, event: RunEvent) -> SafeString | str:
        return _preformatted(event.traceback)


def _changes(changes: Any, longest: int) -> SafeString:
    """Field by field, what it was and what it became."""
    if not isinstance(changes, dict):
        return format_html("{}", "")
    rows = (
        (field, *(Truncator(_in_words(value)).chars(longest) for value in _before_and_after(change)))
        for field, change in changes.items()
    )
    return format_html_join("", '<span class="change"><b>{}</b>: <del>{}</del> → <ins>{}</ins></span>', rows)


def _before_and_after(change: Any) -> tuple[Any, Any]:
    return (change[0], change[1]) if isinstance(change, list) and len(change) == 2 else (None, change)


def _in_words(value: Any) -> str:
    match value:
        case None | "":
            return "nothing"
        case bool():
            return "yes" if value else "no"
        case str() if A_MOMENT.match(value) and (moment := parse_datetime(value)):
            return instant(moment)
        case _:
            return str(value)


def _preformatted(text: str) -> SafeString | str:
    return format_html('<pre class="run-text" tabindex="0">{}</pre>', text) if text else NOTHING


def _link(text: str, url: str) -> SafeString:
    return format_html('<a class="text-link" href="{}">{}</a>', url, text)
