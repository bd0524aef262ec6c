"""The task of the throughput benchmark, in an application of Celery's own or in the service's.

`celery -A tests.benchmarks.noop:bare worker` runs it as Celery does, `:recorded` as this service does; both with the
settings of the service. `python -m tests.benchmarks.noop bare 1000` publishes it and prints the seconds.
"""

import os
import sys
from time import perf_counter

import django
from celery import Celery, shared_task

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")

from config.celery import app

recorded = app
bare = Celery("bare", set_as_current=False)
bare.config_from_object("django.conf:settings", namespace="CELERY")

DONE = "BENCH_DONE"
"""The variable that names the file to which every run of the task adds a byte."""


@shared_task(name="noop")
def noop(x: int, y: int) -> None:
    file = os.open(os.environ[DONE], os.O_WRONLY | os.O_APPEND)
    os.write(file, b".")
    os.close(file)


def publish(name: str, tasks: int) -> float:
    """Seconds for so many of them, the connections having been made."""
    task = {"bare": bare, "recorded": recorded}[name].tasks["noop"]
    task.delay(0, 0)
    began = perf_counter()
    for number in range(1, tasks):
        task.delay(number, y=number)
    return perf_counter() - began


if __name__ == "__main__":
    django.setup()
    print(publish(sys.argv[1], int(sys.argv[2])))
