"""Pauses that end by themselves, or by two hands at once."""

from datetime import timedelta

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from scheduler import ledger
from scheduler.models import Event, Pause, RunEvent

pytestmark = pytest.mark.django_db


def resumed() -> list[tuple[str, str, str]]:
    return list(RunEvent.objects.filter(kind=Event.RESUMED).values_list("subject", "actor", "message"))


def test_a_pause_whose_time_is_over_is_ended_by_beat_and_that_is_put_down_once() -> None:
    now = timezone.now()
    ledger.pause("alice", until=now + timedelta(hours=1))
    ledger.pause("alice", task="some.task", until=now + timedelta(hours=2))
    ledger.pause("alice", task="another.task")
    assert ledger.end_expired_pauses(now, "beat 1") == 0

    assert ledger.end_expired_pauses(now + timedelta(hours=1), "beat 1") == 1
    assert ledger.end_expired_pauses(now + timedelta(hours=1), "beat 2") == 0
    assert resumed() == [("everything", "beat 1", "Its time was over.")]
    assert set(Pause.objects.values_list("task", flat=True)) == {"some.task", "another.task"}


def test_where_nothing_is_paused_beat_asks_only_once() -> None:
    with CaptureQueriesContext(connection) as captured:
        ledger.end_expired_pauses(timezone.now(), "beat 1")
    assert len([query for query in captured if "SAVEPOINT" not in query["sql"]]) == 1


def test_what_two_people_resume_is_resumed_once() -> None:
    paused = ledger.pause("alice")
    ledger.resume([paused], "bob")
    ledger.resume([paused], "charlie")
    assert resumed() == [("everything", "bob", "")]
