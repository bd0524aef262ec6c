"""A worker that is stopped, by whatever sends the signal to whomever."""

import os
import signal

import pytest

from tests.installation import Installation, eventually

WORKER = ("celery", "-A", "tests.scheduler.application", "worker", "--concurrency", "2", "--loglevel", "INFO")

ASK = """
from tests.scheduler.sample_jobs import work
result = [work.delay(3).id, work.delay(3).id]
"""

RUNS = """
from scheduler.models import Run
result = list(Run.objects.order_by("created_at").values_list("status", "attempt"))
"""


@pytest.mark.parametrize("group", [False, True], ids=["the worker", "its whole process group"])
def test_sigterm_lets_running_jobs_finish_and_ends_the_worker(installation: Installation, group: bool) -> None:
    installation.python("from scheduler.models import Run\nRun.objects.all().delete()")
    worker = installation.start(*WORKER)
    installation.python(ASK)
    try:
        eventually(lambda: [run[0] for run in installation.python(RUNS)] == ["running"] * 2, what="the start of both")
        (os.killpg if group else os.kill)(worker.pid, signal.SIGTERM)
        worker.wait(15)
    finally:
        installation.stop()
    assert installation.python(RUNS) == [["succeeded", 1], ["succeeded", 1]]
