"""django-celery-beat's own scheduler over the rows that are there, in a process that knows nothing of ours.

`python -m tests.benchmarks.stock` prints the seconds of each step as it ends.
"""

from time import perf_counter
from typing import Any

import django
from django.conf import settings

from config import settings as ours

settings.configure(
    **{name: getattr(ours, name) for name in dir(ours) if name.startswith(("CELERY_", "DATABASES", "USE_TZ"))},
    INSTALLED_APPS=["django.contrib.contenttypes", "django_celery_beat"],
)
django.setup()

from django_celery_beat.models import PeriodicTask  # noqa: E402  # after the set-up
from django_celery_beat.schedulers import DatabaseScheduler  # noqa: E402  # after the set-up

from tests.benchmarks.noop import bare  # noqa: E402  # after the set-up
from tests.benchmarks.schedules import DUE, DUE_TASK, long_ago  # noqa: E402  # after the set-up


class Counting(DatabaseScheduler):  # type: ignore[misc]  # it brings no types
    sent = 0

    def apply_async(self, *args: Any, **kwargs: Any) -> Any:
        self.sent += 1
        return super().apply_async(*args, **kwargs)


def main() -> None:
    long_ago()
    scheduler = Counting(app=bare, lazy=True)
    began = perf_counter()
    scheduler.schedule  # noqa: B018  # reads the rows, as it does after every edit
    print(f"reads its rows in {perf_counter() - began:.1f} s", flush=True)
    began = perf_counter()
    while scheduler.sent < DUE:
        scheduler.tick()
    print(f"sends {DUE} that are due in {perf_counter() - began:.1f} s", flush=True)
    PeriodicTask.objects.filter(task=DUE_TASK).update(last_run_at=None)
    began = perf_counter()
    scheduler.tick()
    print(f"ticks with nothing due in {(perf_counter() - began) * 1000:.0f} ms", flush=True)


if __name__ == "__main__":
    main()
