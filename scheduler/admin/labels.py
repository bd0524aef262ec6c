"""Schedules and runs in a word or two: how they stand, in colours, when the next run comes, how the last one went."""

from collections.abc import Iterable
from datetime import datetime

from django.template.loader import render_to_string
from django.urls import reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.timesince import timesince, timeuntil
from django_celery_beat.models import PeriodicTask

from config.admin import NOTHING
from scheduler.admin.sparkline import duration
from scheduler.models import Run, Status
from scheduler.schedules import State

STATES = {
    State.ON: "success",
    State.OFF: "default",
    State.PAUSED: "info",
    State.LATE: "warning",
    State.BROKEN: "danger",
    State.ENDED: "default",
}
"""The colours of a schedule's states."""

COLOURS = {
    Status.QUEUED: "info",
    Status.RUNNING: "primary",
    Status.RETRYING: "warning",
    Status.SUCCEEDED: "success",
    Status.FAILED: "danger",
    Status.CANCELLED: "default",
    Status.SKIPPED: "default",
    Status.LOST: "danger",
}
"""And those of a run's."""

LATE = "Its time has come and gone: is the scheduler running (manage.py up, or celery -A config beat)?"


def label(text: str, colour: str) -> SafeString:
    return render_to_string("unfold/helpers/label.html", {"text": text, "type": colour})


def link_to(schedule: PeriodicTask) -> SafeString:
    url = reverse("admin:django_celery_beat_periodictask_change", args=[schedule.pk])
    return format_html('<a class="text-link" href="{}">{}</a>', url, schedule.name)


def state_label(state: State) -> SafeString:
    return label(state.value, STATES[state])


def coming(at: datetime | None, now: datetime) -> str:
    """How far away the next run is: “in 3 hours”."""
    if at is None:
        return NOTHING
    if at < now:
        return f"{_roughly(timesince(at, now, depth=1))} ago"
    return f"in {_roughly(timeuntil(at, now, depth=1))}"


def outcome(runs: Iterable[Run], now: datetime) -> SafeString | str:
    """How the newest run went that was not skipped, how long it took and when; with a link to it."""
    run = next((run for run in runs if run.status != Status.SKIPPED), None)
    if run is None:
        return NOTHING
    took = "" if run.seconds is None else duration(run.seconds)
    return format_html(
        '<a href="{}" title="{}">{}</a> {} <span class="aside">{} ago</span>',
        reverse("admin:scheduler_run_change", args=[run.pk]),
        run.error,
        label(run.get_status_display(), COLOURS[Status(run.status)]),
        took,
        _roughly(timesince(run.finished_at or run.created_at, now, depth=1)),
    )


def _roughly(length: str) -> str:
    length = length.replace("\xa0", " ")
    return "less than a minute" if length == "0 minutes" else length
