"""Where members are reached, in Django admin."""

from typing import Any

from django import forms
from django.contrib import admin
from django.db.models import Q, QuerySet
from django.http import HttpRequest
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.text import Truncator
from unfold.admin import ModelAdmin
from unfold.decorators import display
from unfold.widgets import UnfoldAdminTextInputWidget, UnfoldBooleanSwitchWidget

from config.admin import NOTHING, EndlessListMixin, accounts_found
from notifications.models import Channel, Purpose
from notifications.tasks import dispatch_soon

TURNED_OFF = "Turned off by the staff."
STATES = {"on": "success", "off": "danger", "not verified": "warning", "removed": "default"}
"""What a channel's state is called, and the colour it has."""

TOLD = ("disabled_at", "removed_at", "last_sent_at", "last_error_at", "last_error")


class StateFilter(admin.SimpleListFilter):
    title = "state"
    parameter_name = "state"

    def lookups(self, request: HttpRequest, model_admin: object) -> list[tuple[str, str]]:
        states = {"on": "on", "off": "off", "unverified": "not verified", "removed": "removed by its owner"}
        return [*states.items(), ("failing", "last message failed")]

    def queryset(self, request: HttpRequest, queryset: Any) -> Any:
        match self.value():
            case "on":
                return queryset.usable()
            case "off":
                return queryset.kept().exclude(disabled_at=None)
            case "unverified":
                return queryset.kept().filter(verified_at=None)
            case "removed":
                return queryset.exclude(removed_at=None)
            case "failing":
                return queryset.failing()
        return queryset


class PurposeFilter(admin.SimpleListFilter):
    title = "purpose"
    parameter_name = "purpose"

    def lookups(self, request: HttpRequest, model_admin: object) -> list[tuple[str, str]]:
        return list(Purpose.choices)

    def queryset(self, request: HttpRequest, queryset: Any) -> Any:
        return queryset.filter(purposes__contains=[self.value()]) if self.value() else queryset


class ChannelForm(forms.ModelForm):  # type: ignore[type-arg]  # generic for the checker alone
    on = forms.BooleanField(
        label="On",
        required=False,
        widget=UnfoldBooleanSwitchWidget,
        help_text="Off: nothing is sent to this address until you, or its owner, turn it on again.",
    )
    reason = forms.CharField(
        label="Why it is turned off",
        required=False,
        max_length=300,
        widget=UnfoldAdminTextInputWidget,
        help_text=f"Its owner reads it. Left empty: “{TURNED_OFF}”",
    )

    class Meta:
        model = Channel
        fields = ()

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["on"].initial = self.instance.disabled_at is None
        self.fields["reason"].initial = self.instance.disabled_reason
        for field in self.fields.values():
            field.disabled = self.instance.removed_at is not None  # it has to be verified anew

    def clean(self) -> None:
        super().clean()
        on, reason = self.cleaned_data["on"], self.cleaned_data.get("reason", "")
        if "on" in self.changed_data:
            self.instance.disabled_at = None if on else timezone.now()
        if {"on", "reason"} & set(self.changed_data):
            self.instance.disabled_reason = "" if on else reason or TURNED_OFF


@admin.register(Channel)
class ChannelAdmin(EndlessListMixin, ModelAdmin):
    form = ChannelForm
    list_display = ("name_and_kind", "user", "state", "wanted_for", "last_sent_at", "last_error_at", "short_error")
    list_filter = ("kind", StateFilter, PurposeFilter)
    list_filter_submit = True
    show_facets = admin.ShowFacets.NEVER
    ordering = ("-pk",)
    sortable_by = ()  # by anything else they would all be sorted
    list_select_related = ("user",)
    search_fields = ("address", "user__username", "user__email")
    search_help_text = "How an address or a user name begins"
    fieldsets = (
        (None, {"fields": ("user", "kind", "address", "label", "wanted_for", "verified_at")}),
        (
            "Delivery",
            {"fields": ("on", "reason", *TOLD)},
        ),
    )
    readonly_fields = (
        *("user", "kind", "address", "label", "wanted_for", "verified_at"),
        *TOLD,
    )

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False  # an address is verified by its owner, or is none

    def has_delete_permission(self, request: HttpRequest, obj: Channel | None = None) -> bool:
        return False  # it is turned off, or goes with the account or the address

    def save_model(self, request: HttpRequest, obj: Channel, form: ChannelForm, change: bool) -> None:
        """Not what deliveries note in the same row."""
        if {"on", "reason"} & set(form.changed_data):
            obj.save(update_fields=["disabled_at", "disabled_reason"])
            dispatch_soon()

    def get_search_results(
        self, request: HttpRequest, queryset: "QuerySet[Channel]", search_term: str
    ) -> "tuple[QuerySet[Channel], bool]":
        if not (term := search_term.strip()):
            return queryset, False
        return queryset.filter(Q(address__istartswith=term) | Q(user__in=accounts_found(term))), False

    @admin.display(description="channel")
    def name_and_kind(self, channel: Channel) -> SafeString:
        address = f" · {channel.address}" if channel.label else ""
        return format_html('{}<span class="aside">{}{}</span>', channel.name, channel.get_kind_display(), address)

    @admin.display(description="on", boolean=True)
    def on(self, channel: Channel) -> bool:
        return channel.disabled_at is None

    @admin.display(description="why it is turned off")
    def reason(self, channel: Channel) -> str:
        return channel.disabled_reason or NOTHING

    @admin.display(description="wanted for")
    def wanted_for(self, channel: Channel) -> str:
        return ", ".join(purpose for purpose in Purpose if purpose in channel.purposes) or "nothing"

    @display(
        description="state", label={"on": "success", "off": "danger", "not verified": "warning", "removed": "default"}
    )
    def state(self, channel: Channel) -> str:
        if channel.removed_at:
            return "removed"
        if channel.disabled_at:
            return "off"
        return "on" if channel.verified_at else "not verified"

    @admin.display(description="last error")
    def short_error(self, channel: Channel) -> str:
        return Truncator(channel.last_error).chars(100) or NOTHING
