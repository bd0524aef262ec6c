"""Calendar files, read back by a parser and byte by byte where calendars are known to be strict."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from typing import Any
from urllib.parse import parse_qs, urlsplit

from icalendar import Calendar

from config.calendars import Entry, calendar, google_link

START = datetime(2026, 11, 22, 14, 35, tzinfo=UTC)
ENTRY = Entry(
    uid="codeforces-2156@codenotify",
    sequence=2,
    changed_at=datetime(2026, 11, 20, 8, tzinfo=UTC),
    name="Round, №1; “Ω”\\ (Div. 1 + Div. 2), with a name that is longer than the 75 octets of a line",
    starts_at=START,
    ends_at=START + timedelta(hours=2),
    url="https://codeforces.com/contests/2156?a=1&b=2",
    category="Codeforces",
    description="Codeforces, 2 h\nhttps://codeforces.com/contests/2156",
)


def event(content: bytes) -> Any:
    (event,) = Calendar.from_ical(content).walk("VEVENT")
    return event


def lines(content: bytes) -> list[str]:
    """Unfolded."""
    return content.decode().replace("\r\n ", "").split("\r\n")


def test_an_entry_is_read_back_as_it_was() -> None:
    read = event(calendar([ENTRY]))
    assert (read["uid"], int(read["sequence"]), read["summary"]) == (ENTRY.uid, 2, ENTRY.name)
    assert (read["url"], read["description"], read["status"]) == (ENTRY.url, ENTRY.description, "CONFIRMED")
    assert (read.decoded("dtstart"), read.decoded("dtend")) == (ENTRY.starts_at, ENTRY.ends_at)
    assert read.decoded("dtstamp") == read.decoded("last-modified") == ENTRY.changed_at


def test_times_are_in_utc_wherever_they_came_from() -> None:
    tokyo = timezone(timedelta(hours=9))
    times = {name: getattr(ENTRY, name).astimezone(tokyo) for name in ("starts_at", "ends_at", "changed_at")}
    told = lines(calendar([replace(ENTRY, uid="elsewhere", **times)]))  # equal ones are made once
    assert {"DTSTART:20261122T143500Z", "DTEND:20261122T163500Z", "DTSTAMP:20261120T080000Z"} <= {*told}
    assert not any("TZID" in line for line in told)


def test_lines_are_folded_and_end_as_the_standard_wants() -> None:
    content = calendar([ENTRY])
    assert content.endswith(b"END:VCALENDAR\r\n")
    assert all(len(line) <= 75 for line in content.split(b"\r\n"))
    assert b"\n" not in content.replace(b"\r\n", b"")


def test_a_cancelled_contest_stays_in_the_file_and_says_so() -> None:
    read = event(calendar([replace(ENTRY, is_cancelled=True, sequence=3)]))
    assert (read["uid"], read["status"], int(read["sequence"])) == (ENTRY.uid, "CANCELLED", 3)


def test_the_same_entries_make_the_same_bytes_whenever() -> None:
    assert calendar([ENTRY], name="Mine") == calendar([ENTRY], name="Mine")


def test_a_feed_says_its_name_and_how_often_to_come_again_in_the_old_and_the_new_way() -> None:
    told = lines(calendar([], name="Codeforces contests", refresh=timedelta(hours=1)))
    assert {"NAME:Codeforces contests", "X-WR-CALNAME:Codeforces contests"} <= {*told}
    assert {"REFRESH-INTERVAL;VALUE=DURATION:PT1H", "X-PUBLISHED-TTL:PT1H"} <= {*told}
    assert {"VERSION:2.0", "METHOD:PUBLISH"} <= {*told}
    assert not any("NAME" in line or "PT1H" in line for line in lines(calendar([])))


def test_googles_form_is_filled_in() -> None:
    asked = parse_qs(urlsplit(google_link(ENTRY)).query)
    assert asked["text"] == [ENTRY.name]
    assert asked["dates"] == ["20261122T143500Z/20261122T163500Z"]
    assert asked["location"] == [ENTRY.url]
