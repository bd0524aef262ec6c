"""Planning what is told at once: that a contest moved, was cancelled, or takes place after all.

To those who were told of it, and to those who would have been; of a contest that moved back meanwhile, nothing. That it
takes place after all is told to those who heard that it does not.
"""

from django.db import connection

from notifications.scope import Scope
from notifications.wanted import CHOICE, FREE_AT, INTERESTING, QUIET, REACHABLE

# How each contest was before the first change since the last plan: it had no start where it was not known by then, and
# nothing of it is news. A change is of use to know until both starts are over.
_ADD = f"""
WITH before AS (
    SELECT DISTINCT ON (contest_id) contest_id, was_at, was_cancelled
    FROM notifications_replan
    WHERE taken AND contest_id IS NOT NULL
    ORDER BY contest_id, id
), changed AS (
    SELECT contest.*,
        CASE
            WHEN contest.cancelled_at IS NOT NULL THEN 'cancelled'
            WHEN before.was_cancelled THEN 'reinstated'
            ELSE 'moved'
        END AS kind,
        CASE WHEN contest.cancelled_at IS NULL THEN nullif(before.was_at, contest.starts_at) END AS was_at,
        CASE WHEN contest.cancelled_at IS NULL THEN contest.starts_at ELSE before.was_at END AS told_at,
        greatest(contest.starts_at, before.was_at) AS expires_at
    FROM before
    JOIN contests_contest contest ON contest.id = before.contest_id
    WHERE before.was_at IS NOT NULL
        AND CASE
            WHEN before.was_cancelled THEN contest.cancelled_at IS NULL
            ELSE contest.cancelled_at IS NOT NULL OR contest.starts_at <> before.was_at
        END
        AND greatest(contest.starts_at, before.was_at) > %(now)s
)
INSERT INTO notifications_notification AS notification (
    channel_id, contest_id, contest_name, kind, lead_minutes, starts_at, was_at, due_at, expires_at,
    created_at, status, attempts, available_at, error, detail
)
SELECT
    channel.id, contest.id, contest.name, contest.kind, 0, contest.told_at, known.start, %(now)s, contest.expires_at,
    %(now)s, CASE WHEN free.at < contest.expires_at THEN 'pending' ELSE 'skipped' END, 0, free.at,
    CASE WHEN free.at < contest.expires_at THEN '' ELSE %(quiet)s END, ''
FROM changed contest
CROSS JOIN notifications_preference preference
{CHOICE}
JOIN auth_user member ON member.id = preference.user_id
JOIN notifications_channel channel ON channel.user_id = preference.user_id
CROSS JOIN LATERAL (SELECT {FREE_AT}) AS free (at)
-- Who was not told yet of an earlier move still knows the start before that.
LEFT JOIN LATERAL (
    SELECT earlier.was_at, earlier.status
    FROM notifications_notification earlier
    WHERE earlier.channel_id = channel.id
        AND earlier.contest_id = contest.id
        AND earlier.kind = 'moved'
    ORDER BY earlier.created_at DESC
    LIMIT 1
) AS earlier ON contest.kind = 'moved'
CROSS JOIN LATERAL (
    SELECT CASE WHEN earlier.status <> 'sent' THEN earlier.was_at ELSE contest.was_at END
) AS known (start)
WHERE 'changes' = ANY (channel.purposes)
    AND known.start IS DISTINCT FROM contest.starts_at
    AND {REACHABLE}
    AND choice.wish IS DISTINCT FROM 'mute'
    AND (
        contest.kind <> 'reinstated' AND ({INTERESTING})
        OR EXISTS (
            SELECT
            FROM notifications_notification told
            WHERE told.channel_id = channel.id
                AND told.contest_id = contest.id
                AND told.kind = ANY (
                    CASE contest.kind WHEN 'reinstated' THEN ARRAY['cancelled'] ELSE ARRAY['reminder', 'moved'] END
                )
                AND told.status IN ('sending', 'sent')
        )
    )
ON CONFLICT (channel_id, contest_id, kind, lead_minutes, starts_at) DO UPDATE
    -- It is where it was told to be before the last time that it moved: that is to be told anew.
    SET was_at = excluded.was_at,
        due_at = excluded.due_at,
        expires_at = excluded.expires_at,
        created_at = excluded.created_at,
        status = excluded.status,
        error = excluded.error,
        available_at = excluded.available_at,
        attempts = 0,
        message = NULL,
        sent_at = NULL,
        delivered_at = NULL,
        read_at = NULL
    WHERE notification.status <> 'sending'
RETURNING kind
"""


def add(scope: Scope) -> dict[str, int]:
    """Returns how many are new, by kind."""
    if not scope.contests:
        return {}
    with connection.cursor() as cursor:
        cursor.execute(
            f"WITH added AS ({_ADD}) SELECT kind, count(*) FROM added GROUP BY kind", {**scope.values, "quiet": QUIET}
        )
        return dict(cursor.fetchall())
