from typing import Any

from config.management.job import JobCommand
from notifications.dispatch import DispatchReport, dispatch
from notifications.tasks import dispatch_notifications


class Command(JobCommand):
    help = "Send the reminders that are due now or within the next half hour."
    task = dispatch_notifications

    def run(self, **options: Any) -> tuple[dict[str, Any], list[str]]:
        done = 0
        with self.progress.status("Planning …") as status:

            def sent(messages: int) -> None:
                nonlocal done
                done += messages
                status.update(f"{done} messages dealt with …")

            report = dispatch(dry_run=options["dry_run"], on_progress=sent)
        if not self.quiet:
            self._print(report, dry_run=options["dry_run"])
        return report.as_dict(), report.errors

    def _print(self, report: DispatchReport, *, dry_run: bool) -> None:
        if dry_run:
            self.out.print(
                f"{report.planned} reminders would be planned, {report.expired} would expire. None was sent."
            )
            return
        self.out.print(f"planned {report.planned}, expired {report.expired}, skipped {report.skipped}")
        table = self.table("channel", "messages", "sent", "failed", "postponed")
        for kind, outcome in report.by_channel.items():
            table.add_row(kind, str(outcome.messages), str(outcome.sent), str(outcome.failed), str(outcome.postponed))
        self.out.print(table)
