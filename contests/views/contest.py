"""The page of one contest, and the contest as a file for calendars."""

from dataclasses import replace

from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils import timezone
from django.utils.http import content_disposition_header
from django.views.decorators.http import require_safe

from config.calendars import MEDIA_TYPE, calendar, google_link
from contests.history import history
from contests.models import KEPT_AFTER_END, Contest, Platform
from contests.views.choice import Choice


@require_safe
def contest_page(request: HttpRequest, platform: str, key: str) -> HttpResponse:
    if (contest := _find(platform, key)) is None:
        return _unknown(request, platform)
    context = {
        "contest": contest,
        "now": timezone.now(),
        "history": history(contest),
        "google_url": google_link(contest.calendar_entry),
    }
    return render(request, "contests/contest.html", context)


@require_safe
def contest_file(request: HttpRequest, platform: str, key: str) -> HttpResponse:
    """A file for calendars, with the contest or its cancellation."""
    if (contest := _find(platform, key)) is None:
        return _unknown(request, platform)
    name = content_disposition_header(True, f"{contest.platform_id}-{contest.key}.ics".replace("/", "-"))
    headers = {"Content-Disposition": name or ""}
    return HttpResponse(calendar([contest.calendar_entry]), content_type=MEDIA_TYPE, headers=headers)


@require_safe
def platform_contests(request: HttpRequest, platform: str) -> HttpResponse:
    """Where one gets who takes the end off a contest's address."""
    if (found := _platform(platform)) is None:
        return _unknown(request, platform)
    choice = replace(Choice.read(request.GET, ()), platforms=(found.code,))
    return redirect(reverse("contests") + choice.query)


def _find(platform: str, key: str) -> Contest | None:
    if "\0" in platform + key:
        return None  # PostgreSQL has no such text
    return Contest.objects.select_related("platform").filter(platform=platform, key=key).first()


def _platform(code: str) -> Platform | None:
    return None if "\0" in code else Platform.objects.filter(code=code).first()


def _unknown(request: HttpRequest, code: str) -> HttpResponse:
    context = {"platform": _platform(code), "days": KEPT_AFTER_END.days}
    return render(request, "contests/unknown.html", context, status=404)
