"""Where members are reached, in Django admin."""

from typing import Any

from django import forms
from django.contrib import admin
from django.http import HttpRequest
from django.utils import timezone
from django.utils.text import Truncator
from unfold.admin import ModelAdmin
from unfold.decorators import display
from unfold.widgets import UnfoldBooleanSwitchWidget

from config.admin import NOTHING, LongListMixin
from notifications.models import Channel


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
