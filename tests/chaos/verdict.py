"""What became of it all: the ledger against what had to come, and against what the jobs wrote down themselves."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import pairwise
from pathlib import Path

from django.db import DatabaseError, close_old_connections

from scheduler.models import Event, Run, RunEvent, Schedule, Status, Trigger
from tests.chaos.schedules import Made

OVERTAKEN = (Event.WORKER_LOST, Event.HANDED_BACK, Event.REPUBLISHED)
"""How an attempt ends that may have come to its end all the same, a moment before or after.

A run is published again, and begins its attempt anew, where PostgreSQL was killed before it wrote down who had it.
"""


@dataclass(frozen=True, slots=True)
class Verdict:
    name: str
    expected: int
    recorded: int
    finished: int
    """Runs that the ledger holds for succeeded, and whose body came to its end."""
    duplicate: int
    """Occurrences recorded twice, or that nobody expected, and runs that came to their end again for no reason."""
    lost: int
    """Occurrences that were not recorded, and runs whose body never came to its end."""
    unfinished: int
    again: int
    """Runs of more than one attempt."""
    repeated: int
    """Bodies that came to their end in a run that another attempt finished: their worker was lost meanwhile."""
    late: float
    """Seconds from an occurrence to its record at most."""
    silence: float
    """Seconds between two records at most."""

    @property
    def is_right(self) -> bool:
        return self.expected == self.recorded == self.finished and not (self.duplicate or self.lost or self.unfinished)


def verdict_of(made: Made, completions: Counter[tuple[str, int]]) -> Verdict:
    runs = list(Run.objects.filter(name=made.scheduled.name, trigger=Trigger.SCHEDULE).order_by("created_at"))
    occurrences = Counter(run.occurrence for run in runs if run.occurrence)
    expected = made.expected()
    duplicate = sum(occurrences.values()) - len(expected & set(occurrences))
    return _verdict(made.scheduled.name, runs, completions, len(expected), duplicate, len(expected - set(occurrences)))


def verdict_of_children(completions: Counter[tuple[str, int]]) -> Verdict:
    """Of the runs that jobs asked for: how many there had to be, they alone know."""
    runs = list(Run.objects.filter(trigger=Trigger.JOB).order_by("created_at"))
    return _verdict("asked for by jobs", runs, completions, len(runs), 0, 0)


def _verdict(
    name: str, runs: Sequence[Run], completions: Counter[tuple[str, int]], expected: int, duplicate: int, lost: int
) -> Verdict:
    overtaken = Counter(
        str(pk) for pk in RunEvent.objects.filter(run__in=runs, kind__in=OVERTAKEN).values_list("run", flat=True)
    )
    ended: Counter[str] = Counter()
    for (run_id, _), number in completions.items():
        ended[run_id] += number
    finished = [run for run in runs if run.status == Status.SUCCEEDED and completions[(str(run.pk), run.attempt)]]
    unexplained = sum(ended[str(run.pk)] > 1 + overtaken[str(run.pk)] for run in runs)
    never = sum(run.status == Status.SUCCEEDED and not ended[str(run.pk)] for run in runs)
    return Verdict(
        name=name,
        expected=expected,
        recorded=len(runs),
        finished=len(finished),
        duplicate=duplicate + unexplained,
        lost=lost + never,
        unfinished=sum(run.status != Status.SUCCEEDED for run in runs),
        again=sum(run.attempt > 1 for run in runs),
        repeated=sum(max(0, ended[str(run.pk)] - 1) for run in runs),
        late=max((_seconds(run.created_at - run.occurrence) for run in runs if run.occurrence), default=0.0),
        silence=_longest_gap([run.created_at for run in runs]),
    )


def _longest_gap(moments: Sequence[datetime]) -> float:
    return max((_seconds(later - earlier) for earlier, later in pairwise(moments)), default=0.0)


def _seconds(span: timedelta) -> float:
    return span.total_seconds()


def is_over(made: Sequence[Made]) -> bool:
    """Whether nothing is to come any more, and nothing runs or waits. A database that is away says nothing yet."""
    try:
        to_come = Schedule.objects.filter(next_run_at__isnull=False).exists()
        return not (any(each.seconds_left for each in made) or to_come or Run.objects.unfinished().exists())
    except DatabaseError:
        close_old_connections()
        return False


def completions_in(file: Path) -> Counter[tuple[str, int]]:
    """How often each attempt of each run came to its end."""
    lines = file.read_text().splitlines() if file.exists() else []
    return Counter((run, int(attempt)) for run, attempt in (line.split() for line in lines))


COLUMNS = (
    *("expected", "recorded", "finished", "duplicate", "lost", "unfinished"),
    *("again", "repeated", "late", "silence"),
)


def table(verdicts: Sequence[Verdict]) -> str:
    lines = [f"{'':<22}" + "".join(f"{column:>12}" for column in COLUMNS)]
    for verdict in verdicts:
        cells = [getattr(verdict, column) for column in COLUMNS]
        shown = [f"{cell:.1f} s" if isinstance(cell, float) else str(cell) for cell in cells]
        lines.append(f"{verdict.name:<22}" + "".join(f"{cell:>12}" for cell in shown))
    return "\n".join(lines)
