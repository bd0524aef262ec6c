"""What makes it right to tell somebody of something, as conditions of SQL: written once, for planning it, for looking
again before it is sent, and for showing members and staff why.

They speak of the tables `member` (auth_user), `preference`, `channel`, `contest` and, outer joined, `choice`.
"""

REACHABLE = """
        member.is_active
    AND preference.active
    AND NOT preference.paused
    AND channel.verified_at IS NOT NULL
    AND channel.disabled_at IS NULL
"""

# As a CASE, which the database guesses to hold for every other row: multiplied up, its guesses for the conditions say
# one in a hundred, and it would keep the many for the few, on disk.
INTERESTING = """
CASE WHEN
    choice.wish IS DISTINCT FROM 'mute'
    AND (
        choice.wish = 'follow'
        OR contest.platform_id = ANY (preference.platforms)
            AND (preference.trainings OR NOT contest.is_training)
            AND (preference.unrated OR contest.is_rated IS NOT FALSE)
            AND (preference.longest_contest IS NULL OR contest.duration <= preference.longest_contest)
            AND (
                cardinality(preference.excluded_words) = 0
                OR NOT EXISTS (
                    SELECT
                    FROM unnest(preference.excluded_words) AS excluded (word)
                    WHERE strpos(lower(contest.name), excluded.word) > 0
                )
            )
    )
THEN true ELSE false END
"""

CHOICE = """
LEFT JOIN notifications_contestchoice choice ON choice.user_id = preference.user_id AND choice.contest_id = contest.id
"""

# When what is due at `moment` comes, by the member's quiet hours.
DUE = """
CASE
    WHEN preference.quiet_from IS NULL THEN {moment}
    ELSE notifications_due(
        {moment}, contest.starts_at,
        preference.time_zone, preference.quiet_from, preference.quiet_until, preference.quiet_choice
    )
END
"""

# From when on something may be sent: now, or when the quiet hours are over.
FREE_AT = """
CASE
    WHEN preference.quiet_from IS NULL THEN %(now)s
    ELSE coalesce(
        notifications_quiet_end(%(now)s, preference.time_zone, preference.quiet_from, preference.quiet_until), %(now)s
    )
END
"""

# When the last digest before `moment` is due.
DIGEST_OF = """
notifications_digest_before(
    {moment}, preference.time_zone, preference.digest_hour,
    CASE WHEN preference.digest = 'weekly' THEN preference.digest_weekday END
)
"""

# Whether a digest that is for `moment` names a contest: until the next one, however clocks change before that.
NAMED = f"""
    contest.starts_at > {{moment}}
    AND contest.starts_at <= (
        {{moment}} AT TIME ZONE preference.time_zone
        + CASE preference.digest WHEN 'weekly' THEN interval '7 days' ELSE interval '1 day' END
    ) AT TIME ZONE preference.time_zone
    AND contest.cancelled_at IS NULL
    AND {INTERESTING}
"""

QUIET = "It would have come in quiet hours, and the contest begins before they are over."

NOTHING_LEFT = "There is nothing left to tell."

# Why a contest is of no interest, in words for members and staff; '' exactly where it is INTERESTING.
UNINTERESTING = """
CASE
    WHEN choice.wish = 'mute' THEN 'It is muted.'
    WHEN choice.wish = 'follow' THEN ''
    WHEN contest.platform_id = ANY (preference.platforms) IS NOT TRUE THEN 'Its platform is not among those chosen.'
    WHEN contest.is_training AND NOT preference.trainings THEN 'No trainings are wanted.'
    WHEN contest.is_rated IS FALSE AND NOT preference.unrated THEN 'No unrated contests are wanted.'
    WHEN contest.duration > preference.longest_contest THEN 'It is longer than wanted.'
    ELSE coalesce((
        SELECT concat('Its name has “', excluded.word, '” in it.')
        FROM unnest(preference.excluded_words) AS excluded (word)
        WHERE strpos(lower(contest.name), excluded.word) > 0
        LIMIT 1
    ), '')
END
"""

# Why nobody can be reached there at all.
UNREACHABLE = """
CASE
    WHEN NOT member.is_active THEN 'The account is switched off.'
    WHEN NOT preference.active THEN 'Reminders rest after 180 days without a visit: signing in wakes them.'
    WHEN preference.paused THEN 'Everything is paused.'
    WHEN channel.id IS NULL THEN 'There is no channel.'
    WHEN channel.verified_at IS NULL THEN 'This channel is not verified.'
    WHEN channel.disabled_at IS NOT NULL THEN concat('This channel is off: ', channel.disabled_reason)
    ELSE ''
END
"""
