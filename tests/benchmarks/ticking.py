"""What a pass of beat costs with a thousand schedules, and with a million."""

import subprocess
import sys
from collections.abc import Callable

from django.conf import settings
from django.db import connection

from scheduler.beat import Scheduler
from tests.benchmarks import noop, schedules
from tests.benchmarks.__main__ import measure, say
from tests.installation import ROOT

SIZES = (1_000, 100_000, 1_000_000)
PATIENCE = 20
"""Seconds until the stock scheduler is held not to finish."""

ROUNDS = 9


def run() -> None:
    settings.SCHEDULING_ENABLED = True
    idle: dict[int, float] = {}
    busy: dict[int, float] = {}
    finishes = True
    for size in SIZES:
        schedules.fill(size)
        schedules.settle()
        beat = Scheduler(app=noop.recorded, lazy=True)
        idle[size] = min(measure(lambda: None, beat._pass) for _ in range(10 * ROUNDS))
        busy[size] = min(measure(due_again, beat._pass) for _ in range(ROUNDS))
        print(f"{size:>9,} schedules: {statements(beat)} statements a pass with nothing due")
        schedules.forget()
        if finishes:
            line, finishes = stock()
            print(f"{size:>9,} schedules, stock DatabaseScheduler: {line}", flush=True)
    schedules.forget()
    for what, seconds in (("nothing due", idle), (f"{schedules.DUE} due, recorded and published", busy)):
        for size in SIZES:
            ratio = seconds[size] / seconds[SIZES[0]]
            say(
                f"a pass, {what}, {size:,} schedules / 1,000",
                ratio,
                "≤ 2" if size == SIZES[-1] else "",
                f"{seconds[size] * 1000:.1f} ms",
            )


def due_again() -> None:
    schedules.forget()
    schedules.come(schedules.minute())


def statements(beat: Scheduler) -> int:
    came: list[str] = []

    def count(execute: Callable[..., object], sql: str, *rest: object) -> object:
        came.append(sql)
        return execute(sql, *rest)

    with connection.execute_wrapper(count):
        beat._pass()
    return len(came)


def stock() -> tuple[str, bool]:
    """How long django-celery-beat's own scheduler takes for the same rows, as far as it gets; whether it finishes."""
    command = [sys.executable, "-m", "tests.benchmarks.stock"]
    try:
        output = subprocess.run(command, cwd=ROOT, capture_output=True, timeout=PATIENCE, check=True).stdout
    except subprocess.TimeoutExpired as too_long:
        return ", ".join([*(too_long.stdout or b"").decode().splitlines(), f"no more in {PATIENCE} s"]), False
    return ", ".join(output.decode().splitlines()), True
