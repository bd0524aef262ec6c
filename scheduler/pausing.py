"""What pauses hold back, what becomes of it when they end, and whether anything stands still that nobody paused."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from django.db import connection
from django.db.models import Exists, OuterRef, Q, QuerySet

from scheduler.models import Pause, PauseQuerySet, Run, RunQuerySet, Schedule, paused_sql, stops_sql
from scheduler.tick import LATE_AFTER, ROWS, occurrences, sentence
from scheduler.timing import timing_of

MOST_LOOKED_AT = 1_000
"""Overdue schedules among which one is looked for that is not paused; counted runs and schedules behind a pause."""


@dataclass(frozen=True, slots=True)
class Outlook:
    """What the end of a pause means for one schedule whose time came meanwhile."""

    schedule: Schedule
    came: int
    """Occurrences, of very long pauses the latest thousand."""
    run: int
    """How many of them run."""
    why: str
    """Its policy in words, or what is wrong with it."""


def waiting_runs(pauses: Sequence[Pause], now: datetime) -> RunQuerySet:
    """Runs that start when these pauses end, because nothing else stops them."""
    others = _others(pauses, now).filter(
        Q(schedule=None) | Q(schedule=OuterRef("schedule")), Q(task="") | Q(task=OuterRef("task"))
    )
    runs = Run.objects.waiting().filter(_stopped_by(pauses, "schedule", "task"), available_at__lte=now)
    return runs.exclude(Exists(others))


def missed_schedules(pauses: Sequence[Pause], now: datetime) -> "QuerySet[Schedule]":
    """Schedules that came meanwhile, and that nothing else stops, those first that came first."""
    due = Schedule.objects.filter(
        _stopped_by(pauses, "pk", "periodic_task__task"), next_run_at__lte=now, stale_since=None
    )
    return due.exclude(Exists(_others(pauses, now).of_schedules())).select_related(*ROWS).order_by("next_run_at")


def outlook(schedule: Schedule, now: datetime) -> Outlook:
    """What beat will do about what a schedule missed, as far as its row can be read."""
    try:
        came = occurrences(schedule, timing_of(schedule.periodic_task, schedule.seconds, schedule.anchor_at), now)
    except Exception as error:  # whatever a row holds that no form has seen: beat will set it aside
        return Outlook(schedule, 0, 0, sentence(error))
    run = sum(not occurrence.skipped for occurrence in came)
    return Outlook(schedule, len(came), run, str(schedule.get_missed_display()))


def _others(pauses: Sequence[Pause], now: datetime) -> PauseQuerySet:
    return Pause.objects.active(now).exclude(pk__in=[pause.pk for pause in pauses])


def _stopped_by(pauses: Sequence[Pause], schedule: str, task: str) -> Q:
    """What one of the pauses stops, by the names of the fields that say which schedule and which task it is."""
    stopped = Q(pk__in=[])
    for pause in pauses:
        if pause.schedule_id is None and not pause.task:
            return Q()
        stopped |= Q(**{schedule: pause.schedule_id}) if pause.schedule_id else Q(**{task: pause.task})
    return stopped


# --- At a glance -----------------------------------------------------------------------------------------------------

_TASK = "(SELECT task FROM django_celery_beat_periodictask WHERE id = schedule.periodic_task_id)"

_HELD_BACK = f"""
SELECT pause.id, waiting.number, missed.number
FROM scheduler_pause pause
CROSS JOIN LATERAL (
    SELECT count(*) AS number
    FROM (
        SELECT
        FROM scheduler_run run
        WHERE run.status IN ('queued', 'retrying')
            AND run.available_at <= %(now)s
            AND {stops_sql("run.schedule_id", "run.task")}
        LIMIT %(most)s
    ) counted
) waiting
CROSS JOIN LATERAL (
    SELECT count(*) AS number
    FROM (
        SELECT
        FROM scheduler_schedule schedule
        WHERE schedule.next_run_at <= %(now)s
            AND {stops_sql("schedule.periodic_task_id", _TASK)}
        LIMIT %(most)s
    ) counted
) missed
WHERE pause.id = ANY(%(pauses)s)
"""


def held_back(pauses: Sequence[int], now: datetime) -> dict[int, tuple[int, int]]:
    """By pause: how many runs wait behind it, and how many schedules came meanwhile, each up to MOST_LOOKED_AT."""
    with connection.cursor() as cursor:
        cursor.execute(_HELD_BACK, {"now": now, "most": MOST_LOOKED_AT, "pauses": list(pauses)})
        return {pause: (waiting, missed) for pause, waiting, missed in cursor.fetchall()}


_OVERDUE = f"""
SELECT EXISTS (
    SELECT FROM scheduler_schedule WHERE stale_since < %(before)s
) OR EXISTS (
    SELECT
    FROM (
        SELECT periodic_task_id
        FROM scheduler_schedule
        WHERE next_run_at < %(before)s AND stale_since IS NULL
        ORDER BY next_run_at
        LIMIT %(most)s
    ) schedule
    WHERE NOT {paused_sql("schedule.periodic_task_id", _TASK)}
)
"""


def is_anything_overdue(now: datetime) -> bool:
    """Whether a schedule stands still for more than a minute that nobody paused: no beat seems to run.

    Where more than a thousand are late because they are paused, one behind them may be overlooked.
    """
    with connection.cursor() as cursor:
        cursor.execute(_OVERDUE, {"before": now - LATE_AFTER, "now": now, "most": MOST_LOOKED_AT})
        (overdue,) = cursor.fetchone()
    return bool(overdue)
