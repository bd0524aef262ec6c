"""The pages on which members say what they want to hear of, and that they don't any more."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from allauth.account.models import EmailAddress
from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.contrib.auth.models import User
from django.db.models import F, Func, Value
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils import timezone
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_http_methods, require_POST

from contests.models import Contest, Platform
from notifications.forms import PreferenceForm, lead_in_words
from notifications.messages import unsubscribing
from notifications.models import Channel, Preference

LOOKED_THROUGH = 500
"""Contests among which the next reminder is looked for."""


@dataclass(frozen=True, slots=True)
class NextReminder:
    contest: Contest
    by: datetime


@login_required
@require_http_methods(["GET", "HEAD", "POST"])
def preferences(request: HttpRequest) -> HttpResponse:
    user = _member(request)
    preference, _ = Preference.objects.get_or_create(user=user)
    posted = request.POST if request.method == "POST" else None
    form = PreferenceForm(posted, initial=PreferenceForm.initial_of(preference))
    if form.is_valid():
        form.save(preference)
        messages.success(request, "Your preferences are saved.")
        return redirect("preferences")
    channels = list(user.channels.all())
    context = {
        "form": form,
        "preference": preference,
        "channels": channels,
        "usable_channels": [channel for channel in channels if channel.verified_at and not channel.disabled_at],
        "unverified_addresses": EmailAddress.objects.filter(user=user, verified=False),
        "platforms": list(Platform.objects.filter(code__in=preference.platforms)),
        "leads": [lead_in_words(lead) for lead in sorted(preference.lead_minutes, reverse=True)],
        "next_reminder": _next_reminder(preference, timezone.now()),
    }
    return render(request, "notifications/preferences.html", context)


def _member(request: HttpRequest) -> User:
    assert isinstance(request.user, User)
    return request.user


def _next_reminder(preference: Preference, now: datetime) -> NextReminder | None:
    """The reminder that is due first, of those that are not due yet."""
    wanted = Contest.objects.upcoming(now).filter(platform__in=preference.platforms)
    if not preference.trainings:
        wanted = wanted.filter(is_training=False)
    reminders = (
        NextReminder(contest, contest.starts_at - timedelta(minutes=lead))
        for contest in wanted[:LOOKED_THROUGH]
        for lead in preference.lead_minutes
    )
    return min((next for next in reminders if next.by > now), key=lambda next: next.by, default=None)


@login_required
@require_POST
def enable_channel(request: HttpRequest, channel: int) -> HttpResponse:
    """Take back that a channel was turned off, whoever did it."""
    found = get_object_or_404(Channel, pk=channel, user=_member(request))
    Channel.objects.filter(pk=found.pk).update(disabled_at=None, disabled_reason="")
    messages.success(request, f"Reminders to {found.address} are on again.")
    return redirect("preferences")


@csrf_exempt
@require_http_methods(["GET", "HEAD", "POST"])
def unsubscribe(request: HttpRequest, token: str) -> HttpResponse:
    """End what a channel is sent for one purpose, on a POST.

    The mail provider's one click is a POST from elsewhere (RFC 8058): the token is the proof, there is no other. A GET
    changes nothing, because link scanners follow every link in a mail.
    """
    named = unsubscribing(token)
    if named is None:
        return render(request, "notifications/unsubscribe_unknown.html", status=404)
    channel, purpose = named
    context = {"purpose": purpose.label}
    if request.method != "POST":
        return render(request, "notifications/unsubscribe.html", context)
    Channel.objects.filter(pk=channel).update(purposes=Func(F("purposes"), Value(purpose), function="array_remove"))
    return render(request, "notifications/unsubscribed.html", context)
