from typing import Any

from django.apps import AppConfig


class Configuration(AppConfig):
    """Where the apps are put together: the only place that knows all of them."""

    name = "config"

    def ready(self) -> None:
        from contests.signals import contests_changed
        from notifications.tasks import dispatch_soon

        def dispatch(**_: Any) -> None:
            dispatch_soon()

        contests_changed.connect(dispatch, weak=False, dispatch_uid="dispatch-what-a-sync-found")
