from argparse import ArgumentParser
from typing import Any

from config.management.job import JobCommand
from contests.platforms import PLATFORMS
from contests.sync import COUNTS, PlatformReport, SyncReport, sync
from contests.tasks import sync_contests


class Command(JobCommand):
    help = "Ask the contest platforms what they list, and store what changed."
    task = sync_contests

    def add_arguments(self, parser: ArgumentParser) -> None:
        super().add_arguments(parser)
        parser.add_argument(
            "--platform",
            action="extend",
            nargs="+",
            choices=list(PLATFORMS),
            default=[],
            help="only these, even where they are disabled (default: all that are enabled)",
        )

    def arguments(self, **options: Any) -> dict[str, Any]:
        return {"platforms": options["platform"]} if options["platform"] else {}

    def run(self, **options: Any) -> tuple[dict[str, Any], list[str]]:
        with self.progress.status("Asking the platforms …") as status:

            def came(code: str, report: PlatformReport) -> None:
                status.update(f"{PLATFORMS[code].name} answered, waiting for the others …")

            report = sync(options["platform"], dry_run=options["dry_run"], on_report=came)
        if not self.quiet:
            self._print(report, dry_run=options["dry_run"])
        failed = {code: outcome.error for code, outcome in report.platforms.items() if not outcome.ok}
        return report.as_dict(), [f"{PLATFORMS[code].name}: {error}" for code, error in failed.items()]

    def _print(self, report: SyncReport, *, dry_run: bool) -> None:
        if not report.platforms:
            self.out.print("Every platform is disabled: nothing was asked.")
            return
        table = self.table("platform", *COUNTS, "seconds", title="What would change" if dry_run else None)
        for code, outcome in report.platforms.items():
            counts = [str(getattr(outcome, name)) for name in COUNTS] if outcome.ok else ["–"] * len(COUNTS)
            table.add_row(PLATFORMS[code].name, *counts, f"{outcome.seconds:.1f}")
        self.out.print(table)
        for code, outcome in report.platforms.items():
            for row in outcome.rejected_rows:
                self.out.print(f"{PLATFORMS[code].name} row {row['key'] or 'without a key'} left out: {row['reason']}")
