"""Measure the set-based parts against what they could cost at best, and what they would cost row by row.

`make bench` runs all of it on an embedded PostgreSQL of its own, `python -m tests.benchmarks ticking` a part. Absolute
times are this machine's; what counts are the ratios, whose two sides are measured in one run, alternately, the better
of two taken.
"""

import os
import sys
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from time import perf_counter

DATA_DIR = Path(os.environ.get("BENCH_DATA_DIR", Path(__file__).resolve().parents[2] / ".data" / "bench"))
PARTS = ("planning", "delivering", "whatsapp", "push", "syncing", "ticking", "beating", "throughput", "listing")


def measure(prepare: Callable[[], object], run: Callable[[], object]) -> float:
    """Seconds of `run`, after `prepare`."""
    prepare()
    began = perf_counter()
    run()
    return perf_counter() - began


def say(what: str, ratio: float, goal: str, detail: str) -> None:
    goal = f"goal {goal}" if goal else ""
    print(f"{what:<62} {ratio:>8.2f}   {goal:<12} {detail}", flush=True)


def clear() -> None:
    """No part finds contests and members that one before it left. Schedules stay: they take minutes to make."""
    from django.db import connection

    with connection.cursor() as cursor:
        cursor.execute(
            "TRUNCATE contests_contest, account_emailaddress, notifications_preference, notifications_channel, "
            "notifications_horizon, notifications_replan CASCADE; DELETE FROM auth_user"
        )


def main(*parts: str) -> None:
    if unknown := set(parts) - set(PARTS):
        sys.exit(f"There is no benchmark {', '.join(unknown)}: there are {', '.join(PARTS)}.")
    os.environ.update(DATA_DIR=str(DATA_DIR), DATABASE_URL="", CELERY_BROKER_URL="", EMAIL_URL="", LOG_LEVEL="ERROR")
    os.environ["DJANGO_SETTINGS_MODULE"] = "config.settings"
    from config.database import embedded

    embedded.discard(DATA_DIR)
    import django

    django.setup()
    from django.core.management import call_command

    call_command("migrate", verbosity=0)
    for part in parts or PARTS:
        clear()
        began = perf_counter()
        import_module(f"tests.benchmarks.{part}").run()
        print(f"({part}: {perf_counter() - began:.0f} s)\n", flush=True)
    embedded.discard(DATA_DIR)


if __name__ == "__main__":
    main(*sys.argv[1:])
