"""A broker in this process, which all its tests share: it really encodes, routes and holds what is published."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import kombu
import pytest

from config.celery import app

URL = "memory://localhost"


@contextmanager
def in_memory(monkeypatch: pytest.MonkeyPatch) -> Iterator[kombu.Connection]:
    """What the application publishes goes there; it is empty at first, and nothing is left in it."""
    with kombu.Connection(URL) as connection:

        @contextmanager
        def producer(*_: Any, **__: Any) -> Iterator[kombu.Producer]:
            yield kombu.Producer(connection)

        monkeypatch.setattr(app, "producer_or_acquire", producer)
        monkeypatch.setattr(app, "connection_for_write", lambda: kombu.Connection(URL))
        wipe(connection)
        yield connection
        wipe(connection)


def wipe(broker: kombu.Connection) -> None:
    for name in app.amqp.queues.consume_from:
        broker.SimpleQueue(name).clear()
