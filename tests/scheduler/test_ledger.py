"""Whatever asks for a job, and however: one run, with its trigger and actor; and what people may do to runs."""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import kombu
import pytest
from celery import chain
from django.conf import settings as project
from django.core.exceptions import ValidationError
from django.db import transaction
from django.utils import timezone
from django_celery_beat.models import PeriodicTask
from kombu.exceptions import EncodeError
from kombu.utils.json import loads

from config.celery import app
from scheduler import ledger
from scheduler.ledger import acting
from scheduler.models import Event, Pause, Priority, Run, RunEvent, Schedule, Status, Trigger
from scheduler.publishing import message_of, publish
from tests.database import queries_of
from tests.scheduler.rows import schedule
from tests.scheduler.sample_jobs import add, work

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("broker")]


def published(broker: kombu.Connection, level: int = Priority.NORMAL) -> list[Any]:
    with broker.SimpleQueue(project.RUN_ROUTING[level]["queue"]) as queue:
        return [queue.get_nowait() for _ in range(queue.qsize())]


def ids(broker: kombu.Connection, level: int = Priority.NORMAL) -> list[str]:
    return [message.headers["id"] for message in published(broker, level)]


# --- Asked for by code ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "ask",
    [
        lambda: add.delay(1, y=2),
        lambda: add.apply_async((1,), {"y": 2}),
        lambda: add.s(1, y=2).apply_async(),
        lambda: app.send_task("tests.scheduler.sample_jobs.add", (1,), {"y": 2}),
    ],
    ids=["delay", "apply_async", "signature", "by name"],
)
def test_whichever_way_celery_offers_a_run_is_a_row_and_then_a_message(
    ask: Any, broker: kombu.Connection, django_capture_on_commit_callbacks: Any
) -> None:
    with django_capture_on_commit_callbacks(execute=True):
        result = ask()
        assert published(broker) == []
    run = Run.objects.get()
    assert str(run.pk) == result.id
    assert (run.status, run.trigger, run.priority, run.attempt) == (Status.QUEUED, Trigger.API, Priority.NORMAL, 1)
    assert (loads(run.args), loads(run.kwargs)) == ([1], {"y": 2})
    (message,) = published(broker)
    assert message.headers["id"] == result.id
    assert message.headers["run_attempt"] == 1
    assert message.payload[:2] == [[1], {"y": 2}]


def test_what_is_rolled_back_was_never_asked_for(
    broker: kombu.Connection, django_capture_on_commit_callbacks: Any
) -> None:
    with django_capture_on_commit_callbacks(execute=True), transaction.atomic():
        add.delay(1, 2)
        assert Run.objects.exists()
        transaction.set_rollback(True)
    assert not Run.objects.exists()
    assert published(broker) == []


def test_arguments_that_no_message_can_carry_leave_nothing_behind() -> None:
    with pytest.raises(EncodeError), transaction.atomic():
        app.send_task("tests.scheduler.sample_jobs.add", (object(), 2))
    with pytest.raises(TypeError, match="missing"):
        add.apply_async((1,))
    assert not Run.objects.exists()


def test_arguments_arrive_as_they_were_given() -> None:
    moment, identity = datetime(2026, 11, 22, 12, 0, tzinfo=UTC), UUID(int=7)
    work.apply_async(kwargs={"seconds": [moment, identity, "a\0b", "Größe 七"]})
    message = message_of(Run.objects.get())
    assert message["kwargs"] == {"seconds": [moment, identity, "a\0b", "Größe 七"]}


def test_a_run_for_later_is_a_row_now_and_a_message_then(broker: kombu.Connection) -> None:
    now = timezone.now()
    add.apply_async((1, 2), countdown=60)
    add.apply_async((1, 2), eta=now + timedelta(seconds=120))
    app.send_task(add.name, (1, 2), eta=(now + timedelta(seconds=180)).isoformat(), expires=600)
    waits = [round((run.available_at - now).total_seconds()) for run in Run.objects.order_by("available_at")]
    assert waits == [60, 120, 180]
    assert publish(app, now) == 0
    assert publish(app, now + timedelta(seconds=121)) == 2
    assert len(published(broker)) == 2
    assert publish(app, now + timedelta(seconds=121)) == 0
    last = Run.objects.get(published_at=None)
    assert last.expires_at
    assert round((last.expires_at - now).total_seconds()) == 600


@pytest.mark.parametrize(
    ("given", "level"),
    [
        (None, Priority.NORMAL),
        (9, Priority.CRITICAL),
        (255, Priority.CRITICAL),
        (8, Priority.HIGH),
        (6, Priority.HIGH),
        (5, Priority.NORMAL),
        (1, Priority.LOW),
        (0, Priority.LOW),
    ],
)
def test_any_number_is_one_of_four_priorities(
    given: int | None, level: Priority, broker: kombu.Connection, django_capture_on_commit_callbacks: Any
) -> None:
    with django_capture_on_commit_callbacks(execute=True):
        app.send_task(add.name, (1, 2), priority=given)
    assert Run.objects.get().priority == level
    assert len(ids(broker, level)) == 1


def test_the_most_urgent_are_published_first_and_then_the_oldest(monkeypatch: pytest.MonkeyPatch) -> None:
    now = timezone.now()
    for priority in (0, 9, 3, 6, 9):
        add.apply_async((1, priority), priority=priority, countdown=1)
    order: list[int] = []
    monkeypatch.setattr(app, "publish", lambda **message: order.append(message["args"][1]))
    publish(app, now + timedelta(seconds=5))
    assert order == [9, 9, 6, 3, 0]


def test_an_id_of_ones_own_becomes_the_runs_and_another_word_stands_for_one() -> None:
    add.apply_async((1, 2), task_id=str(UUID(int=7)))
    add.apply_async((1, 2), task_id="my own")
    assert Run.objects.filter(pk=UUID(int=7)).exists()
    assert Run.objects.filter(pk=ledger.identity_of("my own")).exists()


def test_what_follows_a_run_in_a_chain_goes_along_with_it() -> None:
    chain(add.s(1, 2), add.s(3)).apply_async()
    (run,) = Run.objects.all()
    (following,) = message_of(run)["chain"]
    assert following["task"] == "tests.scheduler.sample_jobs.add"
    assert following["args"] == [3]


def test_who_asked_and_how_is_said_by_whoever_knows() -> None:
    with acting(Trigger.COMMAND, "manage.py by alice"):
        add.delay(1, 2)
    add.delay(1, 2)
    assert sorted(Run.objects.values_list("trigger", "actor")) == [("api", ""), ("command", "manage.py by alice")]


def test_asking_takes_one_statement_to_look_and_one_to_write() -> None:
    assert queries_of(add.delay, 1, 2) <= 2


# --- Asked for by people -------------------------------------------------------------------------------------------


def test_run_now_is_a_run_of_the_schedule_that_leaves_its_times_alone(
    broker: kombu.Connection, django_capture_on_commit_callbacks: Any
) -> None:
    PeriodicTask.objects.filter(name="sync-contests").update(kwargs='{"platforms": ["codeforces"]}', priority=9)
    before = Schedule.objects.values().get(pk=schedule().pk)
    with django_capture_on_commit_callbacks(execute=True):
        run = ledger.run_now(schedule(), Trigger.ADMIN, "alice")
    run.refresh_from_db()
    assert (run.trigger, run.actor, run.occurrence, run.name) == (Trigger.ADMIN, "alice", None, "sync-contests")
    assert loads(run.kwargs) == {"platforms": ["codeforces"]}
    assert ids(broker, Priority.CRITICAL) == [str(run.pk)]
    assert Schedule.objects.values().get(pk=schedule().pk) == before
    assert RunEvent.objects.get().kind == Event.RUN_REQUESTED


def test_run_now_says_what_is_wrong_with_a_row_that_no_form_has_seen() -> None:
    PeriodicTask.objects.filter(name="sync-contests").update(kwargs="[1]")
    with pytest.raises(ValidationError, match="an object"):
        ledger.run_now(schedule(), Trigger.ADMIN, "alice")
    assert not Run.objects.exists()


def test_runs_that_must_not_overlap_are_published_one_after_another(broker: kombu.Connection) -> None:
    runs = [ledger.run_now(schedule(), Trigger.ADMIN, "alice") for _ in range(3)]
    for run in runs:
        publish(app, timezone.now())
        publish(app, timezone.now())
        assert ids(broker) == [str(run.pk)]
        Run.objects.filter(pk=run.pk).update(status=Status.RUNNING)
        publish(app, timezone.now())
        assert ids(broker) == []
        Run.objects.filter(pk=run.pk).update(status=Status.SUCCEEDED)


def test_a_run_that_is_over_is_repeated_as_a_new_one_with_fresh_attempts() -> None:
    failed = ledger.run_now(schedule(), Trigger.ADMIN, "alice")
    Run.objects.filter(pk=failed.pk).update(status=Status.FAILED, attempt=3, failures=3, error="why")
    failed.refresh_from_db()
    (again,) = ledger.repeat_all([failed], "bob")
    again.refresh_from_db()
    assert (again.trigger, again.actor, again.parent) == (Trigger.RETRY, "bob", failed.pk)
    assert (again.status, again.attempt, again.failures, again.error) == (Status.QUEUED, 1, 0, "")
    assert again.exclusive
    failed.refresh_from_db()
    assert (failed.status, failed.error) == (Status.FAILED, "why")


def test_what_waits_is_cancelled_at_once_what_runs_is_asked_to_stop_and_what_is_over_stays() -> None:
    for status in Status:
        add.delay(1, 2)
        Run.objects.filter(error="").update(status=status, error=status)
    assert ledger.cancel(list(Run.objects.values_list("pk", flat=True)), "alice") == (2, 1)
    assert ledger.cancel(list(Run.objects.values_list("pk", flat=True)), "alice") == (0, 0)
    found = {run.status for run in Run.objects.exclude(cancel_requested_at=None)}
    assert found == {Status.CANCELLED, Status.RUNNING}
    kinds = sorted(RunEvent.objects.values_list("kind", "actor"))
    assert kinds == [("cancel_requested", "alice"), ("cancelled", "alice"), ("cancelled", "alice")]


# --- Pauses --------------------------------------------------------------------------------------------------------


def test_while_everything_is_paused_what_is_asked_for_waits_and_starts_afterwards(
    broker: kombu.Connection, django_capture_on_commit_callbacks: Any
) -> None:
    paused = ledger.pause("alice", reason="the disk is full")
    with django_capture_on_commit_callbacks(execute=True):
        add.delay(1, 2)
        ledger.run_now(schedule(), Trigger.ADMIN, "alice")
    publish(app, timezone.now())
    assert published(broker) == []
    ledger.resume([paused], "bob")
    assert publish(app, timezone.now()) == 2
    assert len(published(broker)) == 2
    assert [(event.kind, event.actor) for event in RunEvent.objects.order_by("pk")] == [
        ("paused", "alice"),
        ("run_requested", "alice"),
        ("resumed", "bob"),
    ]


def test_a_pause_of_a_task_or_a_schedule_holds_only_that(broker: kombu.Connection) -> None:
    ledger.pause("alice", task="tests.scheduler.sample_jobs.work")
    ledger.pause("alice", schedule=schedule())
    add.apply_async((1, 2), countdown=0.001)
    work.apply_async(countdown=0.001)
    ledger.run_now(schedule(), Trigger.ADMIN, "alice")
    publish(app, timezone.now() + timedelta(seconds=1))
    (message,) = published(broker)
    assert message.headers["task"] == "tests.scheduler.sample_jobs.add"


def test_pausing_again_moves_the_end_of_the_pause() -> None:
    ledger.pause("alice")
    until = timezone.now() + timedelta(hours=1)
    ledger.pause("bob", until=until)
    paused = Pause.objects.get()
    assert (paused.actor, paused.until) == ("bob", until)
    assert publish(app, until + timedelta(seconds=1)) == 0
    work.apply_async(countdown=0.001)
    assert publish(app, until + timedelta(seconds=1)) == 1
