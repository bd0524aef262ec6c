"""What a member can do about a contest, wherever one is shown."""

from collections.abc import Mapping
from typing import Any

from django import template
from django.http import HttpRequest
from django.template import RequestContext
from django.utils import timezone

from contests.models import Contest
from notifications.models import ContestChoice
from notifications.views.sentence import what_is_told_of

register = template.Library()

_KEPT = "_wishes_of_visitor"


@register.inclusion_tag("notifications/choice_form.html", takes_context=True)
def choice_form(context: RequestContext) -> dict[str, Any]:
    """The one form that all the buttons of a page send; without it they do nothing."""
    return {"request": context["request"], "csrf_token": context.get("csrf_token")}


@register.inclusion_tag("notifications/choice.html", takes_context=True)
def choice(context: RequestContext, contest: Contest) -> dict[str, Any]:
    """The buttons for one contest. However many are shown, the database is asked once."""
    request = context["request"]
    can_choose = request.user.is_authenticated and contest.starts_at > timezone.now() and not contest.cancelled_at
    return {
        "contest": contest,
        "can_choose": can_choose,
        "wish": _wishes(request).get(contest.pk, "") if can_choose else "",
        "wishes": ContestChoice.Wish,
    }


@register.inclusion_tag("notifications/what_comes.html", takes_context=True)
def what_comes(context: RequestContext, contest: Contest) -> dict[str, Any]:
    """What the visitor will be told of a contest, or why nothing, as it is planned."""
    return {"lines": what_is_told_of(contest, context["request"].user.pk, timezone.now())}


def _wishes(request: HttpRequest) -> Mapping[int, str]:
    """The visitor's wish by contest, of all that are still to come."""
    if not hasattr(request, _KEPT):
        assert request.user.is_authenticated
        upcoming = ContestChoice.objects.filter(user=request.user, contest__starts_at__gt=timezone.now())
        setattr(request, _KEPT, dict(upcoming.values_list("contest", "wish")))
    found: Mapping[int, str] = getattr(request, _KEPT)
    return found
