"""Let the database itself notice what a plan has to look at again, by whatever means it was changed.

And let it reckon with quiet hours and digests, in each member's own zone: whatever is said in these functions is said
once, for planning, for looking again, and for showing members what will come.
"""

from django.db import migrations

FUNCTIONS = """
-- When the quiet hours began in which a moment lies; NULL where it lies in none.
CREATE OR REPLACE FUNCTION notifications_quiet_begin(moment timestamptz, zone text, quiet_from time, quiet_until time)
RETURNS timestamptz LANGUAGE sql STABLE AS $$
    SELECT CASE
        WHEN quiet_from < quiet_until AND local::time >= quiet_from AND local::time < quiet_until
            OR quiet_from > quiet_until AND local::time >= quiet_from
            THEN least(moment, (local::date + quiet_from) AT TIME ZONE zone)
        WHEN quiet_from > quiet_until AND local::time < quiet_until
            THEN least(moment, (local::date - 1 + quiet_from) AT TIME ZONE zone)
    END
    FROM (SELECT moment AT TIME ZONE zone) AS at (local)
$$;

-- When they are over.
CREATE OR REPLACE FUNCTION notifications_quiet_end(moment timestamptz, zone text, quiet_from time, quiet_until time)
RETURNS timestamptz LANGUAGE sql STABLE AS $$
    SELECT CASE
        WHEN quiet_from < quiet_until AND local::time >= quiet_from AND local::time < quiet_until
            OR quiet_from > quiet_until AND local::time < quiet_until
            THEN greatest(moment, (local::date + quiet_until) AT TIME ZONE zone)
        WHEN quiet_from > quiet_until AND local::time >= quiet_from
            THEN greatest(moment, (local::date + 1 + quiet_until) AT TIME ZONE zone)
    END
    FROM (SELECT moment AT TIME ZONE zone) AS at (local)
$$;

-- When a reminder is due that would come at a moment, were it not for quiet hours: before them, or after them where
-- that is what the member chose and is still before the start.
CREATE OR REPLACE FUNCTION notifications_due(
    moment timestamptz, starts_at timestamptz, zone text, quiet_from time, quiet_until time, choice text
)
RETURNS timestamptz LANGUAGE sql STABLE AS $$
    SELECT CASE
        WHEN begins IS NULL THEN moment
        WHEN choice = 'after' AND ends < starts_at THEN ends
        ELSE begins
    END
    FROM (
        SELECT notifications_quiet_begin(moment, zone, quiet_from, quiet_until),
            notifications_quiet_end(moment, zone, quiet_from, quiet_until)
    ) AS quiet (begins, ends)
$$;

-- The last moment before another one at which a digest is due; on every day where no weekday is given.
CREATE OR REPLACE FUNCTION notifications_digest_before(moment timestamptz, zone text, hour int, weekday int)
RETURNS timestamptz LANGUAGE sql STABLE AS $$
    SELECT max(at)
    FROM generate_series(0, CASE WHEN weekday IS NULL THEN 2 ELSE 8 END) AS ago (days)
    CROSS JOIN LATERAL (SELECT (moment AT TIME ZONE zone)::date - days) AS day (date)
    CROSS JOIN LATERAL (SELECT (date + make_interval(hours => hour)) AT TIME ZONE zone) AS digest (at)
    WHERE at < moment
        AND (weekday IS NULL OR extract(isodow FROM date) = weekday)
$$;
"""

TRIGGERS = """
CREATE OR REPLACE FUNCTION notifications_contests_added() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO notifications_replan (contest_id, was_cancelled) SELECT id, false FROM added;
    RETURN NULL;
END $$;

CREATE OR REPLACE FUNCTION notifications_contest_changed() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO notifications_replan (contest_id, was_at, was_cancelled)
    VALUES (OLD.id, OLD.starts_at, OLD.cancelled_at IS NOT NULL);
    RETURN NULL;
END $$;

CREATE OR REPLACE FUNCTION notifications_members_added() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO notifications_replan (user_id, was_cancelled) SELECT user_id, false FROM added;
    RETURN NULL;
END $$;

CREATE OR REPLACE FUNCTION notifications_member_changed() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    changed jsonb = to_jsonb(coalesce(NEW, OLD));
BEGIN
    INSERT INTO notifications_replan (user_id, was_cancelled)
    VALUES ((changed ->> TG_ARGV[0])::bigint, false);
    RETURN NULL;
END $$;

CREATE TRIGGER notifications_contests_added AFTER INSERT ON contests_contest
    REFERENCING NEW TABLE AS added
    FOR EACH STATEMENT EXECUTE FUNCTION notifications_contests_added();

CREATE TRIGGER notifications_contest_changed AFTER UPDATE ON contests_contest
    FOR EACH ROW
    WHEN ((OLD.platform_id, OLD.name, OLD.starts_at, OLD.duration, OLD.is_training, OLD.is_rated, OLD.cancelled_at)
        IS DISTINCT FROM
        (NEW.platform_id, NEW.name, NEW.starts_at, NEW.duration, NEW.is_training, NEW.is_rated, NEW.cancelled_at))
    EXECUTE FUNCTION notifications_contest_changed();

CREATE TRIGGER notifications_contest_deleted AFTER DELETE ON contests_contest
    FOR EACH ROW EXECUTE FUNCTION notifications_contest_changed();

CREATE TRIGGER notifications_preferences_added AFTER INSERT ON notifications_preference
    REFERENCING NEW TABLE AS added
    FOR EACH STATEMENT EXECUTE FUNCTION notifications_members_added();

CREATE TRIGGER notifications_preference_changed AFTER UPDATE ON notifications_preference
    FOR EACH ROW
    WHEN ((OLD.active, OLD.paused, OLD.platforms, OLD.lead_minutes, OLD.trainings, OLD.unrated, OLD.longest_contest,
           OLD.excluded_words, OLD.quiet_from, OLD.quiet_until, OLD.quiet_choice, OLD.digest, OLD.digest_hour,
           OLD.digest_weekday, OLD.time_zone)
        IS DISTINCT FROM
        (NEW.active, NEW.paused, NEW.platforms, NEW.lead_minutes, NEW.trainings, NEW.unrated, NEW.longest_contest,
           NEW.excluded_words, NEW.quiet_from, NEW.quiet_until, NEW.quiet_choice, NEW.digest, NEW.digest_hour,
           NEW.digest_weekday, NEW.time_zone))
    EXECUTE FUNCTION notifications_member_changed('user_id');

CREATE TRIGGER notifications_preference_deleted AFTER DELETE ON notifications_preference
    FOR EACH ROW EXECUTE FUNCTION notifications_member_changed('user_id');

CREATE TRIGGER notifications_channels_added AFTER INSERT ON notifications_channel
    REFERENCING NEW TABLE AS added
    FOR EACH STATEMENT EXECUTE FUNCTION notifications_members_added();

CREATE TRIGGER notifications_channel_changed AFTER UPDATE ON notifications_channel
    FOR EACH ROW
    WHEN ((OLD.user_id, OLD.kind, OLD.purposes, OLD.verified_at IS NULL, OLD.disabled_at IS NULL)
        IS DISTINCT FROM
        (NEW.user_id, NEW.kind, NEW.purposes, NEW.verified_at IS NULL, NEW.disabled_at IS NULL))
    EXECUTE FUNCTION notifications_member_changed('user_id');

CREATE TRIGGER notifications_user_changed AFTER UPDATE OF is_active ON auth_user
    FOR EACH ROW
    WHEN (OLD.is_active <> NEW.is_active)
    EXECUTE FUNCTION notifications_member_changed('id');

CREATE TRIGGER notifications_choice_changed AFTER INSERT OR UPDATE OR DELETE ON notifications_contestchoice
    FOR EACH ROW EXECUTE FUNCTION notifications_member_changed('user_id');
"""

DROP = """
DROP TRIGGER notifications_contests_added ON contests_contest;
DROP TRIGGER notifications_contest_changed ON contests_contest;
DROP TRIGGER notifications_contest_deleted ON contests_contest;
DROP TRIGGER notifications_preferences_added ON notifications_preference;
DROP TRIGGER notifications_preference_changed ON notifications_preference;
DROP TRIGGER notifications_preference_deleted ON notifications_preference;
DROP TRIGGER notifications_channels_added ON notifications_channel;
DROP TRIGGER notifications_channel_changed ON notifications_channel;
DROP TRIGGER notifications_user_changed ON auth_user;
DROP TRIGGER notifications_choice_changed ON notifications_contestchoice;
DROP FUNCTION notifications_contests_added();
DROP FUNCTION notifications_contest_changed();
DROP FUNCTION notifications_members_added();
DROP FUNCTION notifications_member_changed();
DROP FUNCTION notifications_digest_before(timestamptz, text, int, int);
DROP FUNCTION notifications_due(timestamptz, timestamptz, text, time, time, text);
DROP FUNCTION notifications_quiet_end(timestamptz, text, time, time);
DROP FUNCTION notifications_quiet_begin(timestamptz, text, time, time);
"""


class Migration(migrations.Migration):
    dependencies = [("notifications", "0002_choices"), ("contests", "0002_rated_and_sequence")]

    operations = [migrations.RunSQL(FUNCTIONS + TRIGGERS, DROP)]
