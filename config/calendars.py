"""Contests as other people's calendars read them: iCalendar, and a link that fills in Google's form."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from urllib.parse import urlencode

from icalendar import Calendar, Event, vDuration

MEDIA_TYPE = "text/calendar; charset=utf-8"
PRODUCT = "-//CodeNotify//CodeNotify//EN"
GOOGLE = "https://calendar.google.com/calendar/render"


@dataclass(frozen=True, slots=True)
class Entry:
    """One contest in a calendar. Times are aware.

    `uid` names it for ever and everywhere, so that a feed, a mail and a download make one entry and not three. Of two
    entries with one uid the higher `sequence` is the newer; `changed_at` is when that version was made.
    """

    uid: str
    sequence: int
    changed_at: datetime
    name: str
    starts_at: datetime
    ends_at: datetime
    url: str
    category: str = ""
    description: str = ""
    is_cancelled: bool = False


def calendar(entries: Iterable[Entry], *, name: str = "", refresh: timedelta | None = None) -> bytes:
    """The file of RFC 5545 with these entries; the same entries make the same bytes.

    `name` and `refresh`, how often to ask again, are for feeds that are subscribed to. Both are said in two ways: as
    RFC 7986 has it, and as calendars did before.
    """
    file = Calendar()
    file.add("prodid", PRODUCT)
    file.add("version", "2.0")
    file.add("method", "PUBLISH")
    if name:
        file.add("name", name)
        file.add("x-wr-calname", name)
    if refresh:
        file.add("refresh-interval", refresh, parameters={"VALUE": "DURATION"})
        file.add("x-published-ttl", vDuration(refresh))
    head, end, _ = bytes(file.to_ical()).partition(b"END:VCALENDAR")
    return b"".join([head, *map(_event, entries), end, b"\r\n"])


@lru_cache(maxsize=5_000)
def _event(entry: Entry) -> bytes:
    """Shown as free time: a contest is on offer, and some are on offer for days.

    Kept, because the same contests are in everybody's calendar, and a thousand of them take a quarter of a second.
    """
    event = Event()
    event.add("uid", entry.uid)
    event.add("sequence", entry.sequence)
    event.add("dtstamp", entry.changed_at.astimezone(UTC))
    event.add("last-modified", entry.changed_at.astimezone(UTC))
    event.add("dtstart", entry.starts_at.astimezone(UTC))
    event.add("dtend", entry.ends_at.astimezone(UTC))
    event.add("summary", entry.name)
    event.add("url", entry.url)
    event.add("status", "CANCELLED" if entry.is_cancelled else "CONFIRMED")
    event.add("transp", "TRANSPARENT")
    if entry.category:
        event.add("categories", [entry.category])
    if entry.description:
        event.add("description", entry.description)
    return bytes(event.to_ical())


def google_link(entry: Entry) -> str:
    """Opens Google Calendar with a form that has the contest in it."""
    starts_at, ends_at = (f"{moment.astimezone(UTC):%Y%m%dT%H%M%SZ}" for moment in (entry.starts_at, entry.ends_at))
    filled_in = {
        "action": "TEMPLATE",
        "text": entry.name,
        "dates": f"{starts_at}/{ends_at}",
        "details": entry.description,
        "location": entry.url,
    }
    return f"{GOOGLE}?{urlencode(filled_in)}"
