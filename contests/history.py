"""What became of a contest, in words."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from django.utils import timezone
from django.utils.dateparse import parse_duration

from contests.lengths import duration
from contests.models import Contest, ContestChange

MOST_TOLD = 50


@dataclass(frozen=True, slots=True)
class Told:
    when: datetime
    words: str


def history(contest: Contest) -> list[Told]:
    """The newest changes of a contest, the newest first. Times in words are in the current time zone."""
    return [Told(change.changed_at, in_words(change)) for change in contest.changes.all()[:MOST_TOLD]]


def in_words(change: ContestChange) -> str:
    """One change, as a sentence without its full stop."""
    if turns := _TURNS.get(change.field):
        return turns[change.new if change.new in turns else bool(change.new)]
    tell, read = _CHANGES.get(change.field, (f"{change.field} changed from {{}} to {{}}", str))
    return tell.format(_read(read, change.old), _read(read, change.new))


def moment(text: str) -> str:
    """Like `Sat 21 Nov 2026, 15:35`, from ISO 8601."""
    local = timezone.localtime(datetime.fromisoformat(text))
    return f"{local:%a} {local.day} {local:%b %Y, %H:%M}"


def _length(text: str) -> str:
    length = parse_duration(text)
    return duration(length) if length is not None else text


def _read(read: Callable[[str], str], text: str) -> str:
    """The value of a change; as it was kept where it does not look like one."""
    try:
        return read(text)
    except ValueError:
        return text


def _quoted(text: str) -> str:
    return f"“{text}”"


_CHANGES: dict[str, tuple[str, Callable[[str], str]]] = {
    "starts_at": ("Moved from {} to {}", moment),
    "ends_at": ("The end moved from {} to {}", moment),
    "duration": ("Lasts {1} instead of {0}", _length),
    "name": ("Renamed from {} to {}", _quoted),
    "url": ("Its page moved from {} to {}", str),
}
_TURNS: dict[str, dict[str | bool, str]] = {
    "is_training": {"True": "Became a training", "False": "Is no training any more"},
    "is_rated": {"True": "Is rated", "False": "Is not rated", False: "Does not say any more whether it is rated"},
    "cancelled_at": {True: "Cancelled: its platform lists it no more", False: "Takes place after all"},
}
