from datetime import datetime

from config.database.batches import delete_in_batches
from contests.models import KEPT_AFTER_END, Contest, PlatformSync


def clean_up(now: datetime) -> dict[str, int]:
    """Delete what nobody looks at any more. Returns the number of rows by kind."""
    limit = now - KEPT_AFTER_END
    return {
        "contests": delete_in_batches(Contest.objects.finished_before(limit)),
        "syncs": delete_in_batches(PlatformSync.objects.filter(started_at__lt=limit)),
    }
