"""One round of telling members: settle what is open, plan what is due, deliver it."""

from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from datetime import datetime, timedelta
from math import inf
from time import monotonic
from typing import Any

from django.db import transaction
from django.utils import timezone

from notifications.channels import CHANNELS
from notifications.delivery import ChannelReport, deliver
from notifications.models import Status
from notifications.planning import plan, settle

UNTIL_THE_NEXT_ROUND = timedelta(minutes=30)
"""How far ahead a round looks when nobody says when the next one is."""


@dataclass(slots=True)
class DispatchReport:
    """What a round did, in notifications; a message may carry several."""

    planned: int = 0
    expired: int = 0
    skipped: int = 0
    by_channel: dict[str, ChannelReport] = field(default_factory=dict)
    seconds: float = 0.0

    def total(self, name: str) -> int:
        return sum(getattr(report, name) for report in self.by_channel.values())

    @property
    def unfinished(self) -> bool:
        """Whether time was up before everything was sent."""
        return any(report.unfinished for report in self.by_channel.values())

    @property
    def errors(self) -> list[str]:
        return [f"{kind}: {error}" for kind, report in self.by_channel.items() for error in report.errors]

    def as_dict(self) -> dict[str, Any]:
        return {
            "planned": self.planned,
            "sent": self.total("sent"),
            "failed": self.total("failed"),
            "expired": self.expired,
            "skipped": self.skipped,
            "postponed": self.total("postponed"),
            "by_channel": {kind: asdict(report) for kind, report in self.by_channel.items()},
            "seconds": round(self.seconds, 3),
        }


def dispatch(
    *,
    next_round_at: datetime | None = None,
    within: timedelta | None = None,
    dry_run: bool = False,
    on_progress: Callable[[int], None] = lambda done: None,
) -> DispatchReport:
    """Send every reminder that would be late if it waited for the next round; a dry run only counts.

    After `within`, what is not sent yet is left to another round. `on_progress` is called with the number of messages
    dealt with since the last call.
    """
    began = monotonic()
    now = timezone.now()
    until = max(now, next_round_at or now + UNTIL_THE_NEXT_ROUND)
    report = DispatchReport()
    if dry_run:
        with transaction.atomic():
            _plan(report, now, until)
            transaction.set_rollback(True)
    else:
        _plan(report, now, until)
        stop_at = inf if within is None else began + within.total_seconds()
        report.by_channel = {kind: deliver(kind, on_progress, stop_at=stop_at) for kind in CHANNELS}
    report.seconds = monotonic() - began
    return report


def _plan(report: DispatchReport, now: datetime, until: datetime) -> None:
    settled = settle(now)
    report.expired, report.skipped = settled.get(Status.EXPIRED, 0), settled.get(Status.SKIPPED, 0)
    report.planned = plan(now, until)
