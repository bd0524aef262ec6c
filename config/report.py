"""The weekly report to staff: what ran, who was told, what could be read, and what else is good to know.

A section is a function of the moment that gives figures, and a line in SECTIONS.
"""

import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from celery.exceptions import SoftTimeLimitExceeded
from django.conf import settings
from django.contrib.auth.models import User
from django.db import transaction
from django.db.models import Avg, Count, F, Max, Q
from django.template.loader import render_to_string
from django.urls import reverse
from django.utils import timezone
from django.utils.text import Truncator

from config.mail import mail_to, send_each
from contests.lengths import duration
from contests.models import Contest, Platform
from notifications import providers
from notifications.channels import CHANNELS, title_of
from notifications.models import OPEN_STATUSES, Channel, Notification, Provider, Status
from notifications.providers import Health
from scheduler.jobs import jobs
from scheduler.models import Pause, Run, Schedule
from scheduler.models import Status as RunStatus

logger = logging.getLogger(__name__)

WEEK = timedelta(days=7)
CONTESTS_SHOWN = 10
JOBS_SHOWN = 5
LONGEST_TEXT = 200


class ReportFailed(Exception):
    """A section without which there is no report could not be computed; `str(error)` says which and why."""


@dataclass(frozen=True, slots=True)
class Figures:
    """What a section found: a table, a remark below it, and sentences on what somebody should look at.

    A row begins with what it is about, and has a cell for each of the columns: a text, a number, a moment, a length of
    time or None. A column without a name needs none.
    """

    columns: Sequence[str]
    rows: Sequence[Sequence[Any]]
    remark: str = ""
    attention: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class Section:
    """`figures` takes the moment up to which a week is told. Without a critical section there is no report."""

    title: str
    figures: Callable[[datetime], Figures]
    critical: bool = False


@dataclass(frozen=True, slots=True)
class Report:
    now: datetime
    sections: Sequence[tuple[str, Figures]]
    left_out: Sequence[str]
    """Titles of the sections that could not be computed."""

    @property
    def attention(self) -> list[str]:
        return [sentence for _, figures in self.sections for sentence in figures.attention]

    @property
    def subject(self) -> str:
        count = len(self.attention)
        what = f"{count} {'thing' if count == 1 else 'things'} to look at" if count else "all is well"
        return f"CodeNotify's week: {what}"


def report_to_staff(run: str | None) -> dict[str, Any]:
    """Send the report to every active member of staff who has an address, each in their own time zone.

    `run` is the id by which a repetition is known. Returns the number of mails and the sections that were left out.
    Raises ReportFailed, and what `send_each` raises.
    """
    readers = _readers()
    if not readers:
        return {"sent": 0, "note": "No active member of staff has a mail address."}
    report = build(timezone.now())
    texts = {zone: _rendered(report, zone) for zone in set(readers.values())}
    mails = [
        mail_to(address, report.subject, texts[zone][0], html=texts[zone][1], run=run)
        for address, zone in readers.items()
    ]
    send_each(mails)
    return {"sent": len(mails), "left_out": list(report.left_out)}


def build(now: datetime) -> Report:
    """Compute every section. Raises ReportFailed where a critical one cannot be."""
    sections, left_out = [], []
    for section in SECTIONS:
        try:
            with transaction.atomic():  # so that one section's bad query is not the next one's
                sections.append((section.title, section.figures(now)))
        except SoftTimeLimitExceeded:
            raise
        except Exception as error:  # one section's fault, whatever it is, stays its own
            reason = f"The section “{section.title}” could not be computed: {type(error).__name__}: {error}"
            if section.critical:
                raise ReportFailed(f"No report was sent. {reason}") from error
            logger.exception("A report goes without one of its sections. %s", reason)
            left_out.append(section.title)
    return Report(now, sections, left_out)


def _readers() -> dict[str, ZoneInfo]:
    """The addresses, each once however it is written, and the time zones of their owners."""
    staff = User.objects.filter(is_active=True, is_staff=True).exclude(email="").select_related("preference")
    readers = {user.email.lower(): user for user in staff.order_by("-pk")}
    return {
        user.email: user.preference.zone if hasattr(user, "preference") else ZoneInfo("UTC")
        for user in reversed(readers.values())
    }


# --- Sections ------------------------------------------------------------------------------------------------------


def _runs(now: datetime) -> Figures:
    """Those that failed or were lost, which are kept; of those that succeeded most are gone after a day."""
    bad = Run.objects.filter(finished_at__gt=now - WEEK, status__in=(RunStatus.FAILED, RunStatus.LOST)).order_by()
    counts = bad.values_list("task").annotate(
        failed=Count("pk", filter=Q(status=RunStatus.FAILED)),
        lost=Count("pk", filter=Q(status=RunStatus.LOST)),
    )
    errors = dict(bad.order_by("task", "-finished_at").distinct("task").values_list("task", "error"))
    rows = [(_title(task), failed, lost, errors[task]) for task, failed, lost in counts.order_by("task")]
    return Figures(
        columns=("failed", "lost", "newest error"),
        rows=rows,
        remark="" if rows else "No run failed or was lost.",
        attention=[*_failing_jobs(rows), *_schedules_that_rest(now)],
    )


def _failing_jobs(rows: Sequence[tuple[str, int, int, str]]) -> Iterator[str]:
    for title, failed, lost, _ in rows:
        runs = "1 run" if failed + lost == 1 else f"{failed + lost:,} runs"
        yield f"{runs} of “{title}” failed or {'was' if failed + lost == 1 else 'were'} lost."


def _schedules_that_rest(now: datetime) -> Iterator[str]:
    for schedule in Schedule.objects.exclude(error="").filter(periodic_task__enabled=True).select_related():
        yield f"The schedule “{schedule}” does not run: {_one_line(schedule.error)}"
    for pause in Pause.objects.active(now).select_related("schedule__periodic_task"):
        yield f"Paused since {pause.created_at:%Y-%m-%d}: {pause}."


def _notifications(now: datetime) -> Figures:
    """By channel and by what is told; a channel that members are offered is there, though nothing went over it."""
    due = Notification.objects.filter(due_at__gt=now - WEEK, due_at__lte=now).order_by()
    statuses = (Status.SENT, Status.FAILED, Status.EXPIRED, Status.SKIPPED, *OPEN_STATUSES)
    counts = due.values_list("channel__kind", "kind").annotate(
        **{f"{each}_ones": Count("pk", filter=Q(status=each)) for each in statuses}
    )
    found: dict[str, dict[str, list[int]]] = {}
    for channel, kind, *numbers in counts.order_by("channel__kind", "kind"):
        found.setdefault(channel, {})[kind] = numbers
    rows: list[tuple[Any, ...]] = []
    for channel in dict.fromkeys((*_offered(), *found)):
        for kind, (*over, pending, sending) in found.get(channel, {"": [0] * len(statuses)}).items():
            rows.append((", ".join(filter(None, (title_of(channel), kind))), *over, pending + sending))
    failed, expired = (sum(row[column] for row in rows) for column in (2, 3))
    return Figures(
        columns=("sent", "failed", "expired", "skipped", "waiting"),
        rows=rows,
        attention=[
            f"{count:,} {'notification' if count == 1 else 'notifications'} {what}."
            for count, what in ((failed, "failed"), (expired, "expired before being sent"))
            if count
        ],
    )


def _channels(now: datetime) -> Figures:
    """How each does at this moment; one that is not set up is there where something waits for it."""
    queues, known = providers.queues(now), {provider.kind: provider for provider in Provider.objects.all()}
    shown = {kind: known[kind] for kind in CHANNELS if kind in known}
    rows, attention = [], []
    for kind, provider in shown.items():
        health, queue = providers.health_of(provider), queues[kind]
        if health == Health.ABSENT and not queue.waiting:
            continue
        oldest = [f"the oldest due {queue.oldest:%Y-%m-%d %H:%M} UTC"] if queue.oldest else []
        rows.append((title_of(kind), health.label, provider.last_success_at, ", ".join([queue.counted, *oldest])))
        if health == Health.DOWN:
            trouble = _one_line(providers.trouble_of(provider, now))
            attention.append(f"Nothing can be sent by {title_of(kind)}: {trouble}")
        if health == Health.ABSENT:
            attention.append(f"{str(queue).capitalize()} for {title_of(kind)}, which is not set up.")
    return Figures(columns=("", "last success", "waiting"), rows=rows, attention=attention)


def _offered() -> Iterator[str]:
    return (kind for kind, channel in CHANNELS.items() if channel.is_configured())


def _platforms(now: datetime) -> Figures:
    asked = Q(syncs__started_at__gt=now - WEEK)
    platforms = Platform.objects.annotate(
        asked=Count("syncs", filter=asked),
        failed=Count("syncs", filter=asked & ~Q(syncs__error="")),
    )
    return Figures(
        columns=("asked", "in vain", "last read"),
        rows=[
            (f"{each.name}{'' if each.enabled else ' (off)'}", each.asked, each.failed, each.last_success_at)
            for each in platforms
        ],
        attention=[
            f"{each.name} cannot be read: {_one_line(each.last_error)}"
            for each in platforms
            if each.enabled and each.is_failing
        ],
    )


def _members(now: datetime) -> Figures:
    users = User.objects.aggregate(
        all=Count("pk"),
        new=Count("pk", filter=Q(date_joined__gt=now - WEEK)),
        paused=Count("pk", filter=Q(preference__paused=True)),
        away=Count("pk", filter=Q(preference__active=False)),
    )
    disabled = Channel.objects.filter(disabled_at__gt=now - WEEK).count()
    return Figures(
        columns=("",),
        rows=[
            ("members", users["all"]),
            ("new this week", users["new"]),
            ("with reminders paused", users["paused"]),
            ("away for long", users["away"]),
            ("addresses given up this week", disabled),
        ],
    )


def _upcoming(now: datetime) -> Figures:
    upcoming = Contest.objects.upcoming(now).filter(starts_at__lte=now + WEEK, is_training=False)
    first, count = list(upcoming.select_related("platform")[:CONTESTS_SHOWN]), upcoming.count()
    more = f"And {count - len(first):,} more within seven days." if count > len(first) else ""
    return Figures(
        columns=("on", "starts"),
        rows=[(contest.name, contest.platform.name, contest.starts_at) for contest in first],
        remark=more if first else "None within seven days.",
    )


def _slowest(now: datetime) -> Figures:
    ended = Run.objects.filter(finished_at__gt=now - WEEK, status__in=(RunStatus.SUCCEEDED, RunStatus.FAILED))
    took = F("finished_at") - F("started_at")
    slowest = ended.order_by().exclude(started_at=None).values_list("task").annotate(longest=Max(took), usual=Avg(took))
    rows = [(_title(task), longest, usual) for task, longest, usual in slowest.order_by("-longest")[:JOBS_SHOWN]]
    return Figures(
        columns=("longest run", "on average"),
        rows=rows,
        remark="Among the runs that are still kept." if rows else "Nothing ran.",
    )


SECTIONS = (
    Section("Runs that failed", _runs, critical=True),
    Section("Notifications", _notifications, critical=True),
    Section("Channels", _channels, critical=True),
    Section("Platforms", _platforms, critical=True),
    Section("Upcoming contests", _upcoming),
    Section("Members", _members),
    Section("Slowest jobs", _slowest),
)


def _title(task: str) -> str:
    job = jobs().get(task)
    return job.title if job else task


# --- The mail ------------------------------------------------------------------------------------------------------


def _rendered(report: Report, zone: ZoneInfo) -> tuple[str, str]:
    """The report as text and as HTML, with its moments in the zone."""
    context = {
        "subject": report.subject,
        "since": _shown(report.now - WEEK, zone),
        "until": _shown(report.now, zone),
        "zone": zone.key,
        "attention": report.attention,
        "sections": [
            {
                "title": title,
                "rows": [_row(figures.columns, row, zone) for row in figures.rows],
                "remark": figures.remark,
            }
            for title, figures in report.sections
        ],
        "left_out": report.left_out,
        "admin_url": settings.SITE_URL + reverse("admin:index"),
    }
    return render_to_string("report/report.txt", context), render_to_string("report/report.html", context)


def _row(columns: Sequence[str], row: Sequence[Any], zone: ZoneInfo) -> dict[str, str]:
    subject, *cells = (_shown(cell, zone) for cell in row)
    pairs = zip(columns, cells, strict=True)
    return {"subject": subject, "figures": " · ".join(f"{column} {cell}".strip() for column, cell in pairs)}


def _shown(cell: Any, zone: ZoneInfo) -> str:
    match cell:
        case None:
            return "never"
        case datetime():
            return f"{cell.astimezone(zone):%a %-d %b %Y, %H:%M}"
        case timedelta() if cell < timedelta(minutes=1):
            return f"{cell.total_seconds():.1f} s"
        case timedelta():
            return duration(cell)
        case int():
            return f"{cell:,}"
    return _one_line(str(cell))


def _one_line(text: str) -> str:
    return Truncator(" ".join(text.split())).chars(LONGEST_TEXT)
