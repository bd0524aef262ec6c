from typing import Any

from django.apps import AppConfig, apps
from django.db.models.signals import post_migrate


class Scheduler(AppConfig):
    name = "scheduler"

    def ready(self) -> None:
        # When its tables are there; this app has none of its own, and so no such moment.
        post_migrate.connect(self.install_schedules, sender=apps.get_app_config("django_celery_beat"))

    def install_schedules(self, using: str, **_: Any) -> None:
        """The default schedules of the settings, where missing: what staff made of them stays."""
        from django.conf import settings

        from scheduler.schedules import install

        install(settings.SCHEDULES, using=using)
