"""The brokers, which lose what they hold, or go with all of it and come back."""

from contextlib import AbstractContextManager, ExitStack

import redis
from django.db import connection
from kombu import Connection, Queue

from config.broker import QUEUE
from tests import servers
from tests.chaos.plan import Blow
from tests.smtp import free_port


class Broker:
    blows = [Blow.WIPE_BROKER]

    def __init__(self) -> None:
        self.url = ""
        self._port = free_port()
        self._running: ExitStack | None = None

    def start(self) -> bool:
        if self._running is None:
            self._running = ExitStack()
            self.url = self._running.enter_context(self._server()).url
        return True

    def stop(self) -> None:
        if self._running:
            self._running.close()
            self._running = None

    def wipe(self) -> None:
        raise NotImplementedError

    def _server(self) -> AbstractContextManager[servers.Broker]:
        raise NotImplementedError


class PGMQ(Broker):
    """In the database, with which it comes and goes."""

    def start(self) -> bool:
        return True

    def wipe(self) -> None:
        with connection.cursor() as cursor:
            cursor.execute("SELECT pgmq.purge_queue(queue_name) FROM pgmq.list_queues()")


class Redis(Broker):
    blows = [Blow.WIPE_BROKER, Blow.RESTART_BROKER]

    def _server(self) -> AbstractContextManager[servers.Broker]:
        return servers.redis(self._port)

    def wipe(self) -> None:
        with redis.Redis.from_url(self.url) as client:
            client.flushall()


class RabbitMQ(Broker):
    def _server(self) -> AbstractContextManager[servers.Broker]:
        return servers.rabbitmq()

    def wipe(self) -> None:
        with Connection(self.url) as broker, broker.channel() as channel:
            Queue(QUEUE, channel=channel).purge()


BROKERS: dict[str, type[Broker]] = {"pgmq": PGMQ, "redis": Redis, "rabbitmq": RabbitMQ}
