from argparse import ArgumentParser, ArgumentTypeError
from typing import Any

from django.utils import timezone

from config.management.command import OperatorCommand
from scheduler.management import shown
from scheduler.management.typed import job_named, length, schedule_named
from scheduler.models import Run, RunQuerySet, Status

MOST = 10_000


def number(text: str) -> int:
    if not text.isdecimal() or not 1 <= int(text) <= MOST:
        raise ArgumentTypeError(f"“{text}” is no number from 1 to {MOST}")
    return int(text)


class Command(OperatorCommand):
    help = "List runs, the newest first."

    def add_arguments(self, parser: ArgumentParser) -> None:
        status = parser.add_mutually_exclusive_group()
        status.add_argument("--failed", action="store_true", help="only those that failed, or were lost")
        status.add_argument("--status", choices=Status.values, help="only those with this status")
        parser.add_argument("--job", help="only those of this job, such as sync_contests")
        parser.add_argument("--schedule", help="only those of the schedule with this name")
        parser.add_argument("--since", type=length, help="only those asked for within this time, such as 24h or 7d")
        parser.add_argument("--limit", type=number, default=20, help="at most so many (20)")
        super().add_arguments(parser)

    def answer(self, **options: Any) -> tuple[dict[str, Any], list[str]]:
        runs = list(_filtered(**options).order_by("-created_at")[: options["limit"]])
        if not self.quiet:
            self._print(runs)
        return {"runs": [shown.as_dict(run) for run in runs]}, []

    def _print(self, runs: list[Run]) -> None:
        if not runs:
            self.out.print("There is no such run.")
            return
        self.print_list(
            *("run", "what", "by", "asked for (UTC)", "status", "took", "error"),
            whole=("run",),
            rows=[
                [
                    shown.short_id(run),
                    run.name or shown.job(run.task),
                    run.trigger,
                    shown.moment(run.created_at),
                    run.status,
                    shown.duration(run.seconds),
                    shown.line(run.error),
                ]
                for run in runs
            ],
        )


def _filtered(**options: Any) -> RunQuerySet:
    runs = Run.objects.all()
    if options["failed"]:
        runs = runs.filter(status__in=[Status.FAILED, Status.LOST])
    if options["status"]:
        runs = runs.filter(status=options["status"])
    if options["job"]:
        runs = runs.filter(task=job_named(options["job"]))
    if options["schedule"]:
        runs = runs.filter(schedule=schedule_named(options["schedule"]))
    if options["since"]:
        runs = runs.filter(created_at__gte=timezone.now() - options["since"])
    return runs
