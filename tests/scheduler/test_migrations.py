"""The ledger's tables and triggers come and go without touching what staff scheduled."""

from tests.installation import Installation

SAVE = """
from django_celery_beat.models import IntervalSchedule, PeriodicTask
every, _ = IntervalSchedule.objects.get_or_create(every=1, period="hours")
task, _ = PeriodicTask.objects.get_or_create(name="mine", defaults={"task": "a.task", "interval": every})
PeriodicTask.objects.filter(pk=task.pk).update(enabled=False)
every.save()
"""

SCHEDULES = """
from scheduler.models import Schedule
result = list(Schedule.objects.order_by("periodic_task__name").values_list("periodic_task__name", flat=True))
"""


def test_without_the_ledger_schedules_can_be_saved_and_it_finds_them_when_it_comes_back(
    installation: Installation,
) -> None:
    before = installation.python(SCHEDULES)
    assert installation.run("migrate", "scheduler", "zero").returncode == 0
    installation.python(SAVE)
    migrated = installation.run("migrate")
    assert migrated.returncode == 0, migrated.stderr
    assert installation.python(SCHEDULES) == sorted([*before, "mine"])


EMPTY = """
from django.db import connection
with connection.cursor() as cursor:
    cursor.execute("TRUNCATE django_celery_beat_periodictask CASCADE")
"""


def test_a_dump_brings_back_schedules_pauses_and_the_audit(installation: Installation) -> None:
    installation.python("from scheduler.ledger import pause\npause('alice')")
    before = installation.python(SCHEDULES)
    dump = str(installation.data_dir / "dump.json")
    assert installation.run("dumpdata", "django_celery_beat", "scheduler", "-o", dump).returncode == 0
    installation.python(EMPTY)
    assert installation.python(SCHEDULES) == []
    for _ in range(2):
        loaded = installation.run("loaddata", dump)
        assert loaded.returncode == 0, loaded.stderr
    assert installation.python(SCHEDULES) == before
