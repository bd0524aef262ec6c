"""Deciding what is to be told: one statement over contests × preferences × channels, and one over what is still open.

No loop over members, in any process, ever.
"""

from datetime import datetime

from django.db import IntegrityError, connection

from notifications.models import LONGEST_LEAD

# What makes a reminder right, but for the choice of platforms, which planning joins by: written once, for planning it
# and for looking again before it is sent.
_WANTED = """
        contest.cancelled_at IS NULL
    AND member.is_active
    AND preference.active
    AND NOT preference.paused
    AND (preference.trainings OR NOT contest.is_training)
    AND channel.verified_at IS NOT NULL
    AND channel.disabled_at IS NULL
"""

_PLAN = f"""
INSERT INTO notifications_notification (
    channel_id, contest_id, contest_name, kind, lead_minutes, starts_at, due_at,
    created_at, status, attempts, available_at, error
)
SELECT
    channel.id, contest.id, contest.name, 'reminder', lead.minutes, contest.starts_at,
    contest.starts_at - make_interval(mins => lead.minutes),
    %(now)s, 'pending', 0, %(now)s, ''
FROM notifications_preference preference
CROSS JOIN LATERAL unnest(preference.platforms) AS wanted (platform_id)
JOIN contests_contest contest ON contest.platform_id = wanted.platform_id
JOIN auth_user member ON member.id = preference.user_id
JOIN notifications_channel channel ON channel.user_id = preference.user_id
CROSS JOIN LATERAL unnest(preference.lead_minutes) AS lead (minutes)
WHERE contest.starts_at > %(now)s
    AND contest.starts_at < %(latest_start)s
    AND contest.starts_at - make_interval(mins => lead.minutes) < %(until)s
    AND {_WANTED}
ORDER BY channel.id, contest.id  -- as in the unique index, into which it goes a fifth faster that way
ON CONFLICT (channel_id, contest_id, kind, lead_minutes, starts_at) DO NOTHING
"""

# What may still be resolved otherwise than it is.
_OPEN = """(
            notification.status = 'pending'
            OR (notification.status = 'sending' AND notification.available_at <= %(now)s)
            OR (notification.status = 'skipped' AND notification.starts_at > %(now)s)
        )"""

# It passes over what another transaction holds at this moment: that one decides, and nobody waits in a circle.
_SETTLE = f"""
WITH judged AS (
    SELECT notification.id, verdict.status, verdict.error
    FROM notifications_notification notification
    JOIN notifications_channel channel ON channel.id = notification.channel_id
    JOIN auth_user member ON member.id = channel.user_id
    LEFT JOIN notifications_preference preference ON preference.user_id = channel.user_id
    LEFT JOIN contests_contest contest ON contest.id = notification.contest_id
    CROSS JOIN LATERAL (
        SELECT CASE
            WHEN contest.id IS NULL THEN 'The contest is no longer known.'
            WHEN contest.cancelled_at IS NOT NULL THEN 'The contest was cancelled.'
            WHEN contest.starts_at <> notification.starts_at THEN 'The contest moved to another time.'
            WHEN notification.lead_minutes <> ALL (preference.lead_minutes) THEN 'The lead time is no longer wanted.'
            WHEN channel.disabled_at IS NOT NULL THEN concat('The channel is off: ', channel.disabled_reason)
            WHEN NOT preference.active THEN 'The member was not seen for 180 days.'
            WHEN preference.paused THEN 'Reminders are paused.'
            WHEN (contest.platform_id = ANY (preference.platforms) AND {_WANTED}) IS NOT TRUE
                THEN 'The member no longer wants it.'
            ELSE ''
        END
    ) unwanted (reason)
    CROSS JOIN LATERAL (
        SELECT
            CASE
                WHEN notification.starts_at <= %(now)s THEN 'expired'
                WHEN unwanted.reason <> '' THEN 'skipped'
                ELSE 'pending'
            END,
            CASE
                WHEN notification.starts_at <= %(now)s
                    THEN concat_ws(' ', 'The contest began before this could be sent.', nullif(notification.error, ''))
                WHEN unwanted.reason <> '' THEN unwanted.reason
                WHEN notification.status = 'pending' THEN notification.error
                ELSE ''
            END
    ) verdict (status, error)
    WHERE {_OPEN}
        AND (notification.status, notification.error) IS DISTINCT FROM (verdict.status, verdict.error)
    FOR NO KEY UPDATE OF notification SKIP LOCKED
), settled AS (
    UPDATE notifications_notification notification
    SET status = judged.status,
        error = judged.error,
        claim = NULL,
        -- Should it be told after all, then in a message of its own: the others of this one may have left meanwhile.
        message = CASE WHEN judged.status = 'skipped' THEN NULL ELSE notification.message END
    FROM judged
    WHERE notification.id = judged.id
    RETURNING notification.status
)
SELECT status, count(*) FROM settled GROUP BY status
"""

MANY = 1_000
"""So many new rows, and the database is told what the table looks like now: the statements that follow choose their way
by that, and the wrong one takes a hundred times as long."""


def plan(now: datetime, until: datetime) -> int:
    """Add the reminders that would be late if they were not sent before `until`. Returns how many are new.

    A reminder is due at the contest's start less the lead; one whose contest appeared inside the lead is due at once.
    """
    tries = 3
    while True:
        try:
            return _plan(now, until)
        except IntegrityError:  # a member or a contest went away in this very moment
            tries -= 1
            if not tries:
                raise


def _plan(now: datetime, until: datetime) -> int:
    with connection.cursor() as cursor:
        cursor.execute(_PLAN, {"now": now, "until": until, "latest_start": until + LONGEST_LEAD})
        planned = int(cursor.rowcount)
        if planned >= MANY:
            cursor.execute("ANALYZE notifications_notification")
    return planned


def settle(now: datetime) -> dict[str, int]:
    """Resolve what was planned and is not to be sent after all. Returns the number of rows by the status they got.

    What has begun expires. What is no longer wanted is skipped, with the reason, and is pending again should the reason
    go away in time. What a dead worker left is pending again when its lease is over.
    """
    with connection.cursor() as cursor:
        cursor.execute(_SETTLE, {"now": now})
        return dict(cursor.fetchall())
