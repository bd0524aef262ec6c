"""Break everything on purpose, again and again, and see whether each occurrence is recorded and finished once.

Three beats and three workers run schedules of every second and more, on an embedded PostgreSQL of their own, while a
plan drawn from a seed kills, freezes and restarts them, the database and the broker. In the end a table says what had
to come, what was recorded and what was finished; the exit status is 0 if these are the same.
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


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m tests.chaos", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seed", type=int, default=int(time.time()), help="the plan is the same for the same one")
    parser.add_argument("--seconds", type=float, default=600.0, help="for how long things break (600)")
    parser.add_argument("--kills", type=int, default=110, help="how many kill -9s there are at least (110)")
    parser.add_argument("--broker", choices=["pgmq", "redis", "rabbitmq"], default="pgmq")
    parser.add_argument("--short", action="store_true", help="15 seconds with 10 kills")
    parser.add_argument("--keep", action="store_true", help="leave the database and the log for a look")
    arguments = parser.parse_args()
    if arguments.short:
        arguments.seconds, arguments.kills = 15.0, 10
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
    from tests.chaos.play import play

    try:
        print(f"Seed {arguments.seed}, data in {directory}", flush=True)
        return play(installation, arguments.broker, arguments.seed, arguments.seconds, arguments.kills)
    finally:
        if not arguments.keep:
            embedded.discard(directory)


if __name__ == "__main__":
    sys.exit(main())
