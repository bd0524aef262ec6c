"""Runs whose worker is gone: found by the heartbeat that stopped, and given to another one, or ended visibly."""

from datetime import datetime, timedelta
from uuid import UUID

from django.db import transaction
from django.db.models import Q, QuerySet

from scheduler.models import Event, Run, RunEvent, Status

LEASE = timedelta(seconds=15)
"""A run whose last heartbeat is older than this has lost its worker."""

MAX_CRASHES = 5
"""Attempts that may end with their worker before the job itself is held to be the cause."""

UNKNOWN_FOR = timedelta(seconds=5)
"""How long a task that a worker does not know is given to become known, and three times as long after each try."""

BATCH = 1000


@transaction.atomic
def rescue(now: datetime, actor: str) -> int:
    """Take back the runs whose worker is silent, or lets them run past their limit. Returns their number.

    `now` is the database's, by whose clock workers say that they live: their own may be minutes off.
    """
    silent = Q(heartbeat_at__lt=now - LEASE) | Q(deadline_at__lt=now)
    silent_runs = Run.objects.filter(silent).select_for_update(skip_locked=True)
    return _take(silent_runs, now, actor, Event.WORKER_LOST)


@transaction.atomic
def worker_lost(run: UUID, attempt: int, now: datetime, actor: str) -> int:
    """The same for one run, when the parent of its process sees that it is gone."""
    return _take(Run.objects.filter(pk=run, attempt=attempt).select_for_update(), now, actor, Event.WORKER_LOST)


@transaction.atomic
def unknown(run: UUID, attempt: int, task: str, now: datetime, actor: str) -> None:
    """Have a run tried again whose task the worker does not know, later each time, and fail it after as many tries."""
    found = Run.objects.waiting().filter(pk=run, attempt=attempt).select_for_update().first()
    if found is None:
        return
    found.error = f"There is no task “{task}” on {actor}."
    event = _event(found, now, actor, Event.ATTEMPT_FAILED, found.error)
    found.crashes += 1
    if found.crashes >= MAX_CRASHES:
        found.status, found.finished_at = Status.FAILED, now
    else:
        found.attempt += 1
        found.available_at, found.published_at = now + UNKNOWN_FOR * 3 ** (found.crashes - 1), None
    found.save(update_fields=_WRITTEN)
    event.save()


@transaction.atomic
def hand_back(worker: str, now: datetime) -> int:
    """Let others run at once what this worker could not finish before it was stopped; the attempt does not count."""
    return _take(
        Run.objects.filter(worker__startswith=f"{worker}/").select_for_update(), now, worker, Event.HANDED_BACK
    )


@transaction.atomic
def over_limit(run: UUID, attempt: int, seconds: float, now: datetime, actor: str) -> int:
    """End a run whose process was killed for running too long: a second attempt would be as long."""
    error = f"It ran over its time limit of {seconds:g} seconds, and was killed."
    return _take(
        Run.objects.filter(pk=run, attempt=attempt).select_for_update(), now, actor, Event.ATTEMPT_FAILED, error
    )


def _take(runs: "QuerySet[Run]", now: datetime, actor: str, kind: Event, error: str = "") -> int:
    """End the attempts of those among these locked rows that still run."""
    taken = list(runs.filter(status=Status.RUNNING).order_by("pk")[:BATCH])
    events = [_event(run, now, actor, kind, f"It ran on {run.worker}.") for run in taken]
    for run in taken:
        _end_attempt(run, now, kind, error)
    Run.objects.bulk_update(taken, _WRITTEN)
    RunEvent.objects.bulk_create(events)
    return len(taken)


_WRITTEN = ("status", "attempt", "crashes", "available_at", "published_at", "finished_at", "heartbeat_at", "error")


def _event(run: Run, now: datetime, actor: str, kind: Event, message: str) -> RunEvent:
    seconds = (now - run.started_at).total_seconds() if run.started_at else None
    return run.event(kind, actor, now, message=message, attempt=run.attempt, seconds=seconds)


def _end_attempt(run: Run, now: datetime, kind: Event, error: str) -> None:
    run.heartbeat_at = None
    if kind == Event.WORKER_LOST:
        run.crashes += 1
    if error:
        run.status, run.error = Status.FAILED, error
    elif run.cancel_requested_at:
        run.status, run.error = Status.CANCELLED, "It was cancelled, and ended with its process."
    elif run.deadline_at and run.deadline_at < now:
        run.status, run.error = Status.FAILED, "It ran over its time limit, and its worker did not stop it."
    elif run.foreground:
        run.status, run.error = Status.LOST, "The command that ran it ended before it did."
    elif run.crashes >= MAX_CRASHES:
        run.status, run.error = Status.FAILED, f"Its worker died while running it, {run.crashes} times in all."
    else:
        run.status, run.attempt, run.available_at, run.published_at = Status.QUEUED, run.attempt + 1, now, None
        return
    run.finished_at = now
