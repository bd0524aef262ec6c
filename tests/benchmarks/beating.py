"""Beat as a process of its own among a million schedules: lateness, edits, bursts, and what it costs to do nothing."""

from datetime import datetime, timedelta
from statistics import quantiles
from time import perf_counter, sleep

import psutil
import pytest
from django.utils import timezone
from django_celery_beat.models import PeriodicTask

from scheduler.models import Run, Schedule
from tests import servers
from tests.benchmarks import processes
from tests.benchmarks.__main__ import say
from tests.benchmarks.schedules import DUE, come_at_seconds, execute, fill, forget, settle
from tests.installation import eventually

MANY = 1_000_000
EVERY = 10
BURST = 20_000
PATIENCE = 180.0


def run() -> None:
    print(f"{MANY:,} schedules, of which {DUE} come every {EVERY} seconds")
    fill(MANY)
    settle()
    come_at_seconds(f"*/{EVERY}")
    lateness("PGMQ", "")
    try:
        with servers.redis() as broker:
            lateness("Redis", broker.url)
    except pytest.skip.Exception as missing:
        print(f"Redis: not measured, {missing}")
    with processes.beat() as beat:
        edits()
        idle(beat)
        burst()
        bulk()
    forget()


def lateness(broker: str, url: str) -> None:
    """Of a minute of occurrences, that of its boundary among them, with a worker."""
    forget()
    with processes.worker(CELERY_BROKER_URL=url), processes.beat(CELERY_BROKER_URL=url):
        eventually(lambda: Run.objects.filter(status="succeeded").count() >= DUE, within=60, what="the first runs")
        first = timezone.now()
        sleep(60)
        report(f"on {broker}", first, ("created", "published", "started"))


def report(where: str, since: datetime, steps: tuple[str, ...], **which: object) -> None:
    for step in steps:
        runs = Run.objects.filter(occurrence__gte=since, **which).values_list("occurrence", f"{step}_at")
        late = [(moment - occurrence).total_seconds() for occurrence, moment in runs if moment]
        if len(late) < 2:
            print(f"{step} after its time, {where}: {len(late)} of {len(runs)} runs")
            continue
        worst = quantiles(late, n=100, method="inclusive")[-1]
        say(f"{step} after its time, 99 of 100 runs, {where}", worst, "< 1", f"s, of {len(runs):,} runs")


def edits() -> None:
    """Until a running beat has followed an edit, the longest of several."""
    task = PeriodicTask.objects.get(name=f"schedule {MANY}")
    schedule = Schedule.objects.filter(pk=task.pk)
    times: dict[str, list[float]] = {"update()": [], "save()": [], "SQL": []}
    for number in range(6):
        for how, found in times.items():
            sleep(0.13 * number)
            task.crontab_id += 1 if number % 2 else -1
            before = schedule.values_list("next_run_at", flat=True).get()
            began = perf_counter()
            match how:
                case "update()":
                    PeriodicTask.objects.filter(pk=task.pk).update(crontab=task.crontab_id)
                case "save()":
                    task.save()
                case _:
                    table = "django_celery_beat_periodictask"
                    execute(f"UPDATE {table} SET crontab_id = %s WHERE id = %s", [task.crontab_id, task.pk])
            while schedule.values_list("next_run_at", flat=True).get() == before:
                sleep(0.005)
            if number:  # the first one also waits for the start of beat
                found.append(perf_counter() - began)
    for how, found in times.items():
        say(f"an edit by {how} is followed after, the longest of {len(found)}", max(found), "< 1", "s")


def idle(beat: psutil.Process) -> None:
    PeriodicTask.objects.filter(crontab__minute="*").update(enabled=False)
    sleep(3)
    with processes.worker() as worker:
        eventually(lambda: len(worker.children()) >= 2, what="the worker's start")
        sleep(5)
        used = {"beat": processes.processor_seconds(beat), "worker": processes.processor_seconds(worker)}
        sleep(10)
        used["beat"] = processes.processor_seconds(beat) - used["beat"]
        used["worker"] = processes.processor_seconds(worker) - used["worker"]
    for name, seconds in used.items():
        say(f"{name} with nothing to do, per cent of a processor", 100 * seconds / 10, "", "")
    say("beat's memory", beat.memory_info().rss / 2**20, "", "MiB")
    PeriodicTask.objects.filter(crontab__minute="*").update(enabled=True)


def burst() -> None:
    """Very many at once, without a worker: do the hundred go on, and does an urgent one of them leave before others?"""
    urgent = PeriodicTask.objects.filter(name="schedule 1")
    urgent.update(priority=9)
    chosen = "SELECT id FROM django_celery_beat_periodictask WHERE task = 'noop' ORDER BY id OFFSET 100 LIMIT %s"
    at = timezone.now().replace(microsecond=0) + timedelta(seconds=20)
    forget()
    execute(
        "UPDATE django_celery_beat_periodictask SET crontab_id = (SELECT crontab_id FROM "
        f"django_celery_beat_periodictask WHERE name = 'schedule 1') WHERE id IN ({chosen})",
        [BURST],
    )
    # A crontab's next minute may be too near: each of them comes at that second, once.
    execute(f"UPDATE scheduler_schedule SET seconds = %s WHERE periodic_task_id IN ({chosen})", [str(at.second), BURST])
    many = Run.objects.filter(occurrence=at)
    eventually(lambda: many.count() >= BURST, within=PATIENCE, what="the recording of the burst")
    say(f"{BURST:,} at once are recorded after", (timezone.now() - at).total_seconds(), "", "s")
    began, published = perf_counter(), many.exclude(published_at=None).count()
    sleep(10)
    rate = (many.exclude(published_at=None).count() - published) / (perf_counter() - began)
    say("and published, a second", rate, "", "")
    names = [f"schedule {number}" for number in range(2, 101)]
    report("others in the burst", at, ("created",), name__in=names)
    report("an urgent one in the burst", at, ("created", "published"), name="schedule 1")
    urgent.update(priority=None)
    execute(f"UPDATE django_celery_beat_periodictask SET enabled = false WHERE id IN ({chosen})", [BURST])


def bulk() -> None:
    """All edited at once: do the hundred go on, and how long does it take?"""
    forget()
    execute(
        "UPDATE scheduler_schedule SET stale_since = clock_timestamp() WHERE next_run_at > now() + interval '1 day'"
    )
    stale = Schedule.objects.exclude(stale_since=None)
    first, began, left = timezone.now() + timedelta(seconds=1), perf_counter(), stale.count()
    sleep(30)
    rate = (left - stale.count()) / (perf_counter() - began)
    say("schedules whose next run is reckoned anew, a second", rate, "", f"{MANY / rate:.0f} s for all")
    report("meanwhile", first, ("created", "published"))
