"""What a platform adapter takes and gives: plain values in, plain values out, one typed error.

An adapter is a leaf: no ORM, no Celery, no clock. It asks its platform once and says what it read.
"""

import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Container, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from reprlib import repr as shown
from typing import ClassVar, TypeVar

from config.http import HttpError, Response, excerpt, request

EARLIEST = datetime(2000, 1, 1, tzinfo=UTC)
LATEST = datetime(2100, 1, 1, tzinfo=UTC)
LONGEST = timedelta(days=3660)
MAX_KEY_LENGTH = 200
MAX_NAME_LENGTH = 500

Row = TypeVar("Row")


class PlatformError(Exception):
    """The platform gave nothing usable.

    `str(error)` is one sentence that a member of staff can read; `retryable` says whether the same call may go
    through later without anybody changing anything.
    """

    def __init__(self, sentence: str, *, retryable: bool = True) -> None:
        super().__init__(sentence)
        self.retryable = retryable


class BadRow(Exception):
    """One row makes no sense. `str(error)` is the reason, in one sentence."""


@dataclass(frozen=True, slots=True)
class ListedContest:
    """One contest as its platform lists it.

    `key` is the platform's own stable identifier. `starts_at` and `ends_at` are aware datetimes in UTC that bound the
    window in which one can take part; `duration` is how long a participant has, which is shorter than the window where
    the platform lets people start when they like. `is_rated` is None where nothing that the platform said tells.
    """

    key: str
    name: str
    url: str
    starts_at: datetime
    ends_at: datetime
    duration: timedelta
    is_training: bool = False
    is_rated: bool | None = None


@dataclass(frozen=True, slots=True)
class RejectedRow:
    """One row that could not be read: its key where at least that was readable, and the reason in one sentence."""

    key: str | None
    reason: str


@dataclass(frozen=True, slots=True)
class Listing:
    """One answer of a platform, read.

    `fetched` counts the rows of the answer, `contests` are those with a time, `rejected` those that made no sense.
    `unscheduled` are the keys that are listed without a start. `complete` is true where a contest's absence means
    something: the platform claims to list every upcoming contest in this answer.
    """

    fetched: int
    contests: tuple[ListedContest, ...]
    rejected: tuple[RejectedRow, ...] = ()
    unscheduled: frozenset[str] = frozenset()
    complete: bool = True

    @property
    def listed_keys(self) -> frozenset[str]:
        """Every key that the answer names, readable row or not."""
        return (
            frozenset(contest.key for contest in self.contests)
            | frozenset(row.key for row in self.rejected if row.key is not None)
            | self.unscheduled
        )

    @property
    def names_every_row(self) -> bool:
        """Whether absence can be judged: the answer is complete and no row lost its key."""
        return self.complete and all(row.key is not None for row in self.rejected)


class Platform(ABC):
    """A contest platform: who it is, and how to read what it lists."""

    code: ClassVar[str]
    name: ClassVar[str]
    site: ClassVar[str]
    """The public address, without a slash at the end: links lead there, and requests go there by default."""

    deadline: float = 30.0
    """How long one request may take with all its attempts, in seconds."""

    def __init__(self, root: str | None = None) -> None:
        """`root` is where requests go instead of `site`: a mirror, a proxy, a recording."""
        self.root = (root or self.site).rstrip("/")

    @abstractmethod
    def fetch(self) -> Listing:
        """Ask the platform for its contests. Raises PlatformError when the answer is not usable as a whole."""

    def ask(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, str] | None = None,
        json: object = None,
        headers: Mapping[str, str] | None = None,
        accept_statuses: Container[int] = (),
    ) -> Response:
        """One request below `root`. Raises HttpError."""
        return request(
            method,
            self.root + path,
            params=params,
            json=json,
            headers=headers,
            deadline=self.deadline,
            accept_statuses=accept_statuses,
        )

    def listing(
        self,
        rows: Sequence[Row],
        key_of: Callable[[Row], str],
        contest_of: Callable[[Row], ListedContest | None],
        *,
        complete: bool = True,
    ) -> Listing:
        """Read each row on its own, so that a bad one costs nothing but itself.

        `key_of` and `contest_of` raise BadRow; `contest_of` gives None for a contest without a start. Of several
        readable rows with one key the first counts: another that says the same is passed over, one that says something
        else is rejected. Raises PlatformError where no contest is left: that is an error, not news.
        """
        contests: dict[str, ListedContest] = {}
        rejected: list[RejectedRow] = []
        unscheduled: set[str] = set()
        for row in rows:
            key = None
            try:
                key = key_of(row)
                contest = contest_of(row)
                if contest is None:
                    unscheduled.add(key)
                elif contests.setdefault(key, contest) != contest:
                    raise BadRow("the contest is listed a second time with other data")
            except BadRow as error:
                rejected.append(RejectedRow(key, str(error)))
        if not contests:
            why = f" that could be read ({rejected[0].reason})" if rejected else " at all"
            raise PlatformError(f"{self.name} listed no contest{why}", retryable=not rejected)
        return Listing(
            len(rows), tuple(contests.values()), tuple(rejected), frozenset(unscheduled - contests.keys()), complete
        )


@contextmanager
def http_errors_as_platform_errors() -> Iterator[None]:
    """An HttpError inside becomes a PlatformError with the same sentence."""
    try:
        yield
    except HttpError as error:
        raise PlatformError(str(error), retryable=error.retryable) from error


def quoted(value: object) -> str:
    """What a platform said, in quotation marks, for a sentence."""
    return f"“{excerpt(value if isinstance(value, str) else shown(value))}”"


def field(row: object, name: str) -> object:
    """A field of a row in JSON; None where it is absent."""
    if not isinstance(row, dict):
        raise BadRow(f"the row is not an object: {shown(row)}")
    return row.get(name)


def as_key(value: object) -> str:
    """A key goes into URLs, so it is made of characters that mean nothing there."""
    if not isinstance(value, str) or len(value) > MAX_KEY_LENGTH or not _KEY.fullmatch(value):
        raise BadRow(f"the key cannot be part of a URL: {shown(value)}")
    return value


def as_name(value: object) -> str:
    """A name on one line. Control characters and lone surrogates, which no database takes, spoil it."""
    if not isinstance(value, str):
        raise BadRow(f"the name is not a text: {shown(value)}")
    name = " ".join(value.split())
    if not name:
        raise BadRow("the name is empty")
    if len(name) > MAX_NAME_LENGTH:
        raise BadRow(f"the name is longer than {MAX_NAME_LENGTH} characters: {shown(name)}")
    if _UNPRINTABLE.search(name):
        raise BadRow(f"the name has control characters: {shown(name)}")
    return name


def as_whole(value: object, what: str) -> int:
    """An int; a bool is none."""
    if not isinstance(value, int) or isinstance(value, bool):
        raise BadRow(f"the {what} is not a whole number: {shown(value)}")
    return value


def as_moment(value: object, what: str = "start") -> datetime:
    """A moment in UTC from Unix seconds."""
    seconds = as_whole(value, what)
    if not EARLIEST.timestamp() <= seconds < LATEST.timestamp():
        raise BadRow(f"the {what} is not in this century: {shown(value)}")
    return datetime.fromtimestamp(seconds, UTC)


def in_utc(moment: datetime, what: str = "start") -> datetime:
    """A moment in UTC from one that names its offset."""
    if moment.tzinfo is None:
        raise BadRow(f"the {what} names no offset from UTC: {moment}")
    if not EARLIEST.year <= moment.year < LATEST.year:
        raise BadRow(f"the {what} is not in this century: {moment}")
    return moment.astimezone(UTC)


def as_duration(seconds: int) -> timedelta:
    """More than nothing and less than ten years: kenkoooo's crawler, for one, writes 100 years for "always"."""
    if not 0 < seconds <= LONGEST.total_seconds():
        raise BadRow(f"the duration makes no sense: {shown(seconds)} seconds")
    return timedelta(seconds=seconds)


def rated_by_name(name: str) -> bool | None:
    """What the words in brackets say, such as "(Rated till 5 star)" or "[Online Mirror, unrated, Div. 1]"."""
    said = _RATED.findall(name)
    return not any(said) if said else None


_KEY = re.compile(r"[A-Za-z0-9][A-Za-z0-9._~-]*")
_UNPRINTABLE = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff]")
_RATED = re.compile(r"[(\[][^)\]]*?\b(un|non-?|not )?rated\b", re.IGNORECASE)
