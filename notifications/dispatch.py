"""One round of telling members: plan what is due, resolve what is not to be sent, deliver the rest."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import asdict, dataclass, field
from datetime import datetime, timedelta
from math import inf
from time import monotonic
from typing import Any

from django.db import connection, transaction
from django.db.models import Min
from django.utils import timezone

from notifications.channels import CHANNELS
from notifications.delivery import ChannelReport, deliver
from notifications.models import OPEN_STATUSES, Channel, Horizon, Notification, Preference
from notifications.planning import Planned, plan
from notifications.sending import Clock

UNTIL_THE_NEXT_ROUND = timedelta(minutes=30)
"""How far ahead a round looks at least when nobody says when the next one is."""


@dataclass(slots=True)
class DispatchReport:
    """What a round did, in notifications; a message may carry several."""

    planned_by_kind: dict[str, int] = field(default_factory=dict)
    expired: int = 0
    skipped: int = 0
    by_channel: dict[str, ChannelReport] = field(default_factory=dict)
    next_at: datetime | None = None
    """When something that waits may be sent, as at the end of somebody's quiet hours."""
    seconds: float = 0.0

    @property
    def planned(self) -> int:
        return sum(self.planned_by_kind.values())

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
            "planned_by_kind": self.planned_by_kind,
            "sent": self.total("sent"),
            "failed": self.total("failed"),
            "expired": self.expired,
            "skipped": self.skipped,
            "postponed": self.total("postponed"),
            "by_channel": {kind: asdict(report) for kind, report in self.by_channel.items()},
            "next_at": self.next_at.isoformat() if self.next_at else None,
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
    until = next_round(now, next_round_at)
    report = DispatchReport()
    planned = _rehearsed(now, until) if dry_run else plan(now, until)
    report.planned_by_kind, report.expired, report.skipped = planned.by_kind, planned.expired, planned.skipped
    if not dry_run:
        stop_at = inf if within is None else began + within.total_seconds()
        report.by_channel = _deliver_all(on_progress, Clock(stop_at))
        report.next_at = _next_at(timezone.now())
    report.seconds = monotonic() - began
    return report


def next_round(now: datetime, told: datetime | None = None) -> datetime:
    """When the next round is: as somebody told; else as an earlier round was told, or in half an hour if that is later.

    A round that is asked for in between, as after a sync, looks as far ahead as the one before it: what it finds new
    would else wait for a round that comes too late.
    """
    if told and told > now:
        return told
    planned = Horizon.objects.filter(until__gt=now).values_list("until", flat=True).first()
    return max(now + UNTIL_THE_NEXT_ROUND, planned or now)


@transaction.atomic
def _rehearsed(now: datetime, until: datetime) -> Planned:
    """What a plan would do."""
    planned = plan(now, until)
    transaction.set_rollback(True)
    return planned


def _deliver_all(on_progress: Callable[[int], None], clock: Clock) -> dict[str, ChannelReport]:
    """Each kind on a thread of its own, so that a slow provider keeps no other channel waiting."""
    kinds = [kind for kind, channel in CHANNELS.items() if channel.is_configured()]
    used = [kind for kind in kinds if Channel.objects.filter(kind=kind).exists()]
    reports = {kind: ChannelReport() for kind in kinds}
    if len(used) < 2:
        return reports | {kind: deliver(kind, on_progress, clock=clock) for kind in used}

    def deliver_here(kind: str) -> ChannelReport:
        try:
            return deliver(kind, on_progress, clock=clock)
        finally:
            connection.close()

    with ThreadPoolExecutor(len(used), thread_name_prefix="deliver") as pool:
        delivering = {kind: pool.submit(deliver_here, kind) for kind in used}
        try:
            wait(delivering.values())
        except BaseException:  # as the time limit of a task: each ends with the message that it is at
            clock.stop_at = 0
            raise
    return reports | {kind: delivered.result() for kind, delivered in delivering.items()}


def _next_at(now: datetime) -> datetime | None:
    """The end of somebody's quiet hours, of the pause of a provider or a message, or of a member's own."""
    waiting = Notification.objects.filter(status__in=OPEN_STATUSES, available_at__gt=now, expires_at__gt=now)
    pauses = Preference.objects.filter(paused=True, paused_until__gt=now)
    ends = (waiting.aggregate(at=Min("available_at"))["at"], pauses.aggregate(at=Min("paused_until"))["at"])
    return min(filter(None, ends), default=None)
