"""What is due becomes runs: each occurrence once, however many beats look."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.core.exceptions import ValidationError
from django.db import connection, transaction
from django.db.models import Exists, F

from scheduler.ledger import taken_over
from scheduler.models import UNFINISHED, Event, Missed, Overlap, Pause, Run, RunEvent, Schedule, Status, Trigger
from scheduler.timing import Timing, next_occurrence, timing_of

BATCH = 300
"""Schedules in one transaction: a tenth of a second or so, for which everything else waits."""

ON_TIME = timedelta(seconds=60)
"""The latest occurrence is not missed before it is so late; an earlier one is, for the next has come."""

LATE_AFTER = timedelta(minutes=1)
"""A schedule that came, or was edited, longer ago, and that nobody paused, tells that no beat runs."""

RECORDED_EACH = 1000
"""Of longer gaps the latest occurrences are recorded one by one, and those before them in one row."""

ROWS = ("periodic_task__crontab", "periodic_task__interval", "periodic_task__clocked")


@dataclass(slots=True)
class Occurrence:
    at: datetime
    skipped: str = ""
    """Why it does not run; nothing where it does."""


# --- Edits -----------------------------------------------------------------------------------------------------------


@transaction.atomic
def follow_edits(now: datetime, actor: str, *, only: Collection[int] | None = None) -> int:
    """Reckon anew when the schedules come whose timing was edited, the latest edits first. Returns their number.

    Their next occurrence is the first one after the edit, so that enabling or editing never fires the past. `only` are
    keys: where staff save a schedule its next occurrence is known in the same transaction.

    The rows are read when they are locked, by a statement of its own: what was edited while the lock was taken would be
    joined as it was before, and its mark be wiped away.
    """
    stale = Schedule.objects.filter(stale_since__isnull=False).order_by("-stale_since")
    if only is not None:
        stale = stale.filter(pk__in=only)
    locked = list(stale.select_for_update(skip_locked=only is None).values_list("pk", flat=True)[:BATCH])
    schedules = list(Schedule.objects.filter(pk__in=locked).select_related(*ROWS)) if locked else []
    recorded = _recorded_since_edit(locked)
    events = []
    for schedule in schedules:
        schedule.next_run_at, error = _next_run(schedule, recorded)
        if error and error != schedule.error:
            events.append(schedule.event(Event.SET_ASIDE, actor, now, message=error))
        schedule.error = error
    _write(schedules)
    RunEvent.objects.bulk_create(events)
    return len(schedules)


def _recorded_since_edit(keys: Collection[int]) -> set[tuple[int | None, datetime | None]]:
    """The occurrences after the last edit that have their runs: the clock of a beat was ahead of the database's."""
    runs = Run.objects.filter(schedule__in=keys, occurrence__gt=F("schedule__stale_since"))
    return set(runs.values_list("schedule", "occurrence")) if keys else set()


def _next_run(
    schedule: Schedule, recorded: Collection[tuple[int | None, datetime | None]]
) -> tuple[datetime | None, str]:
    if not schedule.periodic_task.enabled:
        return None, ""
    try:
        edited_at = schedule.stale_since or schedule.anchor_at
        timing = timing_of(schedule.periodic_task, schedule.seconds, schedule.anchor_at)
        taken_over(schedule, edited_at)
        coming = (occurrence for occurrence in timing.after(edited_at) if (schedule.pk, occurrence) not in recorded)
        return next(coming, None), ""
    except Exception as error:
        # Whatever a row holds that no form has seen, it stops nothing but itself.
        return None, sentence(error)


def sentence(error: Exception) -> str:
    return " ".join(error.messages) if isinstance(error, ValidationError) else str(error) or type(error).__name__


# --- Due ones --------------------------------------------------------------------------------------------------------


@transaction.atomic
def fire(now: datetime, actor: str, *, latest_first: bool = False) -> int:
    """Record the occurrences that came, and advance their schedules, a batch of them. Returns the number of schedules.

    1. Lock what is due; another beat takes the rest, and what is being edited waits for the edit.
    2. Say of each occurrence whether it runs, by the schedule's policy for missed ones and for overlap.
    3. Insert the runs, advance the schedules and note in the PeriodicTasks what tools look for there, a statement each.

    A row that cannot be read is set aside with its error.
    """
    if Pause.objects.active(now).filter(schedule=None, task="").exists():
        return 0
    due = (
        Schedule.objects.filter(next_run_at__lte=now, stale_since=None)
        .exclude(Exists(Pause.objects.active(now).of_schedules()))
        .order_by("-next_run_at" if latest_first else "next_run_at")
        .select_related(*ROWS)
        # Both rows, as both are written: waiting for the second while its editor waits for the first would be for ever.
        .select_for_update(skip_locked=True, of=("self", "periodic_task"))
    )
    schedules = list(due[:BATCH])
    if not schedules:
        return 0
    waiting, busy = _unfinished(schedules)
    runs: list[Run] = []
    events = []
    for schedule in schedules:
        try:
            timing = timing_of(schedule.periodic_task, schedule.seconds, schedule.anchor_at)
            coming = next_occurrence(timing, now)
            came = occurrences(schedule, timing, now, _occupied(schedule, waiting, busy))
            schedule_runs = _runs(taken_over(schedule, now, coming), came, now, actor)
            schedule.next_run_at = None if _is_over(schedule, schedule_runs) else coming
            runs += schedule_runs
        except Exception as error:
            schedule.next_run_at, schedule.error = None, sentence(error)
            events.append(schedule.event(Event.SET_ASIDE, actor, now, message=schedule.error))
    Run.objects.bulk_create(runs, ignore_conflicts=True)
    RunEvent.objects.bulk_create(events)
    _write(schedules)
    _note(runs, now)
    return len(schedules)


def _unfinished(schedules: Sequence[Schedule]) -> tuple[set[int], set[int]]:
    """The keys of those that have a run waiting to start, and of those that have any that is unfinished."""
    keys = [schedule.pk for schedule in schedules if schedule.overlap != Overlap.ALLOW]
    rows = Run.objects.filter(schedule__in=keys, status__in=UNFINISHED).values_list("schedule", "status").distinct()
    found = list(rows)
    return {key for key, status in found if status == Status.QUEUED}, {key for key, _ in found}


def _occupied(schedule: Schedule, waiting: set[int], busy: set[int]) -> str:
    match schedule.overlap:
        case Overlap.SKIP if schedule.pk in busy:
            return "An earlier run was not finished yet."
        case Overlap.QUEUE if schedule.pk in waiting:
            return "An earlier run was still waiting."
    return ""


def _is_over(schedule: Schedule, runs: Sequence[Run]) -> bool:
    """What comes once is over when it has run, not when it was skipped."""
    return schedule.periodic_task.one_off and any(run.status != Status.SKIPPED for run in runs)


def _runs(values: dict[str, Any], came: Sequence[Occurrence], now: datetime, actor: str) -> list[Run]:
    """The runs of the occurrences that came, those that are skipped among them."""
    return [
        Run(
            **values,
            trigger=Trigger.SCHEDULE,
            actor=actor,
            occurrence=occurrence.at,
            created_at=now,
            available_at=now,
            status=Status.SKIPPED if occurrence.skipped else Status.QUEUED,
            finished_at=now if occurrence.skipped else None,
            error=occurrence.skipped,
        )
        for occurrence in came
    ]


def occurrences(schedule: Schedule, timing: Timing, now: datetime, occupied: str = "") -> list[Occurrence]:
    """What came since `next_run_at`, with that, and what becomes of each by the schedule's policies.

    First goes what could not start now whatever the policy for missed ones says, so that none is said to stand for
    others that does not run itself.
    """
    first = schedule.next_run_at
    assert first is not None
    came = [Occurrence(at) for at in timing.between(first, now, RECORDED_EACH)]
    latest = came[-1].at if came else first
    on_time = now - latest <= ON_TIME
    missed = came[:-1] if on_time else came
    if schedule.max_lateness:
        limit = timedelta(seconds=schedule.max_lateness)
        late = [occurrence for occurrence in came if now - occurrence.at > limit]
        _skip(late, f"It could start {limit} after its time at the latest.")
    ends_at = schedule.periodic_task.expires
    if ends_at and now > ends_at:
        _skip(missed, f"It was missed, and its schedule ended on {ends_at:%Y-%m-%d %H:%M:%S} UTC.")
    if occupied:
        _skip(came, occupied)
    # What comes once runs once, whatever is said of missed ones.
    match Missed.ONCE if schedule.periodic_task.one_off and schedule.missed == Missed.EACH else schedule.missed:
        case Missed.SKIP:
            _skip(missed, "It was missed, and missed runs are skipped.")
        case Missed.ONCE if on_time:
            _skip(missed, f"It was missed; the run of {latest:%Y-%m-%d %H:%M:%S} UTC stands for it.")
        case Missed.ONCE:
            _skip(missed[:-1], f"It was missed; the run of {latest:%Y-%m-%d %H:%M:%S} UTC stands for it.")
        case Missed.EACH:
            cap = schedule.missed_cap
            _skip(missed[: max(0, len(missed) - cap)], f"It was missed, and of missed runs the latest {cap} are run.")
    if came and came[0].at > first:
        came.insert(
            0, Occurrence(first, f"It was missed, and with it all others before {came[0].at:%Y-%m-%d %H:%M:%S} UTC.")
        )
    return came


def _skip(missed: Sequence[Occurrence], reason: str) -> None:
    for occurrence in missed:
        occurrence.skipped = occurrence.skipped or reason


# --- Writing ---------------------------------------------------------------------------------------------------------

_ADVANCE = """
UPDATE scheduler_schedule schedule
SET next_run_at = new.next_run_at,
    error = new.error,
    stale_since = NULL
FROM unnest(%s::int[], %s::timestamptz[], %s::text[]) AS new(id, next_run_at, error)
WHERE schedule.periodic_task_id = new.id
"""

# Only these columns, so that no edit by staff is lost; one that comes once is over when it has run.
_NOTE = """
UPDATE django_celery_beat_periodictask task
SET last_run_at = %s,
    total_run_count = task.total_run_count + new.runs,
    enabled = task.enabled AND NOT task.one_off
FROM unnest(%s::int[], %s::int[]) AS new(id, runs)
WHERE task.id = new.id
"""


def _write(schedules: Sequence[Schedule]) -> None:
    rows = [(schedule.pk, schedule.next_run_at, schedule.error) for schedule in schedules]
    if rows:
        with connection.cursor() as cursor:
            cursor.execute(_ADVANCE, [list(column) for column in zip(*rows, strict=True)])


def _note(runs: Sequence[Run], now: datetime) -> None:
    counts: dict[int, int] = {}
    for run in runs:
        if run.status != Status.SKIPPED and run.schedule_id is not None:
            counts[run.schedule_id] = counts.get(run.schedule_id, 0) + 1
    if counts:
        with connection.cursor() as cursor:
            cursor.execute(_NOTE, [now, list(counts), list(counts.values())])
