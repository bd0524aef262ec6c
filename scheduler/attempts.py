"""Attempts, as their runs' rows know them: taken by one worker, and ended by that worker alone, a statement each.

Over the worker's own connection, so that what the job does to its one is no matter.
"""

import logging
from dataclasses import dataclass
from datetime import datetime, timedelta
from time import monotonic, sleep
from typing import Any
from uuid import UUID

import psycopg
from celery.exceptions import Ignore
from django.utils import timezone

from scheduler import worker
from scheduler.models import Event, Status, paused_sql

logger = logging.getLogger(__name__)

PATIENCE = 60.0
"""Seconds that a worker tries to write down how a run ended, while the database is out of reach."""

BEYOND_LIMIT = timedelta(seconds=30)
"""How long after its limit a run may still be on its way to its end."""


@dataclass(frozen=True, slots=True)
class Attempt:
    """What the row says that a worker has to know; None where the task decides."""

    run: UUID
    number: int
    started_at: datetime
    failures: int
    max_attempts: int | None
    retry_backoff: int | None
    retry_backoff_max: int | None


# --- Taken -----------------------------------------------------------------------------------------------------------

# It need not wait for the disk: whatever the job commits takes it along, and of what did nothing yet nothing is lost.
_CLAIM = f"""
UPDATE scheduler_run run
SET status = 'running',
    worker = %(worker)s,
    started_at = %(now)s,
    heartbeat_at = clock_timestamp(),
    deadline_at = clock_timestamp() + %(limit)s
WHERE run.id = %(run)s
    AND run.attempt = %(attempt)s
    AND run.status IN ('queued', 'retrying')
    AND (run.expires_at IS NULL OR run.expires_at > %(now)s)
    AND NOT {paused_sql("run.schedule_id", "run.task")}
    AND set_config('synchronous_commit', 'off', true) = 'off'
RETURNING run.failures, run.max_attempts, run.retry_backoff, run.retry_backoff_max
"""

# Of a run that may not start now: it is over if it is too late for it, and else waits for the end of the pause.
_REFUSE = """
UPDATE scheduler_run run
SET published_at = NULL,
    status = CASE WHEN run.expires_at <= %(now)s THEN 'skipped' ELSE run.status END,
    finished_at = CASE WHEN run.expires_at <= %(now)s THEN %(now)s END,
    error = CASE WHEN run.expires_at <= %(now)s THEN 'It did not start before it expired.' ELSE run.error END
WHERE run.id = %(run)s
    AND run.attempt = %(attempt)s
    AND run.status IN ('queued', 'retrying')
"""

_ADOPT = """
INSERT INTO scheduler_run (
    id, name, task, args, kwargs, options, priority, trigger, actor, status, created_at, available_at, published_at,
    attempt, failures, crashes, exclusive, foreground, worker, started_at, heartbeat_at, deadline_at,
    result, error, traceback
) VALUES (
    %(run)s, '', %(task)s, %(args)s, %(kwargs)s, '{}', 3, 'api', '', 'running', %(now)s, %(now)s, %(now)s,
    %(attempt)s, 0, 0, false, false, %(worker)s, %(now)s, clock_timestamp(), clock_timestamp() + %(limit)s,
    '', '', ''
)
ON CONFLICT DO NOTHING
RETURNING failures, max_attempts, retry_backoff, retry_backoff_max
"""


def claim(run: UUID, number: int, limit: float | None) -> Attempt:
    """Take the run for this attempt, which is killed after `limit` seconds.

    Raises Ignore where it is not to be run, or not by us.
    """
    values = _starting(run, number, limit)
    try:
        rows = worker.execute(_CLAIM, values)
    except psycopg.errors.UniqueViolation:  # another run of its schedule, which it must not overlap
        rows = []
    if not rows:
        worker.execute(_REFUSE, values)
    return _taken(values, rows)


def adopt(run: UUID, task: str, args: str, kwargs: str, limit: float | None) -> Attempt:
    """The same where no row speaks of the message: somebody sent it who knows the broker, but not the ledger."""
    values = _starting(run, 1, limit)
    return _taken(values, worker.execute(_ADOPT, {**values, "task": task, "args": args, "kwargs": kwargs}))


def _starting(run: UUID, number: int, limit: float | None) -> dict[str, Any]:
    return {
        "run": run,
        "attempt": number,
        "worker": worker.identity(),
        "now": timezone.now(),
        "limit": timedelta(seconds=limit) + BEYOND_LIMIT if limit else None,
    }


def _taken(values: dict[str, Any], rows: list[tuple[Any, ...]]) -> Attempt:
    if not rows:
        raise Ignore("Another worker has it, or nobody may run it now.")
    return Attempt(values["run"], values["attempt"], values["now"], *rows[0])


# --- Ended -----------------------------------------------------------------------------------------------------------

_STILL_OURS = """
id = %(run)s
AND attempt = %(attempt)s
AND worker = %(worker)s
AND status = 'running'
"""

_SUCCEEDED = f"""
UPDATE scheduler_run
SET status = 'succeeded',
    finished_at = %(now)s,
    heartbeat_at = NULL,
    result = %(result)s,
    error = '',
    traceback = ''
WHERE {_STILL_OURS}
RETURNING id
"""


def _with_event(ending: str) -> str:
    """An UPDATE that ends the attempt and returns what an event says of its run: the statement that adds the event."""
    return f"""
    WITH ended AS ({ending})
    INSERT INTO scheduler_runevent
        (run_id, schedule_id, subject, at, kind, actor, attempt, seconds, message, traceback, changes)
    SELECT id, schedule_id, coalesce(nullif(name, ''), task),
        %(now)s, %(event)s, %(worker)s, %(attempt)s, %(seconds)s, %(error)s, %(traceback)s, '{{}}'
    FROM ended
    RETURNING run_id
    """


# As the attempt did not end by itself, it does not count.
_HAND_BACK = _with_event(f"""
UPDATE scheduler_run
SET status = 'queued',
    attempt = attempt + 1,
    published_at = NULL,
    heartbeat_at = NULL
WHERE {_STILL_OURS}
RETURNING id, schedule_id, name, task
""")

_FAILED = _with_event(f"""
UPDATE scheduler_run
SET status = %(status)s::text,
    failures = failures + 1,
    attempt = attempt + (%(status)s::text = 'retrying')::int,
    available_at = coalesce(%(again_at)s, available_at),
    published_at = NULL,
    finished_at = CASE WHEN %(status)s::text <> 'retrying' THEN %(now)s::timestamptz END,
    heartbeat_at = NULL,
    error = %(error)s,
    traceback = %(traceback)s
WHERE {_STILL_OURS}
RETURNING id, schedule_id, name, task
""")


def succeeded(attempt: Attempt, result: str) -> None:
    """Raises Ignore where another attempt has overtaken this one: then it counts nothing."""
    _record(_SUCCEEDED, {**_ending(attempt), "result": result})


def failed(attempt: Attempt, status: Status, error: str, traceback: str, again_at: datetime | None = None) -> None:
    """`status` is what the run is now: failed, cancelled, or retrying from a time on. Raises as `succeeded` does."""
    event = Event.CANCELLED if status == Status.CANCELLED else Event.ATTEMPT_FAILED
    told = {"event": event, "error": error, "traceback": traceback}
    _record(_FAILED, {**_ending(attempt), **told, "status": status, "again_at": again_at})


def hand_back(attempt: Attempt) -> None:
    """Let another worker run it at once. What cannot be written now is found by the heartbeat that stopped."""
    told = {"event": Event.HANDED_BACK, "error": "Its worker was stopped.", "traceback": ""}
    try:
        worker.execute(_HAND_BACK, {**_ending(attempt), **told})
    except psycopg.Error as error:
        logger.warning("Run %s could not be handed back, and will be found by beat: %s", attempt.run, error)


def _ending(attempt: Attempt) -> dict[str, Any]:
    now = timezone.now()
    return {
        "run": attempt.run,
        "attempt": attempt.number,
        "now": now,
        "worker": worker.identity(),
        "seconds": (now - attempt.started_at).total_seconds(),
    }


def _record(sql: str, values: dict[str, Any]) -> None:
    """Write it down, however long the database is out of reach, within reason."""
    give_up_at = monotonic() + PATIENCE
    while True:
        try:
            rows = worker.execute(sql, values)
            break
        except psycopg.OperationalError as error:
            if monotonic() > give_up_at:
                raise
            logger.warning("The end of run %s cannot be written yet: %s", values["run"], error)
            sleep(0.5)
    if not rows:
        raise Ignore("It took so long to answer that another worker was given the run.")
