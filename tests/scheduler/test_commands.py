"""What an operator does at the terminal: looks, asks for runs and waits for them, pauses and resumes."""

import json
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import kombu
import pytest
from django.core.management import call_command
from django.core.management.base import CommandError
from django.utils import timezone
from django_celery_beat.models import IntervalSchedule, PeriodicTask

from config.celery import app
from scheduler import ledger
from scheduler.management.typed import length, moment, one_of
from scheduler.models import Event, Missed, Pause, Run, RunEvent, Schedule, Status, Trigger
from scheduler.tick import follow_edits
from tests.database import queries_of
from tests.installation import Installation, eventually
from tests.scheduler.rows import schedule

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("database_is_there")]
SYNC = "contests.tasks.sync_contests"
NOBODY = "http://127.0.0.1:9"
SINCE_AN_HOUR = timedelta(hours=1)


Say = Callable[..., str]


def told(say: Say, name: str, *arguments: str) -> Any:
    return json.loads(say(name, *arguments, "--json"))


def refused(name: str, *arguments: str) -> str:
    """The one line that a command which was not understood ends with."""
    with pytest.raises(CommandError) as error:
        call_command(name, *arguments)
    assert error.value.returncode == 2
    (line,) = str(error.value).splitlines()
    return line


def a_run(status: Status = Status.SUCCEEDED, ago: timedelta = timedelta(minutes=1), **fields: Any) -> Run:
    at = timezone.now() - ago
    over = status not in (Status.QUEUED, Status.RUNNING, Status.RETRYING)
    times = {"created_at": at, "available_at": at, "started_at": at}
    values = {"task": SYNC, "trigger": Trigger.SCHEDULE, "status": status, **times, **fields}
    return Run.objects.create(**values, finished_at=at + timedelta(seconds=90) if over else None)


# --- schedules -----------------------------------------------------------------------------------------------------


def test_schedules_say_when_they_come_and_what_came_of_their_last_run(say: Say) -> None:
    follow_edits(timezone.now(), "test")
    last = a_run(Status.FAILED, schedule=schedule(), error="LeetCode did not answer.")
    a_run(Status.SUCCEEDED, ago=SINCE_AN_HOUR, schedule=schedule())
    row = next(each for each in told(say, "schedules")["schedules"] if each["name"] == "sync-contests")
    assert (row["job"], row["when"], row["zone"], row["enabled"]) == (SYNC, "0 */6 * * *", "UTC", True)
    assert datetime.fromisoformat(row["next_run_at"]) == schedule().next_run_at
    assert (row["last_run"]["id"], row["last_run"]["status"]) == (str(last.pk), "failed")
    assert f"sync-contests sync_contests 0 */6 * * * UTC {schedule().next_run_at:%Y-%m-%d %H:%M:%S} failed" in say(
        "schedules"
    )
    assert "1 min 30 s" in say("schedules")


def test_schedules_that_do_not_come_say_why(say: Say) -> None:
    follow_edits(timezone.now(), "test")
    PeriodicTask.objects.filter(name="clean-up-data").update(enabled=False)
    ledger.pause("Bob", task=SYNC)
    Schedule.objects.filter(periodic_task__name="report-to-staff").update(error="31 April never comes.")
    shown = say("schedules")
    assert "clean-up-data clean_up_data 0 2 * * * UTC off" in shown
    assert "sync-contests sync_contests 0 */6 * * * UTC paused" in shown
    assert "report-to-staff is set aside: 31 April never comes." in shown


def test_an_interval_and_a_field_for_seconds_are_shown_as_they_come(say: Say) -> None:
    Schedule.objects.filter(periodic_task__name="sync-contests").update(seconds="*/20")
    every = IntervalSchedule.objects.create(every=10, period="minutes")
    PeriodicTask.objects.create(name="often", task=SYNC, interval=every)
    shown = {row["name"]: row["when"] for row in told(say, "schedules", "--job", "sync_contests")["schedules"]}
    assert shown == {"sync-contests": "*/20 0 */6 * * *", "often": "every 10 minutes"}


def test_many_schedules_take_no_more_queries(say: Say) -> None:
    few = queries_of(told, say, "schedules")
    crontab = PeriodicTask.objects.get(name="sync-contests").crontab
    for number in range(20):
        PeriodicTask.objects.create(name=f"schedule {number}", task=SYNC, crontab=crontab)
        a_run(schedule=schedule(f"schedule {number}"))
    assert queries_of(told, say, "schedules") <= few + 1


# --- run_job -------------------------------------------------------------------------------------------------------


def test_a_schedule_is_run_with_its_arguments_and_says_who_asked(say: Say, broker: kombu.Connection) -> None:
    PeriodicTask.objects.filter(name="sync-contests").update(kwargs='{"platforms": ["atcoder"]}')
    report = told(say, "run_job", "sync-contests")
    run = Run.objects.get()
    assert report["id"] == str(run.pk)
    assert (run.schedule, run.kwargs) == (schedule(), '{"platforms": ["atcoder"]}')
    assert (run.trigger, run.status, run.occurrence) == (Trigger.COMMAND, Status.QUEUED, None)
    assert run.actor.startswith("manage.py run_job by ")
    assert RunEvent.objects.get().kind == Event.RUN_REQUESTED


@pytest.mark.parametrize("name", ["sync_contests", "tasks.sync_contests", SYNC])
def test_a_job_is_run_by_the_end_of_its_name(say: Say, broker: kombu.Connection, name: str) -> None:
    shown = say("run_job", name, "--arg", 'platforms=["atcoder"]')
    run = Run.objects.get()
    assert shown == f"Run {run.pk} "
    assert (run.task, run.kwargs, run.schedule) == (SYNC, '{"platforms": ["atcoder"]}', None)
    assert (run.trigger, run.actor[:19]) == (Trigger.COMMAND, "manage.py run_job b")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["sync-contest"], "did you mean sync-contests"),
        (["Sync_Contest"], "did you mean contests.tasks.sync_contests"),
        (["nonsense"], "manage.py schedules"),
        (["contests"], "no schedule or job"),
        (["sync_contests", "--arg", "platforms=5"], "platforms must be a list"),
        (["sync_contests", "--kwargs", '{"platform": []}'], "There is no argument “platform”"),
        (["sync_contests", "--kwargs", "{"], "This is not JSON"),
        (["sync_contests", "--kwargs", "[]"], "This must be an object"),
        (["sync-contests", "--arg", "platforms=[]"], "is a schedule and has its arguments"),
        (["sync_contests", "--timeout", "5"], "--wait"),
    ],
)
def test_what_cannot_be_run_is_refused_in_one_line(arguments: list[str], said: str) -> None:
    assert said in refused("run_job", *arguments)
    assert not Run.objects.exists()


def test_a_name_that_several_jobs_end_with_is_not_guessed() -> None:
    with pytest.raises(CommandError, match=r"may be a\.tasks\.sync or b\.tasks\.sync"):
        one_of(["a.tasks.sync", "b.tasks.sync"], "sync")


@pytest.mark.parametrize("value", ["platforms", "=5", "platforms=codeforces"])
def test_an_argument_that_is_no_json_is_a_usage_error(value: str) -> None:
    with pytest.raises(CommandError, match=r"key=value|not JSON"):
        call_command("run_job", "sync_contests", "--arg", value)


def test_a_run_that_a_pause_keeps_back_says_so(
    say: Say, broker: kombu.Connection, capsys: pytest.CaptureFixture[str]
) -> None:
    ledger.pause("Bob")
    call_command("run_job", "sync-contests")
    assert "Paused: everything. It starts when that is resumed." in capsys.readouterr().err
    assert Run.objects.get().published_at is None


def waited(status: Status, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, **fields: Any) -> Any:
    """The exit status, and what was printed, of a wait for a run that ends so while it is waited for."""

    def pass_by(_: float) -> None:
        Run.objects.update(status=status, finished_at=timezone.now(), started_at=timezone.now(), **fields)

    monkeypatch.setattr("scheduler.management.commands.run_job.sleep", pass_by)
    try:
        call_command("run_job", "sync_contests", "--wait", "--json")
    except SystemExit as exit:
        return exit.code, capsys.readouterr()
    return 0, capsys.readouterr()


@pytest.mark.parametrize("status", [Status.FAILED, Status.CANCELLED, Status.SKIPPED, Status.LOST])
def test_waiting_for_a_run_that_does_not_succeed_is_exit_status_one(
    status: Status, broker: kombu.Connection, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    code, printed = waited(status, capsys, monkeypatch, error="the reason")
    assert (code, printed.err) == (1, f"{status}: the reason\n")
    assert json.loads(printed.out)["status"] == status


def test_waiting_for_a_run_that_succeeds_prints_its_result(
    broker: kombu.Connection, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    code, printed = waited(Status.SUCCEEDED, capsys, monkeypatch, result='{"seconds": 1}')
    assert (code, printed.err) == (0, "")
    assert json.loads(printed.out)["result"] == '{"seconds": 1}'


def test_a_wait_that_takes_too_long_says_that_the_run_goes_on(
    broker: kombu.Connection, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as exit:
        call_command("run_job", "sync_contests", "--wait", "--timeout", "0")
    assert exit.value.code == 1
    assert "It is queued after 0 seconds, and goes on" in capsys.readouterr().err
    assert Run.objects.get().status == Status.QUEUED


def test_where_the_broker_is_out_of_reach_the_run_waits_for_it(
    say: Say,
    monkeypatch: pytest.MonkeyPatch,
    django_capture_on_commit_callbacks: Any,
) -> None:
    def gone(*_: Any, **__: Any) -> Any:
        raise ConnectionRefusedError("nobody listens")

    monkeypatch.setattr(app, "producer_or_acquire", gone)
    for name in ("sync-contests", "sync_contests"):
        with django_capture_on_commit_callbacks(execute=True):
            say("run_job", name)
    assert list(Run.objects.values_list("status", "published_at")) == 2 * [(Status.QUEUED, None)]


# --- runs, and one of them -----------------------------------------------------------------------------------------


def test_runs_are_listed_newest_first_and_filtered(say: Say) -> None:
    new = a_run(Status.FAILED, error="no answer\nfrom anybody", name="sync-contests", schedule=schedule())
    lost = a_run(Status.LOST, ago=SINCE_AN_HOUR)
    other = a_run(ago=2 * SINCE_AN_HOUR, task="config.tasks.clean_up_data")
    old = a_run(ago=timedelta(days=2))

    def ids(*arguments: str) -> list[str]:
        return [run["id"] for run in told(say, "runs", *arguments)["runs"]]

    assert ids() == [str(run.pk) for run in (new, lost, other, old)]
    assert ids("--failed") == [str(new.pk), str(lost.pk)]
    assert ids("--status", "lost") == [str(lost.pk)]
    assert ids("--job", "clean_up_data") == [str(other.pk)]
    assert ids("--schedule", "sync-contests") == [str(new.pk)]
    assert ids("--since", "24h") == [str(run.pk) for run in (new, lost, other)]
    assert ids("--limit", "1") == [str(new.pk)]
    assert f"{str(new.pk)[:8]} sync-contests schedule" in say("runs")
    assert "failed 1 min 30 s no answer " in say("runs")
    assert say("runs", "--status", "cancelled") == "There is no such run. "


def test_names_that_nothing_has_are_refused_with_similar_ones() -> None:
    assert "did you mean sync-contests" in refused("runs", "--schedule", "sync-contest")
    assert "did you mean contests.tasks.sync_contests" in refused("runs", "--job", "sync_contest")


def test_a_run_is_shown_with_its_events_by_the_beginning_of_its_id(say: Say) -> None:
    run = a_run(Status.FAILED, error="no answer", traceback="Traceback: here", actor="Alice", kwargs='{"x": [1]}')
    RunEvent.objects.create(
        run=run, subject=SYNC, at=timezone.now(), kind=Event.ATTEMPT_FAILED, actor="worker 7", message="no answer"
    )
    shown = say("run", str(run.pk)[:8])
    for part in (str(run.pk), SYNC, '{"x": [1]}', "schedule, Alice", "attempt failed", "worker 7", "Traceback: here"):
        assert part in shown
    report = told(say, "run", run.pk.hex)
    assert [event["kind"] for event in report["events"]] == ["attempt_failed"]


def test_a_run_that_nothing_or_too_much_names_is_refused() -> None:
    one, another = (a_run(id=f"0000000{number}-0000-4000-8000-000000000000") for number in (1, 2))
    assert "several" in refused("run", "00000")
    assert "There is no run" in refused("run", "ffffffff")
    assert "is no id" in refused("run", "the last one")
    assert one != another


# --- pause and resume ----------------------------------------------------------------------------------------------


def test_everything_is_paused_for_a_while_and_resumed(say: Say) -> None:
    shown = say("pause", "--for", "2h", "--reason", "deploy")
    (pause,) = Pause.objects.all()
    assert (pause.schedule, pause.task, pause.reason) == (None, "", "deploy")
    assert pause.actor.startswith("manage.py pause by ")
    assert pause.until
    assert abs(pause.until - timezone.now() - timedelta(hours=2)) < timedelta(minutes=1)
    assert f"Paused until {pause.until:%Y-%m-%d %H:%M:%S} UTC: everything." in shown
    assert "Resumed: everything." in say("resume")
    assert say("resume") == "Nothing was paused. "
    assert [event.kind for event in RunEvent.objects.order_by("pk")] == [Event.PAUSED, Event.RESUMED]


def test_one_schedule_or_one_job_is_paused_by_itself(say: Say) -> None:
    report = told(say, "pause", "--schedule", "sync-contests", "--until", "2999-01-01T12:00")
    assert report["until"] == "2999-01-01T12:00:00Z"
    told(say, "pause", "--job", "clean_up_data")
    assert "Nothing was paused. Still paused: " in say("resume")
    assert told(say, "resume", "--schedule", "sync-contests")["resumed"] == ["sync-contests"]
    assert told(say, "resume", "--job", "clean_up_data")["still_paused"] == []
    told(say, "pause", "--job", "clean_up_data")
    told(say, "pause")
    assert len(told(say, "resume", "--all")["resumed"]) == 2


def test_resuming_says_what_becomes_of_what_was_missed(say: Say) -> None:
    follow_edits(timezone.now(), "test")
    told(say, "pause")
    ago = timezone.now().replace(minute=0, second=0, microsecond=0) - timedelta(hours=13)
    for name, policy in (("sync-contests", Missed.ONCE), ("clean-up-data", Missed.SKIP)):
        every_hour = IntervalSchedule.objects.get_or_create(every=1, period="hours")[0]
        PeriodicTask.objects.filter(name=name).update(crontab=None, interval=every_hour)
        values = {"anchor_at": ago, "next_run_at": ago, "stale_since": None, "missed": policy}
        Schedule.objects.filter(periodic_task__name=name).update(**values)
    a_run(Status.QUEUED)
    told(say, "pause", "--schedule", "clean-up-data")

    report = told(say, "resume", "--all")

    missed = {row["schedule"]: (row["came"], row["run"], row["policy"]) for row in report["missed"]}
    came = missed["sync-contests"][0]
    assert came >= 13
    assert missed["sync-contests"][1:] == (1, "run once for all of them")
    assert missed["clean-up-data"][0] == came
    assert missed["clean-up-data"][1] <= 1, "at most the one that has just come"
    assert report["waiting"] == 1


def test_resuming_promises_nothing_of_what_stays_paused(say: Say) -> None:
    follow_edits(timezone.now(), "test")
    told(say, "pause")
    told(say, "pause", "--schedule", "sync-contests")
    Schedule.objects.update(next_run_at=timezone.now() - SINCE_AN_HOUR)
    a_run(Status.QUEUED, schedule=schedule())
    report = told(say, "resume")
    assert "sync-contests" not in {row["schedule"] for row in report["missed"]}
    assert len(report["missed"]) == 3
    assert (report["waiting"], report["still_paused"]) == (0, ["sync-contests"])


def test_a_row_that_cannot_be_read_does_not_keep_the_others_paused(say: Say) -> None:
    follow_edits(timezone.now(), "test")
    told(say, "pause")
    PeriodicTask.objects.filter(name="sync-contests").update(crontab=None)
    Schedule.objects.update(next_run_at=timezone.now() - SINCE_AN_HOUR, stale_since=None)
    missed = {row["schedule"]: row["policy"] for row in told(say, "resume")["missed"]}
    assert missed["sync-contests"] == "No time is set."


def test_a_pause_that_would_be_over_or_is_of_nothing_is_refused() -> None:
    assert "is over" in refused("pause", "--until", "2020-01-01")
    assert "no schedule called" in refused("pause", "--schedule", "nothing of the kind")
    assert "no job called" in refused("resume", "--job", "nothing")
    assert "200 characters" in refused("pause", "--reason", "x" * 201)
    assert not Pause.objects.exists()


@pytest.mark.parametrize(
    ("text", "seconds"), [("90s", 90), ("30m", 1800), ("2h", 7200), ("1h30m", 5400), ("7d", 604800), ("1w", 604800)]
)
def test_lengths_of_time_are_typed_as_people_do(text: str, seconds: int) -> None:
    assert length(text) == timedelta(seconds=seconds)


@pytest.mark.parametrize("text", ["", "2", "h", "-2h", "0s", "2 h", "2y", "1.5h", "999999w", "٢h"])
def test_what_is_no_length_of_time_is_refused(text: str) -> None:
    with pytest.raises(Exception, match="is no length of time"):
        length(text)


def test_moments_are_utc_unless_they_say_otherwise() -> None:
    noon = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
    for text in ("2026-11-22T12:00", "2026-11-22 12:00:00", "2026-11-22T12:00Z", "2026-11-22 14:00+02:00"):
        assert moment(text) == noon
    for text in ("", "noon", "2026-13-01T00:00", "22.11.2026"):
        with pytest.raises(Exception, match="is no moment"):
            moment(text)


# --- As a process --------------------------------------------------------------------------------------------------


def test_a_worker_does_what_was_asked_for_while_the_terminal_waits(installation: Installation) -> None:
    worker = installation.start("celery", "-A", "config", "worker", "--concurrency", "1", ATCODER_URL=NOBODY)
    beat = installation.start("celery", "-A", "config", "beat")
    try:
        done = installation.run("run_job", "clean-up-data", "--wait", "--timeout", "60", "--json")
        assert done.returncode == 0, done.stderr
        run = json.loads(done.stdout)
        assert (run["status"], run["trigger"], run["name"]) == ("succeeded", "command", "clean-up-data")
        assert json.loads(run["result"])["runs"] == 0

        failed = installation.run("run_job", "sync_contests", "--wait", "-a", 'platforms=["atcoder"]')
        assert failed.returncode == 1
        assert failed.stdout.startswith("Run ")
        (line,) = failed.stderr.splitlines()
        assert line.startswith("failed: ")
        assert "refused the connection" in line

        def first() -> Any:
            return installation.json("schedules")["schedules"][0]

        eventually(lambda: first()["next_run_at"], what="the next run of an untouched schedule")
        assert first()["last_run"]["id"] == run["id"]
    finally:
        for process in (worker, beat):
            process.terminate()
        for process in (worker, beat):
            process.wait(30)


@pytest.mark.parametrize("name", ["schedules", "run_job", "runs", "run", "pause", "resume"])
def test_each_command_explains_itself(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as exit:
        call_command(name, "--help")
    assert exit.value.code == 0
    assert "--json" in capsys.readouterr().out


def test_a_database_that_is_out_of_reach_is_one_line(installation: Installation) -> None:
    began = time.monotonic()
    finished = installation.run("schedules", DATABASE_URL="postgres://user:secret@127.0.0.1:9/name")
    assert (finished.returncode, finished.stdout, len(finished.stderr.splitlines())) == (1, "", 1)
    assert "secret" not in finished.stderr
    assert time.monotonic() - began < 10


def test_wrong_usage_is_exit_status_two_without_a_traceback(installation: Installation) -> None:
    for arguments in (["run_job", "nonsense"], ["runs", "--since", "yesterday"], ["resume", "--all", "--job", "x"]):
        finished = installation.run(*arguments)
        assert finished.returncode == 2
        assert "Traceback" not in finished.stderr
