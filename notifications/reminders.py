"""Planning reminders: one statement over contests × preferences × leads × channels."""

from datetime import datetime, timedelta

from django.db import connection

from notifications.models import LONGEST_LEAD
from notifications.scope import Scope
from notifications.wanted import CHOICE, DUE, FREE_AT, INTERESTING, QUIET, REACHABLE

LONGEST_QUIET = timedelta(days=1)
"""By so much a reminder may come earlier than its lead says."""

# Of a platform that the member chose; and what they follow, whatever its platform.
_BY_PLATFORM = f"""
notifications_preference preference
CROSS JOIN LATERAL unnest(preference.platforms) AS wanted (platform_id)
JOIN contests_contest contest ON contest.platform_id = wanted.platform_id
{CHOICE}
"""

_BY_CHOICE = """
notifications_contestchoice choice
JOIN notifications_preference preference ON preference.user_id = choice.user_id AND choice.wish = 'follow'
JOIN contests_contest contest ON contest.id = choice.contest_id AND contest.platform_id <> ALL (preference.platforms)
"""

_RAW = "contest.starts_at - make_interval(mins => lead.minutes)"

_ADD = f"""
INSERT INTO notifications_notification (
    channel_id, contest_id, contest_name, kind, lead_minutes, starts_at, due_at, expires_at,
    created_at, status, attempts, available_at, error, detail
)
SELECT
    channel.id, contest.id, contest.name, 'reminder', lead.minutes, contest.starts_at, due.at, contest.starts_at,
    %(now)s, CASE WHEN free.at < contest.starts_at THEN 'pending' ELSE 'skipped' END, 0, free.at,
    CASE WHEN free.at < contest.starts_at THEN '' ELSE %(quiet)s END, ''
FROM {{interest}}
JOIN auth_user member ON member.id = preference.user_id
JOIN notifications_channel channel ON channel.user_id = preference.user_id
CROSS JOIN LATERAL unnest(preference.lead_minutes) AS lead (minutes)
CROSS JOIN LATERAL (SELECT {DUE.format(moment=_RAW)}) AS due (at)
CROSS JOIN LATERAL (
    SELECT CASE
        WHEN preference.quiet_from IS NULL THEN %(now)s
        WHEN due.at > {_RAW} THEN greatest({FREE_AT}, due.at)
        ELSE {FREE_AT}
    END
) AS free (at)
WHERE contest.starts_at > %(now)s
    AND contest.starts_at < %(latest_start)s
    AND contest.cancelled_at IS NULL
    AND ({_RAW} < %(until)s OR due.at < %(until)s)
    AND 'reminders' = ANY (channel.purposes)
    AND {REACHABLE}
    AND {INTERESTING}
    AND {{scope}}
ORDER BY channel.id, contest.id  -- as in the unique index, into which it goes a fifth faster that way
ON CONFLICT (channel_id, contest_id, kind, lead_minutes, starts_at) DO NOTHING
"""

_EVERYTHING = "true"
_THOSE_CONTESTS = f"""
(
    contest.id = ANY (%(contests)s)
    OR contest.id = ANY (%(crossing)s) AND {_RAW} >= %(since)s
)
"""
_THOSE_MEMBERS = "preference.user_id IN (SELECT user_id FROM notifications_replan WHERE taken AND user_id IS NOT NULL)"


def add(scope: Scope) -> int:
    """Returns how many are new."""
    values = {
        **scope.values,
        "latest_start": scope.until + LONGEST_LEAD + LONGEST_QUIET,
        "quiet": QUIET,
    }
    conditions = []
    if scope.since is None:
        conditions.append(_EVERYTHING)
    else:
        if scope.contests or scope.crossing:
            conditions.append(_THOSE_CONTESTS)
        if scope.members:
            conditions.append(_THOSE_MEMBERS)
    added = 0
    with connection.cursor() as cursor:
        for condition in conditions:
            for interest in (_BY_PLATFORM, _BY_CHOICE):
                cursor.execute(_ADD.format(interest=interest, scope=condition), values)
                added += cursor.rowcount
    return added


# Quiet hours that begin before the horizon bring forward what falls into them: their members are looked at as a whole.
_MARK_QUIET = """
INSERT INTO notifications_replan (user_id, was_cancelled, taken)
SELECT preference.user_id, false, true
FROM notifications_preference preference
CROSS JOIN LATERAL generate_series(-1, 1) AS shift (days)
CROSS JOIN LATERAL (
    SELECT ((%(until)s AT TIME ZONE preference.time_zone)::date + shift.days + preference.quiet_from)
        AT TIME ZONE preference.time_zone
) AS quiet (begins)
WHERE preference.quiet_from IS NOT NULL
    AND quiet.begins >= %(since)s
    AND quiet.begins < %(until)s
"""

_CROSSING = """
SELECT contest.id
FROM contests_contest contest
WHERE contest.starts_at > %(now)s
    AND contest.starts_at < %(latest_start)s
    AND contest.cancelled_at IS NULL
    AND EXISTS (
        SELECT
        FROM leads
        WHERE contest.starts_at - make_interval(mins => leads.minutes) >= %(since)s
            AND contest.starts_at - make_interval(mins => leads.minutes) < %(until)s
    )
"""

_LEADS = """
WITH leads AS MATERIALIZED (
    SELECT DISTINCT unnest(lead_minutes) AS minutes FROM notifications_preference
)
"""


def crossing(now: datetime, until: datetime, since: datetime) -> list[int]:
    """The contests of which a lead that somebody chose has come within reach; marks whose quiet hours have."""
    values = {"now": now, "until": until, "since": since, "latest_start": until + LONGEST_LEAD}
    with connection.cursor() as cursor:
        cursor.execute(_MARK_QUIET, values)
        cursor.execute(_LEADS + _CROSSING, values)
        return [contest for (contest,) in cursor.fetchall()]
