from datetime import datetime, timedelta

from config.database.batches import delete_in_batches
from notifications.models import INACTIVE_AFTER, Notification, Preference

READ_KEPT_FOR = timedelta(days=90)


def clean_up(now: datetime) -> dict[str, int]:
    """Delete old read notifications, and let reminders rest for members who have not been here for long.

    Returns the number of rows by kind.
    """
    read = Notification.objects.filter(read_at__isnull=False, created_at__lt=now - READ_KEPT_FOR)
    return {
        "notifications": delete_in_batches(read),
        "members_marked_inactive": Preference.objects.not_seen_since(now - INACTIVE_AFTER).update(active=False),
    }
