from datetime import datetime, timedelta
from typing import Any

from django.contrib import admin, messages
from django.db import transaction
from django.db.models import Count, Q, QuerySet
from django.http import HttpRequest
from django.utils import timezone
from django.utils.dateparse import parse_duration
from django.utils.html import format_html_join
from django.utils.text import Truncator
from unfold.admin import ModelAdmin, TabularInline
from unfold.decorators import action, display

from config.admin import NOTHING, DaysFilter, ReadOnlyMixin, WritesWhatChanged, enqueue, moment
from config.breaker import BreakerState
from contests.lengths import duration
from contests.models import Contest, ContestChange, Platform, PlatformSync
from contests.tasks import sync_contests

HEALTHS = {"reading": "success", "failing": "danger", "never read": "warning", "off": "default"}
"""What a platform's health is called, and the colour it has."""


def health_of(platform: Platform) -> str:
    if not platform.enabled:
        return "off"
    if platform.is_failing or platform.breaker_state == BreakerState.OPEN:
        return "failing"
    return "reading" if platform.last_success_at else "never read"


def trouble_of(platform: Platform, now: datetime) -> str:
    """What is wrong now, in a sentence or two; nothing where the newest attempt to read it went well."""
    if not platform.is_failing:
        return ""
    times = f"Failed {platform.failures_in_a_row} times in a row." if platform.failures_in_a_row > 1 else ""
    until = platform.paused_until(now)
    paused = f"Not asked again before {until:%H:%M:%S} UTC." if until else ""
    return " ".join(filter(None, (platform.last_error, times, paused)))


@admin.register(Platform)
class PlatformAdmin(ModelAdmin, WritesWhatChanged):
    list_display = ("name", "health", "enabled", "upcoming", "last_success_at", "trouble")
    list_editable = ("enabled",)
    fieldsets = (
        (None, {"fields": ("name", "site", "enabled")}),
        ("How reading it goes", {"fields": ("health", "last_success_at", "last_error_at", "last_error", "breaker")}),
    )
    readonly_fields = ("name", "site", "health", "last_success_at", "last_error_at", "last_error", "breaker")
    actions = ("sync_now", "reset_breaker")
    actions_submit_line = ("sync_this_now",)

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False  # a platform is a piece of code

    def has_delete_permission(self, request: HttpRequest, obj: Platform | None = None) -> bool:
        return False

    def get_queryset(self, request: HttpRequest) -> "QuerySet[Platform]":
        upcoming = Q(contests__starts_at__gt=timezone.now(), contests__cancelled_at=None)
        queryset: QuerySet[Platform] = super().get_queryset(request)
        return queryset.annotate(upcoming=Count("contests", filter=upcoming))

    def get_changelist_form(self, request: HttpRequest, **kwargs: Any) -> Any:
        return super().get_changelist_form(request, fields=self.list_editable, **kwargs)

    @display(description="health", label=HEALTHS)
    def health(self, platform: Platform) -> str:
        return health_of(platform)

    @admin.display(description="upcoming contests")
    def upcoming(self, platform: Any) -> int:
        return int(platform.upcoming)

    @admin.display(description="what is wrong")
    def trouble(self, platform: Platform) -> str:
        return trouble_of(platform, timezone.now()) or NOTHING

    @admin.display(description="site")
    def site(self, platform: Platform) -> str:
        return platform.url

    @admin.display(description="breaker")
    def breaker(self, platform: Platform) -> str:
        if platform.breaker_state == BreakerState.CLOSED:
            return f"Closed: every sync asks it, until it has failed {Platform.BREAKER_OPENS_AFTER} times in a row."
        if platform.breaker_state == BreakerState.HALF_OPEN:
            return "Half open: it works again, and is watched for a while."
        until = platform.paused_until(timezone.now())
        when = f"not asked before {until:%H:%M:%S} UTC" if until else "the next sync tries it again"
        return f"Open after {platform.failures_in_a_row} failures in a row: {when}."

    @admin.action(description="Sync now", permissions=["change"])
    def sync_now(self, request: HttpRequest, queryset: "QuerySet[Platform]") -> None:
        codes = list(queryset.values_list("code", flat=True))
        enqueue(request, sync_contests.s(platforms=codes), f"A sync of {', '.join(codes)}")

    @admin.action(description="Reset the breaker", permissions=["change"])
    def reset_breaker(self, request: HttpRequest, queryset: "QuerySet[Platform]") -> None:
        with transaction.atomic():
            platforms = list(Platform.objects.select_for_update().filter(code__in=queryset.values("code")))
            for platform in platforms:
                platform.reset_breaker()
                platform.save(update_fields=Platform.BREAKER_FIELDS)
        names = ", ".join(platform.name for platform in platforms)
        messages.success(request, f"The next sync asks {names}, whatever went wrong before.")

    @action(description="Save and sync now", permissions=["change"])
    def sync_this_now(self, request: HttpRequest, obj: Platform) -> None:
        enqueue(request, sync_contests.s(platforms=[obj.code]), f"A sync of {obj.code}")


class PhaseFilter(admin.SimpleListFilter):
    title = "phase"
    parameter_name = "phase"

    def lookups(self, request: HttpRequest, model_admin: object) -> list[tuple[str, str]]:
        return [(phase, phase) for phase in ("running", "upcoming", "finished", "cancelled")]

    def queryset(self, request: HttpRequest, queryset: "QuerySet[Contest]") -> "QuerySet[Contest] | None":
        now = timezone.now()
        match self.value():
            case "running":
                return queryset.filter(starts_at__lte=now, ends_at__gt=now, cancelled_at=None)
            case "upcoming":
                return queryset.filter(starts_at__gt=now, cancelled_at=None)
            case "finished":
                return queryset.filter(ends_at__lte=now, cancelled_at=None)
            case "cancelled":
                return queryset.exclude(cancelled_at=None)
        return None


WHAT_CHANGED = {
    "starts_at": "start",
    "ends_at": "end",
    "cancelled_at": "cancelled",
    "is_training": "training",
    "is_rated": "rated",
}


class ContestChangeInline(ReadOnlyMixin, TabularInline):
    model = ContestChange
    fields = ("changed_at", "what", "before", "after")
    readonly_fields = fields
    verbose_name_plural = "changes"
    hide_title = True
    extra = 0

    @admin.display(description="what")
    def what(self, change: ContestChange) -> str:
        return WHAT_CHANGED.get(change.field, change.field)

    @admin.display(description="before")
    def before(self, change: ContestChange) -> str:
        return _as_read(change.field, change.old)

    @admin.display(description="after")
    def after(self, change: ContestChange) -> str:
        return _as_read(change.field, change.new)


def _as_read(field: str, text: str) -> str:
    """A changed value as it is shown elsewhere; as it was kept where it does not look like one."""
    if field.endswith("_at") and text:
        try:
            return moment(datetime.fromisoformat(text))
        except ValueError:
            return text
    if field == "duration" and (length := parse_duration(text)):
        return duration(length)
    if field in ("is_training", "is_rated"):
        return {"True": "yes", "False": "no"}.get(text, text) or "unknown"
    return text or NOTHING


@admin.register(Contest)
class ContestAdmin(ReadOnlyMixin, ModelAdmin):
    list_display = ("short_name", "platform", "starts_at", "length", "phase", "kind", "is_rated")
    list_filter = ("platform", PhaseFilter, "is_training", "is_rated", ("starts_at", DaysFilter))
    list_filter_submit = True
    list_select_related = ("platform",)
    search_fields = ("name", "key")
    search_help_text = "Name or the platform's key"
    date_hierarchy = "starts_at"
    ordering = ("-starts_at",)
    fields = (
        "name",
        "platform",
        "key",
        "url",
        "phase",
        "starts_at",
        "ends_at",
        "length",
        "kind",
        "is_rated",
        "cancelled_at",
        "missing_since",
        "first_seen_at",
        "last_seen_at",
        "changed_at",
    )
    readonly_fields = ("phase", "length", "kind")

    def get_view_on_site_url(self, obj: Contest | None = None) -> str | None:
        """Its page here: the way round by Django's table of sites is not needed."""
        return obj.get_absolute_url() if obj else None

    def get_inlines(self, request: HttpRequest, obj: Contest | None) -> list[type[TabularInline]]:
        return [ContestChangeInline] if obj and obj.changes.exists() else []

    @admin.display(description="name", ordering="name")
    def short_name(self, contest: Contest) -> str:
        return Truncator(contest.name).chars(80)

    @admin.display(description="duration", ordering="duration")
    def length(self, contest: Contest) -> str:
        """The time a participant has, and the window where that is longer."""
        window = f", within {duration(contest.ends_at - contest.starts_at)}" if contest.has_window else ""
        return duration(contest.duration) + window

    @display(
        description="phase",
        label={"running": "success", "upcoming": "info", "finished": "default", "cancelled": "danger"},
    )
    def phase(self, contest: Contest) -> str:
        return contest.phase

    @display(description="kind", ordering="is_training", label={"training": "warning", "contest": "default"})
    def kind(self, contest: Contest) -> str:
        return "training" if contest.is_training else "contest"


class OutcomeFilter(admin.SimpleListFilter):
    title = "outcome"
    parameter_name = "outcome"

    def lookups(self, request: HttpRequest, model_admin: object) -> list[tuple[str, str]]:
        return [("failed", "failed"), ("rejected", "with rejected rows"), ("changed", "with something new or changed")]

    def queryset(self, request: HttpRequest, queryset: "QuerySet[PlatformSync]") -> "QuerySet[PlatformSync] | None":
        match self.value():
            case "failed":
                return queryset.exclude(error="")
            case "rejected":
                return queryset.filter(rejected__gt=0)
            case "changed":
                return queryset.filter(Q(created__gt=0) | Q(updated__gt=0) | Q(cancelled__gt=0))
        return None


@admin.register(PlatformSync)
class PlatformSyncAdmin(ReadOnlyMixin, ModelAdmin):
    list_display = ("started_at", "platform", "outcome", "fetched", "found", "took", "short_error")
    list_filter = ("platform", OutcomeFilter, ("started_at", DaysFilter))
    list_filter_submit = True
    list_select_related = ("platform",)
    date_hierarchy = "started_at"
    fields = (
        "platform",
        "started_at",
        "took",
        "outcome",
        "error",
        "fetched",
        "created",
        "updated",
        "unchanged",
        "cancelled",
        "rejected",
        "why_rejected",
    )
    readonly_fields = ("took", "outcome", "why_rejected")

    @display(description="outcome", label={"done": "success", "failed": "danger", "done in part": "warning"})
    def outcome(self, sync: PlatformSync) -> str:
        if sync.error:
            return "failed"
        return "done in part" if sync.rejected else "done"

    @admin.display(description="what came of it")
    def found(self, sync: PlatformSync) -> str:
        counts = {
            "new": sync.created,
            "changed": sync.updated,
            "cancelled": sync.cancelled,
            "rejected": sync.rejected,
        }
        told = ", ".join(f"{count} {what}" for what, count in counts.items() if count)
        return told or (NOTHING if sync.error else "nothing new")

    @admin.display(description="took", ordering="duration")
    def took(self, sync: PlatformSync) -> str:
        return f"{sync.duration / timedelta(seconds=1):.1f} s"

    @admin.display(description="error")
    def short_error(self, sync: PlatformSync) -> str:
        return Truncator(sync.error).chars(120) or NOTHING

    @admin.display(description="rejected rows")
    def why_rejected(self, sync: PlatformSync) -> str:
        """The first rows that made no sense, a line each."""
        rows = ((row.get("key") or "no key", row.get("reason") or "") for row in sync.rejected_rows)
        return format_html_join("\n", "<p>{}: {}</p>", rows) or NOTHING
