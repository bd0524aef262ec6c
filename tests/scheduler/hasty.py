"""The application for tests, where nobody waits long for a job that was cancelled, or for one when a worker ends."""

from scheduler import heartbeat
from tests.scheduler.application import app

heartbeat.INTERVAL, heartbeat.GRACE = 0.2, 1.0
app.conf.worker_soft_shutdown_timeout = 1.0

__all__ = ["app"]
