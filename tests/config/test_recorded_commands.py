"""What a command does in its own process is a run like all others, however it ends."""

import signal
import socket
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import pytest

from config.demo.world import World
from tests.installation import Installation, eventually


@pytest.fixture(autouse=True)
def _a_ledger_of_its_own(installation: Installation) -> None:
    installation.python(
        "from scheduler.models import Run, Pause; Run.objects.all().delete(); Pause.objects.all().delete()"
    )


def runs(installation: Installation) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = installation.python(
        "from scheduler.models import Run\nresult = list(Run.objects.order_by('created_at').values())"
    )
    return found


def events(installation: Installation) -> list[str]:
    found: list[str] = installation.python(
        "from scheduler.models import RunEvent\n"
        "result = list(RunEvent.objects.order_by('pk').values_list('kind', flat=True))"
    )
    return found


@contextmanager
def a_sync_that_waits(installation: Installation) -> Iterator[tuple[subprocess.Popen[bytes], ExitStack]]:
    """For a platform that does not answer before it is closed."""
    with ExitStack() as platform:
        silent = platform.enter_context(socket.socket())
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        process = installation.start("python", "manage.py", "sync_contests", "--platform", "codechef", CODECHEF_URL=url)
        platform.enter_context(silent.accept()[0])
        yield process, platform
        process.kill()
        process.wait()


def test_each_command_is_a_run_of_its_task_with_what_came_of_it(installation: Installation, its_world: World) -> None:
    for command in ("clean_up_data", "dispatch_notifications", "sync_contests"):
        assert installation.run(command).returncode == 0
    recorded = [run for run in runs(installation) if run["foreground"]]
    assert [run["task"] for run in recorded] == [
        "config.tasks.clean_up_data",
        "notifications.tasks.dispatch_notifications",
        "contests.tasks.sync_contests",
    ]
    for run in recorded:
        assert (run["status"], run["trigger"], run["attempt"], run["error"]) == ("succeeded", "command", 1, "")
        assert run["actor"].startswith(f"manage.py {run['task'].rpartition('.')[2]} by ")
        assert run["finished_at"] >= run["started_at"]
        assert '"seconds"' in run["result"]


def test_what_a_command_asks_for_says_from_which_run_it_comes(installation: Installation, its_world: World) -> None:
    installation.python("from contests.models import Contest; Contest.objects.all().delete()")
    assert installation.run("sync_contests").returncode == 0
    sync, round_of_mails = runs(installation)
    assert round_of_mails["task"] == "notifications.tasks.dispatch_notifications"
    assert (round_of_mails["trigger"], round_of_mails["actor"]) == ("job", "contests.tasks.sync_contests")
    assert round_of_mails["parent"] == sync["id"]


def test_what_failed_is_recorded_with_the_reason_and_the_arguments(
    installation: Installation, its_world: World
) -> None:
    nobody = {"ATCODER_URL": "http://127.0.0.1:9"}
    assert installation.run("sync_contests", "--platform", "atcoder", **nobody).returncode == 1
    (run,) = runs(installation)
    assert (run["status"], run["kwargs"]) == ("failed", '{"platforms": ["atcoder"]}')
    assert "AtCoder: 127.0.0.1:9 refused the connection" in run["error"]
    assert events(installation)[-2:] == ["run_requested", "attempt_failed"]


def test_a_dry_run_is_none(installation: Installation) -> None:
    assert installation.run("clean_up_data", "--dry-run").returncode == 0
    assert runs(installation) == []


def test_a_pause_keeps_no_command_back_but_is_mentioned(installation: Installation) -> None:
    installation.python("from scheduler.ledger import pause; pause('Bob')")
    finished = installation.run("clean_up_data", "--json")
    assert finished.returncode == 0
    assert finished.stderr == "Paused: everything. This runs all the same, as you asked for it.\n"
    assert finished.stdout.startswith("{")


@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_command_is_a_cancelled_run(installation: Installation, sent: signal.Signals) -> None:
    with a_sync_that_waits(installation) as (sync, _):
        sync.send_signal(sent)
        assert sync.wait(5) == 128 + sent
    (run,) = runs(installation)
    assert (run["status"], run["error"]) == ("cancelled", "Its process was interrupted.")
    assert events(installation)[-1] == "cancelled"
    assert "Traceback" not in installation.log()


CANCEL = """
from scheduler.ledger import cancel
from scheduler.models import Run
cancel([Run.objects.get(status="running").pk], "Bob")
"""


def test_a_command_that_staff_cancel_stops(installation: Installation) -> None:
    with a_sync_that_waits(installation) as (sync, _):
        installation.python(CANCEL)  # at once, for the sync waits only so long for an answer
        assert sync.wait(10) == 128 + signal.SIGTERM
    (run,) = runs(installation)
    assert (run["status"], run["error"]) == ("cancelled", "It was cancelled.")


def test_a_command_that_is_killed_is_found_by_beat_and_not_repeated(installation: Installation) -> None:
    beat = installation.start("celery", "-A", "config", "beat", SCHEDULING_ENABLED="false")
    try:
        with a_sync_that_waits(installation) as (sync, _):
            before = runs(installation)[0]["heartbeat_at"]
            eventually(lambda: runs(installation)[0]["heartbeat_at"] > before, within=10, what="a heartbeat")
            sync.kill()
            sync.wait()
        (run,) = eventually(
            lambda: [run for run in runs(installation) if run["status"] != "running"], within=30, what="the finding"
        )
    finally:
        beat.terminate()
        beat.wait()
    assert (run["status"], run["error"]) == ("lost", "The command that ran it ended before it did.")
    assert (run["attempt"], run["crashes"]) == (1, 1)


def test_a_command_that_was_stopped_for_so_long_that_it_seemed_lost_says_how_it_ended(
    installation: Installation,
) -> None:
    with a_sync_that_waits(installation) as (sync, platform):
        sync.send_signal(signal.SIGSTOP)
        later = (
            "from datetime import timedelta; from django.utils import timezone; from scheduler.rescue import rescue\n"
        )
        assert installation.python(f"{later}result = rescue(timezone.now() + timedelta(seconds=16), 'beat')") == 1
        assert [run["status"] for run in runs(installation)] == ["lost"]
        sync.send_signal(signal.SIGCONT)
        platform.close()
        assert sync.wait(30) == 1
    assert [run["status"] for run in runs(installation)] == ["failed"]


def test_without_tables_it_is_one_line_that_says_what_to_do(tmp_path_factory: pytest.TempPathFactory) -> None:
    empty = Installation(tmp_path_factory.mktemp("empty"))
    finished = empty.run("clean_up_data")
    assert finished.returncode == 1
    (line,) = finished.stderr.splitlines()
    assert "is `manage.py migrate` done?" in line
