"""What members said of single contests, in Django admin."""

from django.contrib import admin
from django.db.models import Q, QuerySet
from django.http import HttpRequest
from unfold.admin import ModelAdmin
from unfold.decorators import display

from config.admin import EndlessListMixin, ReadOnlyMixin, accounts_found
from notifications.models import ContestChoice


@admin.register(ContestChoice)
class ContestChoiceAdmin(ReadOnlyMixin, EndlessListMixin, ModelAdmin):
    """The members' own word, which nobody else changes."""

    list_display = ("user", "state", "contest", "platform", "starts_at")
    list_filter = ("wish", "contest__platform")
    list_filter_submit = True
    list_select_related = ("user", "contest__platform")
    show_facets = admin.ShowFacets.NEVER
    search_fields = ("user__username", "user__email", "contest__name")
    search_help_text = "How a user name or address begins, or a contest"
    ordering = ("-pk",)
    sortable_by = ()  # by anything else they would all be sorted
    fields = ("user", "contest", "wish")

    def get_search_results(
        self, request: HttpRequest, queryset: "QuerySet[ContestChoice]", search_term: str
    ) -> "tuple[QuerySet[ContestChoice], bool]":
        if not (term := search_term.strip()):
            return queryset, False
        return queryset.filter(Q(contest__name__icontains=term) | Q(user__in=accounts_found(term))), False

    @display(description="wish", label={"follow": "success", "mute": "default"})
    def state(self, choice: ContestChoice) -> str:
        return choice.wish

    @admin.display(description="platform")
    def platform(self, choice: ContestChoice) -> str:
        return choice.contest.platform.name

    @admin.display(description="starts at")
    def starts_at(self, choice: ContestChoice) -> object:
        return choice.contest.starts_at
