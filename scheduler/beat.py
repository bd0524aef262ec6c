"""The scheduler process: `celery -A config beat`."""

import logging
from datetime import timedelta
from typing import Any

from django.conf import settings
from django.utils import timezone
from django_celery_beat.schedulers import DatabaseScheduler, ModelEntry

logger = logging.getLogger(__name__)


class Scheduler(DatabaseScheduler):
    """django-celery-beat's scheduler, which also tells each run when its schedule fires next."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if not settings.SCHEDULING_ENABLED:
            logger.warning("Scheduling is off (SCHEDULING_ENABLED): no schedule fires.")

    def install_default_entries(self, data: Any) -> None:
        """Nothing: no result is kept, so none has to be cleaned up, and no row appears that nobody asked for."""

    def tick(self, *args: Any, **kwargs: Any) -> float:
        return float(super().tick(*args, **kwargs) if settings.SCHEDULING_ENABLED else self.max_interval)

    def apply_async(self, entry: ModelEntry, *args: Any, **kwargs: Any) -> Any:
        now = timezone.now()
        wait = entry.schedule.remaining_estimate(now)
        headers = {**(entry.options.get("headers") or {}), "next_run_at": (now + max(wait, timedelta(0))).isoformat()}
        entry.options = {**entry.options, "headers": headers}
        return super().apply_async(entry, *args, **kwargs)
