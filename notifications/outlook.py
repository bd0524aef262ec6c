"""What will be told, to whom and when, or why not: by the same conditions by which it is planned."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db import connection

from notifications.models import Status
from notifications.wanted import (
    CHOICE,
    DIGEST_OF,
    DUE,
    FREE_AT,
    NAMED,
    QUIET,
    REACHABLE,
    UNINTERESTING,
    UNREACHABLE,
)


@dataclass(frozen=True, slots=True)
class Reminder:
    """One reminder that a member will get, got, or will not get.

    `channel` and `lead_minutes` are None where there is a `reason` that concerns them all. `at` is when it comes at the
    latest: at the next round where that is over already. `status` is that of the notification, once there is one.
    """

    user: int
    username: str
    contest: int
    contest_name: str
    platform: str
    starts_at: datetime
    channel: int | None
    channel_kind: str | None
    channel_name: str | None
    lead_minutes: int | None
    at: datetime | None
    reason: str
    status: str | None
    sent_at: datetime | None

    @property
    def comes(self) -> bool:
        """Whether it is still to be sent."""
        return not self.reason and self.status in (None, Status.PENDING, Status.SENDING)


_RAW = "contest.starts_at - make_interval(mins => lead.minutes)"

_OUTLOOK = f"""
SELECT
    member.id, member.username, contest.id, contest.name, contest.platform_id, contest.starts_at,
    channel.id, channel.kind, coalesce(nullif(channel.label, ''), channel.address), lead.minutes,
    CASE WHEN why_not.reason = '' THEN coming.at END,
    CASE
        WHEN why_not.reason <> '' THEN why_not.reason
        WHEN notification.status IN ('skipped', 'failed', 'expired') THEN notification.error
        WHEN notification.id IS NULL AND coming.at >= contest.starts_at THEN %(quiet)s
        ELSE ''
    END,
    notification.status, notification.sent_at
FROM notifications_preference preference
JOIN auth_user member ON member.id = preference.user_id
JOIN contests_contest contest ON contest.starts_at > %(now)s AND {{contests}}
{CHOICE}
CROSS JOIN LATERAL (
    SELECT CASE WHEN contest.cancelled_at IS NOT NULL THEN 'It was cancelled.' ELSE {UNINTERESTING} END
) AS unwanted (reason)
LEFT JOIN notifications_channel channel
    ON channel.user_id = preference.user_id AND channel.removed_at IS NULL AND unwanted.reason = ''
CROSS JOIN LATERAL (
    SELECT CASE
        WHEN unwanted.reason <> '' THEN unwanted.reason
        WHEN ({UNREACHABLE}) <> '' THEN {UNREACHABLE}
        WHEN 'reminders' <> ALL (channel.purposes) THEN 'This channel is not for reminders.'
        ELSE ''
    END
) AS why_not (reason)
LEFT JOIN LATERAL unnest(preference.lead_minutes) AS lead (minutes) ON why_not.reason = ''
CROSS JOIN LATERAL (SELECT {DUE.format(moment=_RAW)}) AS due (at)
CROSS JOIN LATERAL (SELECT CASE WHEN due.at > %(now)s THEN due.at ELSE {FREE_AT} END) AS coming (at)
LEFT JOIN notifications_notification notification
    ON notification.channel_id = channel.id
    AND notification.contest_id = contest.id
    AND notification.kind = 'reminder'
    AND notification.lead_minutes = lead.minutes
    AND notification.starts_at = contest.starts_at
WHERE {{members}}
ORDER BY {{order}}
LIMIT %(most)s
"""


def of_member(user: int, now: datetime, most: int = 1000) -> Sequence[Reminder]:
    """Of each upcoming contest, the first ones first: a row for every channel and lead, or one with the reason why not.

    Empty for who has no preference, as an account that was never completed.
    """
    return _rows(
        contests="true",
        whom="preference.user_id = %(user)s",
        order="contest.starts_at, contest.id, channel.kind, channel.id, lead.minutes DESC",
        user=user,
        now=now,
        most=most,
    )


@dataclass(frozen=True, slots=True)
class Digest:
    """The digest that comes next on a channel, and how many contests it would name by what is known now."""

    channel: int
    channel_kind: str
    channel_name: str
    at: datetime
    contests: int


# Half a day is less than what lies between two digests, however clocks change.
_DIGESTS = f"""
SELECT channel.id, channel.kind, coalesce(nullif(channel.label, ''), channel.address), digest.at, named.contests
FROM notifications_preference preference
JOIN auth_user member ON member.id = preference.user_id
JOIN notifications_channel channel ON channel.user_id = preference.user_id
CROSS JOIN LATERAL (
    SELECT min(found.at)
    FROM generate_series(1, 16) AS half (days)
    CROSS JOIN LATERAL (
        SELECT {DIGEST_OF.format(moment="%(now)s + half.days * interval '12 hours'")}
    ) AS found (at)
    WHERE found.at > %(now)s
) AS digest (at)
CROSS JOIN LATERAL (
    SELECT count(*)
    FROM contests_contest contest
    {CHOICE}
    WHERE {NAMED.format(moment="digest.at")}
) AS named (contests)
WHERE preference.user_id = %(user)s
    AND preference.digest <> 'off'
    AND 'digest' = ANY (channel.purposes)
    AND {REACHABLE}
ORDER BY channel.kind, channel.id
"""


def digests_of_member(user: int, now: datetime) -> Sequence[Digest]:
    """The next one for each channel that is for digests."""
    with connection.cursor() as cursor:
        cursor.execute(_DIGESTS, {"user": user, "now": now})
        return [Digest(*row) for row in cursor.fetchall()]


def of_contest(contest: int, now: datetime, members: Collection[int]) -> Sequence[Reminder]:
    """Of an upcoming contest, whether each of these accounts would be told: a row or more for every one of them.

    None for who has no preference.
    """
    return _rows(
        contests="contest.id = %(contest)s",
        whom="preference.user_id = ANY (%(members)s)",
        order="preference.user_id, channel.kind, channel.id, lead.minutes DESC",
        contest=contest,
        now=now,
        members=list(members),
        most=None,
    )


def _rows(*, contests: str, whom: str, order: str, **values: Any) -> Sequence[Reminder]:
    with connection.cursor() as cursor:
        cursor.execute(_OUTLOOK.format(contests=contests, members=whom, order=order), {**values, "quiet": QUIET})
        return [Reminder(*row) for row in cursor.fetchall()]
