"""Kombu's transport for PGMQ, with one wait less."""

from time import monotonic, sleep
from typing import Any

from kombu.transport import pgmq

SHORTEST, LONGEST = 0.001, 0.05
"""Seconds between two looks whether the worker takes messages again."""


class Transport(pgmq.Transport):
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
