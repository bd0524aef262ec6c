"""Who would be told of a contest, in Django admin: a page of members at a time, by the conditions of planning."""

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any

from django.http import HttpRequest
from django.urls import reverse
from django.utils.html import format_html
from django.utils.http import urlencode
from django.utils.safestring import SafeString

from config.admin import NOTHING, accounts_found, moment
from contests.models import Contest
from notifications.admin.words import COLOURS, label
from notifications.channels import title_of
from notifications.forms import lead_in_words
from notifications.models import Preference, Status
from notifications.outlook import Reminder, of_contest

MEMBERS_SHOWN = 50
LARGEST_ID = 2**31 - 1


def context(request: HttpRequest, contest: Contest, now: datetime) -> dict[str, Any]:
    """What the page is given. Three queries, however many members there are."""
    search, after = request.GET.get("q", "").strip()[:200], _id(request.GET.get("after", ""))
    members = [] if _over(contest, now) else _members(search, after)
    shown = members[:MEMBERS_SHOWN]
    told = reverse("admin:notifications_notification_changelist")
    return {
        "title": f"Who would be told of {contest.name}",
        "contest": contest,
        "contest_url": reverse("admin:contests_contest_change", args=[contest.pk]),
        "told_url": f"{told}?{urlencode({'contest__id__exact': contest.pk})}",
        "is_over": _over(contest, now),
        "search": search,
        "after": after,
        "next": shown[-1] if len(members) > MEMBERS_SHOWN else None,
        "table": {
            "headers": ["member", "told", "when", "how, or why not"],
            "rows": list(_rows(of_contest(contest.pk, now, shown))),
        },
    }


def _over(contest: Contest, now: datetime) -> str:
    """Why nobody will be reminded, whoever they are; nothing where some may be."""
    if contest.cancelled_at:
        return "It was cancelled: nobody is reminded of it."
    return "" if contest.starts_at > now else "It has begun: nobody is reminded of it any more."


def _id(text: str) -> int:
    return min(int(text), LARGEST_ID) if text.isascii() and text.isdigit() else 0


def _members(search: str, after: int) -> list[int]:
    """The accounts of a page, and one more where there is another page."""
    members = Preference.objects.filter(user__gt=after).order_by("user")
    if search:
        members = members.filter(user__in=accounts_found(search))
    return list(members.values_list("user", flat=True)[: MEMBERS_SHOWN + 1])


def _rows(reminders: Sequence[Reminder]) -> Iterator[list[SafeString | str]]:
    for reminder in reminders:
        url = reverse("admin:notifications_preference_change", args=[reminder.user])
        member = format_html('<a class="text-link" href="{}">{}</a>', url, reminder.username)
        lead = f", {lead_in_words(reminder.lead_minutes)} before" if reminder.lead_minutes else ""
        kind = title_of(reminder.channel_kind) if reminder.channel_kind else ""
        channel = f"{kind} to {reminder.channel_name}{lead}" if kind else ""
        said = format_html('{}<span class="aside">{}</span>', reminder.reason, channel) if reminder.reason else channel
        at = reminder.sent_at or (reminder.at if reminder.comes else None)
        yield [member, _state(reminder), moment(at) if at else NOTHING, said]


def _state(reminder: Reminder) -> SafeString:
    """The notification's own status once there is one that is over; else whether there will be one."""
    if reminder.comes:
        return label("will be", "info")
    if reminder.status is None or (reminder.reason and reminder.status == Status.PENDING):
        return label("no", "default")
    return label(reminder.status, COLOURS[Status(reminder.status)])
