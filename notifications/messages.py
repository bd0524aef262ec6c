"""What members are told, in their own time."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cache, lru_cache
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

from django.conf import settings
from django.core.signing import BadSignature, Signer
from django.template.loader import render_to_string
from django.urls import reverse
from django.utils import timezone

from config.calendars import calendar
from contests.models import Contest
from notifications.channels.base import Message
from notifications.models import NotificationKind, Purpose
from notifications.zones import zone_called

PURPOSES: dict[str, Purpose] = {
    NotificationKind.REMINDER: Purpose.REMINDERS,
    NotificationKind.MOVED: Purpose.CHANGES,
    NotificationKind.CANCELLED: Purpose.CHANGES,
    NotificationKind.REINSTATED: Purpose.CHANGES,
    NotificationKind.DIGEST: Purpose.DIGEST,
}
"""What a member must want a channel for to be told on it; whatever else is told is no matter of choice."""

_NO_MORE = {
    Purpose.REMINDERS: "No more reminders to this address",
    Purpose.CHANGES: "Tell this address no more of changes",
    Purpose.DIGEST: "No more digests to this address",
}

OF_A_CONTEST = (
    NotificationKind.REMINDER,
    NotificationKind.MOVED,
    NotificationKind.CANCELLED,
    NotificationKind.REINSTATED,
)
"""They bring their contests as a file, too, that adds them to a calendar, or puts right what an earlier one added."""

KEPT = 500
"""Rendered messages, of some 10 kB each: digests of people who chose differently all differ."""

_UNSUBSCRIBE_HERE = "https://unsubscribe.invalid/"
"""Stands in rendered text for the one thing in which two members' mails differ."""

_signer = Signer(salt="notifications.unsubscribe")


def unsubscribe_url(channel: int, purpose: str) -> str:
    """The absolute address at which this channel's owner, and nobody else, ends what it is sent for this purpose."""
    before, after = _around_token()
    return settings.SITE_URL + before + _signer.sign(f"{channel}-{purpose}") + after


def unsubscribing(token: str) -> tuple[int, Purpose] | None:
    """The channel and the purpose that a token of `unsubscribe_url` speaks of; None where it is forged or damaged."""
    try:
        channel, _, purpose = _signer.unsign(token).partition("-")
        return int(channel), Purpose(purpose)
    except (BadSignature, ValueError):
        return None


@cache
def _around_token() -> tuple[str, str]:
    """The path of the page before and after the token; to look it up takes longer than to sign."""
    before, _, after = reverse("unsubscribe", args=["TOKEN"]).partition("TOKEN")
    return before, after


@dataclass(frozen=True, slots=True)
class Envelope:
    """Whom a message is for. `keys` is JSON; there is no `time_zone` where the member has no preferences."""

    message: UUID
    kind: str
    channel: int
    address: str
    keys: str
    time_zone: str | None


@dataclass(frozen=True, slots=True)
class Notice:
    """What a message needs to know of one notification that it carries, whose contest may be no more."""

    id: int
    contest: int | None
    starts_at: datetime
    was_at: datetime | None
    detail: str
    expires_at: datetime
    attempts: int


@dataclass(frozen=True, slots=True)
class Item:
    """A contest, with the start of which a notification speaks and the one that it had before."""

    contest: Contest
    starts_at: datetime | None = None
    was_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Letter:
    """What leaves as one message: notifications of one kind for one channel, and the contests that it names."""

    envelope: Envelope
    notices: Sequence[Notice]
    items: tuple[Item, ...] = ()


@dataclass(frozen=True, slots=True)
class Rendered:
    subject: str
    text: str
    foot: str
    html: str
    url: str
    calendar: bytes = b""


class Renderer:
    """Renders each distinct message once: the same contests in the same zone read the same for everybody."""

    def __init__(self) -> None:
        self._rendered = lru_cache(KEPT)(_render)

    def message(self, letter: Letter) -> Message | None:
        """The message that carries a letter; None where there is nothing left to tell."""
        envelope, items = letter.envelope, letter.items
        purpose = PURPOSES.get(envelope.kind)
        if purpose and not items:
            return None
        details = tuple(dict.fromkeys(notice.detail for notice in letter.notices if notice.detail))
        rendered = self._rendered(envelope.kind, items, zone_called(envelope.time_zone or ""), details)
        link = unsubscribe_url(envelope.channel, purpose) if purpose else ""
        return Message(
            id=envelope.message,
            address=envelope.address,
            keys=json.loads(envelope.keys),
            purpose=purpose or envelope.kind,
            subject=rendered.subject,
            text=rendered.text,
            foot=rendered.foot.replace(_UNSUBSCRIBE_HERE, link),
            html=rendered.html.replace(_UNSUBSCRIBE_HERE, link),
            url=rendered.url,
            unsubscribe_url=link,
            tag=f"contest-{items[0].contest.pk}" if len(items) == 1 else envelope.message.hex,
            calendar=rendered.calendar,
            expires_at=min(notice.expires_at for notice in letter.notices),
        )


def _page(items: Sequence[Item]) -> str:
    """The page of what a message speaks of."""
    match items:
        case []:
            path = reverse("preferences")
        case [item]:
            path = item.contest.get_absolute_url()
        case _:
            path = reverse("contests")
    return settings.SITE_URL + path


def _render(kind: str, items: Sequence[Item], zone: ZoneInfo, details: Sequence[str]) -> Rendered:
    subject, url, purpose = _subject(kind, items, zone), _page(items), PURPOSES.get(kind)
    context: Mapping[str, Any] = {
        "subject": subject,
        "items": items,
        "details": details,
        "zone": zone.key,
        "page_url": url,
        "site_url": settings.SITE_URL,
        "preferences_url": settings.SITE_URL + reverse("preferences"),
        "unsubscribe_url": _UNSUBSCRIBE_HERE if purpose else "",
        "no_more": _NO_MORE[purpose] if purpose else "",
    }
    with timezone.override(zone):
        text, foot, html = (
            render_to_string(f"notifications/messages/{name}", context).strip()
            for name in (f"{kind}.txt", "foot.txt", f"{kind}.html")
        )
    file = calendar(item.contest.calendar_entry for item in items) if kind in OF_A_CONTEST else b""
    return Rendered(subject, text, foot, html, url, file)


_SUBJECTS = {
    NotificationKind.REMINDER: ("{name} starts {when}", "{count} contests from {when}: {names}"),
    NotificationKind.MOVED: ("{name} moved to {when}", "{count} contests moved: {names}"),
    NotificationKind.CANCELLED: ("{name} was cancelled", "{count} contests were cancelled: {names}"),
    NotificationKind.REINSTATED: (
        "{name} takes place after all, {when}",
        "{count} contests take place after all: {names}",
    ),
    NotificationKind.DIGEST: ("Coming up: {name}, {when}", "Coming up: {count} contests, the first {when}"),
    NotificationKind.CHANNEL_OFF: ("One of your channels works no more",) * 2,
    NotificationKind.TEST: ("This is how CodeNotify reaches you",) * 2,
}
"""Of one contest, and of several: the first one's start."""


def _subject(kind: str, items: Sequence[Item], zone: ZoneInfo) -> str:
    one, many = _SUBJECTS[NotificationKind(kind)]
    if not items:
        return one
    first = items[0]
    return (one if len(items) == 1 else many).format(
        name=_name(first), names=_names(items), count=len(items), when=_moment(first.contest.starts_at, zone)
    )


def _moment(moment: datetime, zone: ZoneInfo) -> str:
    return f"{moment.astimezone(zone):%a %-d %b %H:%M}"


def _names(items: Sequence[Item]) -> str:
    more = f" and {len(items) - 3} more" if len(items) > 3 else ""
    return ", ".join(map(_name, items[:3])) + more


def _name(item: Item) -> str:
    return " ".join(item.contest.name.split())
