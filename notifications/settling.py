"""Resolving what was planned and is not to be sent after all: one statement over what is still open."""

from django.db import connection

from notifications.scope import Scope
from notifications.wanted import (
    CHOICE,
    DIGEST_OF,
    DUE,
    FREE_AT,
    NOTHING_LEFT,
    QUIET,
    REACHABLE,
    UNINTERESTING,
    UNREACHABLE,
)

_THOSE = {
    "expired": "notification.status IN ('pending', 'sending') AND notification.expires_at <= %(now)s",
    "left behind": "notification.status = 'sending' AND notification.available_at <= %(now)s",
    "of contests": "notification.contest_id = ANY (%(contests)s)",
    "of contests that are gone": "notification.contest_id IS NULL AND notification.expires_at > %(now)s",
    "that may be sent, where hours are quiet": """
        notification.status = 'pending'
        AND notification.available_at <= %(now)s
        AND EXISTS (
            SELECT
            FROM notifications_channel channel
            JOIN notifications_preference preference ON preference.user_id = channel.user_id
            WHERE channel.id = notification.channel_id AND preference.quiet_from IS NOT NULL
        )
    """,
    "of members": """
        notification.channel_id IN (
            SELECT changed.id
            FROM notifications_channel changed
            WHERE changed.user_id IN (SELECT user_id FROM notifications_replan WHERE taken AND user_id IS NOT NULL)
        )
    """,
}

_UNRESOLVED = "notification.status IN ('pending', 'sending', 'skipped')"

# What may still be resolved otherwise than it is. Of a digest in which nothing was left the hour is over: what turns up
# later is for the next one.
_OPEN = """(
            notification.status = 'pending'
            OR notification.status = 'sending' AND notification.available_at <= %(now)s
            OR notification.status = 'skipped' AND notification.expires_at > %(now)s
                AND notification.error <> %(nothing_left)s
        )"""

_MOMENT = "notification.starts_at + interval '1 second'"

_RAW = "contest.starts_at - make_interval(mins => notification.lead_minutes)"

# It passes over what another transaction holds at this moment: that one decides, and nobody waits in a circle.
_SETTLE = f"""
WITH judged AS (
    SELECT notification.id, verdict.status, verdict.error, plan.due_at, plan.available_at
    FROM notifications_notification notification
    JOIN notifications_channel channel ON channel.id = notification.channel_id
    JOIN auth_user member ON member.id = channel.user_id
    LEFT JOIN notifications_preference preference ON preference.user_id = channel.user_id
    LEFT JOIN contests_contest contest ON contest.id = notification.contest_id
    {CHOICE}
    CROSS JOIN LATERAL (
        SELECT
            notification.kind IN ('reminder', 'moved', 'cancelled', 'reinstated'),
            CASE notification.kind
                WHEN 'reminder' THEN 'reminders'
                WHEN 'moved' THEN 'changes'
                WHEN 'cancelled' THEN 'changes'
                WHEN 'reinstated' THEN 'changes'
                WHEN 'digest' THEN 'digest'
            END
    ) AS about (contest, purpose)
    CROSS JOIN LATERAL (
        SELECT CASE
            WHEN channel.disabled_at IS NOT NULL THEN concat('This channel is off: ', channel.disabled_reason)
            WHEN channel.verified_at IS NULL THEN 'This channel is not verified.'
            WHEN about.purpose IS NULL THEN ''
            WHEN about.contest AND contest.id IS NULL THEN 'The contest is no longer known.'
            WHEN notification.kind = 'cancelled' AND contest.cancelled_at IS NULL
                THEN 'The contest takes place after all.'
            WHEN about.contest AND notification.kind <> 'cancelled' AND contest.cancelled_at IS NOT NULL
                THEN 'The contest was cancelled.'
            WHEN about.contest AND notification.kind <> 'cancelled' AND contest.starts_at <> notification.starts_at
                THEN 'The contest moved to another time.'
            WHEN notification.kind = 'reminder' AND notification.lead_minutes <> ALL (preference.lead_minutes)
                THEN 'The lead time is no longer wanted.'
            WHEN notification.kind = 'digest' AND preference.digest = 'off' THEN 'No digest is wanted any more.'
            WHEN notification.kind = 'digest' AND notification.starts_at <> {DIGEST_OF.format(moment=_MOMENT)}
                THEN 'The digest comes at another time.'
            WHEN ({UNREACHABLE}) <> '' THEN {UNREACHABLE}
            WHEN ({REACHABLE}) IS NOT TRUE THEN 'The account has no preferences.'
            WHEN about.purpose <> ALL (channel.purposes) THEN concat('This channel is not for ', about.purpose, '.')
            WHEN choice.wish = 'mute' OR notification.kind = 'reminder' THEN {UNINTERESTING}
            ELSE ''
        END
    ) AS unwanted (reason)
    CROSS JOIN LATERAL (
        SELECT
            CASE
                WHEN notification.kind = 'reminder' AND unwanted.reason = '' THEN {DUE.format(moment=_RAW)}
                ELSE notification.due_at
            END
    ) AS reckoned (due_at)
    CROSS JOIN LATERAL (
        SELECT CASE
            WHEN unwanted.reason <> '' OR about.purpose IS NULL OR notification.kind = 'digest'
                THEN notification.available_at
            WHEN notification.attempts > 0 THEN greatest(notification.available_at, nullif({FREE_AT}, %(now)s))
            WHEN notification.kind = 'reminder' AND reckoned.due_at > {_RAW}
                THEN greatest({FREE_AT}, reckoned.due_at)
            WHEN {FREE_AT} > %(now)s THEN {FREE_AT}
            ELSE least(notification.available_at, %(now)s)
        END
    ) AS free (at)
    CROSS JOIN LATERAL (
        SELECT
            reckoned.due_at,
            CASE WHEN free.at < notification.expires_at THEN free.at ELSE notification.available_at END
    ) AS plan (due_at, available_at)
    CROSS JOIN LATERAL (
        SELECT CASE
            WHEN unwanted.reason <> '' THEN unwanted.reason
            WHEN free.at >= notification.expires_at AND {FREE_AT} > %(now)s THEN %(quiet)s
            ELSE ''
        END
    ) AS held (reason)
    CROSS JOIN LATERAL (
        SELECT CASE
            WHEN about.contest THEN 'The contest began before this could be sent.'
            ELSE 'It was worth nothing any more before it could be sent.'
        END
    ) AS late (reason)
    CROSS JOIN LATERAL (
        SELECT
            CASE
                WHEN notification.expires_at <= %(now)s THEN 'expired'
                WHEN held.reason <> '' THEN 'skipped'
                ELSE 'pending'
            END,
            CASE
                WHEN notification.expires_at <= %(now)s
                    THEN concat_ws(' ', late.reason, nullif(notification.error, ''))
                WHEN held.reason <> '' THEN held.reason
                WHEN notification.status = 'pending' THEN notification.error
                ELSE ''
            END
    ) AS verdict (status, error)
    WHERE {_OPEN}
        AND notification.id IN ({{those}})
        AND (notification.status, notification.error, notification.due_at, notification.available_at)
            IS DISTINCT FROM (verdict.status, verdict.error, plan.due_at, plan.available_at)
    FOR NO KEY UPDATE OF notification SKIP LOCKED
), settled AS (
    UPDATE notifications_notification notification
    SET status = judged.status,
        error = judged.error,
        due_at = judged.due_at,
        available_at = judged.available_at,
        claim = NULL,
        -- Should it be told after all, then in a message of its own: the others of this one may have left meanwhile.
        message = CASE WHEN judged.status = 'skipped' THEN NULL ELSE notification.message END
    FROM judged
    WHERE notification.id = judged.id
    RETURNING notification.status
)
SELECT status, count(*) FROM settled GROUP BY status
"""


def settle(scope: Scope) -> dict[str, int]:
    """Resolve what was planned and is not to be sent after all. Returns the number of rows by the status they got.

    What is worth nothing any more expires. What is no longer wanted is skipped, with the reason, and is pending again
    should the reason go away in time. What a dead worker left is pending again when its lease is over.
    """
    names = [name for name in _THOSE if scope.members or name != "of members"]
    conditions = [_THOSE[name] for name in names] if scope.since else ["true"]
    found = " UNION ALL ".join(
        f"SELECT notification.id FROM notifications_notification notification WHERE {_UNRESOLVED} AND {condition}"
        for condition in conditions
    )
    with connection.cursor() as cursor:
        cursor.execute(_SETTLE.format(those=found), {**scope.values, "quiet": QUIET, "nothing_left": NOTHING_LEFT})
        return dict(cursor.fetchall())
