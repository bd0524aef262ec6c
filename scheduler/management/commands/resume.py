from argparse import ArgumentParser
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from django.db.models import Exists, OuterRef, Q
from django.utils import timezone

from config.management.command import OperatorCommand
from scheduler import ledger
from scheduler.management.typed import job_named, schedule_named
from scheduler.models import Pause, PauseQuerySet, Run, Schedule
from scheduler.tick import ROWS, occurrences, sentence
from scheduler.timing import timing_of

MOST_SHOWN = 50
"""Schedules of which it is said what becomes of their missed occurrences."""


class Command(OperatorCommand):
    help = "End a pause, by default the one of everything, and say what becomes of what came meanwhile."

    def add_arguments(self, parser: ArgumentParser) -> None:
        what = parser.add_mutually_exclusive_group()
        what.add_argument("--schedule", help="the pause of the schedule with this name")
        what.add_argument("--job", help="the pause of this job, such as sync_contests")
        what.add_argument("--all", action="store_true", help="every pause there is")
        super().add_arguments(parser)

    def answer(self, **options: Any) -> tuple[dict[str, Any], list[str]]:
        now = timezone.now()
        pauses = list(_asked_for(**options))
        ended = [str(pause) for pause in pauses]
        ledger.resume(pauses, self.actor)
        left = [str(pause) for pause in Pause.objects.active(now)]
        missed = _missed(pauses, now) if pauses else []
        waiting = _waiting(pauses, now) if pauses else 0
        if not self.quiet:
            self._print(ended, left, missed, waiting)
        return {"resumed": ended, "still_paused": left, "missed": missed, "waiting": waiting}, []

    def _print(self, ended: list[str], left: list[str], missed: list[dict[str, Any]], waiting: int) -> None:
        self.out.print(f"Resumed: {', '.join(ended)}." if ended else "Nothing was paused.", soft_wrap=True)
        if left:
            self.out.print(f"Still paused: {', '.join(left)}.", soft_wrap=True)
        if waiting:
            self.out.print(f"Asked for meanwhile, and starting now: {waiting} in all.")
        if missed:
            self.print_list(
                *("schedule", "came", "run now", "its policy for missed runs"),
                whole=("schedule",),
                rows=[[row["schedule"], str(row["came"]), str(row["run"]), row["policy"]] for row in missed],
            )


def _asked_for(**options: Any) -> PauseQuerySet:
    """Those to end; one that is over by itself is nothing to end."""
    active = Pause.objects.active(timezone.now())
    if options["all"]:
        return active
    if options["schedule"]:
        return active.filter(schedule=schedule_named(options["schedule"]))
    return active.filter(schedule=None, task=job_named(options["job"]) if options["job"] else "")


def _missed(pauses: Sequence[Pause], now: datetime) -> list[dict[str, Any]]:
    """What beat will do about the schedules that came while these pauses were there, and that no other one stops."""
    due = (
        Schedule.objects.filter(_of_schedules(pauses), next_run_at__lte=now, stale_since=None)
        .exclude(Exists(Pause.objects.active(now).of_schedules()))
        .select_related(*ROWS)
        .order_by("next_run_at")
    )
    return [_outlook(schedule, now) for schedule in due[:MOST_SHOWN]]


def _outlook(schedule: Schedule, now: datetime) -> dict[str, Any]:
    try:
        came = occurrences(schedule, timing_of(schedule.periodic_task, schedule.seconds, schedule.anchor_at), now)
    except Exception as error:  # whatever a row holds that no form has seen: beat will set it aside
        return {"schedule": str(schedule), "came": 0, "run": 0, "policy": sentence(error)}
    run = sum(not occurrence.skipped for occurrence in came)
    return {"schedule": str(schedule), "came": len(came), "run": run, "policy": schedule.get_missed_display()}


def _waiting(pauses: Sequence[Pause], now: datetime) -> int:
    stopped = Pause.objects.active(now).filter(
        Q(schedule=None) | Q(schedule=OuterRef("schedule")), Q(task="") | Q(task=OuterRef("task"))
    )
    runs = Run.objects.waiting().filter(_of_runs(pauses), published_at=None, available_at__lte=now)
    return runs.exclude(Exists(stopped)).count()


def _of_schedules(pauses: Sequence[Pause]) -> Q:
    return _any_of(pauses, "pk", "periodic_task__task")


def _of_runs(pauses: Sequence[Pause]) -> Q:
    return _any_of(pauses, "schedule", "task")


def _any_of(pauses: Sequence[Pause], schedule: str, task: str) -> Q:
    """What one of the pauses stopped, by the names of the fields that say which schedule and which task it is."""
    stopped = Q(pk__in=[])
    for pause in pauses:
        wanted = {}
        if pause.schedule_id:
            wanted[schedule] = pause.schedule_id
        if pause.task:
            wanted[task] = pause.task
        stopped = stopped | Q(**wanted) if wanted else Q()
        if not wanted:
            break
    return stopped
