from datetime import datetime, timedelta
from typing import Any

from django.db.models import Q, QuerySet

from notifications.models import (
    INACTIVE_AFTER,
    Channel,
    Notification,
    Preference,
    PreferenceQuerySet,
    Status,
    Verification,
)

READ_KEPT_FOR = timedelta(days=90)
"""Also what was never sent, of which there is nothing to read but why."""
UNREAD_KEPT_FOR = timedelta(days=365)
"""Most members read what they are told where they are told, and not in the inbox."""
REMOVED_KEPT_FOR = timedelta(days=90)
"""A channel that its owner removed, with what was told there."""
CODES_KEPT_FOR = timedelta(days=1)

NEVER_SENT = (Status.FAILED, Status.EXPIRED, Status.SKIPPED)


def past_their_time(now: datetime) -> "dict[str, QuerySet[Any]]":
    """What nobody looks at any more, by kind."""
    read = Q(read_at__isnull=False, created_at__lt=now - READ_KEPT_FOR)
    never_sent = Q(status__in=NEVER_SENT, expires_at__lt=now - READ_KEPT_FOR)
    unread = Q(created_at__lt=now - UNREAD_KEPT_FOR, expires_at__lt=now)
    return {
        "notifications": Notification.objects.filter(read | never_sent | unread),
        "channels": Channel.objects.filter(removed_at__lt=now - REMOVED_KEPT_FOR),
        "verification_codes": Verification.objects.filter(created_at__lt=now - CODES_KEPT_FOR),
    }


def absent(now: datetime) -> PreferenceQuerySet:
    """The members who have not been here for so long that reminders shall rest."""
    return Preference.objects.not_seen_since(now - INACTIVE_AFTER)
