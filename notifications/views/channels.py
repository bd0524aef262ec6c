"""Where a member is reached."""

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.views.decorators.http import require_POST

from notifications.models import Channel
from notifications.views.visitor import member


@login_required
@require_POST
def enable_channel(request: HttpRequest, channel: int) -> HttpResponse:
    """Take back that a channel was turned off, whoever did it."""
    found = get_object_or_404(Channel, pk=channel, user=member(request))
    Channel.objects.filter(pk=found.pk).update(disabled_at=None, disabled_reason="")
    messages.success(request, f"Reminders to {found.address} are on again.")
    return redirect("preferences")
