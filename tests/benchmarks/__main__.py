"""Measure the set-based parts against what they could cost at best, and what they would cost row by row.

`make bench` runs all of it on an embedded PostgreSQL of its own. Absolute times are this machine's; what counts are the
ratios, whose two sides are measured in one run, alternately, the better of two taken.
"""

import os
from collections.abc import Callable
from pathlib import Path
from time import perf_counter

DATA_DIR = Path(__file__).resolve().parents[2] / ".data" / "bench"


def measure(prepare: Callable[[], object], run: Callable[[], object]) -> float:
    """Seconds of `run`, after `prepare`."""
    prepare()
    began = perf_counter()
    run()
    return perf_counter() - began


def say(what: str, ratio: float, goal: str, detail: str) -> None:
    print(f"{what:<58} {ratio:>8.2f}   goal {goal:<10} {detail}", flush=True)


def main() -> None:
    os.environ.update(DATA_DIR=str(DATA_DIR), DATABASE_URL="", CELERY_BROKER_URL="", EMAIL_URL="", LOG_LEVEL="ERROR")
    os.environ["DJANGO_SETTINGS_MODULE"] = "config.settings"
    from config.database import embedded

    embedded.discard(DATA_DIR)
    import django

    django.setup()
    from django.core.management import call_command

    call_command("migrate", verbosity=0)
    from tests.benchmarks import planning, syncing

    planning.run()
    syncing.run()
    embedded.discard(DATA_DIR)


if __name__ == "__main__":
    main()
