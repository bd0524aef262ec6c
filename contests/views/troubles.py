"""Why what is shown may be out of date."""

from collections.abc import Iterable
from datetime import datetime, timedelta

from django.utils import timezone

from contests.models import Platform

STALE_AFTER = timedelta(hours=12)
"""Two rounds of the default schedule."""


def never_read(platforms: Iterable[Platform]) -> bool:
    return all(platform.last_success_at is None for platform in platforms)


def never_asked(platforms: Iterable[Platform]) -> bool:
    return all(platform.last_success_at is None and platform.last_error_at is None for platform in platforms)


def troubles(platforms: Iterable[Platform], now: datetime) -> list[str]:
    """A sentence for each platform that was not read lately."""
    return [trouble for platform in platforms if (trouble := _trouble(platform, now))]


def _trouble(platform: Platform, now: datetime) -> str:
    """Why what is shown of this platform may be out of date, in one sentence; nothing where it is not."""
    read_at = platform.last_success_at
    since = f"since {_moment(read_at)}" if read_at else "so far"
    if not platform.enabled:
        return f"{platform.name} is switched off; it was not read {since}."
    if platform.is_failing:
        return f"{platform.name} could not be read {since}: {platform.last_error.rstrip('.')}."
    if read_at is None or read_at < now - STALE_AFTER:
        return f"{platform.name} was not read {since}."
    return ""


def _moment(moment: datetime) -> str:
    local = timezone.localtime(moment)
    return f"{local.day} {local:%B, %H:%M}"
