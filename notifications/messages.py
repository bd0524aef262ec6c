"""What members are told, in their own time."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

from django.conf import settings
from django.core.signing import BadSignature, Signer
from django.template.loader import render_to_string
from django.urls import reverse
from django.utils import timezone

from contests.models import Contest
from notifications.channels.base import Message
from notifications.models import Channel, Notification, NotificationKind, Purpose

PURPOSES = {
    NotificationKind.REMINDER: Purpose.REMINDERS,
    NotificationKind.MOVED: Purpose.CHANGES,
    NotificationKind.CANCELLED: Purpose.CHANGES,
    NotificationKind.DIGEST: Purpose.DIGEST,
}
"""What a member must want a channel for to be told on it; whatever else is told is no matter of choice."""

_UNSUBSCRIBE_HERE = "https://unsubscribe.invalid/"
"""Stands in rendered text for the one thing in which two members' mails differ."""

_signer = Signer(salt="notifications.unsubscribe")


def unsubscribe_url(channel: int, purpose: str) -> str:
    """The absolute address at which this channel's owner, and nobody else, ends what it is sent for this purpose."""
    token = _signer.sign_object({"channel": channel, "purpose": purpose})
    return settings.SITE_URL + reverse("unsubscribe", args=[token])


def unsubscribing(token: str) -> tuple[int, Purpose] | None:
    """The channel and the purpose that a token of `unsubscribe_url` speaks of; None where it is forged or damaged."""
    try:
        named = _signer.unsign_object(token)
        return int(named["channel"]), Purpose(named["purpose"])
    except (BadSignature, KeyError, TypeError, ValueError):
        return None


@dataclass(frozen=True, slots=True)
class Letter:
    """What leaves as one message: notifications of one kind for one channel; a digest with the contests it names."""

    notifications: Sequence[Notification]
    named: Sequence[Contest] = ()

    @property
    def message(self) -> UUID:
        identity = self.notifications[0].message
        assert identity is not None
        return identity

    @property
    def channel(self) -> Channel:
        return self.notifications[0].channel

    @property
    def kind(self) -> NotificationKind:
        return NotificationKind(self.notifications[0].kind)

    @property
    def items(self) -> Sequence["Item"]:
        """Each contest once, however many leads are due together."""
        if self.kind == NotificationKind.DIGEST:
            return [Item(contest) for contest in self.named]
        by_contest = {each.contest_id: each for each in self.notifications if each.contest is not None}
        return [Item(each.contest, each.starts_at, each.was_at) for each in by_contest.values() if each.contest]


@dataclass(frozen=True, slots=True)
class Item:
    """A contest, with the start of which a notification speaks and the one that it had before."""

    contest: Contest
    starts_at: datetime | None = None
    was_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Rendered:
    subject: str
    text: str
    html: str


class Renderer:
    """Renders each distinct message once: the same contests in the same zone read the same for everybody."""

    def __init__(self) -> None:
        self._rendered: dict[tuple[object, ...], Rendered] = {}

    def message(self, letter: Letter) -> Message | None:
        """The message that carries a letter; None where there is nothing left to tell."""
        channel, items = letter.channel, letter.items
        if letter.kind in PURPOSES and not items:
            return None
        zone = channel.user.preference.zone
        details = tuple(dict.fromkeys(each.detail for each in letter.notifications if each.detail))
        key = (letter.kind, zone.key, details, *((item.contest.pk, item.starts_at, item.was_at) for item in items))
        if key not in self._rendered:
            self._rendered[key] = _render(letter.kind, items, zone, details)
        rendered = self._rendered[key]
        purpose = PURPOSES.get(letter.kind)
        url = unsubscribe_url(channel.pk, purpose) if purpose else ""
        return Message(
            id=letter.message,
            address=channel.address,
            keys=channel.keys,
            purpose=purpose or letter.kind,
            subject=rendered.subject,
            text=rendered.text.replace(_UNSUBSCRIBE_HERE, url),
            html=rendered.html.replace(_UNSUBSCRIBE_HERE, url),
            url=_page(items),
            unsubscribe_url=url,
            tag=f"contest-{items[0].contest.pk}" if len(items) == 1 else letter.message.hex,
            expires_at=min(each.expires_at for each in letter.notifications),
        )


def _page(items: Sequence[Item]) -> str:
    """The page of what a message speaks of."""
    return settings.SITE_URL + reverse("contests")


def _render(kind: NotificationKind, items: Sequence[Item], zone: ZoneInfo, details: Sequence[str]) -> Rendered:
    subject = _SUBJECTS[kind](items, zone)
    context: Mapping[str, Any] = {
        "subject": subject,
        "items": items,
        "contests": [item.contest for item in items],
        "details": details,
        "zone": zone.key,
        "site_url": settings.SITE_URL,
        "preferences_url": settings.SITE_URL + reverse("preferences"),
        "unsubscribe_url": _UNSUBSCRIBE_HERE if kind in PURPOSES else "",
    }
    with timezone.override(zone):
        text = render_to_string(f"notifications/messages/{kind}.txt", context)
        html = render_to_string(f"notifications/messages/{kind}.html", context)
    return Rendered(subject, text, html)


def _reminder(items: Sequence[Item], zone: ZoneInfo) -> str:
    when = _moment(items[0].contest.starts_at, zone)
    if len(items) == 1:
        return f"{_name(items[0])} starts {when}"
    return f"{len(items)} contests from {when}: {_names(items)}"


def _moved(items: Sequence[Item], zone: ZoneInfo) -> str:
    if len(items) == 1:
        return f"{_name(items[0])} moved to {_moment(items[0].contest.starts_at, zone)}"
    return f"{len(items)} contests moved: {_names(items)}"


def _cancelled(items: Sequence[Item], zone: ZoneInfo) -> str:
    if len(items) == 1:
        return f"{_name(items[0])} was cancelled"
    return f"{len(items)} contests were cancelled: {_names(items)}"


def _digest(items: Sequence[Item], zone: ZoneInfo) -> str:
    if len(items) == 1:
        return f"Coming up: {_name(items[0])}, {_moment(items[0].contest.starts_at, zone)}"
    return f"Coming up: {len(items)} contests, the first {_moment(items[0].contest.starts_at, zone)}"


_SUBJECTS: dict[NotificationKind, Callable[[Sequence[Item], ZoneInfo], str]] = {
    NotificationKind.REMINDER: _reminder,
    NotificationKind.MOVED: _moved,
    NotificationKind.CANCELLED: _cancelled,
    NotificationKind.DIGEST: _digest,
    NotificationKind.CHANNEL_OFF: lambda items, zone: "One of your channels works no more",
    NotificationKind.TEST: lambda items, zone: "This is how CodeNotify reaches you",
}


def _moment(moment: datetime, zone: ZoneInfo) -> str:
    return f"{moment.astimezone(zone):%a %-d %b %H:%M}"


def _names(items: Sequence[Item]) -> str:
    more = f" and {len(items) - 3} more" if len(items) > 3 else ""
    return ", ".join(map(_name, items[:3])) + more


def _name(item: Item) -> str:
    return " ".join(item.contest.name.split())
