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
from datetime import datetime, timedelta
from typing import Any, NoReturn
from uuid import UUID, uuid4

from billiard.common import terminate_handler_fired  # type: ignore[attr-defined]  # newer than its stubs
from celery.contrib.django.task import DjangoTask
from celery.exceptions import Ignore, MaxRetriesExceededError, Reject, Retry, SoftTimeLimitExceeded, WorkerLostError
from celery.worker import request as celery_request
from django.db import close_old_connections, connections
from django.utils import timezone
from kombu.utils.json import dumps

from scheduler import attempts, foreground, parent, rescue, texts, worker
from scheduler.attempts import Attempt
from scheduler.heartbeat import HEART, Beating
from scheduler.ledger import identity_of
from scheduler.models import Status

logger = logging.getLogger(__name__)

ATTEMPTS = 3
"""How often a run is tried by a task that says nothing of retrying."""


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
        hard, soft = self._limits
        attempt = self._take(hard)
        self.request.update(is_taken=True)
        try:
            return self._run(attempt, soft, *args, **kwargs)
        finally:
            _tidy_connections()

    def _take(self, limit: float | None) -> Attempt:
        """The run that the message speaks of. Raises Ignore where it is not to be run, or not by us."""
        request = self.request
        run, number = identity_of(request.id), request.get("run_attempt")
        if number is None:
            return attempts.adopt(run, self.name, dumps(request.args), dumps(request.kwargs), limit)
        return attempts.claim(run, number, limit)

    def _run(self, attempt: Attempt, soft_limit: float | None, *args: Any, **kwargs: Any) -> Any:
        ignored = None
        with HEART.beating(attempt.run, attempt.number, soft_limit) as alive:
            try:
                result = self._body(*args, **kwargs)
            except Ignore as error:
                result, ignored = str(error) or None, error
            except BaseException as error:
                if terminate_handler_fired():  # the worker was told to stop at once, which is no fault of the job's
                    attempts.hand_back(attempt)
                    raise
                self._end(attempt, alive, error)
        attempts.succeeded(attempt, texts.of_result(result))
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
        """Seconds after which an attempt is killed, and after which it is asked to end."""
        hard, soft = self.request.timelimit or (None, None)
        conf = self.app.conf
        return (
            hard or self.time_limit or conf.task_time_limit,
            soft or self.soft_time_limit or conf.task_soft_time_limit,
        )

    def _end(self, attempt: Attempt, alive: Beating, error: BaseException) -> NoReturn:
        """Write down that this attempt failed, and whether there will be another one.

        Raises for Celery what the worker survives: of what is not an Exception, and of MemoryError, it thinks that its
        own process is broken.
        """
        cause = error.cause if isinstance(error, Again) else error
        shown = cause if cause.__traceback__ else error
        told = texts.of_error(cause), texts.of_traceback(shown)
        if alive.aborted_at is not None:
            attempts.failed(attempt, Status.CANCELLED, *told)
            raise Ignore("It was cancelled.") from error
        wait = self._wait(attempt, error)
        if wait is None:
            attempts.failed(attempt, Status.FAILED, *told)
            if isinstance(cause, Exception) and not isinstance(cause, MemoryError):
                raise cause
            raise RuntimeError(f"The job ended with {texts.of_error(cause)}.") from error
        again_at = timezone.now() + timedelta(seconds=wait)
        attempts.failed(attempt, Status.RETRYING, *told, again_at)
        raise Retry(exc=cause if isinstance(cause, Exception) else None, when=again_at) from error

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
