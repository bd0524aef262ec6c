"""All that is kept of one member, as one JSON document that is written while it is read.

Left out is what others could act with in the member's name: the password's hash, the keys of their browsers, codes.
"""

import json
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from typing import Any

from allauth.account.models import EmailAddress
from django.contrib.auth.models import User
from django.core.serializers.json import DjangoJSONEncoder
from django.db.models import F, QuerySet

from notifications import own_calendar
from notifications.models import CalendarFeed, Channel, ContestChoice, Notification, Preference, Verification

AT_ONCE = 2_000
"""Rows that are held in memory."""

ACCOUNT = ("username", "email", "first_name", "last_name", "is_staff", "date_joined", "last_login")
ADDRESSES = ("email", "verified", "primary")
PREFERENCE = (
    "active",
    "paused",
    "paused_until",
    "platforms",
    "lead_minutes",
    "trainings",
    "unrated",
    "longest_contest",
    "excluded_words",
    "quiet_from",
    "quiet_until",
    "quiet_choice",
    "digest",
    "digest_hour",
    "digest_weekday",
    "time_zone",
    "last_seen_at",
)
CHANNELS = (
    "id",
    "kind",
    "address",
    "label",
    "purposes",
    "verified_at",
    "disabled_at",
    "disabled_reason",
    "removed_at",
    "last_sent_at",
    "last_error_at",
    "last_error",
)
VERIFICATIONS = ("kind", "address", "requested_from", "created_at", "verified_at", "error")
NOTIFICATIONS = (
    "channel",
    "kind",
    "contest_name",
    "lead_minutes",
    "starts_at",
    "was_at",
    "detail",
    "due_at",
    "created_at",
    "status",
    "attempts",
    "sent_at",
    "delivered_at",
    "read_at",
    "error",
)


def of_member(user: User, now: datetime) -> Iterator[str]:
    """The document, piece by piece. Times are in UTC, lead times in minutes."""
    yield f'{{\n"exported_at": {_json(now)},\n'
    yield f'"account": {_json(User.objects.values(*ACCOUNT).get(pk=user.pk))},\n'
    yield f'"preference": {_json(Preference.objects.filter(user=user).values(*PREFERENCE).first())},\n'
    yield f'"calendar": {_json(_calendar(user))},\n'
    yield from _list("addresses", EmailAddress.objects.filter(user=user).order_by("pk").values(*ADDRESSES))
    yield from _list("channels", Channel.objects.filter(user=user).order_by("pk").values(*CHANNELS))
    yield from _list("verifications", Verification.objects.filter(user=user).values(*VERIFICATIONS))
    yield from _list("choices", _choices(user))
    yield from _list("notifications", _notifications(user), last=True)
    yield "}\n"


def _calendar(user: User) -> Mapping[str, Any] | None:
    feed = CalendarFeed.objects.filter(user=user).first()
    return {"address": own_calendar.address(feed), "made_at": feed.made_at} if feed else None


def _choices(user: User) -> "QuerySet[ContestChoice, Any]":
    named = {"platform": F("contest__platform"), "key": F("contest__key"), "name": F("contest__name")}
    return ContestChoice.objects.filter(user=user).order_by("pk").values("wish", **named)


def _notifications(user: User) -> "QuerySet[Notification, Any]":
    rows: QuerySet[Notification, Any] = Notification.objects.filter(channel__user=user).values(*NOTIFICATIONS)
    return rows.order_by("due_at", "pk")


def _list(name: str, rows: "QuerySet[Any, Any]", *, last: bool = False) -> Iterator[str]:
    yield f'"{name}": [\n'
    yield from _separated(_json(row) for row in rows.iterator(chunk_size=AT_ONCE))
    yield "]\n" if last else "],\n"


def _separated(rows: Iterable[str]) -> Iterator[str]:
    first = True
    for row in rows:
        yield row if first else f",\n{row}"
        first = False
    if not first:
        yield "\n"


def _json(value: Any) -> str:
    return json.dumps(value, cls=DjangoJSONEncoder, ensure_ascii=False)
