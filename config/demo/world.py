"""The contests of a world of our own. Nothing here knows HTTP; what goes over the wire is made in server.py.

The numbers in names and keys are far ahead of the real ones, so that nobody takes these contests for real.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta, timezone
from typing import Any, Literal, NamedTuple, Self

PLATFORMS = ("codeforces", "leetcode", "codechef", "atcoder")

Fault = Literal["http503", "empty", "garbage", "poison"]
"""An outage; a well-formed answer without a contest; 200 with nonsense; one row with a key and no sensible start."""

MAY_BE_CANCELLED = ("codeforces", "3197")
"""Upcoming, within the day, and like those that were taken off the list days before their start."""

MOVES = ("codeforces", "3192")
"""Upcoming, within the day, and to be put off by its platform."""

MARGIN = timedelta(minutes=15)
"""The next contests are at least so far away: time to start everything and still be reminded of them."""

HALF_HOUR, HOUR, DAY = timedelta(minutes=30), timedelta(hours=1), timedelta(days=1)
JST = timezone(9 * HOUR)


@dataclass(frozen=True, slots=True)
class WorldContest:
    """One contest. `duration` is how long a participant has, `window` how long it is open where that is longer.

    `is_unscheduled`: the platform lists it without its start. Only Codeforces does that.
    """

    platform: str
    key: str
    name: str
    starts_at: datetime
    duration: timedelta
    window: timedelta | None = None
    is_training: bool = False
    is_unscheduled: bool = False
    is_poisoned: bool = False

    @property
    def ends_at(self) -> datetime:
        return self.starts_at + (self.window or self.duration)

    def is_upcoming(self, now: datetime) -> bool:
        return now < self.starts_at

    def is_running(self, now: datetime) -> bool:
        return self.starts_at <= now < self.ends_at


class Request(NamedTuple):
    """One call that a platform received; `path` is the platform's own, without the query."""

    platform: str
    method: str
    path: str


def utc_now() -> datetime:
    return datetime.now(UTC)


class World:
    """What the platforms list at the moment, what is wrong with them, and the calls they received.

    `clock` decides what is running and what is over; give another one together with an invented `now`. Changes replace
    values and never mutate them, so the server's threads always see a whole world; make them from one thread.
    """

    def __init__(self, contests: Iterable[WorldContest], clock: Callable[[], datetime] = utc_now) -> None:
        self._contests = {(contest.platform, contest.key): contest for contest in contests}
        self._faults: dict[str, Fault] = {}
        self.clock = clock
        self.requests: list[Request] = []

    @classmethod
    def around(cls, now: datetime, clock: Callable[[], datetime] = utc_now) -> Self:
        """A world in which, at `now`, all there is to show happens.

        Each platform has a contest that starts in 15 to 45 minutes and another within 24 hours, Codeforces has two that
        start together, CodeChef has one that runs. What is to come starts at whole and half hours.
        """
        return cls(_contests(_half_hour_from(now + MARGIN)), clock)

    def of(self, platform: str) -> list[WorldContest]:
        """All contests of a platform, by start and key."""
        found = (contest for contest in self._contests.values() if contest.platform == platform)
        return sorted(found, key=lambda contest: (contest.starts_at, contest.key))

    def get(self, platform: str, key: str) -> WorldContest:
        return self._contests[platform, key]

    def add(self, contest: WorldContest) -> None:
        """A new contest, or another one in the place of the one with its key."""
        self._contests = {**self._contests, (contest.platform, contest.key): contest}

    def move(self, platform: str, key: str, by: timedelta) -> None:
        contest = self.get(platform, key)
        self.add(replace(contest, starts_at=contest.starts_at + by))

    def rename(self, platform: str, key: str, name: str) -> None:
        self.add(replace(self.get(platform, key), name=name))

    def drop(self, platform: str, key: str) -> None:
        """The platform lists the contest no more."""
        self.get(platform, key)
        self._contests = {pair: contest for pair, contest in self._contests.items() if pair != (platform, key)}

    def break_down(self, platform: str, fault: Fault) -> None:
        """From now on and until `repair`, the platform answers like that."""
        self._faults = {**self._faults, platform: fault}

    def repair(self, platform: str) -> None:
        self._faults = {code: fault for code, fault in self._faults.items() if code != platform}

    def fault_of(self, platform: str) -> Fault | None:
        return self._faults.get(platform)

    def listed(self, platform: str) -> list[WorldContest]:
        """What the platform's answer is made of: `of` it, spoiled by the faults that leave an answer well-formed.

        The poisoned row is that of the next contest to start.
        """
        contests, now, fault = self.of(platform), self.clock(), self.fault_of(platform)
        if fault == "empty":
            return []
        if fault == "poison":
            upcoming = (contest for contest in contests if contest.is_upcoming(now) and not contest.is_unscheduled)
            poisoned = next(upcoming, contests[-1] if contests else None)
            return [replace(contest, is_poisoned=contest is poisoned) for contest in contests]
        return contests


def _half_hour_from(moment: datetime) -> datetime:
    """The first whole or half hour that is not before `moment`."""
    return datetime.fromtimestamp(-(-moment.timestamp() // HALF_HOUR.total_seconds()) * HALF_HOUR.total_seconds(), UTC)


def _contests(first: datetime) -> list[WorldContest]:
    """The world, by platform and start; `first` is when the next contests begin."""

    def contest(platform: str, key: str, name: str, after: timedelta, duration: timedelta, **more: Any) -> WorldContest:
        return WorldContest(platform, key, name, first + after, duration, **more)

    now, training_day = timedelta(0), (first + 5 * HOUR).astimezone(JST)
    training_key = f"adt_easy_{training_day:%Y%m%d}_1"
    training = f"AtCoder Daily Training EASY {training_day:%Y/%m/%d %H:%M}start"
    return [
        contest("codeforces", "3080", "Технокубок 2046 - Отборочный Раунд 1", -400 * DAY, 2 * HOUR),
        contest("codeforces", "3172", "ICPC 2046 Challenge powered by Huawei", -20 * DAY, 14 * DAY),
        contest("codeforces", "3187", "Educational Codeforces Round 282 (Rated for Div. 2)", -5 * DAY, 2 * HOUR),
        contest("codeforces", "3188", "Codeforces Round 2189 (Div. 4)", -2 * DAY, 2 * HOUR),
        contest("codeforces", "3190", "Codeforces Round 2190 (Div. 1)", now, 2.5 * HOUR),
        contest("codeforces", "3191", "Codeforces Round 2190 (Div. 2)", now, 2.5 * HOUR),
        contest("codeforces", "3197", "Midnight Code Cup 2047 - Qualification", 16 * HOUR, 5 * HOUR),
        contest("codeforces", "3192", "Educational Codeforces Round 283 (Rated for Div. 2)", 21 * HOUR, 2 * HOUR),
        contest("codeforces", "3193", "Kotlin Heroes: Practice 36", 3 * DAY, 7 * DAY),
        contest("codeforces", "3194", "Codeforces Round 2191 (Div. 3)", 6 * DAY, 2.25 * HOUR),
        contest("codeforces", "3196", "Codeforces Round (Div. 1 + Div. 2)", 15 * DAY, 3 * HOUR),
        contest("codeforces", "3195", "Kotlin Heroes: Episode 36", 11 * DAY, 2.5 * HOUR, is_unscheduled=True),
        #
        contest("leetcode", "warm-up-contest", "Warm Up Contest", -700 * DAY, DAY),
        contest("leetcode", "biweekly-contest-384", "Biweekly Contest 384", 14 * HOUR - 14 * DAY, 1.5 * HOUR),
        contest("leetcode", "weekly-contest-905", "Weekly Contest 905", -7 * DAY, 1.5 * HOUR),
        contest("leetcode", "weekly-contest-906", "Weekly Contest 906", now, 1.5 * HOUR),
        contest("leetcode", "biweekly-contest-385", "Biweekly Contest 385", 14 * HOUR, 1.5 * HOUR),
        contest("leetcode", "weekly-contest-907", "Weekly Contest 907", 7 * DAY, 1.5 * HOUR),
        #
        contest("codechef", "START505", "Starters 505 (Rated till 5 star)", -7 * DAY, 2 * HOUR),
        contest(
            "codechef",
            "DSAMONDAY98",
            "Monday Munch - DSA Challenge 98",
            timedelta(days=-3, seconds=31),  # such seconds do occur there
            3 * HOUR,
        ),
        contest("codechef", "DEVWEEKEND91", "Weekend Dev Challenge 91: Backend Projects", -20 * HOUR, 2 * DAY),
        contest("codechef", "START506", "Starters 506 (Rated till 5 star)", now, 2 * HOUR),
        contest(
            "codechef",
            "PLACEPREP42",
            "Placement Preparation Contest 42",
            18 * HOUR,
            3 * HOUR,
            window=timedelta(days=2, hours=2, minutes=59),
        ),
        contest("codechef", "START507", "Starters 507", 7 * DAY, 2 * HOUR),
        #
        contest("atcoder", "ahc189", "AtCoder Heuristic Contest 189", -12 * DAY, 4 * HOUR),
        contest("atcoder", "abc839", "AtCoder Beginner Contest 839", -7 * DAY, timedelta(minutes=100)),
        contest("atcoder", "awc0391", "AtCoder Weekday Contest 0391 Beta", -18 * HOUR, HOUR, is_training=True),
        contest("atcoder", "abc840", "AtCoder Beginner Contest 840", now, timedelta(minutes=100)),
        contest("atcoder", training_key, training, 5 * HOUR, HOUR, is_training=True),
        contest("atcoder", "arc340", "AtCoder Regular Contest 340 (Div. 2)", 22 * HOUR, 2 * HOUR),
        contest("atcoder", "ahc190", "Sound & Light Contest（AtCoder Heuristic Contest 190）", 4 * DAY, 10 * DAY),
    ]
