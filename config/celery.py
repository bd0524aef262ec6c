"""The Celery application: `celery -A config worker`, `celery -A config beat`."""

import os
from typing import Any

from celery import signals

from scheduler.app import App

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")

app = App("codenotify")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()


@signals.celeryd_init.connect
def start_the_embedded_database(**_: Any) -> None:
    """The worker asks the broker before it asks Django's connection, and both may be the embedded server."""
    from config import database

    database.ensure_running()
