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

    def reserve(self, entry: ModelEntry) -> ModelEntry:
        """Keep what was noted, as Celery's own scheduler does: read anew, an edit would have it fire a second time."""
        self._schedule[entry.name] = super().reserve(entry)
        return self._schedule[entry.name]

    def apply_async(self, entry: ModelEntry, *args: Any, **kwargs: Any) -> Any:
        now = timezone.now()
        wait = max(entry.schedule.remaining_estimate(now), timedelta(0))
        # The estimate is of a moment later than `now`, and schedules fire at whole seconds.
        next_run_at = (now + wait + timedelta(microseconds=999_999)).replace(microsecond=0)
        headers = {**(entry.options.get("headers") or {}), "next_run_at": next_run_at.isoformat()}
        entry.options = {**entry.options, "headers": headers}
        return super().apply_async(entry, *args, **kwargs)
