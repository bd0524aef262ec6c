from argparse import ArgumentParser
from typing import Any

from django.utils import timezone

from config.management.command import OperatorCommand
from scheduler import ledger
from scheduler.management.typed import job_named, schedule_named
from scheduler.models import Pause, PauseQuerySet
from scheduler.pausing import Outlook, missed_schedules, outlook, waiting_runs

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
        missed = [_outlook(outlook(schedule, now)) for schedule in missed_schedules(pauses, now)[:MOST_SHOWN]]
        waiting = waiting_runs(pauses, now).count()
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


def _outlook(each: Outlook) -> dict[str, Any]:
    return {"schedule": str(each.schedule), "came": each.came, "run": each.run, "policy": each.why}
