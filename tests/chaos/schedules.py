"""What is scheduled, and when it has to come: reckoned second by second, and not by what is tried here."""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from django.db import transaction
from django.utils import timezone
from django_celery_beat.models import IntervalSchedule, PeriodicTask
from kombu.utils.json import dumps

from scheduler.models import Missed, Overlap, Schedule
from scheduler.schedules import crontab

SECOND = timedelta(seconds=1)


@dataclass(frozen=True)
class Scheduled:
    name: str
    comes: Callable[[datetime, datetime], bool]
    """Whether it comes at a moment, given when its timing was made; moments are whole seconds after the latter's."""
    seconds: str = ""
    expression: str = ""
    every: int = 0
    priority: int = 3
    kwargs: dict[str, Any] = field(default_factory=dict)


SCHEDULED = [
    Scheduled(
        "every second",
        lambda moment, _: moment.microsecond == 0,
        seconds="*",
        expression="* * * * *",
        kwargs={"longest": 1.0, "failing": 0.1, "dying": 0.02},
    ),
    Scheduled(
        "every seven seconds",
        lambda moment, _: moment.microsecond == 0 and moment.second % 7 == 0,
        seconds="*/7",
        expression="* * * * *",
        priority=6,
        kwargs={"longest": 3.0, "children": 0.5},
    ),
    Scheduled(
        "every minute",
        lambda moment, _: moment.microsecond == 0 and moment.second == 0,
        expression="* * * * *",
        priority=9,
        kwargs={"longest": 3.0, "failing": 0.3},
    ),
    Scheduled(
        "three seconds apart",
        lambda moment, made: (moment - made) % (3 * SECOND) == timedelta(0),
        every=3,
        priority=0,
        kwargs={"longest": 3.0, "failing": 0.1, "dying": 0.05},
    ),
]


@dataclass(frozen=True, slots=True)
class Made:
    scheduled: Scheduled
    at: datetime
    """Occurrences come after this."""
    end: datetime

    @property
    def seconds_left(self) -> float:
        return max(0.0, (self.end - timezone.now()).total_seconds())

    def expected(self) -> set[datetime]:
        """The occurrences in (at, end]."""
        whole = self.at.replace(microsecond=0)
        seconds = range(int((self.end - whole) / SECOND) + 1)
        moments = {start + second * SECOND for start in (whole, self.at) for second in seconds}
        return {at for at in moments if self.at < at <= self.end and self.scheduled.comes(at, self.at)}


@transaction.atomic
def make(seconds: float) -> list[Made]:
    """Make the schedules, which end after so many seconds. Nothing of them is known to a beat before this returns."""
    end = timezone.now() + timedelta(seconds=seconds)
    PeriodicTask.objects.update(enabled=False)
    return [_make(scheduled, end) for scheduled in SCHEDULED]


def _make(scheduled: Scheduled, end: datetime) -> Made:
    interval = None
    if scheduled.every:
        interval = IntervalSchedule.objects.create(every=scheduled.every, period=IntervalSchedule.SECONDS)
    task = PeriodicTask.objects.create(
        name=scheduled.name,
        task="tests.chaos.jobs.suffer",
        crontab=crontab(scheduled.expression, "UTC") if scheduled.expression else None,
        interval=interval,
        priority=scheduled.priority,
        kwargs=dumps(scheduled.kwargs),
        expires=end,
    )
    Schedule.objects.filter(pk=task.pk).update(
        seconds=scheduled.seconds, missed=Missed.EACH, missed_cap=1000, overlap=Overlap.ALLOW, max_attempts=10
    )
    schedule = Schedule.objects.get(pk=task.pk)
    assert schedule.stale_since is not None
    return Made(scheduled, schedule.anchor_at if scheduled.every else schedule.stale_since, end)
