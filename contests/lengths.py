"""Lengths of time in words."""

from datetime import datetime, timedelta

ONLY_DAYS_FROM = timedelta(days=7)


def duration(length: timedelta) -> str:
    """A length of time as a person says it: `2 h 30 min`, `10 days`."""
    return " ".join(_parts(length)) or "0 min"


def countdown(moment: datetime, now: datetime) -> str:
    """The time from `now` to `moment` as one wants to know it: `3 h 20 min`, `2 days 4 h`, `12 days`.

    static/app.js keeps it fresh and says it in the same way.
    """
    minutes = max(moment - now, timedelta(0)) // timedelta(minutes=1)
    if not minutes:
        return "less than a minute"
    left = timedelta(minutes=minutes)
    return " ".join(_parts(left)[: 1 if left >= ONLY_DAYS_FROM else 2])


def _parts(length: timedelta) -> list[str]:
    minutes, seconds = divmod(int(length.total_seconds()), 60)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    parts = [
        (days, "day" if days == 1 else "days"),
        (hours, "h"),
        (minutes, "min"),
        (seconds if not (days or hours) else 0, "s"),
    ]
    return [f"{count} {unit}" for count, unit in parts if count]
