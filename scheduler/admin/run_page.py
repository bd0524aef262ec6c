"""What the page of a run tells: how it stands, what happened to it, what it was given and what came of it."""

import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.db.models import TextField, Value
from django.db.models.functions import Coalesce, Left, Length, Right
from django.urls import reverse
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString

from config.admin import NOTHING
from scheduler.admin.filters import title_of
from scheduler.admin.labels import COLOURS
from scheduler.admin.sparkline import duration
from scheduler.models import UNFINISHED, WAITING, Event, Run, RunEvent, Status, Trigger

SHOWN = 5_000
"""Characters of a text on the page; the whole of it is a link away."""

EVENTS_SHOWN = 100
CHILDREN_SHOWN = 10

WHOLE = ("args", "kwargs", "options", "result", "error", "traceback")
"""Columns that are to be had as plain text."""


# --- Words -----------------------------------------------------------------------------------------------------------


def instant(moment: datetime | None) -> str:
    """To the second, with the zone's name: runs follow each other within a minute."""
    return f"{timezone.localtime(moment):%Y-%m-%d %H:%M:%S %Z}" if moment else NOTHING


def duration_of(run: Run) -> SafeString | str:
    """How long its last attempt took, or takes already."""
    if run.status == Status.RUNNING and run.started_at:
        return format_html('<span data-since="{}">since {}</span>', run.started_at.isoformat(), instant(run.started_at))
    if run.seconds is None or not _began_last(run):
        return NOTHING
    return duration(run.seconds)


def wait_of(run: Run) -> str:
    """From when it could have started until it did."""
    if run.started_at is None or not _began_last(run):
        return NOTHING
    return duration(max(0.0, (run.started_at - run.available_at).total_seconds()))


def _began_last(run: Run) -> bool:
    """Whether its latest attempt began, rather than one before the one for which it waits, or waited when it ended.

    The clocks of a worker and of the one that asked may differ by a little.
    """
    if run.started_at is None or run.status in WAITING:
        return False
    return run.started_at > run.available_at - timedelta(seconds=1)


# --- Texts -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Text:
    shown: str
    characters: int
    whole: str
    """Where all of it is; nothing where this is all."""


def _text(run: UUID, what: str, shown: str, characters: int) -> Text:
    cut = characters > len(shown)
    return Text(shown, characters, reverse("admin:scheduler_run_text", args=[run, what]) if cut else "")


def _texts(run: UUID) -> dict[str, Text]:
    parts = {f"{name}_shown": Left(name, SHOWN) for name in WHOLE}
    lengths = {f"{name}_length": Length(name) for name in WHOLE}
    values: dict[str, Any] | None = Run.objects.filter(pk=run).values(**parts, **lengths).first()  # type: ignore[assignment]  # the names are not known to the checker
    if values is None:
        return {name: Text("", 0, "") for name in WHOLE}
    texts = {name: _text(run, name, values[f"{name}_shown"], values[f"{name}_length"]) for name in WHOLE}
    return {name: _indented(text) if name in ("args", "kwargs", "result") else text for name, text in texts.items()}


def _indented(text: Text) -> Text:
    """As JSON is read with pleasure, where all of it is there."""
    try:
        value = json.loads(text.shown)
    except ValueError:
        return text
    return Text(json.dumps(value, indent=2, ensure_ascii=False), text.characters, text.whole)


def whole_text(run: UUID, what: str) -> str | None:
    """A column of the run, or the traceback of `event-<id>`; None where there is nothing like that."""
    if what in WHOLE:
        return Run.objects.filter(pk=run).values_list(what, flat=True).first()
    kind, _, event = what.partition("-")
    if kind != "event" or not event.isascii() or not event.isdigit() or len(event) > 18:
        return None
    return RunEvent.objects.filter(pk=int(event), run=run).values_list("traceback", flat=True).first()


# --- The timeline ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Entry:
    at: datetime
    title: str
    colour: str = "default"
    by: str = ""
    message: str = ""
    traceback: Text | None = None
    key: str = ""

    @property
    def when(self) -> str:
        """To the millisecond: much of it happens within a second."""
        at = timezone.localtime(self.at)
        return f"{at:%Y-%m-%d %H:%M:%S}.{at.microsecond // 1000:03} {at:%Z}"


def _timeline(run: Run, events: Sequence[RunEvent]) -> list[Entry]:
    """What is known of it, in order."""
    entries = [*_of_the_row(run), *(_of_event(run, event) for event in events if event.kind != Event.RUN_REQUESTED)]
    order = {"start": 0, "end": 2}
    return sorted(entries, key=lambda entry: (entry.at, order.get(entry.key, 1)))


def _of_the_row(run: Run) -> Iterator[Entry]:
    yield Entry(run.created_at, _asked(run), by="" if run.trigger == Trigger.JOB else run.actor, key="start")
    if run.published_at and run.status in WAITING:
        yield Entry(run.published_at, "Given to the workers", "info")
    if run.started_at:
        attempt = run.attempt - 1 if run.status in WAITING and run.attempt > 1 else run.attempt
        yield Entry(run.started_at, f"Attempt {attempt} started", "primary", by=run.worker)
    if run.finished_at and run.status != Status.CANCELLED:
        colour = COLOURS[Status(run.status)]
        told = run.error if run.status in (Status.SKIPPED, Status.LOST) else ""
        yield Entry(run.finished_at, f"{run.get_status_display().capitalize()}", colour, message=told, key="end")


def _asked(run: Run) -> str:
    match run.trigger:
        case Trigger.SCHEDULE:
            return f"Its time came: {instant(run.occurrence)}"
        case Trigger.JOB:
            return f"Asked for by the job {run.actor}"
        case Trigger.RETRY:
            return "Asked for again"
        case Trigger.API:
            return "Asked for by the program"
        case trigger:
            return f"Asked for in {trigger}" if trigger == Trigger.ADMIN else f"Asked for by a {trigger}"


def _of_event(run: Run, event: RunEvent) -> Entry:
    attempt = f"Attempt {event.attempt}" if event.attempt else "It"
    took = "" if event.seconds is None else f" after {duration(event.seconds)}"
    title, colour = {
        Event.ATTEMPT_FAILED: (f"{attempt} failed{took}", "danger"),
        Event.WORKER_LOST: (f"{attempt} was lost with its worker{took}", "danger"),
        Event.HANDED_BACK: (f"{attempt} was handed back{took}: its worker stops", "warning"),
        Event.CANCEL_REQUESTED: ("It was asked to stop", "warning"),
        Event.CANCELLED: (f"{attempt} was cancelled{took}", "default"),
        Event.REPUBLISHED: ("Given to the workers again", "warning"),
    }.get(Event(event.kind), (event.get_kind_display().capitalize(), "default"))
    length = getattr(event, "traceback_length", 0)
    traceback = _text(run.pk, f"event-{event.pk}", event.traceback_shown, length) if length else None  # type: ignore[attr-defined]  # annotated
    return Entry(event.at, title, colour, event.actor, event.message[:SHOWN], traceback, f"event-{event.pk}")


def _events(run: Run) -> list[RunEvent]:
    """The latest ones; of a long traceback its end, where the error was raised."""
    found = (
        RunEvent.objects.filter(run=run)
        .defer("traceback", "changes")
        .annotate(
            traceback_shown=Right(Coalesce("traceback", Value(""), output_field=TextField()), SHOWN),
            traceback_length=Length("traceback"),
        )
        .order_by("-at", "-pk")
    )
    return list(found[: EVENTS_SHOWN + 1])


# --- The page --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Fact:
    label: str
    value: str
    aside: str = ""


def context(run: Run, now: datetime, *, may_act: bool) -> dict[str, Any]:
    """What the templates of the page are given. Five queries, however long its story is."""
    events = _events(run)
    timeline = _timeline(run, events[:EVENTS_SHOWN])
    children = list(
        Run.objects.filter(parent=run.pk)
        .only("name", "task", "status", "created_at")
        .order_by("created_at")[: CHILDREN_SHOWN + 1]
    )
    return {
        "run": run,
        "job": title_of(run.task),
        "colour": COLOURS[Status(run.status)],
        "goes_on": run.status in UNFINISHED,
        "facts": list(_facts(run, now)),
        "timeline": timeline,
        "has_more_events": len(events) > EVENTS_SHOWN,
        "texts": _texts(run.pk),
        "parent": Run.objects.filter(pk=run.parent).only("name", "task", "created_at").first() if run.parent else None,
        "repeats": run.trigger == Trigger.RETRY,
        "children": children[:CHILDREN_SHOWN],
        "has_more_children": len(children) > CHILDREN_SHOWN,
        "may_cancel": may_act and run.status in UNFINISHED and run.cancel_requested_at is None,
        "may_repeat": may_act and run.status not in UNFINISHED,
        "again": "Retry" if run.status in (Status.FAILED, Status.LOST, Status.CANCELLED) else "Run again",
        "version": _version(run, events, children),
    }


def _version(run: Run, events: Sequence[RunEvent], children: Sequence[Run]) -> str:
    """Another one whenever the page says something else."""
    parts = (
        *(run.status, run.attempt, run.published_at, run.available_at, run.started_at, run.finished_at),
        *(run.cancel_requested_at, events[0].pk if events else 0),
        *((child.pk, child.status) for child in children),
    )
    return hashlib.sha256(repr(parts).encode()).hexdigest()[:16]


def _facts(run: Run, now: datetime) -> Iterator[Fact]:
    by = f" by {run.actor}" if run.actor else ""
    yield Fact("Trigger", f"{run.get_trigger_display()}{by}")
    if run.occurrence:
        yield Fact("Stands for", instant(run.occurrence))
    yield Fact("Asked for", instant(run.created_at))
    if run.status == Status.RETRYING:
        yield Fact(
            "Next attempt", instant(run.available_at), "" if run.available_at > now else "as soon as a worker is free"
        )
    elif run.status == Status.QUEUED and run.available_at > now:
        yield Fact("Not before", instant(run.available_at))
    if run.started_at:
        yield Fact("Started", instant(run.started_at))
    yield Fact("Waited", wait_of(run))
    yield Fact("Took" if run.status not in UNFINISHED else "Takes", duration_of(run))
    attempts = f"{run.attempt} of at most {run.max_attempts}" if run.max_attempts else str(run.attempt)
    crashes = "" if not run.crashes else f"{run.crashes} ended with their worker"
    yield Fact("Attempt", attempts, crashes)
    yield Fact("Priority", run.get_priority_display())
    if run.time_limit:
        yield Fact("Time limit", duration(run.time_limit))
    if run.expires_at:
        yield Fact("Expires", instant(run.expires_at))
    yield Fact("Worker", run.worker or NOTHING)
