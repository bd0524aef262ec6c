"""What the main process of a worker writes down itself, and what it leaves to others when it ends."""

import atexit
import logging
import os
import signal
import sys
from collections.abc import Callable
from contextlib import suppress
from typing import Any, NoReturn
from uuid import UUID

import billiard
from celery import signals
from celery.worker import state
from django.db import connections
from django.utils import timezone

from scheduler import rescue, worker
from scheduler.ledger import identity_of
from scheduler.models import Run

logger = logging.getLogger(__name__)


def record(write: Callable[[], object]) -> None:
    """What cannot be written now is found by beat: by the heartbeat that stopped, or by the message that is gone."""
    try:
        write()
    except Exception as error:
        logger.warning("The end of a run could not be recorded, and will be found by beat: %s", error)
    finally:
        # Processes that are forked from this one must not inherit a connection, or a pool's threads.
        connections["default"].close()
        connections["default"].close_pool()  # type: ignore[attr-defined]  # PostgreSQL's has one


@signals.task_unknown.connect
def _give_back(message: Any, name: str, id: str, **_: Any) -> None:
    """A message of a task that this worker has not: another one may, as while a new release is rolled out."""
    number = message.headers.get("run_attempt")
    if number is not None:
        record(lambda: rescue.unknown(UUID(id), number, name, timezone.now(), worker.main_identity()))


# --- Its end ---------------------------------------------------------------------------------------------------------


def is_ending() -> bool:
    """Whether Celery was told the status with which to exit, which may be 0."""
    return any(told is not None and told is not False for told in (state.should_stop, state.should_terminate))


def leave_to_others(*task_ids: str) -> None:
    """Have messages published again that this worker took, and does not start any more."""
    waiting = Run.objects.waiting().filter(pk__in=[identity_of(task_id) for task_id in task_ids])
    record(lambda: waiting.update(published_at=None))


@signals.worker_init.connect
def _hand_back_in_the_end(**_: Any) -> None:
    atexit.register(_hand_back)


@signals.worker_shutting_down.connect
def _let_a_second_signal_end_it(sig: str, **_: Any) -> None:
    """Celery waits for running jobs for as long as they take, and has no ear for another SIGTERM."""
    if sig == "SIGTERM":
        signal.signal(signal.SIGTERM, _leave_at_once)


def _leave_at_once(*_: Any) -> NoReturn:
    _hand_back()
    for child in billiard.active_children():
        if child.pid is not None:
            with suppress(ProcessLookupError):
                os.kill(child.pid, signal.SIGKILL)
    sys.exit("The worker was told twice to end: what it ran was handed back to others.")


def _hand_back() -> None:
    leave_to_others(*(request.id for request in tuple(state.reserved_requests)))
    record(lambda: rescue.hand_back(worker.main_identity(), timezone.now()))
