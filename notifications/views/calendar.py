"""The member's own calendar: the page with its secret address, and what calendar programs read there."""

import hashlib
import re
from datetime import timedelta
from urllib.parse import urlsplit

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import redirect, render
from django.utils import timezone
from django.utils.cache import get_conditional_response
from django.views.decorators.cache import cache_control, never_cache
from django.views.decorators.http import require_http_methods, require_safe

from config.calendars import MEDIA_TYPE, calendar
from notifications import own_calendar
from notifications.models import CalendarFeed, new_token
from notifications.views.visitor import member, sent_by_member

NAME = "CodeNotify: my contests"
REFRESH = timedelta(hours=1)
"""How often calendars are asked to come again. Google's comes when it likes."""

TOKEN = re.compile(r"[A-Za-z0-9_-]{43}", re.ASCII)


@login_required
@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
def calendar_page(request: HttpRequest) -> HttpResponse:
    """Where the address is shown, and made when it is asked for first."""
    user = member(request)
    if request.method == "POST":
        CalendarFeed.objects.get_or_create(user=user)
        return redirect("calendar")
    feed = CalendarFeed.objects.filter(user=user).first()
    url = own_calendar.address(feed) if feed else ""
    context = {"feed": feed, "url": url, "webcal_url": urlsplit(url)._replace(scheme="webcal").geturl() if url else ""}
    return render(request, "notifications/calendar.html", context)


@sent_by_member
def renew_calendar(request: HttpRequest) -> HttpResponse:
    CalendarFeed.objects.filter(user=member(request)).update(token=new_token(), made_at=timezone.now())
    messages.success(request, "Your calendar has a new address. The old one works no more.")
    return redirect("calendar")


@sent_by_member
def end_calendar(request: HttpRequest) -> HttpResponse:
    CalendarFeed.objects.filter(user=member(request)).delete()
    messages.success(request, "Your calendar's address is gone. Programs that read it get nothing any more.")
    return redirect("calendar")


@require_safe
@cache_control(private=True, no_cache=True)
def member_calendar(request: HttpRequest, token: str) -> HttpResponseBase:
    """Who knows the address is let in; there is no cookie and no other proof, for calendar programs have none."""
    if feed := _feed(token):
        response = _contents(request, feed)
        # The address must not travel on to wherever somebody clicks next. (A page that says so breaks its own forms.)
        response["Referrer-Policy"] = "no-referrer"
    else:
        response = render(request, "notifications/calendar_unknown.html", status=404)
    response["X-Robots-Tag"] = "noindex"
    return response


def _feed(token: str) -> CalendarFeed | None:
    if not TOKEN.fullmatch(token):
        return None
    return CalendarFeed.objects.filter(token=token, user__is_active=True).first()


def _contents(request: HttpRequest, feed: CalendarFeed) -> HttpResponseBase:
    contests = own_calendar.wanted(feed.user_id, timezone.now())
    content = calendar([contest.calendar_entry for contest in reversed(contests)], name=NAME, refresh=REFRESH)
    response = HttpResponse(content, content_type=MEDIA_TYPE)
    response["Content-Disposition"] = 'inline; filename="codenotify.ics"'
    response["ETag"] = f'"{hashlib.sha256(content).hexdigest()[:32]}"'
    return get_conditional_response(request, etag=response["ETag"], response=response) or response
