"""What the commands that do a job in their own process have in common: `--dry-run`, and a run in the ledger."""

from abc import abstractmethod
from argparse import ArgumentParser
from typing import Any

from config.management.command import OperatorCommand


class JobCommand(OperatorCommand):
    """Does a job in this process, and records that as a run of its task; a dry run is none."""

    task: Any
    """The Celery task by which a worker does the same job."""

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--dry-run", action="store_true", help="say what would happen and change nothing")
        super().add_arguments(parser)

    def answer(self, **options: Any) -> tuple[dict[str, Any], list[str]]:
        if options["dry_run"]:
            return self.run(**options)
        # The task's class knows how to record it: whoever has a command need not know the scheduler.
        with self.task.in_foreground(self.arguments(**options), self.actor) as job:
            if job.notice:
                self.stderr.write(job.notice)
            job.result, job.problems = self.run(**options)
        return job.result, job.problems

    def arguments(self, **options: Any) -> dict[str, Any]:
        """What the task would be called with to do the same."""
        return {}

    @abstractmethod
    def run(self, **options: Any) -> tuple[dict[str, Any], list[str]]:
        """Do the job, print a table unless `self.quiet`; the report for --json, and what failed, a sentence each."""
