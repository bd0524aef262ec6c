"""CodeNotify in a small world of its own: no account, no network, and yet everything really runs."""

import os
import signal
import subprocess
import sys
from datetime import timedelta
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError
from django.utils import timezone
from fasteners import InterProcessLock

from config.database import embedded
from config.demo import accounts
from config.demo.server import WorldServer
from config.demo.world import MAY_BE_CANCELLED, MOVES, World
from config.management.ports import refuse_a_taken_port
from contests.platforms import PLATFORMS

HOST = "127.0.0.1"
NOT_THE_OPERATORS = (
    *("DATABASE_URL", "CELERY_BROKER_URL", "EMAIL_URL", "ALLOWED_HOSTS", "SECRET_KEY", "VAPID_PRIVATE_KEY"),
    *("WHATSAPP_PHONE_NUMBER_ID", "WHATSAPP_TOKEN", "WHATSAPP_APP_SECRET", "WHATSAPP_VERIFY_TOKEN"),
)


class Command(BaseCommand):
    help = "Show CodeNotify at work in a small world of its own, without accounts or network. Ctrl-C ends it."

    def handle(self, *args: Any, **options: Any) -> None:
        port = settings.PORT
        refuse_a_taken_port(HOST, port)
        data_dir = settings.DATA_DIR / "demo"
        settings.DATA_DIR.mkdir(parents=True, exist_ok=True)
        lock = InterProcessLock(settings.DATA_DIR / "demo.lock")  # held until this process ends
        if not lock.acquire(blocking=False):
            raise CommandError(f"Another demo is running with its data in {data_dir}. End that one, or set DATA_DIR.")
        embedded.discard(data_dir)
        with WorldServer(World.around(timezone.now())) as world:
            environment = self._environment(world, port, data_dir)
            self._say("A fresh database …")
            self._manage(environment, "migrate", "-v", "0")
            self._say("Four platforms, served on this machine, are asked for their contests …")
            self._manage(environment, "sync_contests")
            self._say("Three members are told of what is due …")
            self._manage(environment, "shell", "-v", "0", "-c", "from config.demo import accounts; accounts.make()")
            self._manage(environment, "dispatch_notifications")
            self._say("Codeforces lists a contest no more. When it is missing a second time, it is cancelled …")
            world.world.drop(*MAY_BE_CANCELLED)
            self._manage(environment, "sync_contests", "--platform", "codeforces")
            world.world.move(*MOVES, by=timedelta(hours=1))
            self._say("Two schedules are run once, as soon as the worker is there …")
            for schedule in ("sync-contests", "clean-up-data"):
                self._manage(environment, "run_job", schedule)
            self._say(self._where_to_look(port, data_dir / "outbox"))
            sys.exit(self._up(environment, port))

    def _environment(self, world: WorldServer, port: int, data_dir: Path) -> dict[str, str]:
        """Nothing of the operator's own settings: the demo touches neither their database nor their mail server."""
        return {
            **os.environ,
            "DATA_DIR": str(data_dir),
            "SITE_URL": f"http://{HOST}:{port}",
            "SCHEDULING_ENABLED": "true",
            **dict.fromkeys(NOT_THE_OPERATORS, ""),
            **{f"{code.upper()}_URL": world.url_of(code) for code in PLATFORMS},
        }

    def _manage(self, environment: dict[str, str], *arguments: str) -> None:
        self.stdout.flush()
        finished = subprocess.run([sys.executable, "manage.py", *arguments], cwd=settings.BASE_DIR, env=environment)
        if finished.returncode:
            raise CommandError(f"The demo stopped: `manage.py {arguments[0]}` failed, see above.")

    def _up(self, environment: dict[str, str], port: int) -> int:
        up = subprocess.Popen(
            [sys.executable, "manage.py", "up", "--host", HOST, "--port", str(port)],
            cwd=settings.BASE_DIR,
            env=environment,
        )
        # Ctrl-C reaches the child by itself; a SIGTERM is for us alone, and is handed on.
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.signal(signal.SIGTERM, lambda *_: up.terminate())
        return up.wait()

    def _where_to_look(self, port: int, outbox: Path) -> str:
        site = f"http://{HOST}:{port}"
        members = "\n".join(f"               {name}@example.org: {what}" for name, what in accounts.MEMBERS.items())
        return f"""
  Contests     {site}/
  Mails        {site}/outbox/  (as {accounts.STAFF}), {len(list(outbox.glob("*.eml")))} so far, as files in {outbox};
               soon others say that a contest moved and that another one was cancelled
  Admin        {site}/admin/  as {accounts.STAFF}: platforms, schedules, runs, notifications, providers
  Members      sign in at {site}/accounts/login/
{members}
  Password     {accounts.PASSWORD}  (everybody's)

  Now the web server, the worker and the scheduler start; Ctrl-C stops them."""

    def _say(self, text: str) -> None:
        self.stdout.write(self.style.MIGRATE_HEADING(text))
        self.stdout.flush()
