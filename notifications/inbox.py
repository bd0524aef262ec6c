"""What a member was told, each thing once: a contest's reminders for one start, a move, a cancellation, a digest.

However many channels it left on and however many lead times it was told at, it is one thing to read; it is unread again
when there is more to say of it.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from django.contrib.postgres.aggregates import ArrayAgg, BoolOr
from django.db import connection
from django.db.models import Case, F, Max, Q, QuerySet, Value, When
from django.http import HttpRequest

from contests.models import Contest
from notifications.models import Channel, Notification, NotificationKind, Status

MOST_LOOKED_AT = 1_000
"""Unread notifications that are looked at for the number in the navigation, on every page: that must not take long for
those who never read here."""


@dataclass(frozen=True, slots=True)
class Thing:
    """`notification` stands for all that told of it; `leads` are in minutes, the longest first."""

    notification: int
    kind: NotificationKind
    contest: Contest | None
    contest_name: str
    starts_at: datetime
    was_at: datetime | None
    detail: str
    leads: Sequence[int]
    channels: Sequence[Channel]
    told_at: datetime
    unread: bool


Cursor = tuple[datetime, int]
"""When the last thing of a page was told, and its notification: the next page has what comes after it."""


def told(user: int) -> "QuerySet[Notification]":
    """What arrived, or left at least. The tests that members ask for themselves are no news."""
    return Notification.objects.filter(channel__user=user, status=Status.SENT).exclude(kind=NotificationKind.TEST)


def things(user: int, most: int, *, after: Cursor | None = None, unread: bool = False) -> Sequence[Thing]:
    """The newest first. Three queries, whatever there is."""
    rows = (
        told(user)
        .annotate(gone=Case(When(contest=None, then=F("contest_name")), default=Value("")))
        .values("kind", "contest", "gone", "starts_at", "detail")
        .annotate(
            notification=Max("id"),
            name=Max("contest_name"),
            before=Max("was_at"),
            leads=ArrayAgg("lead_minutes", distinct=True, order_by="-lead_minutes"),
            channels=ArrayAgg("channel", distinct=True),
            told_at=Max("sent_at"),
            is_unread=BoolOr(Q(read_at=None)),
        )
        .order_by("-told_at", "-notification")
    )
    if unread:
        rows = rows.filter(is_unread=True)
    if after:
        rows = rows.filter(Q(told_at__lt=after[0]) | Q(told_at=after[0], notification__lt=after[1]))
    found = list(rows[:most])
    contests = Contest.objects.select_related("platform").in_bulk({row["contest"] for row in found} - {None})
    channels = Channel.objects.in_bulk({channel for row in found for channel in row["channels"]})
    return [_thing(row, contests, channels) for row in found]


def _thing(row: Mapping[str, Any], contests: dict[int, Contest], channels: dict[int, Channel]) -> Thing:
    contest = contests.get(row["contest"])
    return Thing(
        notification=row["notification"],
        kind=NotificationKind(row["kind"]),
        contest=contest,
        contest_name=contest.name if contest else row["name"],
        starts_at=row["starts_at"],
        was_at=row["before"],
        detail=row["detail"],
        leads=[lead for lead in row["leads"] if lead],
        channels=[channels[channel] for channel in row["channels"] if channel in channels],
        told_at=row["told_at"],
        unread=row["is_unread"],
    )


_COUNT_UNREAD = """
SELECT count(*)
FROM (
    SELECT DISTINCT kind, contest_id, CASE WHEN contest_id IS NULL THEN contest_name END, starts_at, detail
    FROM (
        SELECT notification.*
        FROM notifications_notification notification
        JOIN notifications_channel channel ON channel.id = notification.channel_id
        WHERE channel.user_id = %(user)s
            AND notification.status = 'sent'
            AND notification.read_at IS NULL
            AND notification.kind <> 'test'
        LIMIT %(most)s
    ) AS told
) AS thing
"""


def count_unread(user: int) -> int:
    """The number of unread things, as far as so many notifications tell."""
    with connection.cursor() as cursor:
        cursor.execute(_COUNT_UNREAD, {"user": user, "most": MOST_LOOKED_AT})
        return int(cursor.fetchone()[0])


def of_same_thing(notification: Notification) -> "QuerySet[Notification]":
    same = told(notification.channel.user_id).filter(
        kind=notification.kind,
        contest=notification.contest_id,
        starts_at=notification.starts_at,
        detail=notification.detail,
    )
    return same if notification.contest_id else same.filter(contest_name=notification.contest_name)


def mark_read(notification: Notification, now: datetime) -> None:
    """On all channels that told of the thing."""
    of_same_thing(notification).filter(read_at=None).update(read_at=now)


# It passes over what another transaction holds at this moment, so that nobody waits in a circle.
_READ_ELSEWHERE = """
WITH found AS (
    SELECT beside.id, known.read_at
    FROM notifications_notification known
    JOIN notifications_channel channel ON channel.id = known.channel_id
    JOIN notifications_channel other ON other.user_id = channel.user_id
    JOIN notifications_notification beside ON beside.channel_id = other.id
    WHERE known.message = ANY (%(messages)s)
        AND known.read_at IS NOT NULL
        AND beside.status = 'sent'
        AND beside.read_at IS NULL
        AND beside.sent_at <= known.read_at
        AND beside.kind = known.kind
        AND beside.starts_at = known.starts_at
        AND beside.detail = known.detail
        AND (
            beside.contest_id = known.contest_id
            OR beside.contest_id IS NULL AND known.contest_id IS NULL AND beside.contest_name = known.contest_name
        )
    FOR NO KEY UPDATE OF beside SKIP LOCKED
)
UPDATE notifications_notification notification
SET read_at = found.read_at
FROM found
WHERE notification.id = found.id
"""


def read_elsewhere(messages: Collection[UUID]) -> None:
    """What was read on a channel that tells so needs not be read here again: all that told of it until then."""
    if messages:
        with connection.cursor() as cursor:
            cursor.execute(_READ_ELSEWHERE, {"messages": list(messages)})


def mark_all_read(user: int, until: datetime, now: datetime) -> int:
    """All that was told `until` then: what came since was not seen yet. Returns the number of notifications."""
    return told(user).filter(read_at=None, sent_at__lte=until).update(read_at=now)


def context(request: HttpRequest) -> dict[str, Any]:
    """For templates: asked only where the navigation shows it, and never for who is not signed in."""
    return {"count_unread": lambda: count_unread(request.user.pk) if request.user.pk else 0}
