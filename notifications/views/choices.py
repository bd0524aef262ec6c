"""Following and muting one contest."""

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.utils import timezone
from django.utils.http import url_has_allowed_host_and_scheme

from contests.models import Contest
from notifications.models import ContestChoice
from notifications.tasks import dispatch_if_urgent
from notifications.views.visitor import member, sent_by_member


@sent_by_member
def choose(request: HttpRequest, contest: int) -> HttpResponse:
    """Follow a contest, mute it, or, with no wish, neither."""
    found = get_object_or_404(Contest, pk=contest)
    wish = request.POST.get("wish", "")
    own = ContestChoice.objects.filter(user=member(request), contest=found)
    if not wish:
        own.delete()
    elif wish not in ContestChoice.Wish:
        messages.error(request, "A contest can be followed or muted, and nothing else.")
    elif found.starts_at <= timezone.now():
        messages.error(request, f"{found.name} has begun: there is nothing left to be told of it.")
    elif not own.filter(wish=wish).exists():
        ContestChoice.objects.update_or_create(user=member(request), contest=found, defaults={"wish": wish})
        dispatch_if_urgent()
    return redirect(_back(request, found))


def _back(request: HttpRequest, contest: Contest) -> str:
    """To the place on the page from which they came, if that is one of ours."""
    came_from = request.POST.get("next", "")
    if came_from.startswith("/") and url_has_allowed_host_and_scheme(came_from, allowed_hosts=None):
        return f"{came_from.partition('#')[0]}#choice-{contest.pk}"
    return contest.get_absolute_url()
