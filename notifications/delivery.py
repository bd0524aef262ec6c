"""Sending what is planned: claim a batch, render each message once, send, record all outcomes in one statement."""

import logging
import random
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import groupby
from math import inf
from operator import itemgetter
from threading import Lock
from typing import Any
from uuid import UUID, uuid4

from celery.exceptions import SoftTimeLimitExceeded
from django.db import InterfaceError, OperationalError, connection
from django.utils import timezone

from contests.models import Contest
from notifications import digests, providers
from notifications.channels import CHANNELS
from notifications.channels.base import (
    Channel,
    ChannelDead,
    DeliveryError,
    OutcomeUnknown,
    ProviderDown,
    RetryLater,
)
from notifications.messages import Envelope, Item, Letter, Notice, Renderer
from notifications.models import OPEN_STATUSES, Notification, NotificationKind, Status

logger = logging.getLogger(__name__)

BATCH = 200
"""Channels, and so messages, claimed at once."""

LEASE = timedelta(minutes=5)
"""How long a claim holds. A process that has not sent all of its batch when half of it is over lets the rest go.

Well below the shortest lead: what a killed process had in hand is still told before the start.
"""

FIRST_RETRY, LONGEST_RETRY = timedelta(minutes=1), timedelta(minutes=30)
PROVIDER_PAUSE = timedelta(minutes=1)
UNKNOWN_PAUSE = timedelta(minutes=10)
"""How long the provider has to tell what became of a message, before it is sent again."""

LONGEST_NAP = 1.0
"""Seconds between two looks at whether a provider whose rate is reached takes more."""

# A whole channel is claimed or none of it: what is due together leaves as one message of its kind, whoever sends it.
# The lock on the channel lets any number of claimers share the work; it is weaker than a foreign key's, so that plans
# go on meanwhile. Nobody waits for a row that another holds, so nobody can wait in a circle.
_CLAIM = """
WITH mine AS (
    SELECT channel.id, channel.user_id, channel.address, channel.keys
    FROM notifications_notification notification
    JOIN notifications_channel channel ON channel.id = notification.channel_id
    WHERE notification.status IN ('pending', 'sending')
        AND notification.available_at <= %(now)s
        AND notification.expires_at > %(now)s
        AND channel.kind = %(kind)s
    ORDER BY notification.available_at
    LIMIT %(batch)s
    FOR NO KEY UPDATE OF channel SKIP LOCKED
), recipient AS (
    SELECT DISTINCT ON (id) mine.*, gen_random_uuid() AS message FROM mine
), due AS (
    SELECT notification.id, md5(concat(recipient.message, notification.kind))::uuid AS message
    FROM recipient
    JOIN notifications_notification notification ON notification.channel_id = recipient.id
    WHERE notification.status IN ('pending', 'sending')
        AND notification.available_at <= %(now)s
        AND notification.expires_at > %(now)s
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
    RETURNING notification.*
)
SELECT claimed.message, claimed.kind, recipient.id, recipient.address, recipient.keys::text, preference.time_zone,
    claimed.id, claimed.contest_id, claimed.starts_at, claimed.was_at, claimed.detail, claimed.expires_at,
    claimed.attempts
FROM claimed
JOIN recipient ON recipient.id = claimed.channel_id
LEFT JOIN notifications_preference preference ON preference.user_id = recipient.user_id
LEFT JOIN contests_contest contest ON contest.id = claimed.contest_id
ORDER BY claimed.message, claimed.starts_at, contest.platform_id, contest.key, claimed.lead_minutes DESC
"""

# Who loses a channel is told on another one, if there is one; for a week that is worth to know.
TELL_ON_ANOTHER_CHANNEL = """told AS (
    INSERT INTO notifications_notification (
        channel_id, contest_name, kind, lead_minutes, starts_at, due_at, expires_at,
        created_at, status, attempts, available_at, error, detail
    )
    SELECT DISTINCT ON (lost.id)
        other.id, '', 'channel-off', 0, %(now)s, %(now)s, %(now)s::timestamptz + interval '7 days',
        %(now)s, 'pending', 0, %(now)s, '', concat(coalesce(nullif(lost.label, ''), lost.address), ': ', lost.error)
    FROM recorded_on_channel lost
    JOIN notifications_channel other ON other.user_id = lost.user_id AND other.id <> lost.id
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
    gone: bool = False


@dataclass(frozen=True, slots=True)
class Batch:
    """What was claimed, by message."""

    claim: UUID
    letters: Sequence[Letter]


@dataclass(slots=True)
class Clock:
    """When to stop, by the monotonic clock; who is interrupted lets the others stop at once."""

    stop_at: float = inf

    @property
    def is_over(self) -> bool:
        return time.monotonic() > self.stop_at


def deliver(
    kind: str, on_progress: Callable[[int], None] = lambda done: None, *, clock: Clock | None = None
) -> ChannelReport:
    """Send what is planned for channels of `kind`, until there is no more, the provider is down or time is up.

    It ends with the message that it is at. A provider whose rate is reached is waited for.
    """
    clock = clock or Clock()
    report = ChannelReport()
    renderer = Renderer()
    with CHANNELS[kind]() as channel:
        while True:
            if clock.is_over:
                report.unfinished = True
                break
            allowed, free_at = providers.let_through(kind, BATCH, now := timezone.now())
            if not allowed:
                wait = (free_at - now).total_seconds()
                if not _waits_for_more(kind, now) or wait > LONGEST_NAP:
                    break
                time.sleep(max(wait, 0.01))
                continue
            batch = _claim(kind, allowed)
            providers.give_back(kind, allowed - (len(batch.letters) if batch else 0))
            if batch is None:
                break
            outcomes = _deliver(batch, channel, renderer, clock)
            for outcome in outcomes:
                report.add(outcome)
            on_progress(sum(outcome.status != Status.PENDING for outcome in outcomes))
            if any(outcome.refunded and outcome.error for outcome in outcomes):
                break
    return report


def _waits_for_more(kind: str, now: datetime) -> bool:
    """Whether anything of this kind could leave now, if the provider took it."""
    due = Notification.objects.filter(status__in=OPEN_STATUSES, available_at__lte=now, expires_at__gt=now)
    return due.filter(channel__kind=kind).exists()


def _claim(kind: str, most: int) -> Batch | None:
    """Take up to so many channels' due notifications, or None where nothing is left to take.

    Where others hold all that is left at this moment, they are about to take or release it: look again.
    """
    while True:
        claim = uuid4()
        now = timezone.now()
        with connection.cursor() as cursor:
            cursor.execute(
                _CLAIM, {"now": now, "kind": kind, "claim": claim, "lease_ends_at": now + LEASE, "batch": most}
            )
            rows = cursor.fetchall()
        if rows:
            return Batch(claim, _letters(rows, now))
        if not _waits_for_more(kind, now):
            return None
        time.sleep(0.02)


def _letters(rows: Sequence[tuple[Any, ...]], now: datetime) -> Sequence[Letter]:
    """What was claimed, as rows of `_CLAIM`, with all that a message needs; those of one message together."""
    claimed = [(Envelope(*row[:6]), Notice(*row[6:])) for row in rows]
    digest_ids = [notice.id for envelope, notice in claimed if envelope.kind == NotificationKind.DIGEST]
    named = digests.contents(digest_ids, now)
    pks = {notice.contest for _, notice in claimed if notice.contest}.union(*named.values())
    contests = Contest.objects.select_related("platform").in_bulk(pks)
    letters = []
    for envelope, group in groupby(claimed, key=itemgetter(0)):
        notices = [notice for _, notice in group]
        letters.append(Letter(envelope, notices, _items(notices, named, contests)))
    return letters


def _items(
    notices: Sequence[Notice], named: Mapping[int, Sequence[int]], contests: Mapping[int, Contest]
) -> tuple[Item, ...]:
    """Each contest once, however many leads are due together; of a digest, those that it names."""
    by_contest = {notice.contest: notice for notice in notices if notice.contest in contests}
    if by_contest:
        return tuple(Item(contests[pk], each.starts_at, each.was_at) for pk, each in by_contest.items() if pk)
    return tuple(Item(contests[pk]) for notice in notices for pk in named.get(notice.id, ()) if pk in contests)


def _deliver(batch: Batch, channel: Channel, renderer: Renderer, clock: Clock) -> Sequence[Outcome]:
    """Send a batch and record what became of it.

    That is recorded too where something interrupts the sending: what left is not to leave again, and what did not may
    leave at once.
    """
    outcomes: dict[UUID, Outcome] = {}
    try:
        for outcome in _send_all(batch.letters, channel, renderer, clock):
            outcomes[outcome.message] = outcome
    finally:
        for letter in batch.letters:
            outcomes.setdefault(letter.envelope.message, _untried(letter))
        _record_surely(channel.kind, batch.claim, list(outcomes.values()))
    return list(outcomes.values())


def _send_all(letters: Sequence[Letter], channel: Channel, renderer: Renderer, clock: Clock) -> Iterator[Outcome]:
    """Send letter by letter, or several at once over a small pool, and say what became of each.

    When the provider is down the rest waits, and no attempt of its is used up. When time is up the rest is left out.
    """
    sender = Sender(channel, clock)
    if channel.concurrency == 1:
        for letter in letters:
            if outcome := sender.send(letter, renderer):
                yield outcome
        return
    with ThreadPoolExecutor(channel.concurrency, thread_name_prefix=channel.kind) as pool:
        try:
            for sent in as_completed([pool.submit(sender.send, letter, renderer) for letter in letters]):
                if outcome := sent.result():
                    yield outcome
        except BaseException:
            clock.stop_at = 0
            raise


class Sender:
    """Sends letters over one channel, from as many threads as it allows."""

    def __init__(self, channel: Channel, clock: Clock) -> None:
        self._channel, self._clock = channel, clock
        self._lets_go_at = time.monotonic() + LEASE.total_seconds() / 2
        self._down: ProviderDown | None = None
        self._rendering = Lock()

    def send(self, letter: Letter, renderer: Renderer) -> Outcome | None:
        """What became of it; None where it was not tried, because time was up."""
        if self._clock.is_over or time.monotonic() > self._lets_go_at:
            return None
        if self._down:
            return _waiting(letter, self._down)
        try:
            with self._rendering:
                message = renderer.message(letter)
            if message is None:
                return _outcome(letter, Status.SKIPPED, error="There is nothing left to tell.")
            self._channel.send(message)
        except ProviderDown as error:
            self._down = error
            if error.alarming:
                self._alarm(error)
            return _waiting(letter, error)
        except DeliveryError as error:
            if isinstance(error, RetryLater) and error.alarming:
                self._alarm(error)
            return _failed(letter, error)
        except SoftTimeLimitExceeded:
            raise
        except Exception as error:  # one message's fault, whatever it is, stays its own
            logger.exception("A message could not be made or sent")
            return _outcome(letter, Status.FAILED, error=f"Unexpected {type(error).__name__}: {error}")
        return _outcome(letter, Status.SENT)

    def _alarm(self, error: DeliveryError) -> None:
        logger.error("%s needs its operator: %s", self._channel.title, error)


def _outcome(letter: Letter, status: Status, **more: Any) -> Outcome:
    pks = tuple(notice.id for notice in letter.notices)
    return Outcome(letter.envelope.message, letter.envelope.channel, pks, status, **more)


def _untried(letter: Letter) -> Outcome:
    return _outcome(letter, Status.PENDING, after=timedelta(0), refunded=1)


def _waiting(letter: Letter, down: ProviderDown) -> Outcome:
    return _outcome(letter, Status.PENDING, error=str(down), after=down.after or PROVIDER_PAUSE, refunded=1)


def _failed(letter: Letter, error: DeliveryError) -> Outcome:
    match error:
        case RetryLater():
            after = max(_backoff(letter.notices[0].attempts), error.after or timedelta(0))
            return _outcome(letter, Status.PENDING, error=str(error), after=after)
        case OutcomeUnknown():
            return _outcome(letter, Status.PENDING, error=str(error), after=UNKNOWN_PAUSE)
        case ChannelDead():
            return _outcome(letter, Status.FAILED, error=str(error), dead=True, gone=error.gone)
    return _outcome(letter, Status.FAILED, error=str(error))


def _backoff(attempts: int) -> timedelta:
    """Exponential with full jitter: https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/"""
    longest: timedelta = min(LONGEST_RETRY, FIRST_RETRY * 2 ** min(attempts - 1, 10))
    return longest * random.random()


def _record_surely(kind: str, claim: UUID, outcomes: Sequence[Outcome]) -> None:
    """Record, and wait for a database that is away: what is forgotten here is sent a second time."""
    give_up_at = time.monotonic() + LEASE.total_seconds() / 2
    while True:
        try:
            _record(claim, outcomes)
            return _record_on_provider(kind, outcomes)
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
                "gone": [outcome.gone for outcome in outcomes],
            },
        )


def _record_on_provider(kind: str, outcomes: Sequence[Outcome]) -> None:
    """It is down where it said so of one message, and else up where any was handed over."""
    for outcome in outcomes:
        if outcome.refunded and outcome.error:
            providers.record(kind, timezone.now(), error=outcome.error, after=outcome.after)
            return
    if any(outcome.status == Status.SENT for outcome in outcomes):
        providers.record(kind, timezone.now())
