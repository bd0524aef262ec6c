from typing import Any

from django.apps import AppConfig
from django.db.models.signals import post_migrate


class Contests(AppConfig):
    name = "contests"

    def ready(self) -> None:
        post_migrate.connect(self.install_platforms, sender=self)

    def install_platforms(self, using: str, **_: Any) -> None:
        """A row for every platform there is code for; what staff changed in it stays."""
        from contests.models import Platform
        from contests.platforms import PLATFORMS

        Platform.objects.using(using).bulk_create(
            [Platform(code=code, name=platform.name, url=platform.site) for code, platform in PLATFORMS.items()],
            ignore_conflicts=True,
        )
