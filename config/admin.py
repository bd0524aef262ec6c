"""What the admin pages of all apps share, and the pages of accounts."""

from collections import Counter
from collections.abc import Iterable
from datetime import UTC, datetime, time
from math import ceil
from typing import Any
from uuid import UUID

from allauth.account.admin import EmailAddressAdmin as AllauthEmailAddressAdmin
from allauth.account.models import EmailAddress
from celery.canvas import Signature
from django import forms
from django.apps import apps
from django.contrib import admin, messages
from django.contrib.auth.admin import GroupAdmin as DjangoGroupAdmin
from django.contrib.auth.admin import UserAdmin as DjangoUserAdmin
from django.contrib.auth.models import Group, User
from django.core.paginator import Paginator
from django.db import models
from django.db.models import Q, QuerySet
from django.db.models.deletion import Collector
from django.http import HttpRequest
from django.urls import reverse
from django.utils import formats, timezone
from django.utils.functional import cached_property
from django.utils.html import format_html
from django.utils.http import urlencode
from unfold.admin import ModelAdmin
from unfold.contrib.filters.admin import RangeDateFilter
from unfold.decorators import display
from unfold.forms import AdminPasswordChangeForm, UserChangeForm, UserCreationForm
from unfold.utils import parse_date_str
from unfold.views import ChangeList
from unfold.widgets import UnfoldAdminSelect2MultipleWidget

NOTHING = "–"


def moment(value: datetime | None) -> str:
    """As the lists show it: to the minute, with the zone's name."""
    return str(formats.localize(timezone.localtime(value))) if value else NOTHING


def as_id(text: str) -> UUID | None:
    """The UUID that somebody typed or pasted; None where it is none."""
    try:
        return UUID(text.strip())
    except ValueError:
        return None


MOST_FOUND = 200
"""Accounts whose rows one search finds."""


def accounts_found(term: str) -> list[int]:
    """The accounts whose name or address begins so, however it is written: found by an index."""
    found = User.objects.filter(Q(username__istartswith=term) | Q(email__istartswith=term))
    return list(found.values_list("pk", flat=True)[:MOST_FOUND])


class ReadOnlyMixin:
    """What only the code writes: staff look, and change nothing."""

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


class _CountedOnce(ChangeList):
    """Says how many rows there are, and where nothing narrows the list, that these are all."""

    def get_results(self, request: HttpRequest) -> None:
        super().get_results(request)
        if not (self.query or self.has_active_filters):
            self.full_result_count = self.result_count


class WritesWhatChanged(admin.ModelAdmin):  # type: ignore[type-arg]  # generic for the checker alone
    """Writes only what was edited: what a job notes in the same row meanwhile stays. Comes after ModelAdmin."""

    def save_model(self, request: HttpRequest, obj: models.Model, form: forms.Form, change: bool) -> None:
        obj.save(update_fields=form.changed_data)


class LongListMixin:
    """A list that may have millions of rows: they are counted once for a page, not twice."""

    show_full_result_count = False

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[ChangeList]:
        return _CountedOnce


MOST_COUNTED = 10_000
"""Rows: whoever looks for one among more narrows the list rather than paging through it."""


class _CountsSoFar(Paginator):  # type: ignore[type-arg]  # generic for the checker alone
    @cached_property
    def count(self) -> int:
        rows: QuerySet[Any] = self.object_list  # type: ignore[assignment]  # of a list in admin
        return rows.order_by().values("pk")[: MOST_COUNTED + 1].count()

    @property
    def num_pages(self) -> int:
        return max(1, ceil(min(self.count, MOST_COUNTED) / self.per_page))


class _MoreThan(int):
    """A number for templates that reckon with it, and write it out as it is meant."""

    def __str__(self) -> str:
        return f"more than {int(self):,}"


class CountedSoFar(_CountedOnce):
    """The list of an `EndlessListMixin`: says “more than 10,000” where that is so."""

    result_count: int

    def get_results(self, request: HttpRequest) -> None:
        super().get_results(request)
        if self.result_count > MOST_COUNTED:
            self.result_count = self.full_result_count = _MoreThan(MOST_COUNTED)


class EndlessListMixin:
    """A list of which nobody wants to wait until its millions of rows are counted, and whose first pages will do."""

    paginator: Any = _CountsSoFar
    show_full_result_count = False

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[ChangeList]:
        return CountedSoFar


class DaysFilter(RangeDateFilter):
    """From one day to another in UTC, both included; either may be left out."""

    def queryset(self, request: HttpRequest, queryset: "QuerySet[Any]") -> "QuerySet[Any]":
        name = self.parameter_name
        first, last = (parse_date_str(self.used_parameters.get(f"{name}_{end}")) for end in ("from", "to"))
        if first:
            queryset = queryset.filter(**{f"{name}__gte": datetime.combine(first, time.min, UTC)})
        if last:
            queryset = queryset.filter(**{f"{name}__lte": datetime.combine(last, time.max, UTC)})
        return queryset


def enqueue(request: HttpRequest, job: "Signature[Any]", what: str) -> None:
    """Ask for a run of a job, and tell the member of staff where it can be watched."""
    run = job.delay()
    said = f"{what} was asked for."
    if request.user.has_perm("scheduler.view_run"):
        url = reverse("admin:scheduler_run_change", args=[run.id])
        said = format_html('{} <a class="text-link" href="{}">Watch it run.</a>', said, url)
    messages.success(request, said)


class PicksFromMany(admin.ModelAdmin):  # type: ignore[type-arg]  # generic for the checker alone
    """Groups and permissions in one box with a search: two lists side by side are wider than the page."""

    def formfield_for_manytomany(
        self, db_field: "models.ManyToManyField[Any, Any]", request: Any = None, **kwargs: Any
    ) -> Any:
        field: Any = super().formfield_for_manytomany(db_field, request, **kwargs)
        field.widget = UnfoldAdminSelect2MultipleWidget(choices=field.choices)
        field.help_text = ""  # how to press keys in a list of another kind
        return field


admin.site.index_title = "At a glance"
apps.get_app_config("auth").verbose_name = "Accounts"
admin.site.unregister(User)
admin.site.unregister(Group)
admin.site.unregister(EmailAddress)


@admin.register(User)
class UserAdmin(PicksFromMany, LongListMixin, DjangoUserAdmin, ModelAdmin):  # type: ignore[type-arg]  # generic for the checker alone
    form = UserChangeForm
    add_form = UserCreationForm
    change_password_form = AdminPasswordChangeForm
    list_display = ("username", "email", "role", "is_active", "date_joined", "last_login")
    search_fields = ("username__istartswith", "email__istartswith")
    search_help_text = "How a user name or an address begins"
    filter_horizontal = ()
    fieldsets = (
        (None, {"fields": ("username", "password", "email", "reminders")}),
        ("Permissions", {"fields": ("is_active", "is_staff", "is_superuser", "groups", "user_permissions")}),
        ("Dates", {"fields": ("date_joined", "last_login")}),
    )
    readonly_fields = ("reminders", "date_joined", "last_login")

    @display(description="role", label={"superuser": "danger", "staff": "info"})
    def role(self, user: User) -> str:
        return "superuser" if user.is_superuser else "staff" if user.is_staff else "member"

    @admin.display(description="reminders")
    def reminders(self, user: User) -> str:
        """Where to look when a member asks why nothing came."""
        found = "?" + urlencode({"q": user.username})
        return format_html(
            '<a class="text-link" href="{}">Preferences</a> · <a class="text-link" href="{}">Channels</a> · '
            '<a class="text-link" href="{}">Notifications</a>',
            reverse("admin:notifications_preference_changelist") + found,
            reverse("admin:notifications_channel_changelist") + found,
            reverse("admin:notifications_notification_changelist") + found,
        )

    def formfield_for_dbfield(
        self, db_field: "models.Field[Any, Any]", request: HttpRequest, **kwargs: Any
    ) -> forms.Field | None:
        field: forms.Field | None = super().formfield_for_dbfield(db_field, request, **kwargs)
        if field and db_field.name == "email":
            field.help_text = (
                "Reminders go to the addresses that the member has confirmed, whatever is written here: see Channels."
            )
        return field

    def get_deleted_objects(
        self, objs: "QuerySet[User] | Iterable[User]", request: HttpRequest
    ) -> tuple[list[str], dict[str, int], set[str], list[str]]:
        """What belongs to an account goes with it, whoever may delete the account; counted here, for it may be much."""
        collector = Collector(using="default", origin=objs)  # type: ignore[arg-type]  # a list will do, as its callers know
        collector.collect(objs)  # type: ignore[arg-type]  # likewise
        counts: Counter[str] = Counter()
        for model, rows in collector.data.items():
            counts[str(model._meta.verbose_name_plural)] += len(rows)
        for queryset in collector.fast_deletes:
            counts[str(queryset.model._meta.verbose_name_plural)] += queryset.count()
        return [str(user) for user in objs], {name: count for name, count in counts.items() if count}, set(), []


@admin.register(Group)
class GroupAdmin(PicksFromMany, DjangoGroupAdmin, ModelAdmin):
    filter_horizontal = ()


@admin.register(EmailAddress)
class EmailAddressAdmin(ReadOnlyMixin, LongListMixin, AllauthEmailAddressAdmin, ModelAdmin):
    """Members' addresses. A change by hand would tell nobody, and the reminders would go on elsewhere."""

    list_select_related = ("user",)
    search_help_text = "Address or user name"
    actions = ("make_verified",)

    def has_verify_permission(self, request: HttpRequest) -> bool:
        return bool(request.user.has_perm("account.change_emailaddress"))

    @admin.action(description="Mark as verified, and send reminders there", permissions=["verify"])
    def make_verified(self, request: HttpRequest, queryset: "QuerySet[EmailAddress]") -> None:
        super().make_verified(request, queryset)
