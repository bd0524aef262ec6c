"""CodeChef, by the API behind its own contest page. Undocumented: the official one is not open to the public."""

import re
from dataclasses import replace
from datetime import datetime
from reprlib import repr as shown
from typing import Any

from contests.platforms.base import (
    BadRow,
    ListedContest,
    Listing,
    Platform,
    PlatformError,
    as_duration,
    as_key,
    as_name,
    as_whole,
    field,
    http_errors_as_platform_errors,
    in_utc,
    quoted,
    rated_by_name,
)

ARRAYS = ("present_contests", "future_contests", "past_contests")
"""practice_contests is always empty; skill_tests are tests for single users, open for years."""

PARAMS = {"sort_by": "START", "sorting_order": "asc", "offset": "0", "mode": "all"}
DIVISION = re.compile(r"(START[0-9]+)[A-D]")
MINUTES = re.compile(r"[0-9]{1,9}")


class CodeChef(Platform):
    code = "codechef"
    name = "CodeChef"
    site = "https://www.codechef.com"

    def fetch(self) -> Listing:
        """Present, future and the 20 newest past contests, in one answer.

        future_contests has been seen empty in an answer of success, so its emptiness says nothing about cancellations.
        Any other word in the place of `all` answers success with the 20 oldest contests, of 2009.
        """
        with http_errors_as_platform_errors():
            answer = self.ask("GET", "/api/list/contests/all", params=PARAMS).json()
        if not isinstance(answer, dict) or answer.get("status") != "success":
            said = answer.get("message", answer) if isinstance(answer, dict) else answer
            raise PlatformError(f"CodeChef did not answer with success: {quoted(said)}")
        arrays = [answer.get(name) for name in ARRAYS]
        rows = [row for array in arrays if isinstance(array, list) for row in array]
        if not all(isinstance(array, list) for array in arrays):
            raise PlatformError(f"CodeChef's answer lacks one of {', '.join(ARRAYS)}")
        listing = self.listing(_without_divisions(rows), _key, self._contest, complete=bool(answer["future_contests"]))
        return replace(listing, fetched=len(rows))

    def _contest(self, row: object) -> ListedContest:
        """The dates with _iso name their offset; the others are Indian time without saying so.

        The window and the duration are two things: PLACEPREP02 was open for two days, three hours for each participant.
        """
        key, name = _key(row), as_name(field(row, "contest_name"))
        starts_at = _moment(field(row, "contest_start_date_iso"), "start")
        ends_at = _moment(field(row, "contest_end_date_iso"), "end")
        if ends_at <= starts_at:
            raise BadRow("the contest does not end after its start")
        duration = as_duration(_minutes(field(row, "contest_duration")) * 60)
        url, is_rated = f"{self.site}/{key}", rated_by_name(name)
        return ListedContest(key, name, url, starts_at, ends_at, duration, is_rated=is_rated)


def _key(row: object) -> str:
    """The code; for a division the code of its contest, whose page leads each member to the right division."""
    code = as_key(field(row, "contest_code"))
    division = DIVISION.fullmatch(code)
    return division[1] if division else code


def _without_divisions(rows: list[object]) -> list[object]:
    """One row per contest that comes in divisions: its own, or else that of its first division.

    START247 and START247A to D were listed together in June 2026, with one name and one start; in May 2024 START134B
    stood without START134. They are one contest, and the rows of its divisions come and go.
    """
    codes = [row.get("contest_code") if isinstance(row, dict) else None for row in rows]
    named = {code for code in codes if isinstance(code, str)}
    kept = []
    for row, code in zip(rows, codes, strict=True):
        division = DIVISION.fullmatch(code) if isinstance(code, str) else None
        if division is None:
            kept.append(row)
        elif division[1] not in named:
            named.add(division[1])
            kept.append(row)
    return kept


def _moment(value: Any, what: str) -> datetime:
    """Like "2025-10-29T20:00:00+05:30"; the seconds are not always 00."""
    try:
        return in_utc(datetime.fromisoformat(value), what)
    except (ValueError, TypeError) as error:
        raise BadRow(f"the {what} is not a time: {shown(value)}") from error


def _minutes(value: object) -> int:
    """Minutes, as a text of digits; a number would do."""
    if isinstance(value, str) and MINUTES.fullmatch(value):
        return int(value)
    return as_whole(value, "duration")
