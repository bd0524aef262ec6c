from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from unfold.admin import ModelAdmin
from unfold.contrib.filters.admin import RangeDateTimeFilter
from unfold.decorators import display

from config.admin import ReadOnlyMixin
from notifications.models import Channel, Notification, Preference, Status


@admin.register(Preference)
class PreferenceAdmin(ModelAdmin):
    list_display = ("user", "email", "active", "paused", "platforms", "lead_minutes", "time_zone", "last_seen_at")
    list_filter = ("active", "paused", "trainings")
    list_select_related = ("user",)
    search_fields = ("user__username", "user__email")
    readonly_fields = ("user", "last_seen_at")

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False  # made with the account

    def has_delete_permission(self, request: HttpRequest, obj: Preference | None = None) -> bool:
        return False  # goes with the account

    @admin.display(description="address", ordering="user__email")
    def email(self, preference: Preference) -> str:
        return preference.user.email


@admin.register(Channel)
class ChannelAdmin(ModelAdmin):
    list_display = ("user", "kind", "address", "state", "last_sent_at", "last_error_at", "last_error")
    list_filter = ("kind", ("disabled_at", admin.EmptyFieldListFilter))
    list_select_related = ("user",)
    search_fields = ("address", "user__username", "user__email")
    readonly_fields = ("user", "kind", "address", "verified_at", "last_sent_at", "last_error_at", "last_error")

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False  # an address is verified by its owner, or is none

    @display(description="state", label={"on": "success", "off": "danger", "not verified": "warning"})
    def state(self, channel: Channel) -> str:
        if channel.disabled_at:
            return "off"
        return "on" if channel.verified_at else "not verified"


@admin.register(Notification)
class NotificationAdmin(ReadOnlyMixin, ModelAdmin):
    list_display = ("contest_name", "member", "channel", "lead", "starts_at", "due_at", "state", "sent_at", "error")
    list_filter = ("status", "channel__kind", "contest__platform", ("due_at", RangeDateTimeFilter))
    list_filter_submit = True
    list_select_related = ("channel__user", "contest")
    search_fields = ("contest_name", "channel__address", "channel__user__username")
    show_full_result_count = False

    def get_queryset(self, request: HttpRequest) -> "QuerySet[Notification]":
        queryset: QuerySet[Notification] = super().get_queryset(request)
        return queryset.order_by("-pk")

    @admin.display(description="member")
    def member(self, notification: Notification) -> str:
        return str(notification.channel.user)

    @admin.display(description="lead time", ordering="lead_minutes")
    def lead(self, notification: Notification) -> str:
        hours, minutes = divmod(notification.lead_minutes, 60)
        return f"{hours} h {minutes:02} min" if hours else f"{minutes} min"

    @display(
        description="status",
        label={
            Status.SENT: "success",
            Status.FAILED: "danger",
            Status.EXPIRED: "warning",
            Status.SKIPPED: "default",
            Status.PENDING: "info",
            Status.SENDING: "info",
        },
    )
    def state(self, notification: Notification) -> str:
        return notification.status
