"""What the member was told.

A GET changes nothing here, as nowhere else: browsers fetch pages ahead, and mail programs and scanners follow links.
What marks something as read is a POST, opening it from the inbox too: its title is a button that leads on.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from notifications import inbox
from notifications.forms import lead_in_words
from notifications.inbox import Thing
from notifications.models import Notification, NotificationKind
from notifications.views import paging
from notifications.views.visitor import member, sent_by_member

ON_A_PAGE = 50


@dataclass(frozen=True, slots=True)
class Row:
    """A thing, with what is said of it in the visitor's words and zone."""

    thing: Thing
    day: date
    leads: str
    channels: str


@login_required
@never_cache
@require_safe
def inbox_page(request: HttpRequest) -> HttpResponse:
    after = paging.read(request.GET.get("after", ""))
    unread = request.GET.get("show") == "unread"
    found = inbox.things(member(request).pk, ON_A_PAGE + 1, after=after, unread=unread)
    shown = found[:ON_A_PAGE]
    context = {
        "rows": [_row(thing) for thing in shown],
        "now": timezone.now(),
        "until": paging.written((timezone.now(), 0)),
        "only_unread": unread,
        "query": f"?{request.GET.urlencode()}" if request.GET else "",
        "is_first": after is None,
        "older": paging.written((shown[-1].told_at, shown[-1].notification)) if len(found) > ON_A_PAGE else "",
    }
    return render(request, "notifications/inbox.html", context)


def _row(thing: Thing) -> Row:
    return Row(
        thing=thing,
        day=timezone.localdate(thing.told_at),
        leads=_listed([lead_in_words(lead) for lead in thing.leads]),
        channels=_listed(sorted({channel.get_kind_display() for channel in thing.channels}, key=str.lower)),
    )


def _listed(words: Sequence[str]) -> str:
    return " and ".join(filter(None, (", ".join(words[:-1]), words[-1]))) if words else ""


@sent_by_member
def read_all(request: HttpRequest) -> HttpResponse:
    """What was told until the page was shown: nobody has seen what came since."""
    now = timezone.now()
    until, _ = paging.read(request.POST.get("until", "")) or (now, 0)
    inbox.mark_all_read(member(request).pk, until, now)
    return _back(request)


@sent_by_member
def read_one(request: HttpRequest, notification: int) -> HttpResponse:
    inbox.mark_read(_own(request, notification), timezone.now())
    return _back(request)


@sent_by_member
def open_one(request: HttpRequest, notification: int) -> HttpResponse:
    """Mark it as read, and lead to what it is about."""
    found = _own(request, notification)
    inbox.mark_read(found, timezone.now())
    if found.contest:
        return redirect(found.contest)
    return redirect("channels" if found.kind == NotificationKind.CHANNEL_OFF else "contests")


def _back(request: HttpRequest) -> HttpResponse:
    """To the page of the inbox that the visitor was on."""
    query = request.GET.urlencode()
    return redirect(f"{reverse('inbox')}{'?' if query else ''}{query}")


def _own(request: HttpRequest, notification: int) -> Notification:
    told = inbox.told(member(request).pk).select_related("channel", "contest")
    return get_object_or_404(told, pk=notification)
