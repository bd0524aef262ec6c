"""A month of contests as a calendar, in the visitor's own time."""

from calendar import Calendar
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta

from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.http import require_safe

from contests.models import KEPT_AFTER_END, Contest, Platform
from contests.views.choice import Choice, filters
from contests.views.troubles import never_asked, troubles

MOST_CONTESTS = 1000
AHEAD = timedelta(days=366)
SPANS_DAYS_FROM = timedelta(hours=24)
"""Contests that take less are on the day of their start alone, though they may end after midnight."""

WEEKS = Calendar()  # begins with Monday


@dataclass(frozen=True, slots=True)
class Item:
    contest: Contest
    begins: bool
    """Whether it does so on this day."""


@dataclass(frozen=True, slots=True)
class Day:
    """One cell. Those beside the month belong to the one before or after, and are there to fill their week."""

    date: date
    items: Sequence[Item]
    is_beside: bool


@dataclass(frozen=True, slots=True)
class Link:
    month: date
    url: str


@require_safe
def this_month(request: HttpRequest) -> HttpResponse:
    choice = Choice.read(request.GET, Platform.objects.values_list("code", flat=True))
    return redirect(month_url(timezone.localdate(), choice))


@require_safe
def month_page(request: HttpRequest, year: str, month: str) -> HttpResponse:
    now = timezone.now()
    today = timezone.localdate(now)
    shown = date(int(year), int(month), 1)
    if not _is_known(shown, today):
        context = {"this_month": today, "days": KEPT_AFTER_END.days}
        return render(request, "contests/unknown_month.html", context, status=404)
    platforms = list(Platform.objects.all())
    choice = Choice.read(request.GET, [platform.code for platform in platforms])
    dates = list(WEEKS.itermonthdates(shown.year, shown.month))
    contests = list(_between(dates[0], dates[-1]).filter(choice.condition)[: MOST_CONTESTS + 1])
    context = {
        **filters(choice, platforms, request.path),
        "month": shown,
        "today": today,
        "today_url": f"{month_url(today, choice)}#today",
        "troubles": troubles([platform for platform in platforms if choice.includes(platform)], now),
        "never_asked": never_asked(platforms),
        "any": bool(contests),
        "days": _days(dates, contests[:MOST_CONTESTS], shown),
        "previous": _link(shown - timedelta(days=1), choice, today),
        "next": _link(shown + timedelta(days=31), choice, today),
        "most_contests": MOST_CONTESTS if len(contests) > MOST_CONTESTS else None,
    }
    return render(request, "contests/month.html", context)


def _is_known(month: date, today: date) -> bool:
    """Whether there may be contests in a month: older ones are not kept, later ones not announced."""
    return (today - KEPT_AFTER_END).replace(day=1) <= month <= today + AHEAD


def month_url(day: date, choice: Choice) -> str:
    """The month that a day is in, with that choice."""
    return reverse("month", args=[f"{day:%Y}", f"{day:%m}"]) + choice.query


def _link(day: date, choice: Choice, today: date) -> Link | None:
    """To the month of a day, where it may have contests."""
    month = day.replace(day=1)
    return Link(month, month_url(month, choice)) if _is_known(month, today) else None


def _between(first: date, last: date) -> "QuerySet[Contest]":
    """What goes on between the beginning of the first day and the end of the last."""
    return Contest.objects.filter(
        starts_at__lt=_midnight(last + timedelta(days=1)),
        ends_at__gt=_midnight(first),
    ).select_related("platform")


def _midnight(day: date) -> datetime:
    return timezone.make_aware(datetime.combine(day, time.min))


def _days(dates: Iterable[date], contests: Iterable[Contest], month: date) -> list[Day]:
    items = defaultdict[date, list[Item]](list)
    for contest in contests:
        starts_on = timezone.localdate(contest.starts_at)
        for day in _days_of(contest, starts_on):
            items[day].append(Item(contest, begins=day == starts_on))
    return [Day(day, items[day], is_beside=day.month != month.month) for day in dates]


def _days_of(contest: Contest, starts_on: date) -> Iterable[date]:
    if contest.ends_at - contest.starts_at < SPANS_DAYS_FROM:
        return [starts_on]
    ends_on = timezone.localdate(contest.ends_at - timedelta(microseconds=1))
    return (starts_on + timedelta(days=number) for number in range((ends_on - starts_on).days + 1))
