"""What a reminder says, in the member's own time."""

from collections.abc import Sequence
from datetime import datetime
from zoneinfo import ZoneInfo

from django.conf import settings
from django.core.signing import BadSignature, Signer
from django.template.loader import render_to_string
from django.urls import reverse
from django.utils import timezone

from contests.models import Contest
from notifications.channels.base import Message
from notifications.models import Notification

_UNSUBSCRIBE_HERE = "https://unsubscribe.invalid/"
"""Stands in rendered text for the one thing in which two members' mails differ."""

_signer = Signer(salt="notifications.unsubscribe")


def unsubscribe_url(channel: int) -> str:
    """The absolute address at which this channel's owner, and nobody else, turns its reminders off."""
    return settings.SITE_URL + reverse("unsubscribe", args=[_signer.sign_object({"channel": channel})])


def unsubscribing_channel(token: str) -> int | None:
    """The channel that a token of `unsubscribe_url` speaks of; None where it is forged or damaged."""
    try:
        return int(_signer.unsign_object(token)["channel"])
    except (BadSignature, KeyError, TypeError, ValueError):
        return None


class Renderer:
    """Renders each distinct message once: the same contests in the same zone read the same for everybody."""

    def __init__(self) -> None:
        self._rendered: dict[tuple[object, ...], tuple[str, str, str]] = {}

    def message(self, notifications: Sequence[Notification]) -> Message:
        """The message that carries these notifications, which share one channel and the message's identity."""
        channel, identity = notifications[0].channel, notifications[0].message
        assert identity is not None
        zone = channel.user.preference.zone
        contests = list(dict.fromkeys(item.contest for item in notifications if item.contest is not None))
        key = (zone.key, *(contest.pk for contest in contests))
        if key not in self._rendered:
            self._rendered[key] = _render(contests, zone)
        subject, text, html = self._rendered[key]
        url = unsubscribe_url(channel.pk)
        return Message(
            id=identity,
            address=channel.address,
            subject=subject,
            text=text.replace(_UNSUBSCRIBE_HERE, url),
            html=html.replace(_UNSUBSCRIBE_HERE, url),
            unsubscribe_url=url,
            expires_at=min(item.starts_at for item in notifications),
        )


def _render(contests: Sequence[Contest], zone: ZoneInfo) -> tuple[str, str, str]:
    subject = _subject(contests, zone)
    context = {
        "subject": subject,
        "contests": contests,
        "zone": zone.key,
        "site_url": settings.SITE_URL,
        "preferences_url": settings.SITE_URL + reverse("preferences"),
        "unsubscribe_url": _UNSUBSCRIBE_HERE,
    }
    with timezone.override(zone):
        text = render_to_string("notifications/reminder.txt", context)
        html = render_to_string("notifications/reminder.html", context)
    return subject, text, html


def _subject(contests: Sequence[Contest], zone: ZoneInfo) -> str:
    first = contests[0]
    when = _moment(first.starts_at, zone)
    if len(contests) == 1:
        return f"{_one_line(first.name)} starts {when}"
    names = ", ".join(_one_line(contest.name) for contest in contests[:3])
    more = f" and {len(contests) - 3} more" if len(contests) > 3 else ""
    return f"{len(contests)} contests from {when}: {names}{more}"


def _moment(moment: datetime, zone: ZoneInfo) -> str:
    return f"{moment.astimezone(zone):%a %-d %b %H:%M}"


def _one_line(name: str) -> str:
    return " ".join(name.split())
