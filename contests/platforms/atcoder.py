"""AtCoder, by its page of contests, which robots.txt permits. There is no API that lists contests to come."""

import re
from datetime import datetime, timedelta
from reprlib import repr as shown
from urllib.parse import urlsplit

from bs4 import BeautifulSoup, ParserRejectedMarkup, Tag

from contests.platforms.base import (
    BadRow,
    ListedContest,
    Listing,
    Platform,
    PlatformError,
    as_duration,
    as_key,
    as_name,
    http_errors_as_platform_errors,
    in_utc,
    quoted,
)

TABLES = ("action", "upcoming", "daily", "recent")
"""Running (absent when nothing is), to come, trainings, past. The permanent ones have no times."""

TRAINING = re.compile(r"adt_|awc[0-9]")
"""AtCoder Daily Training and AtCoder Weekday Contest, wherever they are listed."""

LINK = re.compile(r"/contests/[^/?#]+/?")
DURATION = re.compile(r"([0-9]{1,5}):([0-5][0-9])")
RATED_RANGE = re.compile(r"All|[0-9]*\s*[-~]\s*[0-9]*")
MAX_PAGE = 2**20
MAX_ROWS = 2000
"""Characters of the page, rows of a table: it has 44 thousand and 60, and the time for reading it must have an end."""


class AtCoder(Platform):
    code = "atcoder"
    name = "AtCoder"
    site = "https://atcoder.jp"

    def fetch(self) -> Listing:
        with http_errors_as_platform_errors():
            page = self.ask("GET", "/contests/", params={"lang": "en"}).text
        tables = _tables(page)
        trainings = {key for row in tables["daily"] if (key := _key_or_none(row))}
        rows = [row for table in TABLES for row in tables[table]]
        return self.listing(rows, _key, lambda row: self._contest(row, trainings))

    def _contest(self, row: Tag, trainings: set[str]) -> ListedContest:
        """Start, name, duration and rated range. A training that runs may be listed twice: among both."""
        cells = row.find_all("td", recursive=False)
        if len(cells) != 4:
            raise BadRow(f"the row has {len(cells)} columns instead of 4")
        key, name = _key(row), as_name(_link(row).get_text())
        starts_at, duration = _moment(cells[0].get_text().strip()), _duration(cells[2].get_text().strip())
        is_training = key in trainings or TRAINING.match(key) is not None
        url = f"{self.site}/contests/{key}"
        is_rated = _is_rated(cells[3].get_text().strip())
        return ListedContest(key, name, url, starts_at, starts_at + duration, duration, is_training, is_rated)


def _tables(page: str) -> dict[str, list[Tag]]:
    """The rows of each table. A page without the table of contests to come is an outage, a login or a new layout."""
    if "</html>" not in page[-1000:].lower():
        raise PlatformError(f"AtCoder answered with something else than its whole page of contests: {quoted(page)}")
    if len(page) > MAX_PAGE:
        raise PlatformError("AtCoder's page is too large to be the one of its contests", retryable=False)
    try:
        soup = BeautifulSoup(page, "lxml")
    except (ParserRejectedMarkup, RecursionError, ValueError) as error:
        raise PlatformError("AtCoder's page of contests is not HTML that can be read") from error
    found = {name: soup.find(id=f"contest-table-{name}") for name in TABLES}
    if found["upcoming"] is None:
        raise PlatformError(f"AtCoder's page has no table of upcoming contests: {quoted(page)}")
    return {name: [] if table is None else _rows(table) for name, table in found.items()}


def _rows(table: Tag) -> list[Tag]:
    """The rows below the head."""
    rows = table.find_all("tr", limit=MAX_ROWS + 1)
    if len(rows) > MAX_ROWS:
        raise PlatformError("AtCoder's page has too many rows to be the one of its contests", retryable=False)
    return [row for row in rows if row.find("td", recursive=False)]


def _link(row: Tag) -> Tag:
    """The first link to a contest; the row's other link leads to a world clock."""
    for link in row.find_all("a", href=True):
        if LINK.fullmatch(_path(str(link["href"]))):
            return link
    raise BadRow("the row links to no contest")


def _path(address: str) -> str:
    try:
        return urlsplit(address).path
    except ValueError:
        return ""


def _key(row: Tag) -> str:
    return as_key(_path(str(_link(row)["href"])).rstrip("/").rpartition("/")[2])


def _key_or_none(row: Tag) -> str | None:
    try:
        return _key(row)
    except BadRow:
        return None


def _moment(text: str) -> datetime:
    """Like "2026-06-13 21:00:00+0900"."""
    try:
        return in_utc(datetime.strptime(text, "%Y-%m-%d %H:%M:%S%z"))
    except ValueError as error:
        raise BadRow(f"the start is not a time: {shown(text)}") from error


def _duration(text: str) -> timedelta:
    """Hours and minutes; hours go up to 240 and beyond, so this is no time of day."""
    match = DURATION.fullmatch(text)
    if match is None:
        raise BadRow(f"the duration is not in hours and minutes: {shown(text)}")
    return as_duration(int(match[1]) * 3600 + int(match[2]) * 60)


def _is_rated(text: str) -> bool | None:
    """Whose ratings change: " - 1999", "2000 - ", "1200 ~ 2799" or "All"; a mere "-" is nobody's."""
    if text in ("-", "~"):
        return False
    return True if RATED_RANGE.fullmatch(text) else None
