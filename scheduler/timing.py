"""When a schedule comes: what its rows say, as one object that knows its occurrences."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import takewhile
from typing import Protocol

from django_celery_beat.models import PeriodicTask

from scheduler.cron import Cron

CRONTAB_FIELDS = ("minute", "hour", "day_of_month", "month_of_year", "day_of_week")
"""Of the row of a CrontabSchedule, in the order of a cron expression."""

INSTANT = timedelta(microseconds=1)


class Timing(Protocol):
    def after(self, moment: datetime) -> Iterator[datetime]:
        """The occurrences strictly after a moment, ascending, in UTC."""

    def between(self, first: datetime, last: datetime, most: int) -> list[datetime]:
        """The latest of them, at most so many, with both ends, ascending."""


@dataclass(frozen=True, slots=True)
class Interval:
    """Every so often, counted from `anchor`, which is itself the first occurrence where `at_once`."""

    anchor: datetime
    every: timedelta
    at_once: bool = False

    def after(self, moment: datetime) -> Iterator[datetime]:
        step = max(0 if self.at_once else 1, (moment - self.anchor) // self.every + 1)
        while True:
            yield self.anchor + step * self.every
            step += 1

    def between(self, first: datetime, last: datetime, most: int) -> list[datetime]:
        start = max(first, last - most * self.every) - INSTANT
        return list(takewhile(lambda occurrence: occurrence <= last, self.after(start)))[-most:]


@dataclass(frozen=True, slots=True)
class Once:
    at: datetime

    def after(self, moment: datetime) -> Iterator[datetime]:
        if self.at > moment:
            yield self.at

    def between(self, first: datetime, last: datetime, most: int) -> list[datetime]:
        return [self.at] if first <= self.at <= last else []


@dataclass(frozen=True, slots=True)
class Within:
    """Another timing, but nothing of it before `start` or after `end`."""

    timing: Timing
    start: datetime | None
    end: datetime | None

    def after(self, moment: datetime) -> Iterator[datetime]:
        if self.start:
            moment = max(moment, self.start - INSTANT)
        end = self.end
        return takewhile(lambda occurrence: end is None or occurrence <= end, self.timing.after(moment))

    def between(self, first: datetime, last: datetime, most: int) -> list[datetime]:
        first = max(first, self.start) if self.start else first
        last = min(last, self.end) if self.end else last
        return self.timing.between(first, last, most) if first <= last else []


def timing_of(task: PeriodicTask, seconds: str, anchor_at: datetime) -> Timing:
    """What the rows say. Raises ValidationError or ValueError, with a sentence, where they say nothing that comes.

    `seconds` and `anchor_at` are those of the task's Schedule. An interval counts from the row's start time, or else
    from when its timing was last edited; with `one_off` that makes “once, so long after its start”.
    """
    given = [name for name in ("crontab", "interval", "clocked", "solar") if getattr(task, f"{name}_id") is not None]
    if len(given) != 1:
        raise ValueError("No time is set." if not given else f"It has {len(given)} times, of which one has to go.")
    return Within(_timing_of(given[0], task, seconds, anchor_at), task.start_time, task.expires)


def _timing_of(kind: str, task: PeriodicTask, seconds: str, anchor_at: datetime) -> Timing:
    match kind:
        case "crontab":
            return Cron(cron_expression(task.crontab, seconds), task.crontab.timezone)
        case "interval":
            every = task.interval.schedule.run_every
            if every < timedelta(seconds=1):
                raise ValueError("An interval has to be a second or longer.")
            if task.one_off:
                return Once((task.start_time or anchor_at) + every)
            return Interval(task.start_time or anchor_at, every, at_once=task.start_time is not None)
        case "clocked":
            return Once(task.clocked.clocked_time.astimezone(UTC))
        case _:
            raise ValueError("Solar schedules are not supported: write a cron expression.")


def cron_expression(crontab: "object", seconds: str = "") -> str:
    """What a person would type for this row of CrontabSchedule, with the field for seconds first where there is one."""
    return " ".join([seconds, *(getattr(crontab, field) for field in CRONTAB_FIELDS)]).strip()


def next_occurrence(timing: Timing, after: datetime) -> datetime | None:
    return next(timing.after(after), None)
