"""What a member wants to hear of, and the sentence that says so."""

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.views.decorators.http import require_http_methods

from notifications.forms import PreferenceForm
from notifications.models import Preference
from notifications.tasks import dispatch_if_urgent
from notifications.views.sentence import sentence_of
from notifications.views.visitor import member


@login_required
@require_http_methods(["GET", "HEAD", "POST"])
def preferences(request: HttpRequest) -> HttpResponse:
    user = member(request)
    preference, _ = Preference.objects.get_or_create(user=user)
    posted = request.POST if request.method == "POST" else None
    form = PreferenceForm(posted, initial=PreferenceForm.initial_of(preference))
    if form.is_valid():
        form.save(preference)
        if form.has_changed():
            dispatch_if_urgent()
        messages.success(request, "Your preferences are saved.")
        return redirect("preferences")
    channels = list(user.channels.kept())
    context = {
        "form": form,
        "preference": preference,
        "sentence": sentence_of(preference, channels, timezone.now()),
    }
    return render(request, "notifications/preferences.html", context)
