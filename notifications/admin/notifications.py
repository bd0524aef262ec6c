"""What members are told, in Django admin."""

from django.contrib import admin
from django.db.models import Q, QuerySet
from django.http import HttpRequest
from django.utils.text import Truncator
from unfold.admin import ModelAdmin
from unfold.decorators import display

from config.admin import NOTHING, DaysFilter, LongListMixin, ReadOnlyMixin
from contests.models import Contest
from notifications.forms import lead_in_words
from notifications.models import Channel, Notification, Status


@admin.register(Notification)
class NotificationAdmin(ReadOnlyMixin, LongListMixin, ModelAdmin):
    list_display = ("what", "address", "due_at", "state", "sent_at", "short_error")
    list_filter = ("status", "channel__kind", "contest__platform", ("due_at", DaysFilter))
    list_filter_submit = True
    list_select_related = ("channel__user",)
    search_fields = ("contest__name", "channel__address", "channel__user__username")
    search_help_text = "Member, address or contest"
    ordering = ("-pk",)  # the newest come first, by an index
    sortable_by = ()  # by anything else they would all be sorted
    fieldsets = (
        (None, {"fields": ("contest_name", "contest", "channel", "member", "kind", "lead", "starts_at")}),
        ("Delivery", {"fields": ("due_at", "created_at", "state", "error", "sent_at", "read_at")}),
        ("In detail", {"fields": ("attempts", "available_at", "claim", "message")}),
    )
    readonly_fields = ("member", "lead", "state")

    def get_search_results(
        self, request: HttpRequest, queryset: "QuerySet[Notification]", search_term: str
    ) -> "tuple[QuerySet[Notification], bool]":
        """Look among contests and channels, which are few: reading every notification's own text takes too long."""
        if not (term := search_term.strip()):
            return queryset, False
        contests = Contest.objects.filter(name__icontains=term)
        channels = Channel.objects.filter(Q(address__icontains=term) | Q(user__username__icontains=term))
        return queryset.filter(Q(contest__in=contests) | Q(channel__in=channels)), False

    @admin.display(description="reminder")
    def what(self, notification: Notification) -> str:
        return f"{self.lead(notification)} before {Truncator(notification.contest_name).chars(60)}"

    @admin.display(description="member")
    def member(self, notification: Notification) -> str:
        return str(notification.channel.user)

    @admin.display(description="address")
    def address(self, notification: Notification) -> str:
        return notification.channel.address

    @admin.display(description="lead time")
    def lead(self, notification: Notification) -> str:
        return lead_in_words(notification.lead_minutes)

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

    @admin.display(description="error")
    def short_error(self, notification: Notification) -> str:
        return Truncator(notification.error).chars(80) or NOTHING
