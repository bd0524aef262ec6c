import logging
from datetime import datetime, timedelta
from typing import Any

from celery import Task, shared_task
from django.utils import timezone

from contests.models import Contest
from notifications.dispatch import UNTIL_THE_NEXT_ROUND, dispatch, next_round

logger = logging.getLogger(__name__)

LONGEST_ROUND = timedelta(minutes=7)
"""Well within the time limit of tasks (CELERY_TASK_SOFT_TIME_LIMIT): another round goes on where this one ends."""

URGENT = 2 * UNTIL_THE_NEXT_ROUND
"""What begins within that time may begin before the next scheduled round, of which nobody may have said when it is."""

AT_LEAST = timedelta(seconds=10)
"""Between a round and one that follows it for the sake of what had to wait, as for the end of quiet hours."""


@shared_task(bind=True, title="Dispatch notifications")
def dispatch_notifications(self: "Task[[], dict[str, Any]]") -> dict[str, Any]:
    """Send the reminders that are due, or would be late by the next round.

    The scheduler says in the message's header `next_run_at` when that will be; without it, what it said to an earlier
    round holds, or half an hour is assumed. What could not be sent yet, or may not be, is sent by another round as soon
    as it may.
    """
    told = (self.request.headers or {}).get("next_run_at")
    next_round_at = next_round(timezone.now(), datetime.fromisoformat(told) if told else None)
    report = dispatch(next_round_at=next_round_at, within=LONGEST_ROUND)
    for error in report.errors:
        logger.warning("A message did not leave: %s", error)
    headers = {"next_run_at": next_round_at.isoformat()}
    soonest = timezone.now() + AT_LEAST
    if report.unfinished:
        self.apply_async(headers=headers)
    elif report.next_at and max(report.next_at, soonest) < next_round_at:
        self.apply_async(eta=max(report.next_at, soonest), headers=headers)
    return report.as_dict()


def dispatch_soon() -> None:
    """Ask a worker for a round now. Where the broker is out of reach the next scheduled round does it."""
    try:
        dispatch_notifications.delay()
    except Exception as error:  # each broker's client raises its own
        logger.warning("No round of reminders could be asked for: %s. The next scheduled one will do it.", error)


def dispatch_if_urgent() -> None:
    """Ask for a round where a scheduled one may come too late: something begins before it, and a member changed what
    they want to hear of."""
    now = timezone.now()
    until = max(now + URGENT, next_round(now))
    if Contest.objects.filter(starts_at__gt=now, starts_at__lte=until).exists():
        dispatch_soon()
