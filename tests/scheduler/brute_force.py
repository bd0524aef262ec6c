"""A slow and obvious model of cron: a walk over the clock on the wall, and expressions with what they mean."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from functools import cache
from zoneinfo import ZoneInfo

from hypothesis import strategies as st

NEW_YORK, LISBON, LORD_HOWE, KOLKATA, CAIRO, HAVANA = (
    ZoneInfo(name)
    for name in (
        "America/New_York",
        "Europe/Lisbon",
        "Australia/Lord_Howe",
        "Asia/Kolkata",
        "Africa/Cairo",
        "America/Havana",
    )
)

CHANGES = [
    (NEW_YORK, datetime(2026, 3, 8, 7, tzinfo=UTC)),
    (NEW_YORK, datetime(2026, 11, 1, 6, tzinfo=UTC)),
    (LISBON, datetime(2026, 3, 29, 1, tzinfo=UTC)),
    (LISBON, datetime(2026, 10, 25, 1, tzinfo=UTC)),
    (LORD_HOWE, datetime(2026, 4, 4, 15, tzinfo=UTC)),
    (LORD_HOWE, datetime(2026, 10, 3, 15, 30, tzinfo=UTC)),
    (CAIRO, datetime(2026, 4, 23, 22, tzinfo=UTC)),
    (HAVANA, datetime(2026, 11, 1, 5, tzinfo=UTC)),
]
"""Clocks go forward and back: by an hour, by half an hour, and over midnight."""

NO_CHANGES = [(KOLKATA, datetime(2026, 3, 29, 1, tzinfo=UTC)), (LISBON, datetime(2028, 2, 29, 12, tzinfo=UTC))]
"""A zone without changes, and 29 February."""

SECOND, MINUTE, HOUR, DAY = timedelta(seconds=1), timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)

Field = tuple[str, frozenset[int]]
DateField = tuple[str, Callable[[date], bool]]


@dataclass(frozen=True)
class Job:
    """An expression, and what it says of the wall clock, not read from its text."""

    text: str
    matches: Callable[[datetime], bool]
    at_fixed_times: bool

    def __repr__(self) -> str:
        return self.text


@cache
def clock(zone: ZoneInfo, start: datetime, end: datetime, step: timedelta) -> list[tuple[datetime, datetime]]:
    """Moments in UTC, and what the clock on the wall shows."""
    moments = [start + steps * step for steps in range((end - start) // step + 1)]
    return [(moment, moment.astimezone(zone).replace(tzinfo=None)) for moment in moments]


def by_the_model(job: Job, shown: list[tuple[datetime, datetime]], step: timedelta) -> Iterator[datetime]:
    """When Debian's cron runs a job.

    A job with a wildcard for minute or hour, or with seconds, comes whenever the wall clock shows a time that matches.
    A job at fixed times comes for each time that matches once: as soon as the clock shows that time or a later one.
    """
    highest = shown[0][1] - step
    for moment, wall in shown:
        if not job.at_fixed_times:
            if job.matches(wall):
                yield moment
            continue
        passed = [wall - steps * step for steps in range(max((wall - highest) // step, 0))]
        if any(job.matches(time) for time in passed):
            yield moment
        highest = max(highest, wall)


@st.composite
def parts(draw: st.DrawFn, low: int, high: int, names: tuple[str, ...]) -> Field:
    """A way to write one, several or all of a field's values, and which they are."""
    first, last = sorted((draw(st.integers(low, high)), draw(st.integers(low, high))))
    step = draw(st.integers(1, high))
    ways: dict[str, Sequence[int]] = {
        names[first - low]: [first],
        f"{names[first - low]}-{names[last - low]}": range(first, last + 1),
        f"{first}-{last}/{step}": range(first, last + 1, step),
        f"{first}/{step}": range(first, high + 1, step),
        f"*/{step}": range(low, high + 1, step),
    }
    if first < last:
        # Sunday is 0 and 7: a range over the end of the week passes it once.
        beginning = 1 if high == 7 else low
        around = [*range(last, high + 1), *range(beginning, first + 1)]
        ways[f"{names[last - low]}-{names[first - low]}/{step}"] = around[::step]
    text = draw(st.sampled_from(sorted(ways)))
    return text, frozenset(ways[text])


@st.composite
def fields(draw: st.DrawFn, low: int, high: int, names: tuple[str, ...] = ()) -> Field:
    written = names or tuple(str(number) for number in range(low, high + 1))
    among = draw(st.lists(parts(low, high, written), max_size=3))
    if not among:
        return "*", frozenset(range(low, high + 1))
    return ",".join(text for text, _ in among), frozenset().union(*(values for _, values in among))


SECONDS, MINUTES, HOURS, DAYS = fields(0, 59), fields(0, 59), fields(0, 23), fields(1, 31)
MONTHS = fields(1, 12, ("jan", "Feb", "3", "Apr", "may", "6", "JUL", "aug", "09", "oct", "NOV", "dec"))
WEEKDAYS = fields(0, 7, ("sun", "mon", "Tue", "3", "thu", "fri", "SAT", "7"))


def is_last_workday(day: date) -> bool:
    following = (day + n * DAY for n in range(1, 4))
    return day.weekday() < 5 and all(later.weekday() > 4 or later.month != day.month for later in following)


@st.composite
def days_of_the_month(draw: st.DrawFn) -> DateField:
    text, values = draw(DAYS)
    ways: dict[str, Callable[[date], bool]] = {
        text: lambda day: day.day in values,
        "L": lambda day: (day + DAY).day == 1,
        "10,L": lambda day: day.day == 10 or (day + DAY).day == 1,
        "lw": is_last_workday,
    }
    return draw(st.sampled_from(sorted(ways.items())))


@st.composite
def days_of_the_week(draw: st.DrawFn) -> DateField:
    text, values = draw(WEEKDAYS)
    weekday, nth = draw(st.integers(0, 7)), draw(st.integers(1, 5))

    def is_weekday(day: date) -> bool:
        return day.isoweekday() % 7 == weekday % 7

    ways: dict[str, Callable[[date], bool]] = {
        text: lambda day: not values.isdisjoint({day.isoweekday(), day.isoweekday() % 7}),
        f"{weekday}L": lambda day: is_weekday(day) and (day + 7 * DAY).day < 8,
        f"{weekday}#{nth}": lambda day: is_weekday(day) and (day.day + 6) // 7 == nth,
    }
    return draw(st.sampled_from(sorted(ways.items())))


@st.composite
def dates(draw: st.DrawFn) -> DateField:
    """The last three fields: either day suffices, unless one of them starts with a star."""
    (day, is_day), (month, months), (weekday, is_weekday) = (
        draw(days_of_the_month()),
        draw(MONTHS),
        draw(days_of_the_week()),
    )
    enough = all if day.startswith("*") or weekday.startswith("*") else any
    return f"{day} {month} {weekday}", lambda when: when.month in months and enough((is_day(when), is_weekday(when)))


NIGHT: list[Field] = [
    ("*", frozenset(range(24))),
    ("*/2", frozenset(range(0, 24, 2))),
    ("0-3", frozenset(range(4))),
    ("1", frozenset({1})),
    ("2", frozenset({2})),
]
EVERY_DAY: DateField = ("* * *", lambda day: True)


@st.composite
def jobs(draw: st.DrawFn, *, with_seconds: bool = False, often: bool = False) -> Job:
    """Any job; `often` ones come on every day, and in hours in which clocks change."""
    minute, minutes = draw(MINUTES)
    hour, hours = draw(st.sampled_from(NIGHT) if often else HOURS)
    days, is_day = EVERY_DAY if often else draw(st.one_of(st.just(EVERY_DAY), dates()))
    second, seconds = draw(SECONDS) if with_seconds else ("", frozenset({0}))

    def matches(wall: datetime) -> bool:
        return wall.second in seconds and wall.minute in minutes and wall.hour in hours and is_day(wall.date())

    at_fixed_times = not with_seconds and not minute.startswith("*") and not hour.startswith("*")
    return Job(f"{second} {minute} {hour} {days}".strip(), matches, at_fixed_times)
