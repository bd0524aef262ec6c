"""The service with jobs for tests besides: `celery -A tests.scheduler.application worker`, and beat."""

from config.celery import app
from tests.scheduler import sample_jobs

__all__ = ["app", "sample_jobs"]
