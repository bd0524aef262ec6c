"""Sending once more what was sent, or was not: asked for by staff."""

from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass, field
from datetime import datetime

from django.db import transaction

from notifications.models import OPEN_STATUSES, Notification, Replan, Status

MOST_AT_ONCE = 1_000
"""Notifications that one request sends again."""


@dataclass(frozen=True, slots=True)
class Resent:
    """Those that wait to be sent again, as they were before; how many were refused, by the sentence that says why."""

    again: list[Notification] = field(default_factory=list)
    refused: Counter[str] = field(default_factory=Counter)


def why_not(notification: Notification, now: datetime) -> str:
    """The sentence with which a notification is refused; nothing where it may be sent again."""
    if notification.status in OPEN_STATUSES:
        return "It waits to be sent already."
    if notification.expires_at <= now:
        return "Its time is over: nobody is told of what is worth nothing any more."
    if notification.channel.disabled_at:
        return "Its channel is off."
    if notification.channel.verified_at is None:
        return "Its channel is not verified."
    return ""


@transaction.atomic
def resend(keys: Collection[int], now: datetime) -> Resent:
    """Let these wait to be sent again, each in a message of its own identity; at most `MOST_AT_ONCE`.

    Their members are marked, so that the next plan looks whether they are still wanted before they leave: one that is
    not is skipped again, with the reason.
    """
    resent = Resent()
    # Those that are being sent belong to who sends them, and are not waited for.
    found = Notification.objects.filter(pk__in=keys).select_related("channel").order_by("pk")
    over = found.exclude(status__in=OPEN_STATUSES).select_for_update(of=("self",), no_key=True)
    for notification in over[:MOST_AT_ONCE]:
        if reason := why_not(notification, now):
            resent.refused[reason] += 1
        else:
            resent.again.append(notification)
    if waiting := found.filter(status__in=OPEN_STATUSES).count():
        resent.refused["It waits to be sent already."] += waiting
    again = [notification.pk for notification in resent.again]
    Notification.objects.filter(pk__in=again).update(
        status=Status.PENDING,
        available_at=now,
        attempts=0,
        claim=None,
        message=None,
        sent_at=None,
        delivered_at=None,
        read_at=None,
        error="",
    )
    Replan.objects.bulk_create(
        [Replan(user_id=user) for user in sorted({notification.channel.user_id for notification in resent.again})]
    )
    return resent
