"""Let the database itself notice what happens to the rows of django-celery-beat, by whatever means they are edited.

A new PeriodicTask gets its Schedule; an edit of when it runs marks the Schedule stale, which takes it out of the tick
until its next occurrence follows from the edit. Only a change of its timing does: an interval whose description is
edited does not start over. And the audit is only ever added to.
"""

from django.db import migrations

SQL = """
CREATE OR REPLACE FUNCTION scheduler_periodictask_added() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO scheduler_schedule (periodic_task_id, stale_since, anchor_at)
    VALUES (NEW.id, clock_timestamp(), clock_timestamp())
    ON CONFLICT DO NOTHING;
    RETURN NULL;
END $$;

CREATE OR REPLACE FUNCTION scheduler_periodictask_edited() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF (OLD.enabled, OLD.crontab_id, OLD.interval_id, OLD.clocked_id, OLD.solar_id, OLD.start_time, OLD.one_off)
       IS DISTINCT FROM
       (NEW.enabled, NEW.crontab_id, NEW.interval_id, NEW.clocked_id, NEW.solar_id, NEW.start_time, NEW.one_off)
    THEN
        UPDATE scheduler_schedule
        SET stale_since = clock_timestamp(), anchor_at = clock_timestamp()
        WHERE periodic_task_id = NEW.id;
    ELSE
        UPDATE scheduler_schedule
        SET stale_since = clock_timestamp()
        WHERE periodic_task_id = NEW.id AND (error <> '' OR OLD.expires IS DISTINCT FROM NEW.expires);
    END IF;
    RETURN NULL;
END $$;

CREATE OR REPLACE FUNCTION scheduler_periodictask_deleted() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    UPDATE scheduler_run SET schedule_id = NULL WHERE schedule_id = OLD.id;
    DELETE FROM scheduler_pause WHERE schedule_id = OLD.id;
    DELETE FROM scheduler_schedule WHERE periodic_task_id = OLD.id;
    RETURN OLD;
END $$;

CREATE OR REPLACE FUNCTION scheduler_timing_edited() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE format(
        'UPDATE scheduler_schedule SET stale_since = clock_timestamp(), anchor_at = clock_timestamp() '
        'WHERE periodic_task_id IN (SELECT id FROM django_celery_beat_periodictask WHERE %I = $1)',
        TG_ARGV[0]
    ) USING NEW.id;
    RETURN NULL;
END $$;

CREATE OR REPLACE FUNCTION scheduler_schedule_edited() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    NEW.stale_since = clock_timestamp();
    RETURN NEW;
END $$;

CREATE OR REPLACE FUNCTION scheduler_event_changed() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'An event is never changed.';
END $$;

CREATE OR REPLACE TRIGGER scheduler_added AFTER INSERT ON django_celery_beat_periodictask
    FOR EACH ROW EXECUTE FUNCTION scheduler_periodictask_added();
CREATE OR REPLACE TRIGGER scheduler_edited AFTER UPDATE ON django_celery_beat_periodictask
    FOR EACH ROW EXECUTE FUNCTION scheduler_periodictask_edited();
CREATE OR REPLACE TRIGGER scheduler_deleted BEFORE DELETE ON django_celery_beat_periodictask
    FOR EACH ROW EXECUTE FUNCTION scheduler_periodictask_deleted();
CREATE OR REPLACE TRIGGER scheduler_edited AFTER UPDATE ON django_celery_beat_crontabschedule
    FOR EACH ROW WHEN (OLD.* IS DISTINCT FROM NEW.*) EXECUTE FUNCTION scheduler_timing_edited('crontab_id');
CREATE OR REPLACE TRIGGER scheduler_edited AFTER UPDATE ON django_celery_beat_intervalschedule
    FOR EACH ROW WHEN (OLD.* IS DISTINCT FROM NEW.*) EXECUTE FUNCTION scheduler_timing_edited('interval_id');
CREATE OR REPLACE TRIGGER scheduler_edited AFTER UPDATE ON django_celery_beat_clockedschedule
    FOR EACH ROW WHEN (OLD.* IS DISTINCT FROM NEW.*) EXECUTE FUNCTION scheduler_timing_edited('clocked_id');
CREATE OR REPLACE TRIGGER scheduler_edited BEFORE UPDATE ON scheduler_schedule
    FOR EACH ROW WHEN (OLD.seconds IS DISTINCT FROM NEW.seconds) EXECUTE FUNCTION scheduler_schedule_edited();
CREATE OR REPLACE TRIGGER scheduler_unchanged BEFORE UPDATE ON scheduler_runevent
    FOR EACH ROW WHEN (OLD.* IS DISTINCT FROM NEW.*) EXECUTE FUNCTION scheduler_event_changed();

INSERT INTO scheduler_schedule (periodic_task_id, stale_since, anchor_at)
SELECT id, clock_timestamp(), clock_timestamp() FROM django_celery_beat_periodictask
ON CONFLICT DO NOTHING;
"""

# With the triggers that call them: without the ledger's tables, nobody could save a PeriodicTask any more.
REVERSE_SQL = """
DROP FUNCTION scheduler_periodictask_added() CASCADE;
DROP FUNCTION scheduler_periodictask_edited() CASCADE;
DROP FUNCTION scheduler_periodictask_deleted() CASCADE;
DROP FUNCTION scheduler_timing_edited() CASCADE;
DROP FUNCTION scheduler_schedule_edited() CASCADE;
DROP FUNCTION scheduler_event_changed() CASCADE;
"""


class Migration(migrations.Migration):
    dependencies = [("scheduler", "0002_ledger"), ("django_celery_beat", "0019_alter_periodictasks_options")]
    operations = [migrations.RunSQL(SQL, REVERSE_SQL, elidable=False)]
