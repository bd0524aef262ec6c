"""Sending what is planned: claim a batch, render each message once, send, record all outcomes in one statement."""

import logging
import random
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from itertools import groupby
from math import inf
from typing import Any
from uuid import UUID, uuid4

from celery.exceptions import SoftTimeLimitExceeded
from django.db import InterfaceError, OperationalError, connection
from django.utils import timezone

from notifications.channels import CHANNELS
from notifications.channels.base import Channel, ChannelDead, DeliveryError, ProviderDown, RetryLater
from notifications.messages import Renderer
from notifications.models import Notification, Status

logger = logging.getLogger(__name__)

BATCH = 200
"""Channels, and so messages, claimed at once."""

CLAIMERS = 8
"""How many processes may claim at the same moment without one of them coming away empty-handed."""

LEASE = timedelta(minutes=15)
"""How long a claim holds. A process that has not sent all of its batch when half of it is over lets the rest go."""

FIRST_RETRY, LONGEST_RETRY = timedelta(minutes=1), timedelta(minutes=30)
PROVIDER_PAUSE = timedelta(minutes=1)

# A whole channel is claimed or none of it: what is due together leaves as one message, whoever sends it. The lock on
# the channel lets two claimers share the work; it is weaker than a foreign key's, so that planning goes on meanwhile.
# Nobody waits for a row that another holds, so nobody can wait in a circle.
_CLAIM = """
WITH candidate AS (
    SELECT notification.channel_id
    FROM notifications_notification notification
    JOIN notifications_channel channel ON channel.id = notification.channel_id
    WHERE notification.status IN ('pending', 'sending')
        AND notification.available_at <= %(now)s
        AND notification.starts_at > %(now)s
        AND channel.kind = %(kind)s
    ORDER BY notification.available_at
    LIMIT %(candidates)s
), mine AS (
    SELECT channel.id, gen_random_uuid() AS message
    FROM notifications_channel channel
    WHERE channel.id IN (SELECT channel_id FROM candidate)
    LIMIT %(batch)s
    FOR NO KEY UPDATE SKIP LOCKED
), due AS (
    SELECT notification.id, mine.message
    FROM mine
    JOIN notifications_notification notification ON notification.channel_id = mine.id
    WHERE notification.status IN ('pending', 'sending')
        AND notification.available_at <= %(now)s
        AND notification.starts_at > %(now)s
    FOR NO KEY UPDATE OF notification SKIP LOCKED
), claimed AS (
    UPDATE notifications_notification notification
    SET status = 'sending',
        claim = %(claim)s,
        available_at = %(lease_ends_at)s,
        attempts = notification.attempts + 1,
        message = coalesce(notification.message, due.message)
    FROM due
    WHERE notification.id = due.id
    RETURNING notification.id
)
SELECT (SELECT count(*) FROM candidate), (SELECT array_agg(id) FROM claimed)
"""

_RECORD = """
WITH outcome AS (
    SELECT *
    FROM unnest(%(messages)s::uuid[], %(channels)s::bigint[], %(statuses)s::text[], %(errors)s::text[],
                %(after)s::interval[], %(refunded)s::int[], %(dead)s::boolean[])
        AS each (message, channel, status, error, after, refunded, dead)
), recorded_on_channel AS (
    UPDATE notifications_channel channel
    SET last_sent_at = CASE WHEN outcome.error = '' THEN %(now)s::timestamptz ELSE channel.last_sent_at END,
        last_error_at = CASE WHEN outcome.error <> '' THEN %(now)s::timestamptz ELSE channel.last_error_at END,
        last_error = CASE WHEN outcome.error <> '' THEN outcome.error ELSE channel.last_error END,
        disabled_at = CASE WHEN outcome.dead THEN %(now)s::timestamptz ELSE channel.disabled_at END,
        disabled_reason = CASE WHEN outcome.dead THEN outcome.error ELSE channel.disabled_reason END
    FROM (SELECT DISTINCT ON (channel) * FROM outcome WHERE refunded = 0 ORDER BY channel, dead DESC) outcome
    WHERE channel.id = outcome.channel
)
UPDATE notifications_notification notification
SET status = outcome.status,
    error = outcome.error,
    available_at = coalesce(%(now)s::timestamptz + outcome.after, notification.available_at),
    attempts = notification.attempts - outcome.refunded,
    sent_at = CASE WHEN outcome.status = 'sent' THEN %(now)s::timestamptz END,
    claim = NULL
FROM outcome
WHERE notification.claim = %(claim)s
    AND notification.id = ANY (%(ids)s)
    AND notification.message = outcome.message
"""


@dataclass(slots=True)
class ChannelReport:
    """What became of the notifications of one kind of channel, and the number of messages that carried them.

    `unfinished`: time was up, and more may be waiting.
    """

    messages: int = 0
    sent: int = 0
    failed: int = 0
    postponed: int = 0
    unfinished: bool = False
    errors: tuple[str, ...] = ()

    def add(self, outcome: "Outcome") -> None:
        count = len(outcome.notifications)
        match outcome.status:
            case Status.SENT:
                self.messages += 1
                self.sent += count
            case Status.FAILED:
                self.failed += count
            case _ if outcome.error:
                self.postponed += count
        if outcome.error and outcome.error not in self.errors and len(self.errors) < 5:
            self.errors += (outcome.error,)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one message. A pending one may be sent `after` a while; one without an error was not tried.

    `refunded` attempts were none of its own.
    """

    message: UUID
    channel: int
    notifications: tuple[int, ...]
    status: Status
    error: str = ""
    after: timedelta | None = None
    refunded: int = 0
    dead: bool = False


@dataclass(frozen=True, slots=True)
class Batch:
    """What was claimed, by message: each has the notifications of one channel that leave together."""

    claim: UUID
    messages: Sequence[Sequence[Notification]]


def deliver(
    kind: str, on_progress: Callable[[int], None] = lambda done: None, *, stop_at: float = inf
) -> ChannelReport:
    """Send what is planned for channels of `kind`, until there is no more or the provider is down.

    At `stop_at`, by the monotonic clock, it ends with the message that it is at.
    """
    report = ChannelReport()
    renderer = Renderer()
    with CHANNELS[kind]() as channel:
        while batch := _claim(kind):
            outcomes = _deliver(batch, channel, renderer, stop_at)
            for outcome in outcomes:
                report.add(outcome)
            on_progress(sum(outcome.status != Status.PENDING for outcome in outcomes))
            if any(outcome.refunded and outcome.error for outcome in outcomes):
                break
            if time.monotonic() > stop_at:
                report.unfinished = True
                break
    return report


def _claim(kind: str) -> Batch | None:
    """Take up to BATCH channels' due notifications, or None where nothing is left to take.

    Where others hold every candidate at this moment, they are about to take or release them: look again.
    """
    while True:
        claim = uuid4()
        now = timezone.now()
        with connection.cursor() as cursor:
            cursor.execute(
                _CLAIM,
                {
                    "now": now,
                    "kind": kind,
                    "claim": claim,
                    "lease_ends_at": now + LEASE,
                    "batch": BATCH,
                    "candidates": BATCH * CLAIMERS,
                },
            )
            candidates, ids = cursor.fetchone()
        if ids:
            return Batch(claim, _load(ids))
        if not candidates:
            return None
        time.sleep(0.02)


def _load(ids: Sequence[int]) -> Sequence[Sequence[Notification]]:
    """The notifications with all that a message needs, those of one message together."""
    notifications = (
        Notification.objects.filter(pk__in=ids)
        .select_related("channel__user__preference", "contest__platform")
        .order_by("message", "starts_at", "contest__platform", "contest__key", "-lead_minutes")
    )
    return [list(group) for _, group in groupby(notifications, key=lambda notification: notification.message)]


def _deliver(batch: Batch, channel: Channel, renderer: Renderer, stop_at: float) -> Sequence[Outcome]:
    """Send a batch and record what became of it.

    That is recorded too where something interrupts the sending: what left is not to leave again, and what did not may
    leave at once.
    """
    outcomes: list[Outcome] = []
    try:
        for outcome in _send_all(batch, channel, renderer, stop_at):
            outcomes.append(outcome)
    finally:
        outcomes += [_untried(message) for message in batch.messages[len(outcomes) :]]
        _record_surely(batch.claim, outcomes)
    return outcomes


def _send_all(batch: Batch, channel: Channel, renderer: Renderer, stop_at: float) -> Iterator[Outcome]:
    """Send the batch, message by message, and say what became of each.

    When the provider is down the rest waits, and no attempt of its is used up. When time is up the rest is left out.
    """
    stop_at = min(stop_at, time.monotonic() + LEASE.total_seconds() / 2)
    down = ""
    for notifications in batch.messages:
        if time.monotonic() > stop_at:
            return
        if down:
            yield _waiting(notifications, down)
            continue
        try:
            channel.send(renderer.message(notifications))
        except ProviderDown as error:
            down = str(error)
            yield _waiting(notifications, down)
        except DeliveryError as error:
            yield _failed(notifications, error)
        except SoftTimeLimitExceeded:
            raise
        except Exception as error:  # one message's fault, whatever it is, stays its own
            logger.exception("A message could not be made or sent")
            yield _outcome(notifications, Status.FAILED, error=f"Unexpected {type(error).__name__}: {error}")
        else:
            yield _outcome(notifications, Status.SENT)


def _outcome(notifications: Sequence[Notification], status: Status, **more: Any) -> Outcome:
    first = notifications[0]
    assert first.message is not None
    return Outcome(first.message, first.channel_id, tuple(each.pk for each in notifications), status, **more)


def _untried(notifications: Sequence[Notification]) -> Outcome:
    return _outcome(notifications, Status.PENDING, after=timedelta(0), refunded=1)


def _waiting(notifications: Sequence[Notification], reason: str) -> Outcome:
    return _outcome(notifications, Status.PENDING, error=reason, after=PROVIDER_PAUSE, refunded=1)


def _failed(notifications: Sequence[Notification], error: DeliveryError) -> Outcome:
    if isinstance(error, RetryLater):
        after = max(_backoff(notifications[0].attempts), error.after or timedelta(0))
        return _outcome(notifications, Status.PENDING, error=str(error), after=after)
    return _outcome(notifications, Status.FAILED, error=str(error), dead=isinstance(error, ChannelDead))


def _backoff(attempts: int) -> timedelta:
    """Exponential with full jitter: https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/"""
    longest: timedelta = min(LONGEST_RETRY, FIRST_RETRY * 2 ** min(attempts - 1, 10))
    return longest * random.random()


def _record_surely(claim: UUID, outcomes: Sequence[Outcome]) -> None:
    """Record, and wait for a database that is away: what is forgotten here is sent a second time."""
    give_up_at = time.monotonic() + LEASE.total_seconds() / 2
    while True:
        try:
            return _record(claim, outcomes)
        except (OperationalError, InterfaceError) as error:
            if connection.in_atomic_block or time.monotonic() > give_up_at:
                raise
            logger.warning("What was sent could not be recorded and is tried again: %s", str(error).strip())
            connection.close()
            time.sleep(1)


def _record(claim: UUID, outcomes: Sequence[Outcome]) -> None:
    """Write all outcomes; those whose claim was lost meanwhile belong to somebody else and stay untouched."""
    with connection.cursor() as cursor:
        cursor.execute(
            _RECORD,
            {
                "now": timezone.now(),
                "claim": claim,
                "ids": [pk for outcome in outcomes for pk in outcome.notifications],
                "messages": [outcome.message for outcome in outcomes],
                "channels": [outcome.channel for outcome in outcomes],
                "statuses": [outcome.status.value for outcome in outcomes],
                "errors": [outcome.error for outcome in outcomes],
                "after": [outcome.after for outcome in outcomes],
                "refunded": [outcome.refunded for outcome in outcomes],
                "dead": [outcome.dead for outcome in outcomes],
            },
        )
