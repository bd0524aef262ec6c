"""What members are told, in Django admin: the list, the page of one, and sending it again."""

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

from django.contrib import admin, messages
from django.contrib.admin.models import CHANGE, LogEntry
from django.contrib.contenttypes.models import ContentType
from django.core.exceptions import PermissionDenied
from django.db import transaction
from django.db.models import Model, Q, QuerySet
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import get_object_or_404, render
from django.urls import URLPattern, path, reverse
from django.utils import timezone
from django.utils.html import format_html, format_html_join
from django.utils.http import urlencode
from django.utils.safestring import SafeString
from django.utils.text import Truncator
from django.views.decorators.http import require_POST, require_safe
from unfold.admin import ModelAdmin
from unfold.decorators import display

from config.admin import MOST_FOUND, NOTHING, DaysFilter, EndlessListMixin, ReadOnlyMixin, accounts_found, as_id, moment
from contests.models import Contest
from notifications import resending
from notifications.admin import audience
from notifications.admin.words import COLOURS, what_of
from notifications.forms import lead_in_words
from notifications.models import OPEN_STATUSES, Channel, Notification, Status
from notifications.tasks import dispatch_soon


class StatusFilter(admin.SimpleListFilter):
    title = "status"
    parameter_name = "status__exact"
    waiting = "waiting"

    def lookups(self, request: HttpRequest, model_admin: object) -> list[tuple[str, str]]:
        return [(self.waiting, "waiting"), *((status.value, status.label) for status in Status)]

    def queryset(self, request: HttpRequest, queryset: "QuerySet[Notification]") -> "QuerySet[Notification]":
        match self.value():
            case None:
                return queryset
            case self.waiting:
                return queryset.filter(status__in=OPEN_STATUSES)
            case status:
                return queryset.filter(status=status)


class DueFilter(admin.SimpleListFilter):
    title = "time"
    parameter_name = "due"
    lengths = {"hour": timedelta(hours=1), "day": timedelta(days=1), "week": timedelta(weeks=1)}

    def lookups(self, request: HttpRequest, model_admin: object) -> list[tuple[str, str]]:
        past = [(name, f"last {'24 hours' if name == 'day' else name}") for name in self.lengths]
        return [("coming", "still to come"), *past]

    def queryset(self, request: HttpRequest, queryset: "QuerySet[Notification]") -> "QuerySet[Notification]":
        now = timezone.now()
        if self.value() == "coming":
            return queryset.filter(due_at__gt=now)
        length = self.lengths.get(self.value() or "")
        return queryset.filter(due_at__gt=now - length, due_at__lte=now) if length else queryset


@admin.register(Notification)
class NotificationAdmin(ReadOnlyMixin, EndlessListMixin, ModelAdmin):
    list_display = ("what", "to", "due_at", "state", "sent_at", "short_error")
    list_filter = (
        *(StatusFilter, "kind", "channel__kind", "contest__platform", DueFilter),
        ("due_at", DaysFilter),
    )
    list_filter_submit = True
    list_per_page = 50
    show_facets = admin.ShowFacets.NEVER
    search_fields = ("contest__name", "channel__address", "channel__user__username")
    search_help_text = "How a member or address begins, a contest, or a message's id"
    ordering = ("-pk",)  # the newest come first, by an index
    sortable_by = ()  # by anything else they would all be sorted
    actions = ("resend",)
    change_form_outer_before_template = "admin/notifications/notification/resend.html"
    fieldsets = (
        (
            None,
            {
                "fields": (
                    *("what", "kind", "member", "on_channel", "of_contest", "contest_name"),
                    *("lead", "starts_at", "was_at", "detail"),
                )
            },
        ),
        (
            "Delivery",
            {
                "fields": (
                    *("state", "error", "due_at", "expires_at", "created_at"),
                    *("sent_at", "delivered_at", "read_at", "attempts", "available_at", "resent"),
                )
            },
        ),
        ("In detail", {"fields": ("in_message", "claim")}),
    )
    readonly_fields = (*("what", "member", "on_channel", "of_contest", "lead", "state", "resent"), "in_message")

    class Media:
        css = {"all": ("runs.css",)}

    def has_resend_permission(self, request: HttpRequest) -> bool:
        """Whether this member of staff may send again, though nobody edits a notification."""
        return bool(request.user.has_perm("notifications.change_notification"))

    def get_search_results(
        self, request: HttpRequest, queryset: "QuerySet[Notification]", search_term: str
    ) -> "tuple[QuerySet[Notification], bool]":
        """Look among contests, members and channels: reading every notification's own text takes too long.

        Beginnings of names and addresses are found by an index, however they are written.
        """
        if not (term := search_term.strip()):
            return queryset, False
        if message := as_id(term):
            return queryset.filter(message=message), False
        contests = Contest.objects.filter(name__icontains=term).order_by("-starts_at")
        by_address = Channel.objects.filter(address__istartswith=term)
        of_members = Channel.objects.filter(user__in=accounts_found(term))
        channels = {pk for found in (by_address, of_members) for pk in _keys(found)}
        return queryset.filter(Q(contest__in=_keys(contests)) | Q(channel__in=channels)), False

    def get_queryset(self, request: HttpRequest) -> "QuerySet[Notification]":
        """Their members are read for the page alone, rather than joined to all that are sorted for it."""
        notifications: QuerySet[Notification] = super().get_queryset(request)
        return notifications.prefetch_related("channel__user")

    # The list

    @admin.display(description="notification")
    def what(self, notification: Notification) -> str:
        return what_of(notification)

    @admin.display(description="to")
    def to(self, notification: Notification) -> SafeString:
        channel = notification.channel
        return format_html(
            '{}<span class="aside">{} · {}</span>', channel.user, channel.get_kind_display(), channel.name
        )

    @display(description="status", label=COLOURS)
    def state(self, notification: Notification) -> str:
        return notification.status

    @admin.display(description="error")
    def short_error(self, notification: Notification) -> str:
        return Truncator(notification.error).chars(80) or NOTHING

    # The page of one

    @admin.display(description="member")
    def member(self, notification: Notification) -> SafeString:
        return _link(notification.channel.user)

    @admin.display(description="channel")
    def on_channel(self, notification: Notification) -> SafeString:
        return _link(notification.channel)

    @admin.display(description="contest")
    def of_contest(self, notification: Notification) -> SafeString | str:
        return _link(notification.contest) if notification.contest else NOTHING

    @admin.display(description="lead time")
    def lead(self, notification: Notification) -> str:
        return lead_in_words(notification.lead_minutes) or NOTHING

    @admin.display(description="message")
    def in_message(self, notification: Notification) -> SafeString | str:
        if notification.message is None:
            return NOTHING
        url = f"{reverse('admin:notifications_notification_changelist')}?{urlencode({'q': str(notification.message)})}"
        return format_html('<a class="text-link" href="{}">{}</a>', url, notification.message)

    @admin.display(description="sent again")
    def resent(self, notification: Notification) -> SafeString | str:
        entries = _entries().filter(object_id=str(notification.pk)).select_related("user").order_by("-pk")
        told = (
            (moment(entry.action_time), entry.user, entry.get_change_message()) for entry in entries[:MOST_RESENT_SHOWN]
        )
        return format_html_join("", "<p>{} by {}: {}</p>", told) or NOTHING

    # Sending again

    def get_urls(self) -> list[URLPattern]:
        wrap = self.admin_site.admin_view
        own = [
            path("<int:pk>/resend/", wrap(require_POST(self.resend_one)), name="notifications_notification_resend"),
            path("contest/<int:contest>/", wrap(require_safe(self.audience)), name="notifications_audience"),
        ]
        return [*own, *super().get_urls()]

    def audience(self, request: HttpRequest, contest: int) -> HttpResponse:
        """Who would be told of a contest. The contest's own page leads here."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        found = get_object_or_404(Contest, pk=contest)
        context = {**self.admin_site.each_context(request), "media": self.media, "opts": self.opts}
        return render(
            request,
            "admin/notifications/audience.html",
            {**context, **audience.context(request, found, timezone.now())},
        )

    def render_change_form(
        self, request: HttpRequest, context: dict[str, Any], *args: Any, **kwargs: Any
    ) -> HttpResponse:
        context |= {
            "may_resend": self.has_resend_permission(request),
            "why_not_resend": resending.why_not(context["original"], timezone.now()),
        }
        response: HttpResponse = super().render_change_form(request, context, *args, **kwargs)
        return response

    def resend_one(self, request: HttpRequest, pk: int) -> HttpResponse:
        if not (self.has_view_permission(request) and self.has_resend_permission(request)):
            raise PermissionDenied
        if not Notification.objects.filter(pk=pk).exists():
            raise Http404
        self._resend(request, [pk])
        return HttpResponseRedirect(reverse("admin:notifications_notification_change", args=[pk]))

    @admin.action(description="Send again", permissions=["resend"])
    def resend(self, request: HttpRequest, queryset: "QuerySet[Notification]") -> None:
        keys = list(queryset.values_list("pk", flat=True)[: resending.MOST_AT_ONCE + 1])
        if len(keys) > resending.MOST_AT_ONCE:
            messages.error(request, f"At most {resending.MOST_AT_ONCE:,} are sent again at once: nothing was done.")
            return
        self._resend(request, keys)

    def _resend(self, request: HttpRequest, keys: list[int]) -> None:
        now = timezone.now()
        who = request.user.pk
        assert who is not None  # the admin has let them in
        with transaction.atomic():
            resent = resending.resend(keys, now)
            LogEntry.objects.bulk_create(
                LogEntry(
                    user_id=who,
                    content_type=ContentType.objects.get_for_model(Notification),
                    object_id=str(each.pk),
                    object_repr=str(each)[:200],
                    action_flag=CHANGE,
                    action_time=now,
                    change_message=f"Sent again. Before: {' '.join(_before(each))}",
                )
                for each in resent.again
            )
        if resent.again:
            dispatch_soon()
            count = len(resent.again)
            messages.success(
                request,
                f"{_notifications(count)} {'waits' if count == 1 else 'wait'} to be sent again, and a worker was asked "
                "to do so now. What its member does not want is skipped again, with the reason.",
            )
        for reason, count in resent.refused.items():
            messages.warning(request, f"{_notifications(count)} not sent again: {reason}")


MOST_RESENT_SHOWN = 20


def _before(notification: Notification) -> Iterator[str]:
    """How it stood, as the row will not tell any more."""
    yield notification.status
    if notification.sent_at:
        yield f"at {moment(notification.sent_at)}"
    if notification.message:
        yield f"in message {notification.message}"
    if notification.error:
        yield f"({Truncator(notification.error).chars(500)})"


def _entries() -> "QuerySet[LogEntry]":
    return LogEntry.objects.filter(content_type=ContentType.objects.get_for_model(Notification))


def _keys(rows: "QuerySet[Any]") -> list[int]:
    return list(rows.values_list("pk", flat=True)[:MOST_FOUND])


def _link(row: Model) -> SafeString:
    url = reverse(f"admin:{row._meta.label_lower.replace('.', '_')}_change", args=[row.pk])
    return format_html('<a class="text-link" href="{}">{}</a>', url, row)


def _notifications(count: int) -> str:
    return "1 notification" if count == 1 else f"{count:,} notifications"
