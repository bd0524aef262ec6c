"""Planning digests: what comes in the days ahead, at the hour that the member chose, where there is anything."""

from collections import defaultdict
from collections.abc import Collection
from datetime import datetime

from django.db import connection

from notifications.scope import Scope
from notifications.wanted import CHOICE, DIGEST_OF, NAMED, REACHABLE

# One that could not be sent for twelve hours is worth nothing any more, and who chose a digest just now does not get
# the one of this morning.
_ADD = f"""
INSERT INTO notifications_notification (
    channel_id, contest_name, kind, lead_minutes, starts_at, due_at, expires_at,
    created_at, status, attempts, available_at, error, detail
)
SELECT
    channel.id, '', 'digest', 0, digest.at, digest.at, digest.at + interval '12 hours',
    %(now)s, 'pending', 0, greatest(%(now)s, digest.at), '', ''
FROM notifications_preference preference
JOIN auth_user member ON member.id = preference.user_id
JOIN notifications_channel channel ON channel.user_id = preference.user_id
CROSS JOIN LATERAL (SELECT {DIGEST_OF.format(moment="%(until)s")}) AS digest (at)
WHERE preference.digest <> 'off'
    AND 'digest' = ANY (channel.purposes)
    AND {REACHABLE}
    AND digest.at + interval '12 hours' > %(now)s
    AND (
        digest.at >= %(now)s
        OR digest.at >= %(since)s
            AND preference.user_id NOT IN (
                SELECT user_id FROM notifications_replan WHERE taken AND user_id IS NOT NULL
            )
    )
    AND EXISTS (
        SELECT
        FROM contests_contest contest
        {CHOICE}
        WHERE {NAMED.format(moment="digest.at")}
    )
ON CONFLICT DO NOTHING
"""


def add(scope: Scope) -> int:
    """Returns how many are new."""
    with connection.cursor() as cursor:
        cursor.execute(_ADD, scope.values)
        return int(cursor.rowcount)


_CONTENTS = f"""
SELECT notification.id, contest.id
FROM notifications_notification notification
JOIN notifications_channel channel ON channel.id = notification.channel_id
JOIN notifications_preference preference ON preference.user_id = channel.user_id
JOIN contests_contest contest ON contest.starts_at > %(now)s
{CHOICE}
WHERE notification.id = ANY (%(digests)s)
    AND {NAMED.format(moment="notification.starts_at")}
ORDER BY contest.starts_at, contest.platform_id, contest.key
"""


def contents(digests: Collection[int], now: datetime) -> dict[int, list[int]]:
    """The contests that each digest is to name, in their order: as wanted at this moment."""
    found: dict[int, list[int]] = defaultdict(list)
    if not digests:
        return found
    with connection.cursor() as cursor:
        cursor.execute(_CONTENTS, {"digests": list(digests), "now": now})
        for digest, contest in cursor.fetchall():
            found[digest].append(contest)
    return found
