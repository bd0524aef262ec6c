"""Turning push on and off, as the page's script and the service worker ask it: JSON in and out, errors in sentences."""

import json
from collections.abc import Callable
from functools import wraps
from typing import Any

from django.contrib.auth.models import User
from django.db import transaction
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.middleware.csrf import get_token
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_POST, require_safe

from notifications import browsers
from notifications.channels.push import Push, check, public_key
from notifications.models import Channel
from notifications.tasks import dispatch_if_urgent
from notifications.views.visitor import member

MOST_BROWSERS = 20
LONGEST_REQUEST = 8 * 1024

View = Callable[[HttpRequest], HttpResponse]


class _Refused(Exception):
    def __init__(self, status: int, sentence: str) -> None:
        super().__init__(sentence)
        self.status = status


def _for_scripts(view: View) -> View:
    """Scripts cannot follow to a page for signing in: whatever is refused is a sentence."""

    @wraps(view)
    def answered(request: HttpRequest) -> HttpResponse:
        try:
            if not request.user.is_authenticated:
                raise _Refused(401, "You are signed out. Sign in and try again.")
            if not Push.is_configured():
                raise _Refused(404, "Push is not set up here.")
            return view(request)
        except _Refused as refused:
            return JsonResponse({"error": str(refused)}, status=refused.status)

    return never_cache(answered)


@require_safe
@_for_scripts
def push_key(request: HttpRequest) -> HttpResponse:
    """What a browser subscribes with, and where push is on. The token is for the service worker, which sees no page."""
    endpoints = _channels(member(request)).usable().values_list("address", flat=True)
    return JsonResponse(
        {"public_key": public_key(), "csrf_token": get_token(request), "endpoints": list(endpoints)},
    )


@require_POST
@_for_scripts
def push_subscribe(request: HttpRequest) -> HttpResponse:
    """Take what PushSubscription.toJSON() says. With `replaces`, it takes the place of one of the same member's."""
    user, asked = member(request), _read(request)
    endpoint, keys, replaces = _text(asked, "endpoint"), asked.get("keys"), _text(asked, "replaces")
    try:
        keys = check(endpoint, keys)
    except ValueError as error:
        raise _Refused(400, str(error)) from error
    with transaction.atomic():
        if replaces:
            _replace(user, replaces, endpoint)
        _take(user, endpoint, keys, browsers.name(request.headers.get("User-Agent", "")))
    dispatch_if_urgent()
    return JsonResponse({"endpoint": endpoint})


@require_POST
@_for_scripts
def push_unsubscribe(request: HttpRequest) -> HttpResponse:
    endpoint = _text(_read(request), "endpoint")
    _channels(member(request)).filter(address=endpoint).remove()
    return JsonResponse({"endpoint": endpoint})


def _channels(user: User) -> Any:
    return Channel.objects.kept().filter(user=user, kind=Push.kind)


def _take(user: User, endpoint: str, keys: dict[str, str], label: str) -> None:
    """Make it the member's. Who had it before on the same browser has it no more, and must not be shown there."""
    own = _channels(user)
    known = own.filter(address=endpoint).first()
    if known is None and own.count() >= MOST_BROWSERS:
        raise _Refused(409, f"Push is on in {MOST_BROWSERS} browsers already. Remove one of them first.")
    Channel.objects.kept().filter(kind=Push.kind, address=endpoint, keys=keys).exclude(user=user).remove()
    name = (known.label if known else "") or label
    Channel.objects.verify(user, Push.kind, endpoint, keys=keys, label=name)


def _replace(user: User, old: str, new: str) -> None:
    replaced = _channels(user).filter(address=old).first()
    if replaced is None:
        raise _Refused(404, "Push was turned off for this browser.")
    if Channel.objects.filter(user=user, kind=Push.kind, address=new).exclude(pk=replaced.pk).exists():
        _channels(user).filter(pk=replaced.pk).remove()
    else:
        Channel.objects.filter(pk=replaced.pk).update(address=new)


def _read(request: HttpRequest) -> dict[str, Any]:
    if len(request.body) > LONGEST_REQUEST:
        raise _Refused(413, "That is too long for a subscription.")
    try:
        asked = json.loads(request.body)
    except (ValueError, RecursionError):
        asked = None
    if not isinstance(asked, dict):
        raise _Refused(400, "That is no subscription.")
    return asked


def _text(asked: dict[str, Any], name: str) -> str:
    value = asked.get(name) or ""
    if not isinstance(value, str) or not (value.isascii() and value.isprintable()):  # as addresses are
        raise _Refused(400, f"That is no {name}.")
    return value
