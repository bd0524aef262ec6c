from typing import Any

from config.cleanup import clean_up
from config.management.job import JobCommand
from config.tasks import clean_up_data


class Command(JobCommand):
    help = "Delete what is past its time: old contests, notifications, runs, sessions, tokens; rest absent members."
    task = clean_up_data

    def run(self, **options: Any) -> tuple[dict[str, Any], list[str]]:
        with self.progress.status("Cleaning up …"):
            report = clean_up(dry_run=options["dry_run"])
        if not self.quiet:
            table = self.table("what", "rows", title="What would go" if options["dry_run"] else None)
            for name, count in report.items():
                if name != "seconds":
                    table.add_row(name.replace("_", " "), str(count))
            self.out.print(table)
        return report, []
