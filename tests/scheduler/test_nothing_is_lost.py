"""Processes die, stop and freeze in the middle of jobs, and each run comes to the end that it should."""

import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from itertools import pairwise
from subprocess import Popen
from typing import Any

import psutil
import pytest

from tests.installation import Installation, eventually
from tests.scheduler.console import Console

CELERY = ("celery", "-A", "tests.scheduler.hasty")
SLOW = 40.0
"""Seconds within which a run is rescued and finished, on a machine that is busy."""


@pytest.fixture(scope="module")
def console(installation: Installation) -> Iterator[Console]:
    with Console(installation) as console:
        console.do("from django_celery_beat.models import PeriodicTask\nPeriodicTask.objects.update(enabled=False)")
        yield console


@pytest.fixture(scope="module")
def beat(installation: Installation) -> Popen[bytes]:
    return installation.start(*CELERY, "beat")


@pytest.fixture(scope="module")
def worker(installation: Installation) -> Popen[bytes]:
    """Most jobs run here, four at a time."""
    return installation.start(*CELERY, "worker", "--concurrency", "4", "--hostname", "steady@%h")


@contextmanager
def another_worker(installation: Installation, queue: str, *options: str) -> Iterator[Popen[bytes]]:
    """One that takes what is meant for it, by the queue of its name."""
    options = options or ("--concurrency", "1")
    worker = installation.start(*CELERY, "worker", "--queues", queue, "--hostname", f"{queue}@%h", *options)
    try:
        yield worker
    finally:
        for process in (*children(worker), worker):
            process.send_signal(signal.SIGKILL)
        worker.wait()


def children(worker: Popen[bytes]) -> list[psutil.Process]:
    try:
        return list(psutil.Process(worker.pid).children())
    except psutil.NoSuchProcess:
        return []


def becomes(console: Console, run: str, status: str, within: float = SLOW) -> dict[str, Any]:
    eventually(lambda: console.run(run)["status"] == status, within=within, what=f"{status}: {console.run(run)}")
    return console.run(run)


def happens(console: Console, times: int, **conditions: Any) -> None:
    eventually(lambda: len(console.runs(**conditions)) >= times, within=SLOW, what=f"{times} times {conditions}")


def at(text: str) -> datetime:
    return datetime.fromisoformat(text)


# --- Processes that die ----------------------------------------------------------------------------------------------


def test_what_a_killed_or_frozen_worker_left_is_done_by_another_within_thirty_seconds(
    installation: Installation, console: Console, beat: Popen[bytes]
) -> None:
    """And what the frozen one says when it continues counts nothing."""
    with another_worker(installation, "killed") as killed, another_worker(installation, "frozen") as frozen:
        runs = {queue: console.ask("work", 1, queue=queue) for queue in ("killed", "frozen")}
        began = {queue: at(becomes(console, run, "running")["started_at"]) for queue, run in runs.items()}
        whole = [*children(frozen), frozen]
        for process in whole:
            process.send_signal(signal.SIGSTOP)
        for process in (*children(killed), killed):
            process.kill()
        with another_worker(installation, "killed,frozen", "--concurrency", "1", "--hostname", "rescuer@%h"):
            for queue, run in runs.items():
                found = becomes(console, run, "succeeded")
                assert (found["attempt"], found["crashes"], found["events"]) == (2, 1, ["worker_lost"])
                assert at(found["started_at"]) - began[queue] < timedelta(seconds=30)
        for process in whole:
            process.send_signal(signal.SIGCONT)
        becomes(console, console.ask("add", 1, 2, queue="frozen"), "succeeded")  # so it has come to an end with that
    assert console.run(runs["frozen"]) == found


def test_a_killed_child_is_noticed_at_once(console: Console, beat: Popen[bytes], worker: Popen[bytes]) -> None:
    run = console.ask("work", 2)
    child = int(becomes(console, run, "running")["worker"].rpartition("/")[2])
    os.kill(child, signal.SIGKILL)
    killed_at = time.monotonic()
    eventually(lambda: console.run(run)["attempt"] == 2, what="the next attempt")
    assert time.monotonic() - killed_at < 6  # much less than the lease of a run
    found = becomes(console, run, "succeeded")
    assert (found["crashes"], found["failures"], found["events"]) == (1, 0, ["worker_lost"])


def test_a_job_that_kills_its_worker_each_time_has_failed_after_a_while(
    console: Console, beat: Popen[bytes], worker: Popen[bytes]
) -> None:
    found = becomes(console, console.ask("die"), "failed")
    assert found["error"] == "Its worker died while running it, 5 times in all."
    assert found["events"] == ["worker_lost"] * 5


def test_a_worker_whose_idle_children_are_killed_goes_on(
    installation: Installation, console: Console, beat: Popen[bytes]
) -> None:
    """One of them has the lock of the pipe through which jobs come."""
    with another_worker(installation, "idle", "--concurrency", "2") as worker:
        becomes(console, console.ask("add", 1, 2, queue="idle"), "succeeded")
        for child in children(worker):
            child.kill()
        becomes(console, console.ask("add", 1, 2, queue="idle"), "succeeded")


# --- Limits ----------------------------------------------------------------------------------------------------------


def test_a_job_over_its_limit_is_stopped_and_says_so(
    console: Console, beat: Popen[bytes], worker: Popen[bytes]
) -> None:
    asked, made = console.ask("linger", time_limit=30), console.ask("linger", True)
    assert becomes(console, asked, "failed")["error"] == "It ran over its time limit, and was stopped."
    found = becomes(console, made, "failed")
    assert found["error"] == "It ran over its time limit of 2 seconds, and was killed."
    assert (found["attempt"], found["events"]) == (1, ["attempt_failed"])


def test_pools_that_know_no_limits_keep_them_too(
    installation: Installation, console: Console, beat: Popen[bytes]
) -> None:
    with (
        another_worker(installation, "threads", "--pool", "threads", "--concurrency", "2"),
        another_worker(installation, "solo", "--pool", "solo"),
    ):
        runs = [console.ask("grind", 60, queue=queue, soft_time_limit=1, time_limit=2) for queue in ("threads", "solo")]
        for run in runs:
            assert becomes(console, run, "failed")["error"] == "It ran over its time limit, and was stopped."


# --- Cancelling and pausing ------------------------------------------------------------------------------------------

CANCEL = "from scheduler.ledger import cancel\nresult = cancel(['{}'], 'Bob')"


def test_what_is_cancelled_stops_in_its_own_way_or_by_force(
    console: Console, beat: Popen[bytes], worker: Popen[bytes]
) -> None:
    waiting = console.ask("add", 1, 2, countdown=60)
    runs = {job: console.ask(job, *args) for job, args in {"cooperate": (), "grind": (60,), "work": (60,)}.items()}
    stubborn = console.ask("linger", True, soft_time_limit=50, time_limit=60)
    for run in (*runs.values(), stubborn):
        becomes(console, run, "running")
    for run in (waiting, *runs.values(), stubborn):
        console.do(CANCEL.format(run))
    assert console.run(waiting)["status"] == "cancelled"
    for run in (*runs.values(), stubborn):
        happens(console, 1, pk=run, finished_at__isnull=False)
        found = console.run(run)
        assert found["attempt"] == 1
        assert found["events"][0] == "cancel_requested"
    assert console.run(runs["cooperate"])["result"] == '"stopped"'
    assert {console.run(runs[job])["status"] for job in ("grind", "work")} == {"cancelled"}
    assert console.run(stubborn)["error"] == "It was cancelled, and ended with its process."


def test_while_everything_is_paused_nothing_starts_and_nothing_is_forgotten(
    console: Console, beat: Popen[bytes], worker: Popen[bytes]
) -> None:
    schedule(console, "while paused", "* * * * * *", missed="each", overlap="allow")
    eventually(lambda: console.runs(name="while paused", status="succeeded"), what="a first run")
    console.do("from scheduler.ledger import pause\npause('Alice')")
    eventually(lambda: not console.runs(status="running"), what="the end of what runs")
    paused_at = datetime.fromisoformat(console.do("from django.utils import timezone\nresult = timezone.now()"))
    asked = console.ask("add", 1, 2)
    time.sleep(3)  # in which something would have started
    recent = paused_at + timedelta(seconds=0.5)  # what was being started at that moment may have been
    assert console.runs(started_at__gt=recent.isoformat()) == []
    assert console.run(asked)["status"] == "queued"
    console.do(
        "from scheduler.ledger import resume\nfrom scheduler.models import Pause\nresume(Pause.objects.all(), 'Alice')"
    )
    becomes(console, asked, "succeeded")
    console.do("from django_celery_beat.models import PeriodicTask\nPeriodicTask.objects.update(enabled=False)")
    eventually(lambda: not console.runs(status__in=["queued", "running"]), what="the end of all runs")
    runs = console.runs(name="while paused")
    assert {run["status"] for run in runs} == {"succeeded"}
    moments = [at(run["occurrence"]) for run in runs]
    assert {later - earlier for earlier, later in pairwise(moments)} == {timedelta(seconds=1)}


# --- The end of a worker ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("signals", "left"),
    [([signal.SIGTERM], []), ([signal.SIGTERM] * 2, ["handed_back"]), ([signal.SIGQUIT], ["handed_back"])],
    ids=["SIGTERM", "SIGTERM twice", "SIGQUIT"],
)
def test_a_worker_that_is_stopped_finishes_its_job_or_hands_it_back(
    installation: Installation, console: Console, beat: Popen[bytes], signals: list[signal.Signals], left: list[str]
) -> None:
    queue = f"stopped_{len(signals)}_{len(left)}"
    with another_worker(installation, queue) as worker:
        run, never = console.ask("work", 6, queue=queue), console.ask("work", 0, queue=queue)
        becomes(console, run, "running")
        for number in signals:
            worker.send_signal(number)
            time.sleep(0.5)  # two signals at once are one
        worker.wait(15)
    assert (console.run(never)["status"], console.run(never)["started_at"]) == ("queued", None)
    found = console.run(run)
    assert (found["status"], found["events"]) == ("queued" if left else "succeeded", left)
    assert (found["crashes"], found["failures"]) == (0, 0)
    with another_worker(installation, queue):
        becomes(console, run, "succeeded")
        becomes(console, never, "succeeded", within=10)


# --- Overlap, missed occurrences, two beats --------------------------------------------------------------------------


def schedule(
    console: Console, name: str, expression: str, *, job: str = "work", args: str = "[]", **fields: Any
) -> None:
    seconds, _, five = expression.partition(" ")
    console.do(f"""
from django.db import transaction
from django_celery_beat.models import PeriodicTask
from scheduler.models import Schedule
from scheduler.schedules import crontab
with transaction.atomic():
    task = PeriodicTask.objects.create(
        name={name!r}, task="tests.scheduler.sample_jobs.{job}", args={args!r}, crontab=crontab({five!r}, "UTC")
    )
    Schedule.objects.filter(pk=task.pk).update(seconds={seconds!r}, **{fields!r})
""")


def disable(console: Console) -> None:
    console.do("from django_celery_beat.models import PeriodicTask\nPeriodicTask.objects.update(enabled=False)")
    eventually(lambda: not console.runs(status__in=["queued", "running"]), what="the end of all runs")


def test_runs_overlap_only_where_they_may(console: Console, beat: Popen[bytes], worker: Popen[bytes]) -> None:
    policies = ("skip", "queue", "allow")
    for policy in policies:
        schedule(console, f"overlap {policy}", "* * * * * *", args="[1.4]", overlap=policy)
    for policy in policies:
        name = f"overlap {policy}"
        happens(console, 3, name=name, status="succeeded")
    disable(console)
    for policy in policies:
        runs = console.runs(name=f"overlap {policy}")
        ran = sorted((at(run["started_at"]), at(run["finished_at"])) for run in runs if run["status"] == "succeeded")
        assert any(end > start for (_, end), (start, _) in pairwise(ran)) == (policy == "allow")
        reasons = {run["error"] for run in runs if run["status"] == "skipped"}
        assert (
            reasons
            == {
                "skip": {"An earlier run was not finished yet."},
                "queue": {"An earlier run was still waiting."},
                "allow": set(),
            }[policy]
        )


def test_what_came_while_no_beat_ran_follows_each_policy(
    installation: Installation, console: Console, worker: Popen[bytes], beat: Popen[bytes]
) -> None:
    os.kill(beat.pid, signal.SIGSTOP)
    try:
        time.sleep(1.1)  # whatever it was at is done
        for name, policy in DOWN.items():
            schedule(console, name, "* * * * * *", overlap="allow", **policy)
        console.do(FOLLOW_EDITS)
        time.sleep(7)  # in which several occurrences come
    finally:
        os.kill(beat.pid, signal.SIGCONT)
    for name in DOWN:
        happens(console, 8, name=name)
    disable(console)
    found = {name: console.runs(name=name) for name in DOWN}
    for runs in found.values():
        moments = [at(run["occurrence"]) for run in runs]
        assert {later - earlier for earlier, later in pairwise(moments)} == {timedelta(seconds=1)}, "each has its row"
    # Those that the first pass of beat found, in the order of their times; the latest one was not missed.
    gaps = {name: [run for run in runs if run["created_at"] == runs[0]["created_at"]] for name, runs in found.items()}
    told = {name: {run["error"] for run in gap if run["status"] == "skipped"} for name, gap in gaps.items()}
    ran = {name: [run["status"] == "succeeded" for run in gap] for name, gap in gaps.items()}
    assert all(gap[-1:] == [True] and len(gap) >= 6 for gap in ran.values())
    assert not any(ran["once"][:-1] + ran["skip"][:-1])
    assert ran["each"][-5:] == [False, True, True, True, True]
    assert ran["late"][-4:-1] in ([False, True, True], [False, False, True])
    assert [error.startswith("It was missed; the run of ") for error in told["once"]] == [True]
    assert told["skip"] == {"It was missed, and missed runs are skipped."}
    assert told["each"] == {"It was missed, and of missed runs the latest 3 are run."}
    assert told["late"] == {"It could start 0:00:02 after its time at the latest."}


DOWN: dict[str, dict[str, Any]] = {
    "once": {"missed": "once"},
    "skip": {"missed": "skip"},
    "each": {"missed": "each", "missed_cap": 3},
    "late": {"missed": "each", "max_lateness": 2},
}
FOLLOW_EDITS = """
from django.utils import timezone
from scheduler.tick import follow_edits
follow_edits(timezone.now(), "a beat")
"""


def test_an_edit_by_whatever_means_is_followed_within_a_second(console: Console, beat: Popen[bytes]) -> None:
    schedule(console, "edited", "0 0 0 1 1 *")

    def followed(month: str) -> None:
        eventually(lambda: f"-{month}-01" in str(console.do(NEXT)), within=10, what=f"the edit to {month}")

    followed("01")
    for month, edit in {"05": EDIT_BY_UPDATE, "07": EDIT_BY_SQL}.items():
        console.do(edit)
        edited_at = time.monotonic()
        followed(month)
        assert time.monotonic() - edited_at < 1.5


NEXT = "from scheduler.models import Schedule\nresult = Schedule.objects.get(periodic_task__name='edited').next_run_at"
EDIT_BY_UPDATE = """
from django_celery_beat.models import PeriodicTask, PeriodicTasks
from scheduler.schedules import crontab
PeriodicTask.objects.filter(name="edited").update(crontab=crontab("0 0 1 5 *", "UTC"))
PeriodicTasks.update_changed()
"""
EDIT_BY_SQL = """
from django.db import connection
with connection.cursor() as cursor:
    cursor.execute('''UPDATE django_celery_beat_crontabschedule SET month_of_year = '7' WHERE month_of_year = '5' ''')
"""
