"""Jobs that a command does in its own process: recorded as runs like all others, though no message speaks of them."""

import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import psycopg
from django.db import transaction
from django.db.models.functions import Now
from django.utils import timezone
from kombu.utils.json import dumps

from scheduler import texts, worker
from scheduler.heartbeat import HEART
from scheduler.ledger import acting
from scheduler.models import Event, Pause, Run, Status, Trigger

logger = logging.getLogger(__name__)


@dataclass(slots=True)
class Foreground:
    """A run in this process. Before it ends, the job says what came of it; with problems it has failed."""

    run: UUID
    notice: str
    """What the person who started it should know, as that all else is paused; mostly nothing."""
    result: Any = None
    problems: Sequence[str] = ()


@contextmanager
def recorded(task: str, kwargs: Mapping[str, Any], actor: str) -> Iterator[Foreground]:
    """Record what happens inside as a run of this task. A pause does not keep it back: somebody asked for it here.

    It ends as failed by an exception, as cancelled by Ctrl-C, SIGTERM or somebody's wish in admin, and as lost where
    its process is killed: beat finds that. Runs that it asks for say that they come from it.
    """
    run = _start(task, kwargs, actor)
    job = Foreground(run.pk, _notice(task))
    with acting(Trigger.JOB, task, run.pk), HEART.beating(run.pk, run.attempt, None, foreground=True) as alive:
        try:
            yield job
        except (KeyboardInterrupt, SystemExit):
            why = "It was cancelled." if alive.aborted_at is not None else "Its process was interrupted."
            _end(run, Status.CANCELLED, error=why, event=Event.CANCELLED)
            raise
        except Exception as error:
            shown = {"error": texts.of_error(error), "traceback": texts.of_traceback(error)}
            _end(run, Status.FAILED, **shown, event=Event.ATTEMPT_FAILED)
            raise
    result = texts.of_result(job.result)
    if job.problems:
        _end(run, Status.FAILED, result=result, error=texts.kept("\n".join(job.problems)), event=Event.ATTEMPT_FAILED)
    else:
        _end(run, Status.SUCCEEDED, result=result)


@transaction.atomic
def _start(task: str, kwargs: Mapping[str, Any], actor: str) -> Run:
    now = timezone.now()
    run = Run.objects.create(
        task=task,
        kwargs=dumps(dict(kwargs)),
        trigger=Trigger.COMMAND,
        actor=actor,
        foreground=True,
        status=Status.RUNNING,
        worker=worker.identity(),
        created_at=now,
        available_at=now,
        started_at=now,
        heartbeat_at=Now(),
    )
    run.event(Event.RUN_REQUESTED, actor, now).save()
    return run


def _notice(task: str) -> str:
    paused = [str(pause) for pause in Pause.objects.active(timezone.now()).of_run(task, None)]
    return f"Paused: {', '.join(paused)}. This runs all the same, as you asked for it." if paused else ""


# A run whose process was stopped for a while, as by Ctrl-Z, was held to be lost: now it is known how it ended.
_END = """
WITH ended AS (
    UPDATE scheduler_run
    SET status = %(status)s::text,
        failures = (%(status)s::text = 'failed')::int,
        finished_at = %(now)s,
        heartbeat_at = NULL,
        result = %(result)s,
        error = %(error)s,
        traceback = %(traceback)s
    WHERE id = %(run)s
        AND status IN ('running', 'lost')
    RETURNING id
)
INSERT INTO scheduler_runevent
    (run_id, subject, at, kind, actor, attempt, seconds, message, traceback, changes)
SELECT id, %(task)s, %(now)s, %(event)s::text, %(worker)s, 1, %(seconds)s, %(error)s, %(traceback)s, '{}'
FROM ended
WHERE %(event)s::text IS NOT NULL
"""


def _end(
    run: Run, status: Status, *, result: str = "", error: str = "", traceback: str = "", event: Event | None = None
) -> None:
    """Over a connection of its own: Django's may be what has failed. What cannot be written is found by beat."""
    now = timezone.now()
    values = {
        "run": run.pk,
        "task": run.task,
        "status": status,
        "result": result,
        "error": error,
        "traceback": traceback,
        "event": event,
        "worker": run.worker,
        "now": now,
        "seconds": (now - run.created_at).total_seconds(),
    }
    try:
        worker.execute(_END, values)
    except psycopg.Error as problem:
        logger.warning("How this run ended cannot be recorded: %s", problem)
    finally:
        worker.forget_connection()
