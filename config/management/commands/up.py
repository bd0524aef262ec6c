"""The whole stack in one terminal."""

import contextlib
import os
import shlex
import signal
import socket
import sys
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError
from django.db import DatabaseError, connection
from django.db.migrations.executor import MigrationExecutor
from django.utils import timezone
from honcho import manager as honcho
from honcho.compat import ProcessManager

from config.management.database import require_database
from config.management.ports import refuse_a_taken_port
from scheduler import rescue

PATIENCE = 10
"""Seconds for running jobs to finish, once everything shall stop; honcho allows five."""

honcho.KILL_WAIT = PATIENCE


class MainProcessOnly(ProcessManager):  # type: ignore[misc]  # honcho is untyped
    """Asks a process to end, and not its children too, as honcho would: a worker's children finish their jobs first."""

    def terminate(self, pid: int) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGTERM)


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

        manager = honcho.Manager()
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
        self._hand_back(manager._processes["worker"]["pid"])
        stopped_by_hand = manager.returncode in (128 + signal.SIGINT, 128 + signal.SIGTERM)
        sys.exit(0 if stopped_by_hand else 1)

    def _hand_back(self, worker: int) -> None:
        """Let the next worker run at once what this one, which is gone, did not finish."""
        try:
            handed_back = rescue.hand_back(f"{socket.gethostname()}:{worker}", timezone.now())
        except DatabaseError:  # the next beat finds it, a little later
            return
        if handed_back:
            self.stdout.write(f"Not finished, and run again after the next start: {handed_back} in all.")

    def _processes(self, host: str, port: int, concurrency: int) -> dict[str, str]:
        celery, gunicorn = (shlex.quote(str(Path(sys.executable).parent / name)) for name in ("celery", "gunicorn"))
        celery = f"exec {celery} --quiet -A config"
        return {
            "web": f"exec {gunicorn} config.wsgi --bind {host}:{port} --workers 1 --threads 8 "
            "--log-level warning --access-logfile - --access-logformat '%(m)s %(U)s%(q)s %(s)s %(L)ss'",
            "worker": f"{celery} worker --loglevel INFO --concurrency {concurrency}",
            "beat": f"{celery} beat --loglevel INFO",
        }
