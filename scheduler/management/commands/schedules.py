from argparse import ArgumentParser
from datetime import datetime
from typing import Any

from django.db.models import OuterRef, Subquery
from django.utils import timezone

from config.management.command import OperatorCommand
from scheduler.management import shown
from scheduler.management.typed import job_named
from scheduler.models import Pause, Run, Schedule, Status
from scheduler.tick import ROWS
from scheduler.timing import cron_expression


class Command(OperatorCommand):
    help = "List the schedules: what they run, when they come next, and what came of their last run."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--job", help="only those of this job, such as sync_contests")
        super().add_arguments(parser)

    def answer(self, **options: Any) -> tuple[dict[str, Any], list[str]]:
        schedules = _schedules(options["job"])
        runs = Run.objects.in_bulk([schedule.last_run for schedule in schedules if schedule.last_run])
        pauses = list(Pause.objects.active(timezone.now()))
        rows = [_as_dict(schedule, runs.get(schedule.last_run), _pause_of(schedule, pauses)) for schedule in schedules]
        if not self.quiet:
            self._print(rows)
        return {"schedules": rows}, []

    def _print(self, rows: list[dict[str, Any]]) -> None:
        if not rows:
            self.out.print("There is no schedule.")
            return
        self.print_list(
            *("name", "job", "when", "zone", "next (UTC)", "last (UTC)"),
            whole=("name", "when"),
            rows=[
                [row["name"], shown.job(row["job"]), row["when"], row["zone"], _next(row), _last(row["last_run"])]
                for row in rows
            ],
        )
        for row in rows:
            if row["error"]:
                self.out.print(f"{row['name']} is set aside: {row['error']}")


def _schedules(job: str | None) -> list[Any]:
    """With the key of the newest run of each as `last_run`."""
    newest = Run.objects.filter(schedule=OuterRef("pk")).order_by("-created_at").values("pk")[:1]
    found = Schedule.objects.select_related(*ROWS).annotate(last_run=Subquery(newest))
    if job:
        found = found.filter(periodic_task__task=job_named(job))
    return list(found.order_by("periodic_task__name"))


def _pause_of(schedule: Schedule, pauses: list[Pause]) -> Pause | None:
    task = schedule.periodic_task.task
    return next(
        (each for each in pauses if each.schedule_id in (None, schedule.pk) and each.task in ("", task)),
        None,
    )


def _as_dict(schedule: Schedule, last_run: Run | None, pause: Pause | None) -> dict[str, Any]:
    task = schedule.periodic_task
    crontab = task.crontab
    return {
        "name": task.name,
        "job": task.task,
        "when": cron_expression(crontab, schedule.seconds) if crontab else str(task.scheduler or "never"),
        "zone": str(crontab.timezone) if crontab else "UTC",
        "enabled": task.enabled,
        "paused": pause is not None,
        "paused_until": pause.until if pause else None,
        "next_run_at": None if schedule.stale_since else schedule.next_run_at,
        "edited": schedule.stale_since is not None,
        "error": schedule.error,
        "last_run": shown.as_dict(last_run) if last_run else None,
    }


def _next(row: dict[str, Any]) -> str:
    until: datetime | None = row["paused_until"]
    if not row["enabled"]:
        return "off"
    if row["error"]:
        return "set aside"
    if row["paused"]:
        return f"paused until {shown.moment(until)}" if until else "paused"
    return shown.moment(row["next_run_at"]) if row["next_run_at"] or not row["edited"] else "when beat runs"


def _last(run: dict[str, Any] | None) -> str:
    if run is None:
        return "–"
    if run["status"] == Status.RUNNING:
        return f"running since {shown.moment(run['started_at'])}"
    took = f", {shown.duration(run['seconds'])}" if run["seconds"] is not None else ""
    return f"{run['status']} {shown.moment(run['finished_at'] or run['created_at'])}{took}"
