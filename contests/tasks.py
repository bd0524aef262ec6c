from typing import Any

from celery import shared_task

from contests.sync import sync


@shared_task
def sync_contests(platforms: list[str] | None = None) -> dict[str, Any]:
    """Ask the contest platforms what they list, and store what changed.

    `platforms` are codes; without them every enabled platform is asked. Raises RuntimeError where one of them failed,
    after the others were stored.
    """
    report = sync(platforms or ())
    failed = [f"{code}: {outcome.error}" for code, outcome in report.platforms.items() if not outcome.ok]
    if failed:
        raise RuntimeError(" ".join(failed))
    return report.as_dict()
