"""What members want, in Django admin."""

from typing import Any

from django import forms
from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from unfold.admin import ModelAdmin
from unfold.decorators import display
from unfold.widgets import (
    INPUT_CLASSES,
    UnfoldAdminCheckboxSelectMultipleWidget,
    UnfoldAdminRadioSelectWidget,
    UnfoldAdminSelectWidget,
    UnfoldAdminTextInputWidget,
    UnfoldBooleanSwitchWidget,
)

from config.admin import NOTHING, EndlessListMixin, accounts_found
from notifications.forms import DECIDED, PreferenceForm, lead_in_words
from notifications.models import Preference
from notifications.tasks import dispatch_soon

WIDGETS = {
    "platforms": UnfoldAdminCheckboxSelectMultipleWidget,
    "trainings": UnfoldBooleanSwitchWidget,
    "unrated": UnfoldBooleanSwitchWidget,
    "longest_contest": UnfoldAdminSelectWidget,
    "excluded_words": UnfoldAdminTextInputWidget,
    "usual_leads": UnfoldAdminCheckboxSelectMultipleWidget,
    "other_leads": UnfoldAdminTextInputWidget,
    "time_zone": UnfoldAdminSelectWidget,
    "quiet_choice": UnfoldAdminRadioSelectWidget,
    "digest": UnfoldAdminRadioSelectWidget,
    "digest_hour": UnfoldAdminSelectWidget,
    "digest_weekday": UnfoldAdminSelectWidget,
    "paused": UnfoldBooleanSwitchWidget,
}
TIMES = ("quiet_from", "quiet_until", "paused_until")
COLUMNS = {
    "usual_leads": ["lead_minutes"],
    "other_leads": ["lead_minutes"],
    "paused": ["paused", "paused_until"],
}
"""What a field decides, where that is not the column of its name."""


class PreferenceAdminForm(PreferenceForm, forms.ModelForm):  # type: ignore[type-arg]  # generic for the checker alone
    """What members may ask for on their own page, with the same rules, and whether they count as active."""

    class Meta:
        model = Preference
        fields = ("active",)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        kwargs["initial"] = {**PreferenceForm.initial_of(kwargs["instance"]), **(kwargs.get("initial") or {})}
        super().__init__(*args, **kwargs)
        for name, widget in WIDGETS.items():
            field = self.fields[name]
            field.widget = widget()
            if isinstance(field, forms.ChoiceField):
                field.widget.choices = field.choices
        for name in TIMES:
            self.fields[name].widget.attrs["class"] = " ".join(INPUT_CLASSES)
        self.fields["paused"].help_text = "The member's own wish: nothing is sent until it is taken back."
        self.fields["paused_until"].help_text = "In the member's time zone. Without a date: until they take it back."

    def clean(self) -> dict[str, Any]:
        wishes = super().clean()
        for name in DECIDED:
            if name in wishes:
                setattr(self.instance, name, wishes[name])
        return wishes

    save = forms.ModelForm.save  # type: ignore[assignment]  # the admin's way, not the page's


@admin.register(Preference)
class PreferenceAdmin(EndlessListMixin, ModelAdmin):
    form = PreferenceAdminForm
    list_display = ("user", "address", "state", "platform_names", "lead_times", "time_zone", "last_seen_at")
    list_filter = ("active", "paused", "digest", ("quiet_from", admin.EmptyFieldListFilter), "trainings", "unrated")
    list_select_related = ("user",)
    search_fields = ("user__username", "user__email")
    search_help_text = "How a user name or an address begins"
    readonly_fields = ("user", "platform_names", "lead_times", "last_seen_at")

    def get_fieldsets(self, request: HttpRequest, obj: Preference | None = None) -> Any:
        if self.has_change_permission(request, obj):
            platforms, leads = ["platforms"], ["usual_leads", "other_leads"]
        else:
            platforms, leads = ["platform_names"], ["lead_times"]
        return (
            (None, {"fields": ("user", "active", "paused", "paused_until", "last_seen_at")}),
            (
                "Wants to hear of",
                {"fields": (*platforms, "trainings", "unrated", "longest_contest", "excluded_words")},
            ),
            ("When", {"fields": (*leads, "time_zone", "quiet_from", "quiet_until", "quiet_choice")}),
            ("Digest", {"fields": ("digest", "digest_hour", "digest_weekday")}),
        )

    def get_search_results(
        self, request: HttpRequest, queryset: "QuerySet[Preference]", search_term: str
    ) -> "tuple[QuerySet[Preference], bool]":
        term = search_term.strip()
        return (queryset.filter(user__in=accounts_found(term)) if term else queryset), False

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False  # made with the account

    def has_delete_permission(self, request: HttpRequest, obj: Preference | None = None) -> bool:
        return False  # goes with the account

    def save_model(self, request: HttpRequest, obj: Preference, form: PreferenceAdminForm, change: bool) -> None:
        """Only what was edited: the member may be here at this moment, which is noted in the same row."""
        if not form.changed_data:
            return
        obj.save(update_fields={column for name in form.changed_data for column in COLUMNS.get(name, [name])})
        dispatch_soon()  # what is wanted from now on may be due before the next round

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
