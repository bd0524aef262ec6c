"""The page of contests: what runs now and what comes, by day, in the visitor's own time."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from itertools import groupby
from typing import Any

from django.db.models import Q
from django.urls import reverse
from django.utils import timezone
from django.views.generic import TemplateView

from contests.models import Contest, ContestChange, ContestQuerySet, Platform
from contests.views.choice import Choice, filters
from contests.views.month import month_url
from contests.views.troubles import never_asked, never_read, troubles

MOST_ROWS = 500
MOVED_LATELY = timedelta(days=7)


@dataclass(frozen=True, slots=True)
class Row:
    contest: Contest
    moved_from: datetime | None


@dataclass(frozen=True, slots=True)
class Day:
    title: str
    rows: Sequence[Row]


class ContestsView(TemplateView):
    template_name = "contests/list.html"

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        now = timezone.now()
        platforms = list(Platform.objects.all())
        choice = Choice.read(self.request.GET, [platform.code for platform in platforms])
        contests = list(_current(now).filter(choice.condition).select_related("platform")[: MOST_ROWS + 1])
        rows = _rows(contests[:MOST_ROWS], now)
        return super().get_context_data(
            **kwargs,
            **filters(choice, platforms, reverse("contests")),
            now=now,
            month_url=month_url(timezone.localdate(now), choice),
            everything_url=reverse("contests") + Choice(trainings=True).query,
            running=_running(rows, now),
            days=_days([row for row in rows if row.contest.starts_at > now], now),
            most_rows=MOST_ROWS if len(contests) > MOST_ROWS else None,
            troubles=troubles([platform for platform in platforms if choice.includes(platform)], now),
            never_read=never_read(platforms),
            never_asked=never_asked(platforms),
            others_exist=not contests and _current(now).exists(),
        )


def _current(now: datetime) -> ContestQuerySet:
    """What is not over yet; the cancelled ones until the moment at which they would have started."""
    return Contest.objects.filter(ends_at__gt=now).filter(Q(cancelled_at=None) | Q(starts_at__gt=now))


def _rows(contests: Sequence[Contest], now: datetime) -> list[Row]:
    moved_from = _moved_from(contests, now)
    return [Row(contest, moved_from.get(contest.pk)) for contest in contests]


def _running(rows: Iterable[Row], now: datetime) -> list[Row]:
    """What runs now, first what ends first."""
    running = (row for row in rows if row.contest.starts_at <= now)
    return sorted(running, key=lambda row: (row.contest.ends_at, row.contest.pk))


def _moved_from(contests: Sequence[Contest], now: datetime) -> dict[int, datetime]:
    """The start that each contest had before it moved lately, where it is not back there."""
    changes = (
        ContestChange.objects.filter(contest__in=contests, field="starts_at", changed_at__gte=now - MOVED_LATELY)
        .order_by("-changed_at", "-id")
        .values_list("contest_id", "old")
    )
    before = {contest: datetime.fromisoformat(old) for contest, old in changes}  # the oldest one comes last and stays
    return {
        contest.pk: before[contest.pk]
        for contest in contests
        if contest.pk in before and before[contest.pk] != contest.starts_at
    }


def _days(rows: Iterable[Row], now: datetime) -> list[Day]:
    today = timezone.localdate(now)
    by_day = groupby(rows, key=lambda row: timezone.localdate(row.contest.starts_at))
    return [Day(_title(day, today), list(group)) for day, group in by_day]


def _title(day: date, today: date) -> str:
    name = {0: "Today, ", 1: "Tomorrow, "}.get((day - today).days, "")
    year = f" {day.year}" if day.year != today.year else ""
    return f"{name}{day:%A} {day.day} {day:%B}{year}"
