from argparse import ArgumentParser
from datetime import datetime
from typing import Any

from django.core.management.base import CommandError
from django.utils import timezone

from config.management.command import OperatorCommand
from scheduler import ledger
from scheduler.management import shown
from scheduler.management.typed import USAGE, job_named, length, moment, schedule_named
from scheduler.models import Run, Status

LONGEST_REASON = 200


class Command(OperatorCommand):
    help = "Let nothing start: of one schedule, of one job, or at all. What runs goes on, what comes is kept."

    def add_arguments(self, parser: ArgumentParser) -> None:
        what = parser.add_mutually_exclusive_group()
        what.add_argument("--schedule", help="only the schedule with this name")
        what.add_argument("--job", help="only this job, such as sync_contests")
        until = parser.add_mutually_exclusive_group()
        until.add_argument("--until", type=moment, help="such as 2026-11-22T18:00, in UTC (until it is resumed)")
        until.add_argument("--for", type=length, dest="length", help="such as 30m, 2h or 1d (until it is resumed)")
        parser.add_argument("--reason", default="", help="why, for those who see that it is paused")
        super().add_arguments(parser)

    def answer(self, **options: Any) -> tuple[dict[str, Any], list[str]]:
        if len(options["reason"]) > LONGEST_REASON:
            raise CommandError(f"A reason has at most {LONGEST_REASON} characters.", returncode=USAGE)
        until = _until(**options)
        pause = ledger.pause(
            self.actor,
            schedule=schedule_named(options["schedule"]) if options["schedule"] else None,
            task=job_named(options["job"]) if options["job"] else "",
            until=until,
            reason=options["reason"],
        )
        running = Run.objects.filter(status=Status.RUNNING).count()
        if not self.quiet:
            when = f"until {shown.moment(until)} UTC" if until else "until somebody resumes it"
            self.out.print(f"Paused {when}: {pause}.", soft_wrap=True)
            if running:
                self.out.print(f"What runs now goes on: {running} in all.")
        return {"paused": str(pause), "until": until, "reason": pause.reason, "running": running}, []


def _until(**options: Any) -> datetime | None:
    now = timezone.now()
    until: datetime | None = now + options["length"] if options["length"] else options["until"]
    if until is not None and until <= now:
        raise CommandError(f"{shown.moment(until)} UTC is over: name a moment to come.", returncode=USAGE)
    return until
