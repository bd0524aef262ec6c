"""Sending what is due, against a bare loop that hands the same messages, ready-made, to the same server."""

import os
import re
import smtplib
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from time import monotonic, perf_counter, process_time
from uuid import uuid4

import django
from django.conf import settings
from django.db import connection
from django.utils import timezone

if __name__ == "__main__":
    django.setup()

from notifications.channels.email.writing import Writer
from notifications.claiming import claim
from notifications.delivery import deliver
from notifications.messages import Renderer
from notifications.planning import plan
from notifications.sending import Clock
from tests import mailserver
from tests.benchmarks.__main__ import DATA_DIR, clear, say
from tests.factories import ContestFactory, make_members
from tests.installation import ROOT

MEMBERS, ROUNDS = 5_000, 3
ZONES = ["UTC", "Asia/Kolkata", "Europe/Berlin", "America/New_York", "Asia/Tokyo"]
SIZES, CONTESTS, SAMPLE = (1_000, 100_000), 10, 20.0
"""Members, the contests of which each is told, and for how many seconds."""


def run() -> None:
    start_with(MEMBERS, 1)
    mails()
    memory()


def start_with(members: int, contests: int) -> None:
    clear()
    make_members(members, lead_minutes=[60])
    execute(f"UPDATE notifications_preference SET time_zone = (ARRAY{ZONES})[1 + user_id % {len(ZONES)}]")
    for _ in range(contests):
        ContestFactory(name="Codeforces Round 1000 (Div. 2)", starts_at=timezone.now() + timedelta(minutes=50))


@dataclass(frozen=True, slots=True)
class Rate:
    """Messages per second, and microseconds of this process for each."""

    per_second: float
    own: float

    def __str__(self) -> str:
        return f"{self.per_second:.0f}/s, {self.own:.0f} µs each"


def mails() -> None:
    """Alternately, because other programs on the machine come and go; the better round counts."""
    settings.EMAIL_BACKEND = "django.core.mail.backends.smtp.EmailBackend"
    bares, ours = [], []
    with mailserver.running(Path(DATA_DIR, "mails")) as server:
        settings.EMAIL_HOST, settings.EMAIL_PORT = "127.0.0.1", server.port
        ready = ready_made()
        for _ in range(ROUNDS):
            bares.append(bare(server, ready))
            ours.append(delivered())
    print(f"{MEMBERS:,} mails of {len(ready[0][1]):,} bytes, {len(ZONES)} zones, one connection")
    best, bare_best = (max(rates, key=lambda rate: rate.per_second) for rates in (ours, bares))
    ratio = best.per_second / bare_best.per_second
    say("mails per second / a bare smtplib loop with ready-made mails", ratio, "≥ 0.8", f"{best} / {bare_best}")


def memory() -> None:
    """The peak of a process that plans so many reminders and delivers some of them."""
    peaks = []
    with mailserver.running(Path(DATA_DIR, "mails")) as server:
        for members in SIZES:
            start_with(members, CONTESTS)
            empty()
            finished = subprocess.run(
                [sys.executable, "-m", "tests.benchmarks.delivering"],
                env={**os.environ, "EMAIL_URL": server.url},
                cwd=ROOT,
                capture_output=True,
                text=True,
                check=True,
            )
            reminders, messages, peak = map(int, finished.stdout.split())
            print(f"{reminders:,} reminders planned, {messages:,} mails of them sent: {peak:,} kB at most")
            peaks.append(peak)
    say(f"memory, {SIZES[1] * CONTESTS:,} reminders / {SIZES[0] * CONTESTS:,}", peaks[1] / peaks[0], "≤ 1.1", "")


def one_peak() -> None:
    """In a process of its own, because a peak is never forgotten."""
    now = timezone.now()
    reminders = plan(now, now).new
    report = deliver("email", clock=Clock(monotonic() + SAMPLE))
    # Not `ru_maxrss`, which a process inherits from the one that started it.
    (peak,) = re.findall(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())
    print(reminders, report.messages, peak)


def empty() -> None:
    execute("TRUNCATE notifications_notification, notifications_replan, notifications_horizon")


def planned() -> None:
    empty()
    now = timezone.now()
    assert plan(now, now).new == MEMBERS
    execute("VACUUM ANALYZE")


def ready_made() -> Sequence[tuple[str, bytes]]:
    """Address and mail, as they will leave."""
    planned()
    letters = claim("email", uuid4(), MEMBERS)
    renderer, writer = Renderer(), Writer()
    messages = [message for letter in letters if (message := renderer.message(letter))]
    return [(message.address, content) for message in messages if (content := writer.content(message))]


def bare(server: mailserver.MailServer, mails: Sequence[tuple[str, bytes]]) -> Rate:
    with smtplib.SMTP("127.0.0.1", server.port, local_hostname="localhost") as smtp:
        smtp.ehlo()
        began, own = perf_counter(), process_time()
        for address, content in mails:
            smtp.sendmail("codenotify@localhost", [address], content)
        return rate(began, own)


def delivered() -> Rate:
    planned()
    began, own = perf_counter(), process_time()
    report = deliver("email")
    assert report.sent == MEMBERS, report
    return rate(began, own)


def rate(began: float, own: float) -> Rate:
    return Rate(MEMBERS / (perf_counter() - began), (process_time() - own) / MEMBERS * 1_000_000)


def execute(sql: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute(sql)


if __name__ == "__main__":
    one_peak()
