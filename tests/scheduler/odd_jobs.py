"""Jobs that use, and misuse, what Celery and Python offer. Plain tasks: none of them knows of the scheduler."""

import asyncio
import re
import sys
import threading
from datetime import UTC, datetime
from time import monotonic
from typing import Any

from celery import shared_task
from celery.exceptions import Ignore, Reject, Retry
from django.db import connection, transaction

from tests.scheduler.sample_jobs import add


@shared_task(max_retries=0)
def tell(*values: Any) -> str:
    return repr(values)


@shared_task(max_retries=0)
def raise_the(what: str) -> None:
    """Raise what somebody, somewhere, raises."""

    class Unprintable(Exception):
        def __str__(self) -> str:
            raise RuntimeError("no text")

    class Unpicklable(Exception):
        def __init__(self, _first: int, _second: int) -> None:
            self.lock = threading.Lock()

    raise {
        "a half character": ValueError("\ud800"),
        "NUL": ValueError("a\0b"),
        "very long": ValueError("x" * 1_000_000),
        "unprintable": Unprintable(),
        "unpicklable": Unpicklable(1, 2),
        "interrupt": KeyboardInterrupt(),
        "memory": MemoryError(),
        "cancelled": asyncio.CancelledError(),
        "exit": SystemExit(3),
    }[what]


@shared_task(max_retries=0)
def return_the(what: str) -> Any:
    return {"object": sys, "half character": "\ud800", "NUL": "a\0b", "set": {1}, "very long": "x" * 1_000_000}[what]


@shared_task(max_retries=0)
def ignore(*_: Any) -> None:
    raise Ignore("There is nothing to do.")


@shared_task(bind=True, default_retry_delay=0)
def reject(self: Any, requeue: bool) -> str:
    if self.request.retries == 0:
        raise Reject("not by me", requeue=requeue)
    return "then by me"


@shared_task(bind=True, max_retries=None)
def insist(self: Any, times: int) -> int:
    if self.request.retries < times:
        raise self.retry(countdown=0)
    return int(self.request.retries)


@shared_task(bind=True, max_retries=1)
def let_a_retry_pass(self: Any) -> str:
    """As one does who catches everything else."""
    try:
        if self.request.retries == 0:
            self.retry(eta=datetime.now(UTC).replace(tzinfo=None))
    except Retry:
        raise
    except Exception:
        return "caught"
    return "tried again"


@shared_task(bind=True)
def give_up_after_two(self: Any) -> None:
    raise self.retry(exc=KeyError("no"), countdown=0, max_retries=1)


@shared_task(
    autoretry_for=(Exception,), dont_autoretry_for=(KeyError,), retry_kwargs={"max_retries": 1, "countdown": 0}
)
def be_choosy(error: str) -> None:
    raise {"key": KeyError, "value": ValueError}[error]("on purpose")


@shared_task(bind=True, max_retries=0)
def factorial(self: Any, n: int) -> int:
    """Calls itself, as the function that it also is, which is no run of its own."""
    return 1 if n < 2 or self.is_aborted() else n * int(self(n - 1))


@shared_task(bind=True, max_retries=0)
def replace(self: Any) -> None:
    raise self.replace(add.s(20, 3))


@shared_task(max_retries=0)
def forget_to_commit(how: str) -> None:
    if how == "block":
        transaction.atomic().__enter__()
    else:
        transaction.set_autocommit(False)
    with connection.cursor() as cursor:
        cursor.execute("CREATE TABLE IF NOT EXISTS scheduler_half_done ()")


@shared_task(max_retries=0)
def lose_the_connection() -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_terminate_backend(pg_backend_pid())")


@shared_task(max_retries=0)
def write() -> bool:
    """Whether it is free of what the job before it left behind."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1")
    return not connection.in_atomic_block


@shared_task(max_retries=0)
def never_pause(seconds: float) -> float:
    """Compute for at least so long in one call, in which Python lets no other thread run. Returns the seconds."""
    length, took = 20, 0.0
    while took < seconds:
        length += 1
        if 0.5 < took < seconds / 2:
            length += int(seconds / took).bit_length() - 1
        started_at = monotonic()
        re.match(r"(a+)+$", "a" * length + "b")
        took = monotonic() - started_at
    return took
