"""Jobs that do on purpose what jobs do by accident. Plain Celery tasks: none of them knows of the scheduler."""

import os
import signal
import time
from typing import Any

from celery import shared_task


@shared_task
def add(x: int, y: int) -> int:
    return x + y


@shared_task
def work(seconds: float = 0.0) -> str:
    """Take so long, without ever asking whether it shall stop."""
    time.sleep(seconds)
    return "done"


@shared_task
def grind(seconds: float = 0.0) -> str:
    """Take so long, in small steps, between which a thread can be interrupted too."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        time.sleep(0.02)
    return "done"


@shared_task
def fail(text: str = "on purpose") -> None:
    raise ValueError(text)


@shared_task(bind=True)
def fail_at_first(self: Any, times: int) -> int:
    """Fail so many times, then succeed."""
    if self.request.retries < times:
        raise ConnectionError(f"attempt {self.request.retries + 1}")
    return int(self.request.retries)


@shared_task(bind=True, max_retries=1)
def ask_again(self: Any, countdown: float = 0.0) -> None:
    """Retry in Celery's own words."""
    try:
        raise ConnectionError("not yet")
    except ConnectionError as error:
        raise self.retry(exc=error, countdown=countdown) from error


@shared_task(autoretry_for=(ConnectionError,), retry_backoff=1, max_retries=1)
def be_picky(error: str) -> None:
    """Worth another attempt only where the connection is to blame."""
    raise {"connection": ConnectionError, "value": ValueError}[error]("on purpose")


@shared_task
def die() -> None:
    """As a job does that takes all memory."""
    os.kill(os.getpid(), signal.SIGKILL)


@shared_task(soft_time_limit=1, time_limit=2)
def linger(stubborn: bool = False) -> None:
    """Run over the limit; stubbornly, even when asked to stop."""
    until = time.monotonic() + 60
    while time.monotonic() < until:
        try:
            time.sleep(60)
        except Exception:
            if not stubborn:
                raise


@shared_task(bind=True)
def cooperate(self: Any) -> str:
    """Run until somebody cancels it."""
    while not self.is_aborted():
        time.sleep(0.05)
    return "stopped"


@shared_task(bind=True)
def start_another(self: Any) -> str:
    return str(add.delay(1, 2).id)
