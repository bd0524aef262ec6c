"""The scheduler process: `celery -A config beat`. Run as many as you like: they share the work, and none leads."""

import logging
import os
import socket
from datetime import datetime
from time import monotonic
from typing import Any, cast

from django.conf import settings
from django.db import DatabaseError, close_old_connections, connection
from django.utils import timezone
from django_celery_beat.schedulers import DatabaseScheduler

from scheduler.ledger import end_expired_pauses
from scheduler.publishing import BATCH as MESSAGES
from scheduler.publishing import publish, take_back_lost
from scheduler.rescue import rescue
from scheduler.tick import BATCH, fire, follow_edits

logger = logging.getLogger(__name__)

LONGEST_SLEEP = 0.5
"""Seconds between two looks, so that an edit is followed within one."""

LOST_EVERY = 5.0
"""Seconds between two comparisons with what the broker holds."""

LONGEST_BROKER_PAUSE = 15.0


class Scheduler(DatabaseScheduler):
    """Fires what is due by an index, and never holds a schedule in memory.

    Each pass: end pauses whose time is over, follow edits, record what came, publish what may start, rescue what lost
    its worker. Every step is a short transaction that another beat may take as well, so a beat can be killed anywhere.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.actor = f"beat {socket.gethostname()}:{os.getpid()}"
        self._broker_pause = 0.0
        self._broker_rests_until = 0.0
        self._look_for_lost_at = monotonic() + LOST_EVERY
        self._rescue_from = monotonic()
        if not settings.SCHEDULING_ENABLED:
            logger.warning("Scheduling is off (SCHEDULING_ENABLED): no schedule fires.")

    def setup_schedule(self) -> None:
        """Nothing: the rows are the schedule."""

    def sync(self) -> None:
        """Nothing: whatever was decided is committed."""

    @property
    def schedule(self) -> dict[str, Any]:
        return {}

    def tick(self, *args: Any, **kwargs: Any) -> float:
        """One pass. Returns the seconds until the next one. Survives the database, and says so once it is gone."""
        try:
            close_old_connections()
            more = self._pass()
        except Exception:
            logger.exception("Beat could not do its work, and goes on in a second")
            close_old_connections()
            # Workers may have been cut off as well, and need a moment to say that they live.
            self._rescue_from = monotonic() + 10
            return 1.0
        return 0.0 if more else _until_the_next_look()

    def _pass(self) -> bool:
        """Whether there is more to do at once."""
        now = timezone.now()
        end_expired_pauses(now, self.actor)
        edits = follow_edits(now, self.actor)
        fired = fire(now, self.actor) if settings.SCHEDULING_ENABLED else 0
        if fired >= BATCH:  # what comes meanwhile does not wait until very many that came at once are through
            fire(now, self.actor, latest_first=True)
        published = self._publish()
        if monotonic() >= self._rescue_from:
            rescue(_now_of_the_database(), self.actor)
        return edits >= BATCH or fired >= BATCH or published >= MESSAGES

    def _publish(self) -> int:
        if monotonic() < self._broker_rests_until:
            return 0
        try:
            published = publish(self.app, timezone.now())
            if monotonic() >= self._look_for_lost_at:
                self._look_for_lost_at = monotonic() + LOST_EVERY
                take_back_lost(self.app, timezone.now(), self.actor)
        except DatabaseError:
            raise
        except Exception as error:  # each broker's client raises its own
            self._broker_pause = min(LONGEST_BROKER_PAUSE, self._broker_pause * 2 or 1.0)
            self._broker_rests_until = monotonic() + self._broker_pause
            logger.warning("The broker is out of reach, and asked again in %.0f s: %s", self._broker_pause, error)
            return 0
        self._broker_pause = 0.0
        return published


def _now_of_the_database() -> datetime:
    with connection.cursor() as cursor:
        cursor.execute("SELECT clock_timestamp()")
        (now,) = cursor.fetchone()
    return cast(datetime, now)


def _until_the_next_look() -> float:
    """Schedules fire at whole seconds: wake just after one, and once in between."""
    past = timezone.now().microsecond / 1_000_000
    return min(LONGEST_SLEEP, 1.0 - past) + 0.001
