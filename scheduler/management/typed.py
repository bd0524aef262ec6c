"""What an operator types: names of schedules, jobs and runs, moments, lengths of time."""

import re
from argparse import ArgumentTypeError
from collections.abc import Collection
from datetime import UTC, datetime, timedelta
from difflib import get_close_matches
from uuid import UUID

from django.core.management.base import CommandError
from django.utils.dateparse import parse_datetime
from django_celery_beat.models import PeriodicTask

from scheduler.jobs import jobs, tasks
from scheduler.models import Run, Schedule

USAGE = 2
"""The exit status of a command that was not understood."""

COMPARED = 1000
"""Names among which a similar one is looked for."""

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}
_LENGTH = re.compile(r"(?:\d{1,6}[smhdw])+", re.ASCII)


# --- Names ---------------------------------------------------------------------------------------------------------


def schedule_named(name: str) -> Schedule:
    """Raises CommandError with similar names where there is none."""
    if found := find_schedule(name):
        return found
    raise unknown(name, "schedule", _schedule_names())


def find_schedule(name: str) -> Schedule | None:
    return Schedule.objects.select_related("periodic_task").filter(periodic_task__name=name).first()


def job_named(name: str) -> str:
    """The name of a task by its end, such as sync_contests. Raises CommandError where there is none, or several."""
    return one_of([task for task in tasks() if not task.startswith("celery.")], name)


def one_of(tasks: Collection[str], name: str) -> str:
    if name in tasks:
        return name
    found = sorted(task for task in tasks if task.endswith(f".{name}"))
    if len(found) > 1:
        raise CommandError(f"“{name}” may be {' or '.join(found)}: write more of it.", returncode=USAGE)
    if not found:
        raise unknown(name, "job", tasks)
    return found[0]


def schedule_or_job(name: str) -> Schedule | str:
    """A schedule, or the task of a job that staff may run. Raises CommandError with similar names."""
    if schedule := find_schedule(name):
        return schedule
    if not any(f".{task}".endswith(f".{name}") for task in jobs()):
        raise unknown(name, "schedule or job", [*_schedule_names(), *jobs()])
    return one_of(jobs(), name)


def run_named(beginning: str) -> Run:
    """A run by its id, or by as much of it as there is no other for. Raises CommandError."""
    digits = beginning.replace("-", "").lower()
    if not re.fullmatch("[0-9a-f]{4,32}", digits):
        raise CommandError(f"“{beginning}” is no id of a run: `manage.py runs` shows them.", returncode=USAGE)
    first, last = UUID(digits.ljust(32, "0")), UUID(digits.ljust(32, "f"))
    found = list(Run.objects.filter(pk__gte=first, pk__lte=last)[:2])
    if len(found) != 1:
        why = "There is no run" if not found else "There are several runs"
        raise CommandError(f"{why} whose id begins with {beginning}.", returncode=USAGE)
    return found[0]


def unknown(name: str, kind: str, names: Collection[str]) -> CommandError:
    """What to say of a name that nothing has: similar ones, or how to see them all."""
    by_end = {each.rpartition(".")[2].lower(): each for each in names} | {each.lower(): each for each in names}
    similar = list(dict.fromkeys(by_end[each] for each in get_close_matches(name.lower(), by_end)))
    hint = f"did you mean {' or '.join(similar)}?" if similar else "`manage.py schedules` lists what there is."
    return CommandError(f"There is no {kind} called “{name}”: {hint}", returncode=USAGE)


def _schedule_names() -> list[str]:
    return list(PeriodicTask.objects.order_by("name").values_list("name", flat=True)[:COMPARED])


# --- Time ----------------------------------------------------------------------------------------------------------


def length(text: str) -> timedelta:
    """Such as 90s, 30m, 2h, 1h30m, 7d. Raises ArgumentTypeError."""
    if not _LENGTH.fullmatch(text):
        raise ArgumentTypeError(f"“{text}” is no length of time: write 90s, 30m, 2h, 1h30m or 7d")
    seconds = sum(int(part[:-1]) * _UNITS[part[-1]] for part in re.findall(r"\d+[a-z]", text))
    if not 0 < seconds <= timedelta(days=3650).total_seconds():
        raise ArgumentTypeError(f"“{text}” is no length of time from a second to ten years")
    return timedelta(seconds=seconds)


def moment(text: str) -> datetime:
    """Such as 2026-11-22T18:00 or “2026-11-22 18:00+02:00”; in UTC where no zone is given. Raises ArgumentTypeError."""
    try:
        parsed = parse_datetime(text)
    except ValueError:
        parsed = None
    if parsed is None:
        raise ArgumentTypeError(f"“{text}” is no moment: write 2026-11-22T18:00, in UTC, or with +02:00 after it")
    return parsed if parsed.tzinfo else parsed.replace(tzinfo=UTC)
