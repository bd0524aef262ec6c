"""Codeforces, by its official API: https://codeforces.com/apiHelp/methods#contest.list."""

import re
from json import loads

from config.http import HttpError
from contests.platforms.base import (
    ListedContest,
    Listing,
    Platform,
    PlatformError,
    as_duration,
    as_key,
    as_moment,
    as_name,
    as_whole,
    field,
    http_errors_as_platform_errors,
    quoted,
    rated_by_name,
)

DIVISION = re.compile(r"\bDiv\. ?[1-4]")
APART = re.compile(r"\b(mirror|unofficial|testing)\b", re.IGNORECASE)


class Codeforces(Platform):
    """The whole history comes each time, newest start first; there is no filter on the server.

    The phase is not read: rounds 1308 and 1309 have been PENDING_SYSTEM_TEST since 2020. Nor is relativeTimeSeconds:
    it differs by seconds between the rows of one answer, which is put together from cached pieces.
    """

    code = "codeforces"
    name = "Codeforces"
    site = "https://codeforces.com"

    def fetch(self) -> Listing:
        with http_errors_as_platform_errors():
            answer = self._answer()
        if complaint := _complaint(answer):
            raise PlatformError(complaint)
        rows = answer.get("result") if isinstance(answer, dict) else None
        if not isinstance(rows, list):
            raise PlatformError("Codeforces answered without a list of contests")
        return self.listing(rows, _key, self._contest)

    def _answer(self) -> object:
        """The envelope. Its comment says more than the status: errors come with 200, 400 and 503 alike.

        `lang` is sent because names are localized; `gym=false` leaves private training out.
        """
        try:
            return self.ask("GET", "/api/contest.list", params={"gym": "false", "lang": "en"}).json()
        except HttpError as error:
            if complaint := _complaint(_json_or_none(error.body)):
                raise PlatformError(complaint, retryable=error.retryable) from error
            raise

    def _contest(self, row: object) -> ListedContest | None:
        """A contest, or None for one without a start, which the documentation allows.

        /contests/{id} shows the announcement first and the contest afterwards; /contest/{id} opens with the start.
        """
        key, name, start = _key(row), as_name(field(row, "name")), field(row, "startTimeSeconds")
        if start is None:
            return None
        starts_at = as_moment(start)
        duration = as_duration(as_whole(field(row, "durationSeconds"), "duration"))
        url, is_rated = f"{self.site}/contests/{key}", _is_rated(name)
        return ListedContest(key, name, url, starts_at, starts_at + duration, duration, is_rated=is_rated)


def _key(row: object) -> str:
    return as_key(str(as_whole(field(row, "id"), "id")))


def _is_rated(name: str) -> bool | None:
    """What the name says, the only field that does: "rated", "unrated", or a division, which is a range of ratings.

    Some mirrors and testing rounds named divisions for advice, as "Testing Round 19 (Div. 3)" did: they stay unknown.
    """
    said = rated_by_name(name)
    return True if said is None and DIVISION.search(name) and not APART.search(name) else said


def _complaint(answer: object) -> str | None:
    """The sentence for a FAILED envelope, such as "Call limit exceeded" after more than one call in two seconds."""
    if isinstance(answer, dict) and answer.get("status") == "FAILED":
        return f"Codeforces refused with the comment {quoted(answer.get('comment'))}"
    return None


def _json_or_none(body: bytes) -> object:
    try:
        return loads(body)
    except (ValueError, RecursionError):
        return None
