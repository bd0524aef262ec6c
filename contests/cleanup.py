from datetime import datetime
from typing import Any

from django.db.models import QuerySet

from contests.models import KEPT_AFTER_END, Contest, PlatformSync


def past_their_time(now: datetime) -> "dict[str, QuerySet[Any]]":
    """What nobody looks at any more, by kind."""
    limit = now - KEPT_AFTER_END
    return {
        "contests": Contest.objects.finished_before(limit),
        "syncs": PlatformSync.objects.filter(started_at__lt=limit),
    }
