"""Sending what is planned: claim a batch, render each message once, send, record all outcomes in one statement."""

import random
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import groupby
from typing import Any
from uuid import UUID, uuid4

from django.db import connection, transaction
from django.utils import timezone

from notifications.channels import CHANNELS
from notifications.channels.base import Channel, ChannelDead, DeliveryError, ProviderDown, RetryLater
from notifications.messages import Renderer
from notifications.models import Notification, Status

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
), claimed AS (
    UPDATE notifications_notification notification
    SET status = 'sending',
        claim = %(claim)s,
        available_at = %(lease_ends_at)s,
        attempts = notification.attempts + 1,
        message = coalesce(notification.message, mine.message)
    FROM mine
    WHERE notification.channel_id = mine.id
        AND notification.status IN ('pending', 'sending')
        AND notification.available_at <= %(now)s
        AND notification.starts_at > %(now)s
    RETURNING notification.id
)
SELECT (SELECT count(*) FROM candidate), (SELECT array_agg(id) FROM claimed)
"""

_RECORD = """
UPDATE notifications_notification notification
SET status = outcome.status,
    error = outcome.error,
    available_at = coalesce(outcome.available_at, notification.available_at),
    attempts = notification.attempts - outcome.refunded,
    sent_at = CASE WHEN outcome.status = 'sent' THEN %(now)s END,
    claim = NULL
FROM unnest(%(messages)s::uuid[], %(statuses)s::text[], %(errors)s::text[], %(available)s::timestamptz[],
            %(refunded)s::int[])
    AS outcome (message, status, error, available_at, refunded)
WHERE notification.claim = %(claim)s
    AND notification.id = ANY (%(ids)s)
    AND notification.message = outcome.message
"""

_RECORD_ON_CHANNELS = """
UPDATE notifications_channel channel
SET last_sent_at = CASE WHEN outcome.error = '' THEN %(now)s ELSE channel.last_sent_at END,
    last_error_at = CASE WHEN outcome.error <> '' THEN %(now)s ELSE channel.last_error_at END,
    last_error = CASE WHEN outcome.error <> '' THEN outcome.error ELSE channel.last_error END,
    disabled_at = CASE WHEN outcome.dead THEN %(now)s ELSE channel.disabled_at END,
    disabled_reason = CASE WHEN outcome.dead THEN outcome.error ELSE channel.disabled_reason END
FROM (
    SELECT DISTINCT ON (id) id, error, dead
    FROM unnest(%(channels)s::bigint[], %(errors)s::text[], %(dead)s::boolean[]) AS each (id, error, dead)
    ORDER BY id, dead DESC
) AS outcome
WHERE channel.id = outcome.id
"""


@dataclass(slots=True)
class ChannelReport:
    """What became of the notifications of one kind of channel, and the number of messages that carried them."""

    messages: int = 0
    sent: int = 0
    failed: int = 0
    postponed: int = 0
    errors: tuple[str, ...] = ()

    def add(self, outcome: "Outcome") -> None:
        count = len(outcome.notifications)
        match outcome.status:
            case Status.SENT:
                self.messages += 1
                self.sent += count
            case Status.FAILED:
                self.failed += count
            case _:
                self.postponed += count
        if outcome.error and outcome.error not in self.errors and len(self.errors) < 5:
            self.errors += (outcome.error,)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one message. `refunded` attempts were none of its own."""

    message: UUID
    channel: int
    notifications: tuple[int, ...]
    status: Status
    error: str = ""
    available_at: datetime | None = None
    refunded: int = 0
    dead: bool = False


def deliver(kind: str, on_progress: Callable[[int], None] = lambda sent: None) -> ChannelReport:
    """Send everything that is planned for channels of `kind`, until there is no more or the provider is down."""
    report = ChannelReport()
    renderer = Renderer()
    with CHANNELS[kind]() as channel:
        while batch := _claim(kind):
            outcomes = list(_send_all(channel, renderer, batch))
            _record(batch.claim, outcomes)
            for outcome in outcomes:
                report.add(outcome)
            on_progress(len(outcomes))
            if any(outcome.refunded for outcome in outcomes):
                break
    return report


@dataclass(frozen=True, slots=True)
class Batch:
    claim: UUID
    notifications: Sequence[Notification]


def _claim(kind: str) -> Batch | None:
    """Take up to BATCH channels' due notifications, or None where nothing is left to take.

    Where others hold every candidate at this moment, they are about to take or release them: look again.
    """
    while True:
        now = timezone.now()
        claim = uuid4()
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


def _load(ids: Sequence[int]) -> Sequence[Notification]:
    """The notifications with all that a message needs, those of one message together."""
    return list(
        Notification.objects.filter(pk__in=ids)
        .select_related("channel__user__preference", "contest__platform")
        .order_by("message", "starts_at", "contest__platform", "contest__key", "-lead_minutes")
    )


def _send_all(channel: Channel, renderer: Renderer, batch: Batch) -> Iterable[Outcome]:
    """Send the batch, message by message, and say what became of each.

    When the provider is down, or half of the lease is over, the rest waits, and no attempt of its is used up.
    """
    give_up_at = time.monotonic() + LEASE.total_seconds() / 2
    stopped_by = ""
    for message, group in groupby(batch.notifications, key=lambda notification: notification.message):
        assert message is not None
        notifications = list(group)
        first = notifications[0]
        common: dict[str, Any] = {
            "message": message,
            "channel": first.channel_id,
            "notifications": tuple(notification.pk for notification in notifications),
        }
        if not stopped_by and time.monotonic() > give_up_at:
            stopped_by = "Sending took too long; the rest waits for the next round."
        if stopped_by:
            yield _waiting(common, stopped_by)
            continue
        try:
            channel.send(renderer.message(message, notifications))
        except ProviderDown as error:
            stopped_by = str(error)
            yield _waiting(common, stopped_by)
        except DeliveryError as error:
            yield _failed(common, error, first.attempts)
        else:
            yield Outcome(**common, status=Status.SENT)


def _waiting(common: dict[str, Any], reason: str) -> Outcome:
    later = timezone.now() + PROVIDER_PAUSE
    return Outcome(**common, status=Status.PENDING, error=reason, available_at=later, refunded=1)


def _failed(common: dict[str, Any], error: DeliveryError, attempts: int) -> Outcome:
    if isinstance(error, RetryLater):
        later = timezone.now() + max(_backoff(attempts), error.after or timedelta(0))
        return Outcome(**common, status=Status.PENDING, error=str(error), available_at=later)
    return Outcome(**common, status=Status.FAILED, error=str(error), dead=isinstance(error, ChannelDead))


def _backoff(attempts: int) -> timedelta:
    """Exponential with full jitter: https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/"""
    longest: timedelta = min(LONGEST_RETRY, FIRST_RETRY * 2 ** min(attempts - 1, 10))
    return longest * random.random()


@transaction.atomic
def _record(claim: UUID, outcomes: Sequence[Outcome]) -> None:
    """Write all outcomes; those whose claim was lost meanwhile belong to somebody else and stay untouched."""
    now = timezone.now()
    with connection.cursor() as cursor:
        cursor.execute(
            _RECORD,
            {
                "now": now,
                "claim": claim,
                "ids": [pk for outcome in outcomes for pk in outcome.notifications],
                "messages": [outcome.message for outcome in outcomes],
                "statuses": [outcome.status.value for outcome in outcomes],
                "errors": [outcome.error for outcome in outcomes],
                "available": [outcome.available_at for outcome in outcomes],
                "refunded": [outcome.refunded for outcome in outcomes],
            },
        )
        told = [outcome for outcome in outcomes if not outcome.refunded]
        cursor.execute(
            _RECORD_ON_CHANNELS,
            {
                "now": now,
                "channels": [outcome.channel for outcome in told],
                "errors": [outcome.error for outcome in told],
                "dead": [outcome.dead for outcome in told],
            },
        )
