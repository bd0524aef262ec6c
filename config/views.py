"""The outbox as staff read it, where there is no mail server, and the answer to what is no proper request."""

import re
from collections.abc import Callable
from functools import wraps
from typing import Concatenate, ParamSpec

from django.contrib.auth.views import redirect_to_login
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseBadRequest
from django.shortcuts import render
from django.template.loader import render_to_string
from django.views.decorators.clickjacking import xframe_options_sameorigin
from django.views.decorators.http import require_safe

from config import outbox

MOST_MAILS = 100

MAIL_POLICY = (
    "default-src 'none'; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'self'; sandbox allow-popups allow-popups-to-escape-sandbox"
)
"""What the HTML of a mail may do: look as it was meant to, and open a link in a window of its own."""

Arguments = ParamSpec("Arguments")
View = Callable[Concatenate[HttpRequest, Arguments], HttpResponse]


def _for_staff(view: View[Arguments]) -> View[Arguments]:
    """To anybody else, and where mail goes out to a server, there is no such page."""

    @wraps(view)
    def guarded(request: HttpRequest, /, *args: Arguments.args, **kwargs: Arguments.kwargs) -> HttpResponse:
        if not outbox.is_in_use():
            raise Http404
        if not request.user.is_authenticated:
            return redirect_to_login(request.get_full_path())
        if not request.user.is_staff:
            raise Http404
        return view(request, *args, **kwargs)

    return guarded


@require_safe
@_for_staff
def mails(request: HttpRequest) -> HttpResponse:
    return render(request, "outbox/list.html", {"mails": outbox.newest(MOST_MAILS), "most_mails": MOST_MAILS})


@require_safe
@_for_staff
def mail(request: HttpRequest, name: str) -> HttpResponse:
    found = _mail(name)
    context = {
        "mail": found,
        "headers": [(key, str(value)) for key, value in found.message.items()],
        "text": found.body("plain"),
        "has_html": bool(found.body("html")),
    }
    return render(request, "outbox/mail.html", context)


@require_safe
@xframe_options_sameorigin
@_for_staff
def mail_html(request: HttpRequest, name: str) -> HttpResponse:
    """The mail's HTML, for a frame."""
    html = re.sub(r"<head>", '<head><base target="_blank">', _mail(name).body("html"), count=1)
    return HttpResponse(html, headers={"Content-Security-Policy": MAIL_POLICY})


def _mail(name: str) -> outbox.Mail:
    if (found := outbox.read(name)) is None:
        raise Http404
    return found


def bad_request(request: HttpRequest, exception: Exception) -> HttpResponse:
    """Asks nothing of the request: Django's own answer looks into the form, and fails where that cannot be read."""
    return HttpResponseBadRequest(render_to_string("400.html"))
