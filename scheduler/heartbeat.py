"""A thread in each process of a worker that says of the runs there that they live, and hears that they shall end.

One in the parent of such processes speaks for those that compute something without a break.
"""

import ctypes
import logging
import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from time import monotonic
from typing import Any
from uuid import UUID

from celery import signals
from celery.exceptions import SoftTimeLimitExceeded
from celery.worker import state

from scheduler import worker

logger = logging.getLogger(__name__)

INTERVAL = 2.0
"""Seconds between two heartbeats, and so until a job hears that it is cancelled."""

GRACE = 10.0
"""Seconds that a job has to end by itself once it is cancelled, and again once it is interrupted."""

_ALIVE = """
UPDATE scheduler_run run
SET heartbeat_at = clock_timestamp()
FROM unnest(%(ids)s::uuid[], %(attempts)s::int[]) AS alive(id, attempt)
WHERE run.id = alive.id
    AND run.attempt = alive.attempt
    AND run.status = 'running'
"""

_BEAT = f"{_ALIVE} RETURNING run.id, run.cancel_requested_at IS NOT NULL"


@dataclass(slots=True, eq=False)
class Beating:
    """A run that this process works on. Times are seconds of the monotonic clock."""

    run: UUID
    attempt: int
    soft_limit: float | None
    foreground: bool = False
    """In a command's process: nobody else can take it over, and what stops it ends the command."""
    thread: int = field(default_factory=threading.get_ident)
    started_at: float = field(default_factory=monotonic)
    aborted_at: float | None = None
    interruptions: int = 0


class Heart:
    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._beating: dict[UUID, Beating] = {}
        self._pid = 0

    @contextmanager
    def beating(
        self, run: UUID, attempt: int, soft_limit: float | None, *, foreground: bool = False
    ) -> Iterator[Beating]:
        """Keep this attempt alive while its body runs; `soft_limit` in seconds is enforced where Celery does not."""
        alive = Beating(run, attempt, soft_limit, foreground)
        with self._lock:
            self._beating[run] = alive
            if self._pid != os.getpid():
                self._pid = os.getpid()
                threading.Thread(target=self._beat_for_ever, name="heartbeat", daemon=True).start()
        try:
            yield alive
        finally:
            with self._lock:
                self._beating.pop(run, None)

    def is_aborted(self, run: UUID) -> bool:
        """Whether somebody cancelled it, or another worker has taken it over."""
        alive = self._beating.get(run)
        return alive is not None and alive.aborted_at is not None

    def _beat_for_ever(self) -> None:
        pause = threading.Event()
        while not pause.wait(INTERVAL):
            with self._lock:
                alive = list(self._beating.values())
            try:
                if alive:
                    self._beat(alive)
                    self._stop(alive)
            except Exception as error:  # the next one may come through, and the runs are rescued if none does
                logger.warning("No heartbeat could be written: %s", error)

    def _beat(self, alive: list[Beating]) -> None:
        values = {
            "ids": [beating.run for beating in alive],
            "attempts": [beating.attempt for beating in alive],
        }
        cancelled = dict(worker.execute(_BEAT, values))
        for beating in alive:
            if cancelled.get(beating.run, not beating.foreground) and beating.aborted_at is None:
                beating.aborted_at = monotonic()

    def _stop(self, alive: list[Beating]) -> None:
        """Interrupt what does not stop by itself; what even that does not stop ends with its process."""
        now = monotonic()
        for beating in alive:
            with self._lock:
                if self._beating.get(beating.run) is not beating:
                    continue
                # A command cannot ask whether it shall stop: it is interrupted at once.
                patience = GRACE * (beating.interruptions + (0 if beating.foreground else 1))
                if beating.aborted_at is not None and now - beating.aborted_at >= patience:
                    beating.interruptions += 1
                    if beating.interruptions > 1 and worker.is_child():
                        os.kill(os.getpid(), signal.SIGKILL)
                    _interrupt(beating)
                elif not worker.is_child() and beating.soft_limit and now - beating.started_at > beating.soft_limit:
                    beating.soft_limit = None
                    _interrupt(beating)


def _interrupt(beating: Beating) -> None:
    """Raise SoftTimeLimitExceeded in the job, where a signal can do it even in a call that blocks."""
    if worker.is_child():
        os.kill(os.getpid(), signal.SIGUSR1)  # to which Celery's pool answers with that exception
    elif beating.foreground:
        signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGTERM)  # as whoever ends a command does
    else:
        raise_in = ctypes.pythonapi.PyThreadState_SetAsyncExc
        raise_in(ctypes.c_ulong(beating.thread), ctypes.py_object(SoftTimeLimitExceeded))


# --- The parent of a worker's processes ------------------------------------------------------------------------------

OVERDUE = timedelta(seconds=3 * INTERVAL)
"""A process that is silent for so long and still there computes something that lets no other thread run."""

_SPEAK_FOR = f"{_ALIVE} AND run.heartbeat_at < clock_timestamp() - %(overdue)s"


@signals.worker_ready.connect
def _watch_children(**_: Any) -> None:
    threading.Thread(target=_speak_for_children, name="heartbeat of children", daemon=True).start()


def _speak_for_children() -> None:
    """Say of runs whose process cannot speak that they live: it is there, and has not told of their end."""
    pause = threading.Event()
    while not pause.wait(OVERDUE.total_seconds()):
        try:
            attempts = [request.attempt for request in list(state.active_requests) if _is_with_a_child(request)]
            if attempts:
                ids, numbers = zip(*attempts, strict=True)
                worker.execute(_SPEAK_FOR, {"ids": list(ids), "attempts": list(numbers), "overdue": OVERDUE})
            else:
                worker.forget_connection()
        except Exception as error:  # as that the worker took another job meanwhile; the next look is soon enough
            logger.warning("No heartbeat could be written for a busy process: %s", error)


def _is_with_a_child(request: Any) -> bool:
    try:
        os.kill(request.worker_pid, 0)
    except ProcessLookupError:
        return False
    return bool(request.worker_pid != os.getpid())


HEART = Heart()
