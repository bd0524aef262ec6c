"""Runs, pauses and events in Django admin. Bob is staff, Alice a member; Charlie is staff and may only look."""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
import time_machine
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django_celery_beat.models import PeriodicTask
from pytest_django import Settings

import config.admin
from scheduler import ledger
from scheduler.admin import filters
from scheduler.admin.run_page import EVENTS_SHOWN, SHOWN
from scheduler.models import Event, Missed, Pause, Run, RunEvent, Schedule, Status, Trigger
from scheduler.schedules import crontab
from tests.admin import Page, act, page_of, published, staff_with
from tests.database import queries_of
from tests.factories import MemberFactory, StaffFactory
from tests.scheduler.rows import schedule

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("stopped_clock")]

NOW = datetime(2026, 11, 22, 12, 0, 30, tzinfo=UTC)
RUNS, PAUSES, EVENTS = "/admin/scheduler/run/", "/admin/scheduler/pause/", "/admin/scheduler/runevent/"
TASK = "contests.tasks.sync_contests"
EVIL = "<script>alert(1)</script>"


def staff(client: Client, *permissions: str) -> Client:
    client.force_login(staff_with(*permissions))
    return client


def run(status: str = Status.SUCCEEDED, **values: Any) -> Run:
    """A run that came half a minute ago, and took two seconds after three in the queue."""
    began = status not in (Status.QUEUED, Status.SKIPPED)
    over = status not in (Status.QUEUED, Status.RUNNING, Status.RETRYING)
    asked = values.pop("created_at", NOW - timedelta(seconds=30))
    defaults = {
        "task": TASK,
        "trigger": Trigger.API,
        "status": status,
        "created_at": asked,
        "available_at": asked,
        "started_at": asked + timedelta(seconds=3) if began else None,
        "finished_at": asked + timedelta(seconds=5) if over else None,
        "worker": "host:1/2" if began else "",
    }
    return Run.objects.create(**{**defaults, **values})


def of_schedule(**values: Any) -> Run:
    return run(schedule=schedule(), name="sync-contests", trigger=Trigger.SCHEDULE, actor="beat host:1", **values)


def event(about: Run, kind: Event, **values: Any) -> RunEvent:
    return RunEvent.objects.create(
        run=about,
        subject=str(about),
        at=values.pop("at", NOW),
        kind=kind,
        actor=values.pop("actor", "host:1/2"),
        **values,
    )


def found(client: Client, query: str) -> set[str]:
    """The names or jobs of the runs in the list."""
    cells = Page(client, f"{RUNS}?{query}").soup.select("#result_list .field-job a")
    return {str(cell.find(string=True, recursive=False)).strip() for cell in cells}


# --- The list of runs ------------------------------------------------------------------------------------------------


def test_the_list_says_of_each_run_what_who_when_how_long_and_what_went_wrong(bob: Client) -> None:
    of_schedule(occurrence=NOW.replace(second=0), status=Status.FAILED, attempt=3, error="ConnectionError: no\nmore")
    row = Page(bob, RUNS).row("sync-contests")
    assert row["run"] == f"sync-contests {TASK}"
    assert row["status"] == "failed"
    assert row["asked for"] == "2026-11-22 12:00:00 UTC schedule"
    assert row["started"] == "12:00:03 host:1/2"
    assert (row["took"], row["attempts"]) == ("2 s waited 3 s", "3")
    assert row["error"] == "ConnectionError: no"


def test_a_run_that_started_on_another_day_says_so(bob: Client) -> None:
    run(started_at=NOW + timedelta(hours=12))
    assert Page(bob, RUNS).row("Sync contests")["started"] == "2026-11-23 00:00:30 UTC host:1/2"


def test_a_run_that_did_not_begin_has_no_times_of_its_own(bob: Client) -> None:
    run(Status.SKIPPED, trigger=Trigger.ADMIN, actor="bob", error="It was missed.")
    row = Page(bob, RUNS).row("Sync contests")
    assert {row[name] for name in ("started", "took", "attempts")} == {"–"}
    assert row["asked for"] == "2026-11-22 12:00:00 UTC admin · bob"


def test_what_waits_for_its_next_attempt_did_not_take_the_time_since_the_one_before(bob: Client) -> None:
    run(Status.CANCELLED, name="cancelled", available_at=NOW, finished_at=NOW, attempt=2, failures=1)
    run(Status.RETRYING, name="retrying", available_at=NOW - timedelta(seconds=27), attempt=2, failures=1)
    for name in ("cancelled", "retrying"):
        assert Page(bob, RUNS).row(name)["took"] == "–"


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("", {"old", "failed", "waits", "sync-contests"}),
        ("status__exact=failed", {"failed"}),
        ("status__exact=unfinished", {"waits"}),
        ("task__exact=job.failed", {"failed"}),
        ("trigger__exact=admin", {"waits"}),
        ("asked=hour", {"failed", "waits", "sync-contests"}),
        ("asked=week", {"old", "failed", "waits", "sync-contests"}),
        ("created_at_from=2026-11-19&created_at_to=2026-11-20", {"old"}),
        ("attempts=failed", {"failed"}),
        ("attempts=failed&status__exact=unfinished", set()),
        ("q=job.f", {"failed"}),
        ("q=SYNC", {"sync-contests"}),
        ("q=sync+contests", {"sync-contests"}),
        ("q=%20", {"old", "failed", "waits", "sync-contests"}),
        ("q=100%25", set()),
        ("q=00000000-0000-0000-0000-000000000001", {"old"}),
        ("q=00000000-0000-0000-0000-000000000009", set()),
        ("created_at__lt=2026-11-22T00:00:00%2B00:00", {"old"}),
    ],
)
def test_runs_are_found_by_status_job_trigger_time_failures_id_and_name(
    bob: Client, query: str, expected: set[str]
) -> None:
    run(name="old", task="job.old", pk=UUID(int=1), created_at=NOW - timedelta(days=2))
    run(Status.FAILED, name="failed", task="job.failed", failures=3)
    run(Status.QUEUED, name="waits", task="job.waits", trigger=Trigger.ADMIN)
    of_schedule()
    assert found(bob, query) == expected


def test_the_runs_of_one_schedule_are_a_link_away_and_the_choice_is_seen(bob: Client) -> None:
    run(name="another")
    of_schedule()
    assert found(bob, f"schedule__exact={schedule().pk}") == {"sync-contests"}
    assert "By schedule" in Page(bob, f"{RUNS}?schedule__exact={schedule().pk}").text
    assert "By schedule" not in Page(bob, RUNS).text
    for wrong in ("x", "99999999999", "²"):
        assert bob.get(f"{RUNS}?schedule__exact={wrong}").status_code == 302


def test_the_rare_statuses_are_counted_beside_their_names(bob: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(filters, "MOST_COUNTED", 2)
    for status in [Status.FAILED] * 2 + [Status.LOST] * 3 + [Status.RUNNING] + [Status.SUCCEEDED] * 4:
        run(status)
    links = Page(bob, RUNS).texts("#changelist-filter a")
    expected = {"failed (2)", "lost (more than 2)", "running (1)", "unfinished (1)", "queued (0)", "succeeded"}
    assert expected <= set(links)


def test_a_list_too_long_to_count_says_so_and_its_last_page_leads_to_older_ones(
    bob: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(config.admin, "MOST_COUNTED", 100)
    for number in range(120):
        run(name=f"run {number:03}", created_at=NOW - timedelta(minutes=number))
    assert "more than 100 runs" in Page(bob, RUNS).text
    assert "Older ones" not in Page(bob, RUNS).text
    (older,) = [link["href"] for link in Page(bob, f"{RUNS}?p=2").soup.select("a") if link.text == "Older ones"]
    assert found(bob, str(older).lstrip("?")) == {f"run {number:03}" for number in range(100, 120)}
    assert "Older ones" not in Page(bob, RUNS + str(older)).text


def test_the_lists_take_as_many_queries_for_many_rows_as_for_few_and_read_no_long_text(bob: Client) -> None:
    def many(times: int) -> None:
        for _ in range(times):
            event(of_schedule(args="[1]", traceback="long"), Event.ATTEMPT_FAILED)
            ledger.pause("bob", task=str(uuid4()))

    many(1)
    for path, most in ((RUNS, 8), (EVENTS, 7), (PAUSES, 8)):
        Page(bob, path)
        few = queries_of(Page, bob, path)
        many(5)
        assert queries_of(Page, bob, path) == few <= most, path
    with CaptureQueriesContext(connection) as captured:
        Page(bob, RUNS)
    (rows,) = (query["sql"] for query in captured if "error_shown" in query["sql"])
    assert '"traceback"' not in rows
    assert '"args"' not in rows
    assert 'ORDER BY "scheduler_run"."created_at" DESC' in rows


def test_an_index_serves_whatever_staff_look_for_among_many(bob: Client) -> None:
    """What is frequent may be counted without one, up to a bound, where that is quicker."""
    with connection.cursor() as cursor:
        cursor.execute(MANY_RUNS, [schedule().pk])
        cursor.execute("ANALYZE scheduler_run")
    lost = Run.objects.filter(status=Status.LOST).first()
    assert lost
    rare = (
        "status__exact=lost",
        "status__exact=unfinished",
        "trigger__exact=admin",
        "attempts=failed",
        f"schedule__exact={schedule().pk}",
        f"parent__exact={lost.pk}",
        "status__exact=lost&asked=day&task__exact=job.3",
        f"q={lost.pk}",
        "q=sync-contests",
        "q=nothing",
    )
    for query in ("", "p=20", "status__exact=succeeded", "task__exact=job.3", *rare):
        with CaptureQueriesContext(connection) as captured:
            Page(bob, f"{RUNS}?{query}")
        for sql in (each["sql"] for each in captured if 'FROM "scheduler_run"' in each["sql"]):
            if query in rare or not sql.startswith("SELECT COUNT"):
                with connection.cursor() as cursor:
                    cursor.execute(f"EXPLAIN {sql}")
                    plan = "\n".join(line for (line,) in cursor.fetchall())
                assert "Seq Scan on scheduler_run" not in plan, f"{query}: {sql}\n{plan}"


MANY_RUNS = """
INSERT INTO scheduler_run (
    id, schedule_id, name, task, args, kwargs, options, priority, trigger, actor, parent, status, created_at,
    available_at, attempt, failures, crashes, exclusive, foreground, worker, result, error, traceback
)
SELECT gen_random_uuid(), CASE WHEN n %% 1000 = 1 THEN %s END, '', 'job.' || n %% 5, '[]', '{}', '{}', 3,
    CASE WHEN n %% 3000 = 2 THEN 'admin' ELSE 'schedule' END, '', CASE WHEN n %% 9 = 3 THEN gen_random_uuid() END,
    CASE WHEN n %% 3000 = 4 THEN 'lost' WHEN n > 29990 THEN 'queued' ELSE 'succeeded' END,
    now() - n * interval '1 minute', now(), 1, (n %% 1000 = 5)::int, 0, false, false, '', '', '', ''
FROM generate_series(1, 30000) n
"""


# --- What may be done ------------------------------------------------------------------------------------------------


def test_cancelling_many_says_how_many_waited_ran_and_were_over(bob: Client) -> None:
    runs = [run(status) for status in (Status.QUEUED, Status.RETRYING, Status.RUNNING, Status.SUCCEEDED)]
    page = act(bob, RUNS, "cancel", *(each.pk for each in runs))
    assert page.messages == [
        "2 runs were cancelled before they started.",
        "1 run was asked to stop; what does not within 10 seconds is stopped by force.",
        "1 run was over already, or asked to stop before: nothing was done about it.",
    ]
    statuses = [Run.objects.get(pk=each.pk).status for each in runs]
    assert statuses == [Status.CANCELLED, Status.CANCELLED, Status.RUNNING, Status.SUCCEEDED]
    assert set(RunEvent.objects.values_list("kind", "actor")) == {("cancelled", "bob"), ("cancel_requested", "bob")}


def test_repeating_many_makes_new_runs_and_says_what_was_not_possible(bob: Client) -> None:
    failed = run(Status.FAILED, kwargs='{"platforms": ["atcoder"]}', error="why", failures=3, attempt=3)
    others = [run(Status.QUEUED), run(Status.FAILED, task="gone.task")]
    page = act(bob, RUNS, "repeat", failed.pk, *(each.pk for each in others))
    assert page.messages == [
        "1 run was asked for again.",
        "2 runs were not over yet, or of a job that is gone: nothing was done about them.",
    ]
    again = Run.objects.get(parent=failed.pk)
    assert (again.trigger, again.actor, again.status, again.attempt) == (Trigger.RETRY, "bob", Status.QUEUED, 1)
    assert again.kwargs == failed.kwargs
    assert RunEvent.objects.get(kind=Event.RUN_REQUESTED).actor == "bob"


def test_actions_take_as_many_queries_for_many_runs_as_for_few(bob: Client) -> None:
    for action, status in (("cancel", Status.QUEUED), ("repeat", Status.FAILED)):
        few = [run(status).pk for _ in range(2)]
        many = [run(status).pk for _ in range(12)]
        act(bob, RUNS, action, run(status).pk)
        first = queries_of(act, bob, RUNS, action, *few)
        assert queries_of(act, bob, RUNS, action, *many) == first


def test_the_button_on_a_runs_page_repeats_it_and_leads_to_the_new_one(
    bob: Client, django_capture_on_commit_callbacks: Any
) -> None:
    failed = run(Status.FAILED, error="why")
    assert "Retry" in Page(bob, page_of(failed)).texts("#run button")
    with published(), django_capture_on_commit_callbacks(execute=True):
        response = bob.post(f"{RUNS}{failed.pk}/repeat/")
    again = Page(bob, str(response["Location"]))
    assert again.messages == ["It was asked for again: this is the new run."]
    assert "It repeats" in again.text
    assert Run.objects.get(parent=failed.pk).published_at == NOW


@pytest.mark.parametrize(
    ("status", "buttons"),
    [
        (Status.QUEUED, ["Cancel"]),
        (Status.RUNNING, ["Cancel"]),
        (Status.RETRYING, ["Cancel"]),
        (Status.SUCCEEDED, ["Run again"]),
        (Status.SKIPPED, ["Run again"]),
        (Status.FAILED, ["Retry"]),
        (Status.LOST, ["Retry"]),
        (Status.CANCELLED, ["Retry"]),
    ],
)
def test_a_run_is_cancelled_while_it_is_not_over_and_repeated_once_it_is(
    bob: Client, status: str, buttons: list[str]
) -> None:
    assert Page(bob, page_of(run(status))).texts("#run button") == buttons


def test_a_running_one_is_asked_to_stop_once(bob: Client) -> None:
    running = run(Status.RUNNING)
    page = Page(bob, RUNS, bob.post(f"{RUNS}{running.pk}/cancel/", follow=True))
    assert page.messages == ["The run was asked to stop; if it does not within 10 seconds, it is stopped by force."]
    assert page.texts("#run button") == []
    assert "asked to stop 2026-11-22 12:00 UTC; by force after 10 s" in page.text
    page = Page(bob, RUNS, bob.post(f"{RUNS}{running.pk}/cancel/", follow=True))
    assert page.messages == ["The run is over already, or was asked to stop before."]


def test_what_is_not_possible_is_said_in_a_sentence(bob: Client) -> None:
    queued, gone = run(Status.QUEUED), run(Status.FAILED, task="gone.task")
    for each, said in ((queued, "The run is not over yet."), (gone, "There is no job called “gone.task” any more.")):
        assert Page(bob, RUNS, bob.post(f"{RUNS}{each.pk}/repeat/", follow=True)).messages == [said]
    assert Run.objects.count() == 2
    assert bob.post(f"{RUNS}{uuid4()}/repeat/").status_code == 404


# --- The page of a run -----------------------------------------------------------------------------------------------


def test_the_page_tells_the_story_of_a_run_in_order(bob: Client) -> None:
    began = NOW - timedelta(seconds=30)
    told = of_schedule(
        occurrence=began,
        status=Status.RETRYING,
        attempt=3,
        failures=1,
        crashes=1,
        available_at=NOW + timedelta(minutes=1),
    )
    event(told, Event.ATTEMPT_FAILED, attempt=1, seconds=1.5, message="ValueError: no", traceback="Traceback …")
    event(told, Event.WORKER_LOST, attempt=2, seconds=7, at=NOW + timedelta(seconds=9), actor="beat host:9")
    page = Page(bob, page_of(told))
    assert [text.split(" UTC ", 1)[1] for text in page.texts(".timeline li:not(.timeline-now)")] == [
        "Its time came: 2026-11-22 12:00:00 UTC beat host:1",
        "Attempt 2 started host:1/2",
        "Attempt 1 failed after 1.5 s host:1/2 ValueError: no Traceback Traceback …",
        "Attempt 2 was lost with its worker after 7 s beat host:9",
    ]
    assert page.texts(".timeline-now") == ["now Waiting for its next attempt"]
    facts = dict(text.split(" ", 1) for text in page.texts(".run-facts > div"))
    assert facts["Schedule"] == "sync-contests"
    assert facts["Next"] == "attempt 2026-11-22 12:01:30 UTC"
    assert page.soup.select_one(f"a[href='{page_of(schedule().periodic_task)}']")


def test_what_people_asked_for_is_told_once_with_who(bob: Client) -> None:
    asked = ledger.run_now(schedule(), Trigger.ADMIN, "bob")
    (first, now) = Page(bob, page_of(asked)).texts(".timeline li")
    assert first.endswith("Asked for in admin bob")
    assert now == "now Waiting for a worker"


def test_a_page_links_what_asked_for_it_and_what_came_from_it(bob: Client) -> None:
    parent = run(name="the parent")
    child = run(name="the child", trigger=Trigger.JOB, actor=TASK, parent=parent.pk)
    for number in range(11):
        run(name=f"grandchild {number}", trigger=Trigger.JOB, parent=child.pk)
    page = Page(bob, page_of(child))
    assert "It was asked for by the parent" in page.text
    assert len(page.texts(".run-children li")) == 10
    assert found(bob, f"parent__exact={child.pk}") == {f"grandchild {number}" for number in range(11)}
    assert "It was asked for by" not in Page(bob, page_of(run(parent=uuid4()))).text


def test_nothing_that_a_job_says_is_markup(bob: Client) -> None:
    evil = run(
        Status.FAILED,
        name=EVIL,
        task=EVIL,
        args=f'["{EVIL}"]',
        kwargs="not json " + EVIL,
        result=f'"{EVIL}"',
        error=EVIL,
        worker=EVIL,
        actor=EVIL,
    )
    event(evil, Event.ATTEMPT_FAILED, message=EVIL, traceback=EVIL, actor=EVIL, changes={EVIL: [EVIL, EVIL]})
    ledger.pause(EVIL, task=EVIL, reason=EVIL)
    for path in (RUNS, EVENTS, PAUSES, page_of(evil), page_of(RunEvent.objects.get(run=evil)), "/admin/"):
        page = Page(bob, path)
        assert EVIL not in page.html, path
        assert EVIL in page.text, path
    assert EVIL not in bob.get(f"{RUNS}{evil.pk}/progress/").content.decode()


def test_long_texts_are_cut_and_whole_a_link_away_as_plain_text(bob: Client) -> None:
    long = run(Status.FAILED, args="[" + "1," * SHOWN + "1]", result=f'"{EVIL * SHOWN}"', error="e" * SHOWN)
    failed = event(long, Event.ATTEMPT_FAILED, traceback="x" * 90_000 + "the end")
    response = bob.get(page_of(long))
    assert len(response.content) < 100_000
    page = Page(bob, page_of(long), response)
    links = {str(link["href"]): link.text for link in page.soup.select("#run a") if "/text/" in link["href"]}
    assert links == {
        f"{RUNS}{long.pk}/text/args/": f"All {2 * SHOWN + 3} characters",
        f"{RUNS}{long.pk}/text/result/": f"All {len(EVIL) * SHOWN + 2} characters",
        f"{RUNS}{long.pk}/text/event-{failed.pk}/": "All 90007 characters",
    }
    assert page.texts("details pre")[0].endswith("the end")
    for url in links:
        whole = bob.get(url)
        assert whole["Content-Type"] == "text/plain; charset=utf-8"
        assert whole["X-Content-Type-Options"] == "nosniff"
    assert bob.get(f"{RUNS}{long.pk}/text/result/").content.decode() == f'"{EVIL * SHOWN}"'
    another = run()
    for nothing in (f"{long.pk}/text/id/", f"{long.pk}/text/event-x/", f"{another.pk}/text/event-{failed.pk}/"):
        assert bob.get(RUNS + nothing).status_code == 404


def test_json_is_shown_as_people_read_it(bob: Client) -> None:
    shown = Page(bob, page_of(run(kwargs='{"names": ["長い"]}', result="not json"))).soup.select(".run-texts pre")
    assert [each.text for each in shown] == ['{\n  "names": [\n    "長い"\n  ]\n}', "[]", "not json"]


def test_a_run_with_a_long_story_takes_as_many_queries_as_one_with_a_short_one(bob: Client) -> None:
    told = of_schedule(parent=run().pk)
    Page(bob, page_of(told))
    few = queries_of(Page, bob, page_of(told))
    RunEvent.objects.bulk_create(
        RunEvent(run=told, subject="s", at=NOW, kind=Event.REPUBLISHED, actor="beat") for _ in range(EVENTS_SHOWN + 5)
    )
    for _ in range(15):
        run(parent=told.pk)
    assert queries_of(Page, bob, page_of(told)) == few <= 10
    page = Page(bob, page_of(told))
    assert len(page.texts(".timeline li")) == EVENTS_SHOWN + 3
    assert f"{EVENTS}?run__exact={told.pk}" in page.html
    assert Page(bob, f"{EVENTS}?run__exact={told.pk}").rows == 50


def test_the_page_follows_an_unfinished_run_and_stops_when_it_is_over(bob: Client) -> None:
    followed = run(Status.RUNNING)
    part = Page(bob, page_of(followed)).soup.select_one("#run")
    assert part is not None
    url = str(part["hx-get"])
    assert bob.get(url).status_code == 204
    Run.objects.filter(pk=followed.pk).update(status=Status.SUCCEEDED, finished_at=NOW, result="42")
    over = bob.get(url)
    assert over.status_code == 200
    assert b"hx-get" not in over.content
    assert b"42" in over.content
    assert not Page(bob, page_of(followed)).soup.select("#run[hx-get]")
    assert bob.get(f"{RUNS}{uuid4()}/progress/").status_code == 404


# --- Who may do what -------------------------------------------------------------------------------------------------


def test_staff_who_may_only_look_see_runs_pauses_and_events_and_no_button(client: Client) -> None:
    charlie = staff(client, "view_")
    failed, queued, paused = run(Status.FAILED), run(Status.QUEUED), ledger.pause("bob")
    event(failed, Event.ATTEMPT_FAILED)
    for path in (RUNS, EVENTS, PAUSES, page_of(failed), page_of(queued), page_of(paused), "/admin/"):
        page = Page(charlie, path)
        assert "Everything is paused until somebody resumes it, by bob" in page.text
        texts = page.texts("#main button")
        assert not {"Resume", "Retry", "Cancel", "Run again"} & set(texts), path
        assert not page.soup.select("select[name=action], a[href$='/pause/add/']")
    for path in (
        f"{RUNS}{failed.pk}/repeat/",
        f"{RUNS}{queued.pk}/cancel/",
        f"{PAUSES}{paused.pk}/resume/",
        f"{PAUSES}add/",
        page_of(failed),
        page_of(paused),
    ):
        assert charlie.post(path, {"what": ""}).status_code == 403, path
    act(charlie, RUNS, "cancel", queued.pk)
    act(charlie, PAUSES, "resume", paused.pk)
    assert Run.objects.filter(pk=queued.pk, status=Status.QUEUED).exists()
    assert Pause.objects.count() == 1
    assert Run.objects.count() == 2


def test_staff_without_permission_and_members_see_nothing_of_runs(client: Client) -> None:
    failed = run(Status.FAILED, error="secret")
    ledger.pause("bob", reason="the disk is full")
    paths = [RUNS, EVENTS, PAUSES, page_of(failed), f"{RUNS}{failed.pk}/progress/", f"{RUNS}{failed.pk}/text/error/"]
    nobody = staff(client)
    assert [nobody.get(path).status_code for path in paths] == [403] * 6
    home = Page(nobody, "/admin/")
    assert "Everything is paused" in home.text
    assert not home.soup.select("a[href*='/scheduler/']")
    client.force_login(MemberFactory(username="alice"))
    assert [client.get(path).status_code for path in paths] == [302, 302, 302, 302, 403, 302]
    assert client.post(f"{RUNS}{failed.pk}/repeat/").status_code == 302
    assert Run.objects.count() == 1


def test_nothing_is_done_by_following_a_link_or_from_another_site() -> None:
    client = Client(enforce_csrf_checks=True)
    client.force_login(StaffFactory(username="bob"))
    queued, failed, paused = run(Status.QUEUED), run(Status.FAILED), ledger.pause("bob")
    for path in (f"{RUNS}{queued.pk}/cancel/", f"{RUNS}{failed.pk}/repeat/", f"{PAUSES}{paused.pk}/resume/"):
        assert client.get(path).status_code == 405
        assert client.post(path).status_code == 403
    assert Run.objects.count() == 2
    assert Pause.objects.exists()


# --- Pauses ----------------------------------------------------------------------------------------------------------


def test_everything_is_paused_with_a_reason_and_a_time_and_every_page_says_so(bob: Client) -> None:
    page = Page(bob, f"{PAUSES}add/").submit(length="60", reason="the disk is full")
    assert page.messages == [
        "Everything is paused until 2026-11-22 13:00:30 UTC. What runs goes on, what comes is kept."
    ]
    paused = Pause.objects.get()
    assert (paused.actor, paused.reason, paused.until) == ("bob", "the disk is full", NOW + timedelta(hours=1))
    for path in ("/admin/", RUNS, "/admin/auth/user/", page_of(paused)):
        said = "Everything is paused until 2026-11-22 13:00 UTC , by bob: the disk is full"
        assert said in Page(bob, path).text, path
    row = Page(bob, PAUSES).row("Everything")
    assert row["until"] == "2026-11-22 13:00:30 UTC"
    with time_machine.travel(NOW + timedelta(hours=1), tick=False):
        assert not Page(bob, PAUSES).texts(".scheduling-banner, #result_list")


@pytest.mark.parametrize(
    ("values", "until"),
    [
        ({}, None),
        ({"length": "15"}, NOW + timedelta(minutes=15)),
        (
            {"length": "until", "until_0": "2026-11-23", "until_1": "08:00"},
            datetime(2026, 11, 23, 8, tzinfo=UTC),
        ),
    ],
)
def test_a_job_is_paused_for_a_while_until_a_time_or_until_somebody_resumes_it(
    bob: Client, values: dict[str, str], until: datetime | None
) -> None:
    Page(bob, f"{PAUSES}add/").submit(what=TASK, **values)
    paused = Pause.objects.get()
    assert (paused.task, paused.until) == (TASK, until)
    assert "The job contests.tasks.sync_contests is paused" in Page(bob, "/admin/").text


@pytest.mark.parametrize(
    ("values", "field"),
    [
        ({"length": "until"}, "until"),
        ({"length": "until", "until_0": "2026-11-22", "until_1": "12:00"}, "until"),
        ({"length": "until", "until_0": "soon", "until_1": "12:00"}, "until"),
        ({"length": "forever"}, "length"),
        ({"what": "no.such.job"}, "what"),
        ({"reason": "x" * 201}, "reason"),
    ],
)
def test_what_cannot_be_meant_is_said_beside_its_box_and_nothing_is_paused(
    bob: Client, values: dict[str, str], field: str
) -> None:
    page = Page(bob, f"{PAUSES}add/").submit(**values)
    assert list(page.errors) == [field]
    assert not Pause.objects.exists()


def test_pausing_again_replaces_the_pause_and_is_no_error(bob: Client) -> None:
    for reason in ("one", "two"):
        assert "is paused" in Page(bob, f"{PAUSES}add/").submit(reason=reason).messages[0]
    assert Pause.objects.get().reason == "two"


def due(policy: str, hours: int) -> None:
    """Only one schedule comes, every hour, and nobody looked at it for so many."""
    PeriodicTask.objects.filter(pk=schedule().pk).update(crontab=crontab("0 * * * *", "UTC"))
    Schedule.objects.update(next_run_at=None, stale_since=None)
    first = NOW.replace(second=0) - timedelta(hours=hours)
    Schedule.objects.filter(pk=schedule().pk).update(missed=policy, next_run_at=first)


@pytest.mark.parametrize(("policy", "runs"), [(Missed.ONCE, "1"), (Missed.EACH, "3"), (Missed.SKIP, "1")])
def test_a_pause_says_what_waits_and_what_its_end_starts_by_each_policy(bob: Client, policy: str, runs: str) -> None:
    """Of three times the last is not missed: it was half a minute ago."""
    due(policy, hours=2)
    paused = ledger.pause("bob")
    run(Status.QUEUED)
    run(Status.RETRYING, available_at=NOW + timedelta(hours=1))
    row = Page(bob, PAUSES).row("Everything")
    assert (row["runs that wait"], row["schedules that came"]) == ("1", "1")
    page = Page(bob, page_of(paused))
    ((name, since, came, run_, why),) = (
        [cell.get_text(" ", strip=True) for cell in line.select("td")]
        for line in page.soup.select(".pause-outlook tbody tr")
    )
    assert (name, since, came, run_) == ("sync-contests", "2026-11-22 10:00 UTC", "3", runs)
    assert why == str(Missed(policy).label)


def test_what_another_pause_stops_as_well_does_not_start_with_the_end_of_one(bob: Client) -> None:
    due(Missed.ONCE, hours=2)
    paused, another = ledger.pause("bob"), ledger.pause("bob", task=TASK)
    run(Status.QUEUED)
    run(Status.QUEUED, task="another.job")
    assert "No schedule has missed anything yet." in Page(bob, page_of(paused)).text
    page = Page(bob, PAUSES, bob.post(f"{PAUSES}{paused.pk}/resume/", follow=True))
    assert page.messages == ["Resumed: Everything. Runs that waited start now: 1."]
    page = Page(bob, PAUSES, bob.post(f"{PAUSES}{another.pk}/resume/", follow=True))
    assert page.messages == [
        "Resumed: The job Sync contests. Runs that waited start now: 1. "
        "Schedules that came meanwhile, and follow their policy: 1."
    ]
    assert not Pause.objects.exists()
    assert set(RunEvent.objects.filter(kind=Event.RESUMED).values_list("actor", flat=True)) == {"bob"}


def test_resuming_from_the_banner_leads_back_to_where_one_was_and_to_no_other_site(bob: Client) -> None:
    def resume(back: str) -> str:
        paused = ledger.pause("bob")
        return str(bob.post(f"{PAUSES}{paused.pk}/resume/", {"next": back})["Location"])

    assert resume("/admin/auth/user/?q=x") == "/admin/auth/user/?q=x"
    assert resume("https://elsewhere.example/") == PAUSES
    assert resume("//elsewhere.example/") == PAUSES
    paused = ledger.pause("bob")
    field = Page(bob, page_of(paused)).soup.select_one(".scheduling-banner input[name=next]")
    assert field is not None
    assert field["value"] == PAUSES
    ledger.resume([paused], "bob")
    page = Page(bob, PAUSES, bob.post(f"{PAUSES}{paused.pk}/resume/", follow=True))
    assert page.messages == ["Somebody else has resumed it already."]


def test_several_pauses_are_resumed_at_once(bob: Client) -> None:
    pauses = [ledger.pause("bob"), ledger.pause("bob", schedule=schedule())]
    page = act(bob, PAUSES, "resume", *(paused.pk for paused in pauses))
    assert page.messages == ["Resumed: Everything, The schedule sync-contests."]
    assert not Pause.objects.exists()


def test_the_banner_names_a_few_pauses_and_counts_on_staff_to_look_for_more(bob: Client) -> None:
    for number in range(5):
        ledger.pause("bob", task=f"job.{number}")
    page = Page(bob, "/admin/")
    assert len(page.texts(".scheduling-banner")) == 3
    assert "More is paused: see all pauses" in page.text


@pytest.mark.parametrize(
    ("values", "warned"),
    [
        ({"next_run_at": NOW - timedelta(seconds=61), "stale_since": None}, True),
        ({"next_run_at": NOW - timedelta(seconds=59), "stale_since": None}, False),
        ({"next_run_at": None, "stale_since": NOW - timedelta(seconds=61)}, True),
        ({"next_run_at": None, "stale_since": NOW - timedelta(seconds=59)}, False),
    ],
)
def test_schedules_that_stand_still_for_a_minute_are_said_on_every_page(
    bob: Client, settings: Settings, values: dict[str, Any], warned: bool
) -> None:
    settings.SCHEDULING_ENABLED = True
    Schedule.objects.update(next_run_at=None, stale_since=None)
    Schedule.objects.filter(pk=schedule().pk).update(**values)
    assert ("Schedules are overdue by more than a minute" in Page(bob, RUNS).text) is warned


@pytest.mark.parametrize("what", [{}, {"task": TASK}, {"schedule": True}])
def test_what_is_paused_is_not_overdue(bob: Client, settings: Settings, what: dict[str, Any]) -> None:
    settings.SCHEDULING_ENABLED = True
    Schedule.objects.update(next_run_at=None, stale_since=None)
    Schedule.objects.filter(pk=schedule().pk).update(next_run_at=NOW - timedelta(hours=1))
    assert "overdue" in Page(bob, RUNS).text
    ledger.pause("bob", **({"schedule": schedule()} if "schedule" in what else what))
    assert "overdue" not in Page(bob, RUNS).text
    Schedule.objects.exclude(pk=schedule().pk).update(next_run_at=NOW - timedelta(hours=1))
    assert ("overdue" in Page(bob, RUNS).text) is bool(what)


# --- Events ----------------------------------------------------------------------------------------------------------


def test_the_audit_says_who_did_what_to_what_and_what_it_was_before(bob: Client) -> None:
    RunEvent.objects.create(
        schedule=schedule(),
        subject="sync-contests",
        at=NOW,
        kind=Event.EDITED,
        actor="alice",
        changes={
            "start": [None, "2026-11-22T12:00:00+00:00"],
            "enabled": [True, False],
            "cron": ["* * * * *", "5 5 * * *"],
        },
    )
    row = Page(bob, EVENTS).row("sync-contests")
    assert (row["when"], row["what"], row["who"]) == ("2026-11-22 12:00:30 UTC", "edited", "alice")
    assert (
        row["in detail"] == "cron : * * * * * → 5 5 * * * start : nothing → 2026-11-22 12:00:00 UTC enabled : yes → no"
    )
    told = Page(bob, page_of(RunEvent.objects.get()))
    assert told.told("Changes") == row["in detail"]
    assert told.soup.select_one(f"a[href='{page_of(schedule().periodic_task)}']")


@pytest.mark.parametrize(
    ("query", "subjects"),
    [
        ("", {"old", "edited", "failed"}),
        ("kind__exact=edited", {"edited", "old"}),
        ("actor__exact=alice", {"edited"}),
        ("q=alice", {"edited"}),
        ("q=nobody", set()),
        ("happened=day", {"edited", "failed"}),
        ("at_from=2026-11-01&at_to=2026-11-20", {"old"}),
        ("q=00000000-0000-0000-0000-000000000001", {"failed"}),
        ("run__exact=00000000-0000-0000-0000-000000000001", {"failed"}),
    ],
)
def test_events_are_found_by_kind_actor_time_and_run(bob: Client, query: str, subjects: set[str]) -> None:
    failed = run(Status.FAILED, pk=UUID(int=1))
    RunEvent.objects.create(run=failed, subject="failed", at=NOW, kind=Event.ATTEMPT_FAILED, actor="host:1")
    RunEvent.objects.create(subject="edited", at=NOW, kind=Event.EDITED, actor="alice")
    RunEvent.objects.create(subject="old", at=NOW - timedelta(days=9), kind=Event.EDITED, actor="bob")
    assert set(Page(bob, f"{EVENTS}?{query}").texts("#result_list .field-about")) == subjects


def test_events_of_one_schedule_are_a_link_away_even_when_it_is_gone(bob: Client) -> None:
    gone = schedule().pk
    RunEvent.objects.create(schedule_id=gone, subject="gone", at=NOW, kind=Event.DELETED, actor="alice")
    PeriodicTask.objects.filter(pk=gone).delete()
    assert Page(bob, f"{EVENTS}?schedule__exact={gone}").texts("#result_list .field-about") == ["gone"]
    for wrong in ("schedule__exact=x", "run__exact=x"):
        assert bob.get(f"{EVENTS}?{wrong}").status_code == 302


def test_an_events_changes_may_be_anything_that_json_says(bob: Client) -> None:
    odd_ones: tuple[Any, ...] = (
        *({}, [], "text", {"a": 1}, {"b": [1, 2, 3]}),
        *({"c": [{"d": 1}, None]}, {"e": "x" * 10_000}),
    )
    for changes in odd_ones:
        odd = RunEvent.objects.create(subject="odd", at=NOW, kind=Event.EDITED, actor="", changes=changes)
        Page(bob, page_of(odd))
    assert Page(bob, EVENTS).rows == 7


# --- The first page --------------------------------------------------------------------------------------------------


def test_the_first_page_counts_the_runs_of_a_day_and_says_what_failed(bob: Client) -> None:
    for status in (Status.SUCCEEDED, Status.SUCCEEDED, Status.FAILED):
        run(status)
    run(Status.FAILED, created_at=NOW - timedelta(days=2))
    page = Page(bob, "/admin/")
    (panel,) = (section for section in page.soup.select("section") if "Runs in the last 24 hours" in section.text)
    rows = [[cell.get_text(" ", strip=True) for cell in row.select("td")] for row in panel.select("tbody tr")]
    assert rows[:5] == [["queued", "0"], ["running", "0"], ["retrying", "0"], ["succeeded", "2"], ["failed", "1"]]
    assert "Of the last 24 hours' runs 1 failed." in page.text
    link = next(str(link["href"]) for link in panel.select("a") if link.text == "failed")
    assert Page(bob, link).rows == 1
