from typing import Any

from django.apps import AppConfig
from django.db.models.signals import post_migrate


class Notifications(AppConfig):
    name = "notifications"

    def ready(self) -> None:
        from notifications import accounts

        accounts.connect()
        post_migrate.connect(self.install_providers, sender=self)

    def install_providers(self, using: str, **_: Any) -> None:
        """A row for every kind of channel there is code for; what staff changed in it stays."""
        from notifications.channels import CHANNELS
        from notifications.models import Provider

        Provider.objects.using(using).bulk_create([Provider(kind=kind) for kind in CHANNELS], ignore_conflicts=True)
