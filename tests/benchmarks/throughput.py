"""Tasks per second with the ledger against Celery alone, on each broker, with workers of two processes."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from time import perf_counter, sleep

import pytest

from tests import servers
from tests.benchmarks import processes
from tests.benchmarks.__main__ import DATA_DIR, say
from tests.benchmarks.noop import DONE
from tests.installation import ROOT

ROUNDS = 2
TASKS = {"PGMQ": 500, "Redis": 1500, "RabbitMQ": 1500}
PATIENCE = 120.0


def run() -> None:
    for broker, tasks in TASKS.items():
        with ExitStack() as stack:
            try:
                url = {"PGMQ": _embedded, "Redis": servers.redis, "RabbitMQ": servers.rabbitmq}[broker]
                environment = {"CELERY_BROKER_URL": stack.enter_context(url()).url}
            except pytest.skip.Exception as missing:
                print(f"{broker}: not measured, {missing}")
                continue
            compare(broker, tasks, environment)


@contextmanager
def _embedded() -> Iterator[servers.Broker]:
    """PGMQ in the database that all benchmarks use."""
    yield servers.Broker("", 0, 0)


def compare(broker: str, tasks: int, environment: dict[str, str]) -> None:
    """Alternately, because other programs on the machine come and go; the better round counts."""
    rates: dict[str, list[Rates]] = {"bare": [], "recorded": []}
    for _ in range(ROUNDS):
        for name, found in rates.items():
            found.append(Rates(name, tasks, environment))
    print(f"{tasks:,} tasks on {broker}")
    for what, goal in (("publish", ""), ("drain", ""), ("end to end", "≥ 0.7")):
        bare, recorded = (max(rate.of[what] for rate in found) for found in rates.values())
        say(f"{what}, with the ledger / without", recorded / bare, goal, f"{recorded:.0f}/s / {bare:.0f}/s")


class Rates:
    """Tasks per second of one application: published, drained by a worker that waited, and both at once."""

    def __init__(self, name: str, tasks: int, environment: dict[str, str]) -> None:
        self.name, self.tasks = name, tasks
        self.done = DATA_DIR / "done"
        self.done.write_bytes(b"")
        self.environment = {**os.environ, **environment, DONE: str(self.done)}
        published = tasks / float(self.publish().communicate()[0])
        with processes.worker(name, **environment):
            self.wait_for(1)
            began, already = perf_counter(), self.done.stat().st_size
            self.wait_for(tasks)
            drained = (tasks - already) / (perf_counter() - began)
            publisher = self.publish()
            self.wait_for(tasks + 1)
            began = perf_counter()
            self.wait_for(2 * tasks)
            together = (tasks - 1) / (perf_counter() - began)
            publisher.wait()
        self.of = {"publish": published, "drain": drained, "end to end": together}

    def publish(self) -> "subprocess.Popen[str]":
        return subprocess.Popen(
            [sys.executable, "-m", "tests.benchmarks.noop", self.name, str(self.tasks)],
            cwd=ROOT,
            env=self.environment,
            stdout=subprocess.PIPE,
            text=True,
        )

    def wait_for(self, tasks: int) -> None:
        give_up_at = perf_counter() + PATIENCE
        while (done := self.done.stat().st_size) < tasks:
            if perf_counter() > give_up_at:
                raise TimeoutError(f"{self.name}: {done} of {tasks} tasks were done within {PATIENCE:.0f} s")
            sleep(0.002)
