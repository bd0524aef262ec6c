"""The four platforms of a World over HTTP on loopback, each with the address, the shape and the quirks of its own."""

import json
import re
import threading
from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from functools import partial
from html import escape
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, NamedTuple, Self
from urllib.parse import urlsplit

from config.demo.world import DAY, HOUR, JST, PLATFORMS, Request, World, WorldContest

JSON, HTML = "application/json", "text/html; charset=utf-8"
IST = timezone(timedelta(hours=5, minutes=30))
NONSENSE = "when it is ready"
PAST_CODECHEF_ROWS = 20

CSRF_REFUSAL = "<p>CSRF verification failed. Request aborted.</p>"
OUTAGE = "<html><head><title>503 Service Temporarily Unavailable</title></head></html>"
GARBAGE = "\x00\x01{]"


class Answer(NamedTuple):
    status: int
    content_type: str
    body: str


class WorldServer(ThreadingHTTPServer):
    """Serves a World from a daemon thread while it is entered as a context. `port` 0 picks a free one."""

    def __init__(self, world: World, port: int = 0) -> None:
        self.world = world
        super().__init__(("127.0.0.1", port), partial(_Handler, world))
        self._thread = threading.Thread(target=self.serve_forever, args=(0.02,), name="world", daemon=True)

    def url_of(self, platform: str) -> str:
        """The root of a platform, to be used in the place of its real site."""
        if platform not in PLATFORMS:
            raise KeyError(platform)
        return f"http://127.0.0.1:{self.server_port}/{platform}"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.shutdown()
        self._thread.join()
        self.server_close()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def __init__(self, world: World, *args: Any) -> None:
        self.world = world
        super().__init__(*args)

    def do_GET(self) -> None:
        self._answer(b"")

    def do_POST(self) -> None:
        self._answer(self.rfile.read(int(self.headers.get("Content-Length") or 0)))

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing: what was asked is in `world.requests`."""

    def _answer(self, body: bytes) -> None:
        platform, slash, path = urlsplit(self.path).path.lstrip("/").partition("/")
        if platform in PLATFORMS:
            self.world.requests.append(Request(platform, self.command, slash + path))
        make = ANSWERS.get((self.command, platform, slash + path))
        if make is None:
            self._send(Answer(404, HTML, "<h1>Not Found</h1>"))
        elif self.world.fault_of(platform) == "http503":
            self._send(Answer(503, HTML, OUTAGE))
        elif self.world.fault_of(platform) == "garbage":
            self._send(Answer(200, JSON, GARBAGE))
        elif platform == "leetcode" and (refusal := _leetcode_refusal(self.headers.get("Referer", ""))):
            self._send(refusal)
        else:
            asked = body if self.headers.get_content_type() == JSON else b""
            self._send(make(self.world.listed(platform), self.world.clock(), asked))

    def _send(self, answer: Answer) -> None:
        data = answer.body.encode()
        self.send_response(answer.status)
        self.send_header("Content-Type", answer.content_type)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)


def _in_json(value: object, status: int = 200) -> Answer:
    return Answer(status, JSON, json.dumps(value, ensure_ascii=False))


def _newest_first(contests: list[WorldContest]) -> list[WorldContest]:
    return sorted(contests, key=lambda contest: contest.starts_at, reverse=True)


# Codeforces


def _codeforces(contests: list[WorldContest], now: datetime, body: bytes) -> Answer:
    """The whole history, newest start first."""
    return _in_json({"status": "OK", "result": [_codeforces_row(contest, now) for contest in _newest_first(contests)]})


def _codeforces_row(contest: WorldContest, now: datetime) -> dict[str, Any]:
    """A contest without a start lacks both of its times."""
    phase = "BEFORE" if contest.is_upcoming(now) else "CODING" if contest.is_running(now) else "FINISHED"
    row = {
        "id": int(contest.key),
        "name": contest.name,
        "type": "ICPC" if contest.name.startswith("Educational") else "CF",
        "phase": phase,
        "frozen": False,
        "durationSeconds": int(contest.duration.total_seconds()),
    }
    if contest.is_unscheduled:
        return row
    start = NONSENSE if contest.is_poisoned else int(contest.starts_at.timestamp())
    return row | {"startTimeSeconds": start, "relativeTimeSeconds": int((now - contest.starts_at).total_seconds())}


# LeetCode

QUERY = re.compile(r"\s*(?:query\s*\w*)?\s*\{\s*(\w+)\s*\{([\w\s]+)\}\s*\}\s*")
"""One root field without arguments and its plain fields: all of GraphQL that is understood here."""


def _leetcode_refusal(referer: str) -> Answer | None:
    """What a request gets that does not come from LeetCode's own pages."""
    return None if urlsplit(referer).hostname == "leetcode.com" else Answer(403, HTML, CSRF_REFUSAL)


def _leetcode(contests: list[WorldContest], now: datetime, body: bytes) -> Answer:
    """One root field's rows with the fields that were asked for, and no other.

    allContests has all, newest first; the other roots have the next weekly and the next biweekly one, in two orders.
    """
    try:
        match = QUERY.fullmatch(json.loads(body)["query"])
    except (ValueError, TypeError, KeyError):
        return _graphql_error("Must provide query string.")
    if match is None:
        return _graphql_error("Syntax Error GraphQL request")
    root, fields = match[1], match[2].split()
    upcoming = [contest for contest in contests if contest.is_upcoming(now)]
    weekly, biweekly = ([c for c in upcoming if c.key.startswith(kind)][:1] for kind in ("weekly-", "biweekly-"))
    roots = {
        "allContests": _newest_first(contests),
        "upcomingContests": [contest for contest in upcoming if contest in weekly + biweekly],
        "contestV2UpcomingContests": weekly + biweekly,
        "topTwoContests": weekly + biweekly,
    }
    if root not in roots:
        return _graphql_error(f'Cannot query field "{root}" on type "Query".')
    rows = [_leetcode_row(contest) for contest in roots[root]]
    if unknown := [name for row in rows for name in fields if name not in row]:
        return _graphql_error(f'Cannot query field "{unknown[0]}" on type "ContestNode".')
    return _in_json({"data": {root: [{name: row[name] for name in fields} for row in rows]}})


def _leetcode_row(contest: WorldContest) -> dict[str, Any]:
    start = NONSENSE if contest.is_poisoned else int(contest.starts_at.timestamp())
    return {
        "title": contest.name,
        "titleSlug": contest.key,
        "startTime": start,
        "duration": int(contest.duration.total_seconds()),
        "originStartTime": start,
        "isVirtual": False,
        "containsPremium": False,
        "__typename": "ContestNode",
    }


def _graphql_error(message: str) -> Answer:
    return _in_json({"errors": [{"message": message}]}, 400)


# CodeChef


def _codechef(contests: list[WorldContest], now: datetime, body: bytes) -> Answer:
    """The skill test is a trap: open for years, and listed apart because it is no contest."""
    past = [contest for contest in contests if contest.ends_at <= now]
    opened_at = now - 600 * DAY
    trap = WorldContest("codechef", "basic-python", "Python Online Test & Quiz", opened_at, 1.5 * HOUR, 1000 * DAY)
    return _in_json(
        {
            "status": "success",
            "message": "All contests list",
            "present_contests": [_codechef_row(contest, now) for contest in contests if contest.is_running(now)],
            "future_contests": [_codechef_row(contest, now) for contest in contests if contest.is_upcoming(now)],
            "practice_contests": [],
            "past_contests": [_codechef_row(contest, now) for contest in _newest_first(past)[:PAST_CODECHEF_ROWS]],
            "skill_tests": [_codechef_row(trap, now) | {"problem_count": 30}],
            "banners": [],
        }
    )


def _codechef_row(contest: WorldContest, now: datetime) -> dict[str, Any]:
    """Indian time, twice for each moment; the duration in minutes, as a text."""
    starts_at, ends_at = contest.starts_at.astimezone(IST), contest.ends_at.astimezone(IST)
    return {
        "contest_code": contest.key,
        "contest_name": contest.name,
        "contest_start_date": f"{starts_at:%d %b %Y  %H:%M:%S}",
        "contest_end_date": f"{ends_at:%d %b %Y  %H:%M:%S}",
        "contest_start_date_iso": NONSENSE if contest.is_poisoned else starts_at.isoformat(),
        "contest_end_date_iso": ends_at.isoformat(),
        "contest_duration": str(contest.duration // timedelta(minutes=1)),
        "distinct_users": 0 if contest.is_upcoming(now) else 653,
    }


# AtCoder

PAGE = """


<!DOCTYPE html>
<html>
<head>
	<title>Present Contests - AtCoder</title>
</head>
<body>{action}
			<div id="contest-table-permanent">
	<table><tbody>
			<tr>
				<td><span title="Algorithm">Ⓐ</span> <a href="/contests/practice">practice contest</a></td>
				<td class="text-center">-</td>
			</tr>
	</tbody></table>
			</div>{others}
</body>
</html>
"""
"""The permanent contests have neither start nor duration."""

TABLE = """
			<div id="contest-table-{name}">
				<h3>{title}</h3>
				<div class="panel panel-default"><div class="table-responsive">
	<table class="table table-default table-striped table-hover table-condensed table-bordered small">
		<thead>
			<tr>
				<th>Start Time<small> (local time)</small></th>
				<th>Contest Name</th><th>Duration</th><th>Rated Range</th>
			</tr>
		</thead>
		<tbody>{rows}
		</tbody>
	</table>
</div></div>
			</div>"""

ROW = """
			<tr>
				<td class="text-center"><a href='http://www.timeanddate.com/worldclock/fixedtime.html?iso={iso}&p1=248'\
 target='blank'><time class='fixtime fixtime-full'>{start}</time></a></td>
				<td ><span aria-hidden='true' data-toggle='tooltip' data-placement='top' title="{kind}">{sign}</span>\
<span class="{colour}">◉</span> <a href="/contests/{key}">{name}</a></td>
				<td class="text-center">{duration}</td>
				<td class="text-center">{rated}</td>
			</tr>"""

RATED = {"abc": ("user-blue", " - 1999"), "arc": ("user-orange", "1200 - 2799"), "ahc": ("", "All")}
"""The colour and the rated range of a series, by the start of its keys; of all others: none."""


def _atcoder(contests: list[WorldContest], now: datetime, body: bytes) -> Answer:
    """A page with a table for each group. Where nothing runs, that table is absent; a training that runs is in two."""
    running = [contest for contest in contests if contest.is_running(now)]
    upcoming = [contest for contest in contests if contest.is_upcoming(now)]
    past = [contest for contest in contests if contest.ends_at <= now]
    action = _table("action", "Active Contests", running)
    others = [
        _table("upcoming", "Upcoming Contests", [contest for contest in upcoming if not contest.is_training]),
        _table("daily", "Daily Contests", [contest for contest in running + upcoming if contest.is_training]),
        _table("recent", "Recent Contests", _newest_first(past)),
    ]
    return Answer(200, HTML, PAGE.format(action=action if running else "", others="".join(others)))


def _table(name: str, title: str, contests: list[WorldContest]) -> str:
    return TABLE.format(name=name, title=title, rows="".join(map(_atcoder_row, contests)))


def _atcoder_row(contest: WorldContest) -> str:
    """Japanese time; a duration in hours without bound, and minutes."""
    starts_at = contest.starts_at.astimezone(JST)
    hours, minutes = divmod(contest.duration // timedelta(minutes=1), 60)
    kind, sign = ("Heuristic", "Ⓗ") if contest.key.startswith("ahc") else ("Algorithm", "Ⓐ")
    colour, rated = RATED.get(contest.key[:3], ("", "-"))
    return ROW.format(
        iso=f"{starts_at:%Y%m%dT%H%M}",
        start=NONSENSE if contest.is_poisoned else f"{starts_at:%Y-%m-%d %H:%M:%S%z}",
        kind=kind,
        sign=sign,
        colour=colour,
        key=contest.key,
        name=escape(contest.name),
        duration=f"{hours:02}:{minutes:02}",
        rated=rated,
    )


ANSWERS: dict[tuple[str, str, str], Callable[[list[WorldContest], datetime, bytes], Answer]] = {
    ("GET", "codeforces", "/api/contest.list"): _codeforces,
    ("POST", "leetcode", "/graphql"): _leetcode,
    ("GET", "codechef", "/api/list/contests/all"): _codechef,
    ("GET", "atcoder", "/contests/"): _atcoder,
}
"""By method, platform and path."""
