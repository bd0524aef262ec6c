"""The service with jobs for tests besides: `celery -A tests.scheduler.application worker`, and beat."""

from config.celery import app
from tests.scheduler import odd_jobs, sample_jobs

__all__ = ["app", "odd_jobs", "sample_jobs"]
