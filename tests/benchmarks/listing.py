"""The lists of runs and events in Django admin among a million of each, beside the same among a thousand."""

from datetime import timedelta
from typing import Any

from django.contrib.auth.models import User
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext, override_settings
from django.utils import timezone
from django_celery_beat.models import IntervalSchedule, PeriodicTask

from scheduler.models import Run, RunEvent, Schedule, Status
from tests.benchmarks.__main__ import say

FEW, MANY, SCHEDULES = 1_000, 1_000_000, 200
GOAL = 0.2
"""Seconds that the database takes for a page."""

# Mostly well, and of schedules; one in a hundred failed, and people asked for one in ten thousand.
_RUNS = """
INSERT INTO scheduler_run (
    id, schedule_id, name, task, args, kwargs, options, priority, trigger, actor, occurrence, parent, status,
    created_at, available_at, published_at, attempt, failures, crashes, exclusive, foreground, worker, started_at,
    finished_at, result, error, traceback
)
SELECT gen_random_uuid(), CASE WHEN is_of_schedule THEN %(first)s + n %% %(schedules)s END, 'schedule ' || n %% 200,
    'job.' || n %% 5, '[]', '{"platforms": ["codeforces"]}', '{}', 3,
    CASE WHEN is_of_schedule THEN 'schedule' WHEN n %% 10000 = 3 THEN 'admin' WHEN n %% 2 = 0 THEN 'api' ELSE 'job' END,
    'beat host:1', CASE WHEN is_of_schedule THEN at END, CASE WHEN n %% 7 = 0 THEN gen_random_uuid() END,
    CASE WHEN n %% 100 = 1 THEN 'failed' WHEN n %% 2000 = 2 THEN 'lost' WHEN n > %(rows)s - 100 THEN 'queued'
        ELSE 'succeeded' END,
    at, at, at, 1, (n %% 100 = 1)::int, 0, true, false, 'host:1/2', at, at + interval '1 s', '42',
    CASE WHEN n %% 100 = 1 THEN 'ConnectionError: it did not answer' ELSE '' END,
    CASE WHEN n %% 100 = 1 THEN repeat('  File "job.py", line 1' || chr(10), 40) ELSE '' END
FROM (
    SELECT n, n %% 5 < 3 AS is_of_schedule, %(now)s - (%(rows)s - n) * %(apart)s AS at
    FROM generate_series(1, %(rows)s) n
) runs
"""

_EVENTS = """
INSERT INTO scheduler_runevent (subject, at, kind, actor, attempt, seconds, message, traceback, changes)
SELECT 'schedule ' || n %% 200, %(now)s - (%(rows)s - n) * %(apart)s,
    CASE WHEN n %% 10000 = 3 THEN 'edited' ELSE 'attempt_failed' END,
    CASE WHEN n %% 10000 = 3 THEN 'alice' ELSE 'host:1/' || n %% 3000 END,
    1, 1.0, 'ConnectionError: it did not answer', '', '{}'
FROM generate_series(1, %(rows)s) n
"""


def run() -> None:
    interval = IntervalSchedule.objects.create(every=1, period="hours")
    PeriodicTask.objects.bulk_create(
        PeriodicTask(name=f"listed {number}", task="job", interval=interval, enabled=False)
        for number in range(SCHEDULES)
    )
    first = Schedule.objects.filter(periodic_task__interval=interval).order_by("pk")[0].pk
    staff = Client()
    staff.force_login(User.objects.create_superuser("bob", "bob@example.org"))
    with override_settings(ALLOWED_HOSTS=["testserver"]):
        took = {rows: _measured(staff, rows, first) for rows in (FEW, MANY)}
    print(f"{MANY:,} runs, {MANY:,} events; the database's part of a page")
    for name, many in took[MANY].items():
        goal = "met" if many <= GOAL else "MISSED"
        detail = f"{many * 1000:.0f} ms ({GOAL * 1000:.0f} {goal}), {took[FEW][name] * 1000:.0f} ms among {FEW:,}"
        say(f"{name}: among a million / among a thousand", many / took[FEW][name], "", detail)
    with connection.cursor() as cursor:
        cursor.execute("TRUNCATE scheduler_run, scheduler_runevent")
    PeriodicTask.objects.filter(interval=interval).delete()


def _measured(staff: Client, rows: int, first: int) -> dict[str, float]:
    """Seconds of the database by page, the better of two."""
    values: dict[str, Any] = {
        "now": timezone.now(),
        "rows": rows,
        "apart": timedelta(days=30) / rows,
        "first": first,
        "schedules": SCHEDULES,
    }
    with connection.cursor() as cursor:
        cursor.execute("TRUNCATE scheduler_run, scheduler_runevent")
        cursor.execute(_RUNS, values)
        cursor.execute(_EVENTS, values)
        cursor.execute("VACUUM ANALYZE scheduler_run")
        cursor.execute("VACUUM ANALYZE scheduler_runevent")
    failed = Run.objects.filter(status=Status.FAILED)[0].pk
    assert RunEvent.objects.exists()
    runs, events = "/admin/scheduler/run/", "/admin/scheduler/runevent/"
    pages = {
        "the newest runs": runs,
        "the last page that is counted": f"{runs}?p={min(rows, 10_000) // 50}",
        "failed runs": f"{runs}?status__exact=failed",
        "lost runs": f"{runs}?status__exact=lost",
        "unfinished runs": f"{runs}?status__exact=unfinished",
        "runs of a job": f"{runs}?task__exact=job.3",
        "failed runs of a job in a week": f"{runs}?task__exact=job.1&status__exact=failed&asked=week",
        "runs that people asked for": f"{runs}?trigger__exact=admin",
        "runs of a schedule": f"{runs}?schedule__exact={first + 7}",
        "runs with failed attempts": f"{runs}?attempts=failed",
        "runs of long ago": f"{runs}?created_at__lt={timezone.now() - timedelta(days=20):%Y-%m-%dT%H:%MZ}",
        "search for a schedule": f"{runs}?q=schedule+7",
        "search in vain": f"{runs}?q=nothing",
        "the page of a run": f"{runs}{failed}/change/",
        "the first page": "/admin/",
        "the newest events": events,
        "events of a rare kind": f"{events}?kind__exact=edited",
        "events by somebody": f"{events}?q=alice",
    }
    return {name: min(_seconds(staff, path) for _ in range(2)) for name, path in pages.items()}


def _seconds(staff: Client, path: str) -> float:
    with CaptureQueriesContext(connection) as captured:
        response = staff.get(path)
    assert response.status_code == 200, f"{path}: {response.status_code}"
    return sum(float(query["time"]) for query in captured)
