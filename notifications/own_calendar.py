"""A member's own calendar: the contests that they want to hear of, whatever they are told of them and where."""

from datetime import datetime, timedelta

from django.conf import settings
from django.db.models import QuerySet
from django.db.models.expressions import RawSQL
from django.urls import reverse

from contests.models import Contest
from notifications.models import CalendarFeed
from notifications.wanted import CHOICE, INTERESTING

LOOKS_BACK = timedelta(days=30)
MOST_CONTESTS = 5_000

_WANTED = f"""
SELECT contest.id
FROM notifications_preference preference
CROSS JOIN contests_contest contest
{CHOICE}
WHERE preference.user_id = %s
    AND contest.starts_at > %s
    AND {INTERESTING}
"""


def address(feed: CalendarFeed) -> str:
    return settings.SITE_URL + reverse("member-calendar", args=[feed.token])


def wanted(user: int, now: datetime) -> "QuerySet[Contest]":
    """What is not long over, the cancelled ones too: a calendar that was told of one must be told that it is off."""
    ids = RawSQL(_WANTED, (user, now - LOOKS_BACK))
    return Contest.objects.filter(pk__in=ids).select_related("platform").order_by("-starts_at", "pk")[:MOST_CONTESTS]
