from typing import Any

from django import forms
from django.contrib import admin
from django.db.models import Q, QuerySet
from django.http import HttpRequest
from django.utils import timezone
from django.utils.text import Truncator
from unfold.admin import ModelAdmin
from unfold.decorators import display
from unfold.widgets import (
    UnfoldAdminCheckboxSelectMultipleWidget,
    UnfoldAdminSelectWidget,
    UnfoldAdminTextInputWidget,
    UnfoldBooleanSwitchWidget,
)

from config.admin import NOTHING, DaysFilter, LongListMixin, ReadOnlyMixin
from contests.models import Contest
from notifications.forms import PreferenceForm, lead_in_words
from notifications.models import Channel, Notification, Preference, Status

WIDGETS = {
    "platforms": UnfoldAdminCheckboxSelectMultipleWidget,
    "usual_leads": UnfoldAdminCheckboxSelectMultipleWidget,
    "other_leads": UnfoldAdminTextInputWidget,
    "time_zone": UnfoldAdminSelectWidget,
    "trainings": UnfoldBooleanSwitchWidget,
    "paused": UnfoldBooleanSwitchWidget,
}


class PreferenceAdminForm(PreferenceForm, forms.ModelForm):  # type: ignore[type-arg]  # generic for the checker alone
    """What members may ask for on their own page, with the same rules, and whether they count as active."""

    class Meta:
        model = Preference
        fields = ("active", "paused", "trainings", "time_zone")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        kwargs["initial"] = {**PreferenceForm.initial_of(kwargs["instance"]), **(kwargs.get("initial") or {})}
        super().__init__(*args, **kwargs)
        for name, widget in WIDGETS.items():
            field = self.fields[name]
            field.widget = widget()
            if isinstance(field, forms.ChoiceField):
                field.widget.choices = field.choices
        self.fields["paused"].help_text = "The member's own wish: nothing is sent until it is taken back."

    def clean(self) -> dict[str, Any]:
        wishes = super().clean()
        for name in ("platforms", "lead_minutes"):
            if name in wishes:
                setattr(self.instance, name, wishes[name])
        return wishes

    save = forms.ModelForm.save  # type: ignore[assignment]  # the admin's way, not the page's


@admin.register(Preference)
class PreferenceAdmin(LongListMixin, ModelAdmin):
    form = PreferenceAdminForm
    list_display = ("user", "address", "state", "platform_names", "lead_times", "time_zone", "last_seen_at")
    list_filter = ("active", "paused", "trainings")
    list_select_related = ("user",)
    search_fields = ("user__username", "user__email")
    search_help_text = "User name or address"
    readonly_fields = ("user", "platform_names", "lead_times", "last_seen_at")

    def get_fieldsets(self, request: HttpRequest, obj: Preference | None = None) -> Any:
        if self.has_change_permission(request, obj):
            platforms, leads = ["platforms"], ["usual_leads", "other_leads"]
        else:
            platforms, leads = ["platform_names"], ["lead_times"]
        return (
            (None, {"fields": ("user", "active", "paused", "last_seen_at")}),
            ("Wants to hear of", {"fields": (*platforms, "trainings", *leads, "time_zone")}),
        )

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False  # made with the account

    def has_delete_permission(self, request: HttpRequest, obj: Preference | None = None) -> bool:
        return False  # goes with the account

    def save_model(self, request: HttpRequest, obj: Preference, form: PreferenceAdminForm, change: bool) -> None:
        """Only what was edited: the member may be here at this moment, which is noted in the same row."""
        columns = {"usual_leads": "lead_minutes", "other_leads": "lead_minutes"}
        obj.save(update_fields={columns.get(name, name) for name in form.changed_data})

    @admin.display(description="address", ordering="user__email")
    def address(self, preference: Preference) -> str:
        return preference.user.email

    @display(description="reminders", label={"on": "success", "paused": "warning", "inactive": "default"})
    def state(self, preference: Preference) -> str:
        if not preference.active:
            return "inactive"
        return "paused" if preference.paused else "on"

    @admin.display(description="platforms")
    def platform_names(self, preference: Preference) -> str:
        return ", ".join(sorted(preference.platforms)) or NOTHING

    @admin.display(description="lead times")
    def lead_times(self, preference: Preference) -> str:
        return ", ".join(map(lead_in_words, sorted(preference.lead_minutes, reverse=True)))


class ChannelForm(forms.ModelForm):  # type: ignore[type-arg]  # generic for the checker alone
    on = forms.BooleanField(
        label="Reminders",
        required=False,
        widget=UnfoldBooleanSwitchWidget,
        help_text="Off: nothing is sent to this address until you, or its owner, turn it on again.",
    )

    class Meta:
        model = Channel
        fields = ()

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["on"].initial = self.instance.disabled_at is None

    def clean(self) -> None:
        super().clean()
        if "on" in self.changed_data:
            on = self.cleaned_data["on"]
            self.instance.disabled_at = None if on else timezone.now()
            self.instance.disabled_reason = "" if on else "Turned off by the staff."


@admin.register(Channel)
class ChannelAdmin(LongListMixin, ModelAdmin):
    form = ChannelForm
    list_display = ("address", "kind", "user", "state", "last_sent_at", "last_error_at", "short_error")
    list_filter = ("kind", ("disabled_at", admin.EmptyFieldListFilter))
    ordering = ("-pk",)
    list_select_related = ("user",)
    search_fields = ("address", "user__username", "user__email")
    search_help_text = "Address or user name"
    fieldsets = (
        (None, {"fields": ("user", "kind", "address", "verified_at")}),
        (
            "Delivery",
            {"fields": ("on", "disabled_at", "disabled_reason", "last_sent_at", "last_error_at", "last_error")},
        ),
    )
    readonly_fields = (
        "user",
        "kind",
        "address",
        "verified_at",
        "disabled_at",
        "disabled_reason",
        "last_sent_at",
        "last_error_at",
        "last_error",
    )

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False  # an address is verified by its owner, or is none

    def has_delete_permission(self, request: HttpRequest, obj: Channel | None = None) -> bool:
        return False  # it is turned off, or goes with the account or the address

    def save_model(self, request: HttpRequest, obj: Channel, form: ChannelForm, change: bool) -> None:
        """Not what deliveries note in the same row."""
        if "on" in form.changed_data:
            obj.save(update_fields=["disabled_at", "disabled_reason"])

    @admin.display(description="reminders", boolean=True)
    def on(self, channel: Channel) -> bool:
        return channel.disabled_at is None

    @display(description="state", label={"on": "success", "off": "danger", "not verified": "warning"})
    def state(self, channel: Channel) -> str:
        if channel.disabled_at:
            return "off"
        return "on" if channel.verified_at else "not verified"

    @admin.display(description="last error")
    def short_error(self, channel: Channel) -> str:
        return Truncator(channel.last_error).chars(100) or NOTHING


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
