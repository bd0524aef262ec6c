"""What Celery has to know of each broker, besides its URL."""

from typing import Any

from kombu import Queue
from kombu.transport import TRANSPORT_ALIASES

from config.database import pgmq_conninfo
from config.environment import PGMQ_IN_THE_SAME_DATABASE, database_url

TRANSPORT_ALIASES["pgmq"] = "config.pgmq:Transport"

VISIBILITY_TIMEOUT = 30
"""Seconds after which a message that a worker took and did not start is delivered again: it may have died with it.

Messages are confirmed when their jobs start, and a job that started is watched over by its heartbeat.
"""

PATIENCE = 4
"""Seconds to wait for an answer, as Celery does while it connects: whoever publishes has other things to do."""


QUEUE = "codenotify"


def routing(url: str) -> tuple[list[Queue], dict[int, dict[str, Any]]]:
    """The queues of a broker, and how a message is published by its run's priority (`scheduler.models.Priority`)."""
    match url.partition("://")[0]:
        case "pgmq":  # which has no priorities, and serves several queues in turn
            names = {9: f"{QUEUE}_critical", 6: f"{QUEUE}_high", 3: QUEUE, 0: f"{QUEUE}_low"}
            return [Queue(name, routing_key=name) for name in names.values()], {
                level: {"queue": name} for level, name in names.items()
            }
        case "redis" | "rediss":  # where 0 is the most urgent, of the four steps 0, 3, 6, 9
            return [Queue(QUEUE)], {level: {"queue": QUEUE, "priority": 9 - level} for level in (9, 6, 3, 0)}
        case _:
            urgent_first = Queue(QUEUE, queue_arguments={"x-max-priority": 9})
            return [urgent_first], {level: {"queue": QUEUE, "priority": level} for level in (9, 6, 3, 0)}


def settings_for(url: str, database: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    """Celery's broker URL and transport options. `database`, Django's, has PGMQ unless the URL says otherwise."""
    match url.partition("://")[0]:
        case "pgmq":
            elsewhere = url != PGMQ_IN_THE_SAME_DATABASE
            queues = database_url(url.replace("pgmq", "postgres", 1)) if elsewhere else database
            # Kombu understands no unusual name and no parameter in such a URL, and prefers DATABASE_URL's host to it.
            return PGMQ_IN_THE_SAME_DATABASE, {
                "conn_string": pgmq_conninfo(queues),
                "init_extension": False,  # a migration of the scheduler installs its SQL
                "notify_throttle_interval_ms": 10,  # what comes in an interval is not told, and waits up to a second
                "pool_timeout": PATIENCE,
                "use_notify": True,
                "visibility_timeout": VISIBILITY_TIMEOUT,
                "wait_time_seconds": 0,  # LISTEN wakes the worker: no long poll holds a connection besides
            }
        case "redis" | "rediss":
            return url, {
                "socket_connect_timeout": PATIENCE,
                "socket_keepalive": True,
                "socket_timeout": PATIENCE,
                "visibility_timeout": VISIBILITY_TIMEOUT,
            }
        case _:
            return url, {"confirm_publish": True}
