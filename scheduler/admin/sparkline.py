"""The latest runs of a schedule as small bars: colour and shape say how each went, height how long it took."""

from collections import Counter
from collections.abc import Sequence
from math import log1p

from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

from scheduler.models import UNFINISHED, Run, Status

MOST = 30
"""Bars."""

STEP, HEIGHT, LOWEST = 5, 24, 5
"""Pixels: from one bar to the next, of the highest bar, and of the lowest."""

BADLY = (Status.FAILED, Status.LOST)


def sparkline(runs: Sequence[Run]) -> SafeString | str:
    """An SVG of runs that come the newest first, and are drawn the newest last; nothing where there are none."""
    if not runs:
        return ""
    drawn = list(reversed(runs[:MOST]))
    longest = max((run.seconds or 0 for run in drawn), default=0)
    bars = format_html_join("", _BAR, (_bar(run, at * STEP, longest) for at, run in enumerate(drawn)))
    return format_html(
        '<svg class="sparkline" role="img" aria-label="{}" width="{}" height="{}" viewBox="0 0 {} {}">{}</svg>',
        _told(drawn),
        *(MOST * STEP, HEIGHT) * 2,
        bars,
    )


def _told(runs: Sequence[Run]) -> str:
    counts = Counter(run.status for run in runs)
    numbers = ", ".join(f"{number} {Status(status).label}" for status, number in counts.most_common())
    return f"The latest run: {numbers}" if len(runs) == 1 else f"The latest {len(runs)} runs: {numbers}"


_BAR = (
    '<g class="run-{}" transform="translate({} 0)"><title>{}</title><rect x="0.5" y="{}" width="3" height="{}"/>{}</g>'
)


def _bar(run: Run, x: int, longest: float) -> tuple[object, ...]:
    """Full where it succeeded, under a cross where it failed, an outline before its end, low where it never began."""
    height = _height(run, longest)
    top = HEIGHT - height
    cross = format_html('<path d="M0 {0}l4 4m0 -4l-4 4"/>', max(1, top - 6)) if run.status in BADLY else ""
    return run.status, x, _title(run), top, height - 0.5, cross


def _height(run: Run, longest: float) -> int:
    """By the logarithm of the duration: one long run leaves the others to be seen."""
    if run.seconds is None:
        return HEIGHT // 2 if run.status in UNFINISHED else LOWEST - 2
    share = log1p(run.seconds * 10) / log1p(longest * 10) if longest else 0
    return round(LOWEST + (HEIGHT - 7 - LOWEST) * share)


def _title(run: Run) -> str:
    when = run.occurrence or run.created_at
    took = "" if run.seconds is None else f", {duration(run.seconds)}"
    why = f": {run.error}" if run.error else ""
    return f"{when:%Y-%m-%d %H:%M:%S} UTC, {run.get_status_display()}{took}{why}"


def duration(seconds: float) -> str:
    """As people say it: “0.42 s”, “12 s”, “3 min 5 s”, “2 h 10 min”."""
    if seconds < 9.95:
        return f"{seconds:.2g} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    minutes, rest = divmod(whole, 60)
    if minutes < 60:
        return f"{minutes} min {rest} s"
    return f"{minutes // 60} h {minutes % 60} min"
