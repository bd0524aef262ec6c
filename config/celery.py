"""The Celery application: `celery -A config worker`, `celery -A config beat`."""

import os
from typing import Any

from celery import Celery, signals

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")

app = Celery("codenotify")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()


@signals.celeryd_init.connect
def start_the_embedded_database(**_: Any) -> None:
    """A worker reads its broker before it touches Django's connection, and both may be the embedded server."""
    from config import database

    database.ensure_running()
