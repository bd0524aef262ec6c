from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils import timezone
from unfold.admin import ModelAdmin, TabularInline
from unfold.contrib.filters.admin import RangeDateTimeFilter
from unfold.decorators import action, display

from config.admin import ReadOnlyMixin, enqueue
from contests.models import BreakerState, Contest, ContestChange, Platform, PlatformSync
from contests.tasks import sync_contests


@admin.register(Platform)
class PlatformAdmin(ModelAdmin):
    list_display = ("name", "health", "enabled", "last_success_at", "last_error_at", "last_error", "breaker_state")
    list_editable = ("enabled",)
    fields = (
        "name",
        "url",
        "enabled",
        ("last_success_at", "last_error_at"),
        "last_error",
        ("breaker_state", "breaker_opened_at", "failures_in_a_row"),
    )
    readonly_fields = (
        "last_success_at",
        "last_error_at",
        "last_error",
        "breaker_state",
        "breaker_opened_at",
        "failures_in_a_row",
    )
    actions = ("sync_now",)
    actions_submit_line = ("sync_this_now",)

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False  # a platform is a piece of code

    def has_delete_permission(self, request: HttpRequest, obj: Platform | None = None) -> bool:
        return False

    @display(description="health", label={"reading": "success", "failing": "danger", "never read": "warning"})
    def health(self, platform: Platform) -> str:
        if platform.is_failing or platform.breaker_state == BreakerState.OPEN:
            return "failing"
        return "reading" if platform.last_success_at else "never read"

    @admin.action(description="Sync now", permissions=["change"])
    def sync_now(self, request: HttpRequest, queryset: "QuerySet[Platform]") -> None:
        codes = list(queryset.values_list("code", flat=True))
        enqueue(request, sync_contests.s(platforms=codes), f"A sync of {', '.join(codes)}")

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
                return queryset.filter(pk__in=Contest.objects.running(now))
            case "upcoming":
                return queryset.filter(pk__in=Contest.objects.upcoming(now))
            case "finished":
                return queryset.filter(ends_at__lte=now, cancelled_at=None)
            case "cancelled":
                return queryset.exclude(cancelled_at=None)
        return None


class ContestChangeInline(ReadOnlyMixin, TabularInline):
    model = ContestChange
    fields = ("changed_at", "field", "old", "new")
    readonly_fields = fields
    verbose_name_plural = "changes"
    extra = 0


@admin.register(Contest)
class ContestAdmin(ReadOnlyMixin, ModelAdmin):
    list_display = ("name", "platform", "starts_at", "duration", "phase_label", "is_training")
    list_filter = ("platform", PhaseFilter, "is_training", ("starts_at", RangeDateTimeFilter))
    list_filter_submit = True
    list_select_related = ("platform",)
    search_fields = ("name", "key")
    date_hierarchy = "starts_at"
    ordering = ("-starts_at",)
    inlines = (ContestChangeInline,)

    @display(
        description="phase",
        label={"running": "success", "upcoming": "info", "finished": "default", "cancelled": "danger"},
    )
    def phase_label(self, contest: Contest) -> str:
        return contest.phase


@admin.register(PlatformSync)
class PlatformSyncAdmin(ReadOnlyMixin, ModelAdmin):
    list_display = (
        "platform",
        "started_at",
        "duration",
        "fetched",
        "created",
        "updated",
        "unchanged",
        "cancelled",
        "rejected",
        "error",
    )
    list_filter = ("platform", ("started_at", RangeDateTimeFilter))
    list_filter_submit = True
    list_select_related = ("platform",)
    date_hierarchy = "started_at"
