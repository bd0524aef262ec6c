"""Schedules as staff know them: described, judged, saved, turned on and off, deleted. Their rows are PeriodicTasks."""

from collections.abc import Collection, Iterable, Mapping
from datetime import datetime
from enum import StrEnum
from typing import Any, TypeVar
from zoneinfo import ZoneInfo

from django.core.exceptions import ValidationError
from django.db import connection, transaction
from django.db.models import Exists, OuterRef, Q, QuerySet
from django_celery_beat.models import ClockedSchedule, CrontabSchedule, IntervalSchedule, PeriodicTask, PeriodicTasks

from scheduler import cron
from scheduler.jobs import jobs, parsed, require_known, validate_headers
from scheduler.models import Event, Pause, Priority, Run, RunEvent, Schedule, Status
from scheduler.tick import BATCH, LATE_AFTER, follow_edits, sentence
from scheduler.timing import CRONTAB_FIELDS, cron_expression, next_occurrence, timing_of

WITH_ITS_TIMES = ("scheduling__owner", "crontab", "interval", "clocked", "solar")
"""What to select with PeriodicTasks that are described or judged."""

DECIDED_BY_STAFF = (
    *("name", "task", "enabled", "description", "crontab", "interval", "clocked", "solar", "one_off", "start_time"),
    *("expires", "expire_seconds", "args", "kwargs", "headers", "queue", "priority", "date_changed"),
)
"""Columns of a PeriodicTask. The others are the scheduler's, which may write them at any moment."""

OWN_FIELDS = (
    *("owner", "seconds", "missed", "missed_cap", "max_lateness", "overlap", "max_attempts"),
    *("retry_backoff", "retry_backoff_max", "time_limit"),
)
"""Of a Schedule, what staff decide."""

Row = TypeVar("Row", CrontabSchedule, IntervalSchedule, ClockedSchedule)


class State(StrEnum):
    ON = "on"
    OFF = "off"
    PAUSED = "paused"
    LATE = "late"
    BROKEN = "broken"
    ENDED = "ended"


# --- Rows of times, which schedules share ----------------------------------------------------------------------------


def install(schedules: Mapping[str, tuple[str, str]], *, using: str = "default") -> None:
    """Make the rows that are missing: name → (task, cron expression in UTC). No row that exists is touched.

    A schedule is not missing where its job has another one: somebody renamed it, or made one that they like better.
    """
    rows = PeriodicTask.objects.using(using).values_list("name", "task")
    names, tasks = {name for name, _ in rows}, {task for _, task in rows}
    for name, (task, expression) in schedules.items():
        if name not in names and task not in tasks:
            PeriodicTask.objects.using(using).create(name=name, task=task, crontab=crontab(expression, "UTC"))


def crontab(expression: str, zone: str) -> CrontabSchedule:
    """The row for an expression of five fields, made where missing. Raises ValidationError with a sentence."""
    seconds, row = unsaved_crontab(expression, zone)
    if seconds:
        raise ValidationError("The field for seconds is kept in the Schedule: this row has the other five.")
    return stored(row)


def unsaved_crontab(expression: str, zone: str) -> tuple[str, CrontabSchedule]:
    """The field for seconds, empty where there is none, and a row for the other five, normalized.

    Raises ValidationError with a sentence where the expression is not understood, or never comes.
    """
    cron.validate(expression)
    *seconds, minute, hour, day, month, weekday = cron.normalized(expression).split()
    fields = dict(zip(CRONTAB_FIELDS, (minute, hour, day, month, weekday), strict=True))
    return "".join(seconds), CrontabSchedule(**fields, timezone=ZoneInfo(zone))


@transaction.atomic
def stored(row: Row) -> Row:
    """The row that says the same, made where missing: many schedules share one, as django-celery-beat has it.

    It is locked until the transaction ends, so that nobody forgets it before a schedule refers to it.
    """
    model = type(row)
    fields = {field.name: getattr(row, field.name) for field in model._meta.concrete_fields if not field.primary_key}
    existing: Row | None = model.objects.select_for_update().filter(**fields).order_by("pk").first()
    return existing or model.objects.create(**fields)


@transaction.atomic
def forget_unused(rows: Iterable[CrontabSchedule | IntervalSchedule | ClockedSchedule | None]) -> None:
    """Delete those to which no schedule refers: deleting one that is in use would delete its schedules."""
    by_model: dict[Any, set[int]] = {}
    for row in rows:
        if row is not None:
            by_model.setdefault(type(row), set()).add(row.pk)
    for model, keys in by_model.items():
        locked = list(model.objects.select_for_update().filter(pk__in=keys).values_list("pk", flat=True))
        model.objects.filter(pk__in=locked, periodictask=None).delete()


def _times_of(tasks: Iterable[PeriodicTask]) -> list[Any]:
    return [row for task in tasks for row in (task.crontab, task.interval, task.clocked)]


# --- In words --------------------------------------------------------------------------------------------------------


def expression(task: PeriodicTask) -> str:
    """What a person would type for its crontab; nothing where it has none."""
    return cron_expression(task.crontab, task.scheduling.seconds) if task.crontab else ""


def in_words(task: PeriodicTask, *, with_zone: bool = False) -> str:
    """When it runs, as a person would say it; as well as that can be said of a row that no form has seen."""
    if task.crontab:
        words = cron.in_words(expression(task)) or "Not understood"
        zone = f" ({task.crontab.timezone})" if with_zone else ""
        return f"{words}{zone}, one time only" if task.one_off else f"{words}{zone}"
    if task.interval:
        every = str(task.interval)
        return f"Once, {every.removeprefix('every ')} after its start" if task.one_off else every.capitalize()
    if task.clocked:
        return f"Once, at {task.clocked.clocked_time:%Y-%m-%d %H:%M:%S} UTC"
    return f"{task.solar.get_event_display()}, which is not supported" if task.solar else "No time is set"


def described(task: PeriodicTask) -> dict[str, str]:
    """What staff decided, in their words: field → value, empty where it says nothing. The audit compares these."""
    own: Schedule = task.scheduling
    job = jobs().get(task.task)
    return {
        "name": task.name,
        "job": f"{job.title} ({task.task})" if job else task.task,
        "on": "yes" if task.enabled else "no",
        "description": task.description,
        "owner": str(own.owner or ""),
        "when": f"{expression(task)} ({task.crontab.timezone})" if task.crontab else in_words(task),
        "only once": "yes" if task.one_off else "no",
        "starts": _moment(task.start_time),
        "ends": _moment(task.expires),
        "arguments by name": task.kwargs or "{}",
        "arguments as a list": task.args or "[]",
        "priority": Priority.of(task.priority).label,
        "queue": task.queue or "",
        "headers": task.headers or "{}",
        "seconds until a run expires": _number(task.expire_seconds),
        "missed runs": str(own.get_missed_display()),
        "missed runs at most": str(own.missed_cap),
        "latest start": _number(own.max_lateness),
        "overlap": str(own.get_overlap_display()),
        "attempts": _number(own.max_attempts),
        "first wait": _number(own.retry_backoff),
        "longest wait": _number(own.retry_backoff_max),
        "time limit": _number(own.time_limit),
    }


def _moment(moment: datetime | None) -> str:
    return f"{moment:%Y-%m-%d %H:%M:%S} UTC" if moment else ""


def _number(number: int | None) -> str:
    return "" if number is None else str(number)


# --- Judged ----------------------------------------------------------------------------------------------------------


def active_pauses(tasks: Iterable[PeriodicTask], now: datetime) -> list[Pause]:
    """The pauses that may stop one of these."""
    keys = [task.pk for task in tasks]
    return list(Pause.objects.active(now).filter(Q(schedule=None) | Q(schedule__in=keys)))


def is_paused(task: PeriodicTask, pauses: Iterable[Pause]) -> bool:
    return any(pause.schedule_id in (None, task.pk) and pause.task in ("", task.task) for pause in pauses)


def state_of(task: PeriodicTask, pauses: Iterable[Pause], now: datetime) -> State:
    own: Schedule = task.scheduling
    if not task.enabled:
        return State.ENDED if task.one_off and task.total_run_count else State.OFF
    if own.error:
        return State.BROKEN
    if own.stale_since is None and own.next_run_at is None:
        return State.ENDED
    if is_paused(task, pauses):
        return State.PAUSED
    return State.LATE if own.next_run_at and own.next_run_at < now - LATE_AFTER else State.ON


def in_state(tasks: "QuerySet[PeriodicTask]", state: State, now: datetime) -> "QuerySet[PeriodicTask]":
    """Those of which `state_of` says so, found by an index; what has ended counts as off where that turned it off."""
    working = Q(enabled=True, scheduling__error="")
    match state:
        case State.OFF:
            return tasks.filter(enabled=False)
        case State.BROKEN:
            return tasks.filter(enabled=True, scheduling__error__gt="")
        case State.ENDED:
            return tasks.filter(working, scheduling__stale_since=None, scheduling__next_run_at=None)
        case State.PAUSED:
            return tasks.filter(working & _paused(now))
        case State.LATE:
            return tasks.filter(working, scheduling__next_run_at__lt=now - LATE_AFTER).exclude(_paused(now))
        case State.ON:
            coming = Q(scheduling__next_run_at__gte=now - LATE_AFTER) | Q(scheduling__stale_since__isnull=False)
            return tasks.filter(working & coming).exclude(_paused(now))


def _paused(now: datetime) -> Q:
    """Pauses are few, but for those of single schedules: these are looked up, the others written into the query."""
    found = Q(pk__in=Pause.objects.active(now).filter(task="", schedule__isnull=False).values("schedule"))
    for schedule, task in (
        Pause.objects.active(now).exclude(schedule__isnull=False, task="").values_list("schedule", "task")
    ):
        named = Q(task=task) if task else Q(pk__isnull=False)
        found |= named & Q(pk=schedule) if schedule else named
    return found


def problem(task: PeriodicTask) -> str:
    """Why this schedule does not work, or would not were it on, in a sentence; nothing where it does."""
    own: Schedule = task.scheduling
    if own.error:
        return own.error
    try:
        next_occurrence(timing_of(task, own.seconds, own.anchor_at), own.anchor_at)
        require_runnable(task)
    except Exception as error:
        # Whatever a row holds that no form has seen.
        return sentence(error)
    return ""


def require_runnable(task: PeriodicTask) -> None:
    """Refuse, with a sentence, what no worker could run, whenever it came. Raises ValidationError."""
    validate_headers(task.headers or "")
    args, kwargs = parsed(task.args, list), parsed(task.kwargs, dict)
    require_known(task.task, task.queue)
    if job := jobs().get(task.task):
        job.validate(args, kwargs)


# --- Decided by staff ------------------------------------------------------------------------------------------------


@transaction.atomic
def save(task: PeriodicTask, own: Mapping[str, Any], actor: str, now: datetime) -> None:
    """Save a schedule as staff decided, with an event if anything is different from before.

    `own` are fields of its Schedule. The rows of its times may be unsaved ones.

    1. Lock it: a beat that is about to fire it goes on to others meanwhile.
    2. Find or make the rows of its times; never change one, for other schedules may refer to it.
    3. Write what staff decide, and nothing of what the scheduler notes in the same rows.
    4. Reckon when it comes next.
    5. Say in the audit what was before, and forget the rows of times that nobody uses any more.
    """
    before = next(iter(locked([task.pk])), None) if task.pk else None
    task.headers = task.headers or "{}"  # for PeriodicTask.save() would write NULL, which the column refuses
    for name in ("crontab", "interval", "clocked"):
        row = getattr(task, name)
        if row is not None and row.pk is None:
            setattr(task, name, stored(row))
    if before:
        task.save(update_fields=DECIDED_BY_STAFF)
    else:
        task.save()
    Schedule.objects.filter(pk=task.pk).update(**own)
    follow_edits(now, actor, only=[task.pk])
    after = PeriodicTask.objects.select_related(*WITH_ITS_TIMES).get(pk=task.pk)
    if changes := _changes(described(before) if before else {}, described(after)):
        after.scheduling.event(Event.EDITED if before else Event.CREATED, actor, now, changes=changes).save()
    if before:
        forget_unused(_times_of([before]))


def locked(keys: Collection[int]) -> list[PeriodicTask]:
    """These schedules with their times, locked until the transaction ends, in the order in which everybody locks."""
    rows = Schedule.objects.filter(pk__in=keys).select_related("periodic_task").order_by("pk")
    list(rows.select_for_update(of=("self", "periodic_task")))
    return list(PeriodicTask.objects.filter(pk__in=keys).select_related(*WITH_ITS_TIMES).order_by("pk"))


def _changes(before: Mapping[str, str], after: Mapping[str, str]) -> dict[str, list[str]]:
    return {field: [before.get(field, ""), value] for field, value in after.items() if before.get(field, "") != value}


@transaction.atomic
def turn(tasks: "QuerySet[PeriodicTask]", actor: str, now: datetime, *, on: bool) -> list[PeriodicTask]:
    """Turn these on or off, as far as they are not. Returns those that were; a job that nobody knows stays off."""
    may = tasks.filter(enabled=not on)
    if on:
        may = may.filter(task__in=jobs())
    turned = [task for task in locked(list(may.values_list("pk", flat=True))) if task.enabled != on]
    keys = [task.pk for task in turned]
    PeriodicTask.objects.filter(pk__in=keys).update(enabled=on, date_changed=now)
    PeriodicTasks.update_changed()
    # Of more than a batch beat follows the rest, within seconds.
    follow_edits(now, actor, only=keys[:BATCH])
    changes = {"on": ["no", "yes"] if on else ["yes", "no"]}
    events = [task.scheduling.event(Event.EDITED, actor, now, changes=changes) for task in turned]
    RunEvent.objects.bulk_create(events, BATCH)
    return turned


@transaction.atomic
def delete(tasks: "QuerySet[PeriodicTask]", actor: str, now: datetime) -> int:
    """Delete these, by a statement rather than row by row. Returns their number; runs and events keep their names."""
    gone = locked(list(tasks.values_list("pk", flat=True)))
    RunEvent.objects.bulk_create([task.scheduling.event(Event.DELETED, actor, now) for task in gone], BATCH)
    with connection.cursor() as cursor:
        # What belongs to them goes by a trigger.
        cursor.execute("DELETE FROM django_celery_beat_periodictask WHERE id = ANY(%s)", [[task.pk for task in gone]])
    PeriodicTasks.update_changed()
    forget_unused(_times_of(gone))
    return len(gone)


@transaction.atomic
def duplicate(task: PeriodicTask, actor: str, now: datetime) -> PeriodicTask:
    """A copy that is off, under another name."""
    kept = {name: getattr(task, name) for name in DECIDED_BY_STAFF if name != "date_changed"}
    copy = PeriodicTask(**{**kept, "name": _free_name(task.name), "enabled": False})
    own = {name: getattr(task.scheduling, name) for name in OWN_FIELDS}
    save(copy, own, actor, now)
    return copy


def _free_name(name: str) -> str:
    longest = PeriodicTask._meta.get_field("name").max_length
    for number in range(1, 1000):
        ending = " (copy)" if number == 1 else f" (copy {number})"
        found = f"{name[: longest - len(ending)]}{ending}"
        if not PeriodicTask.objects.filter(name=found).exists():
            return found
    raise ValidationError("There are too many copies of it already.")


# --- How they went ---------------------------------------------------------------------------------------------------

_LATEST = """
SELECT run.id, run.schedule_id, run.status, run.occurrence, run.created_at, run.started_at, run.finished_at,
    left(run.error, 200) AS error
FROM unnest(%(keys)s::int[]) AS schedule(id)
CROSS JOIN LATERAL (
    SELECT *
    FROM scheduler_run
    WHERE schedule_id = schedule.id
    ORDER BY created_at DESC, occurrence DESC
    LIMIT %(most)s
) run
"""


def latest_runs(tasks: Iterable[PeriodicTask], most: int) -> dict[int, list[Run]]:
    """The latest runs of each of these schedules by its key, the newest first; of a long error the beginning."""
    found: dict[int, list[Run]] = {task.pk: [] for task in tasks}
    for run in Run.objects.raw(_LATEST, {"keys": list(found), "most": most}):
        found[run.schedule_id or 0].append(run)
    return found


def failing(tasks: "QuerySet[PeriodicTask]") -> "QuerySet[PeriodicTask]":
    """Those whose last run that was worth speaking of failed.

    These are few and looked up first, by an index of what failed: PostgreSQL would rather go through all schedules.
    """
    better = Run.objects.filter(
        schedule=OuterRef("schedule"), created_at__gt=OuterRef("created_at"), status=Status.SUCCEEDED
    )
    failed = Run.objects.filter(status__in=(Status.FAILED, Status.LOST), schedule__isnull=False)
    keys = failed.exclude(Exists(better)).order_by("schedule").values_list("schedule", flat=True).distinct()
    return tasks.filter(pk__in=list(keys))
