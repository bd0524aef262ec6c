"""How runs and moments are shown to an operator: moments in UTC, to the second."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from scheduler.models import Run

LONGEST_ERROR = 60
"""Characters of an error in a table; `manage.py run` shows all of it."""


def moment(at: datetime | None) -> str:
    """The heading says that it is UTC."""
    return "–" if at is None else f"{at.astimezone(UTC):%Y-%m-%d %H:%M:%S}"


def duration(seconds: float | None) -> str:
    if seconds is None:
        return "–"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min {rest} s" if minutes else f"{seconds:.1f} s"


def job(task: str) -> str:
    """The end of a task's name, by which it can be called."""
    return task.rpartition(".")[2]


def line(text: str) -> str:
    """The first line of a text, cut where it is long."""
    first = text.partition("\n")[0]
    return first if len(first) <= LONGEST_ERROR else f"{first[: LONGEST_ERROR - 1]}…"


def short_id(run: Run) -> str:
    """Enough of a run's id to name it, among some thousands."""
    return str(run.pk)[:8]


def as_dict(run: Run) -> Mapping[str, Any]:
    fields = ("name", "task", "args", "kwargs", "trigger", "actor", "occurrence", "parent", "status", "created_at")
    times = ("available_at", "started_at", "finished_at", "seconds")
    outcome = ("attempt", "failures", "worker", "result", "error")
    return {"id": str(run.pk), **{name: getattr(run, name) for name in (*fields, *times, *outcome)}}
