"""A process of an installation that does what it is told, one thing after the other: much quicker than one for each."""

import json
import sys
from contextlib import suppress
from subprocess import DEVNULL, PIPE, Popen, TimeoutExpired
from types import TracebackType
from typing import Any, Self

from tests.installation import ROOT, Installation

_LISTEN = """
import json, os, sys, traceback
os.environ["DJANGO_SETTINGS_MODULE"] = "config.settings"
import django
django.setup()
from tests.scheduler.application import app
from django.db import close_old_connections
for line in sys.stdin:
    room = {"app": app}
    try:
        close_old_connections()
        exec(json.loads(line), room)
        answer = [room.get("result"), ""]
    except Exception:
        answer = [None, traceback.format_exc()]
    print("ANSWER", json.dumps(answer, default=str), flush=True)
"""


class Console:
    def __init__(self, installation: Installation, **environment: str) -> None:
        self._process = Popen(
            [sys.executable, "-c", _LISTEN],
            cwd=ROOT,
            env=installation._environment({"LOG_LEVEL": "ERROR", **environment}),
            stdin=PIPE,
            stdout=PIPE,
            stderr=DEVNULL,
            text=True,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        with suppress(TimeoutExpired):
            self._process.wait(10)
        self._process.kill()
        self._process.wait()

    def do(self, code: str) -> Any:
        """The value of `result` after running the code, in which `app` is the application."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        print(json.dumps(code), file=self._process.stdin, flush=True)
        for line in self._process.stdout:
            if line.startswith("ANSWER "):
                result, error = json.loads(line.removeprefix("ANSWER "))
                assert not error, error
                return result
        raise AssertionError(f"It ended with status {self._process.wait()}.")

    def ask(self, job: str, *args: Any, **options: Any) -> str:
        """Ask for a sample job with Celery's options. Returns the run's id."""
        return str(self.do(f"from tests.scheduler import sample_jobs as jobs\n{_ask(job, args, options)}"))

    def run(self, pk: str) -> dict[str, Any]:
        """The run's row, with the kinds of its events in `events`; times as text."""
        (run,) = self.runs(pk=pk)
        return run

    def runs(self, **conditions: Any) -> list[dict[str, Any]]:
        """Those that meet the conditions, as `run`, the oldest occurrence or request first."""
        found: list[dict[str, Any]] = self.do(f"""
from scheduler.models import Run
result = [
    {{field.attname: getattr(run, field.attname) for field in Run._meta.fields}}
    | {{"events": [event.kind for event in run.events.order_by("pk")]}}
    for run in Run.objects.filter(**{conditions!r}).order_by("occurrence", "created_at")
]
""")
        return found


def _ask(job: str, args: tuple[Any, ...], options: dict[str, Any]) -> str:
    return f"result = jobs.{job}.apply_async({args!r}, **{options!r}).id"
