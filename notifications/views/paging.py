"""Pages of long lists: each begins after the last row of the one before, wherever new rows came in meanwhile."""

import re
from datetime import UTC, datetime

Cursor = tuple[datetime, int]
"""A row, by what the list is sorted by: a moment, and an id where that is the same."""

_FORMAT = "%Y%m%dT%H%M%S%f"
_WRITTEN = re.compile(r"(\d{8}T\d{12})-(\d{1,18})", re.ASCII)


def written(cursor: Cursor) -> str:
    """As it stands in an address."""
    moment, row = cursor
    return f"{moment.astimezone(UTC):{_FORMAT}}-{row}"


def read(text: str) -> Cursor | None:
    """What `written` made; None where it makes no sense, which is the first page."""
    if not (found := _WRITTEN.fullmatch(text)):
        return None
    try:
        return datetime.strptime(found[1], _FORMAT).replace(tzinfo=UTC), int(found[2])
    except ValueError:
        return None
