"""Where providers tell us what became of messages. The sender proves who it is, by a signature: there is no session."""

from http import HTTPStatus

from django.http import Http404, HttpRequest, HttpResponse, UnreadablePostError
from django.utils import timezone
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_http_methods

from notifications import callbacks, inbox
from notifications.channels.whatsapp import WhatsApp, webhook
from notifications.channels.whatsapp.webhook import Refused


@csrf_exempt
@require_http_methods(["GET", "POST"])
def whatsapp(request: HttpRequest) -> HttpResponse:
    """Meta's handshake, and its callbacks. A refusal says in a sentence what is wrong."""
    if not WhatsApp.is_configured():
        raise Http404
    try:
        answer = webhook.challenge(request.GET.dict()) if request.method == "GET" else _callback(request)
    except Refused as refused:
        return HttpResponse(f"{refused}\n", content_type="text/plain", status=refused.status)
    return HttpResponse(answer, content_type="text/plain")


def _callback(request: HttpRequest) -> str:
    # Django's own limit for a body is less than Meta's.
    try:
        body = request.read(webhook.LONGEST_BODY + 1)
    except UnreadablePostError as error:
        raise Refused(HTTPStatus.BAD_REQUEST, "The callback broke off.") from error
    now = timezone.now()
    reports = webhook.reports(body, request.headers.get("X-Hub-Signature-256", ""), now)
    callbacks.record(WhatsApp.kind, reports, now)
    inbox.read_elsewhere({report.message for report in reports if report.state == "read"})
    return ""
