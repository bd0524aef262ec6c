"""The pages of an installation whose workers have jobs for tests: `gunicorn tests.scheduler.web:application`."""

from config.wsgi import application
from tests.scheduler import sample_jobs

__all__ = ["application", "sample_jobs"]
