"""What became of messages: what an error means for the one that it struck, and all of it written down at once."""

import random
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from uuid import UUID

from django.db import connection
from django.utils import timezone

from notifications import providers
from notifications.channels.base import ChannelDead, DeliveryError, OutcomeUnknown, ProviderDown, RetryLater
from notifications.claiming import LEASE
from notifications.messages import Letter
from notifications.models import Status
from notifications.retrying import outlasting
from notifications.wanted import FREE_AT

FIRST_RETRY, LONGEST_RETRY = timedelta(minutes=1), timedelta(minutes=30)
PROVIDER_PAUSE = timedelta(minutes=1)
UNKNOWN_PAUSE = timedelta(minutes=10)
"""How long the provider has to tell what became of a message, before it is sent again."""

# Who loses a channel is told on another one, if there is one, and not in quiet hours; for a week that is worth to know.
TELL_ON_ANOTHER_CHANNEL = f"""told AS (
    INSERT INTO notifications_notification (
        channel_id, contest_name, kind, lead_minutes, starts_at, due_at, expires_at,
        created_at, status, attempts, available_at, error, detail
    )
    SELECT DISTINCT ON (lost.id)
        other.id, '', 'channel-off', 0, %(now)s, %(now)s, %(now)s::timestamptz + interval '7 days',
        %(now)s, 'pending', 0, {FREE_AT}, '', concat(coalesce(nullif(lost.label, ''), lost.address), ': ', lost.error)
    FROM recorded_on_channel lost
    JOIN notifications_channel other ON other.user_id = lost.user_id AND other.id <> lost.id
    LEFT JOIN notifications_preference preference ON preference.user_id = lost.user_id
    WHERE lost.lost
        AND other.verified_at IS NOT NULL
        AND other.disabled_at IS NULL
        AND other.id NOT IN (SELECT id FROM recorded_on_channel WHERE dead)
    ORDER BY lost.id, other.kind <> 'email', other.id
)"""

_RECORD = f"""
WITH outcome AS (
    SELECT *
    FROM unnest(%(messages)s::uuid[], %(channels)s::bigint[], %(statuses)s::text[], %(errors)s::text[],
                %(after)s::interval[], %(refunded)s::int[], %(dead)s::boolean[], %(gone)s::boolean[])
        AS each (message, channel, status, error, after, refunded, dead, gone)
), recorded_on_channel AS (
    UPDATE notifications_channel channel
    SET last_sent_at = CASE WHEN outcome.status = 'sent' THEN %(now)s::timestamptz ELSE channel.last_sent_at END,
        last_error_at = CASE WHEN outcome.error <> '' THEN %(now)s::timestamptz ELSE channel.last_error_at END,
        last_error = CASE WHEN outcome.error <> '' THEN outcome.error ELSE channel.last_error END,
        disabled_at = CASE WHEN outcome.dead THEN %(now)s::timestamptz ELSE channel.disabled_at END,
        disabled_reason = CASE WHEN outcome.dead THEN outcome.error ELSE channel.disabled_reason END,
        keys = CASE WHEN outcome.gone THEN '{{}}' ELSE channel.keys END
    FROM (SELECT DISTINCT ON (channel) * FROM outcome WHERE refunded = 0 ORDER BY channel, dead DESC) outcome
    WHERE channel.id = outcome.channel
    RETURNING channel.id, channel.user_id, channel.address, channel.label,
        outcome.dead, outcome.dead AND NOT outcome.gone AS lost, outcome.error
), {TELL_ON_ANOTHER_CHANNEL}
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


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one message. A pending one may be sent `after` a while.

    `refunded` attempts were none of its own: the provider was down, or, without an error, it was not tried.
    """

    message: UUID
    channel: int
    notifications: tuple[int, ...]
    status: Status
    error: str = ""
    after: timedelta | None = None
    refunded: int = 0
    dead: bool = False
    gone: bool = False

    @property
    def says_that_provider_is_down(self) -> bool:
        return bool(self.refunded and self.error)


def outcome(letter: Letter, status: Status, error: object = "", **more: Any) -> Outcome:
    pks = tuple(notice.id for notice in letter.notices)
    return Outcome(letter.envelope.message, letter.envelope.channel, pks, status, _kept(str(error)), **more)


def _kept(text: str) -> str:
    """With what PostgreSQL does not take replaced: one server's odd reply would lose the outcomes of all others."""
    return text.encode(errors="replace").decode().replace("\0", "\N{REPLACEMENT CHARACTER}")


def untried(letter: Letter) -> Outcome:
    """It may be sent at once, by whoever takes it."""
    return outcome(letter, Status.PENDING, after=timedelta(0), refunded=1)


def failed(letter: Letter, error: DeliveryError) -> Outcome:
    match error:
        case ProviderDown():
            return outcome(letter, Status.PENDING, error, after=error.after or PROVIDER_PAUSE, refunded=1)
        case RetryLater():
            after = max(_backoff(letter.notices[0].attempts), error.after or timedelta(0))
            return outcome(letter, Status.PENDING, error, after=after)
        case OutcomeUnknown():
            return outcome(letter, Status.PENDING, error, after=UNKNOWN_PAUSE)
        case ChannelDead():
            return outcome(letter, Status.FAILED, error, dead=True, gone=error.gone)
    return outcome(letter, Status.FAILED, error)


def _backoff(attempts: int) -> timedelta:
    """Exponential with full jitter: https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/"""
    longest: timedelta = min(LONGEST_RETRY, FIRST_RETRY * 2 ** min(attempts - 1, 10))
    return longest * random.random()


def record(kind: str, claimer: UUID, outcomes: Sequence[Outcome]) -> None:
    """Write all outcomes, and wait for a database that is away: what is forgotten here is sent a second time.

    Those whose claim was lost meanwhile belong to somebody else and stay untouched.
    """

    def write() -> None:
        _record(claimer, outcomes)
        _record_on_provider(kind, outcomes)

    outlasting(LEASE / 2, write, "what was sent")


def _record(claimer: UUID, outcomes: Sequence[Outcome]) -> None:
    with connection.cursor() as cursor:
        cursor.execute(
            _RECORD,
            {
                "now": timezone.now(),
                "claim": claimer,
                "ids": [pk for outcome in outcomes for pk in outcome.notifications],
                "messages": [outcome.message for outcome in outcomes],
                "channels": [outcome.channel for outcome in outcomes],
                "statuses": [outcome.status.value for outcome in outcomes],
                "errors": [outcome.error for outcome in outcomes],
                "after": [outcome.after for outcome in outcomes],
                "refunded": [outcome.refunded for outcome in outcomes],
                "dead": [outcome.dead for outcome in outcomes],
                "gone": [outcome.gone for outcome in outcomes],
            },
        )


def _record_on_provider(kind: str, outcomes: Sequence[Outcome]) -> None:
    """It is down where it said so of one message, and else up where any was handed over."""
    down = next((outcome for outcome in outcomes if outcome.says_that_provider_is_down), None)
    if down:
        providers.record(kind, timezone.now(), error=down.error, after=down.after)
    elif any(outcome.status == Status.SENT for outcome in outcomes):
        providers.record(kind, timezone.now())
