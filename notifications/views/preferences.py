"""What a member wants to hear of, and the sentence that says so."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from allauth.account.models import EmailAddress
from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.views.decorators.http import require_http_methods

from contests.models import Contest, Platform
from notifications.forms import PreferenceForm, lead_in_words
from notifications.models import Preference
from notifications.views.visitor import member

LOOKED_THROUGH = 500
"""Contests among which the next reminder is looked for."""


@dataclass(frozen=True, slots=True)
class NextReminder:
    contest: Contest
    by: datetime


@login_required
@require_http_methods(["GET", "HEAD", "POST"])
def preferences(request: HttpRequest) -> HttpResponse:
    user = member(request)
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
