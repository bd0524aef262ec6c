"""Very many schedules, made set by set: a hundred that come when the benchmark says, the others not this month."""

from datetime import datetime
from typing import Any

from django.db import connection
from django.utils import timezone

DUE = 100
DUE_TASK = "noop"

# A cron expression for each of so many minutes, in the ten months after the next one.
_CRONTABS = """
INSERT INTO django_celery_beat_crontabschedule (minute, hour, day_of_month, month_of_year, day_of_week, timezone)
SELECT mod(n, 60), mod(n / 60, 24), 1 + mod(n, 28), 1 + mod(extract(month FROM now())::int + 1 + mod(n, 10), 12),
    '*', 'UTC'
FROM generate_series(1, 1000) n
"""

_TASKS = """
INSERT INTO django_celery_beat_periodictask (
    name, task, crontab_id, args, kwargs, headers, enabled, one_off, total_run_count, description, date_changed
)
SELECT 'schedule ' || n, %(task)s,
    CASE WHEN n <= %(due)s THEN %(often)s ELSE %(first)s + mod(n, 1000) END,
    '[1, 2]', '{}', '{}', true, false, 0, '', now()
FROM generate_series((SELECT count(*) + 1 FROM django_celery_beat_periodictask WHERE task = %(task)s), %(last)s) n
"""

_DUE = (
    "SELECT id FROM django_celery_beat_periodictask WHERE task = %s AND name ~ '^schedule [0-9]{1,2}$|^schedule 100$'"
)


def fill(number: int) -> None:
    """Add what is missing to so many; the first hundred of them come every minute."""
    first, often = _crontabs()
    execute(_TASKS, {"task": DUE_TASK, "due": DUE, "often": often, "first": first, "last": number})
    execute(f"UPDATE scheduler_schedule SET overlap = 'allow' WHERE periodic_task_id IN ({_DUE})", [DUE_TASK])


def come_at_seconds(field: str) -> None:
    """Let the hundred come at these seconds of every minute, as staff would."""
    execute(f"UPDATE scheduler_schedule SET seconds = %s WHERE periodic_task_id IN ({_DUE})", [field, DUE_TASK])


def settle() -> None:
    """As if all had been reckoned long ago."""
    execute(
        "UPDATE scheduler_schedule SET stale_since = NULL, next_run_at = now() + interval '2 months' * (1 + random()) "
        "WHERE stale_since IS NOT NULL"
    )
    execute("VACUUM ANALYZE scheduler_schedule")
    execute("VACUUM ANALYZE django_celery_beat_periodictask")


def come(at: datetime) -> None:
    """Let the hundred be due."""
    execute(f"UPDATE scheduler_schedule SET next_run_at = %s WHERE periodic_task_id IN ({_DUE})", [at, DUE_TASK])


def long_ago() -> None:
    """Let the hundred have run last some minutes ago, as the stock scheduler remembers it."""
    execute(
        f"UPDATE django_celery_beat_periodictask SET last_run_at = now() - interval '5 minutes' WHERE id IN ({_DUE})",
        [DUE_TASK],
    )


def forget() -> None:
    """Remove what ran, and its messages."""
    execute("TRUNCATE scheduler_run, scheduler_runevent")
    rows = execute("SELECT queue_name FROM pgmq.meta")
    for (queue,) in rows:
        execute("SELECT pgmq.purge_queue(%s)", [queue])


def _crontabs() -> tuple[int, int]:
    """The keys of the first of the thousand, and of every minute."""
    rows = execute("SELECT min(id) FROM django_celery_beat_crontabschedule WHERE month_of_year <> '*'")
    if rows == [(None,)]:
        execute(_CRONTABS)
        execute(
            "INSERT INTO django_celery_beat_crontabschedule "
            "(minute, hour, day_of_month, month_of_year, day_of_week, timezone) VALUES ('*', '*', '*', '*', '*', 'UTC')"
        )
        return _crontabs()
    ((often,),) = execute(
        "SELECT max(id) FROM django_celery_beat_crontabschedule WHERE minute = '*' AND month_of_year = '*'"
    )
    return int(rows[0][0]), int(often)


def minute() -> datetime:
    """The last minute's boundary."""
    return timezone.now().replace(second=0, microsecond=0)


def execute(sql: str, values: Any = None) -> list[tuple[Any, ...]]:
    with connection.cursor() as cursor:
        cursor.execute(sql, values)
        return list(cursor.fetchall()) if cursor.description else []
