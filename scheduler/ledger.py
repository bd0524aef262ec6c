"""Runs as rows: asked for, cancelled, repeated. A message to the workers only ever speaks of a row.

Celery's `apply_async` and everything built on it (`delay`, signatures, `send_task`) ends in `enqueue`, so any task is
recorded without importing this.
"""

import logging
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import datetime, timedelta
from typing import Any, cast
from uuid import NAMESPACE_OID, UUID, uuid4, uuid5

from celery import current_app
from celery.result import AsyncResult
from django.db import DatabaseError, connection, transaction
from django.utils import timezone
from kombu.exceptions import EncodeError
from kombu.utils.json import dumps

from scheduler.app import App
from scheduler.jobs import CELERYS_HEADERS, parsed, require_known, tasks, validate_headers
from scheduler.models import WAITING, Event, Overlap, Pause, Priority, Run, RunEvent, Schedule, Status, Trigger
from scheduler.publishing import publish, send

logger = logging.getLogger(__name__)

_acting: ContextVar[tuple[Trigger, str, UUID | None]] = ContextVar("acting", default=(Trigger.API, "", None))

KEPT_OPTIONS = (
    "queue",
    "exchange",
    "routing_key",
    "headers",
    "time_limit",
    "soft_time_limit",
    "link",
    "link_error",
    "chain",
    "chord",
    "group_id",
    "group_index",
    "root_id",
    "shadow",
    "compression",
    "stamped_headers",
)
"""Of Celery's options those that a message made from the row has to carry again."""


@contextmanager
def acting(trigger: Trigger, actor: str, parent: UUID | None = None) -> Iterator[None]:
    """Runs asked for inside say that this triggered them, and who did, and from which run."""
    token = _acting.set((trigger, actor, parent))
    try:
        yield
    finally:
        _acting.reset(token)


def enqueue(app: App, task: str, args: Any, kwargs: Any, options: dict[str, Any]) -> "AsyncResult[Any]":
    """Record a run in the current transaction; its message leaves after commit, or when its time has come.

    `options` are those of Celery's `apply_async`: eta, countdown, expires, priority and the rest. The result's id is
    the run's. A `task_id` that has a run already asks for nothing: so a step of a chain that is tried again has one
    successor, and whoever chooses ids may ask twice. Raises kombu's EncodeError where the arguments are nothing that
    JSON can say, and ValueError where a header or a limit is none.
    """
    now = timezone.now()
    _check(options)
    trigger, actor, parent = _asked_by(app)
    kept = (*KEPT_OPTIONS, *(options.get("stamped_headers") or ()))
    available_at = _moment(options.pop("eta", None), options.pop("countdown", None), now) or now
    run = Run(
        id=identity_of(options.get("task_id")),
        task=task,
        args=_encoded(list(args or ())),
        kwargs=_encoded(dict(kwargs or {})),
        options=_encoded({name: options[name] for name in kept if options.get(name) is not None}),
        priority=Priority.of(options.get("priority")),
        trigger=trigger,
        actor=actor,
        parent=parent,
        created_at=now,
        available_at=available_at,
        expires_at=_moment(options.get("expires"), options.get("expires"), now),
    )
    run.published_at = _insert(run)
    if run.published_at:
        transaction.on_commit(lambda: send([run], app))
    return app.AsyncResult(str(run.id))


# One statement, and only the columns of a run that was asked for: every task that is sent pays for it.
_INSERT = """
INSERT INTO scheduler_run (
    id, task, args, kwargs, options, priority, trigger, actor, parent, created_at, available_at, expires_at,
    name, status, attempt, failures, crashes, exclusive, foreground, worker, result, error, traceback, published_at
)
SELECT %(id)s, %(task)s, %(args)s, %(kwargs)s, %(options)s, %(priority)s, %(trigger)s, %(actor)s, %(parent)s,
    %(created_at)s, %(available_at)s, %(expires_at)s,
    '', 'queued', 1, 0, 0, false, false, '', '', '', '',
    CASE WHEN %(available_at)s <= %(created_at)s AND NOT EXISTS (
        SELECT FROM scheduler_pause WHERE until IS NULL OR until > %(created_at)s
    ) THEN %(created_at)s END
ON CONFLICT (id) DO NOTHING
RETURNING published_at
"""


def _insert(run: Run) -> datetime | None:
    """When its message leaves: now, or as beat decides, as in a pause or before its time; not where it was there."""
    with connection.cursor() as cursor:
        cursor.execute(_INSERT, vars(run))
        inserted = cursor.fetchone()
    return inserted[0] if inserted else None


def _check(options: dict[str, Any]) -> None:
    """Refuse what would keep a worker from reading the message, or have it read as another run's."""
    headers = dict(options.get("headers") or {})
    if celerys := sorted(CELERYS_HEADERS & headers.keys() - {"stamps", "stamped_headers"}):
        raise ValueError(f"These headers are Celery's own: {', '.join(celerys)}.")
    for name in ("time_limit", "soft_time_limit"):
        if options.get(name) is not None:
            float(options[name])


def _asked_by(app: App) -> tuple[Trigger, str, UUID | None]:
    task = app.current_worker_task
    if task is None or task.request.is_eager:
        return _acting.get()
    return Trigger.JOB, task.name, identity_of(task.request.id)


def _encoded(value: Any) -> str:
    try:
        return str(dumps(value))
    except (TypeError, ValueError) as error:
        raise EncodeError(str(error)) from error


def identity_of(task_id: Any) -> UUID:
    """Celery makes UUIDs, and takes whatever else a caller wants as an id."""
    if task_id is None:
        return uuid4()
    try:
        return UUID(str(task_id))
    except ValueError:
        return uuid5(NAMESPACE_OID, str(task_id))


def _moment(at: Any, seconds: Any, now: datetime) -> datetime | None:
    """Celery takes a time, its ISO form, or a number of seconds from now."""
    if isinstance(at, str):
        at = datetime.fromisoformat(at)
    if isinstance(at, datetime):
        return timezone.make_aware(at) if timezone.is_naive(at) else at
    return None if seconds is None else now + timedelta(seconds=float(seconds))


def run_now(schedule: Schedule, trigger: Trigger, actor: str) -> Run:
    """Ask once for what a schedule does, with its arguments and limits; its own times stay what they are.

    Raises ValidationError with a sentence where the schedule says what cannot be run.
    """
    now = timezone.now()
    run = Run(**taken_over(schedule, now), trigger=trigger, actor=actor, created_at=now, available_at=now)
    _requested([run], now)
    return run


def taken_over(schedule: Schedule, now: datetime, next_run_at: datetime | None = None) -> dict[str, Any]:
    """What a run has from its schedule, field by field. Raises ValidationError where no worker could read that.

    Its message tells the job in the header `next_run_at` when the schedule comes next.
    """
    task = schedule.periodic_task
    require_known(task.task, task.queue)
    headers = {**validate_headers(task.headers), "periodic_task_name": task.name}
    if next_run_at is not None:
        headers["next_run_at"] = next_run_at.isoformat()
    declared = tasks().get(task.task)
    ways = {name: getattr(task, name) or getattr(declared, name, None) for name in ("queue", "exchange", "routing_key")}
    routing = {name: way for name, way in ways.items() if way}
    priority = getattr(declared, "priority", None) if task.priority is None else task.priority
    expires = task.expire_seconds
    return {
        "schedule": schedule,
        "name": task.name,
        "task": task.task,
        "args": dumps(parsed(task.args, list)),
        "kwargs": dumps(parsed(task.kwargs, dict)),
        "options": dumps({**routing, "headers": headers}),
        "priority": Priority.of(priority),
        "expires_at": None if expires is None else now + timedelta(seconds=expires),
        "max_attempts": schedule.max_attempts,
        "retry_backoff": schedule.retry_backoff,
        "retry_backoff_max": schedule.retry_backoff_max,
        "time_limit": schedule.time_limit,
        "exclusive": schedule.overlap != Overlap.ALLOW,
    }


def repeat_all(runs: Collection[Run], actor: str) -> list[Run]:
    """Ask again for runs that are over: new ones, with a fresh set of attempts each."""
    now = timezone.now()
    what = ("schedule_id", "name", "task", "args", "kwargs", "options", "priority")
    limits = ("max_attempts", "retry_backoff", "retry_backoff_max", "time_limit", "exclusive")
    return _requested(
        [
            Run(
                **{name: getattr(run, name) for name in (*what, *limits)},
                trigger=Trigger.RETRY,
                actor=actor,
                parent=run.pk,
                created_at=now,
                available_at=now,
            )
            for run in runs
        ],
        now,
    )


@transaction.atomic
def _requested(runs: list[Run], now: datetime) -> list[Run]:
    Run.objects.bulk_create(runs)
    RunEvent.objects.bulk_create([run.event(Event.RUN_REQUESTED, run.actor, now) for run in runs])
    transaction.on_commit(lambda: _publish_soon([run.pk for run in runs]))
    return runs


def _publish_soon(runs: Collection[UUID]) -> None:
    """Where the broker is out of reach, or they are many, beat does the rest."""
    try:
        publish(cast("App", current_app), timezone.now(), only=runs)
    except DatabaseError:
        raise
    except Exception as error:  # each broker's client raises its own
        logger.warning("%d runs wait for the broker, which is out of reach: %s", len(runs), error)


@transaction.atomic
def cancel(runs: Collection[UUID], actor: str) -> tuple[int, int]:
    """Cancel what waits; ask what runs to stop. Returns how many of each; what is over stays as it is.

    A running job is told through its `is_aborted()`, and stopped by force when it has not ended after a while.
    """
    now = timezone.now()
    found = Run.objects.select_for_update().unfinished().filter(pk__in=runs).order_by("pk")
    waiting = [run for run in found if run.status in WAITING]
    running = [run for run in found if run.status == Status.RUNNING and run.cancel_requested_at is None]
    Run.objects.filter(pk__in=[run.pk for run in waiting]).update(
        status=Status.CANCELLED, finished_at=now, error=f"Cancelled by {actor}.", cancel_requested_at=now
    )
    Run.objects.filter(pk__in=[run.pk for run in running]).update(cancel_requested_at=now)
    RunEvent.objects.bulk_create(
        [run.event(Event.CANCELLED, actor, now) for run in waiting]
        + [run.event(Event.CANCEL_REQUESTED, actor, now) for run in running]
    )
    return len(waiting), len(running)


@transaction.atomic
def pause(
    actor: str, *, schedule: Schedule | None = None, task: str = "", until: datetime | None = None, reason: str = ""
) -> Pause:
    """Let nothing of a schedule, of a task, or of all start, until a time if given. Replaces an earlier pause of it."""
    now = timezone.now()
    values = {"until": until, "reason": reason, "actor": actor, "created_at": now}
    paused, _ = Pause.objects.update_or_create(schedule=schedule, task=task, defaults=values)
    _audit_pause(paused, Event.PAUSED, actor, now, reason)
    return paused


@transaction.atomic
def resume(pauses: Collection[Pause], actor: str) -> None:
    """What was missed meanwhile follows each schedule's policy; what was asked for meanwhile starts."""
    _end(list(Pause.objects.select_for_update().filter(pk__in=[paused.pk for paused in pauses])), actor, "")


@transaction.atomic
def end_expired_pauses(now: datetime, actor: str) -> int:
    """Put down that pauses are over whose time has come: nothing is stopped by them any more. Returns their number."""
    expired = list(Pause.objects.select_for_update(skip_locked=True).filter(until__lte=now))
    _end(expired, actor, "Its time was over.")
    return len(expired)


def _end(pauses: Collection[Pause], actor: str, why: str) -> None:
    now = timezone.now()
    for paused in pauses:
        _audit_pause(paused, Event.RESUMED, actor, now, why)
    if pauses:
        Pause.objects.filter(pk__in=[paused.pk for paused in pauses]).delete()


def _audit_pause(paused: Pause, kind: Event, actor: str, at: datetime, message: str = "") -> None:
    until = paused.until.isoformat() if paused.until and kind == Event.PAUSED else None
    RunEvent.objects.create(
        schedule=paused.schedule,
        subject=str(paused),
        at=at,
        kind=kind,
        actor=actor,
        message=message,
        changes={"until": [None, until]} if until else {},
    )
