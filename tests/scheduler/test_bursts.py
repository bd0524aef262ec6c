"""Very many at once: what comes meanwhile goes on."""

from datetime import timedelta
from math import inf

import pytest
from django.utils import timezone
from django_celery_beat.models import CrontabSchedule, PeriodicTask
from pytest_django import Settings

from config.celery import app
from scheduler import beat, tick
from scheduler.models import Run, Schedule
from scheduler.tick import follow_edits

pytestmark = pytest.mark.django_db


def test_what_comes_meanwhile_does_not_wait_until_all_that_came_before_are_through(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    PeriodicTask.objects.all().delete()
    now = timezone.now().replace(microsecond=0)
    every_minute = CrontabSchedule.objects.create()
    for number in range(8):
        PeriodicTask.objects.create(name=f"{number}", task="config.tasks.clean_up_data", crontab=every_minute)
    Schedule.objects.filter(periodic_task__name="7").update(seconds="*")
    follow_edits(now, "test")
    minute = now.replace(second=0) - timedelta(minutes=1)
    Schedule.objects.update(next_run_at=minute)
    Schedule.objects.filter(periodic_task__name="7").update(next_run_at=now)
    settings.SCHEDULING_ENABLED = True
    for module in (tick, beat):
        monkeypatch.setattr(module, "BATCH", 3)
    scheduler = beat.Scheduler(app=app, lazy=True)
    scheduler._broker_rests_until = inf

    scheduler._pass()

    assert Run.objects.filter(name="7", occurrence=now).exists()
    assert Schedule.objects.filter(next_run_at=minute).exists()
