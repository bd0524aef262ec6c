"""Kombu's transport for PGMQ, with one wait less, and without locking or asking for what is not there."""

from time import monotonic, sleep
from typing import Any

from kombu.transport import pgmq

SHORTEST, LONGEST = 0.001, 0.05
"""Seconds between two looks whether the worker takes messages again."""


class Channel(pgmq.Channel):
    def _maybe_enable_notify(self, queue: str, queue_name: str | None = None) -> None:
        """Have PGMQ tell of new messages, unless it does.

        Kombu makes the trigger anew for each connection, under the queue's exclusive lock: two of them deadlocked. What
        PGMQ knows of it is gone after a crash, and the trigger without effect.
        """
        name = queue_name or self._queue_name(queue)
        intervals = {told.queue_name: told.throttle_interval_ms for told in self.pgmq.list_notify_throttles()}
        if intervals.get(name) == self.notify_throttle_interval_ms:
            transport: Any = self.connection
            transport._register_notify_queue(name)
        else:
            super()._maybe_enable_notify(queue, queue_name)  # type: ignore[no-untyped-call]  # it brings no types

    def _put_topic(self, exchange: str, message: dict[str, Any], routing_key: str, **_: Any) -> None:
        """Nothing: Celery's events, which nobody can follow on PGMQ. Kombu calls a function that PGMQ does not have."""


class Transport(pgmq.Transport):
    Channel = Channel

    def drain_events(self, connection: Any, timeout: float | None = None, **kwargs: Any) -> None:
        """Wait for a message, and for room: a worker takes no more than it can soon start.

        Kombu waits for news of a new message, or a second, for both: a worker of two processes would start two jobs
        a second while a hundred wait. It gets its room back within milliseconds, unless its jobs are long.
        """
        give_up_at = None if timeout is None else monotonic() + timeout
        pause = SHORTEST
        while not all(channel.qos.can_consume() for channel in connection.channels):
            if give_up_at is not None and monotonic() > give_up_at:
                raise TimeoutError
            sleep(pause)
            pause = min(2 * pause, LONGEST)
        super().drain_events(connection, timeout)  # type: ignore[no-untyped-call]  # it brings no types
