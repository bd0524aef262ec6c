"""Each broker as it is run: jobs go from process to process through it, whatever it loses, and nobody waits for it."""

import os
import signal
import socket
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

import pytest
from kombu import Connection, Queue
from redis import Redis

from config.broker import QUEUE
from tests import servers
from tests.installation import Installation, eventually
from tests.scheduler.console import Console
from tests.smtp import free_port

CELERY = ("celery", "-A", "tests.scheduler.application")
SLOW = 60.0
"""Seconds within which what a broker lost is noticed, published again and done."""

PATIENCE = 20
"""Seconds that asking for a round may take at most, whatever state the broker is in: three times the wait for it."""

ASK_FOR_A_ROUND = """
import time
from notifications.tasks import dispatch_soon
began = time.monotonic()
dispatch_soon()
result = time.monotonic() - began
"""

PUBLISH_AGAIN = """
from scheduler.models import Run
from scheduler.publishing import message_of
for _ in range(2):
    app.publish(**message_of(Run.objects.get(pk="{}")))
"""


@pytest.fixture(scope="module")
def redis() -> Iterator[servers.Broker]:
    with servers.redis() as broker:
        yield broker


@pytest.fixture(scope="module")
def rabbitmq() -> Iterator[servers.Broker]:
    with servers.rabbitmq() as broker:
        yield broker


@dataclass(frozen=True)
class Stage:
    """An installation whose beat runs with one of the brokers."""

    broker: str
    url: str
    installation: Installation
    console: Console

    @contextmanager
    def worker(self, processes: int) -> Iterator[None]:
        options = ("--concurrency", str(processes), "--loglevel", "INFO")
        worker = self.installation.start(*CELERY, "worker", *options, CELERY_BROKER_URL=self.url)
        try:
            yield
        finally:
            worker.terminate()
            worker.wait(30)

    def wipe(self) -> None:
        match self.broker:
            case "pgmq":
                self.console.do(
                    "from django.db import connection\n"
                    "connection.cursor().execute('SELECT pgmq.purge_queue(queue_name) FROM pgmq.list_queues()')"
                )
            case "redis":
                with Redis.from_url(self.url) as client:
                    client.flushall()
            case _:
                with Connection(self.url) as connection, connection.channel() as channel:
                    Queue(QUEUE, channel=channel).purge()

    def finish(self, runs: list[str], within: float = SLOW) -> None:
        def left() -> int:
            return len(self.console.runs(pk__in=runs)) - len(self.console.runs(pk__in=runs, status="succeeded"))

        eventually(lambda: not left(), within=within, what="the end of all runs")


@pytest.fixture(scope="module", params=["pgmq", "redis", "rabbitmq"])
def stage(request: pytest.FixtureRequest, installation: Installation) -> Iterator[Stage]:
    url = "" if request.param == "pgmq" else str(request.getfixturevalue(request.param).url)
    with Console(installation, CELERY_BROKER_URL=url) as console:
        console.do("from django_celery_beat.models import PeriodicTask\nPeriodicTask.objects.update(enabled=False)")
        installation.start(*CELERY, "beat", CELERY_BROKER_URL=url)
        yield Stage(request.param, url, installation, console)
        installation.stop()


def test_what_a_wiped_broker_held_is_done_all_the_same_and_once(stage: Stage) -> None:
    runs = [stage.console.ask("add", 1, 2) for _ in range(12)]
    assert len(stage.console.runs(pk__in=runs, published_at__isnull=False)) == len(runs)
    stage.wipe()
    with stage.worker(2):
        stage.finish(runs)
    done = stage.console.runs(pk__in=runs)
    assert {(run["attempt"], run["crashes"], run["failures"]) for run in done} == {(1, 0, 0)}
    assert {event for run in done for event in run["events"]} == {"republished"}


def test_a_message_that_comes_several_times_starts_its_run_once(stage: Stage) -> None:
    run = stage.console.ask("add", 1, 2)
    stage.console.do(PUBLISH_AGAIN.format(run))
    with stage.worker(2):
        stage.finish([run])
        after = stage.console.ask("add", 3, 4)
        stage.finish([after])
        eventually(lambda: stage.installation.log().count(f"[{run}] received") == 3, what="the other two messages")
    assert stage.installation.log().count(f"[{run}] succeeded") == 1


def test_urgent_runs_come_first(stage: Stage) -> None:
    """By the four levels where the broker has priorities; PGMQ serves a queue for each level in turn."""
    levels = {"low": 0, "normal": 3, "high": 6, "critical": 9}
    asked = {
        stage.console.ask("add", 1, 2, priority=priority): level for level, priority in levels.items() for _ in range(4)
    }
    with stage.worker(1):
        stage.finish(list(asked))
    began = sorted(stage.console.runs(pk__in=list(asked)), key=lambda run: str(run["started_at"]))
    order = [asked[run["id"]] for run in began]
    if stage.broker == "pgmq":
        assert order.index("critical") <= len(levels)
    else:
        assert order == [level for level in reversed(levels) for _ in range(4)]


DECLARE = """
from django.db import connection
from kombu import Exchange

def triggers():
    with connection.cursor() as cursor:
        cursor.execute("SELECT oid FROM pg_trigger WHERE tgname = 'trigger_notify_queue_insert_listeners' ORDER BY oid")
        return cursor.fetchall()

def declare():
    with app.connection_for_write() as broker, broker.channel() as channel:
        for queue in app.amqp.queues.values():
            queue(channel).declare()
        app.amqp.Producer(channel).publish({}, exchange=Exchange("celeryev", "topic"), routing_key="worker.heartbeat")

triggers()  # where nobody was connected the database starts now
declare()
before = triggers()
declare()
result = [len(before), triggers() == before]
"""


def test_a_process_that_joins_changes_nothing_of_pgmqs_queues(installation: Installation) -> None:
    """It would lock them, and two that join deadlock. Events of Celery's are no errors there."""
    with Console(installation) as console:
        assert console.do(DECLARE) == [4, True]


# --- A broker that is away -------------------------------------------------------------------------------------------


def test_what_is_asked_for_while_the_broker_is_down_is_done_once_it_is_back(installation: Installation) -> None:
    """What waits for its time meanwhile as well; the worker and beat outlive it."""
    installation.stop()  # the beat of the last stage, which would publish to its own broker
    port = free_port()
    first = ExitStack()
    url = first.enter_context(servers.redis(port)).url
    with first, Console(installation, CELERY_BROKER_URL=url) as console:
        stage = Stage("redis", url, installation, console)
        installation.start(*CELERY, "beat", CELERY_BROKER_URL=url)
        with stage.worker(1):
            stage.finish([console.ask("add", 1, 2)])
            first.close()
            runs = [console.ask("add", 1, 2, countdown=3), *(console.ask("add", 1, 2) for _ in range(3))]
            with servers.redis(port):
                # Celery's worker waits up to half a minute between two attempts to connect, beat half of that.
                stage.finish(runs, within=SLOW + 45)
        installation.stop()


def test_beat_and_workers_outlive_a_restart_of_postgresql(installation: Installation) -> None:
    """Which is the broker as well."""
    installation.stop()  # the beat of the last stage, which would publish to its own broker
    with Console(installation) as console:
        stage = Stage("pgmq", "", installation, console)
        installation.start(*CELERY, "beat")
        with stage.worker(1):
            stage.finish([console.ask("add", 1, 2)])
            runs = [console.ask("work", 3), console.ask("add", 1, 2), console.ask("add", 1, 2, countdown=3)]
            eventually(lambda: console.run(runs[0])["status"] == "running", what="its start")
            postmaster = installation.data_dir / "postgres" / "postmaster.pid"
            os.kill(int(postmaster.read_text().split()[0]), signal.SIGINT)
            eventually(lambda: answers(lambda: console.ask("add", 1, 2)), what="its return")
            stage.finish(runs)
            assert console.run(runs[0])["attempt"] == 1, "what ran all the while is not done again"
        installation.stop()


def answers(ask: Callable[[], object]) -> bool:
    try:
        ask()
    except AssertionError:
        return False
    return True


@contextmanager
def silence() -> Iterator[int]:
    """A port where everybody is let in and nobody is answered."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        yield listener.getsockname()[1]


def test_nobody_waits_for_a_broker_that_is_gone_or_silent(installation: Installation) -> None:
    """All six at once: each is a wait."""
    with silence() as silent, ThreadPoolExecutor() as pool:
        urls = [
            f"{broker}@127.0.0.1:{port}/1"
            for broker in ("redis://:secret", "amqp://guest:guest", "pgmq://alice:secret")
            for port in (free_port(), silent)
        ]
        waits = pool.map(lambda url: installation.python(ASK_FOR_A_ROUND, CELERY_BROKER_URL=url), urls)
        assert [wait for wait in waits if wait > PATIENCE] == []


def test_nobody_waits_for_a_broker_that_falls_silent(
    installation: Installation, redis: servers.Broker, rabbitmq: servers.Broker
) -> None:
    """Once connected to it; RabbitMQ does so, too, to who publishes while its memory is full."""

    def wait_for(broker: servers.Broker) -> float:
        code = f"{ASK_FOR_A_ROUND}import os\nos.killpg({broker.pid}, {int(signal.SIGSTOP)})\n{ASK_FOR_A_ROUND}"
        try:
            return float(installation.python(code, CELERY_BROKER_URL=broker.url))
        finally:
            os.killpg(broker.pid, signal.SIGCONT)

    with ThreadPoolExecutor() as pool:
        waits = list(pool.map(wait_for, (redis, rabbitmq)))
    assert all(1 < wait < PATIENCE for wait in waits), waits
