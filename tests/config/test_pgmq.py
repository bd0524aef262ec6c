"""The default broker, as a worker sees it."""

from tests.installation import Installation, eventually

APPLICATION = ("celery", "-A", "tests.scheduler.application")

QUEUE = """
from tests.scheduler.sample_jobs import add
for number in range(30):
    add.delay(number, 1)
"""

ENDED = """
from scheduler.models import Run
ended = sorted(Run.objects.filter(status="succeeded").values_list("finished_at", flat=True))
result = [len(ended), (ended[-1] - ended[0]).total_seconds() if ended else None]
"""


def test_a_worker_starts_the_next_job_as_soon_as_it_has_ended_one(installation: Installation) -> None:
    installation.python(QUEUE)

    installation.start(*APPLICATION, "worker", "-c", "1")

    def all_ended() -> float | None:
        number, seconds = installation.python(ENDED)
        return seconds if number == 30 else None

    # Kombu itself looks for the next message once a second.
    assert eventually(all_ended, within=60, what="the end of 30 jobs") < 10
