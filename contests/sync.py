"""Bringing the platforms' contests in: fetch in parallel, then write what changed, one platform at a time."""

import logging
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime, timedelta
from queue import SimpleQueue
from threading import Thread
from time import monotonic
from typing import Any

from django.conf import settings
from django.db import transaction
from django.utils import timezone

from contests.models import KEPT_AFTER_END, Contest, ContestChange, Platform, PlatformSync
from contests.platforms import PLATFORMS
from contests.platforms.base import ListedContest, Listing, PlatformError
from contests.signals import contests_changed

logger = logging.getLogger(__name__)

WRITTEN = ("name", "url", "starts_at", "ends_at", "duration", "is_training", "is_rated")
"""The fields that a platform decides."""

IN_CALENDARS = {"name", "starts_at", "ends_at"}
"""Those of them that make another entry in a calendar, as a cancellation does."""

COUNTS = ("fetched", "created", "updated", "unchanged", "cancelled", "rejected")
REJECTED_ROWS_KEPT = 20
WRITE_BATCH = 5_000
IMPLAUSIBLE_LOSS = 3
"""An answer that lacks every upcoming contest we know of, and at least so many, is a fault and not news."""


@dataclass(slots=True)
class PlatformReport:
    """What became of one platform in one sync; all but `ok`, `seconds` and `error` count rows."""

    ok: bool = True
    fetched: int = 0
    created: int = 0
    updated: int = 0
    unchanged: int = 0
    cancelled: int = 0
    rejected: int = 0
    seconds: float = 0.0
    error: str | None = None
    rejected_rows: list[dict[str, str | None]] = field(default_factory=list)

    def as_dict(self) -> dict[str, Any]:
        return {**asdict(self), "seconds": round(self.seconds, 3)}


@dataclass(slots=True)
class SyncReport:
    platforms: dict[str, PlatformReport] = field(default_factory=dict)
    seconds: float = 0.0

    @property
    def ok(self) -> bool:
        return all(report.ok for report in self.platforms.values())

    @property
    def changed(self) -> bool:
        return any(report.created or report.updated or report.cancelled for report in self.platforms.values())

    def as_dict(self) -> dict[str, Any]:
        platforms = {code: report.as_dict() for code, report in self.platforms.items()}
        return {"platforms": platforms, "seconds": round(self.seconds, 3)}


def sync(
    codes: Sequence[str] = (),
    *,
    dry_run: bool = False,
    on_report: Callable[[str, PlatformReport], None] = lambda code, report: None,
) -> SyncReport:
    """Ask `codes`, or every enabled platform, and store what they list; a dry run stores nothing.

    `on_report` is called with each platform's report as soon as it is there. Nothing that one platform does keeps
    another from being stored. Raises nothing that a platform caused.
    """
    began = monotonic()
    report = SyncReport()

    def finish(code: str, outcome: PlatformReport) -> None:
        report.platforms[code] = outcome
        on_report(code, outcome)

    asked = Platform.objects.filter(code__in=codes or PLATFORMS)
    if not codes:
        asked = asked.filter(enabled=True)
    callable_codes = []
    for platform in asked:
        if until := platform.paused_until(timezone.now()):
            finish(platform.code, _not_tried(platform, until, dry_run=dry_run))
        else:
            callable_codes.append(platform.code)
    for code, fetched, seconds in _fetch_all(callable_codes):
        finish(code, _store_or_fail(code, fetched, seconds, dry_run=dry_run))
    report.platforms = {code: report.platforms[code] for code in PLATFORMS if code in report.platforms}
    report.seconds = monotonic() - began
    if report.changed and not dry_run:
        contests_changed.send(sender=None)
    return report


def _fetch_all(codes: Sequence[str]) -> Iterable[tuple[str, Listing | Exception, float]]:
    """Each platform's listing, or why there is none, and the seconds it took; in the order in which they come.

    In threads that nobody waits for who interrupts this process.
    """
    fetched: SimpleQueue[tuple[str, Listing | Exception, float]] = SimpleQueue()
    for code in codes:
        Thread(target=lambda code: fetched.put(_fetch(code)), args=(code,), name=f"sync {code}", daemon=True).start()
    for _ in codes:
        yield fetched.get()


def _fetch(code: str) -> tuple[str, Listing | Exception, float]:
    began = monotonic()
    try:
        outcome: Listing | Exception = PLATFORMS[code](settings.PLATFORM_URLS[code]).fetch()
    except Exception as error:  # one platform's fault, whatever it is, stays its own
        outcome = error
    return code, outcome, monotonic() - began


def _not_tried(platform: Platform, until: datetime, *, dry_run: bool) -> PlatformReport:
    error = (
        f"{platform.name} was not asked: it failed {platform.failures_in_a_row} times in a row. "
        f"The next try is possible at {until:%H:%M:%S} UTC."
    )
    report = PlatformReport(ok=False, error=error)
    if not dry_run:
        _remember(platform, timezone.now(), report)
    return report


def _store_or_fail(code: str, fetched: Listing | Exception, seconds: float, *, dry_run: bool) -> PlatformReport:
    began = monotonic()
    now = timezone.now()
    try:
        if isinstance(fetched, Exception):
            raise fetched
        report = _store(code, fetched, now, seconds, dry_run=dry_run)
    except PlatformError as error:
        report = PlatformReport(ok=False, error=str(error))
    except Exception as error:
        logger.exception("Syncing %s failed in an unexpected way", code)
        report = PlatformReport(ok=False, error=f"Unexpected {type(error).__name__}: {error}")
    report.seconds = seconds + monotonic() - began
    if not report.ok and not dry_run:
        _record_failure(code, now, report)
    return report


@transaction.atomic
def _record_failure(code: str, now: datetime, report: PlatformReport) -> None:
    platform = Platform.objects.select_for_update().get(code=code)
    platform.record_failure(now, report.error or "")
    _save(platform)
    _remember(platform, now, report)


@transaction.atomic
def _store(code: str, listing: Listing, now: datetime, seconds: float, *, dry_run: bool) -> PlatformReport:
    """Write what a platform lists. Raises PlatformError where the answer is not plausible.

    1. Lock the platform's row, so that two syncs of it take turns.
    2. Compare what is listed with what is stored.
    3. Note what is missing for the first time, and cancel what is missing for the second.
    4. Write new and changed contests in one statement, and remember the changes.
    """
    platform = Platform.objects.select_for_update().get(code=code)
    stored = {contest.key: contest for contest in platform.contests.all()}
    missing = _missing(stored.values(), listing, now)
    listed = [contest for contest in listing.contests if contest.ends_at >= now - KEPT_AFTER_END]

    report = PlatformReport(fetched=listing.fetched, rejected=len(listing.rejected))
    report.rejected_rows = [asdict(row) for row in listing.rejected[:REJECTED_ROWS_KEPT]]
    written: list[Contest] = []
    changes: list[ContestChange] = []
    for row in listed:
        contest = stored.get(row.key)
        if contest is None:
            written.append(_created(platform, row, now))
            report.created += 1
            continue
        differences = _update(contest, row, now)
        changes += differences
        report.updated += bool(differences)
        if differences or contest.missing_since:
            contest.missing_since, contest.last_seen_at = None, now
            written.append(contest)
    for contest in missing:
        if contest.missing_since:
            contest.cancelled_at = now
            _renumber(contest, now)
            changes.append(_change(contest, "cancelled_at", None, now, now))
            report.cancelled += 1
        else:
            contest.missing_since, contest.last_seen_at = now, platform.last_success_at or contest.last_seen_at
        written.append(contest)
    report.unchanged = len(listed) - report.created - report.updated

    _write(written, changes)
    platform.record_success(now)
    _save(platform)
    report.seconds = seconds
    _remember(platform, now, report)
    if dry_run:
        transaction.set_rollback(True)
    return report


def _missing(stored: Iterable[Contest], listing: Listing, now: datetime) -> list[Contest]:
    """The upcoming contests that a complete answer does not name. Raises PlatformError where it names none of many."""
    if not listing.names_every_row:
        return []
    expected = [contest for contest in stored if contest.starts_at > now and not contest.cancelled_at]
    listed_keys = listing.listed_keys
    missing = [contest for contest in expected if contest.key not in listed_keys]
    if len(missing) == len(expected) and len(missing) >= IMPLAUSIBLE_LOSS:
        raise PlatformError(f"The answer lists none of the {len(missing)} upcoming contests known so far.")
    return missing


def _created(platform: Platform, row: ListedContest, now: datetime) -> Contest:
    fields = {name: getattr(row, name) for name in WRITTEN}
    return Contest(platform=platform, key=row.key, last_seen_at=now, first_seen_at=now, changed_at=now, **fields)


def _update(contest: Contest, row: ListedContest, now: datetime) -> list[ContestChange]:
    """Make the stored contest what is listed, and say what was different.

    An end that moved only because the start or the duration did is no change of its own.
    """
    differing = [name for name in WRITTEN if getattr(contest, name) != getattr(row, name)]
    told = [name for name in differing if name != "ends_at" or not {"starts_at", "duration"} & {*differing}]
    changes = [_change(contest, name, getattr(contest, name), getattr(row, name), now) for name in told]
    if contest.cancelled_at or IN_CALENDARS & {*differing}:
        _renumber(contest, now)
    if contest.cancelled_at:
        changes.append(_change(contest, "cancelled_at", contest.cancelled_at, None, now))
        contest.cancelled_at = None
    for name in differing:
        setattr(contest, name, getattr(row, name))
    return changes


def _renumber(contest: Contest, now: datetime) -> None:
    """Tell calendars that they hold an older version."""
    contest.sequence += 1
    contest.changed_at = now


def _change(contest: Contest, name: str, old: object, new: object, now: datetime) -> ContestChange:
    def text(value: object) -> str:
        return value.isoformat() if isinstance(value, datetime) else "" if value is None else str(value)

    return ContestChange(contest=contest, field=name, old=text(old), new=text(new), changed_at=now)


def _write(contests: list[Contest], changes: list[ContestChange]) -> None:
    Contest.objects.bulk_create(
        contests,
        batch_size=WRITE_BATCH,
        update_conflicts=True,
        unique_fields=["platform", "key"],
        update_fields=[*WRITTEN, "cancelled_at", "missing_since", "last_seen_at", "changed_at", "sequence"],
    )
    ContestChange.objects.bulk_create(changes, batch_size=WRITE_BATCH)


def _save(platform: Platform) -> None:
    """Only what a sync decides: what staff edit at the same moment stays theirs."""
    platform.save(update_fields=Platform.BREAKER_FIELDS)


def _remember(platform: Platform, now: datetime, report: PlatformReport) -> None:
    counts = {name: getattr(report, name) for name in COUNTS}
    PlatformSync.objects.create(
        platform=platform,
        started_at=now - timedelta(seconds=report.seconds),
        duration=timedelta(seconds=report.seconds),
        rejected_rows=report.rejected_rows,
        error=report.error or "",
        **counts,
    )
