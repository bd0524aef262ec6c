"""The service with the jobs of the chaos besides: `celery -A tests.chaos.application worker`, and beat."""

from config.celery import app
from tests.chaos import jobs

__all__ = ["app", "jobs"]
