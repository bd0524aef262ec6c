"""The Celery application whose tasks are all recorded, whoever asks for them and however."""

from typing import Any

from celery import Celery


class App(Celery):
    task_cls = "scheduler.execution:Task"

    def send_task(self, name: str, args: Any = None, kwargs: Any = None, **options: Any) -> Any:  # type: ignore[override]  # whose many options all arrive in `options`
        """Record a run of the task; `apply_async`, `delay` and signatures end here."""
        from scheduler.ledger import enqueue

        return enqueue(self, name, args, kwargs, options)

    def publish(self, **message: Any) -> None:
        """Give a message to the broker; what RabbitMQ does not confirm in time, as when its memory is full, failed."""
        super().send_task(**{"confirm_timeout": self.conf.broker_connection_timeout, **message})
