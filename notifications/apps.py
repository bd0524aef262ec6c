from django.apps import AppConfig


class Notifications(AppConfig):
    name = "notifications"

    def ready(self) -> None:
        from notifications import accounts

        accounts.connect()
