"""Whatever a Celery task does, by a real worker and beat: it ends as a run that a person understands, and alone.

All jobs are asked for at once, and the tests look at what became of them.
"""

from typing import Any

import pytest

from tests.installation import Installation, eventually

ASK = """
from uuid import UUID

from celery import chain, chord
from tests.scheduler.application import app
from tests.scheduler.odd_jobs import *
from tests.scheduler.sample_jobs import add

asked = {}


def ask(name, request):
    try:
        asked[name] = request().id
    except Exception as error:
        asked[name] = f"{type(error).__name__}: {error}"


# First what no message can carry, or no worker read: it must not keep back what follows.
ask("queue", lambda: add.apply_async((1, 2), queue="q" * 60))
ask("half a character", lambda: tell.delay("\\ud800"))
ask("header", lambda: add.apply_async((1, 2), headers={"id": "another's"}))
ask("limit", lambda: add.apply_async((1, 2), time_limit="long"))
ask("no such task", lambda: app.send_task("no.such.task"))
ask("never_pause", lambda: never_pause.delay(17))
for what in ("a half character", "NUL", "very long", "unprintable", "unpicklable"):
    ask(f"raise {what}", lambda: raise_the.delay(what))
for what in ("interrupt", "memory", "cancelled", "exit"):
    ask(f"raise {what}", lambda: raise_the.delay(what))
for what in ("object", "half character", "NUL", "set", "very long"):
    ask(f"return {what}", lambda: return_the.delay(what))
ask("chain", lambda: chain(add.s(1, 2), add.s(3), add.s(4)).apply_async())
ask("ignore", ignore.delay)
chain(ignore.s(), tell.s("after ignore")).apply_async()
add.apply_async((1, 2), link=tell.s("linked"))
ask("chord", lambda: chord([add.s(1, 2)], tell.s()).apply_async())
ask("reject", lambda: reject.delay(False))
ask("requeue", lambda: reject.delay(True))
ask("insist", lambda: insist.delay(5))
ask("let_a_retry_pass", let_a_retry_pass.delay)
ask("give_up_after_two", give_up_after_two.delay)
ask("choosy key", lambda: be_choosy.delay("key"))
ask("choosy value", lambda: be_choosy.delay("value"))
ask("factorial", lambda: factorial.delay(5))
ask("replace", lambda: (replace.s() | tell.s("after replace")).apply_async())
for how in ("block", "autocommit"):
    ask(f"forget {how}", lambda: forget_to_commit.delay(how))
ask("lose_the_connection", lose_the_connection.delay)
for number in range(8):
    ask(f"write {number}", write.delay)
ask("id", lambda: add.apply_async((1, 2), task_id=UUID(int=7)))
ask("id again", lambda: add.apply_async((5, 5), task_id=UUID(int=7)))
stamped = add.s(1, 2)
stamped.stamp(customer="alice")
ask("stamped", stamped.apply_async)
result = asked
"""

RUNS = """
from scheduler.models import Run
fields = ("task", "args", "status", "attempt", "failures", "crashes", "result", "error", "traceback")
result = {str(run["pk"]): run for run in Run.objects.values("pk", *fields)}
"""

UNFINISHED = """
from scheduler.models import Run
result = list(Run.objects.unfinished().exclude(task="no.such.task").values_list("task", flat=True))
"""


class Outcome:
    def __init__(self, asked: dict[str, str], runs: dict[str, Any]) -> None:
        self.asked, self.runs = asked, runs

    def of(self, name: str) -> Any:
        return self.runs[self.asked[name]]

    def results(self, task: str) -> list[str]:
        return [run["result"] for run in self.runs.values() if run["task"].endswith(f".{task}")]


@pytest.fixture(scope="module")
def outcome(installation: Installation) -> Outcome:
    installation.start("celery", "-A", "tests.scheduler.application", "worker", "--concurrency", "3")
    installation.start("celery", "-A", "tests.scheduler.application", "beat")
    asked = installation.python(ASK)
    eventually(lambda: not installation.python(UNFINISHED), within=120, what="the end of all jobs")
    return Outcome(asked, installation.python(RUNS))


@pytest.mark.parametrize(
    ("what", "error"),
    [
        ("a half character", "ValueError: \\ud800"),
        ("NUL", "ValueError: ab"),
        ("unprintable", "Unprintable: its text cannot be read"),
        ("unpicklable", "Unpicklable: (1, 2)"),
        ("interrupt", "KeyboardInterrupt"),
        ("memory", "MemoryError"),
        ("cancelled", "CancelledError"),
        ("exit", "SystemExit: 3"),
    ],
)
def test_whatever_a_job_raises_it_has_failed_and_says_so(outcome: Outcome, what: str, error: str) -> None:
    run = outcome.of(f"raise {what}")
    assert (run["status"], run["error"], run["failures"], run["crashes"]) == ("failed", error, 1, 0)
    assert "raise_the" in run["traceback"]


def test_of_a_very_long_error_or_result_the_beginning_is_kept(outcome: Outcome) -> None:
    assert outcome.of("raise very long")["error"].startswith("ValueError: xxx")
    assert len(outcome.of("raise very long")["error"]) == len(outcome.of("return very long")["result"]) == 100_000


@pytest.mark.parametrize(
    ("what", "result"),
    [("object", "<module 'sys' (built-in)>"), ("half character", '"\\ud800"'), ("NUL", '"a\\u0000b"'), ("set", "{1}")],
)
def test_whatever_a_job_returns_it_has_succeeded(outcome: Outcome, what: str, result: str) -> None:
    run = outcome.of(f"return {what}")
    assert (run["status"], run["result"]) == ("succeeded", result)


@pytest.mark.parametrize("name", ["queue", "half a character"])
def test_what_no_message_can_carry_has_failed_and_holds_up_nobody(outcome: Outcome, name: str) -> None:
    run = outcome.of(name)
    assert run["status"] == "failed"
    assert run["error"].startswith("It cannot be put in a message: ")


def test_what_no_worker_could_read_is_refused_at_once(outcome: Outcome) -> None:
    assert outcome.asked["header"] == "ValueError: These headers are Celery's own: id."
    assert outcome.asked["limit"] == "ValueError: could not convert string to float: 'long'"
    assert outcome.asked["chord"].startswith("NotImplementedError: Starting chords requires a result backend")


def test_a_task_that_nobody_knows_is_tried_a_few_times_and_then_has_failed(
    outcome: Outcome, installation: Installation
) -> None:
    assert "There is no task “no.such.task”" in outcome.of("no such task")["error"]
    hurry = f"""
from django.utils import timezone
from scheduler.models import Run
run = Run.objects.filter(pk="{outcome.asked["no such task"]}")
run.filter(status="queued", published_at=None).update(available_at=timezone.now())
result = list(run.values_list("status", "crashes", "published_at"))[0]
"""
    eventually(lambda: installation.python(hurry)[0] == "failed", what="the last try")
    assert installation.python(hurry)[1] == 5


def test_a_job_that_lets_no_other_thread_run_is_not_held_to_be_lost(outcome: Outcome) -> None:
    run = outcome.of("never_pause")
    assert (run["status"], run["attempt"], run["crashes"]) == ("succeeded", 1, 0)
    assert float(run["result"]) > 15


def test_a_chain_goes_on_with_results_and_ends_where_a_step_is_ignored(outcome: Outcome) -> None:
    assert outcome.of("chain")["result"] == "10"
    assert outcome.of("ignore")["result"] == '"There is nothing to do."'
    told = outcome.results("tell")
    assert "\"(3, 'linked')\"" in told
    assert not any("after ignore" in each for each in told)


def test_a_job_that_is_replaced_hands_on_what_follows_it(outcome: Outcome) -> None:
    assert "\"(23, 'after replace')\"" in outcome.results("tell")
    assert "23" in outcome.results("add")


@pytest.mark.parametrize(
    ("name", "status", "attempt"),
    [
        ("reject", "failed", 1),
        ("requeue", "succeeded", 2),
        ("insist", "succeeded", 6),
        ("give_up_after_two", "failed", 2),
        ("choosy key", "failed", 1),
        ("choosy value", "failed", 2),
    ],
)
def test_celerys_words_for_trying_again_mean_what_they_do(
    outcome: Outcome, name: str, status: str, attempt: int
) -> None:
    run = outcome.of(name)
    assert (run["status"], run["attempt"]) == (status, attempt)


def test_a_retry_can_be_told_from_an_error_and_its_time_may_lack_a_zone(outcome: Outcome) -> None:
    assert outcome.of("let_a_retry_pass")["result"] == '"tried again"'


def test_a_job_may_call_itself_as_a_function(outcome: Outcome) -> None:
    assert outcome.of("factorial")["result"] == "120"


def test_what_a_job_does_to_its_connection_harms_no_other_job(outcome: Outcome, installation: Installation) -> None:
    assert {outcome.of(f"write {number}")["result"] for number in range(8)} == {"true"}
    assert outcome.of("lose_the_connection")["status"] == "failed"
    assert outcome.of("forget block")["status"] == outcome.of("forget autocommit")["status"] == "succeeded"
    left = "from django.db import connection\nresult = connection.introspection.table_names()"
    assert "scheduler_half_done" not in installation.python(left)


def test_an_id_of_ones_own_asks_for_one_run_however_often_it_is_used(outcome: Outcome) -> None:
    assert outcome.asked["id"] == outcome.asked["id again"]
    assert (outcome.of("id")["args"], outcome.of("id")["result"]) == ("[1, 2]", "3")


def test_a_stamped_task_runs(outcome: Outcome) -> None:
    assert outcome.of("stamped")["result"] == "3"
