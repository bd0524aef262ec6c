"""Sending what is due, against a bare loop that hands the same messages, ready-made, to the same server."""

import smtplib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from time import perf_counter, process_time

from django.conf import settings
from django.db import connection
from django.utils import timezone

from notifications import delivery
from notifications.channels.email.writing import Writer
from notifications.messages import Renderer
from notifications.planning import plan
from tests import mailserver
from tests.benchmarks.__main__ import DATA_DIR, say
from tests.factories import ContestFactory, make_members

MEMBERS, ROUNDS = 5_000, 3
ZONES = ["UTC", "Asia/Kolkata", "Europe/Berlin", "America/New_York", "Asia/Tokyo"]


def run() -> None:
    make_members(MEMBERS, lead_minutes=[60])
    execute(f"UPDATE notifications_preference SET time_zone = (ARRAY{ZONES})[1 + user_id % {len(ZONES)}]")
    ContestFactory(name="Codeforces Round 1000 (Div. 2)", starts_at=timezone.now() + timedelta(minutes=50))
    mails()


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
            ours.append(delivered("email"))
    best, bare_best = (max(rates, key=lambda rate: rate.per_second) for rates in (ours, bares))
    print(f"{MEMBERS:,} mails of {len(ready[0][1]):,} bytes, {len(ZONES)} zones, one connection")
    say(
        "mails per second / a bare smtplib loop with ready-made mails",
        best.per_second / bare_best.per_second,
        "≥ 0.8",
        f"{best} / {bare_best}",
    )


def planned() -> None:
    execute("TRUNCATE notifications_notification, notifications_replan, notifications_horizon")
    now = timezone.now()
    assert plan(now, now).new == MEMBERS
    execute("VACUUM ANALYZE")


def ready_made() -> Sequence[tuple[str, bytes]]:
    """Address and mail, as they will leave."""
    planned()
    batch = delivery._claim("email", MEMBERS)
    assert batch
    renderer, writer = Renderer(), Writer()
    messages = [message for letter in batch.letters if (message := renderer.message(letter))]
    return [(message.address, content) for message in messages if (content := writer.content(message))]


def bare(server: mailserver.MailServer, mails: Sequence[tuple[str, bytes]]) -> Rate:
    with smtplib.SMTP("127.0.0.1", server.port, local_hostname="localhost") as smtp:
        smtp.ehlo()
        began, own = perf_counter(), process_time()
        for address, content in mails:
            smtp.sendmail("codenotify@localhost", [address], content)
        return rate(began, own)


def delivered(kind: str) -> Rate:
    planned()
    began, own = perf_counter(), process_time()
    report = delivery.deliver(kind)
    assert report.sent == MEMBERS, report
    return rate(began, own)


def rate(began: float, own: float) -> Rate:
    return Rate(MEMBERS / (perf_counter() - began), (process_time() - own) / MEMBERS * 1_000_000)


def execute(sql: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute(sql)
