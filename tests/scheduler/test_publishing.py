"""Messages that the broker lost are found by counting, and published again; ones that a busy worker holds rarely."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import kombu
import pytest
from django.utils import timezone

from config.celery import app
from scheduler.models import Event, Run, RunEvent, Status
from scheduler.publishing import LONGEST_TRUST, publish, take_back_lost
from tests.scheduler.memory_broker import wipe
from tests.scheduler.sample_jobs import add

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("broker")]
NOW = timezone.now()


def ask(number: int = 1) -> None:
    for _ in range(number):
        add.apply_async((1, 2), countdown=1)
    Run.objects.update(available_at=NOW)


def after(seconds: float) -> Any:
    return NOW + timedelta(seconds=seconds)


def test_messages_that_the_broker_still_has_are_left_alone() -> None:
    ask(3)
    assert publish(app, after(1)) == 3
    assert take_back_lost(app, after(1000), "beat") == 0
    assert not Run.objects.filter(published_at=None).exists()


def test_after_a_wipe_all_are_published_again_and_it_is_said(broker: kombu.Connection) -> None:
    ask(3)
    publish(app, after(1))
    wipe(broker)
    assert take_back_lost(app, after(5), "beat") == 0
    assert take_back_lost(app, after(25), "beat") == 3
    assert publish(app, after(25)) == 3
    assert set(RunEvent.objects.values_list("kind", "actor")) == {(Event.REPUBLISHED, "beat")}
    assert take_back_lost(app, after(60), "beat") == 0


def test_as_many_as_are_missing_are_published_again_the_oldest_first(broker: kombu.Connection) -> None:
    ask(1)
    publish(app, after(1))
    wipe(broker)
    ask(2)
    publish(app, after(2))
    oldest = Run.objects.order_by("published_at")[0]
    assert take_back_lost(app, after(30), "beat") == 1
    assert Run.objects.get(published_at=None) == oldest


def test_a_run_that_started_waits_for_no_message(broker: kombu.Connection) -> None:
    ask(2)
    publish(app, after(1))
    wipe(broker)
    Run.objects.update(status=Status.RUNNING)
    assert take_back_lost(app, after(1000), "beat") == 0


def test_one_that_was_published_again_and_again_is_trusted_for_longer_and_longer(broker: kombu.Connection) -> None:
    """A worker holds it, behind a long job: the broker has it no more, and it is not lost."""
    ask()
    gaps, last = [], 1.0
    for second in range(1, 1800):
        if take_back_lost(app, after(second), "beat") or second == 1:
            publish(app, after(second))
            wipe(broker)
            gaps.append(second - last)
            last = second
    assert gaps[1] <= 21
    assert gaps == sorted(gaps)
    assert gaps[-1] == pytest.approx(LONGEST_TRUST.total_seconds(), abs=2)
    assert len(gaps) < 12


def test_a_broken_connection_fails_no_run(broker: kombu.Connection, monkeypatch: pytest.MonkeyPatch) -> None:
    """It may raise anything: here an AttributeError, as one to PGMQ did in a restart."""

    channel: Any = broker.channel()
    broken = kombu.Producer(channel)
    channel.connection = None  # as after its end

    @contextmanager
    def pooled(given: kombu.Producer | None = None) -> Iterator[kombu.Producer]:
        yield given or broken

    monkeypatch.setattr(app, "producer_or_acquire", pooled)
    ask(2)
    assert publish(app, after(1)) == 2
    assert set(Run.objects.values_list("status", flat=True)) == {Status.QUEUED}
    assert take_back_lost(app, after(1000), "beat") == 0, "both are there"
