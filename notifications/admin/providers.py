"""What the kinds of channels send through, in Django admin: how each one does, and what waits for it."""

from typing import Any

from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.utils import timezone
from unfold.admin import ModelAdmin
from unfold.decorators import action, display

from config.admin import NOTHING, WritesWhatChanged, moment
from config.breaker import BreakerState
from notifications import providers
from notifications.models import Provider
from notifications.providers import Health
from notifications.tasks import dispatch_soon

HEALTHS = {
    Health.UP.label: "success",
    Health.DOWN.label: "danger",
    Health.UNUSED.label: "info",
    Health.ABSENT.label: "default",
}
"""What a provider's health is called, and the colour it has."""


@admin.register(Provider)
class ProviderAdmin(ModelAdmin, WritesWhatChanged):
    list_display = ("kind", "health", "waiting", "oldest", "rate", "last_success_at", "trouble")
    sortable_by = ()
    fieldsets = (
        (None, {"fields": ("kind", "per_second")}),
        (
            "How it does",
            {
                "fields": (
                    *("health", "trouble", "breaker", "down_since", "last_success_at", "last_error_at", "last_error"),
                    *("waiting", "oldest"),
                )
            },
        ),
    )
    readonly_fields = (
        *("kind", "health", "trouble", "breaker", "down_since", "last_success_at", "last_error_at", "last_error"),
        *("waiting", "oldest"),
    )
    actions = ("reset_breaker",)
    actions_submit_line = ("reset_this_breaker",)

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False  # a channel is a piece of code

    def has_delete_permission(self, request: HttpRequest, obj: Provider | None = None) -> bool:
        return False

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        response: HttpResponse = super().changelist_view(request, extra_context)
        if changelist := getattr(response, "context_data", {}).get("cl"):
            _note_queues(changelist.result_list)
        return response

    def get_object(self, request: HttpRequest, object_id: str, from_field: str | None = None) -> Provider | None:
        provider: Provider | None = super().get_object(request, object_id, from_field)
        if provider:
            _note_queues([provider])
        return provider

    @display(description="health", label=HEALTHS)
    def health(self, provider: Provider) -> str:
        return providers.health_of(provider).label

    @admin.display(description="what is wrong")
    def trouble(self, provider: Provider) -> str:
        return providers.trouble_of(provider, timezone.now()) or NOTHING

    @admin.display(description="waiting")
    def waiting(self, provider: Any) -> str:
        return str(provider.queue.counted)

    @admin.display(description="oldest due")
    def oldest(self, provider: Any) -> str:
        return moment(provider.queue.oldest)

    @admin.display(description="messages per second")
    def rate(self, provider: Provider) -> str:
        return "any number" if provider.per_second is None else f"{provider.per_second:g}"

    @admin.display(description="breaker")
    def breaker(self, provider: Provider) -> str:
        if provider.breaker_state == BreakerState.CLOSED:
            return "Closed: every message goes through."
        until = provider.paused_until(timezone.now())
        when = f"nothing is sent before {until:%H:%M:%S} UTC" if until else "the next message tries it again"
        failures = "a failure" if provider.failures_in_a_row == 1 else f"{provider.failures_in_a_row} failures in a row"
        return f"Open after {failures}: {when}."

    @admin.action(description="Reset the breaker", permissions=["change"])
    def reset_breaker(self, request: HttpRequest, queryset: "QuerySet[Provider]") -> None:
        self._reset(request, list(queryset.values_list("pk", flat=True)))

    @action(description="Save and reset the breaker", permissions=["change"])
    def reset_this_breaker(self, request: HttpRequest, obj: Provider) -> None:
        self._reset(request, [obj.pk])

    def _reset(self, request: HttpRequest, kinds: list[str]) -> None:
        found = providers.reset(kinds, timezone.now())
        for provider in found:
            self.log_change(request, provider, "Reset the breaker.")
        dispatch_soon()
        names = ", ".join(map(str, found))
        messages.success(request, f"What waits for {names} is tried now, whatever went wrong before.")


def _note_queues(found: Any) -> None:
    """Note in the rows of a page what waits for each, with one query for all of them."""
    queues = providers.queues(timezone.now())
    for provider in found:
        provider.queue = queues.get(provider.kind, providers.Queue())
