"""What a round asks for when it could not do everything."""

from datetime import datetime, timedelta
from typing import Any

import pytest
import time_machine
from django.utils import timezone

from notifications import tasks
from notifications.dispatch import dispatch
from notifications.models import Notification
from notifications.tasks import dispatch_if_urgent, dispatch_notifications
from tests.factories import ContestFactory, MemberFactory, NotificationFactory
from tests.smtp import Inbox

pytestmark = pytest.mark.django_db


@pytest.fixture
def asked_for(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """What was published, instead of publishing it."""
    published: list[dict[str, Any]] = []
    monkeypatch.setattr(dispatch_notifications, "apply_async", lambda **options: published.append(options))
    return published


def test_a_round_that_did_everything_asks_for_nothing(inbox: Inbox, asked_for: list[dict[str, Any]]) -> None:
    NotificationFactory()
    assert dispatch_notifications()["sent"] > 0
    assert asked_for == []


def test_a_round_that_ran_out_of_time_asks_for_another_at_once(
    inbox: Inbox, asked_for: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before the task's time limit: the worker would be killed in the middle of a batch."""
    monkeypatch.setattr(tasks, "LONGEST_ROUND", timedelta(0))
    NotificationFactory()

    dispatch_notifications()

    ((name, headers),) = asked_for[0].items()
    assert name == "headers", "no countdown"
    assert datetime.fromisoformat(headers["next_run_at"]) > timezone.now() + timedelta(minutes=29)


def test_a_round_that_left_something_behind_asks_for_another_when_it_may_be_sent(
    inbox: Inbox, asked_for: list[dict[str, Any]]
) -> None:
    inbox.refuse = lambda address: "451 4.7.1 Greylisted"
    NotificationFactory()
    dispatch_notifications()
    waits_until = Notification.objects.filter(status="pending").earliest("available_at").available_at
    soonest = timezone.now() + tasks.AT_LEAST
    ((at,),) = [[options["eta"]] for options in asked_for]
    assert at == waits_until or timedelta(0) <= soonest - at < timedelta(seconds=2)


def test_who_ends_a_pause_between_two_rounds_is_told_of_what_begins_before_the_next(
    inbox: Inbox, asked_for: list[dict[str, Any]]
) -> None:
    now = timezone.now()
    until = now + timedelta(minutes=5)
    MemberFactory(preference__paused=True, preference__paused_until=until, preference__lead_minutes=[10])
    ContestFactory(starts_at=now + timedelta(minutes=20))
    dispatch_notifications()
    assert [options["eta"] for options in asked_for] == [until]
    assert inbox.mails == []
    with time_machine.travel(until, tick=False):
        dispatch_notifications()
    assert len(inbox.mails) == 1


def test_where_rounds_are_rare_a_change_of_mind_asks_for_one_whenever_something_begins_before_the_next(
    inbox: Inbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked_for: list[None] = []
    monkeypatch.setattr(dispatch_notifications, "delay", lambda: asked_for.append(None))
    now = timezone.now()
    ContestFactory(starts_at=now + timedelta(hours=5))
    dispatch_if_urgent()
    assert not asked_for, "the next round is in half an hour"
    dispatch(next_round_at=now + timedelta(hours=6))
    dispatch_if_urgent()
    assert len(asked_for) == 1
