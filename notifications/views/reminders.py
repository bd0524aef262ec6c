"""My reminders: what will be told and why not, and what was told and why not, channel by channel."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from itertools import groupby
from typing import Any
from urllib.parse import urlencode

from django.contrib.auth.decorators import login_required
from django.db.models import Q, QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from contests.models import Contest
from notifications import outlook
from notifications.channels import title_of
from notifications.forms import lead_in_words
from notifications.models import OPEN_STATUSES, Channel, Notification, NotificationKind, Status
from notifications.outlook import Reminder
from notifications.views import paging
from notifications.views.sentence import joined
from notifications.views.visitor import member

ON_A_PAGE = 50
COMING_AT_FIRST = 10
"""Contests; the others are a click away."""

MOST_COMING = 2_000
"""Rows of the outlook: contests by channels by lead times."""

STATES = {
    "sent": "Sent",
    "waiting": "Waiting",
    "failed": "Failed",
    "expired": "Expired",
    "skipped": "Skipped",
}


@dataclass(frozen=True, slots=True)
class Chip:
    label: str
    url: str
    chosen: bool


@dataclass(frozen=True, slots=True)
class Lead:
    """One lead time on one channel; `at` is when it comes, or came."""

    words: str
    at: datetime | None
    status: str
    reason: str


@dataclass(frozen=True, slots=True)
class OnChannel:
    name: str
    kind: str
    leads: Sequence[Lead]
    reason: str


@dataclass(frozen=True, slots=True)
class Coming:
    """An upcoming contest: what comes of it on which channel, or the `reason` why nothing does at all."""

    contest: Contest
    channels: Sequence[OnChannel]
    reason: str
    comes: bool


@dataclass(frozen=True, slots=True)
class Told:
    notification: Notification
    day: date
    at: datetime
    lead: str
    state: str
    reason: str


@login_required
@never_cache
@require_safe
def reminders(request: HttpRequest) -> HttpResponse:
    user, now = member(request), timezone.now()
    channels = list(user.channels.all())
    state = request.GET.get("state", "") if request.GET.get("state") in STATES else ""
    channel = next((each for each in channels if str(each.pk) == request.GET.get("channel")), None)
    after = paging.read(request.GET.get("after", ""))
    everything = request.GET.get("show") == "everything"
    context = {
        "now": now,
        "states": _state_chips(state, channel),
        "channels": _channel_chips(state, channel, channels) if len(channels) > 1 else [],
        "filtered": bool(state or channel or after),
        "everything": everything,
        **_past(_history(user.pk, now, state, channel), now, state, channel, after),
    }
    if not context["filtered"]:
        context |= _ahead(user.pk, now, everything) | {"digests": _digests(user.pk, now)}
    return render(request, "notifications/reminders.html", context)


# --- What is coming ------------------------------------------------------------------------------------------------


def _ahead(user: int, now: datetime, everything: bool) -> dict[str, Any]:
    """What will be told of the first contests; with `everything`, what will not be told too."""
    rows = outlook.of_member(user, now, MOST_COMING)
    found = [list(group) for _, group in groupby(rows, key=lambda row: row.contest)]
    told = [of_contest for of_contest in found if any(row.comes for row in of_contest)]
    shown = found if everything else told[:COMING_AT_FIRST]
    contests = Contest.objects.select_related("platform").in_bulk([of_contest[0].contest for of_contest in shown])
    reasons = Counter(row.reason for row in rows if row.reason)
    return {
        "coming": [_coming(contests[rows[0].contest], rows) for rows in shown if rows[0].contest in contests],
        "more_coming": len(told) - len(shown),
        "not_coming": len(found) - len(told),
        "why_not": [reason for reason, _ in reasons.most_common(3)] if not told else [],
        "cut_off": len(rows) == MOST_COMING,
    }


def _digests(user: int, now: datetime) -> list[tuple[datetime, int, str]]:
    """Of each digest that comes next, when, with how many contests so far, and on which channels."""
    found = outlook.digests_of_member(user, now)
    return [
        (at, contests, joined(f"{title_of(each.channel_kind)} to {each.channel_name}" for each in group))
        for (at, contests), group in groupby(found, key=lambda each: (each.at, each.contests))
    ]


def _coming(contest: Contest, rows: Sequence[Reminder]) -> Coming:
    comes = any(row.comes for row in rows)
    if rows[0].channel is None:
        return Coming(contest, (), rows[0].reason, comes)
    by_channel = groupby(rows, key=lambda row: row.channel)
    return Coming(contest, [_on_channel(list(group)) for _, group in by_channel], "", comes)


def _on_channel(rows: Sequence[Reminder]) -> OnChannel:
    first = rows[0]
    kind = Channel(kind=first.channel_kind or "").get_kind_display()
    if first.lead_minutes is None:
        return OnChannel(first.channel_name or "", kind, (), first.reason)
    return OnChannel(first.channel_name or "", kind, [_lead(row) for row in rows], "")


def _lead(row: Reminder) -> Lead:
    return Lead(
        words=lead_in_words(row.lead_minutes or 0),
        at=row.sent_at or row.at,
        status="comes" if row.comes else row.status or Status.SKIPPED,
        reason=row.reason,
    )


# --- What was ------------------------------------------------------------------------------------------------------


def _history(user: int, now: datetime, state: str, channel: Channel | None) -> "QuerySet[Notification]":
    """What was due. What is planned and not due yet is coming."""
    waiting = Q(status__in=OPEN_STATUSES) & (Q(due_at__lte=now) | Q(attempts__gt=0))
    found = Notification.objects.filter(channel=channel) if channel else Notification.objects.filter(channel__user=user)
    if state == "waiting":
        return found.filter(waiting)
    return found.filter(status=state) if state else found.filter(waiting | ~Q(status__in=OPEN_STATUSES))


def _past(
    found: "QuerySet[Notification]", now: datetime, state: str, channel: Channel | None, after: paging.Cursor | None
) -> dict[str, Any]:
    if after:
        found = found.filter(Q(due_at__lt=after[0]) | Q(due_at=after[0], pk__lt=after[1]))
    rows = list(found.select_related("channel", "contest__platform").order_by("-due_at", "-pk")[: ON_A_PAGE + 1])
    shown = rows[:ON_A_PAGE]
    older = paging.written((shown[-1].due_at, shown[-1].pk)) if len(rows) > ON_A_PAGE else ""
    return {
        "told": [_told(notification, now) for notification in shown],
        "older": _url(state, channel, older) if older else "",
        "is_first": after is None,
        "newest": _url(state, channel),
        "state": STATES.get(state, "").lower(),
    }


def _told(notification: Notification, now: datetime) -> Told:
    at = notification.sent_at or notification.due_at
    return Told(
        notification=notification,
        day=timezone.localdate(at),
        at=at,
        lead=lead_in_words(notification.lead_minutes) if notification.kind == NotificationKind.REMINDER else "",
        state="waiting" if notification.status in OPEN_STATUSES else notification.status,
        reason=_reason(notification, now),
    )


def _reason(notification: Notification, now: datetime) -> str:
    """Why it was not sent, or not yet; nothing where it was."""
    if notification.status == Status.SENT:
        return ""
    if notification.status not in OPEN_STATUSES:
        return notification.error
    if notification.status == Status.SENDING and notification.available_at > now:
        return "It is being sent at this moment."
    if notification.available_at <= now:
        return f"{notification.error} It leaves with the next round.".strip()
    when = timezone.localtime(notification.available_at)
    later = f"It is tried again at {when:%H:%M}." if notification.attempts else f"It waits until {when:%H:%M}."
    quiet = "" if notification.attempts or notification.error else "You have quiet hours."
    return " ".join(filter(None, (notification.error, quiet, later)))


# --- The choice, in the address ------------------------------------------------------------------------------------


def _url(state: str = "", channel: Channel | None = None, after: str = "") -> str:
    parameters = {"state": state, "channel": str(channel.pk) if channel else "", "after": after}
    query = urlencode({name: value for name, value in parameters.items() if value})
    return reverse("reminders") + (f"?{query}" if query else "")


def _state_chips(state: str, channel: Channel | None) -> list[Chip]:
    return [
        Chip("All", _url("", channel), not state),
        *(Chip(label, _url(code, channel), code == state) for code, label in STATES.items()),
    ]


def _channel_chips(state: str, chosen: Channel | None, channels: Iterable[Channel]) -> list[Chip]:
    return [
        Chip("All channels", _url(state), chosen is None),
        *(Chip(f"{each.get_kind_display()}: {each.name}", _url(state, each), each == chosen) for each in channels),
    ]
