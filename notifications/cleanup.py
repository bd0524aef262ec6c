from datetime import datetime, timedelta
from typing import Any

from django.db.models import QuerySet

from notifications.models import INACTIVE_AFTER, Channel, Notification, Preference, PreferenceQuerySet, Verification

READ_KEPT_FOR = timedelta(days=90)
REMOVED_KEPT_FOR = timedelta(days=90)
"""A channel that its owner removed, with what was told there."""
CODES_KEPT_FOR = timedelta(days=1)


def past_their_time(now: datetime) -> "dict[str, QuerySet[Any]]":
    """What nobody looks at any more, by kind."""
    return {
        "notifications": Notification.objects.filter(read_at__isnull=False, created_at__lt=now - READ_KEPT_FOR),
        "channels": Channel.objects.filter(removed_at__lt=now - REMOVED_KEPT_FOR),
        "verification_codes": Verification.objects.filter(created_at__lt=now - CODES_KEPT_FOR),
    }


def absent(now: datetime) -> PreferenceQuerySet:
    """The members who have not been here for so long that reminders shall rest."""
    return Preference.objects.not_seen_since(now - INACTIVE_AFTER)
