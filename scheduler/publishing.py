"""Messages for runs that may start: given to the broker after commit, and given again where the broker lost them."""

import logging
from collections.abc import Collection, Sequence
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import psycopg
from django.conf import settings
from django.db import connection, transaction
from django.utils import timezone
from kombu import Connection, Queue
from kombu.exceptions import ChannelError, OperationalError
from kombu.utils.json import loads

from scheduler import texts, worker
from scheduler.app import App
from scheduler.models import Event, Run, RunEvent, Status, paused_sql

logger = logging.getLogger(__name__)

BATCH = 100
"""Messages between two looks at what is due meanwhile."""

SUSPECT_AFTER, LONGEST_TRUST = timedelta(seconds=20), timedelta(minutes=5)
"""A run whose message was given to the broker so long ago, and that has not started, may have lost it.

One that was given again is trusted for longer and longer: a busy worker may hold it, and nothing was lost.
"""

# A run that must not overlap waits for the running one of its schedule, and for those that were asked for before it.
_CLAIM = f"""
WITH due AS (
    SELECT run.id
    FROM scheduler_run run
    WHERE run.status IN ('queued', 'retrying')
        AND run.published_at IS NULL
        AND run.available_at <= %(now)s
        AND (%(only)s::uuid[] IS NULL OR run.id = ANY(%(only)s))
        AND NOT {paused_sql("run.schedule_id", "run.task")}
        AND NOT (run.exclusive AND run.schedule_id IS NOT NULL AND EXISTS (
            SELECT FROM scheduler_run other
            WHERE other.schedule_id = run.schedule_id
                AND other.exclusive
                AND other.id <> run.id
                AND (
                    other.status = 'running'
                    OR other.status IN ('queued', 'retrying')
                    AND (other.created_at, coalesce(other.occurrence, other.created_at), other.id)
                        < (run.created_at, coalesce(run.occurrence, run.created_at), run.id)
                )
        ))
    ORDER BY run.priority DESC, run.available_at
    LIMIT %(most)s
    FOR NO KEY UPDATE SKIP LOCKED
)
UPDATE scheduler_run run
SET published_at = %(now)s
FROM due
WHERE run.id = due.id
RETURNING run.*
"""


def publish(app: App, now: datetime, *, only: Collection[UUID] | None = None) -> int:
    """Give the broker the messages of a batch of runs whose time has come, the urgent ones first.

    Returns the number of runs taken. Raises what the broker's client raises when it is out of reach; what did not leave
    then waits for the next call.
    """
    values = {"now": now, "only": None if only is None else list(only), "most": BATCH}
    runs = list(Run.objects.raw(_CLAIM, values))
    _send(sorted(runs, key=lambda run: (-run.priority, run.available_at)), app)
    return len(runs)


def send(runs: Sequence[Run], app: App) -> None:
    """Publish runs that were just committed. Where the broker is out of reach beat does it, once it is back."""
    try:
        _send(runs, app)
    except Exception as error:  # each broker's client raises its own
        logger.warning("%d runs wait for the broker, which is out of reach: %s", len(runs), error)


def _send(runs: Sequence[Run], app: App) -> None:
    left = list(runs)
    try:
        with app.producer_or_acquire() as producer:
            while left:
                try:
                    app.publish(**message_of(left[0]), producer=producer)
                except Exception as error:
                    if _is_of_the_broker(error):
                        raise
                    _send_afresh(left[0], app)
                del left[0]
    finally:
        if left:
            Run.objects.waiting().filter(pk__in=[run.pk for run in left]).update(published_at=None)


def _send_afresh(run: Run, app: App) -> None:
    """Send over a connection of its own, and fail the run where that fails as well.

    A connection that broke raises what it likes: in a restart of PGMQ an AttributeError once ended a run for good.
    """
    try:
        with app.connection_for_write() as broker:
            app.publish(**message_of(run), producer=app.amqp.Producer(broker, auto_declare=False))
    except Exception as error:
        if _is_of_the_broker(error):
            raise
        _fail(run, error)


def _is_of_the_broker(error: Exception) -> bool:
    """Whether it would refuse any other message as well; else this one says what no broker takes."""
    if isinstance(error, psycopg.Error):  # of PGMQ, which checks what it is given: bad data, or an exception of its own
        return (error.sqlstate or "")[:2] not in ("22", "P0")
    return isinstance(error, OperationalError) and not isinstance(error.__cause__, ChannelError)


@transaction.atomic
def _fail(run: Run, error: Exception) -> None:
    """End a run that cannot be put in a message: it must not keep back those behind it."""
    now = timezone.now()
    why = texts.kept(f"It cannot be put in a message: {texts.of_error(error)}")
    ended = Run.objects.waiting().filter(pk=run.pk, attempt=run.attempt)
    if ended.update(status=Status.FAILED, finished_at=now, error=why, traceback=texts.of_traceback(error)):
        run.event(Event.ATTEMPT_FAILED, worker.identity(), now, message=why, attempt=run.attempt).save()
    logger.error("Run %s of %s has failed. %s", run.pk, run.task, why)


def message_of(run: Run) -> dict[str, Any]:
    """The arguments of Celery's `send_task` for a run."""
    options = loads(run.options)
    routing = dict(settings.RUN_ROUTING[run.priority])
    if options.get("queue") or options.get("exchange"):
        routing.pop("queue")
    limits = {} if run.time_limit is None else limits_of(run.time_limit)
    return {
        "name": run.task,
        "args": loads(run.args),
        "kwargs": loads(run.kwargs),
        "task_id": str(run.pk),
        "retries": run.failures,
        "parent_id": str(run.parent) if run.parent else None,
        "add_to_parent": False,
        "ignore_result": True,
        **routing,
        **options,
        **limits,
        "headers": {**options.get("headers", {}), "run_attempt": run.attempt},
    }


def limits_of(seconds: int) -> dict[str, float]:
    """A job is asked to stop a little before it is made to."""
    return {"time_limit": seconds, "soft_time_limit": seconds * 0.95}


# --- What the broker lost --------------------------------------------------------------------------------------------

_SUSPECT = """
%(now)s - published_at > greatest(%(suspect_after)s, least(%(longest_trust)s, published_at - available_at))
"""

_WAITING = f"""
SELECT (options::json ->> 'queue'), count(*), count(*) FILTER (WHERE {_SUSPECT})
FROM scheduler_run
WHERE status IN ('queued', 'retrying') AND published_at IS NOT NULL
GROUP BY 1
"""

_TAKE_BACK = f"""
WITH suspect AS (
    SELECT id
    FROM scheduler_run
    WHERE status IN ('queued', 'retrying')
        AND {_SUSPECT}
        AND (options::json ->> 'queue') IS NOT DISTINCT FROM %(queue)s
    ORDER BY published_at
    LIMIT %(missing)s
    FOR NO KEY UPDATE SKIP LOCKED
)
UPDATE scheduler_run run
SET published_at = NULL
FROM suspect
WHERE run.id = suspect.id
RETURNING run.*
"""


def take_back_lost(app: App, now: datetime, actor: str) -> int:
    """Have runs published again of which the broker holds no message any more. Returns their number.

    A broker that was wiped holds fewer messages than runs wait for. The number that it lacks is published again, the
    oldest first; a message that a worker has in hand and not yet started is published twice then, and starts once.
    """
    values = {"now": now, "suspect_after": SUSPECT_AFTER, "longest_trust": LONGEST_TRUST}
    lost: list[Run] = []
    for queue, waiting, suspects in _rows(_WAITING, values):
        missing = min(suspects, waiting - _depth(app, queue)) if suspects else 0
        if missing > 0:
            lost += Run.objects.raw(_TAKE_BACK, {**values, "queue": queue, "missing": missing})
    why = "The broker seems to have lost its message."
    events = [run.event(Event.REPUBLISHED, actor, now, message=why, attempt=run.attempt) for run in lost]
    RunEvent.objects.bulk_create(events)
    return len(lost)


def _depth(app: App, queue: str | None) -> int:
    """How many messages the broker holds for this queue, or for those that runs go to by their priority."""
    names = [queue] if queue else list(app.amqp.queues.consume_from)
    with app.connection_for_write() as broker:
        return sum(_size(broker, app.amqp.queues[name]) for name in names)


def _size(broker: Connection, queue: Queue) -> int:
    try:
        with broker.channel() as channel:
            declared: Any = queue(channel).queue_declare(passive=True)
            return int(declared.message_count)
    except broker.channel_errors:  # the queue is gone
        return 0


def _rows(sql: str, values: dict[str, Any]) -> list[tuple[Any, ...]]:
    with connection.cursor() as cursor:
        cursor.execute(sql, values)
        return list(cursor.fetchall())
