"""LeetCode, by the GraphQL behind its own contest page, which nobody documents and everybody uses."""

from typing import Any

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
)

ROOTS = ("allContests", "upcomingContests", "contestV2UpcomingContests", "topTwoContests")
"""Every contest; then three lists of the next weekly and the next biweekly one, should a root field be taken away."""

FIELDS = "title titleSlug startTime duration"
ORIGIN = "originStartTime"
"""startTime moves with a virtual session, this does not. Asked for where the schema has it."""

HEADERS = {
    "Referer": "https://leetcode.com/contest/",  # without it: 403, CSRF verification failed
    "User-Agent": "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/141.0 Safari/537.36",
}


class LeetCode(Platform):
    code = "leetcode"
    name = "LeetCode"
    site = "https://leetcode.com"

    def fetch(self) -> Listing:
        """The first root field that answers. A root other than allContests leaves out running and later contests."""
        complaints = []
        for root in ROOTS:
            rows, complaint = self._rows(root, f"{FIELDS} {ORIGIN}")
            if rows is None and ORIGIN in complaint:
                rows, complaint = self._rows(root, FIELDS)
            if rows is not None:
                return self.listing(rows, _key, self._contest, complete=root == ROOTS[0])
            complaints.append(complaint)
        told = [complaint for complaint in complaints if "Cannot query" not in complaint]
        raise PlatformError(
            f"LeetCode answered each query for contests with an error: {(told or complaints)[0]}", retryable=bool(told)
        )

    def _rows(self, root: str, fields: str) -> tuple[list[Any] | None, str]:
        """The rows of one root field; or None and what GraphQL said, which it does with 200 and with 400."""
        query = {"operationName": root, "variables": {}, "query": f"query {root} {{ {root} {{ {fields} }} }}"}
        with http_errors_as_platform_errors():
            response = self.ask("POST", "/graphql", json=query, headers=HEADERS, accept_statuses={400})
            answer = response.json()
        data = answer.get("data") if isinstance(answer, dict) and answer.keys() & {"data", "errors"} else ()
        if data is not None and not isinstance(data, dict):
            raise PlatformError(f"LeetCode's answer is not one of GraphQL: {quoted(response.text)}")
        rows = data.get(root) if data else None
        if rows is not None and not isinstance(rows, list):
            raise PlatformError(f"LeetCode's {root} is not a list of contests")
        return rows, _complaint(answer, root)

    def _contest(self, row: object) -> ListedContest:
        """Times and durations are in seconds; 5400 is usual, 86400 has been seen."""
        key, name, origin = _key(row), as_name(field(row, "title")), field(row, ORIGIN)
        starts_at = as_moment(field(row, "startTime") if origin is None else origin)
        duration = as_duration(as_whole(field(row, "duration"), "duration"))
        return ListedContest(key, name, f"{self.site}/contest/{key}/", starts_at, starts_at + duration, duration)


def _key(row: object) -> str:
    return as_key(field(row, "titleSlug"))


def _complaint(answer: dict[str, Any], root: str) -> str:
    """All that GraphQL said about a query, or that it said nothing."""
    errors = answer.get("errors")
    said = [field(error, "message") for error in errors if isinstance(error, dict)] if isinstance(errors, list) else []
    messages = [message for message in said if isinstance(message, str)]
    return quoted("; ".join(messages)) if messages else f"{root} is null"
