"""Claiming what is due: whoever holds a claim may send it, and nobody else until its lease is over."""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime, timedelta
from itertools import groupby
from operator import itemgetter
from typing import Any
from uuid import UUID

from django.db import connection
from django.utils import timezone

from contests.models import Contest
from notifications import digests
from notifications.messages import OF_A_CONTEST, Envelope, Item, Letter, Notice
from notifications.models import OPEN_STATUSES, Channel, Notification, NotificationKind

LEASE = timedelta(minutes=5)
"""How long a claim holds. A process that has not sent what it claimed when half of it is over lets the rest go.

Well below the shortest lead: what a killed process had in hand is still told before the start.
"""

# A whole channel is claimed or none of it: what is due together leaves as one message of its kind, whoever sends it.
# The lock on the channel lets any number of claimers share the work; it is weaker than a foreign key's, so that plans
# go on meanwhile. Nobody waits for a row that another holds, so nobody can wait in a circle. A channel that was turned
# off since the plan is left alone: the next plan resolves what waits there.
_CLAIM = """
WITH mine AS (
    SELECT channel.id, channel.user_id, channel.address, channel.keys
    FROM notifications_notification notification
    JOIN notifications_channel channel ON channel.id = notification.channel_id
    WHERE notification.status IN ('pending', 'sending')
        AND notification.available_at <= %(now)s
        AND notification.expires_at > %(now)s
        AND channel.kind = %(kind)s
        AND channel.verified_at IS NOT NULL
        AND channel.disabled_at IS NULL
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


def claim(kind: str, claimer: UUID, most: int) -> Sequence[Letter]:
    """Up to so many channels' due notifications; nothing also where others hold all that is left at this moment."""
    now = timezone.now()
    with connection.cursor() as cursor:
        cursor.execute(
            _CLAIM, {"now": now, "kind": kind, "claim": claimer, "lease_ends_at": now + LEASE, "batch": most}
        )
        rows = cursor.fetchall()
    return _letters(rows, now) if rows else ()


_LET_GO = """
UPDATE notifications_notification
SET status = 'pending', available_at = %(now)s, attempts = attempts - 1, claim = NULL
WHERE claim = %(claim)s AND message <> ALL (%(in_hand)s)
"""


def let_go(claimer: UUID, in_hand: Collection[UUID]) -> None:
    """What was claimed without the claimer's knowledge, as the database hung up before it said so."""
    with connection.cursor() as cursor:
        cursor.execute(_LET_GO, {"now": timezone.now(), "claim": claimer, "in_hand": list(in_hand)})


def is_anything_due(kind: str, now: datetime) -> bool:
    """Whether anything of this kind could leave now, whoever holds it."""
    due = Notification.objects.filter(status__in=OPEN_STATUSES, available_at__lte=now, expires_at__gt=now)
    return due.filter(channel__in=Channel.objects.usable().filter(kind=kind)).exists()


def _letters(rows: Sequence[tuple[Any, ...]], now: datetime) -> Sequence[Letter]:
    """What was claimed, as rows of `_CLAIM`, with all that a message needs; those of one message together.

    What a sync has made wrong since the plan is left out: the next plan resolves it when its lease is over.
    """
    claimed = [(Envelope(*row[:6]), Notice(*row[6:])) for row in rows]
    digest_ids = [notice.id for envelope, notice in claimed if envelope.kind == NotificationKind.DIGEST]
    named = digests.contents(digest_ids, now)
    pks = {notice.contest for _, notice in claimed if notice.contest}.union(*named.values())
    contests = Contest.objects.select_related("platform").in_bulk(pks)
    letters = []
    for envelope, group in groupby(claimed, key=itemgetter(0)):
        notices = [notice for _, notice in group if _is_still_so(envelope.kind, notice, contests)]
        if notices:
            letters.append(Letter(envelope, notices, _items(notices, named, contests)))
    return letters


def _is_still_so(kind: str, notice: Notice, contests: Mapping[int, Contest]) -> bool:
    if kind not in OF_A_CONTEST:
        return True
    contest = contests.get(notice.contest or 0)
    if contest is None or kind == NotificationKind.CANCELLED:
        return contest is not None and contest.cancelled_at is not None
    return contest.cancelled_at is None and contest.starts_at == notice.starts_at


def _items(
    notices: Sequence[Notice], named: Mapping[int, Sequence[int]], contests: Mapping[int, Contest]
) -> tuple[Item, ...]:
    """Each contest once, however many leads are due together; of a digest, those that it names."""
    by_contest = {notice.contest: notice for notice in notices if notice.contest in contests}
    if by_contest:
        return tuple(Item(contests[pk], each.starts_at, each.was_at) for pk, each in by_contest.items() if pk)
    return tuple(Item(contests[pk]) for notice in notices for pk in named.get(notice.id, ()) if pk in contests)
