"""What the links in messages lead to that end them."""

from django.db.models import F, Func, Value
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_http_methods

from notifications.messages import unsubscribing
from notifications.models import Channel, Purpose

WHAT = {
    Purpose.REMINDERS: "reminders",
    Purpose.CHANGES: "news of moved or cancelled contests",
    Purpose.DIGEST: "digests",
}
"""What there is no more of, in words that follow “No more”."""


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
    context = {"what": WHAT[purpose]}
    if request.method != "POST":
        return render(request, "notifications/unsubscribe.html", context)
    Channel.objects.filter(pk=channel).update(purposes=Func(F("purposes"), Value(purpose), function="array_remove"))
    return render(request, "notifications/unsubscribed.html", context)
