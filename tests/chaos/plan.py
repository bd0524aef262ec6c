"""What is broken when: the same for the same seed."""

import random
from dataclasses import dataclass
from enum import StrEnum

QUIET_AT_FIRST = 3.0
"""Seconds until everything runs."""


class Blow(StrEnum):
    KILL_BEAT = "kill -9 of a beat"
    KILL_ALL_BEATS = "kill -9 of all beats"
    KILL_WORKER = "kill -9 of a worker"
    KILL_CHILD = "kill -9 of a worker's child"
    KILL_DATABASE = "kill -9 of PostgreSQL"
    RESTART_DATABASE = "restart of PostgreSQL"
    RESTART_BROKER = "restart of the broker"
    WIPE_BROKER = "wipe of the broker"
    STOP_BEAT = "SIGTERM of a beat"
    STOP_WORKER = "SIGTERM of a worker"
    FREEZE_BEAT = "SIGSTOP of a beat"
    FREEZE_WORKER = "SIGSTOP of a worker"


WEIGHTS = {
    Blow.KILL_BEAT: 30,
    Blow.KILL_ALL_BEATS: 2,
    Blow.KILL_WORKER: 30,
    Blow.KILL_CHILD: 25,
    Blow.STOP_BEAT: 3,
    Blow.STOP_WORKER: 5,
    Blow.FREEZE_BEAT: 2,
    Blow.FREEZE_WORKER: 3,
}
KILLS = {Blow.KILL_BEAT, Blow.KILL_ALL_BEATS, Blow.KILL_WORKER, Blow.KILL_CHILD, Blow.KILL_DATABASE}
LONGEST_REST = 5.0
"""Seconds that a process stays dead at most."""

LONGEST_FREEZE = 25.0
"""Seconds: more than the lease of a run, so that what continues has been overtaken."""


@dataclass(frozen=True, slots=True)
class Step:
    at: float
    """Seconds after the start."""
    blow: Blow
    target: int
    """Which of the processes, counted from those that live then."""
    rest: float
    """Seconds until it comes back."""


def planned(seed: int, kills: int, seconds: float, servers: list[Blow]) -> list[Step]:
    """At least so many kills over so many seconds, and once each what happens to the `servers`."""
    luck = random.Random(seed)
    blows = list(servers)
    while sum(blow in KILLS for blow in blows) < kills:
        blows += luck.choices(list(WEIGHTS), list(WEIGHTS.values()))
    luck.shuffle(blows)
    moments = sorted(luck.uniform(QUIET_AT_FIRST, seconds) for _ in blows)
    return [_step(at, blow, luck) for at, blow in zip(moments, blows, strict=True)]


def _step(at: float, blow: Blow, luck: random.Random) -> Step:
    frozen = blow in (Blow.FREEZE_BEAT, Blow.FREEZE_WORKER)
    rest = luck.uniform(LONGEST_FREEZE / 2, LONGEST_FREEZE) if frozen else luck.uniform(0, LONGEST_REST)
    return Step(at, blow, luck.randrange(1000), rest)
