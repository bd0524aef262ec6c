"""How a worker runs a job: it takes the run's row, keeps its heartbeat, and writes down how it ended.

Every task of the application is one of these, and none of them knows. A message names a run and an attempt; who does
not get the row for that attempt does nothing. Celery's own words for retrying (`max_retries`, `retry_backoff`,
`retry_backoff_max`, `retry_jitter`, `autoretry_for`, `dont_autoretry_for`, `retry_kwargs`, `self.retry()`) say what
they always say, but there is one mechanism: the row waits for its next attempt, and no message does. A task that says
nothing of retrying is tried three times, whatever it raises.
"""

import logging
import random
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime, timedelta
from time import monotonic, sleep
from typing import Any, NoReturn
from uuid import UUID, uuid4

import psycopg
from billiard.common import terminate_handler_fired  # type: ignore[attr-defined]  # newer than its stubs
from celery.contrib.django.task import DjangoTask
from celery.exceptions import Ignore, MaxRetriesExceededError, Reject, Retry, SoftTimeLimitExceeded, WorkerLostError
from celery.worker import request as celery_request
from django.db import close_old_connections, connections
from django.utils import timezone
from kombu.utils.json import dumps

from scheduler import foreground, parent, rescue, texts, worker
from scheduler.heartbeat import HEART, Beating
from scheduler.ledger import identity_of
from scheduler.models import Event, Status, paused_sql

logger = logging.getLogger(__name__)

ATTEMPTS = 3
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


class Again(Retry):
    """The job wants another attempt, `countdown` seconds from now, or when the backoff says."""

    def __init__(self, cause: Exception, countdown: float | None, max_retries: int | None) -> None:
        super().__init__(exc=cause)
        self.cause, self.countdown, self.max_retries = cause, countdown, max_retries


class Request(celery_request.Request):
    """A message as the worker's main process sees it, which outlives the one that runs the job."""

    def on_timeout(self, soft: bool, timeout: float) -> None:
        super().on_timeout(soft, timeout)
        if not soft:
            parent.record(lambda: rescue.over_limit(*self.attempt, timeout, timezone.now(), worker.main_identity()))

    def on_failure(self, exc_info: Any, send_failed_event: bool = True, return_ok: bool = False) -> None:
        lost = isinstance(getattr(exc_info.exception, "exc", exc_info.exception), WorkerLostError)
        if lost:
            parent.record(lambda: rescue.worker_lost(*self.attempt, timezone.now(), worker.main_identity()))
        super().on_failure(exc_info, send_failed_event=send_failed_event, return_ok=return_ok)

    def revoked(self) -> bool:
        """Whether it is not to start: once the worker is told to end nothing is, but by another one."""
        if parent.is_ending():
            parent.leave_to_others(self.id)
            return True
        return bool(super().revoked())

    @property
    def attempt(self) -> tuple[UUID, int]:
        return identity_of(self.id), self.request_dict.get("run_attempt") or 1


class Task(DjangoTask[Any, Any]):
    abstract = True
    Request = "scheduler.execution:Request"
    max_retries = ATTEMPTS - 1
    default_retry_delay: Any = None
    retry_backoff = 1
    retry_backoff_max = 600
    retry_jitter = True

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Run the job, as the worker does with a message.

        1. Take the row for this attempt; leave it where somebody else has, or nobody may.
        2. Run the body with a heartbeat.
        3. Write down the result, the next attempt or the failure; what another attempt has overtaken counts nothing.
        """
        if self.request.called_directly or self.request.get("is_taken"):  # by other code, or by itself
            return super().__call__(*args, **kwargs)
        if self.request.is_eager:
            return self.run(*args, **kwargs)
        attempt = _claim(self)
        self.request.update(is_taken=True)
        try:
            return self._run(attempt, *args, **kwargs)
        finally:
            _tidy_connections()

    def _run(self, attempt: Attempt, *args: Any, **kwargs: Any) -> Any:
        ignored = None
        with HEART.beating(attempt.run, attempt.number, self._soft_limit) as alive:
            try:
                result = self._body(*args, **kwargs)
            except Ignore as error:
                result, ignored = str(error) or None, error
            except BaseException as error:
                if terminate_handler_fired():  # the worker was told to stop at once, which is no fault of the job's
                    _hand_back(attempt)
                    raise
                self._end(attempt, alive, error)
        _record(_SUCCEEDED, attempt, result=texts.of_result(result))
        if ignored:
            raise ignored  # nothing that was to follow this run does
        return result

    def retry(
        self,
        args: Any = None,
        kwargs: Any = None,
        exc: Exception | None = None,
        throw: bool = True,
        eta: datetime | None = None,
        countdown: float | None = None,
        max_retries: int | None = None,
        **options: Any,
    ) -> Any:
        """Celery's, but the run's row waits where a message would. Its arguments stay: other ones are another run."""
        if self.request.called_directly or self.request.is_eager:
            return super().retry(args, kwargs, exc, throw, eta, countdown, max_retries, **options)
        if args is not None or kwargs is not None:
            raise TypeError("A retry repeats its run, with its arguments: start another run to give it others.")
        if eta is not None:
            countdown = ((timezone.make_aware(eta) if timezone.is_naive(eta) else eta) - timezone.now()).total_seconds()
        # Without a cause of its own, as Celery names it.
        again = Again(exc or MaxRetriesExceededError(f"{self.name} asked for a retry."), countdown, max_retries)
        if not throw:
            return again
        raise again

    def in_foreground(self, kwargs: dict[str, Any], actor: str) -> AbstractContextManager[foreground.Foreground]:
        """Record what a command does inside, in its own process, as a run of this task: see `scheduler.foreground`."""
        return foreground.recorded(self.name, kwargs, actor)

    def is_aborted(self) -> bool:
        """Whether this run was cancelled: a job that takes long asks now and then, and returns."""
        return self.request.id is not None and HEART.is_aborted(identity_of(self.request.id))

    def on_replace(self, sig: Any) -> Any:
        """Celery's, but what takes the place of this run is one of its own: this one has an end already."""
        for part in (sig, *getattr(sig, "tasks", ())):
            if part.id == self.request.id:
                part.set(task_id=str(uuid4()))
        return super().on_replace(sig)

    @property
    def _body(self) -> Any:
        """The job itself, without the wrapper by which Celery would retry."""
        return getattr(self, "_orig_run", self.run)

    @property
    def _limits(self) -> tuple[float | None, float | None]:
        hard, soft = self.request.timelimit or (None, None)
        conf = self.app.conf
        return (
            hard or self.time_limit or conf.task_time_limit,
            soft or self.soft_time_limit or conf.task_soft_time_limit,
        )

    @property
    def _soft_limit(self) -> float | None:
        return self._limits[1]

    def _end(self, attempt: Attempt, alive: Beating, error: BaseException) -> NoReturn:
        """Write down that this attempt failed, and whether there will be another one.

        Raises for Celery what the worker survives: of what is not an Exception, and of MemoryError, it thinks that its
        own process is broken.
        """
        cause = error.cause if isinstance(error, Again) else error
        shown = cause if cause.__traceback__ else error
        values = {"error": texts.of_error(cause), "traceback": texts.of_traceback(shown)}
        if alive.aborted_at is not None:
            _record(_FAILED, attempt, **values, status=Status.CANCELLED, available_at=None)
            raise Ignore("It was cancelled.") from error
        wait = self._wait(attempt, error)
        if wait is None:
            _record(_FAILED, attempt, **values, status=Status.FAILED, available_at=None)
            if isinstance(cause, Exception) and not isinstance(cause, MemoryError):
                raise cause
            raise RuntimeError(f"The job ended with {texts.of_error(cause)}.") from error
        _record(
            _FAILED, attempt, **values, status=Status.RETRYING, available_at=timezone.now() + timedelta(seconds=wait)
        )
        raise Retry(
            exc=cause if isinstance(cause, Exception) else None, when=timezone.now() + timedelta(seconds=wait)
        ) from error

    def _wait(self, attempt: Attempt, error: BaseException) -> float | None:
        """Seconds until the next attempt; None where there is none."""
        given = getattr(self, "retry_kwargs", {})
        countdown, max_retries = given.get("countdown"), given.get("max_retries", self.max_retries)
        if isinstance(error, Again):
            countdown = countdown if error.countdown is None else error.countdown
            max_retries = max_retries if error.max_retries is None else error.max_retries
        elif not self._is_worth_another(error):
            return None
        if attempt.max_attempts is not None:
            max_retries = attempt.max_attempts - 1
        if max_retries is not None and attempt.failures >= max_retries:
            return None
        if countdown is None:
            countdown = self.default_retry_delay
        return countdown if countdown is not None else self._backoff(attempt)

    def _is_worth_another(self, error: BaseException) -> bool:
        """As the task says; by itself it says of a run over its limit that another one would be as long."""
        if isinstance(error, Reject):
            return bool(error.args[1])  # its `requeue`
        if isinstance(error, tuple(getattr(self, "dont_autoretry_for", ()))):
            return False
        worth: tuple[type[Exception], ...] = tuple(getattr(self, "autoretry_for", ()))
        return isinstance(error, worth) if worth else not isinstance(error, SoftTimeLimitExceeded)

    def _backoff(self, attempt: Attempt) -> float:
        """Exponential, with full jitter: anything up to the doubled wait, so that what failed together comes apart."""
        first = attempt.retry_backoff if attempt.retry_backoff is not None else float(self.retry_backoff or 1)
        longest = attempt.retry_backoff_max if attempt.retry_backoff_max is not None else self.retry_backoff_max
        wait = min(longest, first * 2 ** min(attempt.failures, 64))
        return random.uniform(0, wait) if self.retry_jitter else wait


def _tidy_connections() -> None:
    """Leave nothing open behind a job: in a transaction that it forgot, whatever the next ones write would be lost."""
    for connection in connections.all(initialized_only=True):
        is_open = connection.connection is not None  # one that the job did not need is not opened now
        if connection.in_atomic_block or (is_open and not connection.get_autocommit()):
            logger.warning("A job left a transaction open, which is rolled back.")
            connection.close()
            del connections[connection.alias]
    close_old_connections()


# --- The row ---------------------------------------------------------------------------------------------------------

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
RETURNING run.status
"""

# A message that no row speaks of was sent by somebody who knows the broker, but not the ledger.
_ADOPT = """
INSERT INTO scheduler_run (
    id, name, task, args, kwargs, options, priority, trigger, actor, status, created_at, available_at, published_at,
    attempt, failures, crashes, exclusive, foreground, worker, started_at, heartbeat_at, deadline_at,
    result, error, traceback
) VALUES (
    %(run)s, '', %(task)s, %(args)s, %(kwargs)s, '{}', 3, 'api', '', 'running', %(now)s, %(now)s, %(now)s,
    1, 0, 0, false, false, %(worker)s, %(now)s, clock_timestamp(), clock_timestamp() + %(limit)s,
    '', '', ''
)
ON CONFLICT DO NOTHING
RETURNING failures, max_attempts, retry_backoff, retry_backoff_max
"""

_SUCCEEDED = """
UPDATE scheduler_run
SET status = 'succeeded',
    finished_at = %(now)s,
    heartbeat_at = NULL,
    result = %(result)s,
    error = '',
    traceback = ''
WHERE id = %(run)s
    AND attempt = %(attempt)s
    AND worker = %(worker)s
    AND status = 'running'
RETURNING id
"""

# As the attempt did not end by itself, it does not count.
_HAND_BACK = """
WITH returned AS (
    UPDATE scheduler_run
    SET status = 'queued',
        attempt = attempt + 1,
        published_at = NULL,
        heartbeat_at = NULL
    WHERE id = %(run)s
        AND attempt = %(attempt)s
        AND worker = %(worker)s
        AND status = 'running'
    RETURNING id, schedule_id, name, task
)
INSERT INTO scheduler_runevent
    (run_id, schedule_id, subject, at, kind, actor, attempt, seconds, message, traceback, changes)
SELECT id, schedule_id, coalesce(nullif(name, ''), task), %(now)s, 'handed_back', %(worker)s, %(attempt)s, %(seconds)s,
    'Its worker was stopped.', '', '{}'
FROM returned
RETURNING run_id
"""

_FAILED = """
WITH ended AS (
    UPDATE scheduler_run
    SET status = %(status)s::text,
        failures = failures + 1,
        attempt = attempt + (%(status)s::text = 'retrying')::int,
        available_at = coalesce(%(available_at)s, available_at),
        published_at = NULL,
        finished_at = CASE WHEN %(status)s::text <> 'retrying' THEN %(now)s::timestamptz END,
        heartbeat_at = NULL,
        error = %(error)s,
        traceback = %(traceback)s
    WHERE id = %(run)s
        AND attempt = %(attempt)s
        AND worker = %(worker)s
        AND status = 'running'
    RETURNING id, schedule_id, name, task
)
INSERT INTO scheduler_runevent
    (run_id, schedule_id, subject, at, kind, actor, attempt, seconds, message, traceback, changes)
SELECT id, schedule_id, coalesce(nullif(name, ''), task), %(now)s, %(event)s, %(worker)s, %(attempt)s, %(seconds)s,
    %(error)s, %(traceback)s, '{}'
FROM ended
RETURNING run_id
"""


def _claim(task: Task) -> Attempt:
    """Take the run that the message speaks of. Raises Ignore where it is not to be run, or not by us."""
    request, now = task.request, timezone.now()
    number = request.get("run_attempt")
    hard, _ = task._limits
    run = identity_of(request.id)
    values = {
        "run": run,
        "attempt": number or 1,
        "worker": worker.identity(),
        "now": now,
        "limit": timedelta(seconds=hard) + BEYOND_LIMIT if hard else None,
    }
    if number is None:
        arguments = {"task": task.name, "args": dumps(request.args), "kwargs": dumps(request.kwargs)}
        rows = worker.execute(_ADOPT, {**values, **arguments})
    else:
        rows = _claim_row(values)
    if not rows:
        raise Ignore("Another worker has it, or nobody may run it now.")
    return Attempt(run, number or 1, now, *rows[0])


def _claim_row(values: dict[str, Any]) -> list[tuple[Any, ...]]:
    try:
        return worker.execute(_CLAIM, values) or _refused(values)
    except psycopg.errors.UniqueViolation:  # another run of its schedule, which it must not overlap
        return _refused(values)


def _refused(values: dict[str, Any]) -> list[tuple[Any, ...]]:
    worker.execute(_REFUSE, values)
    return []


def _hand_back(attempt: Attempt) -> None:
    """Let another worker run it at once. What cannot be written now is found by the heartbeat that stopped."""
    try:
        worker.execute(_HAND_BACK, _ending(attempt))
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


def _record(sql: str, attempt: Attempt, **values: Any) -> None:
    """Write down how an attempt ended. Raises Ignore where another has overtaken it: then this one counts nothing."""
    event = Event.CANCELLED if values.get("status") == Status.CANCELLED else Event.ATTEMPT_FAILED
    values |= {**_ending(attempt), "event": event}
    give_up_at = monotonic() + PATIENCE
    while True:
        try:
            rows = worker.execute(sql, values)
            break
        except psycopg.OperationalError as error:
            if monotonic() > give_up_at:
                raise
            logger.warning("The end of run %s cannot be written yet: %s", attempt.run, error)
            sleep(0.5)
    if not rows:
        raise Ignore("It took so long to answer that another worker was given the run.")
