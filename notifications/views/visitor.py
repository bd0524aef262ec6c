"""Who looks at a page, or sends something from one."""

from collections.abc import Callable
from functools import wraps
from typing import Concatenate, ParamSpec
from urllib.parse import urlsplit

from django.contrib import messages
from django.contrib.auth.models import User
from django.contrib.auth.views import redirect_to_login
from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.utils.http import url_has_allowed_host_and_scheme
from django.views.decorators.http import require_POST

Arguments = ParamSpec("Arguments")
View = Callable[Concatenate[HttpRequest, Arguments], HttpResponse]


def member(request: HttpRequest) -> User:
    """Of a view that only who is signed in gets to."""
    assert isinstance(request.user, User)
    return request.user


def sent_by_member(view: View[Arguments]) -> View[Arguments]:
    """Takes a POST alone, and only of who is signed in.

    Who was signed out meanwhile signs in and is back on the page that they sent it from: here is none to come back to.
    """

    @wraps(view)
    def guarded(request: HttpRequest, /, *args: Arguments.args, **kwargs: Arguments.kwargs) -> HttpResponse:
        if request.user.is_authenticated:
            return view(request, *args, **kwargs)
        messages.warning(request, "You were signed out, so nothing was done. Sign in, and then do it once more.")
        return redirect_to_login(_came_from(request))

    return require_POST(guarded)


def _came_from(request: HttpRequest) -> str:
    """The address of the page that something was sent from, if that is one of ours."""
    referrer = request.headers.get("Referer", "")
    if url_has_allowed_host_and_scheme(referrer, {request.get_host()}):
        return urlsplit(referrer)._replace(scheme="", netloc="").geturl()
    return reverse("contests")
