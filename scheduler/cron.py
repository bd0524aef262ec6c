"""When a cron expression comes, and what is wrong with one that does not: the one place that knows.

Cron is Debian's, as cronsim reads it, with an optional first field for seconds. cronsim walks only the wall clock here:
which moments a wall time stands for is decided below, because cronsim's own way through a change of clocks depends on
where it starts. From the repeated hour it goes back in time, and after a change of half an hour it loses jobs.
"""

import calendar
from bisect import bisect_left
from collections import deque
from collections.abc import Iterator
from contextlib import suppress
from copy import copy
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta, tzinfo
from functools import lru_cache
from itertools import islice, takewhile

from cron_descriptor import ExpressionDescriptor, FormatException, Options  # type: ignore[import-untyped]  # no stubs
from cronsim import CronSim, CronSimError
from django.core.exceptions import ValidationError

LONGEST = 1000
"""Characters of an expression as typed: room for every field at its longest."""

ALIASES = {
    "@hourly": "0 * * * *",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@weekly": "0 0 * * 0",
    "@monthly": "0 0 1 * *",
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
}

_EXAMPLE = "every six hours is “0 */6 * * *”."
_TICK, _SECOND = timedelta(microseconds=1), timedelta(seconds=1)
_EVERY_DAY_THERE_IS = tuple(date(2000, 1, 1) + timedelta(days) for days in range(28 * 365 + 7))
"""28 years: each of the 14 kinds of year, which begin on any weekday and are leap years or not."""


@dataclass(frozen=True, slots=True)
class Cron:
    """A cron expression in a time zone, as Debian's cron reads it (through cronsim), with an optional first field for
    seconds.

    When clocks change, what has a wildcard for its minute or hour, or a field for seconds, goes by the clock on the
    wall: its times in a skipped hour don't come, those in a repeated one come twice. A job at fixed times comes once:
    at the moment of the jump in place of a skipped time, at the first of two.

    What is not valid raises ValidationError when it is asked for its occurrences.
    """

    expression: str
    zone: tzinfo

    def after(self, moment: datetime) -> Iterator[datetime]:
        """The occurrences strictly after a moment, in UTC, ascending: the same ones wherever one starts.

        They end where the calendar does, in the year 9999.
        """
        latest = moment.astimezone(UTC)
        with suppress(OverflowError):
            for occurrence in self._occurrences(latest):
                if occurrence > latest:
                    latest = occurrence
                    yield occurrence

    def between(self, first: datetime, last: datetime, most: int) -> list[datetime]:
        """The latest `most` occurrences of first <= occurrence <= last, ascending, in UTC.

        It takes as long as there are few, or `most` is large, however long ago `first` was: going back on the wall
        clock finds about where to start, and only `after` says what comes, so that both always agree.
        """
        first, last = first.astimezone(UTC), last.astimezone(UTC)
        if len(few := list(islice(self._from(first, last), max(most, 0) + 1))) <= most:
            return few
        steps = max(most, 1)
        while True:
            start = max(first, self._steps_before(last, steps) or first)
            found = deque(self._from(start, last), maxlen=max(most, 0))
            if len(found) == found.maxlen or start == first:
                return list(found)
            # When clocks change, several wall times may be one moment, or none.
            steps *= 2

    def _from(self, first: datetime, last: datetime) -> Iterator[datetime]:
        return takewhile(lambda occurrence: occurrence <= last, self.after(first - _TICK))

    def _occurrences(self, moment: datetime) -> Iterator[datetime]:
        """What comes after a moment, in UTC, ascending; earlier ones and repetitions may be among them.

        1. Where the moment is within an hour shown the second time, the rest of that hour comes first.
        2. Wall times are walked in their order, each for the first moment at which it is shown.
        3. When the walk leaves an hour that is shown twice, that hour is walked again before what follows it.
        """
        reading = _reading(self.expression)
        start, is_second_time = self._wall(moment), bool(moment.astimezone(self.zone).fold)
        repeat = None if reading.at_fixed_times else self._repeat(start)
        if repeat and is_second_time:
            yield from repeat.moments(reading, start)
            start, repeat = repeat.end - _SECOND, None
        for wall in reading.walls(start):
            if repeat and wall >= repeat.end:
                yield from repeat.moments(reading, repeat.start - _SECOND)
                repeat = None
            before, after = self._offsets(wall)
            if before >= after:
                yield (wall - before).replace(tzinfo=UTC)
            elif reading.at_fixed_times:
                yield self._change(wall)
            if before > after and not reading.at_fixed_times:
                repeat = repeat or self._repeat(wall)

    def _wall(self, moment: datetime) -> datetime:
        """What the clock on the wall shows, in whole seconds."""
        return moment.astimezone(self.zone).replace(tzinfo=None, fold=0, microsecond=0)

    def _offsets(self, wall: datetime) -> tuple[timedelta, timedelta]:
        """From UTC before and after a change of clocks: more before where this time comes twice, less where never."""
        local = wall.replace(tzinfo=self.zone)
        return local.utcoffset() or timedelta(), local.replace(fold=1).utcoffset() or timedelta()

    def _change(self, wall: datetime) -> datetime:
        """The moment of the change of clocks that skips or repeats this wall time."""
        before, after = self._offsets(wall)
        earliest = (wall - max(before, after)).replace(tzinfo=UTC)

        def has_changed(seconds: int) -> bool:
            return (earliest + timedelta(seconds=seconds)).astimezone(self.zone).utcoffset() == after

        seconds = range(abs(after - before) // _SECOND)
        return earliest + timedelta(seconds=bisect_left(seconds, True, key=has_changed))

    def _repeat(self, wall: datetime) -> "_Repeat | None":
        """The wall times that come twice together with this one; None where it comes once."""
        before, after = self._offsets(wall)
        if before <= after:
            return None
        change = self._change(wall).replace(tzinfo=None)
        return _Repeat(change + after, change + before, after)

    def _steps_before(self, moment: datetime, steps: int) -> datetime | None:
        """About where one is after so many steps back on the wall clock; None where there are fewer."""
        with suppress(OverflowError):
            walls = _reading(self.expression).walls(self._wall(moment), backwards=True)
            if wall := next(islice(walls, steps - 1, None), None):
                return wall.replace(tzinfo=self.zone).astimezone(UTC)
        return None


@dataclass(frozen=True, slots=True)
class _Repeat:
    """Wall times that clocks show twice: from the start until before the end, the second time with this offset."""

    start: datetime
    end: datetime
    offset: timedelta

    def moments(self, reading: "_Reading", wall: datetime) -> Iterator[datetime]:
        """What matches after a wall time when it is shown the second time, in UTC."""
        for later in takewhile(lambda later: later < self.end, reading.walls(wall)):
            yield (later - self.offset).replace(tzinfo=UTC)


def validate(expression: str) -> None:
    """Refuse, with a sentence, what cron does not understand and what never comes. Raises ValidationError only."""
    _reading(expression)


def in_words(expression: str) -> str:
    """When it comes, as a person would say it: “At 02:00, Monday through Friday”. Empty for what is not valid."""
    try:
        reading = _reading(expression)
    except ValidationError:
        return ""
    if not _misleads_cron_descriptor(reading):
        options = Options()
        options.locale_code, options.use_24hour_time_format = "en_US", True
        # It cannot say a list with a star in it.
        with suppress(FormatException):
            return str(ExpressionDescriptor(reading.text, options).get_description())
    return str(reading.cron.explain()).replace(" and on ", " or on ")


def _misleads_cron_descriptor(reading: "_Reading") -> bool:
    """Whether it would say what is wrong, such as “only on Friday” where cron comes on either day."""
    fields = reading.text.split()
    return (
        not reading.cron.day_and
        or "/" in fields[-1]
        or any("," in field and set(field) & set("L#/") for field in fields)
    )


def normalized(expression: str) -> str:
    """The expression as cronsim understands it. Raises ValidationError with a sentence that says what is wrong.

    Aliases such as @hourly become five fields, ranges that wrap around (fri-mon, 22-2) lists, `friL` `5L`; white space,
    leading zeros and capital letters go. What is left never comes, at worst: see `validate`.
    """
    if len(expression) > LONGEST:
        raise ValidationError(f"A cron expression has at most {LONGEST} characters.")
    typed = expression.split()
    if strange := next((char for char in "".join(typed) if not "!" <= char <= "~"), None):
        shown = f"“{strange}”" if strange.isprintable() else f"The character U+{ord(strange):04X}"
        raise ValidationError(
            f"{shown} means nothing to cron: write plain digits and letters, and the signs * , - / #."
        )
    if typed and typed[0].startswith("@"):
        typed = _unaliased(" ".join(typed)).split()
    return " ".join(field.written(text.lower()) for field, text in zip(_fields(len(typed)), typed, strict=True))


@dataclass(frozen=True, slots=True)
class _Field:
    """One of the fields of an expression: what may be written there."""

    name: str
    values: range
    longest: int
    names: tuple[str, ...] = ()
    first_name: int = 0

    def written(self, text: str) -> str:
        """As cronsim understands it; the argument is in lower case."""
        written = ",".join(self._part(part, text) for part in text.split(","))
        if len(written) > self.longest:
            raise ValidationError(f"The field for the {self.name} is too long: at most {self.longest} characters.")
        return written

    def _part(self, part: str, text: str) -> str:
        if not part:
            raise ValidationError(f"“{_short(text)}” has an empty part: leave out the comma that is too much.")
        if part == "?":
            raise ValidationError("“?” is Quartz's way to leave a field open: write “*”.")
        if special := self._special(part):
            return special
        span, slash, typed_step = part.partition("/")
        step = self._step(typed_step, part) if slash else 1
        every = f"/{step}" if slash else ""
        first, dash, last = span.partition("-")
        if not dash:
            return f"{span if span == '*' else self._plain(span)}{every}"
        if not first or not last:
            raise ValidationError(f"“{_short(part)}” is half a range: write both ends, such as “1-5”.")
        start, end = self._value(first), self._value(last)
        if start > end:
            return self._around(start, end, step)
        # cronsim takes a range of one value, with a step, for its beginning: 5-5/2 for 5/2.
        return self._plain(first) if start == end else f"{self._plain(first)}-{self._plain(last)}{every}"

    def _special(self, part: str) -> str:
        """What only days know: L and LW of a month, 5L and 1#2 of a week. Empty for everything else."""
        if self.name == "day of the month":
            return self._special_day(part)
        return self._special_weekday(part) if self.name == "day of the week" else ""

    def _special_day(self, part: str) -> str:
        if part in ("l", "lw"):
            return part.upper()
        if part.startswith("l-") or (part.endswith("w") and part[:-1].isdigit()):
            raise ValidationError(
                f"“{_short(part)}” is not known here: there are L, the last day of the month, and LW, the last one "
                "from Monday to Friday."
            )
        return ""

    def _special_weekday(self, part: str) -> str:
        if part == "l":
            raise ValidationError("“L” alone is no day of the week: write 6 for Saturday, or 6L for the last Saturday.")
        if part.endswith("l") and (part[:-1] in self.names or part[:-1].isdigit()):
            return f"{self._value(part[:-1])}L"
        day, hash_sign, nth = part.partition("#")
        if hash_sign and nth not in ("1", "2", "3", "4", "5"):
            raise ValidationError(f"“{_short(part)}”: of a weekday in a month there is a first to a fifth, #1 to #5.")
        return f"{self._value(day)}#{nth}" if hash_sign else ""

    def _around(self, start: int, end: int, step: int) -> str:
        """The list for a range that goes over the end of its field."""
        # Sunday is 0 and 7: once is enough.
        cycle = range(7) if self.name == "day of the week" else self.values
        first = cycle.index(start % 7 if cycle == range(7) else start)
        length = (cycle.index(end) - first) % len(cycle) + 1
        return ",".join(str(cycle[(first + steps) % len(cycle)]) for steps in range(0, length, step))

    def _step(self, text: str, part: str) -> int:
        step = _number(text)
        if not step:
            raise ValidationError(f"“{_short(part)}”: what follows “/” is a number from 1, such as in “*/2”.")
        if step > len(self.values):
            raise ValidationError(
                f"“{_short(part)}” is more than fits: the field for the {self.name} goes from {self.values[0]} to "
                f"{self.values[-1]} and begins anew. Make an interval schedule of it."
            )
        return step

    def _plain(self, text: str) -> str:
        """A number, without leading zeros, or a name."""
        return text if text in self.names else str(self._value(text))

    def _value(self, text: str) -> int:
        value = self.names.index(text) + self.first_name if text in self.names else _number(text)
        if value is None or value not in self.values:
            raise ValidationError(f"“{_short(text)}” is no {self.name}: {self._instead_of(text)}.")
        return value

    def _instead_of(self, text: str) -> str:
        name = text[:3]
        if name in self.names and text.isalpha():
            return f"write “{name}”"
        also = f", or {self.names[0]} to {self.names[-1]}" if self.names else ""
        return f"{self.values[0]} to {self.values[-1]}{also}"


_WEEKDAYS = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")
_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_FIRST_OF_SIX = _Field("second", range(60), longest=240)
# As long as the columns of django-celery-beat's CrontabSchedule.
_FIVE = (
    _Field("minute", range(60), longest=240),
    _Field("hour", range(24), longest=96),
    _Field("day of the month", range(1, 32), longest=124),
    _Field("month", range(1, 13), longest=64, names=_MONTHS, first_name=1),
    _Field("day of the week", range(8), longest=64, names=_WEEKDAYS),
)


def _fields(came: int) -> tuple[_Field, ...]:
    if came == 7:
        raise ValidationError(
            "Seven fields are Quartz's, the last for the year: leave the year out, as cron knows none."
        )
    if came not in (5, 6):
        raise ValidationError(
            "A cron expression has five fields (minute, hour, day of the month, month, day of the week), "
            f"or six with seconds first; this one has {came or 'none'}. For example, {_EXAMPLE}"
        )
    return _FIVE if came == 5 else (_FIRST_OF_SIX, *_FIVE)


def _unaliased(alias: str) -> str:
    if alias.lower() == "@reboot":
        raise ValidationError(f"“@reboot” is no time that comes again. Write when: {_EXAMPLE}")
    if alias.lower() not in ALIASES:
        raise ValidationError(f"“{_short(alias)}” is none of {', '.join(ALIASES)}. Write five fields: {_EXAMPLE}")
    return ALIASES[alias.lower()]


def _number(text: str) -> int | None:
    return int(text) if text.isascii() and text.isdigit() else None


def _short(text: str) -> str:
    return text if len(text) <= 30 else f"{text[:29]}…"


@dataclass(frozen=True, slots=True)
class _Reading:
    """A valid expression, as cronsim reads it."""

    text: str
    """Normalized."""
    at_fixed_times: bool
    """Whether Debian's cron runs it once a time when clocks change, rather than by the clock on the wall."""
    cron: CronSim
    """Never walked itself: it is a mould for walks, because reading costs more than walking a step."""

    def walls(self, start: datetime, *, backwards: bool = False) -> Iterator[datetime]:
        """The wall times that match, without a zone, strictly after the start or before it."""
        walk = copy(self.cron)
        walk.dt, walk.tick_direction = start, -1 if backwards else 1
        return walk


@lru_cache(maxsize=1024)
def _reading(expression: str) -> _Reading:
    """Raises ValidationError with a sentence where the expression is none, or never comes."""
    text = normalized(expression)
    try:
        cron = CronSim(text, datetime(2000, 1, 1))
    except CronSimError as error:
        raise ValidationError(_never(text)) from error
    if not any(day.month in cron.months and cron.match_day(day) for day in _EVERY_DAY_THERE_IS):
        raise ValidationError(_never(text))
    *seconds, minute, hour, _, _, _ = text.split()
    return _Reading(text, not seconds and not minute.startswith("*") and not hour.startswith("*"), cron)


def _never(text: str) -> str:
    day, month, weekday = text.split()[-3:]
    number = _MONTHS.index(month) + 1 if month in _MONTHS else _number(month)
    if weekday == "*" and day.isdigit() and number:
        name, days = calendar.month_name[number], calendar.monthrange(2000, number)[1]
        return f"{day} {name} never comes: {name} has {days} days."
    return f"“{_short(text)}” never comes: none of its months has such a day."
