"""Each broker as it is run: jobs go from process to process through it, and nobody waits for one that is gone."""

import os
import signal
import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager

import pytest

from tests import servers
from tests.installation import Installation, eventually
from tests.smtp import free_port

PATIENCE = 20
"""Seconds that asking for a round may take at most, whatever state the broker is in: three times the wait for it."""

PUBLISH = "from config.tasks import clean_up_data\nresult = clean_up_data.delay().id"

ASK_FOR_A_ROUND = """
import time
from notifications.tasks import dispatch_soon
began = time.monotonic()
dispatch_soon()
result = time.monotonic() - began
"""


@pytest.fixture(scope="module")
def redis() -> Iterator[servers.Broker]:
    with servers.redis() as broker:
        yield broker


@pytest.fixture(scope="module")
def rabbitmq() -> Iterator[servers.Broker]:
    with servers.rabbitmq() as broker:
        yield broker


@pytest.fixture(params=["pgmq", "redis", "rabbitmq"])
def url(request: pytest.FixtureRequest) -> str:
    """Of each broker that can be chosen, running."""
    return "" if request.param == "pgmq" else str(request.getfixturevalue(request.param).url)


@contextmanager
def a_worker(installation: Installation, url: str) -> Iterator[None]:
    worker = ("celery", "-A", "config", "worker", "--concurrency", "1", "--loglevel", "INFO")
    installation.start(*worker, CELERY_BROKER_URL=url)
    try:
        yield
    finally:
        installation.stop()


def succeeds(installation: Installation, job: str) -> None:
    eventually(lambda: f"[{job}] succeeded" in installation.log(), within=30, what="the success of the job")


def test_a_worker_does_what_another_process_asks_for(installation: Installation, url: str) -> None:
    early = installation.python(PUBLISH, CELERY_BROKER_URL=url)
    with a_worker(installation, url):
        succeeds(installation, early)
        succeeds(installation, installation.python(PUBLISH, CELERY_BROKER_URL=url))
    assert "CRITICAL" not in installation.log()
    assert "ERROR" not in installation.log()


def test_a_worker_outlives_a_restart_of_its_broker(installation: Installation) -> None:
    port = free_port()
    with ExitStack() as first:
        broker = first.enter_context(servers.redis(port))
        with a_worker(installation, broker.url):
            succeeds(installation, installation.python(PUBLISH, CELERY_BROKER_URL=broker.url))
            first.close()
            eventually(lambda: "Connection refused" in installation.log(), what="the worker's noticing")
            with servers.redis(port):
                succeeds(installation, installation.python(PUBLISH, CELERY_BROKER_URL=broker.url))


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
