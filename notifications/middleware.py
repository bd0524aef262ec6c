from collections.abc import Callable
from datetime import timedelta
from zoneinfo import ZoneInfo

from django.contrib.auth.models import User
from django.http import HttpRequest, HttpResponse
from django.utils import timezone

from notifications.models import Preference
from notifications.zones import SUMMERLESS, time_zones

ZONE_COOKIE = "time_zone"
SEEN_EVERY = timedelta(hours=12)
"""Being here is written down this often at most."""


def browser_zone(request: HttpRequest) -> ZoneInfo | None:
    """The zone that the visitor's browser said it is in (static/app.js sets the cookie)."""
    said = request.COOKIES.get(ZONE_COOKIE, "")
    name = SUMMERLESS.get(said, said)
    return ZoneInfo(name) if name in time_zones() else None


class MemberMiddleware:
    """Shows times in the visitor's zone, and notes that a member was here."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        with timezone.override(self._zone(request)):
            return self.get_response(request)

    def _zone(self, request: HttpRequest) -> ZoneInfo | None:
        if request.path.startswith("/admin/"):
            return None  # staff read schedules and runs in UTC
        if isinstance(request.user, User) and (preference := self._seen(request.user)):
            return preference.zone
        return browser_zone(request)

    def _seen(self, user: User) -> Preference | None:
        preference = Preference.objects.filter(user=user).first()
        now = timezone.now()
        if preference and preference.last_seen_at < now - SEEN_EVERY:
            Preference.objects.filter(pk=preference.pk).update(last_seen_at=now, active=True)
        return preference
