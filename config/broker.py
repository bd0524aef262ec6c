"""What Celery has to know of each broker, besides its URL."""

from typing import Any

from config.database import pgmq_conninfo
from config.environment import PGMQ_IN_THE_SAME_DATABASE, database_url

VISIBILITY_TIMEOUT = 900
"""Seconds after which a message that nobody confirmed is delivered again; longer than any job may take."""

PATIENCE = 4
"""Seconds to wait for an answer, as Celery does while it connects: whoever publishes has other things to do."""


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
