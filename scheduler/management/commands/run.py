from argparse import ArgumentParser
from typing import Any

from config.management.command import OperatorCommand
from scheduler.management import shown
from scheduler.management.typed import run_named
from scheduler.models import Run, RunEvent


class Command(OperatorCommand):
    help = "Show a run: what was asked for, by whom, what happened, and what came of it."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("run", metavar="ID", help="its id, or the beginning of it that `runs` shows")
        super().add_arguments(parser)

    def answer(self, **options: Any) -> tuple[dict[str, Any], list[str]]:
        run = run_named(options["run"])
        events = list(run.events.order_by("at", "pk"))
        if not self.quiet:
            self._print(run, events)
        fields = ("at", "kind", "actor", "attempt", "seconds", "message")
        told = [{name: getattr(event, name) for name in fields} for event in events]
        return {**shown.as_dict(run), "traceback": run.traceback, "events": told}, []

    def _print(self, run: Run, events: list[RunEvent]) -> None:
        for name, value in _facts(run).items():
            if value:
                self.out.print(f"{name:<12} {value}", soft_wrap=True)
        if events:
            self.print_list(
                *("when (UTC)", "what", "by", "attempt", "message"),
                whole=("when (UTC)",),
                rows=[
                    [
                        shown.moment(event.at),
                        event.get_kind_display(),
                        event.actor,
                        str(event.attempt or "–"),
                        shown.line(event.message),
                    ]
                    for event in events
                ],
            )
        for text in (run.traceback or run.error, run.result):
            if text:
                self.out.print(text, soft_wrap=True)


def _facts(run: Run) -> dict[str, str]:
    return {
        "run": str(run.pk),
        "schedule": run.name,
        "job": run.task,
        "arguments": " ".join(text for text in (run.args, run.kwargs) if text not in ("[]", "{}")),
        "asked for by": f"{run.get_trigger_display()}{f', {run.actor}' if run.actor else ''}",
        "for": f"{shown.moment(run.occurrence)} UTC" if run.occurrence else "",
        "status": f"{run.status}, attempt {run.attempt}" if run.attempt > 1 else run.status,
        "asked for at": f"{shown.moment(run.created_at)} UTC",
        "started at": f"{shown.moment(run.started_at)} UTC on {run.worker}" if run.started_at else "",
        "finished at": f"{shown.moment(run.finished_at)} UTC" if run.finished_at else "",
        "took": shown.duration(run.seconds) if run.seconds is not None else "",
    }
