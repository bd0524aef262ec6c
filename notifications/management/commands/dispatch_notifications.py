from argparse import ArgumentParser
from dataclasses import asdict
from typing import Any

from django.utils import timezone

from config.management.job import JobCommand
from notifications import providers
from notifications.channels import title_of
from notifications.dispatch import DispatchReport, dispatch
from notifications.management.explaining import account_named, digests_in_words, explain, rows, shown
from notifications.models import Provider
from notifications.tasks import dispatch_notifications


class Command(JobCommand):
    help = "Tell members what is due now or before the next round; or explain what one of them will be told."
    task = dispatch_notifications

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "--explain",
            metavar="USER",
            help="send nothing; say of each upcoming contest whether, when and by what channel this member (a user "
            "name, a mail address or an id) will be told, or why not",
        )
        super().add_arguments(parser)

    def answer(self, **options: Any) -> tuple[dict[str, Any], list[str]]:
        if options["explain"] is None:
            return super().answer(**options)
        explained = explain(account_named(options["explain"]), timezone.now())
        if not self.quiet:
            self._print_explained(explained)
        return explained, []

    def run(self, **options: Any) -> tuple[dict[str, Any], list[str]]:
        done = 0
        with self.progress.status("Planning …") as status:

            def sent(messages: int) -> None:
                nonlocal done
                done += messages
                status.update(f"{done} messages dealt with …")

            report = dispatch(dry_run=options["dry_run"], on_progress=sent)
        now = timezone.now()
        queues = {kind: queue for kind, queue in providers.queues(now).items() if kind in report.by_channel}
        troubles = {each.kind: providers.trouble_of(each, now) for each in Provider.objects.filter(kind__in=queues)}
        if not self.quiet:
            self._print(report, queues, dry_run=options["dry_run"])
        waiting = {kind: {**asdict(queue), "trouble": troubles.get(kind, "")} for kind, queue in queues.items()}
        held = [
            f"{kind}: {queue}. {troubles[kind]}"
            for kind, queue in queues.items()
            if queue.waiting and troubles.get(kind) and not report.by_channel[kind].errors
        ]
        return {**report.as_dict(), "waiting": waiting}, [*report.errors, *held]

    def _print(self, report: DispatchReport, queues: dict[str, providers.Queue], *, dry_run: bool) -> None:
        kinds = ", ".join(f"{kind} {count}" for kind, count in report.planned_by_kind.items())
        planned = f"{report.planned} ({kinds})" if kinds else str(report.planned)
        if dry_run:
            self.out.print(
                f"Would plan {planned}, let {report.expired} expire and skip {report.skipped}. Nothing was sent."
            )
            return
        self.out.print(f"planned {planned}, expired {report.expired}, skipped {report.skipped}")
        table = self.table("channel", "messages", "sent", "failed", "postponed", "waiting")
        for kind, outcome in report.by_channel.items():
            numbers = (outcome.messages, outcome.sent, outcome.failed, outcome.postponed)
            table.add_row(kind, *map(str, numbers), queues[kind].counted)
        self.out.print(table)
        if report.next_at:
            self.out.print(f"The next of what waits may be sent at {shown(report.next_at)} UTC.")

    def _print_explained(self, explained: dict[str, Any]) -> None:
        user, names = (
            explained["user"],
            [f"{title_of(each['kind'])} to {each['name']}" for each in explained["channels"]],
        )
        zone = f", in {explained['time_zone']}" if explained["time_zone"] else ""
        self.out.print(f"{user['username']}, id {user['id']}{zone}. Channels: {', '.join(names) or 'none'}.")
        for digest in digests_in_words(explained):
            self.out.print(digest)
        if not explained["contests"]:
            self.out.print("There is no upcoming contest.")
            return
        self.print_list(
            *("contest", "starts (UTC)", "told (UTC)", "by what channel, or why not"),
            rows=list(rows(explained)),
            whole=("starts (UTC)", "told (UTC)"),
        )
