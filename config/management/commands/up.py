"""The whole stack in one terminal."""

import contextlib
import os
import shlex
import signal
import sys
from argparse import ArgumentParser
from pathlib import Path
from time import monotonic
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError
from django.db import connection
from django.db.migrations.executor import MigrationExecutor
from honcho import manager as honcho
from honcho.compat import ProcessManager

from config.management.database import require_database
from config.management.ports import refuse_a_taken_port

PATIENCE = 10
"""Seconds for running jobs to finish, once everything shall stop; honcho allows five."""

TO_HAND_BACK = 15
"""Seconds for the worker to hand back what did not finish, and to end, before it is killed."""

honcho.KILL_WAIT = PATIENCE


class MainProcessOnly(ProcessManager):  # type: ignore[misc]  # honcho is untyped
    """Asks a process to end, and not its children too, as honcho would: a worker's children finish their jobs first."""

    def terminate(self, pid: int) -> None:
        self.signal(pid, signal.SIGTERM)

    def signal(self, pid: int, number: int) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)


class Manager(honcho.Manager):  # type: ignore[misc]  # honcho is untyped
    """Asks more firmly before it kills: a worker that is told to quit hands back what it is at."""

    told_to_quit_at: float | None = None

    def kill(self) -> None:
        """Called again and again, once patience is over."""
        if self.told_to_quit_at is None:
            self.told_to_quit_at = monotonic()
            for process in self._processes.values():
                if "returncode" not in process:
                    self._procmgr.signal(process["pid"], signal.SIGQUIT)
        elif monotonic() - self.told_to_quit_at > TO_HAND_BACK:
            super().kill()


class Command(BaseCommand):
    help = "Start web, worker and beat together; Ctrl-C stops them all."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--port", type=int, default=settings.PORT)
        parser.add_argument("--host", default="127.0.0.1")
        parser.add_argument("--concurrency", type=int, default=2, help="jobs that the worker runs at once (2)")

    def handle(self, *args: Any, **options: Any) -> None:
        host, port = options["host"], options["port"]
        refuse_a_taken_port(host, port)
        require_database()
        if MigrationExecutor(connection).migration_plan(MigrationExecutor(connection).loader.graph.leaf_nodes()):
            raise CommandError("The database is not up to date: run `manage.py migrate` first.")
        connection.close()

        manager = Manager()
        manager._procmgr = MainProcessOnly()
        for name, command in self._processes(host, port, options["concurrency"]).items():
            manager.add_process(
                name,
                command,
                cwd=str(settings.BASE_DIR),
                env={**os.environ, "PORT": str(port), "PYTHONUNBUFFERED": "1"},
            )
        self.stdout.write(
            f"CodeNotify is at http://{host}:{port}/ (admin: /admin/). Ctrl-C stops it: what runs then has {PATIENCE} "
            "seconds to finish, and is run again after the next start if it does not."
        )
        # honcho listens to SIGINT and SIGTERM from here on, and ends every process when one ends.
        manager.loop()
        stopped_by_hand = manager.returncode in (128 + signal.SIGINT, 128 + signal.SIGTERM)
        sys.exit(0 if stopped_by_hand else 1)

    def _processes(self, host: str, port: int, concurrency: int) -> dict[str, str]:
        celery, gunicorn = (shlex.quote(str(Path(sys.executable).parent / name)) for name in ("celery", "gunicorn"))
        celery = f"exec {celery} --quiet -A config"
        return {
            "web": f"exec {gunicorn} config.wsgi --bind {host}:{port} --workers 1 --threads 8 "
            "--log-level warning --access-logfile - --access-logformat '%(m)s %(U)s%(q)s %(s)s %(L)ss'",
            "worker": f"{celery} worker --loglevel INFO --concurrency {concurrency} "
            "-- worker.soft_shutdown_timeout=0",  # who is told to quit has had the time to finish
            "beat": f"{celery} beat --loglevel INFO",
        }
