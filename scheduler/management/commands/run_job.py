import json
from argparse import ArgumentParser, ArgumentTypeError
from collections.abc import Sequence
from math import inf
from time import monotonic, sleep
from typing import Any
from uuid import UUID

from django.core.exceptions import ValidationError
from django.core.management.base import CommandError
from django.utils import timezone

from config.management.command import OperatorCommand
from scheduler.jobs import jobs, parsed, tasks
from scheduler.ledger import acting, run_now
from scheduler.management import shown
from scheduler.management.typed import USAGE, schedule_or_job
from scheduler.models import UNFINISHED, Pause, Run, Schedule, Status, Trigger

LOOK_EVERY = 0.2
"""Seconds."""


def argument(text: str) -> tuple[str, Any]:
    name, equals, value = text.partition("=")
    if not name or not equals:
        raise ArgumentTypeError(f"“{text}” is not like key=value")
    try:
        return name, json.loads(value)
    except ValueError as error:
        raise ArgumentTypeError(f"the value of {name} is not JSON: text goes in double quotes") from error


def seconds(text: str) -> float:
    value = float(text)
    if not 0 <= value < inf:
        raise ArgumentTypeError(f"“{text}” is no number of seconds")
    return value


class Command(OperatorCommand):
    help = "Have a worker do now what a schedule does, or a job; a schedule's own times stay what they are."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("name", metavar="NAME", help="a schedule, or a job by the end of its name: sync_contests")
        parser.add_argument(
            *("--arg", "-a"),
            type=argument,
            action="append",
            default=[],
            metavar="KEY=JSON",
            help="an argument of a job, such as platforms='[\"codeforces\"]'",
        )
        parser.add_argument("--kwargs", metavar="JSON", default="", help="all arguments of a job, as a JSON object")
        parser.add_argument("--wait", action="store_true", help="wait for its end, and say what came of it")
        parser.add_argument("--timeout", type=seconds, metavar="S", help="with --wait: so many seconds at most")
        super().add_arguments(parser)

    def answer(self, **options: Any) -> tuple[dict[str, Any], list[str]]:
        if options["timeout"] is not None and not options["wait"]:
            raise CommandError("--timeout says how long to --wait.", returncode=USAGE)
        try:
            pk = self._ask(schedule_or_job(options["name"]), options["arg"], options["kwargs"])
        except ValidationError as error:
            raise CommandError(" ".join(error.messages), returncode=USAGE) from error
        if not self.quiet:
            self.out.print(f"Run {pk}", soft_wrap=True)
        run = Run.objects.get(pk=pk)
        if notice := _notice(run):
            self.stderr.write(notice)
        if not options["wait"]:
            return dict(shown.as_dict(run)), []
        run = self._wait(pk, options["timeout"])
        if not self.quiet and run.status == Status.SUCCEEDED:
            self.out.print(f"succeeded in {shown.duration(run.seconds)}")
            if run.result:
                self.out.print(run.result, soft_wrap=True)
        return dict(shown.as_dict(run)), _problems(run, options["timeout"])

    def _ask(self, what: Schedule | str, given: Sequence[tuple[str, Any]], kwargs: str) -> UUID:
        """Raises ValidationError where there is no such job, or it does not take its arguments."""
        if isinstance(what, Schedule):
            if given or kwargs:
                raise ValidationError(f"“{what}” is a schedule and has its arguments: name the job to give others.")
            return run_now(what, Trigger.COMMAND, self.actor).pk
        arguments = {**parsed(kwargs, dict), **dict(given)}
        jobs()[what].validate([], arguments)
        with acting(Trigger.COMMAND, self.actor):
            return UUID(tasks()[what].apply_async(kwargs=arguments).id)

    def _wait(self, pk: UUID, timeout: float | None) -> Run:
        """The run when it is over, or as it is when time is."""
        give_up_at = None if timeout is None else monotonic() + timeout
        with self.progress.status("queued …") as status:
            while True:
                run = Run.objects.get(pk=pk)
                if run.status not in UNFINISHED or (give_up_at is not None and monotonic() >= give_up_at):
                    return run
                status.update(_progress(run))
                sleep(LOOK_EVERY)


def _progress(run: Run) -> str:
    attempt = f", attempt {run.attempt}" if run.attempt > 1 else ""
    return f"{run.status}{attempt} … (Ctrl-C: it goes on without you)"


def _notice(run: Run) -> str:
    paused = [str(pause) for pause in Pause.objects.active(timezone.now()).of_run(run.task, run.schedule_id)]
    return f"Paused: {', '.join(paused)}. It starts when that is resumed." if paused else ""


def _problems(run: Run, timeout: float | None) -> list[str]:
    if run.status in UNFINISHED:
        return [f"It is {run.status} after {timeout:g} seconds, and goes on: manage.py run {run.pk}"]
    if run.status == Status.SUCCEEDED:
        return []
    return [f"{run.status}: {run.error}" if run.error else run.status]
