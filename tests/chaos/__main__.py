"""Break everything on purpose, again and again, and see whether what was promised comes once.

Both acts are played on an embedded PostgreSQL of their own, and what is broken when is drawn from a seed.

- `schedules`: three beats and three workers run schedules of every second and more, while they, the database and the
  broker are killed, frozen and restarted. In the end a table says what had to come, what was recorded and what was
  finished.
- `delivery`: four processes send ten thousand reminders to a real mail server, while they and the database are killed.
  In the end a list says how many were due, how many are resolved, and what the server has once, or more than once.

The exit status is 0 if these are the same, and nothing is there twice without a reason.
"""

import argparse
import os
import shutil
import signal
import sys
import tempfile
import time
from pathlib import Path

from tests.installation import Installation

ACTS = ("schedules", "delivery")
MAILS_PER_KILL = 400


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m tests.chaos", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("acts", nargs="*", metavar="act", help="schedules or delivery (both, one after the other)")
    parser.add_argument("--seed", type=int, default=int(time.time()), help="the plan is the same for the same one")
    parser.add_argument("--seconds", type=float, default=600.0, help="for how long things break (600)")
    parser.add_argument("--kills", type=int, default=110, help="how many kill -9s of the first act at least (110)")
    parser.add_argument("--broker", choices=["pgmq", "redis", "rabbitmq"], default="pgmq")
    parser.add_argument("--short", action="store_true", help="15 seconds with 10 kills, and 600 reminders")
    parser.add_argument("--reminders", type=int, default=10_000, help="how many the second act sends (10000)")
    parser.add_argument("--keep", action="store_true", help="leave the database and the log for a look")
    arguments = parser.parse_args()
    if unknown := set(arguments.acts) - set(ACTS):
        parser.error(f"there is no act {', '.join(unknown)}")
    if arguments.short:
        arguments.seconds, arguments.kills, arguments.reminders = 15.0, 10, 600
    directory = Path(tempfile.mkdtemp(prefix="chaos-"))
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("Terminated."))  # after ending all that was started
    try:
        return _run(directory, arguments)
    finally:
        if not arguments.keep:
            shutil.rmtree(directory, ignore_errors=True)


def _run(directory: Path, arguments: argparse.Namespace) -> int:
    installation = Installation(directory)
    installation.environment["COMPLETIONS"] = str(directory / "completions")
    os.environ.update(installation.environment, DATABASE_URL="", CELERY_BROKER_URL="", EMAIL_URL="", LOG_LEVEL="ERROR")
    os.environ["DJANGO_SETTINGS_MODULE"] = "config.settings"
    import django

    django.setup()
    from config.database import embedded
    from tests.chaos import delivery, play

    try:
        print(f"Seed {arguments.seed}, data in {directory}", flush=True)
        failed = 0
        for act in arguments.acts or ACTS:
            match act:
                case "schedules":
                    failed += play.play(
                        installation, arguments.broker, arguments.seed, arguments.seconds, arguments.kills
                    )
                case "delivery":
                    kills = max(3, arguments.reminders // MAILS_PER_KILL)
                    failed += delivery.play(installation, arguments.seed, arguments.reminders, kills)
        return min(failed, 1)
    finally:
        if not arguments.keep:
            embedded.discard(directory)


if __name__ == "__main__":
    sys.exit(main())
