"""The main job as its user runs it: real processes, a real broker, real HTTP and real SMTP."""

import email
import email.policy
import os
import signal
import socket
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import psycopg
import pytest

from config.demo.world import World
from contests.platforms import PLATFORMS
from tests.installation import ROOT, Installation, eventually
from tests.smtp import Inbox, body_of, free_port


def members(count: int) -> str:
    return f"from tests.factories import make_members\nmake_members({count})"


EVERY_MINUTE = """
from django_celery_beat.models import PeriodicTask
from scheduler import schedules
for task in PeriodicTask.objects.all():
    task.crontab = schedules.crontab("* * * * *", "UTC")
    task.save()
"""

CONTESTS = "from contests.models import Contest\nresult = Contest.objects.count()"


def reset(installation: Installation) -> None:
    assert installation.run("flush", "--noinput", "-v", "0").returncode == 0


def outbox(installation: Installation) -> list[Path]:
    return sorted((installation.data_dir / "outbox").glob("*.eml"))


def told(mails: list[Path]) -> Counter[tuple[str, str]]:
    """How often each address was told of each contest, by the contest's address in the text."""
    counted: Counter[tuple[str, str]] = Counter()
    for path in mails:
        mail = email.message_from_bytes(path.read_bytes(), policy=email.policy.default)
        text = body_of(mail).split("\n-- ")[0]
        counted.update({(mail["To"], line) for line in text.splitlines() if "://" in line})
    return counted


def test_the_commands_do_the_whole_job(installation: Installation, its_world: World) -> None:
    reset(installation)
    installation.python(members(3))

    synced = installation.run("sync_contests")
    assert synced.returncode == 0, synced.stderr
    assert "Codeforces" in synced.stdout

    again = installation.json("sync_contests")
    assert {name: type(value) for name, value in again.items()} == {"platforms": dict, "seconds": float}
    for outcome in again["platforms"].values():
        assert (outcome["ok"], outcome["created"], outcome["updated"], outcome["error"]) == (True, 0, 0, None)

    report = installation.json("dispatch_notifications")
    assert report["planned"] == report["sent"] > 0
    assert report["by_channel"]["email"]["messages"] == 3
    assert len(outbox(installation)) == 3
    assert installation.json("dispatch_notifications")["sent"] == 0


def test_a_platform_that_is_down_is_one_line_and_exit_status_one(installation: Installation, its_world: World) -> None:
    its_world.break_down("leetcode", "garbage")
    try:
        finished = installation.run("sync_contests")
    finally:
        its_world.repair("leetcode")
    assert finished.returncode == 1
    assert "LeetCode" in finished.stderr or "leetcode" in finished.stderr
    assert "Traceback" not in finished.stderr
    assert len(finished.stderr.splitlines()) == 1


@pytest.mark.parametrize("command", ["sync_contests", "dispatch_notifications", "clean_up_data", "up"])
def test_a_database_that_is_out_of_reach_is_one_line_at_once(installation: Installation, command: str) -> None:
    began = time.monotonic()
    unreachable = "postgres://user:secret@127.0.0.1:9/name"
    finished = installation.run(command, DATABASE_URL=unreachable, PORT=str(free_port()))
    assert (finished.returncode, finished.stdout) == (1, "")
    (line,) = finished.stderr.splitlines()
    assert "refused" in line
    assert "secret" not in line
    assert time.monotonic() - began < 10


def test_nobody_who_reads_on_is_no_error(installation: Installation, its_world: World) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    command = [sys.executable, "manage.py", "sync_contests", "--json"]
    environment = installation._environment({})
    finished = subprocess.run(command, cwd=ROOT, env=environment, stdout=writing, stderr=subprocess.PIPE, text=True)
    os.close(writing)
    assert finished.stderr == ""


def test_wrong_arguments_are_exit_status_two(installation: Installation) -> None:
    for arguments in (["sync_contests", "--platform", "topcoder"], ["dispatch_notifications", "--soon"]):
        finished = installation.run(*arguments)
        assert finished.returncode == 2
        assert "usage:" in finished.stderr


def test_clean_up_prints_what_went(installation: Installation) -> None:
    report = installation.json("clean_up_data")
    assert {"contests", "notifications", "members_marked_inactive", "sessions", "tokens", "seconds"} <= set(report)


def test_two_dispatches_at_the_same_moment_send_each_mail_once(
    installation: Installation, its_world: World, inbox: Inbox
) -> None:
    reset(installation)
    installation.python(members(150))
    installation.run("sync_contests")

    def start() -> subprocess.Popen[bytes]:
        return installation.start("python", "manage.py", "dispatch_notifications", EMAIL_URL=inbox.url)

    processes = [start(), start()]
    assert [process.wait(60) for process in processes] == [0, 0]

    assert len(inbox.recipients) == 150
    assert len(set(inbox.recipients)) == 150


def dispatching(installation: Installation, inbox: Inbox) -> "subprocess.Popen[bytes]":
    """A dispatch to 300 members that has sent some of its mails."""
    reset(installation)
    installation.python(members(300))
    installation.run("sync_contests")
    inbox.delay = lambda address: 0.005
    dispatch = installation.start("python", "manage.py", "dispatch_notifications", EMAIL_URL=inbox.url)
    eventually(lambda: len(inbox.mails) > 20, what="the sending of the first mails")
    return dispatch


def test_a_dispatch_that_is_killed_loses_nothing_and_repeats_only_what_was_in_flight(
    installation: Installation, its_world: World, inbox: Inbox
) -> None:
    victim = dispatching(installation, inbox)
    victim.kill()
    victim.wait()
    before = len(inbox.mails)
    assert before < 300

    lease_over = "from notifications.models import Notification as N; from django.utils.timezone import now\n"
    installation.python(f"{lease_over}N.objects.filter(status='sending').update(available_at=now())")
    installation.json("dispatch_notifications", EMAIL_URL=inbox.url)

    assert len(set(inbox.recipients)) == 300, "everybody was told"
    twice = [mail["Message-ID"] for mail in inbox.mails]
    assert len(set(twice)) == 300, "a repeated mail is the same mail"
    assert installation.json("dispatch_notifications", EMAIL_URL=inbox.url)["sent"] == 0


def test_a_dispatch_goes_on_when_the_database_hangs_up_on_it(
    installation: Installation, its_world: World, inbox: Inbox
) -> None:
    """As at a restart: what was sent is recorded as soon as the database is back, and is not sent again."""
    dispatch = dispatching(installation, inbox)
    with psycopg.connect(
        host=str(installation.data_dir / "postgres"), user="postgres", dbname="codenotify"
    ) as database:
        database.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
            "WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
    assert len(inbox.mails) < 200, "it was in the middle of a batch"
    assert dispatch.wait(60) == 0, installation.log()
    assert len(inbox.recipients) == len(set(inbox.recipients)) == 300


def test_ctrl_c_ends_a_dispatch_at_once_and_what_left_does_not_leave_again(
    installation: Installation, its_world: World, inbox: Inbox
) -> None:
    dispatch = dispatching(installation, inbox)
    dispatch.send_signal(signal.SIGINT)
    assert dispatch.wait(10) == 130
    assert "Traceback" not in installation.log()
    assert len(inbox.mails) < 300

    installation.json("dispatch_notifications", EMAIL_URL=inbox.url)

    assert len(set(inbox.recipients)) == 300
    assert len(inbox.recipients) <= 301, "at most the mail that was on its way left twice"


def test_ctrl_c_ends_a_sync_while_a_platform_does_not_answer(installation: Installation, its_world: World) -> None:
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        sync = installation.start("python", "manage.py", "sync_contests", CODECHEF_URL=url)
        silent.accept()
        sync.send_signal(signal.SIGINT)
        assert sync.wait(5) == 130
    assert "Traceback" not in installation.log()


def test_worker_and_beat_run_the_schedules_and_follow_an_edit(installation: Installation, its_world: World) -> None:
    """The default broker, PGMQ in the embedded database; the expressions are edited while both run."""
    reset(installation)
    installation.python(members(3))
    before = outbox(installation)
    mails = len(before)
    installation.start("celery", "-A", "config", "worker", "--concurrency", "2", "--loglevel", "INFO")
    installation.start("celery", "-A", "config", "beat", "--loglevel", "INFO")
    eventually(lambda: "ready." in installation.log() and "beat: Starting" in installation.log(), what="the start")
    installation.python(EVERY_MINUTE)

    def runs() -> Any:
        return installation.python(
            "from django_celery_beat.models import PeriodicTask\n"
            "result = sorted(PeriodicTask.objects.filter(total_run_count__gt=0).values_list('name', flat=True))"
        )

    try:
        eventually(lambda: len(outbox(installation)) >= mails + 3, within=120, what="the mails of a scheduled round")
        eventually(
            lambda: "config.tasks.clean_up_data" in installation.log().partition("clean_up_data[")[0], within=120
        )
    finally:
        installation.stop()
    assert runs() == ["clean-up-data", "dispatch-notifications", "report-to-staff", "sync-contests"]
    assert installation.python(CONTESTS) > 0
    # In one mail or in two: the scheduled round may begin when two of the four platforms are read.
    found = told([path for path in outbox(installation) if path not in before])
    assert set(found.values()) == {1}, "what the sync found was told once"
    assert len({contest for _, contest in found}) > 5
    assert len(found) == 3 * len({contest for _, contest in found}), "and to everybody"


def test_up_starts_everything_and_ctrl_c_stops_it(installation: Installation, its_world: World) -> None:
    port = free_port()
    up = installation.start("python", "manage.py", "up", "--port", str(port))
    eventually(lambda: "ready." in installation.log().rpartition("CodeNotify is at")[2], what="the start of the worker")

    assert "CodeNotify" in eventually(lambda: page(f"http://127.0.0.1:{port}/"), what="the first page")
    up.send_signal(signal.SIGINT)
    assert up.wait(60) == 0
    assert not (installation.data_dir / "postgres" / "postmaster.pid").exists(), "nothing is left running"


def page(address: str) -> str:
    """What is at this address; nothing as long as nobody answers there."""
    try:
        return str(urlopen(address).read().decode())
    except OSError:
        return ""


def test_the_demo_shows_contests_of_all_platforms_and_mails_without_a_further_step(tmp_path: Path) -> None:
    demo = Installation(tmp_path)
    port = str(free_port())
    process = demo.start("python", "manage.py", "demo", PORT=port)
    try:
        contests = eventually(lambda: page(f"http://127.0.0.1:{port}/"), what="the first page")
        assert [name for name in PLATFORMS if f'class="contest platform-{name}"' not in contests] == []
        assert "3 so far" in demo.log()

        def told() -> str:
            mails = (tmp_path / "demo" / "outbox").glob("*.eml")
            return " ".join(mail.read_text() for mail in mails)

        eventually(lambda: "was cancelled" in told(), what="the mail of a contest that was cancelled")
        eventually(lambda: "moved to" in told(), what="the mail of a contest that moved")

        inside = Installation(tmp_path / "demo")

        def succeeded() -> set[str]:
            """The schedules that ran, and the jobs that commands did."""
            runs = inside.json("runs", "--status", "succeeded")["runs"]
            return {run["name"] or run["task"].rpartition(".")[2] for run in runs}

        shown = {"sync-contests", "clean-up-data", "sync_contests", "dispatch_notifications"}
        eventually(lambda: succeeded() >= shown, what="the history in admin")

        another = demo.run("demo", PORT=str(free_port()))
        assert another.returncode == 1
        assert "Another demo is running" in another.stderr
        assert page(f"http://127.0.0.1:{port}/"), "it was left alone"

        os.killpg(process.pid, signal.SIGINT)  # as a terminal does
        assert process.wait(60) == 0
        assert "Traceback" not in demo.log()
    finally:
        demo.stop()


def test_a_taken_port_is_one_line(installation: Installation) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        finished = installation.run("up", "--port", str(taken.getsockname()[1]))
    assert finished.returncode == 1
    assert "PORT" in finished.stderr
    assert len(finished.stderr.strip().splitlines()) == 1
