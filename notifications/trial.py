"""The test of a channel: a message like any other, on the way that all of them go."""

from datetime import datetime, timedelta
from math import ceil

from django.db import transaction

from notifications.models import Channel, Notification, NotificationKind

MOST_TESTS = 5
WITHIN = timedelta(hours=1)
"""At most so many for one channel."""

WORTH = timedelta(hours=1)
"""Who pressed the button longer ago does not look for the message any more."""


class NotTested(Exception):
    """No test was asked for. `str(error)` says why, in a sentence."""


@transaction.atomic
def ask_for_test(pk: int, now: datetime) -> Notification:
    """Plan a test of this channel, due now. Raises NotTested.

    The channel's row is held meanwhile, so that nobody counts while another one adds.
    """
    channel = Channel.objects.select_for_update(no_key=True).get(pk=pk)
    if why_not := channel.why_not:
        raise NotTested(f"Nothing can be sent to {channel.name}. {why_not}")
    recent = channel.notifications.filter(kind=NotificationKind.TEST, created_at__gt=now - WITHIN)
    times = list(recent.order_by("-created_at").values_list("created_at", flat=True)[:MOST_TESTS])
    if len(times) == MOST_TESTS:
        minutes = ceil((times[-1] + WITHIN - now) / timedelta(minutes=1))
        raise NotTested(
            f"{MOST_TESTS} tests were sent to {channel.name} within an hour: the next one can be sent in {minutes} min."
        )
    return Notification.objects.create(
        channel=channel,
        kind=NotificationKind.TEST,
        starts_at=now,
        due_at=now,
        available_at=now,
        expires_at=now + WORTH,
        created_at=now,
    )


def last_tests(channels: "list[Channel]", since: datetime) -> "dict[int, Notification]":
    """The newest test of each channel, of those asked for since then."""
    tests = Notification.objects.filter(channel__in=channels, kind=NotificationKind.TEST, created_at__gt=since)
    return {test.channel_id: test for test in tests.order_by("channel_id", "-created_at").distinct("channel_id")}
