"""Celery's prefork pool, any of whose processes may be killed at any moment."""

import fcntl
import tempfile
from types import TracebackType
from typing import Any

from billiard.pool import Pool
from celery.concurrency import prefork
from celery.exceptions import TaskRevokedError


class Lock:
    """A lock between processes that the kernel takes from one that dies. Billiard's semaphores stay locked for ever."""

    def __init__(self) -> None:
        self._file = tempfile.TemporaryFile()  # noqa: SIM115  # open as long as the pool is

    def acquire(self, *_: object) -> bool:
        fcntl.lockf(self._file, fcntl.LOCK_EX)
        return True

    def release(self) -> None:
        fcntl.lockf(self._file, fcntl.LOCK_UN)

    def __enter__(self) -> bool:
        return self.acquire()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.release()


class BlockingPool(Pool):
    """The one for brokers that cannot wait for several things at once, as PGMQ.

    Its idle processes take turns at one pipe: one of them waits there with the lock in hand, so that killing it left
    a worker that runs nothing any more.
    """

    def _setup_queues(self) -> None:
        super()._setup_queues()  # type: ignore[misc]  # whose types know little of it, as below
        self._inqueue._rlock, self._outqueue._wlock = Lock(), Lock()  # type: ignore[attr-defined]

    def apply_async(self, func: Any, args: tuple[Any, ...] = (), *more: Any, **options: Any) -> Any:
        """Billiard's waits here for a free process, and meanwhile the worker may be told to end."""
        from scheduler import parent  # whose models are not ready yet when the pool is chosen

        self._putlock.acquire()  # type: ignore[attr-defined]
        if parent.is_ending():
            self._putlock.release()  # type: ignore[attr-defined]
            _, task_id, *_ = args
            parent.leave_to_others(task_id)
            raise TaskRevokedError(task_id)
        return super().apply_async(func, args, *more, **{**options, "waitforslot": False})


class TaskPool(prefork.TaskPool):
    BlockingPool = BlockingPool
