"""The second act: processes that send ten thousand reminders are killed, and so is the database under them.

Four times `manage.py dispatch_notifications` runs at once against a real SMTP server. What a killed one had claimed is
taken up by another when its lease of five minutes is over. The play does not wait for that and shortens no
lease: when nobody runs any more, so that all that is claimed is claimed by the dead, it moves the leases to an end.
"""

import random
import signal
import time
from collections import Counter
from dataclasses import dataclass, field
from datetime import timedelta
from enum import StrEnum
from pathlib import Path
from subprocess import Popen

import psutil
from django.core.management import call_command
from django.db import DatabaseError, close_old_connections
from django.db.models import F
from django.utils import timezone

from notifications.claiming import LEASE
from notifications.models import OPEN_STATUSES, Notification, Status
from notifications.planning import plan
from tests import mailserver
from tests.factories import ContestFactory, make_members
from tests.installation import Installation

PROCESSES = 4
PATIENCE = 600.0
"""Seconds for all of it."""


class Blow(StrEnum):
    KILL = "kill -9 of a process that sends"
    KILL_DATABASE = "kill -9 of PostgreSQL"
    RESTART_DATABASE = "restart of PostgreSQL"


@dataclass(frozen=True, slots=True)
class Step:
    after: int
    """So many mails were taken."""
    blow: Blow
    target: int
    """Which of the processes, counted from those that are sending then."""


def planned(seed: int, kills: int, mails: int) -> list[Step]:
    """The same for the same seed. It is all over while there is still something to send."""
    luck = random.Random(seed)
    blows = [*[Blow.KILL] * kills, Blow.KILL_DATABASE, Blow.RESTART_DATABASE]
    luck.shuffle(blows)
    moments = sorted(luck.uniform(0, 0.9 * mails) for _ in blows)
    return [Step(int(after), blow, luck.randrange(1000)) for after, blow in zip(moments, blows, strict=True)]


@dataclass(slots=True)
class Verdict:
    due: int
    resolved: int = 0
    taken: int = 0
    distinct: int = 0
    in_flight: int = 0
    """Mails that the server took and that a process died with before it wrote that down."""
    lost: int = 0
    """Reminders that are said to be sent and of which the server has none."""
    renamed: int = 0
    """Members to whom the same thing was sent under two identities."""
    unexplained: int = 0
    """Mails more than one for a reminder that nobody had in flight, and claims that nobody died with."""

    @property
    def duplicates(self) -> int:
        return self.taken - self.distinct

    @property
    def is_right(self) -> bool:
        whole = self.due == self.resolved == self.distinct and self.duplicates <= self.in_flight
        return whole and not (self.lost or self.renamed or self.unexplained)

    def __str__(self) -> str:
        names = ("due", "resolved", "taken", "distinct", "duplicates", "in_flight", "lost", "renamed", "unexplained")
        return "\n".join(f"{getattr(self, name):>8} {name.replace('_', ' ')}" for name in names)


@dataclass(slots=True)
class Delivering:
    """The processes that send, and what happened to them."""

    installation: Installation
    server: mailserver.MailServer
    processes: list["Popen[bytes]"] = field(default_factory=list)
    deaths: int = 0
    """Processes that did not end as they should."""
    done: Counter[Blow] = field(default_factory=Counter)
    in_flight: Counter[str] = field(default_factory=Counter)
    unexplained: int = 0

    def look(self) -> None:
        """Let go of those that ended."""
        ended = [process for process in self.processes if process.poll() is not None]
        self.deaths += sum(process.returncode != 0 for process in ended)
        self.processes = [process for process in self.processes if process not in ended]

    def fill_up(self) -> None:
        while len(self.processes) < PROCESSES:
            self.processes.append(self.installation.start("python", "manage.py", "dispatch_notifications", "-v", "0"))

    def strike(self, step: Step) -> bool:
        """Whether there was something to strike at."""
        if step.blow == Blow.KILL:
            sending = [process for process in self.processes if self._sends(process)]
            if not sending:
                return False
            sending[step.target % len(sending)].kill()
        else:
            database = Path(self.installation.data_dir, "postgres", "postmaster.pid")
            try:
                postmaster = psutil.Process(int(database.read_text().split()[0]))
                postmaster.send_signal(signal.SIGKILL if step.blow == Blow.KILL_DATABASE else signal.SIGINT)
            except (OSError, psutil.Error):  # it is just being started
                return False
        self.done[step.blow] += 1
        return True

    def _sends(self, process: "Popen[bytes]") -> bool:
        try:
            connections = psutil.Process(process.pid).net_connections("tcp")
        except psutil.Error:
            return False
        return any(connection.raddr and connection.raddr.port == self.server.port for connection in connections)

    def bury(self) -> None:
        """Nobody runs: what is claimed is the dead's, and what of it the server has was in flight. End the leases."""
        claimed = Notification.objects.filter(status=Status.SENDING)
        taken = Counter(mail.message_id for mail in self.server.taken)
        for message in claimed.values_list("message", flat=True):
            self.in_flight[str(message)] = taken[message_id(message)]
        claims = claimed.values("claim").distinct().count()
        self.unexplained += max(0, claims - self.deaths)
        self.deaths = 0
        claimed.update(available_at=F("available_at") - LEASE)


def message_id(message: object) -> str:
    return f"{message}@127.0.0.1"


def play(installation: Installation, seed: int, members: int, kills: int) -> int:
    """Returns the exit status: whether each reminder left, and none more than once without a reason."""
    call_command("migrate", verbosity=0)
    due = _make_due(members)
    steps = planned(seed, kills, members)
    with mailserver.running(installation.data_dir / "mails") as server:
        installation.environment["EMAIL_URL"] = server.url
        delivering = Delivering(installation, server)
        began = time.monotonic()
        while time.monotonic() < began + PATIENCE and not _go_on(delivering, steps, began):
            time.sleep(0.02)
        installation.stop()
        verdict = _verdict(due, delivering)
    print("\n".join(f"{number:>8} × {blow}" for blow, number in sorted(delivering.done.items())))
    print(f"{verdict}\n\n{time.monotonic() - began:.0f} s, {PROCESSES} processes", flush=True)
    return 0 if verdict.is_right and not steps else 1


def _make_due(members: int) -> int:
    make_members(members, lead_minutes=[60])
    now = timezone.now()
    ContestFactory(starts_at=now + timedelta(minutes=55))
    return plan(now, now).new


def _go_on(delivering: Delivering, steps: list[Step], began: float) -> bool:
    """One look at everything, and what follows from it. Whether all is over."""
    delivering.look()
    try:
        open_ones = Notification.objects.filter(status__in=OPEN_STATUSES)
        if open_ones.filter(available_at__lte=timezone.now()).exists():
            delivering.fill_up()
        elif not delivering.processes:
            if not open_ones.exists():
                return True
            delivering.bury()
    except DatabaseError:
        close_old_connections()
        return False
    if steps and delivering.server.file.read_bytes().count(b"\n") >= steps[0].after and delivering.strike(steps[0]):
        print(f"{time.monotonic() - began:6.1f} s  {steps.pop(0).blow}", flush=True)
    return False


def _verdict(due: int, delivering: Delivering) -> Verdict:
    taken = Counter(mail.message_id for mail in delivering.server.taken)
    sent = {message_id(message) for message in _messages(Status.SENT)}
    return Verdict(
        due=due,
        resolved=Notification.objects.exclude(status__in=OPEN_STATUSES).count(),
        taken=sum(taken.values()),
        distinct=len(taken),
        in_flight=sum(delivering.in_flight.values()),
        lost=len(sent - set(taken)),
        renamed=len(taken) - len({mail.recipient for mail in delivering.server.taken}),
        unexplained=delivering.unexplained
        + sum(max(0, number - 1 - delivering.in_flight[name.split("@")[0]]) for name, number in taken.items()),
    )


def _messages(status: Status) -> "set[object]":
    return set(Notification.objects.filter(status=status).values_list("message", flat=True))
