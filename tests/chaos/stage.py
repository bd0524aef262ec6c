"""The processes that are killed, stopped, frozen and started again."""

import signal
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from subprocess import Popen
from typing import Protocol, TypeVar

import psutil
from django.db import DatabaseError, close_old_connections

from tests.chaos.brokers import Broker
from tests.chaos.plan import Blow
from tests.installation import Installation

APPLICATION = "tests.chaos.application"
BEATS = 3
WORKERS = {"first": 1, "second": 2, "third": 2}
"""Names and numbers of processes."""

LONGEST_LEAVE = 60.0
"""Seconds after SIGTERM in which the longest job is long over."""

Thing = TypeVar("Thing")


class NotNow(Exception):
    """What is to be broken does not run at this moment."""


class Struck(Protocol):
    def start(self) -> bool:
        """Bring it back. Whether it is there: what was told to stop may still be on its way."""


class Part:
    """A process that comes back."""

    def __init__(self, installation: Installation, *command: str) -> None:
        self._installation, self._command = installation, command
        self._process: Popen[bytes] | None = None
        self._struck = self._leaving = False
        self._told_at = 0.0
        self.hung = 0

    @property
    def lives(self) -> bool:
        return self._runs and not self._struck

    @property
    def gave_up(self) -> bool:
        """Whether it ended though nobody touched it."""
        return not self._runs and not self._struck

    @property
    def _runs(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def start(self) -> bool:
        if self._leaving and self._runs:
            if time.monotonic() - self._told_at < LONGEST_LEAVE:
                return False
            self.hung += 1
            self.kill()
        if not self._runs:
            self._process = self._installation.start(*self._command)
        self._send(signal.SIGCONT)
        self._struck = self._leaving = False
        return True

    def kill(self) -> None:
        self._struck = True
        self._send(signal.SIGKILL)
        if self._process:
            self._process.wait()

    def stop(self) -> None:
        self._struck = self._leaving = True
        self._told_at = time.monotonic()
        self._send(signal.SIGTERM)

    def freeze(self) -> None:
        """With its children, as a virtual machine is that moves to another host."""
        self._struck = True
        self._send(signal.SIGSTOP)

    def children(self) -> list[psutil.Process]:
        try:
            return psutil.Process(self._process.pid).children() if self._process and self._runs else []
        except psutil.NoSuchProcess:
            return []

    def _send(self, number: signal.Signals) -> None:
        whole = self.children() if number in (signal.SIGSTOP, signal.SIGCONT) else []
        if self._process:
            self._process.send_signal(number)
        for child in whole:
            with suppress(psutil.NoSuchProcess):
                child.send_signal(number)


class Stage:
    def __init__(self, installation: Installation, broker: Broker) -> None:
        self._data_dir, self._broker = installation.data_dir, broker
        celery = ("celery", "-A", APPLICATION)
        self.beats = [Part(installation, *celery, "beat", "--pidfile=") for _ in range(BEATS)]
        self.workers = [
            Part(installation, *celery, "worker", "--concurrency", str(processes), "--hostname", f"{name}@%h")
            for name, processes in WORKERS.items()
        ]
        self.done: Counter[Blow] = Counter()
        self.gave_up = 0
        self._orphans: list[psutil.Process] = []

    @property
    def hung(self) -> int:
        """How many did not end when they were told to."""
        return sum(part.hung for part in (*self.beats, *self.workers))

    def start(self) -> None:
        self._broker.start()
        for part in (*self.beats, *self.workers):
            part.start()

    def revive(self) -> None:
        """Start again what ended by itself, as whatever runs such processes does."""
        for part in (*self.beats, *self.workers):
            if part.gave_up:
                self.gave_up += 1
                part.start()

    def end(self) -> None:
        """Without mercy: whatever there is to say of the runs was said."""
        for part in (*self.beats, *self.workers):
            self._orphans += part.children()
            part.kill()
        for orphan in self._orphans:
            with suppress(psutil.NoSuchProcess):
                orphan.kill()
        self._broker.stop()

    def strike(self, blow: Blow, target: int) -> Sequence[Struck]:
        """Break something now. Returns what does not come back by itself. Raises NotNow where it is broken already."""
        try:
            struck = self._strike(blow, target)
        except (OSError, psutil.Error, DatabaseError) as error:
            close_old_connections()
            raise NotNow from error
        self.done[blow] += 1
        return struck

    def _strike(self, blow: Blow, target: int) -> Sequence[Struck]:
        match blow:
            case Blow.KILL_DATABASE:
                self._postmaster().kill()
            case Blow.RESTART_DATABASE:
                self._postmaster().send_signal(signal.SIGINT)
            case Blow.WIPE_BROKER:
                self._broker.wipe()
            case Blow.RESTART_BROKER:
                self._broker.stop()
                return [self._broker]
            case Blow.KILL_ALL_BEATS:
                return [self._kill(beat) for beat in _living(self.beats)]
            case Blow.KILL_BEAT:
                return [self._kill(_chosen(_living(self.beats), target))]
            case Blow.KILL_WORKER:
                return [self._kill(_chosen(_living(self.workers), target))]
            case Blow.KILL_CHILD:
                _chosen(_chosen(_living(self.workers), target).children(), target).kill()
            case Blow.STOP_BEAT | Blow.STOP_WORKER:
                part = _chosen(_living(self.beats if blow == Blow.STOP_BEAT else self.workers), target)
                part.stop()
                return [part]
            case Blow.FREEZE_BEAT | Blow.FREEZE_WORKER:
                part = _chosen(_living(self.beats if blow == Blow.FREEZE_BEAT else self.workers), target)
                part.freeze()
                return [part]
        return []

    def _kill(self, part: Part) -> Part:
        self._orphans += part.children()
        part.kill()
        return part

    def _postmaster(self) -> psutil.Process:
        return psutil.Process(int(Path(self._data_dir, "postgres", "postmaster.pid").read_text().split()[0]))


def _living(parts: Sequence[Part]) -> list[Part]:
    return [part for part in parts if part.lives]


def _chosen(things: Sequence[Thing], target: int) -> Thing:
    if not things:
        raise NotNow
    return things[target % len(things)]
