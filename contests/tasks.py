from typing import TYPE_CHECKING, Any, Literal

from celery import shared_task

from contests.platforms import PLATFORMS
from contests.sync import sync

if TYPE_CHECKING:
    PlatformCode = str
else:  # what a type checker cannot read off the registry, those who schedule the job can
    PlatformCode = Literal[tuple(PLATFORMS)]


@shared_task(title="Sync contests")
def sync_contests(platforms: list[PlatformCode] | None = None) -> dict[str, Any]:
    """Ask the contest platforms what they list, and store what changed.

    `platforms` are codes; without them every enabled platform is asked. Where one of them could not be read the run
    fails with the reason, after the others were stored.
    """
    report = sync(platforms or ())
    failed = [f"{code}: {outcome.error}" for code, outcome in report.platforms.items() if not outcome.ok]
    if failed:
        raise RuntimeError(" ".join(failed))
    return report.as_dict()
